# SPDX-License-Identifier: Apache-2.0
"""How a demo ends: its RESULT line and exit code."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

from demo.play import Outcome


def of(run: Callable[[], None], log: Path) -> int:
    """Run a demo; give the exit code if it didn't get to its end, else 0."""
    try:
        run()
    except RuntimeError as error:
        sys.stderr.write(f"{error}\nThe demo failed; see {log}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def tell(outcome: Outcome, least: int, within_s: float) -> int:
    """Write the RESULT line; give 0 if all is well.

    That is, ``least`` run, and the need was met ``within_s``.
    """
    sys.stdout.write(f"RESULT {json.dumps(outcome.result())}\n")
    return 0 if outcome.good(least, within_s) else 1

# SPDX-License-Identifier: Apache-2.0
"""The short run of the lab: the demo with fewer instances."""

from collections.abc import Sequence

from tests.lab import demo

# More than three 1 GiB instances fit in no 4 GiB host without ballooning.
AIM = "5"


def main(arguments: Sequence[str]) -> int:
    """Run; give the exit code."""
    return demo.main(list(arguments) or [AIM])

# SPDX-License-Identifier: Apache-2.0
"""nova-xen-overcommit: asks the agent of this host, for people."""

import sys
from collections.abc import Sequence

PROGRAM = "nova-xen-overcommit"
_NEEDS_EXTRA = (
    f"{PROGRAM}: cliff is missing; install nova_xen_overcommit with its "
    "extra 'tool' or 'agent', or run the tool from the agent's environment\n"
)
# The code of a missing library, which cli.exit_codes has for the others.
_MISSING_LIBRARY = 9


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; give the exit code."""
    try:
        import cliff  # noqa: F401
    except ImportError:
        # Nova's environment may have only the driver's part.
        sys.stderr.write(_NEEDS_EXTRA)
        return _MISSING_LIBRARY
    from nova_xen_overcommit.cli import app

    argv = list(sys.argv[1:] if arguments is None else arguments)
    return app.Tool().run(argv)


if __name__ == "__main__":
    sys.exit(main())

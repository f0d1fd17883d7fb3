# SPDX-License-Identifier: Apache-2.0
"""Python's collector of cycles, set for a process that makes hardly any."""

import gc

# More than a pass over some thousand guests keeps until its end, so that a
# pass isn't interrupted; and no more than 1 or 2 MiB, were all of it waste.
_MOST_NEW_OBJECTS = 10_000


def calm() -> None:
    """Let the collector look seldom, and never at what is there now.

    Call it once all is imported and made. Passes leave no cycles: what they
    make is freed as soon as nothing refers to it. The collector would walk
    through what they remember of each guest all the same, the more often
    the more guests there are.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_MOST_NEW_OBJECTS)

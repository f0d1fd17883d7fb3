# SPDX-License-Identifier: Apache-2.0
"""How long the steps of a history are, and how many it has."""

_STEP_S = 300
# Shorter histories, for demonstrations, have so many steps at least.
_FEWEST = 12
_LEAST_S = 5


def length_s(history_s: float) -> int:
    """Give the length of a step in seconds: five minutes, as a rule."""
    return int(min(_STEP_S, max(_LEAST_S, history_s // _FEWEST)))


def most(history_s: float) -> int:
    """Give how many steps a history has, the open one included."""
    return max(2, int(history_s) // length_s(history_s))

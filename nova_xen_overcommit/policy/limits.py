# SPDX-License-Identifier: Apache-2.0
"""What keeps a guest's target from being what it would be otherwise."""

import enum


class Limit(enum.StrEnum):
    """One rule that held a target back; its value is its name for people.

    The first group decides how much a guest may have, the second when its
    balloon may move, the third why it isn't touched at all.
    """

    FLOOR = "floor"
    FLAVOR = "flavor"
    SHORT = "not enough memory for all"
    NOT_FREE = "not enough free memory yet"

    DEAD_BAND = "dead band"
    LARGEST_STEP = "largest step"
    COOL_DOWN = "cool-down"
    STARVED = "starved"
    NOT_FELT = "has not spoken since its last step"
    OBSERVE = "mode observe"
    REFUSED = "the hypervisor refused"

    EXEMPT = "exempt"
    BUSY = "busy"
    HELD = "held"
    STUCK = "stuck"
    UNCOOPERATIVE = "uncooperative"
    NO_DATA = "no data"
    NEVER_SPOKE = "never spoke"
    PROBED = "probed from outside"

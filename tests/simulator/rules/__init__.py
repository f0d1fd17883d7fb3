# SPDX-License-Identifier: Apache-2.0
"""The rules that always hold, as far as they can be seen in a simulator.

One check or more for each rule of the design, named after its number. Each
looks at what happened on the host, never at what the agent believes, and
says in words what is wrong, "" when nothing is.
"""

from tests.simulator.rules.judge import Judge, Violation

__all__ = ["Judge", "Violation"]

# SPDX-License-Identifier: Apache-2.0
"""Text that a terminal only shows, and never obeys."""

from typing import Any


def clean(value: Any) -> Any:
    """Give ``value`` with every unprintable character of it escaped.

    Strings in lists and dicts are cleaned too, the keys included. What
    Python calls printable leaves out control and format characters, so
    neither escape sequences nor marks that turn text around pass.
    """
    if isinstance(value, str):
        return "".join(map(_clean, value))
    if isinstance(value, dict):
        return {clean(key): clean(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [clean(one) for one in value]
    return value


def _clean(character: str) -> str:
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode("ascii")

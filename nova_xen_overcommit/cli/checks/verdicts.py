# SPDX-License-Identifier: Apache-2.0
"""What a check says: its result, and what to do."""

from oslo_upgradecheck.upgradecheck import Code, Result

__all__ = ("Code", "Result", "failure", "fine", "not_judged", "warning")


def fine(text: str) -> Result:
    """All is well."""
    return Result(Code.SUCCESS, text)


def not_judged(why: str) -> Result:
    """It can't be told here."""
    return Result(Code.SUCCESS, f"not judged here: {why}")


def warning(text: str, advice: str) -> Result:
    """It deserves a look; ``advice`` says what to do."""
    return Result(Code.WARNING, _joined(text, advice))


def failure(text: str, advice: str) -> Result:
    """It must be mended; ``advice`` says how."""
    return Result(Code.FAILURE, _joined(text, advice))


def _joined(text: str, advice: str) -> str:
    end = "" if text.endswith((".", "?")) else "."
    return f"{text}{end} {advice}."

# SPDX-License-Identifier: Apache-2.0
"""systemd units as systemd reads them: a unit, then its drop-ins."""

import pathlib


def read(directory: pathlib.Path, unit: str) -> dict[str, list[str]]:
    """Give a unit's settings of all sections; an empty value forgets."""
    files = [directory / unit, *sorted(directory.glob(f"{unit}.d/*.conf"))]
    settings: dict[str, list[str]] = {}
    for path in files:
        for line in path.read_text().splitlines():
            if not line.startswith(("[", "#")) and "=" in line:
                name, value = (part.strip() for part in line.split("=", 1))
                _set(settings, name, value)
    return settings


def _set(settings: dict[str, list[str]], name: str, value: str) -> None:
    if not value:
        settings[name] = []
    elif name in ("Environment", "ExecStart", "After", "Wants"):
        settings.setdefault(name, []).append(value)
    else:
        settings[name] = [value]


def environment(settings: dict[str, list[str]]) -> dict[str, str]:
    """Give the variables that a service gets."""
    pairs = [text.strip('"') for text in settings.get("Environment", [])]
    return dict(pair.split("=", 1) for pair in pairs)

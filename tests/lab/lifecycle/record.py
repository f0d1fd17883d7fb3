# SPDX-License-Identifier: Apache-2.0
"""Keeps what a run came to in the repository, for the documentation."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tests.lab import lab as lab_module
from tests.lab import paths
from tests.lab.lifecycle import operations

FILE = paths.TREE / "doc/source/support-matrix.json"
_COMMANDS = {
    "Nova": "/opt/nova/bin/python -c 'import nova.version as v;"
    " print(v.version_string())'",
    "libvirt": "virsh --version",
    "Xen": "xl info xen_version",
    "Linux": "uname -r",
}


def save(
    lab: lab_module.Lab,
    kinds: Sequence[str],
    results: Mapping[str, Mapping[str, str]],
) -> None:
    """Write the results of those tried; ``kinds`` are all, in order."""
    recorded: dict[str, Any] = {"results": {}}
    if FILE.exists():
        recorded = json.loads(FILE.read_text())
    recorded["versions"] = {
        name: lab.ssh(command).strip().splitlines()[-1]
        for name, command in _COMMANDS.items()
    }
    recorded["operations"] = ["create", *operations.ALL]
    tried = {**recorded["results"], **results}
    recorded["results"] = {kind: tried.get(kind, {}) for kind in kinds}
    FILE.write_text(json.dumps(recorded, indent=2) + "\n")

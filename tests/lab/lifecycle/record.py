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
    before: dict[str, Any] = {}
    if FILE.exists():
        before = json.loads(FILE.read_text())
    versions = {
        name: lab.ssh(command).strip().splitlines()[-1]
        for name, command in _COMMANDS.items()
    }
    recorded = merged(before, kinds, results, versions)
    FILE.write_text(json.dumps(recorded, indent=2) + "\n")


def merged(
    before: Mapping[str, Any],
    kinds: Sequence[str],
    results: Mapping[str, Mapping[str, str]],
    versions: Mapping[str, str],
) -> dict[str, Any]:
    """Give the record with the kinds that were tried as they came out.

    The others keep their results, and the versions those were found with.
    """
    tried = {**before.get("results", {}), **results}
    with_versions = {
        **before.get("versions", {}),
        **dict.fromkeys(results, versions),
    }
    return {
        "results": {kind: tried.get(kind, {}) for kind in kinds},
        "versions": {
            kind: with_versions[kind]
            for kind in kinds
            if kind in with_versions
        },
        "operations": ["create", *operations.ALL],
    }

# SPDX-License-Identifier: Apache-2.0
"""Keeps what a run came to in the repository, for the documentation."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tests.lab import lab as lab_module
from tests.lab import paths
from tests.lab.lifecycle import debian, operations

PASS = "pass"
FILE = paths.TREE / "doc/source/support-matrix.json"
_COMMANDS = {
    "Nova": "/opt/nova/bin/python -c 'import nova.version as v;"
    " print(v.version_string())'",
    "libvirt": "virsh --version",
    "Xen": "xl info xen_version",
    # Without what a distribution counts on: nothing is tried anew for that.
    "Linux": "uname -r | cut -d- -f1",
}


def operations_of(kind: str) -> Sequence[str]:
    """Give the names of what is tried on a kind."""
    return operations.FEW if kind == debian.IMAGE else list(operations.ALL)


def save(
    lab: lab_module.Lab,
    kinds: Sequence[str],
    results: Mapping[str, Mapping[str, str]],
) -> None:
    """Write the results of those tried; ``kinds`` are all, in order."""
    before = recorded()
    versions = {
        name: lab.ssh(command).strip().splitlines()[-1]
        for name, command in _COMMANDS.items()
    }
    after = merged(before, kinds, results, versions)
    FILE.write_text(json.dumps(after, indent=2) + "\n")


def recorded() -> dict[str, Any]:
    """Give what earlier runs came to; empty where there is no record."""
    return dict(json.loads(FILE.read_text())) if FILE.exists() else {}


def missing(before: Mapping[str, Any], kind: str) -> list[str]:
    """Name the operations that the record doesn't tell as passed."""
    passed = before.get("results", {}).get(kind, {})
    wanted = operations_of(kind)
    return [name for name in wanted if passed.get(name) != PASS]


def merged(
    before: Mapping[str, Any],
    kinds: Sequence[str],
    results: Mapping[str, Mapping[str, str]],
    versions: Mapping[str, str],
) -> dict[str, Any]:
    """Give the record with what was tried as it came out.

    All else keeps its results, as long as they were found with the same
    versions; kinds that were not tried keep theirs, whatever these were.
    """
    with_versions = dict(before.get("versions", {}))
    tried = dict(before.get("results", {}))
    for kind, found in results.items():
        if not found:
            continue
        same = with_versions.get(kind) == versions
        tried[kind] = {**(tried.get(kind, {}) if same else {}), **found}
        with_versions[kind] = versions
    return {
        "results": {kind: tried.get(kind, {}) for kind in kinds},
        "versions": {
            kind: with_versions[kind]
            for kind in kinds
            if kind in with_versions
        },
        "operations": ["create", *operations.ALL],
    }

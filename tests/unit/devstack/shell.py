# SPDX-License-Identifier: Apache-2.0
"""The plugin under bash, with the least that DevStack gives it."""

import pathlib
import shutil
import subprocess
import tempfile
from collections.abc import Mapping

ROOT = pathlib.Path(__file__).resolve().parents[3]
PLUGIN = ROOT / "devstack"
_DEVSTACK = r"""
set -o errexit
function define_plugin { :; }
function is_service_enabled { [[ ",$ENABLED_SERVICES," == *",$1,"* ]]; }
function enable_service { ENABLED_SERVICES+=",$1"; }
function warn { echo "WARNING $2"; }
function die { shift; echo "ERROR $*"; exit 1; }
source "$CLONE/devstack/override-defaults"
NOVA_FILTERS=ComputeFilter
source "$CLONE/devstack/settings"
"""
# Below it, a phase's functions without the phase.
LIBRARIES = 'source "$CLONE/devstack/plugin.sh" none\n'


def run(
    script: str,
    variables: Mapping[str, str],
    clone: str = "a.clone-of-mine",
) -> tuple[int, list[str]]:
    """Run ``script`` after the settings; give exit code and lines."""
    with tempfile.TemporaryDirectory() as name:
        top = pathlib.Path(name, clone)
        shutil.copytree(PLUGIN, top / "devstack")
        environment = {
            "CLONE": str(top),
            "ENABLED_SERVICES": "n-sch,n-cpu",
            "LIBVIRT_TYPE": "qemu",
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "STACK_USER": "stack",
            "VIRT_DRIVER": "libvirt",
        }
        ended = subprocess.run(
            ["bash", "-c", _DEVSTACK + script],
            env=environment | dict(variables),
            capture_output=True,
            text=True,
            check=False,
        )
    lines = (ended.stdout + ended.stderr).replace(str(top), "CLONE")
    return ended.returncode, lines.splitlines()

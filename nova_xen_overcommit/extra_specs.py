# SPDX-License-Identifier: Apache-2.0
"""Flavor extra specs of memory overcommit, and who is never overcommitted.

The module itself needs no Nova; only :func:`register`, the entry point in
``nova.api.extra_spec_validators``, does.
"""

import dataclasses
import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nova_xen_overcommit import exception

if TYPE_CHECKING:
    from nova.api.validation.extra_specs import base

MODE_KEY = "xen_overcommit:mode"
FLOOR_KEY = "xen_overcommit:floor_mb"
WEIGHT_KEY = "xen_overcommit:weight"

ALLOW = "allow"
FORBID = "forbid"
MODES = (ALLOW, FORBID)

MAX_WEIGHT = 1000.0
_WEIGHT_PATTERN = r"[0-9]{1,4}(\.[0-9]{1,6})?"
_FLOOR_PATTERN = r"[0-9]{1,10}"

# The image properties that bear on it.
IMAGE_PROPERTIES = (
    "hw_cpu_policy",
    "hw_locked_memory",
    "hw_mem_encryption",
    "hw_mem_page_size",
    "hw_numa_nodes",
)

_TRUE_WORDS = ("1", "t", "true", "on", "y", "yes")
_DEDICATED_POLICIES = ("dedicated", "mixed")
# What Nova reads as ordinary pages: its own word, or a size of 4 KiB.
_SMALL_PAGE_PATTERN = r"small|4|4\s*ki?b?|4096b?"
# A group's resources are spelled resources1:VGPU or resources_NAME:VGPU.
_RESOURCE_PATTERN = re.compile(r"resources[^:]*:([A-Z0-9_]+)")
_FIXED_RESOURCES = {
    "PCPU": "has pinned CPUs",
    "PGPU": "has a passed-through GPU",
    "VGPU": "has a virtual GPU",
    "MEM_ENCRYPTION_CONTEXT": "has encrypted memory",
}


@dataclasses.dataclass(frozen=True, slots=True)
class OvercommitSpecs:
    """What flavor and image say about overcommit of one guest.

    ``floor_mib`` 0 means the host's rule; ``weight`` is the guest's share
    under shortage. ``overcommit`` False: the guest gets its whole flavor at
    its start and is never ballooned; ``why_not`` then says why.
    """

    mode: str = ALLOW
    floor_mib: int = 0
    weight: float = 1.0
    overcommit: bool = True
    why_not: str = ""

    def exempt(self, why_not: str) -> "OvercommitSpecs":
        """Give the same, but for a guest that is never overcommitted."""
        return dataclasses.replace(self, overcommit=False, why_not=why_not)


def parse(
    extra_specs: Mapping[str, str],
    memory_mb: int,
    image_properties: Mapping[str, Any] | None = None,
) -> OvercommitSpecs:
    """Read a flavor of ``memory_mb`` MiB, and the image where it is known.

    ``image_properties`` are Nova's image properties by name (``hw_...``).

    :raises InvalidConfiguration: a value is not of its form; the message
        names the key.
    """
    specs = OvercommitSpecs(
        mode=_mode(extra_specs),
        floor_mib=_floor_mib(extra_specs, memory_mb),
        weight=_weight(extra_specs),
    )
    if specs.mode == FORBID:
        return specs.exempt(f"the flavor says {MODE_KEY}={FORBID}")
    why_not = ineligible(extra_specs, image_properties)
    return specs.exempt(why_not) if why_not else specs


def ineligible(
    extra_specs: Mapping[str, str],
    image_properties: Mapping[str, Any] | None = None,
) -> str:
    """Say why a guest's memory can't be ballooned; empty when it can."""
    reason = _device_reason(extra_specs)
    if reason:
        return f"the flavor {reason}"
    hardware = {
        key.removeprefix("hw:"): value
        for key, value in extra_specs.items()
        if key.startswith("hw:")
    }
    reason = _hardware_reason(hardware)
    if reason:
        return f"the flavor {reason}"
    return _image_reason(image_properties or {})


def register() -> list["base.ExtraSpecValidator"]:
    """Give Nova's API the validators of our extra specs."""
    from nova.api.validation.extra_specs import base

    return [
        base.ExtraSpecValidator(
            name=MODE_KEY,
            description=(
                "Whether instances of this flavor may be overcommitted: "
                "start with less memory than the flavor's and be ballooned."
            ),
            value={
                "type": str,
                "description": "'forbid' exempts the flavor.",
                "enum": list(MODES),
            },
        ),
        base.ExtraSpecValidator(
            name=FLOOR_KEY,
            description=(
                "The least memory, in MiB, to which an instance is ever "
                "squeezed; at most the flavor's memory. 0 means the host's "
                "own rule."
            ),
            value={
                "type": int,
                "description": "Memory in MiB.",
                "min": 0,
            },
        ),
        base.ExtraSpecValidator(
            name=WEIGHT_KEY,
            description=(
                "The instance's share when its host is short of memory, "
                "relative to other instances; 1 unless given."
            ),
            value={
                "type": str,
                "description": f"A number above 0, at most {MAX_WEIGHT:g}.",
                "pattern": rf"(?!0+(\.0+)?$){_WEIGHT_PATTERN}",
            },
        ),
    ]


def _mode(extra_specs: Mapping[str, str]) -> str:
    mode = extra_specs.get(MODE_KEY, ALLOW)
    if mode not in MODES:
        raise _invalid(MODE_KEY, mode, "allow or forbid")
    return mode


def _floor_mib(extra_specs: Mapping[str, str], memory_mb: int) -> int:
    text = str(extra_specs.get(FLOOR_KEY, "0"))
    if not re.fullmatch(_FLOOR_PATTERN, text) or int(text) > memory_mb:
        raise _invalid(FLOOR_KEY, text, f"an integer of 0 to {memory_mb}")
    return int(text)


def _weight(extra_specs: Mapping[str, str]) -> float:
    text = str(extra_specs.get(WEIGHT_KEY, "1"))
    weight = math.nan
    if re.fullmatch(_WEIGHT_PATTERN, text):
        weight = float(text)
    if not 0 < weight <= MAX_WEIGHT:
        raise _invalid(
            WEIGHT_KEY, text, f"a number above 0, at most {MAX_WEIGHT:g}"
        )
    return weight


def _invalid(
    key: str, value: Any, wanted: str
) -> exception.InvalidConfiguration:
    return exception.InvalidConfiguration(
        f"extra spec {key} is {value!r:.80}, wanted {wanted}"
    )


def _device_reason(extra_specs: Mapping[str, str]) -> str:
    if extra_specs.get("pci_passthrough:alias"):
        return "passes PCI devices through"
    if extra_specs.get("accel:device_profile"):
        return "has an accelerator"
    for key, amount in extra_specs.items():
        match = _RESOURCE_PATTERN.fullmatch(key)
        if match and str(amount) != "0":
            reason = _FIXED_RESOURCES.get(match[1])
            if reason:
                return reason
    return ""


def _image_reason(image_properties: Mapping[str, Any]) -> str:
    hardware = {
        key.removeprefix("hw_"): value
        for key, value in image_properties.items()
        if key.startswith("hw_")
    }
    reason = _hardware_reason(hardware)
    return f"the image {reason}" if reason else ""


def _hardware_reason(hardware: Mapping[str, Any]) -> str:
    # Flavor and image spell the same properties: hw:NAME and hw_NAME.
    if hardware.get("cpu_policy") in _DEDICATED_POLICIES:
        return "has pinned CPUs"
    if hardware.get("numa_nodes"):
        return "is bound to NUMA nodes"
    page_size = hardware.get("mem_page_size")
    if page_size and not _is_small_page(page_size):
        return "has huge pages"
    for name, reason in (
        ("locked_memory", "has locked memory"),
        ("mem_encryption", "has encrypted memory"),
        ("cpu_realtime", "has real-time CPUs"),
    ):
        if _is_true(hardware.get(name)):
            return reason
    return ""


def _is_small_page(size: Any) -> bool:
    text = str(size).strip().lower()
    return re.fullmatch(_SMALL_PAGE_PATTERN, text) is not None


def _is_true(value: Any) -> bool:
    return str(value).strip().lower() in _TRUE_WORDS

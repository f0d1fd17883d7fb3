# SPDX-License-Identifier: Apache-2.0
"""What a guest costs besides its own memory."""

_PAGE_KIB = 4
_PAGES_PER_VCPU = 256
_PAGES_PER_MIB = 2
_KIB = 1024
# Measured overhead is rounded up to this, so that a process that breathes
# doesn't change its guest's account in each pass.
_STEP_KIB = 4 * _KIB
# It is lowered only when it is this much less than it was.
_CALM_KIB = 16 * _KIB


def shadow_kib(flavor_kib: int, vcpus: int) -> int:
    """Give the page tables that libxl sets aside for a guest.

    libxl_get_required_shadow_memory: 256 pages a virtual CPU and two a MiB
    of the most memory the guest may have.
    """
    pages = _PAGES_PER_VCPU * vcpus + _PAGES_PER_MIB * (flavor_kib // _KIB)
    return _PAGE_KIB * pages


def measured_kib(
    before_kib: int, estimate_kib: int, resident_kib: int, actual_kib: int
) -> int:
    """Give the overhead of a guest whose process can be measured.

    ``resident_kib`` is what the process holds for this guest alone, the
    guest's memory included, ``actual_kib`` the latter by its balloon,
    ``before_kib`` what the last call gave. What is resident beyond the
    balloon's figure is the emulator's own, or was taken by the guest with
    no leave; either way nobody else has it. Never less than the estimate,
    since a guest that has not touched all of its memory hides the rest.
    """
    excess_kib = max(0, resident_kib - actual_kib)
    rounded_kib = -(-excess_kib // _STEP_KIB) * _STEP_KIB
    found_kib = max(estimate_kib, rounded_kib)
    falls_little = before_kib - _CALM_KIB < found_kib <= before_kib
    return before_kib if falls_little else found_kib

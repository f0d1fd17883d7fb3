# SPDX-License-Identifier: Apache-2.0
"""What a Xen guest costs besides its own memory."""

_PAGE_KIB = 4
_PAGES_PER_VCPU = 256
_PAGES_PER_MIB = 2
_KIB = 1024


def shadow_kib(flavor_kib: int, vcpus: int) -> int:
    """Give the page tables that libxl sets aside for a guest.

    libxl_get_required_shadow_memory: 256 pages a virtual CPU and two a MiB
    of the most memory the guest may have.
    """
    pages = _PAGES_PER_VCPU * vcpus + _PAGES_PER_MIB * (flavor_kib // _KIB)
    return _PAGE_KIB * pages

# SPDX-License-Identifier: Apache-2.0
"""Options: the host's memory: what is its own, and what is kept free."""

from oslo_config import cfg

OPTS = [
    cfg.IntOpt(
        "host_memory_limit_mib",
        default=0,
        min=0,
        help="""
Most physical memory in MiB that the host counts as its own; 0 means all
that the hypervisor reports. A lower figure keeps the rest out of every
calculation, for example for other uses of the host.
""",
    ),
    cfg.IntOpt(
        "host_reserved_mib",
        min=0,
        help="""
Memory in MiB that the host itself keeps. Unset: on Xen what dom0 and the
hypervisor hold is measured; elsewhere 512 MiB, like Nova's
``reserved_host_memory_mb``. When set it replaces the measured figure, but
only if it is larger.
""",
    ),
    cfg.StrOpt(
        "guests_cgroup",
        default="",
        help="""
Directory of the control group (version 1 or 2) whose memory limit bounds all
guests together on KVM and QEMU: they can have no more than that. Empty:
``/sys/fs/cgroup/machine.slice``, where libvirt puts guests under systemd, if
it has a limit. Its ``memory.pressure`` tells when guests stall for the host's
memory; where there is none, that of the whole host does.
""",
    ),
    cfg.IntOpt(
        "reserve_mib",
        default=128,
        min=16,
        mutable=True,
        help="""
Memory in MiB kept free for instant grants and starts. It is spent first
when a guest is suddenly in need, and refilled from idle guests. Too small,
and a sudden need waits for donors; too large, and it is idle itself.
""",
    ),
    cfg.IntOpt(
        "host_slack_mib",
        default=16,
        min=0,
        mutable=True,
        help="""
Part of the reserve, in MiB, that is never given to anyone: the hypervisor
needs it for its own bookkeeping (page tables, grants). At less than 9 MiB
domain starts were seen to fail on Xen. Must be below ``reserve_mib``.
""",
    ),
]

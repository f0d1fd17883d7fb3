# SPDX-License-Identifier: Apache-2.0
"""What must be done to Nova before it reads its configuration.

Nova loads drivers from ``nova.virt`` only. Shipping files below a ``nova``
directory would break an editable Nova, so our directory is appended to the
search path of ``nova.virt`` instead: that works for wheels and editable
installs of both.
"""

import pathlib

import nova.conf
import nova.conf.libvirt
import nova.virt

from nova_xen_overcommit import conf, exception, nova_virt
from nova_xen_overcommit.virt import compat

XEN = "xen"


def prepare() -> None:
    """Make Nova able to load and configure our driver; repeatable.

    :raises InvalidConfiguration: this Nova lacks what the driver leans on;
        the message names it.
    """
    compat.check()
    extend_driver_path()
    allow_virt_type_xen()
    conf.register_opts(nova.conf.CONF)


def extend_driver_path() -> None:
    """Let ``nova.virt.xen_overcommit`` be found."""
    directory = str(pathlib.Path(nova_virt.__file__).resolve().parent)
    if directory not in nova.virt.__path__:
        nova.virt.__path__.append(directory)


def allow_virt_type_xen() -> None:
    """Give ``[libvirt] virt_type`` back its choice ``xen``.

    :raises InvalidConfiguration: this Nova's option is not of the form we
        know.
    """
    for option in nova.conf.libvirt.ALL_OPTS:
        if option.name == "virt_type":
            choices = getattr(option.type, "choices", None)
            if isinstance(choices, dict):
                choices.setdefault(XEN, None)
                return
    raise exception.InvalidConfiguration(
        "this Nova has no option [libvirt] virt_type with choices; it can't "
        "be told to use Xen"
    )

# SPDX-License-Identifier: Apache-2.0
"""Reading and setting what a start changes in a domain's XML; pure."""

from lxml import etree

from nova_xen_overcommit import exception


def with_current_memory(xml: str, current_kib: int) -> str:
    """Give ``xml`` with ``<currentMemory>`` set, cut to ``<memory>``.

    :raises InvalidConfiguration: there is no ``<memory>`` in KiB.
    """
    domain = etree.fromstring(xml)
    memory = domain.find("memory")
    if memory is None or memory.get("unit", "KiB") != "KiB":
        raise exception.InvalidConfiguration(
            "the domain's XML has no <memory> in KiB"
        )
    current = domain.find("currentMemory")
    if current is None:
        current = etree.Element("currentMemory")
        current.tail = memory.tail
        memory.addnext(current)
    current.attrib.pop("unit", None)
    current.text = str(min(current_kib, int(memory.text)))
    return str(etree.tostring(domain, encoding="unicode"))


def os_type(xml: str) -> str:
    """Give the domain's OS type: ``linux``, ``xenpvh``, ``hvm``, …"""
    return etree.fromstring(xml).findtext("os/type") or "hvm"

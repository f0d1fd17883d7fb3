# SPDX-License-Identifier: Apache-2.0
"""libvirt's events wake the agent, on its embedded hypervisor."""

import threading
import unittest

import libvirt

from nova_xen_overcommit import exception
from nova_xen_overcommit.agent import news
from nova_xen_overcommit.agent.hypervisor import events, libvirt_host
from tests.simulator import GIB, MIB
from tests.unit.agent.test_hypervisor import domain_xml
from tests.unit.agent.test_news import ACTUAL_KIB, SOON_S, make_guest

# All of one process share it.
URI = "test:///default"


class EventsTest(unittest.TestCase):
    def setUp(self) -> None:
        events.register_event_loop()
        self.refusals = 0
        self.opened: list[libvirt.virConnect] = []
        self.listens = threading.Event()
        self.woken = threading.Event()
        self.source = events.DomainEvents(self.open, self.woken.set)
        self.connection = libvirt_host.connect(URI)
        self.addCleanup(self.connection.close)

    def open(self) -> libvirt.virConnect:
        if self.refusals:
            self.refusals -= 1
            raise exception.HypervisorError("libvirt is away")
        connection = libvirt_host.connect(URI)
        self.opened.append(connection)
        threading.Timer(0.1, self.listens.set).start()
        return connection

    def listen(self) -> None:
        context = news.listening([self.source])
        context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)
        self.assertTrue(self.listens.wait(5))

    def start(self) -> libvirt.virDomain:
        domain = self.connection.createXML(domain_xml(name="guest"), 0)
        self.addCleanup(domain.destroy)
        return domain

    def test_a_guest_that_comes_wakes(self) -> None:
        self.listen()
        self.start()
        self.assertTrue(self.woken.wait(SOON_S))

    def test_a_definition_does_not(self) -> None:
        self.listen()
        domain = self.connection.defineXML(domain_xml(name="other"))
        self.addCleanup(domain.undefine)
        self.assertFalse(self.woken.wait(0.4))

    def test_it_tries_again_when_libvirt_was_away(self) -> None:
        self.refusals = 1
        with self.assertLogs("nova_xen_overcommit.agent.news"):
            self.listen()
        self.start()
        self.assertTrue(self.woken.wait(SOON_S))

    def test_a_lost_connection_is_opened_anew(self) -> None:
        self.listen()
        self.listens.clear()
        self.opened[0].close()
        self.assertTrue(self.listens.wait(5))
        self.start()
        self.assertTrue(self.woken.wait(SOON_S))


class Uuid:
    """All that a callback uses of a domain."""

    def UUIDString(self) -> str:  # noqa: N802
        return "uuid-1"


class BalloonTest(unittest.TestCase):
    def news(self, actual_kib: int, target_kib: int = ACTUAL_KIB) -> bool:
        woken = threading.Event()
        source = events.DomainEvents(lambda: None, woken.set)
        guest = make_guest(1)
        guest.target_kib = target_kib
        source.follow([guest])
        source._ballooned(None, Uuid(), actual_kib, None)
        source._wake_if_due()
        return woken.is_set()

    def test_a_guest_that_takes_memory_back_wakes(self) -> None:
        self.assertTrue(self.news(ACTUAL_KIB + 50 * MIB))

    def test_one_that_follows_its_target_does_not(self) -> None:
        self.assertFalse(self.news(ACTUAL_KIB + 50 * MIB, target_kib=GIB))
        self.assertFalse(self.news(300 * MIB, target_kib=200 * MIB))
        self.assertFalse(self.news(ACTUAL_KIB + MIB))

# SPDX-License-Identifier: Apache-2.0
"""The endpoint over real sockets, with clients as they may be."""

import contextlib
import socket
import threading
import time
import unittest
import urllib.request

from prometheus_client import CollectorRegistry, Counter

from nova_xen_overcommit.agent.metrics import endpoint

PATIENCE_S = 10


def free_port(family: socket.AddressFamily = socket.AF_INET) -> int:
    with socket.socket(family) as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


class EndpointTest(unittest.TestCase):
    def setUp(self) -> None:
        self.registry = CollectorRegistry()
        Counter("things", "Things.", registry=self.registry).inc(3)
        self.port = free_port()

    def serve(self, address: str = "127.0.0.1", **more) -> threading.Event:
        """Serve in a thread until the event is set."""
        leaving = threading.Event()
        served = endpoint.Endpoint(address, self.port, self.registry, **more)
        thread = threading.Thread(target=served.serve, args=(leaving,))
        thread.start()

        def end() -> None:
            leaving.set()
            thread.join(PATIENCE_S)
            self.assertFalse(thread.is_alive())

        self.addCleanup(end)
        self.end = end
        return leaving

    def scrape(self, host: str = "127.0.0.1") -> str:
        deadline_s = time.monotonic() + PATIENCE_S
        while True:
            try:
                url = f"http://{host}:{self.port}/metrics"
                with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
                    return answer.read().decode()
            except OSError:
                if time.monotonic() > deadline_s:
                    raise
                time.sleep(0.05)

    def test_it_answers(self) -> None:
        self.serve()
        self.assertIn("things_total 3.0", self.scrape())

    def test_it_answers_at_ipv6(self) -> None:
        try:
            self.port = free_port(socket.AF_INET6)
        except OSError as error:
            self.skipTest(f"no IPv6 here: {error}")
        self.serve("::1")
        self.assertIn("things_total 3.0", self.scrape("[::1]"))

    def test_the_port_can_be_bound_again_at_once(self) -> None:
        for _ in range(3):
            self.serve()
            self.scrape()
            self.end()

    def test_a_taken_port_is_told_with_the_option_and_tried_again(
        self,
    ) -> None:
        taken = socket.socket()
        self.addCleanup(taken.close)
        taken.bind(("127.0.0.1", self.port))
        taken.listen()
        logger = endpoint.LOG.name
        with self.assertLogs(logger, "ERROR") as logs:
            self.serve(retry_s=0.1)
            deadline_s = time.monotonic() + PATIENCE_S
            while not logs.output and time.monotonic() < deadline_s:
                time.sleep(0.05)
            time.sleep(0.5)
        # Once, however often it was tried.
        (said,) = logs.output
        self.assertIn("metrics_port", said)
        self.assertIn(str(self.port), said)
        taken.close()
        self.assertIn("things_total 3.0", self.scrape())

    def test_an_address_of_no_host_is_told_with_the_option(self) -> None:
        with self.assertLogs(endpoint.LOG.name, "ERROR") as logs:
            # For documentation only (RFC 5737): nobody has it.
            self.serve("192.0.2.1", retry_s=60)
            deadline_s = time.monotonic() + PATIENCE_S
            while not logs.output and time.monotonic() < deadline_s:
                time.sleep(0.05)
        self.assertIn("metrics_address 192.0.2.1", logs.output[0])
        # And it ends without waiting for the next trial.
        began_s = time.monotonic()
        self.end()
        self.assertLess(time.monotonic() - began_s, 5)

    def connect(self) -> socket.socket:
        made = socket.create_connection(("127.0.0.1", self.port), PATIENCE_S)
        self.addCleanup(made.close)
        return made

    def test_clients_that_hang_keep_nobody_from_the_figures(self) -> None:
        self.serve()
        self.scrape()
        for _ in range(endpoint.MOST_CONNECTIONS - 1):
            self.connect().sendall(b"GET /metr")
        began_s = time.monotonic()
        self.assertIn("things_total 3.0", self.scrape())
        self.assertLess(time.monotonic() - began_s, 5)

    def test_more_clients_than_are_served_are_sent_away(self) -> None:
        self.serve()
        self.scrape()
        hanging = [self.connect() for _ in range(endpoint.MOST_CONNECTIONS)]
        time.sleep(1)
        before = threading.active_count()
        for _ in range(30):
            with contextlib.suppress(ConnectionError):
                self.assertEqual(b"", self.connect().recv(1))
        self.assertLessEqual(threading.active_count(), before)
        for one in hanging:
            one.close()
        self.assertIn("things_total 3.0", self.scrape())

    def test_it_ends_though_a_client_hangs(self) -> None:
        self.serve()
        self.scrape()
        self.connect().sendall(b"GET")
        time.sleep(0.2)
        began_s = time.monotonic()
        self.end()
        self.assertLess(time.monotonic() - began_s, 5)

# SPDX-License-Identifier: Apache-2.0
"""The tool, asking a real agent over its socket."""

import io
import json
import os
import tempfile
import unittest.mock
from pathlib import Path

from nova_xen_overcommit.agent import protocol
from nova_xen_overcommit.cli.app import Tool
from nova_xen_overcommit.cli.exit_codes import Code
from tests.simulator import GIB, MIB
from tests.unit.agent.test_server import ServedTest
from tests.unit.cli.tool import ToolMixin


class ToolTest(ToolMixin, ServedTest):
    """Asks an agent that is served."""

    def run_tool(self, *words: str) -> tuple[int, str, str]:
        """Give exit code, stdout and stderr."""
        return self.run_words("--agent-socket", self.path, *words)

    def shown(self, *words: str) -> str:
        code, out, err = self.run_tool(*words)
        self.assertEqual((0, ""), (code, err))
        return out

    def refused(self, expected: Code, *words: str) -> str:
        code, out, err = self.run_tool(*words)
        self.assertEqual((expected, ""), (code, out), err)
        return err


class OneGuestTest(ToolTest):
    def setUp(self) -> None:
        super().setUp()
        self.guest = self.harness.host.start("web", wants_kib=400 * MIB)
        self.harness.run(20)

    def test_a_table_says_it_in_words(self) -> None:
        table = self.shown("explain", self.guest.name)
        for line in (
            "0.5 s ago by SimulatedHost",
            "960 MiB in all, 560 available, 0 of 1024 swap in use",
            "542 MiB: what it uses, and head room",
            "464 used, averages 464 fast and 464 slow, head room 78",
            "1024 MiB: keeps what it has",
            "nothing",
            "settled for 20.0 s, known for 20.0 s",
        ):
            with self.subTest(line=line):
                self.assertIn(f"| {line} ", table)

    def test_a_guest_that_moves_its_own_balloon(self) -> None:
        # Given a guest that needs about 500 MiB of its 1024
        self.guest.chosen_kib = GIB
        self.harness.run(60)
        # Then that, and what it left free, is told
        table = self.shown("explain", self.guest.name)
        self.assertIn("what it wants, as it moves its own balloon", table)
        self.assertRegex(
            table,
            r"\| moves its own balloon: the target is the most it may have, "
            r"and leaves 4[67]\d MiB of that ",
        )
        self.assertRegex(
            self.shown("explain"), r", 4[67]\d of that left by themselves\n"
        )

    def test_json_has_all_figures_in_mib(self) -> None:
        told = json.loads(self.shown("explain", self.guest.uuid, "-f", "json"))
        self.assertEqual(
            (self.guest.name, 1024, 542, 560, []),
            (
                told["name"],
                told["actual_mib"],
                told["demand"]["demand_mib"],
                told["observation"]["mem_available_mib"],
                told["limits"],
            ),
        )

    def test_columns_can_be_chosen(self) -> None:
        told = self.shown(
            "explain", self.guest.uuid, "-f", "value", "-c", "flavor_mib"
        )
        self.assertEqual("1024\n", told)

    def test_every_format_works(self) -> None:
        for name in ("csv", "json", "table", "value", "yaml"):
            with self.subTest(format=name):
                told = self.shown("explain", self.guest.name, "-f", name)
                self.assertIn(self.guest.uuid, told)

    def test_what_limits_it_is_told(self) -> None:
        self.guest.busy = "paused"
        self.harness.run(1)
        table = self.shown("explain", self.guest.name)
        self.assertRegex(table, r"\| limits +\| busy: paused +\|")

    def test_a_guest_without_figures_is_told_of_too(self) -> None:
        silent = self.harness.host.start("silent")
        silent.silent = True
        self.harness.run(10)
        table = self.shown("explain", silent.name)
        self.assertIn("it never spoke", table)
        self.assertIn("never spoke: found 10 s ago", table)
        self.assertIn("its whole flavor is reckoned with", table)

    def test_a_probed_guest_is_told_of(self) -> None:
        self.harness.conf.set_override(
            "probe_silent_guests", True, "xen_overcommit"
        )
        silent = self.harness.host.start("silent")
        silent.silent = True
        self.harness.run(95, 1.0)
        table = self.shown("explain", silent.name)
        self.assertIn("it never spoke; 1.0 s ago by its disks", table)
        self.harness.run(100, 1.0)
        table = self.shown("explain", silent.name)
        self.assertIn("it never spoke; 1.0 s ago by its disks", table)
        self.assertIn(
            "KiB/s: swap read 0, written 0, files read 0, usual 0", table
        )
        self.assertIn("1008 MiB: says nothing, is calm: one step less", table)
        self.assertIn(
            "last comfortable with 1024, never below 512, hurt 0 times", table
        )
        self.assertIn("reckoned with: probed from outside", table)

    def test_a_move_is_told_with_its_reason(self) -> None:
        self.guest.actual_kib = self.guest.target_kib = 300 * MIB
        self.harness.restart()
        self.server.desk = self.harness.agent
        self.harness.run(3)
        table = self.shown("explain", self.guest.name)
        self.assertRegex(
            table, r"set [0-9.]+ s ago from [0-9]+ MiB: needs more than it has"
        )

    def test_an_unknown_guest_is_an_error(self) -> None:
        self.assertEqual(
            "no running guest has the name or UUID 'nobody'\n",
            self.refused(Code.UNKNOWN_GUEST, "explain", "nobody"),
        )


class AllGuestsTest(ToolTest):
    def setUp(self) -> None:
        super().setUp()
        self.idle = self.harness.host.start("idle")
        self.full = self.harness.host.start("full", wants_kib=2 * GIB)
        self.harness.run(5)

    def test_a_table_shows_the_host_and_its_guests(self) -> None:
        told = self.shown("explain")
        self.assertIn(
            "Host normal, mode overcommit: 4096 MiB, 3584 for guests, "
            "1536 free, reserve 128\n",
            told,
        )
        self.assertRegex(told, "last pass 0.5 s ago\n")
        self.assertRegex(told, r"\| full-2 \| settled \| +1024 .*flavor: 1024")
        self.assertNotIn(self.full.uuid, told)

    def test_a_guest_that_is_not_novas_is_said_to_be_none(self) -> None:
        self.full.foreign = True
        self.harness.run(1)
        told = self.shown("explain")
        self.assertIn("2 guests of 2048 MiB in all", told)
        self.assertIn(
            "1024 MiB in all are of guests that aren't Nova's "
            f"({self.full.name}): nothing is promised for them\n",
            told,
        )
        self.assertIn(
            "not Nova's: its flavor is left out of the promise",
            self.shown("explain", self.full.name),
        )
        self.assertNotIn("Nova's", self.shown("explain", self.idle.name))

    def test_json_has_host_and_guests(self) -> None:
        told = json.loads(self.shown("explain", "-f", "json"))
        self.assertEqual("normal", told["host"]["report"]["state"])
        full = told["guests"][1]
        self.assertEqual(
            (self.full.uuid, ["flavor: 1024 MiB"]),
            (full["uuid"], full["limits"]),
        )

    def test_columns_and_order_can_be_chosen(self) -> None:
        chosen = ("-c", "name", "-c", "demand_mib", "-f", "value")
        told = self.shown("explain", *chosen, "--sort-column", "name")
        self.assertEqual("full-2 1024\nidle-1 170\n", told)

    def test_every_format_works(self) -> None:
        for name in ("csv", "json", "table", "value", "yaml"):
            with self.subTest(format=name):
                self.assertIn("idle-1", self.shown("explain", "-f", name))

    def test_starts_and_troubles_are_told(self) -> None:
        self.harness.ask(flavor_kib=GIB)
        self.harness.run(1)
        self.harness.host.unreachable = True
        self.harness.run(1)
        told = self.shown("explain")
        self.assertIn(
            "start-1, flavor 1024 MiB, starts since 2.0 s, has 1024 MiB kept",
            told,
        )
        self.assertIn(
            "The last pass failed: HypervisorError: libvirtd is gone", told
        )


class UntrustedTest(ToolTest):
    EVIL = "\x1b]0;owned\x07\x9b2J\r\u202eevil"

    def setUp(self) -> None:
        super().setUp()
        guest = self.harness.host.start()
        guest.name, guest.busy = self.EVIL, self.EVIL
        self.harness.run(1)
        self.uuid = guest.uuid

    def assert_harmless(self, text: str) -> None:
        self.assertIn("evil", text)
        for line in text.splitlines():
            self.assertTrue(line.isprintable(), line)

    def test_nothing_reaches_the_terminal_unescaped(self) -> None:
        for name in ("csv", "json", "table", "value", "yaml"):
            for guest in ([], [self.uuid]):
                with self.subTest(format=name, guest=guest):
                    self.assert_harmless(
                        self.shown("explain", *guest, "-f", name)
                    )

    def test_nor_does_an_error(self) -> None:
        self.assert_harmless(
            self.refused(Code.UNKNOWN_GUEST, "explain", f"no {self.EVIL}")
        )

    def test_nor_does_an_error_of_the_agents(self) -> None:
        evil = self.EVIL

        class Desk:
            def explain(self, _guest):
                raise protocol.failure_of({"code": "refused", "message": evil})

        self.server.desk = Desk()
        self.assert_harmless(self.refused(Code.NO_ANSWER, "explain"))


class ErrorsTest(ToolTest):
    def test_a_missing_agent_is_named_with_socket_and_unit(self) -> None:
        self.path = "/nonexistent/agent.sock"
        complaint = self.refused(Code.NO_AGENT, "explain")
        self.assertIn("/nonexistent/agent.sock", complaint)
        self.assertIn("nova-xen-overcommit-agent.service", complaint)

    def test_an_agent_without_a_pass_says_so(self) -> None:
        self.assertIn("no report yet", self.refused(Code.NO_ANSWER, "explain"))

    def test_a_wrong_format_is_a_wrong_use(self) -> None:
        with self.assertRaises(SystemExit) as left, self.silenced():
            self.run_tool("explain", "-f", "poem")
        self.assertEqual(2, left.exception.code)

    def silenced(self):
        return unittest.mock.patch("sys.stderr", io.StringIO())

    def test_an_unknown_command_is_a_wrong_use(self) -> None:
        code, _out, _err = self.run_tool("expel")
        self.assertEqual(2, code)

    def test_without_a_command_it_shows_its_commands(self) -> None:
        out = io.StringIO()
        code = Tool(stdout=out, stderr=io.StringIO()).run([])
        self.assertEqual(0, code)
        self.assertIn("explain", out.getvalue())

    def test_options_alone_are_no_command(self) -> None:
        self.assertIn("no command", self.refused(Code.ERROR))


class StrangerTest(ToolTest):
    def setUp(self) -> None:
        self.uids = frozenset({os.getuid() + 1})
        super().setUp()

    def test_who_is_not_admitted_is_told(self) -> None:
        self.assertIn(
            "not admitted", self.refused(Code.NOT_PERMITTED, "explain")
        )


class ConfigurationTest(ToolTest):
    def configured(self, text: str, *words: str) -> tuple[int, str, str]:
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "nova.conf"
            path.write_text(text)
            out, err = io.StringIO(), io.StringIO()
            tool = Tool(stdout=out, stderr=err)
            code = tool.run(["--config-file", str(path), *words])
        return code, out.getvalue(), err.getvalue()

    def test_the_socket_is_the_agents_own(self) -> None:
        self.harness.host.start("found")
        self.harness.run(1)
        section = f"[xen_overcommit]\nagent_socket = {self.path}\n"
        code, out, _err = self.configured(section, "explain")
        self.assertEqual(0, code)
        self.assertIn("found-1", out)

    def test_a_file_that_is_none_is_an_error(self) -> None:
        code, _out, err = self.configured("garbage", "explain")
        self.assertEqual(1, code)
        self.assertIn("nova.conf", err)

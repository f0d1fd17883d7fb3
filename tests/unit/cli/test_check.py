# SPDX-License-Identifier: Apache-2.0
"""Checks of real configurations, agents and hypervisors, broken or not."""

import json
import subprocess
import sys
import unittest
from pathlib import Path
from typing import Any

from nova_xen_overcommit import guest_metadata
from nova_xen_overcommit.agent.hypervisor import survey
from nova_xen_overcommit.cli import exit_codes
from nova_xen_overcommit.cli.checks import compute, node, site
from nova_xen_overcommit.cli.checks.verdicts import Code
from tests.unit.cli.test_explain import ToolTest

DRIVER = "compute_driver = xen_overcommit.XenOvercommitDriver"
FILTER = "nova_xen_overcommit.scheduler.filters.XenOvercommitFilter"
WEIGHER = "nova_xen_overcommit.scheduler.weights.XenOvercommitWeigher"
CONTROL = f"""
[api_database]
connection = sqlite://
[filter_scheduler]
available_filters = nova.scheduler.filters.all_filters
available_filters = {FILTER}
enabled_filters = ComputeFilter,XenOvercommitFilter
weight_classes = nova.scheduler.weights.all_weighers,{WEIGHER}
"""
# A host of libvirt's embedded hypervisor, with guests of all kinds.
NODE = """<node>
  <cpu><mhz>2000</mhz><model>x</model><active>4</active></cpu>
  <memory>8388608</memory>
  {domains}
</node>
"""
DOMAIN = """<domain type='test'
    xmlns:xen_overcommit='{namespace}'>
  <name>{name}</name>
  <uuid>00000000-0000-4000-8000-{number:012}</uuid>
  <metadata>{metadata}</metadata>
  <memory>1048576</memory><currentMemory>524288</currentMemory>
  <vcpu>1</vcpu><os><type>hvm</type></os>
  {inside}
</domain>
"""
WITH_SWAP = "<xen_overcommit:guest swap_kib='1048576'/>"
WITHOUT_SWAP = "<xen_overcommit:guest/>"
FORBIDDEN = "<xen_overcommit:guest overcommit='no'/>"
BALLOON = "<devices><memballoon model='none'/></devices>"
PINNED = "<cputune><vcpupin vcpu='0' cpuset='1'/></cputune>"
HUGE = "<memoryBacking><hugepages/></memoryBacking>"
LOCKED = "<memoryBacking><locked/></memoryBacking>"
NUMA = "<numatune><memory mode='strict' nodeset='0'/></numatune>"


class CheckTest(ToolTest):
    """Checks with an agent that is served, of a directory's nova.conf."""

    def setUp(self) -> None:
        super().setUp()
        self.conf = Path(self.path).parents[1] / "nova.conf"
        self.guests: list[str] = []

    def configure(
        self, default: str = DRIVER, ours: str = "", more: str = ""
    ) -> None:
        uri = f"test://{self.node()}" if self.guests else "test:///default"
        self.conf.write_text(
            f"[DEFAULT]\n{default}\n"
            "[libvirt]\nvirt_type = qemu\n"
            f"[xen_overcommit]\nagent_socket = {self.path}\n"
            f"mode = overcommit\nagent_users = root\n"
            f"connection_uri = {uri}\n{ours}\n{more}\n"
        )

    def node(self) -> Path:
        path = self.conf.with_name("node.xml")
        path.write_text(NODE.format(domains="".join(self.guests)))
        return path

    def guest(self, name: str, inside: str = "", metadata: str = "") -> str:
        number = len(self.guests) + 1
        self.guests.append(
            DOMAIN.format(
                name=name,
                number=number,
                inside=inside,
                metadata=metadata,
                namespace=guest_metadata.NAMESPACE,
            )
        )
        return f"00000000-0000-4000-8000-{number:012}"

    def check(self, *words: str) -> tuple[int, dict[str, Any]]:
        """Give the exit code and each result with its details."""
        code, out, _err = self.run_words(
            "--config-file", str(self.conf), "check", "--json", *words
        )
        self.document = json.loads(out)
        checks = {
            one["check"]: (one["result"], one["details"])
            for one in self.document["checks"]
        }
        self.assertEqual(len(checks), len(self.document["checks"]))
        return code, checks

    def assert_found(self, result: str, check: str, *parts: str) -> None:
        """See that a check has this result, and what the details say."""
        code, checks = self.check()
        self.assertEqual(result, checks[check][0], checks[check])
        for part in parts:
            self.assertIn(part, checks[check][1])
        least = {"success": 0, "warning": 1, "failure": 2}[result]
        self.assertGreaterEqual(code, least)


class ComputeNodeTest(CheckTest):
    def test_a_sound_one_ends_with_0(self) -> None:
        self.guest("web", metadata=WITH_SWAP)
        self.configure()
        self.harness.run(3)
        code, checks = self.check()
        self.assertEqual((0, ["compute"]), (code, self.document["roles"]))
        self.assertEqual(
            {"success"}, {result for result, _text in checks.values()}, checks
        )
        self.assertEqual("success", self.document["result"])
        self.assertEqual(1, self.document["version"])
        self.assertNotIn("Scheduler filter", checks)
        self.assertRegex(
            checks["Symbols of Nova"][1], r"^all [1-9]\d+ symbols"
        )
        self.assertRegex(
            checks["Versions"][1],
            r"nova_xen_overcommit .*Nova \d+.*libvirt \d+.*agent: .*oslo.serv",
        )

    def test_a_table_as_nova_status_has_it(self) -> None:
        self.configure(default=f"{DRIVER}\nram_allocation_ratio = 2.5")
        self.harness.run(3)
        code, out, _err = self.run_words(
            "--config-file", str(self.conf), "check"
        )
        self.assertEqual(1, code)
        self.assertIn("| Check: RAM allocation ratio ", out)
        self.assertIn("| Result: Warning ", out)
        self.assertIn("ram_allocation_ratio = 2.5", out)

    def test_configurations_that_are_wrong(self) -> None:
        self.harness.run(3)
        for how, result, check, parts in (
            (
                {"default": f"{DRIVER}\nram_allocation_ratio = 1.5"},
                "warning",
                "RAM allocation ratio",
                ["1.5", "Unset it"],
            ),
            (
                {"more": "[libvirt]\nimages_type = raw"},
                "warning",
                "Disks",
                ["images_type = raw", "swap", "use_cow_images = False"],
            ),
            (
                {
                    "default": f"{DRIVER}\nuse_cow_images = False",
                    "more": "[libvirt]\nimages_type = raw",
                },
                "success",
                "Disks",
                ["raw"],
            ),
            (
                {"default": "compute_driver = libvirt.LibvirtDriver"},
                "failure",
                "Compute driver",
                ["libvirt.LibvirtDriver", "XenOvercommitDriver"],
            ),
            (
                {"default": ""},
                "failure",
                "Compute driver",
                ["not set"],
            ),
            (
                {"ours": "host_slack_mib = 900"},
                "failure",
                "Configuration",
                ["host_slack_mib", "reserve_mib"],
            ),
            (
                {"ours": "floor_share = 7"},
                "failure",
                "Configuration",
                ["floor_share"],
            ),
            (
                {"ours": "mode = observe"},
                "warning",
                "Mode",
                ["observe", "overcommit", "reload"],
            ),
            (
                {"ours": "connection_uri = xen:///system"},
                "failure",
                "Connection",
                ["virt_type = qemu", "xen:///system"],
            ),
            (
                {"more": "[libvirt]\nmem_stats_period_seconds = 0"},
                "warning",
                "Balloon statistics",
                ["mem_stats_period_seconds = 0"],
            ),
            (
                {"ours": "connection_uri = test:///nonexistent.xml"},
                "failure",
                "Hypervisor",
                ["nonexistent.xml", "connection_uri"],
            ),
            (
                {"ours": "agent_users = nobody-here"},
                "warning",
                "Socket",
                ["nobody-here", "agent_users"],
            ),
        ):
            with self.subTest(check=check, how=how):
                self.configure(**how)
                self.assert_found(result, check, *parts)

    def test_memory_that_is_reserved_twice(self) -> None:
        self.harness.conf.set_override("mode", "balance", "xen_overcommit")
        self.harness.run(3)
        self.configure(
            default=f"{DRIVER}\nreserved_host_memory_mb = 1536",
            ours="mode = balance",
        )
        self.assert_found(
            "warning", "Reserved memory", "1536", "1024 MiB that guests"
        )

    def test_a_host_that_keeps_all_of_its_memory(self) -> None:
        self.configure()
        host = self.harness.host
        reserve_kib = self.harness.settings.reserve_kib
        for usable_kib in (0, reserve_kib):
            with self.subTest(usable_kib=usable_kib):
                host.kept_kib = host.physical_kib - usable_kib
                self.harness.run(1)
                self.assert_found(
                    "failure",
                    "Reserved memory",
                    f"may have {usable_kib // 1024} of",
                    "Lower host_reserved_mib or reserve_mib",
                )

    def test_a_pass_that_fails(self) -> None:
        self.configure()
        self.harness.run(3)
        self.harness.host.unreachable = True
        self.harness.run(1)
        self.assert_found("failure", "Heartbeat", "libvirtd is gone")

    def test_a_heartbeat_that_stopped(self) -> None:
        self.configure()
        self.harness.run(3)
        self.harness.host.run(60)
        self.assert_found("failure", "Heartbeat", "60 s old")

    def test_an_agent_that_has_just_begun(self) -> None:
        self.configure()
        self.assert_found("failure", "Agent", "no pass has succeeded")

    def test_a_socket_that_is_closed(self) -> None:
        self.configure()
        self.harness.run(3)
        Path(self.path).chmod(0o600)
        self.assert_found("failure", "Socket", "mode 600", "agent_users")
        Path(self.path).chmod(0o666)
        Path(self.path).parent.chmod(0o700)
        self.assert_found("failure", "Socket", "closed to others")

    def test_without_an_agent(self) -> None:
        self.guest("web", metadata=WITH_SWAP)
        self.path = "/nonexistent/agent.sock"
        self.configure()
        code, checks = self.check()
        self.assertEqual(2, code)
        self.assertEqual("failure", checks["Agent"][0])
        self.assertIn("/nonexistent/agent.sock", checks["Agent"][1])
        self.assertEqual("failure", checks["Mode"][0])
        self.assertIn("without an agent", checks["Mode"][1])
        for check in ("Heartbeat", "Sensors", "Reserved memory"):
            self.assertEqual("success", checks[check][0])
            self.assertIn("not judged here", checks[check][1])
        self.assertIn("web", checks["Guests"][1])


class GuestsTest(CheckTest):
    def found(self) -> dict[str, tuple[str, str]]:
        self.configure()
        self.harness.run(30)
        _code, checks = self.check()
        return {
            name.split()[1]: result
            for name, result in checks.items()
            if name.startswith("Guest ")
        }

    def test_each_is_named_with_its_reason(self) -> None:
        self.guest("plain", metadata=WITH_SWAP)
        self.guest("bare", BALLOON, WITH_SWAP)
        self.guest("huge", HUGE, WITH_SWAP)
        self.guest("locked", LOCKED, WITH_SWAP)
        self.guest("pinned", PINNED, FORBIDDEN)
        self.guest("numa", NUMA, FORBIDDEN)
        self.guest("swapless", metadata=WITHOUT_SWAP)
        found = self.found()
        for name, result, part in (
            ("bare", "warning", "no balloon device"),
            ("huge", "success", "huge pages"),
            ("locked", "success", "locked"),
            ("pinned", "success", "its CPUs are pinned"),
            ("numa", "success", "NUMA"),
            ("swapless", "warning", "no swap disk"),
        ):
            with self.subTest(name=name):
                self.assertEqual(result, found[name][0])
                self.assertIn(part, found[name][1])
        self.assertNotIn("plain", found)
        rows = {row["name"]: row for row in self.document["guests"]}
        self.assertEqual(7, len(rows))
        self.assertEqual(
            (True, 1024, None, "success"),
            tuple(
                rows["plain"][name]
                for name in ("balloon", "swap_disk_mib", "state", "result")
            ),
        )
        self.assertFalse(rows["huge"]["balloon"])

    def test_without_require_guest_swap_none_is_missed(self) -> None:
        self.guest("swapless", metadata=WITHOUT_SWAP)
        self.configure(ours="require_guest_swap = false")
        self.harness.run(3)
        _code, checks = self.check()
        self.assertIn("1 of 1 can be ballooned", checks["Guests"][1])

    def test_one_that_is_not_novas_is_named(self) -> None:
        # Given a guest that somebody made past Nova, and one in huge pages
        self.guest("stranger")
        self.guest("large", HUGE)
        self.guest("web", metadata=WITH_SWAP)
        # Then they deserve a look, and Nova's own doesn't
        found = self.found()
        self.assertEqual({"stranger", "large"}, set(found))
        for name in found:
            self.assertEqual("warning", found[name][0])
            self.assertIn("not Nova's", found[name][1])
        self.assertIn("huge pages", found["large"][1])
        rows = {row["name"]: row for row in self.document["guests"]}
        self.assertTrue(rows["stranger"]["foreign"])
        self.assertFalse(rows["web"]["foreign"])

    def test_what_only_the_agent_knows(self) -> None:
        mute = self.harness.host.start("mute")
        mute.silent = True
        self.guest("one", metadata=WITH_SWAP)
        found = self.found()
        self.assertEqual("warning", found[mute.name][0])
        self.assertIn("never spoke", found[mute.name][1])
        self.assertIn("publisher", found[mute.name][1])

    def test_names_reach_no_terminal_unescaped(self) -> None:
        guest = self.harness.host.start()
        guest.name, guest.silent = "\x1b[2Jevil", True
        self.configure()
        self.harness.run(3)
        _code, out, _err = self.run_words(
            "--config-file", str(self.conf), "check"
        )
        self.assertIn("evil", out)
        self.assertNotIn("\x1b", out)


class ControlNodeTest(CheckTest):
    def setUp(self) -> None:
        super().setUp()
        self.path = str(self.conf.with_name("none.sock"))

    def test_a_sound_one_ends_with_0(self) -> None:
        self.conf.write_text(CONTROL)
        _code, checks = self.checked()
        self.assertEqual(["control"], self.document["roles"])
        self.assertEqual(
            {"success"}, {result for result, _text in checks.values()}, checks
        )
        self.assertNotIn("Agent", checks)

    def checked(self) -> tuple[int, dict[str, Any]]:
        text = self.conf.read_text()
        if "[xen_overcommit]" not in text:
            text += f"[xen_overcommit]\nagent_socket = {self.path}\n"
            self.conf.write_text(text)
        return self.check()

    def test_configurations_that_are_wrong(self) -> None:
        for before, after, result, check, part in (
            (",XenOvercommitFilter", "", "failure", "Scheduler filter", "ena"),
            (
                f"available_filters = {FILTER}\n",
                "",
                "failure",
                "Scheduler filter",
                "available_filters lacks",
            ),
            (
                "available_filters = nova.scheduler.filters.all_filters\n",
                "",
                "warning",
                "Scheduler filter",
                "all_filters",
            ),
            (
                f",{WEIGHER}",
                "",
                "warning",
                "Scheduler weigher",
                "weight_classes lacks",
            ),
            (
                "[api_database]",
                "[DEFAULT]\nupdate_resources_interval = 600\n[api_database]",
                "failure",
                "Age of reports",
                "report_max_age_s",
            ),
            (
                "[api_database]",
                "[DEFAULT]\nupdate_resources_interval = -1\n[api_database]",
                "failure",
                "Age of reports",
                "never",
            ),
        ):
            with self.subTest(check=check, part=part):
                self.assertIn(before, CONTROL)
                self.conf.write_text(CONTROL.replace(before, after))
                code, checks = self.checked()
                self.assertEqual(result, checks[check][0], checks[check])
                self.assertIn(part, checks[check][1])
                self.assertEqual({"warning": 1, "failure": 2}[result], code)

    def test_all_in_one_is_both(self) -> None:
        self.conf.write_text(f"[DEFAULT]\n{DRIVER}\n{CONTROL}")
        self.checked()
        self.assertEqual(["compute", "control"], self.document["roles"])

    def test_it_can_be_said_what_it_is(self) -> None:
        self.conf.write_text(CONTROL)
        self.check("--role", "all")
        self.assertEqual(["compute", "control"], self.document["roles"])

    def test_a_file_that_cannot_be_read(self) -> None:
        self.conf.write_text("garbage")
        code, checks = self.check("--role", "control")
        self.assertEqual(2, code)
        self.assertEqual("failure", checks["Configuration"][0])
        self.assertIn(str(self.conf), checks["Configuration"][1])
        self.assertIn("not judged here", checks["Scheduler filter"][1])


class ElsewhereTest(unittest.TestCase):
    """Where something isn't installed, as a process of its own."""

    def run_without(self, *missing: str) -> subprocess.CompletedProcess[str]:
        code = (
            "import sys, importlib.metadata as metadata\n"
            f"missing = {missing!r}\n"
            "for name in missing: sys.modules[name] = None\n"
            "known = metadata.version\n"
            "def version(name):\n"
            "    if name in missing:\n"
            "        raise metadata.PackageNotFoundError(name)\n"
            "    return known(name)\n"
            "metadata.version = version\n"
            "from nova_xen_overcommit.cmd import tool\n"
            "sys.exit(tool.main(['--agent-socket', '/nonexistent',\n"
            "    'check', '--role', 'all']))\n"
        )
        return subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True
        )

    def test_without_nova_its_checks_are_not_judged(self) -> None:
        done = self.run_without("nova")
        self.assertEqual(2, done.returncode, done.stderr)
        self.assertEqual("", done.stderr)
        self.assertNotIn("Nova 3", done.stdout)
        self.assertIn("not judged here: Nova not installed", done.stdout)

    def test_without_libvirt_neither_is_the_hypervisor(self) -> None:
        done = self.run_without("libvirt")
        self.assertIn(
            "not judged here: libvirt-python is not installed", done.stdout
        )
        self.assertEqual("", done.stderr)

    def test_without_the_library_it_names_the_extra(self) -> None:
        done = self.run_without("oslo_upgradecheck")
        self.assertEqual(
            exit_codes.Code.MISSING_LIBRARY, done.returncode, done.stderr
        )
        self.assertIn("extra 'tool'", done.stderr)
        self.assertEqual(1, len(done.stderr.splitlines()))


def a_site(**more: Any) -> site.Site:
    values: dict[str, Any] = dict.fromkeys(
        field for field in site.Site.__dataclass_fields__
    )
    return site.Site(**{**values, "nova": "", **more})


class XenTest(unittest.TestCase):
    """What no hypervisor here shows."""

    def judged(self, has_mib: int, most_mib: int) -> Any:
        seen = survey.Survey(
            kind="xen",
            libvirt="9.0.0",
            hypervisor="4.17.0",
            physical_kib=4096 * 1024,
            domain_0_kib=has_mib * 1024,
            domain_0_most_kib=most_mib * 1024,
            guests=(),
            unread=(),
        )
        return compute.domain_0(a_site(hypervisor=seen))

    def test_a_dom0_that_may_grow_is_a_failure(self) -> None:
        result = self.judged(1024, 4096)
        self.assertEqual(Code.FAILURE, result.code)
        self.assertIn("dom0_mem=1024M,max:1024M", result.details)

    def test_one_of_fixed_size_is_fine(self) -> None:
        self.assertEqual(Code.SUCCESS, self.judged(1024, 1024).code)


class VersionsTest(unittest.TestCase):
    def test_an_agent_of_another_release_is_told(self) -> None:
        versions = {"nova_xen_overcommit": "0.0.0"}
        result = node.versions(a_site(agent={"agent": {"versions": versions}}))
        self.assertEqual(Code.WARNING, result.code)
        self.assertIn("restart it", result.details)

    def test_a_nova_that_is_too_old_is_a_failure(self) -> None:
        self.assertEqual(
            Code.FAILURE, node.versions(a_site(nova="30.1.0")).code
        )

    def test_a_changed_symbol_is_named(self) -> None:
        from unittest import mock

        from nova.virt.libvirt import driver

        self.assertEqual(Code.SUCCESS, node.symbols(a_site(nova="34")).code)
        with mock.patch.object(
            driver.LibvirtDriver, "_create_guest", lambda self, xml: None
        ):
            result = node.symbols(a_site(nova="34"))
        self.assertEqual(Code.FAILURE, result.code)
        self.assertIn("_create_guest takes (self, xml", result.details)

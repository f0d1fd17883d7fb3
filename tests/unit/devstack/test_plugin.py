# SPDX-License-Identifier: Apache-2.0
import re
import unittest

from oslo_config import cfg

from nova_xen_overcommit import conf as options
from tests.unit.devstack import shell

_PHASES = (
    *("stack pre-install", "stack install", "stack post-config"),
    *("stack extra", "stack test-config", "unstack", "clean"),
)


# The libraries on a host whose kernel tells of so much.
_HOST_OF_8_GIB = shell.LIBRARIES + (
    "function awk {\n"
    '    if [[ "${!#}" == /proc/meminfo ]]; then\n'
    """        echo 'MemTotal:        8388608 kB' | command awk "$1"\n"""
    "    else\n"
    '        command awk "$@"\n'
    "    fi\n"
    "}\n"
)


class PluginTestCase(unittest.TestCase):
    """Each phase calls functions that there are."""

    def test_each_function_of_a_phase_is_defined(self) -> None:
        # Given what plugin.sh calls
        text = (shell.PLUGIN / "plugin.sh").read_text()
        called = re.findall(r"^        (xen_overcommit_\w+)$", text, re.M)

        # When its libraries are sourced
        code, lines = shell.run(shell.LIBRARIES + "declare -F", {})

        # Then all of that is defined
        self.assertEqual(0, code, lines)
        defined = {line.split()[-1] for line in lines}
        self.assertTrue(called)
        self.assertLessEqual(set(called), defined)

    def test_each_phase_of_devstack_does_something(self) -> None:
        # Given functions that only tell their names
        script = shell.LIBRARIES + (
            "names=$(compgen -A function xen_overcommit_)\n"
            'function source { case "$1" in */lib/*) ;; *) '
            'builtin source "$@" ;; esac; }\n'
            'for name in $names; do eval "$name() { echo $name; }"; done\n'
        )
        for phase in _PHASES:
            with self.subTest(phase=phase):
                # When DevStack comes to a phase
                code, lines = shell.run(
                    f'{script}source "$CLONE/devstack/plugin.sh" {phase}', {}
                )

                # Then something is called
                self.assertEqual(0, code, lines)
                self.assertTrue(lines)

    def test_a_phase_nobody_knows_does_nothing(self) -> None:
        # When DevStack has a new phase
        code, lines = shell.run(
            'source "$CLONE/devstack/plugin.sh" stack some-day', {}
        )

        # Then nothing happens, and stack.sh goes on
        self.assertEqual((0, []), (code, lines))


class RefusalTestCase(unittest.TestCase):
    """What can't work is refused, by the setting's name."""

    def _check(self, **variables: str) -> tuple[int, list[str]]:
        script = _HOST_OF_8_GIB + "xen_overcommit_check_settings"
        return shell.run(script, variables)

    def test_what_works_is_let_pass(self) -> None:
        for kind in ("qemu", "kvm", "xen"):
            with self.subTest(kind=kind):
                self.assertEqual((0, []), self._check(LIBVIRT_TYPE=kind))

    def test_each_refusal_names_the_setting(self) -> None:
        for name, value in (
            ("XEN_OVERCOMMIT_MODE", "all"),
            ("LIBVIRT_TYPE", "lxc"),
            ("VIRT_DRIVER", "fake"),
            ("USER_UNITS", "True"),
        ):
            with self.subTest(name=name):
                code, lines = self._check(**{name: value})
                self.assertEqual(1, code)
                self.assertIn(f"ERROR {name} is {value}", lines[0])

    def test_more_than_the_host_can_spare_is_refused(self) -> None:
        for reserved, reserve, limit, kept in (
            ("8192", "", "", True),
            ("8064", "", "", True),
            ("8063", "", "", False),
            ("4096", "4096", "", True),
            ("4096", "", "4000", True),
            ("4096", "", "16384", False),
            ("", "", "", False),
        ):
            with self.subTest(reserved=reserved, reserve=reserve, limit=limit):
                # Given a host with 8 GiB
                code, lines = self._check(
                    XEN_OVERCOMMIT_HOST_RESERVED_MIB=reserved,
                    XEN_OVERCOMMIT_RESERVE_MIB=reserve,
                    XEN_OVERCOMMIT_HOST_MEMORY_LIMIT_MIB=limit,
                )

                # Then stack.sh ends if nothing would be left for guests
                self.assertEqual(int(kept), code, lines)
                if kept:
                    name = "XEN_OVERCOMMIT_HOST_RESERVED_MIB"
                    self.assertIn(f"ERROR {name} is {reserved};", lines[0])
                    self.assertIn("nothing of the host's", lines[0])

    def test_each_sample_leaves_something_on_the_smallest_host(self) -> None:
        for sample in sorted((shell.PLUGIN / "samples").iterdir()):
            with self.subTest(sample=sample.name):
                variables = re.findall(
                    r"(?m)^(XEN_OVERCOMMIT_\w+)=(\S+)$", sample.read_text()
                )
                self.assertEqual((0, []), self._check(**dict(variables)))

    def test_the_reserve_that_is_not_set_is_the_options_default(self) -> None:
        conf = cfg.ConfigOpts()
        options.register_opts(conf)
        conf([])
        code, lines = shell.run(
            f"{shell.LIBRARIES}echo $XEN_OVERCOMMIT_DEFAULT_RESERVE_MIB", {}
        )
        told = [str(conf.xen_overcommit.reserve_mib)]
        self.assertEqual((0, told), (code, lines))

    def test_a_xen_host_has_more_than_dom0(self) -> None:
        # Given 16 GiB, of which dom0 has the 8 that its kernel tells of
        script = _HOST_OF_8_GIB + (
            "function sudo { echo 'total_memory           : 16384'; }\n"
            "function is_ubuntu { true; }\n"
            "function is_package_installed { true; }\n"
            "function xen_overcommit_hint_dom0_memory { true; }\n"
            "xen_overcommit_check_settings\nxen_overcommit_prepare_host"
        )
        for reserved, code in (("8192", 0), ("16384", 1)):
            with self.subTest(reserved=reserved):
                told = shell.run(
                    script,
                    {
                        "LIBVIRT_TYPE": "xen",
                        "XEN_OVERCOMMIT_HOST_RESERVED_MIB": reserved,
                    },
                )
                self.assertEqual(code, told[0], told)

    def test_a_control_node_needs_no_hypervisor(self) -> None:
        # Given a node without nova-compute, and DevStack's other drivers
        told = self._check(ENABLED_SERVICES="n-sch", VIRT_DRIVER="ironic")

        # Then it isn't refused
        self.assertEqual((0, []), told)

    def test_a_host_without_xen_is_told_what_to_do(self) -> None:
        # Given LIBVIRT_TYPE=xen on a host where xl fails
        script = shell.LIBRARIES + (
            "function is_ubuntu { true; }\n"
            "function is_package_installed { true; }\n"
            "function sudo { false; }\n"
            "xen_overcommit_prepare_host"
        )
        code, lines = shell.run(script, {"LIBVIRT_TYPE": "xen"})

        # Then stack.sh ends, naming the setting
        self.assertEqual(1, code)
        self.assertIn("ERROR LIBVIRT_TYPE is xen, but this host", lines[0])


class DropInTestCase(unittest.TestCase):
    """The agent is guarded as by the unit that we ship."""

    def test_the_agents_drop_in_says_what_our_unit_says(self) -> None:
        # Given our unit
        unit = shell.ROOT / "etc/systemd/nova-xen-overcommit-agent.service"
        shipped = set(unit.read_text().splitlines())

        # When the drop-in is written
        code, lines = shell.run(
            shell.LIBRARIES + "_xen_overcommit_agent_unit", {}
        )

        # Then each of its lines is in our unit too
        self.assertEqual(0, code, lines)
        self.assertIn("Restart=always", lines)
        self.assertEqual([], [x for x in lines if x and x not in shipped])

    def test_only_on_xen_nova_compute_hears_of_it(self) -> None:
        variables = {"NOVA_BIN_DIR": "/bin", "NOVA_CPU_CONF": "/etc/cpu.conf"}
        for kind, expected in (("xen", True), ("qemu", False), ("kvm", False)):
            with self.subTest(kind=kind):
                # When n-cpu's drop-in is written
                code, lines = shell.run(
                    shell.LIBRARIES + "_xen_overcommit_compute_unit",
                    {**variables, "LIBVIRT_TYPE": kind},
                )

                # Then it has our program, and Xen's choice only there
                self.assertEqual(0, code, lines)
                command = "/bin/nova-xen-overcommit-compute"
                self.assertIn(
                    f"ExecStart={command} --config-file /etc/cpu.conf", lines
                )
                told = "Environment=OS_LIBVIRT__VIRT_TYPE=xen" in lines
                self.assertEqual(expected, told)

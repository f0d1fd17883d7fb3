# SPDX-License-Identifier: Apache-2.0
import re
import unittest

from oslo_config import cfg

from nova_xen_overcommit import conf as options
from tests.unit.devstack import shell

_SAMPLES = sorted((shell.PLUGIN / "samples").iterdir())
_VARIABLE = re.compile(r"\bXEN_OVERCOMMIT_[A-Z_]+\b")


def _settings() -> str:
    return (shell.PLUGIN / "settings").read_text()


class SettingsTestCase(unittest.TestCase):
    """Settings suit the node, whatever the clone's name is."""

    def _value(self, name: str, **variables: str) -> str:
        code, lines = shell.run(f'echo "${name}"', variables)
        self.assertEqual(0, code, lines)
        return lines[-1]

    def test_the_clone_is_found_under_any_name(self) -> None:
        for clone in ("nova_xen_overcommit", "x", "some.clone-2"):
            with self.subTest(clone=clone):
                code, lines = shell.run(
                    'echo "$XEN_OVERCOMMIT_DIR"', {}, clone=clone
                )
                self.assertEqual((0, ["CLONE"]), (code, lines))

    def test_the_filter_is_added_where_a_scheduler_runs(self) -> None:
        filters = "ComputeFilter,XenOvercommitFilter"
        for services, expected in (
            ("n-sch", filters),
            ("n-sch,n-cpu", filters),
            ("n-cpu", "ComputeFilter"),
        ):
            with self.subTest(services=services):
                found = self._value("NOVA_FILTERS", ENABLED_SERVICES=services)
                self.assertEqual(expected, found)

    def test_the_filter_is_added_once(self) -> None:
        # When the settings are read again
        code, lines = shell.run(
            'source "$CLONE/devstack/settings"; echo "$NOVA_FILTERS"', {}
        )

        # Then there is still one
        self.assertEqual(
            (0, ["ComputeFilter,XenOvercommitFilter"]), (code, lines)
        )

    def test_the_agent_runs_where_nova_compute_does(self) -> None:
        for services, expected in (("n-sch", False), ("n-cpu", True)):
            with self.subTest(services=services):
                found = self._value(
                    "ENABLED_SERVICES", ENABLED_SERVICES=services
                )
                self.assertEqual(
                    expected, "xen-overcommit-agent" in found.split(",")
                )

    def test_the_agents_name_is_none_that_devstack_takes_for_novas(
        self,
    ) -> None:
        # is_nova_enabled, lib/nova; is_service_enabled, functions-common
        name = self._value("XEN_OVERCOMMIT_SERVICE")
        self.assertNotRegex(name, r"^(nova|n-|q-|c-|g-|s-|tr-|neutron)")

    def test_no_cpu_model_is_asked_for_on_xen(self) -> None:
        for kind, expected in (("xen", "none"), ("qemu", "custom")):
            with self.subTest(kind=kind):
                found = self._value(
                    "LIBVIRT_CPU_MODE",
                    LIBVIRT_TYPE=kind,
                    LIBVIRT_CPU_MODE="custom",
                )
                self.assertEqual(expected, found)

    def test_what_local_conf_sets_is_kept(self) -> None:
        for name in _VARIABLE.findall(_settings()):
            if name in ("XEN_OVERCOMMIT_DIR", "XEN_OVERCOMMIT_SERVICE"):
                continue
            with self.subTest(name=name):
                self.assertEqual("mine", self._value(name, **{name: "mine"}))

    def test_each_variable_has_a_comment(self) -> None:
        lines = _settings().splitlines()
        for number, line in enumerate(lines):
            if re.match(r"XEN_OVERCOMMIT_\w+=", line):
                before = lines[number - 1]
                same = before.startswith("XEN_OVERCOMMIT_")
                self.assertTrue(before.startswith("# ") or same, line)


class SamplesTestCase(unittest.TestCase):
    """Samples and README name what there is."""

    def test_each_variable_that_is_named_is_one(self) -> None:
        known = set(_VARIABLE.findall(_settings()))
        for path in [*_SAMPLES, shell.PLUGIN / "README.rst"]:
            with self.subTest(path=path.name):
                named = set(_VARIABLE.findall(path.read_text()))
                self.assertTrue(named)
                self.assertLessEqual(named, known)

    def test_each_option_that_is_set_is_one(self) -> None:
        # Given the options there are
        conf = cfg.ConfigOpts()
        options.register_opts(conf)
        known = set(conf.xen_overcommit)

        # Then those below [xen_overcommit] are among them
        for path in _SAMPLES:
            _, _, section = path.read_text().partition("\n[xen_overcommit]\n")
            named = re.findall(r"^(\w+) =", section, re.M)
            self.assertLessEqual(set(named), known)

    def test_each_sample_enables_the_plugin(self) -> None:
        self.assertEqual(2, len(_SAMPLES))
        for path in _SAMPLES:
            with self.subTest(path=path.name):
                text = path.read_text()
                self.assertRegex(text, r"(?m)^enable_plugin \S+ \S+ main$")
                self.assertTrue(text.startswith("# "))

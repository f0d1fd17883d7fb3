# SPDX-License-Identifier: Apache-2.0
import re
import unittest

from nova_xen_overcommit import conf, extra_specs
from nova_xen_overcommit.policy.limits import Limit
from nova_xen_overcommit.scheduler.admission import Reason
from tests.unit.docs import pages
from tests.unit.docs.pages import ROOT

_LITERAL = re.compile(r"``([^`]+)``")
_TREE = re.compile(
    r"(?:benchmarks|demo|devstack|doc|etc|mk|nova_xen_overcommit|tests|tools)"
    r"/[\w./-]+|[\w-]+\.(?:in|toml|txt)"
)
# Made by what the page tells of.
_MADE = ("doc/build", "demo-output", "entry_points.txt")
_TARGET = re.compile(r"make ([a-z0-9-]+)")
_OPTION = re.compile(r"([a-z]+(?:_[a-z]+)*_(?:s|mib|mb|share|percent)) = .*")
_DEVSTACK = re.compile(r"XEN_OVERCOMMIT_\w+")
_EXTRA_SPEC = re.compile(r"xen_overcommit:\w+")


def literals() -> list[tuple[str, str]]:
    """Give all that pages have in ``literals``, with the page's name."""
    return [
        (str(page.relative_to(ROOT)), literal)
        for page in pages.all_pages()
        for literal in _LITERAL.findall(page.read_text())
    ]


class NamesTestCase(unittest.TestCase):
    """What the documentation names is there."""

    def test_files_of_the_tree(self) -> None:
        named = [one for one in literals() if _TREE.fullmatch(one[1])]
        self.assertGreater(len(named), 20)
        for page, name in named:
            beside = (ROOT / page).parent / name
            there = (ROOT / name).exists() or beside.exists()
            made = name.startswith(_MADE)
            self.assertTrue(there or made, f"{page}: no file {name}")

    def test_make_targets(self) -> None:
        makefiles = [ROOT / "Makefile", *ROOT.glob("mk/*.mk")]
        text = "\n".join(path.read_text() for path in makefiles)
        targets: set[str] = set()
        for line in re.findall(r"^([a-z0-9 -]+):", text, re.MULTILINE):
            targets |= set(line.split())
        for page, literal in literals():
            for name in _TARGET.findall(literal):
                self.assertIn(name, targets, page)

    def test_settings_of_the_devstack_plugin(self) -> None:
        settings = (ROOT / "devstack/settings").read_text()
        for page in pages.all_pages():
            for name in _DEVSTACK.findall(page.read_text()):
                if f"NOVA_{name}" not in page.read_text():
                    self.assertIn(name, settings, page)

    def test_extra_specs(self) -> None:
        keys = {
            extra_specs.MODE_KEY,
            extra_specs.FLOOR_KEY,
            extra_specs.WEIGHT_KEY,
        }
        for page, literal in literals():
            for key in _EXTRA_SPEC.findall(literal):
                self.assertIn(key, keys, page)
        text = self.page("configuration/extra-specs.rst")
        for key in keys:
            self.assertIn(f"``{key}``", text)

    def test_image_properties_are_all_told(self) -> None:
        text = self.page("configuration/image-properties.rst")
        for name in extra_specs.IMAGE_PROPERTIES:
            self.assertIn(f"``{name}``", text)

    def test_options_that_pages_set(self) -> None:
        known = {option.dest for option in conf.ALL_OPTS}
        for page, literal in literals():
            match = _OPTION.fullmatch(literal)
            if match:
                self.assertIn(match[1], known, page)

    def test_every_reason_of_a_refusal_is_explained(self) -> None:
        text = self.page("admin/scheduling.rst")
        for reason in Reason:
            self.assertIn(f"``{reason.value}``", text)

    def test_every_limit_is_explained(self) -> None:
        text = self.page("cli/explain.rst")
        for limit in Limit:
            self.assertIn(f"``{limit.value}``", text)

    def page(self, name: str) -> str:
        return (ROOT / "doc/source" / name).read_text()

# SPDX-License-Identifier: Apache-2.0
import pathlib
import tempfile
import unittest

from oslo_config import generator

ROOT = pathlib.Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "etc/nova_xen_overcommit/nova_xen_overcommit.conf.sample"
GENERATOR = SAMPLE.with_name("config-generator.conf")


class SampleTestCase(unittest.TestCase):
    """The sample configuration tells of the options that there are."""

    maxDiff = None

    def test_the_sample_is_what_the_generator_writes(self) -> None:
        # Given the options of today, written by the generator
        with tempfile.NamedTemporaryFile("r") as output:
            options = ["--config-file", str(GENERATOR)]
            generator.main([*options, "--output-file", output.name])
            written = output.read()

        # Then the sample in the repository is the same; otherwise run
        # `make genconfig`
        self.assertMultiLineEqual(written, SAMPLE.read_text())

# SPDX-License-Identifier: Apache-2.0
"""Checks of blocks that are no commands: configuration, data, programs."""

import ast
import configparser
import contextlib
import functools
import importlib
import json
import subprocess
import tempfile
import tomllib
from collections.abc import Callable
from xml.etree import ElementTree

import yaml
from nova import exception as nova_exception
from nova.conf import opts as nova_opts
from nova.scheduler import filters, weights
from oslo_config import cfg, iniparser
from oslo_log import log

from nova_xen_overcommit import conf as options
from nova_xen_overcommit import exception
from nova_xen_overcommit.virt import bootstrap
from tests.unit.docs.pages import Block

_DRIVERS = "nova_xen_overcommit.nova_virt."


class _Names(iniparser.BaseParser):
    """Collects which options a text sets, by section."""

    def __init__(self) -> None:
        super().__init__()
        self.section = "DEFAULT"
        self.found: list[tuple[str, str]] = []

    def assignment(self, key: str, value: list[str]) -> None:
        self.found.append((self.section, key))

    def new_section(self, section: str) -> None:
        self.section = section


@functools.cache
def _nova_options() -> list[tuple[str, list[cfg.Opt]]]:
    """Give Nova's options by group, as nova-compute has them with us."""
    bootstrap.allow_virt_type_xen()
    return [
        (getattr(group, "name", group), list(found))
        for group, found in nova_opts.list_opts()
    ]


def _registered(path: str) -> cfg.ConfigOpts:
    conf = cfg.ConfigOpts()
    log.register_options(conf)
    # Before Nova's are registered: a snippet needn't have all that it must.
    conf([], default_config_files=[path], default_config_dirs=[])
    for group, found in _nova_options():
        for option in found:
            # Nova lists some of several libraries under one name.
            with contextlib.suppress(cfg.DuplicateOptError):
                conf.register_opt(
                    option, None if group == "DEFAULT" else group
                )
    options.register_opts(conf)
    return conf


def check_nova_conf(text: str) -> None:
    """Check that each option exists and can take its value.

    :raises AssertionError: one doesn't, or can't; it is named.
    """
    try:
        _read_nova_conf(text)
    except (
        AttributeError,
        ImportError,
        ValueError,
        cfg.Error,
        exception.OvercommitError,
        iniparser.ParseError,
        nova_exception.NovaException,
    ) as error:
        raise AssertionError(f"{type(error).__name__}: {error}") from error


def _read_nova_conf(text: str) -> None:
    names = _Names()
    names.parse(text.splitlines())
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
        file.write(text)
        file.flush()
        conf = _registered(file.name)
        values = {name: _value(conf, *name) for name in names.found}
        if "xen_overcommit" in {section for section, _name in names.found}:
            options.check(conf)
    _check_loadable(values)


def _value(conf: cfg.ConfigOpts, section: str, name: str) -> object:
    place = conf if section == "DEFAULT" else conf[section]
    return place[name.replace("-", "_")]


def _check_loadable(values: dict[tuple[str, str], object]) -> None:
    """Let Nova load the classes that the configuration names."""
    driver = values.get(("DEFAULT", "compute_driver"))
    if driver is not None:
        module, _, name = str(driver).rpartition(".")
        getattr(importlib.import_module(_DRIVERS + module), name)
    available = values.get(("filter_scheduler", "available_filters"))
    enabled = values.get(("filter_scheduler", "enabled_filters"))
    if available or isinstance(enabled, list):
        found = filters.HostFilterHandler().get_matching_classes(
            available or ["nova.scheduler.filters.all_filters"]
        )
        known = {one.__name__ for one in found}
        if unknown := set(enabled or ()) - known:
            raise AssertionError(f"no filters {unknown}")
    weighers = values.get(("filter_scheduler", "weight_classes"))
    if weighers:
        weights.HostWeightHandler().get_matching_classes(weighers)


def _check_shell(text: str) -> None:
    done = subprocess.run(
        ["bash", "-n"], input=text, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise AssertionError(done.stderr)


def _check_systemd(text: str) -> None:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.read_string(text)


CHECKS: dict[str, Callable[[str], object]] = {
    "ini": check_nova_conf,
    "json": json.loads,
    "python": ast.parse,
    "sh": _check_shell,
    "systemd": _check_systemd,
    "toml": tomllib.loads,
    "xml": ElementTree.fromstring,
    "yaml": lambda text: list(yaml.safe_load_all(text)),
}
# What nothing can be checked of, or what others check.
UNCHECKED = {"console", "text"}


def check(block: Block) -> None:
    """Check a block by its language.

    :raises Exception: it can't be right.
    """
    CHECKS[block.language](block.text)

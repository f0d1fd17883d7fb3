# SPDX-License-Identifier: Apache-2.0
"""Sphinx configuration of the release notes."""

project = "nova_xen_overcommit release notes"
copyright = "nova_xen_overcommit developers"

extensions = [
    "openstackdocstheme",
    "reno.sphinxext",
]
root_doc = "index"
html_theme = "openstackdocs"
openstackdocs_auto_name = False
openstackdocs_auto_version = False
html_theme_options = {"display_badge": False, "show_other_versions": False}

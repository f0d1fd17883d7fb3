# SPDX-License-Identifier: Apache-2.0
"""Sphinx configuration of the documentation."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent / "_ext"))

project = "nova_xen_overcommit"
copyright = "nova_xen_overcommit developers"

extensions = [
    "openstackdocstheme",
    "oslo_config.sphinxext",
    "support_matrix",
]
root_doc = "index"
exclude_patterns: list[str] = []
pygments_style = "native"

html_theme = "openstackdocs"
# There is no published site, repository or bug tracker that the theme could
# link to.
openstackdocs_auto_name = False
openstackdocs_auto_version = False
html_theme_options = {
    "display_badge": False,
    "show_other_versions": False,
    "sidebar_mode": "toctree",
}
html_context = {"display_global_toc_section": True}

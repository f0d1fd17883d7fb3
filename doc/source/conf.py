# SPDX-License-Identifier: Apache-2.0
"""Sphinx configuration of the documentation."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent / "_ext"))

project = "nova_xen_overcommit"
copyright = "nova_xen_overcommit developers"

extensions = [
    "cliff.sphinxext",
    "openstackdocstheme",
    "oslo_config.sphinxext",
    "sphinx.ext.autodoc",
    # Formulas and pictures are made when the documentation is built: they
    # load nothing, and pictures come from the code they are about.
    "matplotlib.sphinxext.mathmpl",
    "matplotlib.sphinxext.plot_directive",
    "support_matrix",
]
root_doc = "index"
exclude_patterns: list[str] = []
pygments_style = "native"

# A reference that leads nowhere is a warning, and a warning an error.
nitpicky = True
nitpick_ignore_regex = [
    # Python's own, and other libraries': no inventory can be loaded here.
    (r"py:.*", r"(?!nova_xen_overcommit).*"),
]

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_mock_imports = ["libvirt", "nova"]
autodoc_default_options = {"members": True, "show-inheritance": True}

plot_basedir = "../pictures"
plot_formats = [("svg", 100)]
plot_html_show_formats = False
plot_html_show_source_link = False
plot_rcparams = {
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.constrained_layout.use": True,
    "figure.figsize": (8.0, 3.8),
    "font.size": 10,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "svg.hashsalt": project,
}
mathmpl_fontsize = 12.0
mathmpl_srcset = ["2x"]

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

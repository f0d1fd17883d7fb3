# SPDX-License-Identifier: Apache-2.0
"""The directive ``support-matrix``: a recorded run of the lab as a table."""

import json
import pathlib
from typing import Any, ClassVar

import support_table
from docutils import nodes, statemachine
from sphinx.util import docutils


class SupportMatrix(docutils.SphinxDirective):
    """Takes the name of the JSON file, beside the page."""

    required_arguments = 1
    has_content: ClassVar[bool] = False

    def run(self) -> list[nodes.Node]:
        """Give the table's nodes."""
        relative, path = self.env.relfn2path(self.arguments[0])
        self.env.note_dependency(relative)
        recorded = json.loads(pathlib.Path(path).read_text())
        lines = support_table.render(recorded)
        node = nodes.container()
        content = statemachine.StringList(lines, source=relative)
        self.state.nested_parse(content, self.content_offset, node)
        return list(node.children)


def setup(app: Any) -> dict[str, bool]:
    """Let Sphinx know the directive."""
    app.add_directive("support-matrix", SupportMatrix)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

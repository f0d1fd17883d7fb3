# SPDX-License-Identifier: Apache-2.0
"""What the code can say: its messages, from its source.

A message is a text constant with holes: ``%s`` of logging, ``{}`` of
f-strings and ``format``, ``%(name)s`` of Nova's exceptions.
"""

import ast
import functools
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

from tests.unit.docs.pages import ROOT, Block

# Texts of Nova that the documentation tells of.
_NOVA = ("exception", "filters", "scheduler.manager", "conductor.manager")
# Fewer letters than that would fit anything.
_LEAST_LETTERS = 8
_HOLES = re.compile(r"%\(\w+\)[sd]|%[-.\d]*[sdfrx]|\{[^{}]*\}|\0")
_ELLIPSIS = "…"


def lines_of(block: Block) -> Iterator[tuple[str, str]]:
    """Give a block's messages with their places."""
    page = block.path.relative_to(ROOT)
    for number, line in enumerate(block.lines, block.line):
        if line.strip():
            yield f"{page}:{number}", line.strip()


def can_be_said(line: str) -> bool:
    """Tell whether the code has a message that this line is."""
    return any(template.fullmatch(line) for template in _templates())


@functools.cache
def _templates() -> tuple[re.Pattern[str], ...]:
    texts = {
        text
        for path in _sources()
        for text in _texts(ast.parse(path.read_text()))
    }
    return tuple(
        re.compile(_pattern(text))
        for text in texts
        if len(re.findall("[a-z]", _HOLES.sub("", text))) >= _LEAST_LETTERS
    )


def _sources() -> Iterator[Path]:
    yield from (ROOT / "nova_xen_overcommit").rglob("*.py")
    for name in _NOVA:
        found = importlib.util.find_spec(f"nova.{name}")
        assert found is not None and found.origin is not None
        yield Path(found.origin)


def _pattern(text: str) -> str:
    # A hole is what isn't known before; the rest is word for word.
    words = (re.escape(part) for part in _HOLES.split(text))
    return ".*".join(words)


def _texts(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield _joined(node)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _joined(node: ast.JoinedStr) -> str:
    return "".join(
        str(part.value) if isinstance(part, ast.Constant) else "\0"
        for part in node.values
    )

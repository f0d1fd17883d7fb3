# SPDX-License-Identifier: Apache-2.0
"""The pages of the documentation, and the blocks of code in them.

Each block says its language (``.. code-block:: console``): what says none
can't be checked, so :func:`unnamed_blocks` finds those for a test to refuse.
"""

import dataclasses
import functools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
# Parts that several pages include are .txt, lest they be pages themselves.
_GLOBS = ("*.rst", "doc/source/**/*.rst", "doc/source/**/*.txt")
_README = "README.rst"
# What others made, or what is made.
_FOREIGN = {"build", "dist", "releasenotes"}

_DIRECTIVE = re.compile(
    r"(?P<indent> *)(?:- |\* |\d\. )?\.\. (?:code-block|sourcecode)::"
    r" *(?P<language>\S*)"
)
_OPTION = re.compile(r" *:([a-z-]+):(?: (.*))?$")
_PROMPTS = {"$ ": "user", "# ": "root"}
_CONTINUED = "> "


@dataclasses.dataclass(frozen=True)
class Block:
    """A block of code; ``line`` is where its text begins, from 1."""

    path: Path
    line: int
    language: str
    options: dict[str, str]
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """The block's text, with an end of line."""
        return "\n".join(self.lines) + "\n"

    @property
    def place(self) -> str:
        """Where it is, as compilers say it."""
        return f"{self.path.relative_to(ROOT)}:{self.line}"


@dataclasses.dataclass(frozen=True)
class Command:
    """A command of a console block, and what the page shows after it."""

    place: str
    text: str
    output: str
    as_root: bool


@functools.cache
def all_pages() -> list[Path]:
    """Give all pages, each once, by their paths."""
    found = {path for glob in _GLOBS for path in ROOT.glob(glob)}
    for directory in ROOT.iterdir():
        # Not into environments, which have pages of all the world.
        hidden = directory.name.startswith(".")
        if directory.is_dir() and not hidden:
            found |= set(directory.rglob(_README))
    return sorted(
        path
        for path in found
        if path.relative_to(ROOT).parts[0] not in _FOREIGN
    )


def all_blocks(*languages: str) -> list[Block]:
    """Give all pages' blocks of these languages."""
    return [
        block
        for page in all_pages()
        for block in blocks_of(page)
        if block.language in languages
    ]


def blocks_of(path: Path) -> Iterator[Block]:
    """Give a page's blocks of code."""
    lines = path.read_text().splitlines()
    for number, line in enumerate(lines):
        match = _DIRECTIVE.match(line)
        if match is None:
            continue
        first = number + 1
        body = _indented(lines[first:], len(match["indent"]))
        options, count = _options(body)
        yield Block(
            path=path,
            line=first + count + 1,
            language=match["language"],
            options=options,
            lines=tuple(_dedented(body[count:])),
        )


def unnamed_blocks(path: Path) -> Iterator[str]:
    """Give where a page has literal blocks that say no language."""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        literal = line.rstrip().endswith("::")
        if literal and not line.lstrip(" -*").startswith(".. "):
            yield f"{path.relative_to(ROOT)}:{number}"


def commands_of(block: Block) -> list[Command]:
    """Give the commands of a console block.

    :raises ValueError: it begins with something else than a command.
    """
    found: list[tuple[int, bool, list[str], list[str]]] = []
    for number, line in enumerate(block.lines, block.line):
        user = _PROMPTS.get(line[:2])
        if user is not None:
            found.append((number, user == "root", [line[2:]], []))
        elif not found:
            raise ValueError(f"{block.place}: no prompt before {line!r}")
        elif _goes_on(found[-1][2], line) and not found[-1][3]:
            found[-1][2].append(line.removeprefix(_CONTINUED))
        else:
            found[-1][3].append(line)
    page = block.path.relative_to(ROOT)
    return [
        Command(
            place=f"{page}:{number}",
            text="\n".join(words),
            output="\n".join(output).strip("\n"),
            as_root=as_root,
        )
        for number, as_root, words, output in found
    ]


def _goes_on(words: Sequence[str], line: str) -> bool:
    return words[-1].endswith("\\") or line.startswith(_CONTINUED)


def _indented(lines: Sequence[str], indent: int) -> list[str]:
    """Give the lines that are further in than ``indent``."""
    taken = []
    for line in lines:
        if line.strip() and len(line) - len(line.lstrip()) <= indent:
            break
        taken.append(line)
    return taken


def _options(body: Sequence[str]) -> tuple[dict[str, str], int]:
    """Give a directive's options, and how many lines stand before its text."""
    options: dict[str, str] = {}
    count = 0
    for line in body:
        match = _OPTION.match(line)
        if match is None:
            break
        options[match[1]] = match[2] or ""
        count += 1
    while count < len(body) and not body[count].strip():
        count += 1
    return options, count


def _dedented(body: Sequence[str]) -> list[str]:
    indents = [len(s) - len(s.lstrip()) for s in body if s.strip()]
    shift = min(indents, default=0)
    lines = [line[shift:] for line in body]
    while lines and not lines[-1].strip():
        lines.pop()
    return lines

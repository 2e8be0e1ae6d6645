"""From a page as it is written to plain Markdown: whatever is in a fence of ours is run, or read from the program.

| fence | becomes |
|---|---|
| ``{run}`` | the commands, and what they wrote (see `manual.consoles`) |
| ``{cell}`` | Python, and what it came to (see `manual.cells`) |
| ``{options} NAME`` | tables of a subcommand's options |
| ``{usage} NAME``, ``{epilog} NAME``, ``{about} NAME`` | its usage, what its help ends with, what its module says |
| ``{figures}``, ``{costs}`` | how true the figures of a run are, what each question costs (see `manual.figures`) |
| ``{readme} TITLE`` | a section of the README |
| ``{saved}`` | what benchmarks were told to keep (``make bench ARGS=--save``) |
| ``{file} NAME`` | another document of the project |
| ``{picture} top`` | the full-screen view, of processes at work (see `manual.picture`) |
| ``{errors}`` | the tree of the exceptions |
| ``{floors}`` | the floors of the house, as the checks hold them |
| ``{engine} NAME`` | a part of ``docs/_parts`` about an engine that this version may have |
| ``{engines}`` | those that there are |
| ``{project}`` | the pages about the project, as far as there are such |
| ``{program} FILE`` | a program of ``docs/examples``, without its own tests |
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import prock.engine
import prock.errors
from manual import cells, commands, consoles, figures, house, picture, readme
from manual.pages import DOCS, FENCE, Block, blocks


class Page:
    """One page, while it is made: its folder for examples, and the names that its cells share."""

    def __init__(self, name: str, text: str, folder: Path) -> None:
        self.name = name
        self._text = text
        self._folder = folder
        self._names: dict[str, Any] = {"__name__": "__main__"}

    def render(self) -> str:
        """Raises `consoles.Disagreement` where an example does not do what the page says."""
        made: list[str] = []
        end = 0
        found = list(blocks(self._text))
        cells.check_examples(self.name, found)
        for match, block in zip(FENCE.finditer(self._text), found, strict=True):
            maker = MAKERS.get(block.kind.split(" ")[0])
            if maker is None:
                continue
            made += [self._text[end : match.start()], self._make(maker, block)]
            end = match.end()
        return "".join([*made, self._text[end:]])

    def _make(self, maker: Callable[[Page, Block], str], block: Block) -> str:
        try:
            return maker(self, block)
        except Exception as error:  # whatever it is, who reads it is told of the page and the line
            raise consoles.Disagreement(f"{self.name}, line {block.line}: {error}") from error

    def run(self, block: Block) -> str:
        done = consoles.steps(block.text, self._folder, options=block.options)
        shown = consoles.shown(done, options=block.options)
        return fence("{code-block} console", f":force:\n\n{shown}")  # colours are a guess: no warning where it fails

    def cell(self, block: Block) -> str:
        said = cells.run_cell(block.text, self._names)
        return fence("python", block.text) + (f"\n{fence('text', said)}" if said else "")


def render(name: str, text: str) -> str:
    """Where a page has `cell`s, they find the programs of ``docs/examples`` as modules."""
    with tempfile.TemporaryDirectory(prefix="prock-manual-") as folder:
        for path in (DOCS / "examples").glob("*.py"):
            shutil.copy(path, folder)
        sys.path.insert(0, folder)
        try:
            return Page(name, text, Path(folder)).render()
        finally:
            sys.path.remove(folder)


def fence(kind: str, text: str) -> str:
    return f"````{kind}\n{text.rstrip()}\n````\n"


def cell_of_table(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *(tuple(map(cell_of_table, row)) for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _argument(block: Block) -> str:
    return block.kind.partition(" ")[2]


def _options(_: Page, block: Block) -> str:
    parts = []
    for title, options in commands.sections(_argument(block)):
        rows = [(f"`{option.written}`", option.help) for option in options]
        parts.append(table((title.capitalize(), ""), rows))
    return "\n".join(parts)


def _usage(_: Page, block: Block) -> str:
    return fence("text", commands.usage(_argument(block)))


def _epilog(_: Page, block: Block) -> str:
    return fence("text", commands.epilog(_argument(block)))


def _about(_: Page, block: Block) -> str:
    text = commands.about(_argument(block))
    return fence("{eval-rst}", text.partition("\n\n")[2])


def _figures(_: Page, __: Block) -> str:
    rows = [(f"`{name}`", source, bias) for name, source, bias in figures.of_a_run()]
    return table(("figure", "source", "bias"), rows)


def _costs(_: Page, __: Block) -> str:
    rows = [(f"{{py:func}}`prock.{name}`", cost) for name, cost in figures.costs()]
    return table(("question", "costs"), rows)


def _readme(_: Page, block: Block) -> str:
    return readme.section(_argument(block))


def _file(_: Page, block: Block) -> str:
    return readme.document(_argument(block))


def _errors(_: Page, __: Block) -> str:
    return fence("text", textwrap.dedent(str(prock.errors.__doc__).split("\n\n")[1]))


def _saved(_: Page, __: Block) -> str:
    return readme.saved()


def _project(_: Page, __: Block) -> str:
    pages = ["inside", "changelog", *(["security"] if (DOCS.parent / "SECURITY.md").exists() else [])]
    return fence("{toctree}", "\n".join([":hidden:", ":caption: The project", "", *pages]))


def _floors(_: Page, __: Block) -> str:
    rows = [(", ".join(f"`{name}`" for name in floor), says) for floor, says in house.floors()]
    return table(("floor", "says of itself"), rows)


def _engines(_: Page, __: Block) -> str:
    return "".join(f"- `{name}`: {says}\n" for name, says in house.engines())


def _engine(_: Page, block: Block) -> str:
    name = _argument(block)
    if name not in prock.engine.NAMES:
        return f"There is no engine `{name}` in this version: prock is for Linux.\n"
    return (DOCS / "_parts" / f"{name}.md").read_text(encoding="utf-8")


def _picture(_: Page, block: Block) -> str:
    return fence("{raw} html", f'<div class="prock-picture">{picture.of(_argument(block))}</div>')


def _program(_: Page, block: Block) -> str:
    path = DOCS / "examples" / _argument(block)
    return fence({".py": "python", ".yml": "yaml", ".sh": "sh"}[path.suffix], path.read_text())


MAKERS: dict[str, Callable[[Page, Block], str]] = {
    "{run}": Page.run,
    "{cell}": Page.cell,
    "{options}": _options,
    "{saved}": _saved,
    "{usage}": _usage,
    "{epilog}": _epilog,
    "{about}": _about,
    "{figures}": _figures,
    "{costs}": _costs,
    "{readme}": _readme,
    "{file}": _file,
    "{errors}": _errors,
    "{floors}": _floors,
    "{engine}": _engine,
    "{engines}": _engines,
    "{picture}": _picture,
    "{project}": _project,
    "{program}": _program,
}

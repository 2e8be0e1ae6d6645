"""What is written elsewhere, word for word: sections of the README, and what the benchmarks were told to keep."""

from __future__ import annotations

import re
from pathlib import Path

from manual.pages import DOCS

MEASURED = DOCS / "_measured"
LINK = re.compile(r"\[([^\]\n]*)\]\(([^)\s]*)\)")
HEADING = re.compile(r"^(#+)(?= )", re.MULTILINE)
README = DOCS.parent / "README.md"


def section(title: str) -> str:
    """What stands below a heading, up to the next one. Raises `KeyError` where there is none.

    >>> section("How true").startswith("| figure | source | bias |")
    True
    """
    text = README.read_text(encoding="utf-8")
    heading = re.search(rf"^(#+) {re.escape(title)}\n", text, re.MULTILINE)
    if heading is None:
        raise KeyError(f"the README has no section {title!r}")
    rest = text[heading.end() :]
    end = re.search(r"^#+ ", rest, re.MULTILINE)
    body = rest[: end.start()] if end else rest
    return linked(body.strip()) + "\n"


def document(name: str) -> str:
    """A whole document of the project."""
    return linked((DOCS.parent / name).read_text(encoding="utf-8"))


def linked(text: str) -> str:
    """With its links to pages of the manual as they are there, and without those to other files.

    >>> linked("[a](docs/run.md#x), [b](src/b.py), [c](https://example.org), [d](README.md)")
    '[a](run.md#x), b, [c](https://example.org), d'
    """

    def there(link: re.Match[str]) -> str:
        words, target = link.groups()
        if target.startswith(("https:", "#")):
            return link[0]
        page = target.removeprefix("docs/")
        return f"[{words}]({page})" if target != page else words

    return LINK.sub(there, text)


def saved(folder: Path = MEASURED) -> str:
    """All that benchmarks have kept (``--save``), each below a heading of the second level; empty where none has."""
    kept = {path.stem: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.md"))}
    return "\n".join(f"## In full: {name}\n\n{_at_level(3, text)}" for name, text in kept.items())


def _at_level(level: int, text: str) -> str:
    """With its highest headings there, and the others as far below them as they are."""
    highest = min(map(len, HEADING.findall(text)), default=level)
    return HEADING.sub(lambda marks: "#" * (len(marks[1]) - highest + level), text)

"""The blocks of a page in Markdown: fences, with what stands behind them and in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

DOCS = Path(__file__).parents[2]
FENCE = re.compile(r"^(?P<fence>`{3,})(?P<info>[^`\n]*)\n(?P<body>.*?)^(?P=fence)$", re.MULTILINE | re.DOTALL)
OPTION = re.compile(r"^:([a-z-]+):(?: (.*))?$")


class Block(NamedTuple):
    """A fence. Of a directive (``{run}``) the options stand apart from the text."""

    kind: str
    options: dict[str, str]
    text: str
    line: int
    """Of the page, where it begins."""


def blocks(page: str) -> Iterator[Block]:
    """All fences of a page, in order.

    >>> list(blocks("one\\n```{run}\\n:exit: 3\\n$ false\\n```\\n"))
    [Block(kind='{run}', options={'exit': '3'}, text='$ false\\n', line=2)]
    """
    for match in FENCE.finditer(page):
        lines = match["body"].splitlines(keepends=True)
        options: dict[str, str] = {}
        while match["info"].startswith("{") and lines and (option := OPTION.match(lines[0].rstrip("\n"))):
            options[option[1]] = option[2] or ""
            del lines[0]
        yield Block(match["info"].strip(), options, "".join(lines), page.count("\n", 0, match.start()) + 1)


def all_pages() -> list[Path]:
    """Those of the manual."""
    return sorted(path for path in DOCS.rglob("*.md") if not path.relative_to(DOCS).parts[0].startswith("_"))

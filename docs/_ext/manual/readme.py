"""Sections of the README, word for word: what is measured, and what is true, is written in one place."""

from __future__ import annotations

import re

from manual.pages import DOCS

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
    return body.strip().replace("](docs/", "](") + "\n"

"""The page prock(1), from the command's own parsers and the tables of ``command.md``.

It is kept in the sources (``docs/prock.1``), so that installing prock needs nothing to make it; a test holds that it is
what this makes. `python -m manual.manpage` writes it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import prock
from manual import commands
from manual.pages import DOCS
from prock.cli import COMMANDS

PAGE = DOCS / "prock.1"
ROW = re.compile(r"^\| (.*?) \| (.*) \|$", re.MULTILINE)
LINK = re.compile(r"\[(.*?)\]\([^)]*\)")


def page() -> str:
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield f'.TH PROCK 1 "" "prock {prock.__version__}" "User Commands"'
    yield from (".SH NAME", r"prock \- CPU, memory and I/O of process trees", ".SH SYNOPSIS")
    for name in COMMANDS:
        yield from (".B prock", _text(commands.usage(name).removeprefix("prock ")), ".br")
    yield ".SH DESCRIPTION"
    yield _text(
        "Tells what a process tree (a process and everything that it started) costs: CPU time, memory, disk I/O."
    )
    yield _text("Each figure is told with its source and its bias. What is unknown is never 0.")
    for name, summary in COMMANDS.items():
        yield from (f'.SH "prock {name}"', _text(summary[0].upper() + summary[1:] + "."))
        for _, options in commands.sections(name):
            for option in options:
                yield from (".TP", f".B {_text(option.written)}", _text(option.help))
        yield from (".PP", ".nf", *map(_text, commands.epilog(name).rstrip().split("\n")), ".fi")
    yield from _table("Exit codes", "EXIT STATUS")
    yield from _table("Environment", "ENVIRONMENT")


def _table(heading: str, title: str) -> Iterator[str]:
    """A table of the manual; its first two lines are its head."""
    text = (DOCS / "command.md").read_text(encoding="utf-8")
    section = text.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    yield f'.SH "{title}"'
    for key, says in ROW.findall(section)[1:]:
        yield from (".TP", f".B {_plain(key)}", _plain(says))
    for paragraph in section[section.rindex("|") + 1 :].strip().split("\n\n"):
        if paragraph:
            yield from (".PP", _plain(paragraph))


def _plain(markdown: str) -> str:
    return _text(LINK.sub(r"\1", markdown).replace("`", "").replace("\n", " "))


def _text(text: str) -> str:
    r"""For troff: a backslash and a hyphen as they are, and nothing that it takes for a request.

    >>> _text(".a-b\\n"), _text("")
    ('\\&.a\\-b\\en', '.sp')
    """
    escaped = text.replace("\\", r"\e").replace("-", r"\-")
    return rf"\&{escaped}" if escaped.startswith((".", "'")) else escaped or ".sp"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

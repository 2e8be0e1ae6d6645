"""Writes ``docs/prock.1`` from the command's parsers and two tables of ``docs/command.md``; a test compares them.

Compared with argparse-manpage: it reads one parser with subparsers, but each command of `prock` builds its own
parser, and it is one more dependency.
"""

from __future__ import annotations

import argparse
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import prock
from prock.cli import COMMANDS
from prock.cli import parser as command
from prock.cli.run.options import ATTACH, RUN, build_parser

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE = DOCS / "prock.1"


def parser_of(name: str) -> argparse.ArgumentParser:
    """The parser behind ``prock NAME --help``."""
    modules = {"run": "run.command", "attach": "run.attach"}
    module = importlib.import_module(f"prock.cli.{modules.get(name, name)}")
    if name in modules:
        groups = {"run": RUN, "attach": ATTACH}[name]
        return build_parser(groups, name=name, usage=module.USAGE, summary=COMMANDS[name], epilog=module.EPILOG)
    return command.parser_of(module, name, COMMANDS[name])


def lines() -> Iterator[str]:
    parsers = {name: parser_of(name) for name in COMMANDS}
    yield f'.TH PROCK 1 "" "prock {prock.__version__}" "User Commands"'
    yield from (".SH NAME", r"prock \- CPU, memory and I/O of process trees", ".SH SYNOPSIS")
    for parser in parsers.values():
        usage = " ".join(parser.format_usage().removeprefix("usage: prock ").split())
        yield from (".B prock", escaped(usage), ".br")
    yield ".SH DESCRIPTION"
    yield "prock reports the CPU time, memory and disk I/O of a process tree: a process and everything it started."
    yield "Each figure has its source and its bias. What is unknown is never reported as 0."
    for name, parser in parsers.items():
        yield from (f'.SH "prock {name}"', escaped(f"{COMMANDS[name][0].upper()}{COMMANDS[name][1:]}."))
        formatter = parser._get_formatter()
        for action in parser._actions:
            if action.help and action.help != argparse.SUPPRESS and "--help" not in action.option_strings:
                value = "" if action.nargs == 0 else formatter._metavar_formatter(action, action.dest)(1)[0]
                written = " ".join(filter(None, (", ".join(action.option_strings), value)))
                yield from (".TP", f".B {escaped(written)}", escaped(formatter._expand_help(action)))
        for paragraph in (parser.epilog or "").rstrip().split("\n\n"):
            yield from filled(paragraph)
    yield from durations()
    yield from table("Exit codes", "EXIT STATUS")
    yield from table("Environment", "ENVIRONMENT")


def filled(paragraph: str) -> Iterator[str]:
    r"""A paragraph of an epilog; of examples, each command with its explanation.

    >>> list(filled("One\nparagraph."))
    ['.PP', 'One paragraph.']
    >>> list(filled("examples:\n  prock stat 1   show it"))
    ['.PP', 'examples:', '.TP', '.B prock stat 1', 'show it']
    """
    first, *others = paragraph.split("\n")
    if first not in ("example:", "examples:"):
        yield from (".PP", escaped(" ".join(paragraph.split())))
        return
    yield from (".PP", escaped(first))
    for line in others:
        command, _, meaning = line.strip().partition("  ")
        yield from (".TP", f".B {escaped(command)}")
        yield from filter(None, [meaning.strip() and escaped(meaning.strip())])


def durations() -> Iterator[str]:
    """The definitions of ``command.md``."""
    yield '.SH "DURATIONS AND SIZES"'
    for key, meaning in re.findall(r"^(\w+)\n: ((?:.+\n)+)", section("Durations and sizes"), re.MULTILINE):
        yield from (".TP", f".B {escaped(key)}", escaped(" ".join(meaning.replace("`", "").split())))


def section(heading: str) -> str:
    return (DOCS / "command.md").read_text(encoding="utf-8").partition(f"## {heading}\n")[2].partition("\n## ")[0]


def table(heading: str, title: str) -> Iterator[str]:
    """The list of pairs below a heading of ``command.md``."""
    yield f'.SH "{title}"'
    for key, meaning in re.findall(r"^\| (.*?) \| (.*) \|$", section(heading), re.MULTILINE)[1:]:
        yield from (".TP", f".B {escaped(key.replace('`', ''))}", escaped(meaning.replace("`", "")))


def escaped(text: str) -> str:
    r"""For troff: backslash and hyphen are literal, and no line begins with a request.

    >>> escaped(".a-b\\n"), escaped("")
    ('\\&.a\\-b\\en', '.sp')
    """
    text = re.sub(r"\[(.*?)\]\([^)]*\)", r"\1", text).replace("\\", r"\e").replace("-", r"\-")
    return rf"\&{text}" if text.startswith((".", "'")) else text or ".sp"


def page() -> str:
    return "\n".join(lines()) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

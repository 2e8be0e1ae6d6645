"""The options of ``prock run`` and ``prock attach``: one table, and two readers of it.

`parse` understands every plain form by itself. argparse, which costs 10 ms to import, is called for ``--help``, and for
what `parse` does not understand: then it finds the words for what is wrong.
"""

from __future__ import annotations

from prock.cli.argtypes import count_argument, label_argument, seconds_argument, size_argument, span_argument
from prock.cli.output import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any, TypeAlias

    Option: TypeAlias = tuple[tuple[str, ...], dict[str, Any]]
    Group: TypeAlias = tuple[Option, ...]

ACCOUNTINGS = ("auto", "cgroup", "perf", "waited", "ledger")

REPORT: Group = (
    (("-q", "--quiet"), {"action": "store_true", "help": "no report"}),
    (
        ("-v", "--verbose"),
        {"action": "count", "default": 0, "help": "tables per command and per process, all sources; -vv: every row"},
    ),
    (("-o", "--output"), {"metavar": "FILE", "help": "the report goes there, not to standard error"}),
    (("-a", "--append"), {"action": "store_true", "help": "with -o: add to FILE"}),
    (
        ("--json",),
        {"metavar": "FILE", "help": "also all figures as a JSON document (-: standard output); see docs/formats.md"},
    ),
    (
        ("-f", "--format"),
        {
            "metavar": "FORMAT",
            "help": "a report of your own form: fields of GNU time, and %%{NAME}; see below",
        },
    ),
    (("-p", "--portability"), {"action": "store_true", "help": "the report as POSIX has it: real, user, sys"}),
    (
        ("--label",),
        {
            "action": "append",
            "dest": "labels",
            "type": label_argument,
            "metavar": "KEY=VALUE",
            "help": "a word of yours for the report and the document; repeatable",
        },
    ),
    (
        ("--progress",),
        {
            "action": "store_const",
            "const": True,
            "dest": "progress",
            "help": "a status line, even on a terminal in use",
        },
    ),
    (
        ("--no-progress",),
        {
            "action": "store_const",
            "const": False,
            "dest": "progress",
            "help": "none (default: where all output goes to files, on the terminal)",
        },
    ),
)
MEASURING: Group = (
    (
        ("-i", "--interval"),
        {"type": seconds_argument, "metavar": "SECONDS", "help": "look at the tree so often (default: as is cheap)"},
    ),
    (
        ("--accounting",),
        {"choices": ACCOUNTINGS, "default": "auto", "help": "who counts the CPU time (default: the best there is)"},
    ),
    (("--verify",), {"action": "store_true", "help": "let all that can count do so, and compare them"}),
    (("--pss",), {"action": "store_true", "help": "also proportional shares of memory (dear for large processes)"}),
    (("--wait-all",), {"action": "store_true", "help": "stay until the last process of the tree is gone"}),
)
ENDING: Group = (
    (
        ("-t", "--timeout"),
        {"type": span_argument, "metavar": "SECONDS", "help": "then end the whole tree: SIGTERM, later SIGKILL"},
    ),
    (("--kill-tree",), {"action": "store_true", "help": "when the command has ended, end what it left running"}),
    (
        ("-k", "--kill-after"),
        {
            "type": span_argument,
            "default": 2.0,
            "metavar": "SECONDS",
            "help": "from SIGTERM to SIGKILL (default: 2)",
        },
    ),
    (
        ("-r", "--repeat"),
        {"type": count_argument, "metavar": "N", "help": "run it N times; mean, spread, least and most of each figure"},
    ),
)
BUDGET: Group = (
    (("--max-cpu",), {"type": span_argument, "metavar": "SECONDS", "help": "CPU time of the whole tree"}),
    (("--max-memory",), {"type": size_argument, "metavar": "SIZE", "help": "peak footprint of the whole tree"}),
    (("--max-wall",), {"type": span_argument, "metavar": "SECONDS", "help": "elapsed time"}),
)
RUN: Mapping[str, Group] = {
    "what is measured": MEASURING,
    "what is said": REPORT,
    "how it ends": ENDING,
    "a budget: exit code 123 if the command succeeds, but used more": BUDGET,
}
ATTACH: Mapping[str, Group] = {"what is measured": MEASURING, "what is said": REPORT}


class Settings:
    """What was asked for."""

    quiet: bool
    verbose: int
    output: str | None
    append: bool
    json: str | None
    format: str | None
    portability: bool
    labels: list[tuple[str, str]] | None
    progress: bool | None
    interval: float | None
    accounting: str
    verify: bool
    pss: bool
    wait_all: bool
    timeout: float | None = None
    kill_tree: bool = False
    kill_after: float = 2.0
    repeat: int | None = None
    max_cpu: float | None = None
    max_memory: int | None = None
    max_wall: float | None = None

    def __init__(self, groups: Mapping[str, Group]) -> None:
        for group in groups.values():
            for flags, keywords in group:
                setattr(self, _destination(flags, keywords), _default(keywords))


class Incomprehensible(Exception):
    """What argparse has to look at."""


def parse(
    words: Sequence[str], groups: Mapping[str, Group], *, name: str, usage: str, summary: str, epilog: str
) -> tuple[Settings, list[str]]:
    """Options, and the words that follow the last of them. Raises `Failure`, and `SystemExit` after ``--help``."""
    rest = iter(words)
    try:
        return read(rest, groups)
    except Incomprehensible:
        understood = words[: len(words) - len(list(rest))]
    # What follows belongs to the command, and is not argparse's to judge.
    build_parser(groups, name=name, usage=usage, summary=summary, epilog=epilog).parse_args(understood)
    raise Failure(f"a value that begins with - or = is given as --OPTION=VALUE (see prock {name} --help)", 2)


def read(rest: Iterator[str], groups: Mapping[str, Group]) -> tuple[Settings, list[str]]:
    """The plain forms: ``-x``, ``-xVALUE``, ``-x VALUE``, ``-xy``, ``--long``, ``--long VALUE``, ``--long=VALUE``."""
    settings = Settings(groups)
    table = {flag: (flags, keywords) for group in groups.values() for flags, keywords in group for flag in flags}
    for word in rest:
        if word == "--":
            break
        if word == "-" or not word.startswith("-"):
            return settings, [word, *rest]
        for flag, value in _split(word, table):
            if flag not in table:
                raise Incomprehensible(flag)
            _apply(settings, *table[flag], value, rest)
    return settings, list(rest)


def _split(word: str, table: Mapping[str, Option]) -> list[tuple[str, str | None]]:
    """``--long=1`` and ``-vr5`` as flags with their values."""
    if word.startswith("--"):
        flag, equals, value = word.partition("=")
        return [(flag, value if equals else None)]
    flags: list[tuple[str, str | None]] = []
    for position, letter in enumerate(word[1:], 2):
        flag, attached = f"-{letter}", word[position:]
        if flag in table and not _is_switch(table[flag][1]):
            if attached.startswith("="):  # getopt takes it for a part of the value, argparse does not
                raise Incomprehensible(word)
            return [*flags, (flag, attached or None)]
        flags.append((flag, None))
    return flags


def _apply(
    settings: Settings, flags: tuple[str, ...], keywords: Mapping[str, Any], value: str | None, rest: Iterator[str]
) -> None:
    name, action = _destination(flags, keywords), keywords.get("action")
    if _is_switch(keywords):
        if value is not None:
            raise Incomprehensible(flags[0])
        given = getattr(settings, name) + 1 if action == "count" else keywords.get("const", True)
        setattr(settings, name, given)
        return
    if value is None:
        value = next(rest, None)
        if value is None or (value.startswith("-") and value != "-"):  # argparse may see an option in it, or a number
            raise Incomprehensible(flags[0])
    if value == "--":  # argparse drops it, wherever it stands
        raise Incomprehensible(flags[0])
    if "choices" in keywords and value not in keywords["choices"]:
        raise Incomprehensible(flags[0])
    given = keywords["type"](value) if "type" in keywords else value
    setattr(settings, name, [*(getattr(settings, name) or ()), given] if action == "append" else given)


def _is_switch(keywords: Mapping[str, Any]) -> bool:
    return keywords.get("action") in ("store_true", "store_const", "count")


def _destination(flags: tuple[str, ...], keywords: Mapping[str, Any]) -> str:
    name: str = keywords.get("dest") or flags[-1].removeprefix("--").replace("-", "_")
    return name


def _default(keywords: Mapping[str, Any]) -> object:
    return keywords.get("default", False if keywords.get("action") == "store_true" else None)


def build_parser(
    groups: Mapping[str, Group], *, name: str, usage: str, summary: str, epilog: str
) -> argparse.ArgumentParser:
    from prock.cli.parser import new_parser

    parser = new_parser(name, summary, epilog, usage=usage)
    for title, group in groups.items():
        section = parser.add_argument_group(title)
        for flags, keywords in group:
            section.add_argument(*flags, **keywords)
    return parser

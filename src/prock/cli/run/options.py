"""The options of ``prock run`` and ``prock attach``: one table, read in two ways.

`read` accepts the plain forms. argparse, whose import takes 10 ms, is used for ``--help`` and for what `read` does not
accept: it writes the error message.
"""

from __future__ import annotations

from prock.accounting.selection import ACCOUNTINGS
from prock.cli.output import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any, TypeAlias

    Option: TypeAlias = tuple[tuple[str, ...], dict[str, Any]]
    Group: TypeAlias = tuple[Option, ...]

PROCK_FAILED = 125
"""Exit code if prock itself fails: as of timeout(1), env(1) and GNU time."""

REPORT: Group = (
    (("-q", "--quiet"), {"action": "store_true", "help": "print no report"}),
    (
        ("-v", "--verbose"),
        {"action": "count", "default": 0, "help": "tables by command and process, all sources; -vv: every row"},
    ),
    (("-o", "--output"), {"metavar": "FILE", "help": "write the report to FILE instead of standard error"}),
    (("-a", "--append"), {"action": "store_true", "help": "with -o: append to FILE"}),
    (
        ("--json",),
        {"metavar": "FILE", "help": "write all figures as a JSON document (-: standard output); see docs/formats.md"},
    ),
    (
        ("-f", "--format"),
        {"metavar": "FORMAT", "help": "report in a format of your own: fields of GNU time and %%{NAME}; see below"},
    ),
    (("-p", "--portability"), {"action": "store_true", "help": "report in the format of POSIX: real, user, sys"}),
    (
        ("--label",),
        {
            "action": "append",
            "dest": "labels",
            "type": "label",
            "metavar": "KEY=VALUE",
            "help": "add a label to the report and the document; repeatable",
        },
    ),
    (
        ("--progress",),
        {
            "action": "store_const",
            "const": True,
            "dest": "progress",
            "help": "show a status line, even if the command writes to the terminal",
        },
    ),
    (
        ("--no-progress",),
        {
            "action": "store_const",
            "const": False,
            "dest": "progress",
            "help": "show none (default: only if all output of the command goes to files)",
        },
    ),
)
MEASURING: Group = (
    (
        ("-i", "--interval"),
        {"type": "interval", "metavar": "DURATION", "help": "sampling interval (default: automatic)"},
    ),
    (
        ("--accounting",),
        {
            "choices": ACCOUNTINGS,
            "default": "auto",
            "help": "CPU accounting source (default: the most accurate available)",
        },
    ),
    (("--verify",), {"action": "store_true", "help": "measure with every available source and compare them"}),
    (("--pss",), {"action": "store_true", "help": "also measure PSS (slow for large processes)"}),
    (("--wait-all",), {"action": "store_true", "help": "wait until the last process of the tree has ended"}),
)
ENDING: Group = (
    (
        ("-t", "--timeout"),
        {
            "type": "duration",
            "metavar": "DURATION",
            "help": "end the whole tree after this time: SIGTERM, later SIGKILL",
        },
    ),
    (("--kill-tree",), {"action": "store_true", "help": "end processes that the command leaves running"}),
    (
        ("-k", "--kill-after"),
        {
            "type": "duration",
            "default": 2.0,
            "metavar": "DURATION",
            "help": "time between SIGTERM and SIGKILL (default: 2s)",
        },
    ),
    (
        ("-r", "--repeat"),
        {
            "type": "count",
            "metavar": "N",
            "help": "run N times; report mean, deviation, minimum and maximum",
        },
    ),
)
BUDGET: Group = (
    (("--max-cpu",), {"type": "duration", "metavar": "DURATION", "help": "CPU time of the whole tree"}),
    (("--max-memory",), {"type": "size", "metavar": "SIZE", "help": "peak memory of the whole tree"}),
    (("--max-wall",), {"type": "duration", "metavar": "DURATION", "help": "elapsed time"}),
)
RUN: Mapping[str, Group] = {
    "measuring": MEASURING,
    "report": REPORT,
    "ending": ENDING,
    "budget (exit code 123 if the command succeeds but exceeds it)": BUDGET,
}
ATTACH: Mapping[str, Group] = {"measuring": MEASURING, "report": REPORT}


class Settings:
    """The values of all options."""

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


class NotPlain(Exception):
    """Left to argparse."""


def parse(
    words: Sequence[str], groups: Mapping[str, Group], *, name: str, usage: str, summary: str, epilog: str
) -> tuple[Settings, list[str]]:
    """The options, and the words that follow them. Raises `Failure`, and `SystemExit` after ``--help``."""
    rest = iter(words)
    try:
        return read(rest, groups)
    except NotPlain:
        understood = words[: len(words) - len(list(rest))]
    # The remaining words belong to the command: argparse must not interpret them.
    build_parser(groups, name=name, usage=usage, summary=summary, epilog=epilog).parse_args(understood)
    raise Failure(f"ambiguous value: write one that begins with - or = as --OPTION=VALUE (see prock {name} --help)", 2)


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
                raise NotPlain(flag)
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
            if attached.startswith("="):  # part of the value for getopt, not for argparse
                raise NotPlain(word)
            return [*flags, (flag, attached or None)]
        flags.append((flag, None))
    return flags


def _apply(
    settings: Settings, flags: tuple[str, ...], keywords: Mapping[str, Any], value: str | None, rest: Iterator[str]
) -> None:
    name, action = _destination(flags, keywords), keywords.get("action")
    if _is_switch(keywords):
        if value is not None:
            raise NotPlain(flags[0])
        given = getattr(settings, name) + 1 if action == "count" else keywords.get("const", True)
        setattr(settings, name, given)
        return
    if value is None:
        value = next(rest, None)
        if value is None or (value.startswith("-") and value != "-"):  # perhaps an option or a negative number
            raise NotPlain(flags[0])
    if value == "--":  # argparse drops it everywhere
        raise NotPlain(flags[0])
    if "choices" in keywords and value not in keywords["choices"]:
        raise NotPlain(flags[0])
    given = _converter(keywords["type"])(value) if "type" in keywords else value
    setattr(settings, name, [*(getattr(settings, name) or ()), given] if action == "append" else given)


def _converter(name: str) -> Callable[[str], object]:
    """The function of `prock.cli.argtypes`, which is imported only for options that need it."""
    from prock.cli import argtypes

    function: Callable[[str], object] = getattr(argtypes, f"{name}_argument")
    return function


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
            convert = {"type": _converter(keywords["type"])} if "type" in keywords else {}
            section.add_argument(*flags, **{**keywords, **convert})
    return parser

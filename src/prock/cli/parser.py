"""Parsers of the subcommands, and the options that several of them share."""

from __future__ import annotations

import argparse
import importlib
import os
import textwrap

from prock.cli import output
from prock.cli.argtypes import interval_argument, pid_argument
from prock.model import NUMBERS
from prock.report.layout import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import IO, Any, NoReturn, Protocol

    class Command(Protocol):
        """The module of a subcommand."""

        EPILOG: str

        def configure(self, parser: argparse.ArgumentParser, /) -> None: ...

        def run(self, arguments: argparse.Namespace, /) -> int: ...


HELP_WIDTH, MIN_WIDTH = 80, 30
GROUPS = {
    "measure": ("run", "attach"),
    "look": ("top", "tree", "stat", "scan", "trace"),
    "keep and show": ("report", "diff", "export", "mark"),
    "send": ("serve",),
    "about": ("doctor",),
}
"""The commands as `prock --help` shows them."""


def run_subcommand(name: str, summary: str, arguments: Sequence[str]) -> int:
    module: Command = importlib.import_module(f"prock.cli.{name}")
    return module.run(parser_of(module, name, summary).parse_args(arguments))


def parser_of(module: Command, name: str, summary: str) -> Parser:
    parser = new_parser(f"prock {name}", summary, module.EPILOG)
    module.configure(parser)
    parser.add_argument("--json", action="store_true", help=f"print JSON (schema prock.{name}/1)")
    return parser


def new_parser(prog: str, summary: str, epilog: str, usage: str | None = None) -> Parser:
    return Parser(
        prog=prog,
        usage=usage,
        description=summary[0].upper() + summary[1:],
        epilog=epilog,
        formatter_class=_Formatter,
        allow_abbrev=False,  # otherwise a later option could break a script
    )


def run_without_subcommand(arguments: Sequence[str], commands: Mapping[str, str]) -> int:
    width = max(map(len, commands))
    indent = " " * (width + 4)
    lines: list[str] = []
    for group, names in GROUPS.items():
        lines.append(f"{group}:")
        for name in names:
            lines += textwrap.wrap(f"  {name:{width}}  {commands[name]}", _help_width(), subsequent_indent=indent)
        lines.append("")
    parser = new_parser(
        "prock",
        "CPU, memory and I/O of process trees: accurate, cheap, simple.",
        "\n".join([*lines, "prock COMMAND --help describes each, with examples."]),
        usage="prock COMMAND [ARGUMENT ...]",
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    parser.add_argument("command", nargs="?", metavar="COMMAND", help=argparse.SUPPRESS)
    chosen, _ = parser.parse_known_args(arguments)
    if chosen.version:
        from prock import __version__

        output.write([f"prock {__version__}"])
        return 0
    if chosen.command is not None:
        raise output.Failure(f"unknown command {chosen.command!r}: {_suggestion(chosen.command, commands)}", 2)
    parser.parse_args(arguments)  # raises for an unknown option
    output.write_error(parser.format_help())  # on standard error: a script expects output on the other
    return 2


def _suggestion(name: str, commands: Mapping[str, str]) -> str:
    import difflib
    import shutil

    near = difflib.get_close_matches(name, commands, n=1)
    if near:
        return f"did you mean {near[0]}? (see prock --help)"
    if shutil.which(name):
        return f"to measure it, use prock run {escape(name)}"
    return f"use one of {', '.join(commands)}"


def add_pid(parser: argparse.ArgumentParser, *, of: str) -> None:
    parser.add_argument(
        "pid",
        nargs="?",
        type=pid_argument,
        metavar="PID",
        help=f"{of} (default: the process that calls prock, in a terminal your shell)",
    )


def add_interval(parser: argparse.ArgumentParser, purpose: str) -> None:
    parser.add_argument("-i", "--interval", type=interval_argument, metavar="DURATION", help=purpose)


def add_numbers(parser: argparse.ArgumentParser) -> None:
    """An option for each metric with a separate reader."""
    for metric in NUMBERS:
        parser.add_argument(f"--{metric.option}", action="store_true", help=f"show the {metric.text}")


def add_no_args(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--no-args", dest="arguments", action="store_false", help="show the names of commands without their arguments"
    )


def chosen_numbers(arguments: argparse.Namespace) -> dict[str, Any]:
    """Those options, as keywords."""
    return {metric.option: getattr(arguments, metric.option) for metric in NUMBERS}


def add_sort(parser: argparse.ArgumentParser, purpose: str, names: Iterable[str]) -> None:
    """The first name is the default."""
    first, *others, last = names
    purpose += f" {', '.join((f'{first} (default)', *others))} or {last}"
    choices = (first, *others, last)
    parser.add_argument("-s", "--sort", choices=choices, default=first, metavar="KEY", help=purpose)


def chosen_pid(arguments: argparse.Namespace) -> int:
    """The given pid, or that of the calling process."""
    pid: int | None = arguments.pid
    if pid is None:
        pid = os.getppid()
        if pid == 0:
            raise output.Failure("the process that calls prock is outside this PID namespace: give a PID", 2)
    return pid


class Parser(argparse.ArgumentParser):
    """Reports errors in one line, and writes its help through `output`, which handles closed pipes."""

    def error(self, message: str) -> NoReturn:
        raise output.Failure(f"{escape(message)} (see {self.prog} --help)", 2)

    def print_help(self, file: IO[str] | None = None) -> None:  # type: ignore[override]  # argparse takes any writer
        output.write(self.format_help().rstrip("\n").split("\n"))


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the lines of description and epilog where they fit. With an explicit width, argparse imports no shutil."""

    def __init__(self, prog: str, **_: Any) -> None:
        super().__init__(prog, width=_help_width())

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join("\n".join(_wrapped(line, width)) for line in text.splitlines())


def _wrapped(line: str, width: int) -> list[str]:
    own = line[: len(line) - len(line.lstrip())]
    return [line] if len(line) <= width else textwrap.wrap(line, width, subsequent_indent=f"{own}  ")


def _help_width() -> int:
    return max(MIN_WIDTH, min(HELP_WIDTH, output.terminal_width() or HELP_WIDTH))

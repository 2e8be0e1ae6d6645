"""What every subcommand is made of: its parser, its argument types, its way of being called."""

from __future__ import annotations

import argparse
import importlib
import os

from prock.cli import output
from prock.cli.argtypes import pid_argument, seconds_argument
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


HELP_WIDTH = 84


def run_subcommand(name: str, summary: str, arguments: Sequence[str]) -> int:
    module: Command = importlib.import_module(f"prock.cli.{name}")
    parser = new_parser(name, summary, module.EPILOG)
    module.configure(parser)
    parser.add_argument("--json", action="store_true", help=f"one JSON document, of schema prock.{name}/1")
    return module.run(parser.parse_args(arguments))


def new_parser(name: str, summary: str, epilog: str, usage: str | None = None) -> Parser:
    return Parser(
        prog=f"prock {name}",
        usage=usage,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=epilog,
        formatter_class=_formatter,
        allow_abbrev=False,  # else an option that comes later could break a script
    )


def run_without_subcommand(arguments: Sequence[str], commands: Mapping[str, str]) -> int:
    width = max(map(len, commands))
    parser = Parser(
        prog="prock",
        usage="prock COMMAND [ARGUMENT ...]",
        description="CPU, memory and I/O of process trees: true, cheap, simple.",
        epilog="commands:\n"
        + "".join(f"  {name:{width}}  {summary}\n" for name, summary in commands.items())
        + "\nprock COMMAND --help tells about each, with an example.",
        formatter_class=_formatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    parser.add_argument("command", nargs="?", metavar="COMMAND", help=argparse.SUPPRESS)
    chosen, _ = parser.parse_known_args(arguments)
    if chosen.version:
        from prock import __version__

        output.write([f"prock {__version__}"])
        return 0
    if chosen.command is not None:
        raise output.Failure(f"{chosen.command!r} is not a command: choose one of {', '.join(commands)}", 2)
    parser.parse_args(arguments)  # complains about an option that does not exist
    output.write_error(parser.format_help())  # nothing was asked: no output that a script could take for an answer
    return 2


def add_pid(parser: argparse.ArgumentParser, *, of: str) -> None:
    parser.add_argument(
        "pid",
        nargs="?",
        type=pid_argument,
        metavar="PID",
        help=f"{of} (default: the process that calls this command, in a terminal your shell)",
    )


def add_interval(parser: argparse.ArgumentParser, purpose: str) -> None:
    parser.add_argument("-i", "--interval", type=seconds_argument, metavar="SECONDS", help=purpose)


def keys(of: str, names: Iterable[str]) -> str:
    """``largest first, by cpu (default), rss, threads or processes``."""
    first, *others, last = names
    return f"{of} {', '.join((f'{first} (default)', *others))} or {last}"


def chosen_pid(arguments: argparse.Namespace) -> int:
    """The pid that was given, or the caller's."""
    pid: int | None = arguments.pid
    if pid is None:
        pid = os.getppid()
        if pid == 0:
            raise output.Failure("the process that calls this command is outside this PID namespace: give a PID", 2)
    return pid


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, and writes its help through `output`, which knows about closed pipes."""

    def error(self, message: str) -> NoReturn:
        raise output.Failure(f"{escape(message)} (see {self.prog} --help)", 2)

    def print_help(self, file: IO[str] | None = None) -> None:  # type: ignore[override]  # argparse takes any writer
        output.write(self.format_help().rstrip("\n").split("\n"))


def _formatter(prog: str, **options: Any) -> argparse.HelpFormatter:
    """A width that is given spares argparse the import of shutil, which it would use for asking the terminal."""
    return argparse.RawDescriptionHelpFormatter(prog, width=min(HELP_WIDTH, output.terminal_width() or HELP_WIDTH))

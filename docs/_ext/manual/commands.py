"""The options of the command, as its own parsers have them."""

from __future__ import annotations

import argparse
import importlib
from typing import NamedTuple

from prock.cli import COMMANDS, OF_THEIR_OWN
from prock.cli.parser import new_parser
from prock.cli.run.options import ATTACH, RUN, build_parser

GROUPS = {"run": RUN, "attach": ATTACH}
MODULES = {"run": "run.command", "attach": "run.attach"}
"""Where a command is not in the module of its name."""


class Option(NamedTuple):
    """A row of a table: how it is written, and what its help says."""

    flags: tuple[str, ...]
    """Empty for an argument that has none."""
    value: str
    help: str

    @property
    def written(self) -> str:
        value = f" {self.value}" if self.value else ""
        return ", ".join(self.flags) + value if self.flags else self.value


def parser_of(name: str) -> argparse.ArgumentParser:
    """As ``prock NAME --help`` has it."""
    module = importlib.import_module(f"prock.cli.{MODULES.get(name, name)}")
    if name in OF_THEIR_OWN:
        return build_parser(GROUPS[name], name=name, usage=module.USAGE, summary=COMMANDS[name], epilog=module.EPILOG)
    parser = new_parser(name, COMMANDS[name], module.EPILOG)
    module.configure(parser)
    parser.add_argument("--json", action="store_true", help=f"one JSON document, of schema prock.{name}/1")
    return parser


def sections(name: str) -> list[tuple[str, list[Option]]]:
    """The options by the groups that the help has them in."""
    parser = parser_of(name)
    formatter = parser._get_formatter()
    found = []
    for group in parser._action_groups:
        options = [
            _option(action, formatter)
            for action in group._group_actions
            if action.help != argparse.SUPPRESS and "--help" not in action.option_strings
        ]
        if options:
            found.append((group.title or "", options))
    return found


def _option(action: argparse.Action, formatter: argparse.HelpFormatter) -> Option:
    takes_none = action.nargs == 0
    value = "" if takes_none else str(action.metavar or "{" + ",".join(map(str, action.choices or ())) + "}")
    return Option(tuple(action.option_strings), value, formatter._expand_help(action) if action.help else "")


def usage(name: str) -> str:
    """In one line."""
    return " ".join(parser_of(name).format_usage().removeprefix("usage: ").split())


def epilog(name: str) -> str:
    return str(importlib.import_module(f"prock.cli.{MODULES.get(name, name)}").EPILOG)


def about(name: str) -> str:
    """What the module says of itself, in reStructuredText: its JSON document above all."""
    return str(importlib.import_module(f"prock.cli.{MODULES.get(name, name)}").__doc__)

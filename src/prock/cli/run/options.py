"""The options of ``prock run`` and ``prock attach``: one table, read in two ways.

`read` accepts the plain forms. argparse, whose import takes 10 ms, is used for ``--help`` and for what `read` does not
accept: it writes the error message.
"""

from __future__ import annotations

from prock.accounting.open_sources import ACCOUNTINGS
from prock.cli.output import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any, TypeAlias

    Group: TypeAlias = "tuple[Option, ...]"

PROCK_FAILED = 125
"""Exit code if prock itself fails: as of timeout(1), env(1) and GNU time."""
EXCEEDED = 123
"""Exit code of a command that exceeded a limit, or succeeded but exceeded its budget."""


class Option:
    """The arguments of `ArgumentParser.add_argument`, without `type`, and what follows from them."""

    def __init__(self, *flags: str, kind: str = "", **keywords: Any) -> None:
        self.flags = flags
        self.kind = kind
        """Of the value: the function ``KIND_argument`` of `prock.cli.argtypes` converts it."""
        self.keywords = keywords
        self.action = keywords.get("action")
        self.is_switch = self.action in ("store_true", "store_const", "count")
        self.name: str = keywords.get("dest") or flags[-1].removeprefix("--").replace("-", "_")
        self.default = keywords.get("default", False if self.action == "store_true" else None)

    def convert(self, text: str) -> object:
        if not self.kind:
            return text
        from prock.cli import argtypes  # imported only for options that need it

        return getattr(argtypes, f"{self.kind}_argument")(text)


REPORT: Group = (
    Option("-q", "--quiet", action="store_true", help="print no report"),
    Option(
        "-v", "--verbose", action="count", default=0, help="tables by command and process, all sources; -vv: every row"
    ),
    Option("-o", "--output", metavar="FILE", help="write the report to FILE instead of standard error"),
    Option("-a", "--append", action="store_true", help="with -o: append to FILE"),
    Option(
        "--json", metavar="FILE", help="write all figures as a JSON document (-: standard output); see docs/formats.md"
    ),
    Option("--record", metavar="FILE", help="record usage over time into FILE, for prock report"),
    Option("--force", action="store_true", help="with --record: replace an earlier recording"),
    Option(
        "-f",
        "--format",
        metavar="FORMAT",
        help="report as gnu (GNU time -v), posix, prometheus, or a template: fields of GNU time, %%{NAME}; see below",
    ),
    Option(
        "--no-args",
        action="store_const",
        const=False,
        default=True,
        dest="arguments",
        help="report the names of commands without their arguments",
    ),
    Option("-p", "--portability", action="store_true", help="as -f posix: real, user, sys"),
    Option(
        "--label",
        kind="label",
        action="append",
        dest="labels",
        metavar="KEY=VALUE",
        help="add a label to the report and the document; repeatable",
    ),
    Option(
        "--progress",
        action="store_const",
        const=True,
        help="show a status line, even if the command writes to the terminal",
    ),
    Option(
        "--no-progress",
        action="store_const",
        const=False,
        dest="progress",
        help="show none (default: only if all output of the command goes to files)",
    ),
)
MEASURING: Group = (
    Option("-i", "--interval", kind="interval", metavar="DURATION", help="sampling interval (default: automatic)"),
    Option(
        "--accounting",
        choices=ACCOUNTINGS,
        default="auto",
        help="CPU accounting source (default: the most accurate available)",
    ),
    Option("--verify", action="store_true", help="measure with every available source and compare them"),
    Option("--pss", action="store_true", help="also measure PSS (slow for large processes)"),
    Option("--wait-all", action="store_true", help="wait until the last process of the tree has ended"),
)
ENDING: Group = (
    Option(
        "-t",
        "--timeout",
        kind="timeout",
        metavar="DURATION",
        help="end the whole tree after this time: SIGTERM, later SIGKILL",
    ),
    Option("--kill-tree", action="store_true", help="end processes that the command leaves running"),
    Option("--die-with-prock", action="store_true", help="as --kill-tree, also if prock itself is killed"),
    Option(
        "-k",
        "--kill-after",
        kind="duration",
        default=2.0,
        metavar="DURATION",
        help="time between SIGTERM and SIGKILL (default: 2s)",
    ),
    Option(
        "-r", "--repeat", kind="count", metavar="N", help="run N times; report mean, deviation, minimum and maximum"
    ),
)
BUDGET: Group = (
    Option("--max-cpu", kind="duration", metavar="DURATION", help="CPU time of the whole tree"),
    Option("--max-memory", kind="size", metavar="SIZE", help="peak memory of the whole tree"),
    Option("--max-wall", kind="duration", metavar="DURATION", help="elapsed time"),
)
LIMITS: Group = (
    Option("--limit-cpu", kind="timeout", metavar="DURATION", help="CPU time of the whole tree"),
    Option("--limit-memory", kind="size", metavar="SIZE", help="memory of the whole tree"),
    Option("--limit-processes", kind="count", metavar="N", help="processes at once, threads not counted"),
)
ELSEWHERE: Group = (
    Option(
        "--otlp",
        nargs="?",
        const="",
        metavar="URL",
        help="send metrics and spans by OpenTelemetry's protocol (default: as OTEL_EXPORTER_OTLP_ENDPOINT says); "
        "write --otlp=URL",
    ),
    Option("--args", action="store_true", help="with --otlp: send the arguments of commands, too"),
    Option(
        "--spans-min",
        kind="duration",
        metavar="DURATION",
        help="with --otlp: shorter processes are part of their parent's span (default: 10ms)",
    ),
    Option("--ci", action="store_true", help="write a summary for GitHub, GitLab or prock-summary.md while it runs"),
    Option("--push", metavar="URL", help="push the figures to a Pushgateway of Prometheus"),
)
RUN: Mapping[str, Group] = {
    "measuring": MEASURING,
    "report": REPORT,
    "other systems": ELSEWHERE,
    "ending": ENDING,
    "limits (a tree that exceeds one is ended at once; exit code 123)": LIMITS,
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
    record: str | None
    force: bool
    format: str | None
    portability: bool
    labels: list[tuple[str, str]] | None
    arguments: bool
    progress: bool | None
    interval: float | None
    accounting: str
    verify: bool
    pss: bool
    wait_all: bool
    otlp: str | None = None
    args: bool = False
    spans_min: float | None = None
    push: str | None = None
    ci: bool = False
    timeout: float | None = None
    kill_tree: bool = False
    die_with_prock: bool = False
    kill_after: float = 2.0
    repeat: int | None = None
    limit_cpu: float | None = None
    limit_memory: int | None = None
    limit_processes: int | None = None
    max_cpu: float | None = None
    max_memory: int | None = None
    max_wall: float | None = None

    def __init__(self, groups: Mapping[str, Group]) -> None:
        for group in groups.values():
            for option in group:
                setattr(self, option.name, option.default)


class NotPlain(Exception):
    """Left to argparse."""


def parse(
    words: Sequence[str], groups: Mapping[str, Group], *, name: str, usage: str, summary: str, epilog: str
) -> tuple[Settings, list[str]]:
    """The options, and the words that follow them. Raises `Failure`, and `SystemExit` after ``--help``."""
    rest = iter(words)
    try:
        settings, others = read(rest, groups)
        for first, second in contradictions(settings):
            raise Failure(f"{first} and {second} contradict each other: leave one out (see prock {name} --help)", 2)
        for problem in incomplete(settings):
            raise Failure(f"{problem} (see prock {name} --help)", 2)
        return settings, others
    except NotPlain:
        understood = words[: len(words) - len(list(rest))]
    # The remaining words belong to the command: argparse must not interpret them.
    build_parser(groups, name=name, usage=usage, summary=summary, epilog=epilog).parse_args(understood)
    raise Failure(f"ambiguous value: write one that begins with - or = as --OPTION=VALUE (see prock {name} --help)", 2)


def contradictions(settings: Settings) -> list[tuple[str, str]]:
    """Pairs of given options of which one would be ignored."""
    given = {
        "-q": settings.quiet,
        "-o": settings.output is not None,
        "-f": settings.format is not None,
        "-p": settings.portability,
        "-v": settings.verbose > 0 and settings.json is None,
    }
    pairs = ("-q -o", "-q -f", "-q -p", "-f -p", "-q -v", "-f -v", "-p -v")
    return [(first, second) for first, second in map(str.split, pairs) if given[first] and given[second]]


def incomplete(settings: Settings) -> list[str]:
    """Given options without the option that they belong to."""
    given = [
        (settings.append and settings.output is None, "-a needs a file to append to: add -o FILE"),
        (settings.force and settings.record is None, "--force needs a recording to replace: add --record FILE"),
        (settings.args and settings.otlp is None, "--args is about what is sent: add --otlp"),
        (settings.spans_min is not None and settings.otlp is None, "--spans-min is about what is sent: add --otlp"),
    ]
    return [problem for is_so, problem in given if is_so]


def read(rest: Iterator[str], groups: Mapping[str, Group]) -> tuple[Settings, list[str]]:
    """The plain forms: ``-x``, ``-xVALUE``, ``-x VALUE``, ``-xy``, ``--long``, ``--long VALUE``, ``--long=VALUE``."""
    settings = Settings(groups)
    table = {flag: option for group in groups.values() for option in group for flag in option.flags}
    for word in rest:
        if word == "--":
            break
        if word == "-" or not word.startswith("-"):
            return settings, [word, *rest]
        for flag, value in _split(word, table):
            if flag not in table:
                raise NotPlain(flag)
            _apply(settings, table[flag], value, rest)
    return settings, list(rest)


def _split(word: str, table: Mapping[str, Option]) -> list[tuple[str, str | None]]:
    """``--long=1`` and ``-vr5`` as flags with their values."""
    if word.startswith("--"):
        flag, equals, value = word.partition("=")
        return [(flag, value if equals else None)]
    flags: list[tuple[str, str | None]] = []
    for position, letter in enumerate(word[1:], 2):
        flag, attached = f"-{letter}", word[position:]
        if flag in table and not table[flag].is_switch:
            if attached.startswith("="):  # part of the value for getopt, not for argparse
                raise NotPlain(word)
            return [*flags, (flag, attached or None)]
        flags.append((flag, None))
    return flags


def _apply(settings: Settings, option: Option, value: str | None, rest: Iterator[str]) -> None:
    flag, before = option.flags[0], getattr(settings, option.name)
    if option.is_switch:
        if value is not None:
            raise NotPlain(flag)
        given = before + 1 if option.action == "count" else option.keywords.get("const", True)
        setattr(settings, option.name, given)
        return
    if value is None and option.keywords.get("nargs") == "?":
        value = option.keywords["const"]
    elif value is None:
        value = next(rest, None)
        if value is None or (value.startswith("-") and value != "-"):  # perhaps an option or a negative number
            raise NotPlain(flag)
    if value == "--":  # argparse drops it everywhere
        raise NotPlain(flag)
    if value not in option.keywords.get("choices", (value,)):
        raise NotPlain(flag)
    given = option.convert(value)
    setattr(settings, option.name, [*(before or ()), given] if option.action == "append" else given)


def build_parser(
    groups: Mapping[str, Group], *, name: str, usage: str, summary: str, epilog: str
) -> argparse.ArgumentParser:
    from prock.cli.parser import new_parser

    parser = new_parser(f"prock {name}", summary, epilog, usage=usage)
    for title, group in groups.items():
        section = parser.add_argument_group(title)
        for option in group:
            convert: dict[str, Any] = {} if option.is_switch else {"type": option.convert}
            section.add_argument(*option.flags, **option.keywords, **convert)
    return parser

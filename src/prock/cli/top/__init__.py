"""``prock top``: follow a tree, or several, on the whole screen or line by line.

JSON (``prock.top/1``): one document a line for each sample, with `trees`: a list, of one tree without ``--name``, else
of all that match now; one whose last process has ended is listed once more. A
tree has the names of `prock.TreeTotals`, and `members`: a flat list, the root first, then breadth first, with the names
of `prock.MemberSample`. Null is unknown, refused or not asked for.
"""

from __future__ import annotations

import os
import sys
import time

from prock.cli import argtypes as values
from prock.cli import output
from prock.cli import parser as command
from prock.cli.top import trees as sources
from prock.cli.top.model import SORTS, lines
from prock.cli.top.render import Pen, counts, lost, trust
from prock.report.format import format_bytes
from prock.report.layout import decode_bytes, format_percent, table
from prock.sampling.schedule import Deadlines

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from prock.cli.top.model import Picture
    from prock.cli.top.trees import Source
    from prock.model import MemberSample
    from prock.sampling.sample import TreeSample

EPILOG = """\
On a terminal, and with the extra "top" installed, it fills the screen: ? there
tells the keys. Else, or with --plain, it prints a table again and again; with
--json a document a line, for each sample.

%CPU is of one core over the interval; a column with + counts the process and
everything below it. TIME+ has the children that were waited for. What is used
by processes that have ended is told apart, and so is how true the total is.

examples:
  prock top 4711                follow process 4711 and all below it
  prock top --name '^make$'     all outermost processes of that name
  prock top 4711 --plain -n 5   five tables, a second apart
"""
DEFAULT_INTERVAL_S = 1.0


def configure(parser: argparse.ArgumentParser) -> None:
    command.add_pid(parser, of="root of the tree")
    parser.add_argument(
        "--name", metavar="PATTERN", help="all trees whose root's name matches a regular expression, outermost ones"
    )
    parser.add_argument("-f", "--full", action="store_true", help="match PATTERN with the whole command line")
    command.add_interval(parser, "time between two samples (default: 1)")
    parser.add_argument("-n", "--count", type=values.count_argument, metavar="N", help="end after N samples (0: never)")
    parser.add_argument(
        "-s",
        "--sort",
        choices=tuple(SORTS),
        default="cpu",
        metavar="KEY",
        help=command.keys("siblings, with all below them, by", SORTS),
    )
    parser.add_argument("--io", action="store_true", help="I/O rates, too (one more read a process)")
    parser.add_argument("--plain", action="store_true", help="print tables, also on a terminal")


def run(arguments: argparse.Namespace) -> int:
    source = _source(arguments)
    interval_s = arguments.interval or DEFAULT_INTERVAL_S
    try:
        if not (arguments.json or arguments.plain) and _is_whole_terminal():
            try:
                from prock.cli.top import app
            except ModuleNotFoundError as error:
                if (error.name or "").partition(".")[0] not in ("textual", "rich"):
                    raise
                output.write_error("prock top: for the whole screen, install prock[top]; here are tables\n")
            else:
                return app.show(source, interval_s, arguments)
        _print(source, interval_s, arguments)
    finally:
        source.close()
    return 0


def _source(arguments: argparse.Namespace) -> Source:
    if arguments.sort == "io" and not arguments.io:
        raise output.Failure("--sort io needs --io", 2)
    if arguments.name is None:
        if arguments.full:
            raise output.Failure("--full is about --name: give both", 2)
        return sources.one(command.chosen_pid(arguments), io=arguments.io)
    if arguments.pid is not None:
        raise output.Failure("PID and --name exclude each other", 2)
    return sources.named(arguments.name, full=arguments.full, io=arguments.io)


def _is_whole_terminal() -> bool:
    """Whether the view finds what it needs: it reads from standard input and draws on standard error."""
    streams = (sys.__stdin__, sys.__stdout__, sys.__stderr__)
    try:
        return os.environ.get("TERM") != "dumb" and all(stream is not None and stream.isatty() for stream in streams)
    except ValueError:  # closed
        return False


def _print(source: Source, interval_s: float, arguments: argparse.Namespace) -> None:
    """Sample after sample, to the end of the tree, or for as many as were asked for."""
    screen = output.Screen()
    deadlines = Deadlines(interval_s, time.monotonic_ns())
    printed = 0
    while True:
        time.sleep(deadlines.remaining(time.monotonic_ns()))
        picture = source.look(*deadlines.take(time.monotonic_ns()))
        if arguments.json:
            output.write_json(as_json(picture), one_line=True)
        else:
            output.write([*([""] if printed else []), *page(picture, source.title, arguments, screen)])
        printed += 1
        if picture.totals.is_over or printed == arguments.count:
            return


def page(picture: Picture, title: str, arguments: argparse.Namespace, screen: output.Screen) -> list[str]:
    """A table and what is to be said about it."""
    totals = picture.totals
    pen = Pen(screen, with_io=arguments.io)
    columns = pen.fitting_columns(screen.width or 1000)
    shown = lines(picture.tops, sort=arguments.sort)
    rows = [[*pen.cells(line.node, columns), ""] for line in shown]
    numbers = table([[*(column.title for column in columns), ""], *rows])
    room = None if screen.width is None else max(0, screen.width - len(numbers[0]))
    text = [numbers[0] + "COMMAND"]
    text += [number + pen.name(line, room) for number, line in zip(numbers[1:], shown, strict=True)]
    sums = [counts(totals), f"%CPU {format_percent(totals.cpu_percent)} over {totals.interval_ns / 1e9:.2f} s"]
    sums.append(f"RSS {format_bytes(totals.rss_bytes)}")
    if arguments.io:
        sums.append(pen.rates(totals))
    said = [f"total  {', '.join(sums)}", lost(totals)[0], trust(totals)]
    if totals.is_over:
        said.append(f"over   no process is left of {screen.clean(title)}")
    if screen.width is not None:
        said = [pen.cut(line, screen.width) for line in said]
    return [screen.paint(text[0], "bold"), *text[1:], *(screen.paint(line, "dim") for line in said)]


def as_json(picture: Picture) -> dict[str, object]:
    return {"schema": "prock.top/1", "trees": [_tree_as_json(sample) for sample in picture.samples]}


def _tree_as_json(sample: TreeSample) -> dict[str, object]:
    return {
        **sample.totals._asdict(),
        "cpu_percent": _rounded(sample.cpu_percent),
        "cpu_bias": sample.cpu_bias,
        "is_over": sample.is_over,
        "disk_io": None if sample.disk_io is None else sample.disk_io._asdict(),
        "members": [_member_as_json(member) for member in sample.members],
    }


def _member_as_json(member: MemberSample) -> dict[str, object]:
    row = member._asdict()
    for name in ("disk_io", "subtree_disk_io"):
        row[name] = None if row[name] is None else row[name]._asdict()
    for name in ("cpu_percent", "subtree_cpu_percent"):
        row[name] = _rounded(row[name])
    row["comm"] = decode_bytes(member.comm)
    row["refused"] = list(member.refused)
    return row


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)

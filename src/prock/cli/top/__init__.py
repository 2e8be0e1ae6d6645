"""``prock top``: follow one or several process trees, full-screen or as tables.

JSON (``prock.top/1``): one document per line and sample, with `trees`: a list of one tree, or with ``--name`` of all
that match; a tree whose last process has ended is listed once more. A tree has the fields of `prock.TreeTotals`, and
`members`: a flat list, the root first, then breadth first, with the fields of `prock.MemberSample`
and `cmdline`: the arguments, null where unknown; the values of passwords, tokens, secrets and keys are ``***``.
"""

from __future__ import annotations

import os
import sys
import time

from prock.cli import argtypes, output, selectors
from prock.cli import parser as command
from prock.cli.top import trees
from prock.cli.top.model import SORTS, lines
from prock.cli.top.render import Pen, accuracy, counts, ended_cpu
from prock.report.layout import as_document, decode_bytes, format_bytes, format_percent
from prock.sampling.schedule import Deadlines

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Set
    from typing import Any

    from prock.cli.top.model import Picture
    from prock.cli.top.trees import Source
    from prock.model import Identity, MemberSample
    from prock.sampling.sample import TreeSample

EPILOG = """\
On a terminal, and with the extra "top" installed, it is full-screen: ? lists
the keys. Otherwise, or with --plain, it prints one table per sample; with
--json one document per line and sample.

DURATION is in seconds, or with units: 500ms, 90s, 10m (minutes), 1h30m.

%CPU is of one core over the interval. A column with + includes all descendants;
TIME+ includes children that were waited for. Below the table are the CPU time
of ended processes and the accuracy of the total.

examples:
  prock top 4711                follow process 4711 and its descendants
  prock top --name '^make$'     follow all outermost processes of that name
  prock top 4711 --plain -n 5   print five tables, one per second
"""
DEFAULT_INTERVAL_S = 1.0


def configure(parser: argparse.ArgumentParser) -> None:
    command.add_pid(parser, of="root of the tree")
    selectors.add_options(parser, without=["pid"])
    command.add_interval(parser, "time between two samples (default: 1)")
    parser.add_argument(
        "-n", "--count", type=argtypes.count_argument, metavar="N", help="stop after N samples (0: never)"
    )
    command.add_sort(parser, "sort siblings, with their descendants, by", SORTS)
    parser.add_argument("--io", action="store_true", help="show I/O rates (one more read per process)")
    command.add_numbers(parser)
    command.add_no_args(parser)
    parser.add_argument("--plain", action="store_true", help="print tables, even on a terminal")


def run(arguments: argparse.Namespace) -> int:
    source = _source(arguments)
    interval_s = arguments.interval or DEFAULT_INTERVAL_S
    try:
        if not (arguments.json or arguments.plain) and _can_fill_terminal():
            try:
                from prock.cli.top import app
            except ModuleNotFoundError as error:
                if (error.name or "").partition(".")[0] not in ("textual", "rich"):
                    raise
                output.write_error("prock top: printing tables: install prock[top] for the full-screen view\n")
            else:
                return app.show(source, interval_s, arguments)
        _print(source, interval_s, arguments)
    finally:
        source.close()
    return 0


def _source(arguments: argparse.Namespace) -> Source:
    numbers = command.chosen_numbers(arguments)
    chosen: dict[str, Any] = {"io": arguments.io, "arguments": arguments.arguments, **numbers}
    if arguments.sort in ("io", *numbers) and not getattr(arguments, arguments.sort):
        raise output.Failure(f"--sort {arguments.sort} without --{arguments.sort}: add --{arguments.sort}", 2)
    selector = selectors.chosen({**vars(arguments), "pid": None})
    if selector is not None and arguments.pid is not None:
        raise output.Failure("both PID and another selection of trees: give only one", 2)
    return trees.of(selector or selectors.by_pid(command.chosen_pid(arguments)), **chosen)


def _can_fill_terminal() -> bool:
    """The full-screen view reads standard input and draws on standard error."""
    streams = (sys.__stdin__, sys.__stdout__, sys.__stderr__)
    return os.environ.get("TERM") != "dumb" and all(map(output.is_terminal, streams))


def _print(source: Source, interval_s: float, arguments: argparse.Namespace) -> None:
    """Print each sample until the tree has ended or ``--count`` is reached."""
    pen = Pen(output.Screen(), with_io=arguments.io, numbers=command.chosen_numbers(arguments))
    deadlines = Deadlines(interval_s, time.monotonic_ns())
    printed = 0
    while True:
        time.sleep(deadlines.remaining(time.monotonic_ns()))
        picture = source.look(*deadlines.advance(time.monotonic_ns()))
        if arguments.json:
            output.write_json(as_json(picture), one_line=True)
        else:
            text = page(picture, source.title, arguments.sort, pen)
            output.write([*([""] if printed else []), *text])
        printed += 1
        if picture.totals.is_over or printed == arguments.count:
            return


def page(picture: Picture, title: str, sort: str, pen: Pen, *, folded: Set[Identity] = frozenset()) -> list[str]:
    """A table, totals and their accuracy."""
    totals, screen = picture.totals, pen.screen
    sums = [counts(totals), f"%CPU {format_percent(totals.cpu_percent)} over {totals.cpu_percent_over_ns / 1e9:.2f} s"]
    sums.append(f"RSS {format_bytes(totals.rss_bytes)}")
    if pen.with_io:
        sums.append(pen.rates(totals))
    footer = [f"total     {', '.join(sums)}", ended_cpu(totals)[0], accuracy(totals)]
    if totals.is_over:
        footer.append(f"over      all processes of {screen.clean(title)} have ended")
    if screen.width is not None:
        footer = [pen.cut(line, screen.width) for line in footer]
    table = pen.table(lines(picture.tops, sort=sort, folded=folded))
    return [*table, *(screen.paint(line, "dim") for line in footer)]


def as_json(picture: Picture) -> dict[str, object]:
    return {"schema": "prock.top/1", "trees": [_tree_as_json(sample, picture) for sample in picture.samples]}


def _tree_as_json(sample: TreeSample, picture: Picture) -> dict[str, object]:
    return {
        **sample.totals._asdict(),
        "cpu_percent": rounded(sample.cpu_percent),
        "cpu_bias": sample.cpu_bias,
        "is_over": sample.is_over,
        "disk_io": None if sample.disk_io is None else sample.disk_io._asdict(),
        "members": [_member_as_json(member, picture.cmdline(member)) for member in sample.members],
    }


def _member_as_json(member: MemberSample, cmdline: tuple[str, ...] | None) -> dict[str, object]:
    row = member._asdict()
    for name in ("disk_io", "subtree_disk_io"):
        row[name] = None if row[name] is None else row[name]._asdict()
    for name in ("cpu_percent", "subtree_cpu_percent"):
        row[name] = rounded(row[name])
    row["comm"] = decode_bytes(member.comm)
    row["refused"] = list(member.refused)
    row["cmdline"] = as_document(cmdline)
    return row


def rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)

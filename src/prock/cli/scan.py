"""``prock scan``: the machine's processes as trees, those that use the most first.

JSON (``prock.scan/1``): `interval_s` (null without ``--interval``), `cpus`, `totals`, `coverage`, and `trees` in the
chosen order, all of them with ``-n 0``. Times count since the start of each process; `cpu_percent` (of one core) is of
the interval, in which the times are null. `root_cmdline`: the arguments of the root, null where unknown; the values of
passwords, tokens, secrets and keys are ``***``.
"""

from __future__ import annotations

import os
import time

import prock
from prock import engine
from prock._compat.namedtuple import NamedTuple
from prock.cli import argtypes, output
from prock.cli import parser as command
from prock.cli.scan_groups import Tree, divide
from prock.model import MemberSample
from prock.report.layout import (
    as_document,
    count,
    cut,
    decode_bytes,
    describe,
    format_bytes,
    format_cpu,
    format_percent,
    shorten,
    table,
    width,
)
from prock.sampling.command_lines import CommandLines

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from prock.cli.scan_groups import Row

EPILOG = """\
A tree begins at every child of pid 1 or of a user's systemd, and at every login
and terminal (leader of a session that has a terminal). Pid 1 and user managers
are trees of one process, all kernel threads are one line. Every process is in
exactly one tree.

DURATION is in seconds, or with units: 500ms, 90s, 10m (minutes), 1h30m.

CPU is the time of the processes that exist; CPU+ includes the children that
they waited for (for pid 1: all services that have ended). With --interval,
%CPU is of one core and includes children that ended in the interval. RSS is an
upper bound, as shared pages count in each process.

examples:
  prock scan                    the trees that used the most CPU
  prock scan -i 2 -n 5          the five busiest trees of the next two seconds
"""


def _cpu(row: Row) -> float:
    if isinstance(row, MemberSample):
        return row.cpu_percent or 0
    return (row.cpu_time_with_children or row.cpu_time).total_ns


NAME_WIDTH = 24
"""Columns of a command at least, before the names of those that use the most."""

VALUES: dict[str, Callable[[Row], float]] = {
    "cpu": _cpu,
    "rss": lambda row: row.rss_bytes or 0,
    "threads": lambda row: row.thread_count,
    "processes": lambda _: 1,
}


class Sums(NamedTuple):
    """Of several processes, named as in the JSON document. Times are None in an interval."""

    process_count: int
    thread_count: int
    rss_bytes: int | None
    cpu_time_ns: int | None
    cpu_time_with_children_ns: int | None
    cpu_percent: float | None


class Machine:
    """All trees: of one scan, or sampled over an interval."""

    def __init__(self, seconds: float | None) -> None:
        began_ns = time.monotonic_ns()
        scan = prock.scan_all_processes()
        self.took_ns = time.monotonic_ns() - began_ns
        self.vanished, self.denied = scan.vanished, scan.denied
        self.interval_ns: int | None = None
        self.ended: int | None = None
        self.trees = divide(scan)
        if seconds is not None:
            self._sample(seconds)

    def _sample(self, seconds: float) -> None:
        from prock.sampling.forest import Forest

        roots = [tree.root.pid for tree in self.trees]
        hides_processes = all(row.pid != 1 for tree in self.trees for row in tree.rows)
        with Forest(roots, missing_ok=True, accounting="ledger") as forest:
            time.sleep(seconds)
            began_ns = time.monotonic_ns()
            samples = forest.sample()
            self.took_ns = time.monotonic_ns() - began_ns
        self.trees = [tree for tree in self.trees if tree.root.pid in samples]
        for tree in self.trees:
            sample = samples[tree.root.pid]
            tree.rows, tree.cpu_percent = sample.members, sample.cpu_percent
            if hides_processes and sample.cpu_percent_over_ns:  # a parent inherits all the time of a hidden child
                tree.cpu_percent = 100.0 * (sample.cpu_ns - sample.unseen_cpu_ns) / sample.cpu_percent_over_ns
        self.interval_ns = max((sample.cpu_percent_over_ns for sample in samples.values()), default=0)
        self.ended = sum(sample.ended for sample in samples.values())
        self.vanished += sum(sample.vanished for sample in samples.values())
        self.denied += sum(sample.denied for sample in samples.values())


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-n",
        dest="limit",
        type=argtypes.count_argument,
        default=10,
        metavar="N",
        help="number of trees (default: 10; 0: all)",
    )
    command.add_sort(parser, "sort, largest first, by", VALUES)
    command.add_interval(parser, "measure for this time; show percent")
    command.add_no_args(parser)


def run(arguments: argparse.Namespace) -> int:
    machine = Machine(arguments.interval)
    value = VALUES[arguments.sort]

    def rank(tree: Tree) -> tuple[float, int]:
        if arguments.sort == "cpu" and machine.interval_ns is not None:
            return -(tree.cpu_percent or 0), tree.root.pid
        return -sum(map(value, tree.rows)), tree.root.pid

    trees = sorted((tree for tree in machine.trees if tree.rows), key=rank)
    shown = trees[: arguments.limit or None]
    cmdlines = CommandLines(engine.active, arguments=arguments.arguments)
    cmdlines.read((tree.root.identity, tree.root.comm) for tree in shown)
    if arguments.json:
        output.write_json(_as_json(machine, shown, cmdlines))
        return 0
    screen = output.Screen()
    output.write([*_table(machine, shown, trees[len(shown) :], value, screen, cmdlines), *_footer(machine, screen)])
    return 0


def _sums(trees: Sequence[Tree]) -> Sums:
    rows = [row for tree in trees for row in tree.rows]
    known = [row.rss_bytes for row in rows if row.rss_bytes is not None]
    scanned = [row for row in rows if not isinstance(row, MemberSample)]
    percents = [tree.cpu_percent for tree in trees if tree.cpu_percent is not None]
    return Sums(
        process_count=len(rows),
        thread_count=sum(row.thread_count for row in rows),
        rss_bytes=sum(known) if known else None,
        cpu_time_ns=sum(row.cpu_time.total_ns for row in scanned) if scanned else None,
        cpu_time_with_children_ns=round(sum(map(_cpu, scanned))) if scanned else None,
        cpu_percent=round(sum(percents), 2) if percents else None,
    )


def _table(
    machine: Machine,
    shown: list[Tree],
    others: list[Tree],
    value: Callable[[Row], float],
    screen: output.Screen,
    cmdlines: CommandLines,
) -> list[str]:
    cpu = ("CPU", "CPU+") if machine.interval_ns is None else ("%CPU",)
    rows: list[tuple[str, ...]] = [("PID", "PROCS", "THR", *cpu, "RSS", "")]
    names = [("TREE", "")]
    for tree in shown:
        rows.append(("" if tree.is_kernel else str(tree.root.pid), *_cells([tree], machine), ""))
        names.append(_name(tree, value, screen, cmdlines))
    if others:
        rows.append(("", *_cells(others, machine), ""))
        names.append((f"{screen.ellipsis} {count(len(others), 'more tree')}", ""))
    lines = []
    for line, (name, after) in zip(table(rows), names, strict=True):
        if screen.width is not None:
            left = max(0, screen.width - width(line))
            name = cut(shorten(name, max(NAME_WIDTH, left - width(after)), screen.ellipsis), left, screen.ellipsis)
            after = cut(after, left - width(name), screen.ellipsis)
        lines.append(line + name + after)
    return [screen.paint(lines[0], "bold"), *lines[1:]]


def _cells(trees: list[Tree], machine: Machine) -> tuple[str, ...]:
    sums = _sums(trees)
    cpu = [format_cpu(sums.cpu_time_ns), format_cpu(sums.cpu_time_with_children_ns)]
    if machine.interval_ns is not None:
        cpu = [format_percent(sums.cpu_percent)]
    return (f"{sums.process_count:,}", f"{sums.thread_count:,}", *cpu, format_bytes(sums.rss_bytes))


def _name(tree: Tree, value: Callable[[Row], float], screen: output.Screen, cmdlines: CommandLines) -> tuple[str, str]:
    """The command of the root, and which others use the most."""
    if tree.is_kernel:
        return "[kernel threads]", ""
    name = describe(cmdlines.get(tree.root.identity, tree.root.comm), tree.root.comm, screen.encoding)
    main = tree.main_command(value)
    if main is None:
        return name, ""
    comm, processes = main
    times = f" ({processes:,})" if processes > 1 else ""
    return name, f", mostly {screen.clean(comm)}{times}"


def _footer(machine: Machine, screen: output.Screen) -> list[str]:
    sums = _sums(machine.trees)
    totals = [
        f"{count(sums.process_count, 'process', 'processes')} in {count(len(machine.trees), 'tree')}",
        count(sums.thread_count, "thread"),
    ]
    coverage = [f"{machine.vanished:,} vanished", f"{machine.denied:,} denied"]
    took = f"a scan took {machine.took_ns / 1e6:.1f} ms"
    if machine.interval_ns is not None:
        percent, seconds = format_percent(sums.cpu_percent), machine.interval_ns / 1e9
        totals.append(f"%CPU {percent} of {100 * (os.cpu_count() or 1)} over {seconds:.2f} s")
        coverage.append(f"{machine.ended:,} ended in the interval")
        took = f"a sample took {machine.took_ns / 1e6:.1f} ms"
    lines = [f"total     {', '.join(totals)}", f"coverage  {', '.join(coverage)}; {took}"]
    return ["", *(screen.paint(line, "dim") for line in lines)]


def _as_json(machine: Machine, shown: list[Tree], cmdlines: CommandLines) -> dict[str, object]:
    return {
        "schema": "prock.scan/1",
        "interval_s": None if machine.interval_ns is None else round(machine.interval_ns / 1e9, 6),
        "cpus": os.cpu_count(),
        "totals": {"tree_count": len(machine.trees), **_sums(machine.trees)._asdict()},
        "coverage": {
            "vanished": machine.vanished,
            "denied": machine.denied,
            "ended_in_interval": machine.ended,
            "scan_ns": machine.took_ns,
        },
        "trees": [
            {
                "root_pid": tree.root.pid,
                "root_comm": decode_bytes(tree.root.comm),
                "root_cmdline": as_document(cmdlines.get(tree.root.identity, tree.root.comm)),
                "is_kernel": tree.is_kernel,
                **_sums([tree])._asdict(),
                "pids": sorted(row.pid for row in tree.rows),
            }
            for tree in shown
        ],
    }

"""``prock scan``: the machine's processes as trees, and which of them use the most.

JSON (``prock.scan/1``): `interval_s` (null without ``--interval``), `cpus`, `totals`, `coverage`, and `trees`: the
first of them in the order asked for, all with ``-n 0``. A tree has `root_pid`, `root_comm`, `is_kernel`, `pids` and
sums of its processes. Times count since each process's start; `cpu_percent` (of one core) is of the interval. Null is
unknown or not asked for.
"""

from __future__ import annotations

import os
import time

import prock
from prock import engine
from prock.cli import argtypes as values
from prock.cli import output
from prock.cli import parser as command
from prock.cli.scan_groups import Tree, as_member, forest
from prock.cli.usage import Interval, Sums
from prock.model import Scan
from prock.report.format import format_bytes, format_cpu
from prock.report.layout import count, cut, decode_bytes, format_percent, table, width

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

EPILOG = """\
A tree begins at every child of pid 1 or of a user's systemd, and at every
login and terminal (leader of a session that has a terminal). Pid 1 and user
managers stand for themselves alone, kernel threads are one line. Every
process is in exactly one tree.

CPU is the time of the processes that are there; CPU+ has the children that
they waited for, too (of pid 1: all services that have ended). With
--interval, %CPU is of one core and has the children that ended meanwhile. RSS
is an upper bound, as memory that processes share counts in each.

examples:
  prock scan                    who used the most CPU
  prock scan -i 2 -n 5          the five busiest trees of the next two seconds
"""

VALUES: dict[str, Callable[[Sums], int]] = {
    "cpu": lambda sums: sums.cpu_ns or 0,
    "rss": lambda sums: sums.rss_bytes or 0,
    "threads": lambda sums: sums.threads or 0,
    "processes": lambda sums: sums.processes,
}


class Machine:
    """One scan, or two with an interval between them."""

    def __init__(self, seconds: float | None) -> None:
        began_ticks = engine.active.now_ticks()
        before = None if seconds is None else prock.scan_all_processes()
        if seconds is not None:
            time.sleep(seconds)
        began_ns = time.monotonic_ns()
        self.scan: Scan = prock.scan_all_processes()
        self.took_ns = time.monotonic_ns() - began_ns
        self.interval = None
        if before is not None:
            self.interval = Interval(
                map(as_member, before),
                map(as_member, self.scan),
                began_ticks=began_ticks,
                elapsed_ns=self.scan.taken_ns - before.taken_ns,
                complete=before.denied == 0 and any(row.pid == 1 for row in before),  # hidepid hides it, uncounted
            )
        self.trees = forest(self.scan, self.interval)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-n",
        dest="limit",
        type=values.count_argument,
        default=10,
        metavar="N",
        help="how many trees (default: 10; 0: all)",
    )
    parser.add_argument(
        "-s",
        "--sort",
        choices=tuple(VALUES),
        default="cpu",
        metavar="KEY",
        help=command.keys("largest first, by", VALUES),
    )
    command.add_interval(parser, "measure for so long, and show percent")


def run(arguments: argparse.Namespace) -> int:
    machine = Machine(arguments.interval)
    value = VALUES[arguments.sort]
    trees = sorted(machine.trees, key=lambda tree: (-value(tree.sums), tree.root.pid))
    shown = trees[: arguments.limit or None]
    if arguments.json:
        output.write_json(_as_json(machine, shown))
        return 0
    screen = output.Screen()
    output.write([*_table(machine, shown, trees[len(shown) :], value, screen), *_footer(machine, screen)])
    return 0


def _table(
    machine: Machine, shown: list[Tree], others: list[Tree], value: Callable[[Sums], int], screen: output.Screen
) -> list[str]:
    cpu = ("CPU", "CPU+") if machine.interval is None else ("%CPU",)
    rows = [("PID", "PROCS", "THR", *cpu, "RSS", "")]
    names = ["TREE"]
    for tree in shown:
        rows.append(("" if tree.is_kernel else str(tree.root.pid), *_cells(tree.sums, machine.interval), ""))
        names.append(_name(tree, value, screen))
    if others:
        rows.append(("", *_cells(_sum_of(others), machine.interval), ""))
        names.append(f"{screen.ellipsis} {count(len(others), 'more tree')}")
    lines = []
    for line, name in zip(table(rows), names, strict=True):
        room = None if screen.width is None else max(0, screen.width - width(line))
        lines.append(line + (name if room is None else cut(name, room, screen.ellipsis)))
    return [screen.paint(lines[0], "bold"), *lines[1:]]


def _cells(sums: Sums, interval: Interval | None) -> tuple[str, ...]:
    if interval is None:
        cpu = [format_cpu(sums.own_ns), format_cpu(sums.cpu_ns)]
    else:
        cpu = [format_percent(interval.percent(sums.cpu_ns))]
    return (f"{sums.processes:,}", f"{sums.threads or 0:,}", *cpu, format_bytes(sums.rss_bytes))


def _name(tree: Tree, value: Callable[[Sums], int], screen: output.Screen) -> str:
    if tree.is_kernel:
        return "[kernel threads]"
    name = screen.clean(tree.root.comm)
    most = tree.mostly(value)
    if most is None:
        return name
    comm, processes = most
    times = f" ({processes:,})" if processes > 1 else ""
    return f"{name}, mostly {screen.clean(comm)}{times}"


def _footer(machine: Machine, screen: output.Screen) -> list[str]:
    scan, sums = machine.scan, _sum_of(machine.trees)
    totals = [
        f"{count(sums.processes, 'process', 'processes')} in {count(len(machine.trees), 'tree')}",
        count(sums.threads or 0, "thread"),
    ]
    coverage = [f"{scan.vanished:,} vanished", f"{scan.denied:,} refused"]
    if machine.interval is not None:
        cores = 100 * (os.cpu_count() or 1)
        percent, seconds = machine.interval.percent(sums.cpu_ns), machine.interval.elapsed_ns / 1e9
        totals.append(f"%CPU {format_percent(percent)} of {cores} over {seconds:.2f} s")
        coverage.append(f"{len(machine.interval.ended):,} ended in the interval")
    took = f"a scan took {machine.took_ns / 1e6:.1f} ms"
    lines = [f"total     {', '.join(totals)}", f"coverage  {', '.join(coverage)}; {took}"]
    return ["", *(screen.paint(line, "dim") for line in lines)]


def _sum_of(trees: list[Tree]) -> Sums:
    sums = Sums()
    for tree in trees:
        sums.add(tree.sums)
    return sums


def _as_json(machine: Machine, shown: list[Tree]) -> dict[str, object]:
    interval, scan = machine.interval, machine.scan
    return {
        "schema": "prock.scan/1",
        "interval_s": None if interval is None else round(interval.elapsed_ns / 1e9, 6),
        "cpus": os.cpu_count(),
        "totals": {"trees": len(machine.trees), **_sums_as_json(_sum_of(machine.trees), interval)},
        "coverage": {
            "vanished": scan.vanished,
            "denied": scan.denied,
            "ended_in_interval": None if interval is None else len(interval.ended),
            "scan_ns": machine.took_ns,
        },
        "trees": [
            {
                "root_pid": tree.root.pid,
                "root_comm": decode_bytes(tree.root.comm),
                "is_kernel": tree.is_kernel,
                **_sums_as_json(tree.sums, interval),
                "pids": sorted(tree.pids),
            }
            for tree in shown
        ],
    }


def _sums_as_json(sums: Sums, interval: Interval | None) -> dict[str, object]:
    percent = None if interval is None else interval.percent(sums.cpu_ns)
    return {
        "processes": sums.processes,
        "thread_count": sums.threads,
        "rss_bytes": sums.rss_bytes,
        "cpu_time_ns": sums.own_ns if interval is None else None,
        "cpu_time_with_children_ns": sums.cpu_ns if interval is None else None,
        "cpu_percent": None if percent is None else round(percent, 2),
    }

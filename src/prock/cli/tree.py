"""``prock tree``: a process and everything below it, drawn, with totals for each subtree.

JSON (``prock.tree/1``): `root_pid`, `interval_s` (null without ``--interval``), `totals`, `coverage`, and `members`: a
flat list of all, in the order of the drawing (``--depth`` is about the drawing alone). A member has `depth`, the names
of `prock.ProcessInfo`, and its subtree's sums as ``subtree_…``. Times and bytes count since each process's start;
``…_percent`` (of one core) and ``…_per_s`` are of the interval, where there is one, and stand in the place of the
subtree's times and bytes. Null is unknown, refused or not asked for.
"""

from __future__ import annotations

import time

import prock
from prock import engine
from prock.cli import argtypes as values
from prock.cli import output
from prock.cli import parser as command
from prock.cli.tree_view import View
from prock.cli.usage import Interval, Sums, Usage, usage_of
from prock.model import CpuTime, ProcessStats, TreeStats
from prock.report.layout import decode_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator

EPILOG = """\
CPU is the time of the process itself, all its threads. A column with + counts
it and everything below it: CPU+ with the children that they waited for, and
so a lower bound, for what nobody waited for is lost; RSS+ is an upper bound,
as memory that processes share counts in each. READ+ and WRITE+ are bytes from
and to storage.

With --interval, %CPU is of one core (two busy threads: 200), and READ+/s and
WRITE+/s are rates.

examples:
  prock tree 4711 --sort cpu    who used the CPU below process 4711
  prock tree 4711 -s cpu -i 2   and who does now
"""
SORTS = ("pid", "cpu", "rss", "io", "threads", "comm")


class Node:
    """A member in its place. `sums` is of its whole subtree; `usage` of the interval, or since the start."""

    __slots__ = ("children", "depth", "member", "sums", "usage")

    def __init__(self, member: ProcessStats, usage: Usage) -> None:
        self.member = member
        self.usage = usage
        self.sums = Sums()
        self.sums.add_member(member, usage)
        self.depth = 0
        self.children: list[Node] = []


def configure(parser: argparse.ArgumentParser) -> None:
    command.add_pid(parser, of="root of the tree")
    parser.add_argument(
        "-s",
        "--sort",
        choices=SORTS,
        default="pid",
        metavar="KEY",
        help=command.keys("siblings, with all below them, by", SORTS),
    )
    parser.add_argument(
        "-d",
        "--depth",
        type=values.count_argument,
        metavar="N",
        help="levels to draw; deeper ones are counted in one line",
    )
    command.add_interval(parser, "measure for so long, and show percent and rates")
    parser.add_argument("--no-io", dest="io", action="store_false", help="leave out I/O (saves one read a process)")


def run(arguments: argparse.Namespace) -> int:
    if arguments.sort == "io" and not arguments.io:
        raise output.Failure("--sort io and --no-io exclude each other", 2)
    pid = command.chosen_pid(arguments)
    began_ticks = engine.active.now_ticks()
    tree = _snapshot(pid, arguments.io)
    interval = None
    if arguments.interval is not None:
        tree, interval = _watch(tree, arguments.interval, arguments.io, began_ticks)
    root = build(tree.members, interval, arguments.sort)
    if arguments.json:
        output.write_json(_as_json(tree, root, interval))
        return 0
    view = View(output.Screen(), interval, with_io=arguments.io)
    output.write([*view.lines(root, arguments.depth), *view.footer(tree, root)])
    return 0


def _snapshot(pid: int, io: bool) -> TreeStats:
    tree = prock.snapshot_tree(pid, io=io)
    if tree is None:
        raise output.Failure(f"no process {pid}")
    return tree


def _watch(before: TreeStats, seconds: float, io: bool, began_ticks: int) -> tuple[TreeStats, Interval]:
    """`began_ticks`: when the first look began, as starts of processes are counted."""
    pid = before.members[0].pid
    time.sleep(seconds)
    after = prock.snapshot_tree(pid, io=io)
    if after is None or after.members[0].identity != before.members[0].identity:
        raise output.Failure(f"process {pid} ended during the interval")
    interval = Interval(
        before.members,
        after.members,
        began_ticks=began_ticks,
        elapsed_ns=after.taken_ns - before.taken_ns,
        complete=all(member.info is not None for member in before.members),
    )
    return after, interval


def build(members: Iterable[ProcessStats], interval: Interval | None, sort: str) -> Node:
    """The nodes, linked and summed up. Members come parents first; a stranger's child is drawn below the root."""
    nodes: dict[int, Node] = {}
    parents: list[tuple[Node, Node]] = []
    root = None
    for member in members:
        node = nodes[member.pid] = Node(member, usage_of(member) if interval is None else interval.usage(member))
        if root is None:
            root = node
            continue
        parent = nodes.get(member.ppid or 0)
        if parent is None or parent is node:
            parent = root
        node.depth = parent.depth + 1
        parent.children.append(node)
        parents.append((node, parent))
    assert root is not None  # a snapshot holds its root at least
    if interval is not None:
        for old in interval.ended:
            waiter = next(interval.survivors_above(old), root.member.pid)
            nodes[waiter].sums.subtract_ended(interval.used_before(old))
    for node, parent in reversed(parents):
        parent.sums.add(node.sums)
    for node in nodes.values():
        node.children.sort(key=lambda child: _rank(child, sort))
    return root


def walk(root: Node) -> Iterator[Node]:
    """Depth first, in the order of the drawing, without recursion: a tree may be deeper than Python's stack."""
    stack = [root]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(reversed(node.children))


def _rank(node: Node, sort: str) -> tuple[int, str, int]:
    sums = node.sums
    name = (node.member.comm or "").lower() if sort == "comm" else ""
    number = {
        "cpu": sums.cpu_ns,
        "rss": sums.rss_bytes,
        "io": (sums.read_bytes or 0) + (sums.write_bytes or 0),
        "threads": sums.threads,
    }.get(sort)
    return -(number or 0), name, node.member.pid


def _as_json(tree: TreeStats, root: Node, interval: Interval | None) -> dict[str, object]:
    return {
        "schema": "prock.tree/1",
        "root_pid": root.member.pid,
        "interval_s": None if interval is None else round(interval.elapsed_ns / 1e9, 6),
        "totals": {
            "processes": tree.process_count,
            "thread_count": tree.thread_count,
            "cpu_time_ns": tree.cpu_time.total_ns,
            "cpu_time_with_children_ns": _total_ns(tree.cpu_time_with_children),
            "rss_bytes": tree.rss_bytes,
            "vsize_bytes": tree.vsize_bytes,
            "disk_io": None if tree.disk_io is None else tree.disk_io._asdict(),
        },
        "coverage": {
            "vanished": tree.vanished,
            "denied": tree.denied,
            "ended_in_interval": None if interval is None else len(interval.ended),
        },
        "members": [_member_as_json(node, interval) for node in walk(root)],
    }


def _member_as_json(node: Node, interval: Interval | None) -> dict[str, object]:
    member, sums = node.member, node.sums
    row: dict[str, object] = {
        "pid": member.pid,
        "ppid": member.ppid,
        "depth": node.depth,
        "comm": None if member.comm is None else decode_bytes(member.comm),
        "state": member.state,
        "start_ticks": None if member.info is None else member.info.start_ticks,
        "thread_count": member.thread_count,
        "cpu_time_ns": _total_ns(member.cpu_time),
        "cpu_time_with_children_ns": _total_ns(member.cpu_time_with_children),
        "rss_bytes": member.rss_bytes,
        "vsize_bytes": member.vsize_bytes,
        "disk_io": None if member.disk_io is None else member.disk_io._asdict(),
        "refused": list(member.refused),
        "subtree_process_count": sums.processes,
        "subtree_num_threads": sums.threads,
        "subtree_rss_bytes": sums.rss_bytes,
        "subtree_processes_with_io": sums.processes_with_io,
    }
    if interval is None:
        return row | {
            "subtree_cpu_time_ns": sums.own_ns,
            "subtree_cpu_time_with_children_ns": sums.cpu_ns,
            "subtree_read_bytes": sums.read_bytes,
            "subtree_write_bytes": sums.write_bytes,
        }
    return row | {
        "cpu_percent": _rounded(interval.percent(node.usage.own_ns)),
        "subtree_cpu_percent": _rounded(interval.percent(sums.cpu_ns)),
        "subtree_read_bytes_per_s": _rounded(interval.per_second(sums.read_bytes)),
        "subtree_write_bytes_per_s": _rounded(interval.per_second(sums.write_bytes)),
    }


def _total_ns(cpu_time: CpuTime | None) -> int | None:
    return None if cpu_time is None else cpu_time.total_ns


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)

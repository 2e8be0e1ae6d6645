"""``prock tree``: a process and all its descendants as a tree, with the totals of each subtree.

JSON (``prock.tree/1``): `root_pid`, `interval_s` (null without ``--interval``), `totals`, `coverage`, and `members`: a
flat list in the order of the drawing, whatever ``--depth`` is. Times and bytes count since the start of each process;
``…_percent`` (of one core) and ``…_per_s`` are of the interval. `cmdline`: the arguments, null where unknown; the
values of passwords, tokens, secrets and keys are ``***``. Other keys are named as
the fields of `prock.MemberSample` and `prock.TreeTotals`, which ``help()`` describes.
"""

from __future__ import annotations

import time

import prock
from prock.cli import argtypes, output, selectors
from prock.cli import parser as command
from prock.cli.top import page, rounded, trees
from prock.cli.top.model import Node, Rates, lines, plant, sum_of_known
from prock.cli.top.render import SNAPSHOT_COLUMNS, Pen
from prock.model import NUMBERS, MemberSample, TreeStats
from prock.report.layout import as_document, count, decode_bytes, format_bytes, format_cpu

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet
    from typing import Any

    from prock.cli.top.model import Line
    from prock.model import Identity
    from prock.sampling.sample import TreeSample

EPILOG = """\
CPU is the time of the process itself, all its threads. A column with + includes
all descendants. CPU+ includes children that were waited for; it is a lower
bound, as the time of children that no process waited for is lost. RSS+ is an
upper bound, as shared pages count in each process. READ+ and WRITE+ are bytes
from and to storage.

DURATION is in seconds, or with units: 500ms, 90s, 10m (minutes), 1h30m.

With --interval the tree is sampled twice, and printed as by prock top --plain.

examples:
  prock tree 4711 --sort cpu    which descendants used the CPU
  prock tree 4711 -s cpu -i 2   and which use it now
"""
SORTS = {"pid": "pid", "cpu": "time", "rss": "rss", "io": "io", "threads": "threads", "name": "name"}
"""Keys of `prock.cli.top.model.SORTS` for a snapshot, in which CPU is time instead of percent."""


def configure(parser: argparse.ArgumentParser) -> None:
    command.add_pid(parser, of="root of the tree")
    command.add_sort(parser, "sort siblings, with their descendants, by", SORTS)
    parser.add_argument(
        "-d", "--depth", type=argtypes.count_argument, metavar="N", help="levels to show; deeper ones are only counted"
    )
    command.add_interval(parser, "measure for this time; show percent and rates")
    command.add_numbers(parser)
    command.add_no_args(parser)
    parser.add_argument("--no-io", dest="io", action="store_false", help="leave out I/O (saves one read per process)")


def run(arguments: argparse.Namespace) -> int:
    if arguments.sort == "io" and not arguments.io:
        raise output.Failure("--sort io contradicts --no-io: leave out one of them", 2)
    pid = command.chosen_pid(arguments)
    if arguments.interval is None:
        _print_snapshot(pid, arguments)
    else:
        _print_sample(pid, arguments)
    return 0


def _print_snapshot(pid: int, arguments: argparse.Namespace) -> None:
    tree = prock.snapshot_tree(pid, io=arguments.io, **command.chosen_numbers(arguments))
    if tree is None:
        raise output.Failure(f"no process {pid}")
    members = members_of(tree)
    cmdlines = trees.MemberCommandLines(arguments=arguments.arguments)
    cmdlines.read(members)
    tops = plant(members, pid, _amounts if arguments.io else None, cmdlines.of)
    sort = SORTS[arguments.sort]
    if arguments.json:
        output.write_json(_as_json(tree, lines(tops, sort=sort), tops, None))
        return
    screen = output.Screen()
    pen = Pen(screen, with_io=arguments.io, numbers=command.chosen_numbers(arguments), columns=SNAPSHOT_COLUMNS)
    shown = lines(tops, sort=sort, folded=_deeper(tops, arguments.depth))
    output.write([*pen.table(shown), "", *(screen.paint(line, "dim") for line in _footer(tree))])


def _print_sample(pid: int, arguments: argparse.Namespace) -> None:
    source = trees.of(
        selectors.by_pid(pid), io=arguments.io, arguments=arguments.arguments, **command.chosen_numbers(arguments)
    )
    try:
        source.look()
        time.sleep(arguments.interval)
        picture = source.look()
    finally:
        source.close()
    (sample,) = picture.samples
    if sample.root is None:
        raise output.Failure(f"process {pid} ended during the interval")
    if arguments.json:
        shown = lines(picture.tops, sort=arguments.sort)
        output.write_json(_as_json(sample, shown, picture.tops, sample))
    else:
        pen = Pen(output.Screen(), with_io=arguments.io, numbers=command.chosen_numbers(arguments))
        folded = _deeper(picture.tops, arguments.depth)
        output.write(page(picture, source.title, arguments.sort, pen, folded=folded))


def members_of(tree: TreeStats) -> list[MemberSample]:
    """The rows of a snapshot in the form of a sample, with the sums of each subtree."""
    children: dict[int | None, list[MemberSample]] = {}
    members = []
    for stats in reversed(tree.members):  # children come after their parents
        own, both = stats.cpu_time, stats.cpu_time_with_children or stats.cpu_time
        below = children.get(stats.pid, [])
        numbers: dict[str, Any] = {metric.name: getattr(stats, metric.name) for metric in NUMBERS}
        for name in list(numbers):
            numbers[f"subtree_{name}"] = sum_of_known(
                [numbers[name], *(getattr(child, f"subtree_{name}") for child in below)]
            )
        member = MemberSample(
            pid=stats.pid,
            ppid=stats.ppid or 0,
            comm=stats.comm or "",
            state=stats.state or "?",
            thread_count=stats.thread_count or 0,
            start_ticks=0 if stats.info is None else stats.info.start_ticks,
            cpu_ns=0 if own is None else own.total_ns,
            cpu_percent=None,
            rss_bytes=stats.rss_bytes,
            vsize_bytes=stats.vsize_bytes,
            disk_io=stats.disk_io,
            pss_bytes=None,
            subtree_process_count=1 + sum(child.subtree_process_count for child in below),
            subtree_thread_count=(stats.thread_count or 0) + sum(child.subtree_thread_count for child in below),
            subtree_cpu_ns=(0 if both is None else both.total_ns) + sum(child.subtree_cpu_ns for child in below),
            subtree_cpu_percent=None,
            subtree_rss_bytes=sum_of_known([stats.rss_bytes, *(child.subtree_rss_bytes for child in below)]),
            subtree_vsize_bytes=sum_of_known([stats.vsize_bytes, *(child.subtree_vsize_bytes for child in below)]),
            subtree_disk_io=sum_of_known([stats.disk_io, *(child.subtree_disk_io for child in below)]),
            refused=stats.refused,
            **numbers,
        )
        children.setdefault(stats.ppid, []).append(member)
        members.append(member)
    return members[::-1]


def _amounts(member: MemberSample) -> Rates | None:
    """Bytes since the start, which a snapshot shows in the place of rates."""
    disk_io = member.subtree_disk_io
    if disk_io is None or disk_io.read_bytes is None or disk_io.write_bytes is None:
        return None
    return Rates(disk_io.read_bytes, disk_io.write_bytes)


def _deeper(tops: Sequence[Node], depth: int | None) -> AbstractSet[Identity]:
    """The processes of that level, whose descendants are not shown."""
    if depth is None:
        return frozenset()
    level = list(tops)
    for _ in range(depth):
        level = [child for node in level for child in node.children]
    return {node.identity for node in level}


def _footer(tree: TreeStats) -> list[str]:
    both = tree.cpu_time_with_children or tree.cpu_time
    totals = [
        count(tree.process_count, "process", "processes"),
        count(tree.thread_count or 0, "thread"),
        f"CPU {format_cpu(tree.cpu_time.total_ns)}",
        f"CPU+ {format_cpu(both.total_ns)}",
        f"RSS+ {format_bytes(tree.rss_bytes)}",
    ]
    denied: dict[str, int] = {}
    for member in tree.members:
        for file in member.refused:
            denied[file] = denied.get(file, 0) + 1
    coverage = [f"{file} of {number:,} denied" for file, number in denied.items()] or ["0 denied"]
    return [
        f"total     {', '.join(totals)}",
        f"coverage  {tree.vanished:,} vanished while being read, {', '.join(coverage)}",
        "accuracy  CPU+ is a lower bound (children that no process waited for are missing),",
        "          RSS+ an upper bound (shared pages count in each process)",
    ]


def _as_json(
    tree: TreeStats | TreeSample, shown: Sequence[Line], tops: Sequence[Node], sample: TreeSample | None
) -> dict[str, object]:
    own: dict[Node, int] = {}
    depths: dict[Node, int] = {}
    for line in shown:
        depths[line.node] = 0 if line.parent is None else depths[line.parent.node] + 1
    for line in reversed(shown):  # children come after their parents
        own[line.node] = line.node.member.cpu_ns + sum(own[child] for child in line.node.children)
    members = [top.member for top in tops]
    disk_io = sum_of_known(member.subtree_disk_io for member in members)
    return {
        "schema": "prock.tree/1",
        "root_pid": members[0].pid,
        "interval_s": None if sample is None else round(sample.interval_ns / 1e9, 6),
        "totals": {
            "process_count": tree.process_count,
            "thread_count": tree.thread_count,
            "cpu_time_ns": sum(own[top] for top in tops),
            "cpu_time_with_children_ns": sum(member.subtree_cpu_ns for member in members),
            "rss_bytes": tree.rss_bytes,
            "vsize_bytes": tree.vsize_bytes,
            "disk_io": None if disk_io is None else disk_io._asdict(),
            **{metric.name: getattr(tree, metric.name) for metric in NUMBERS},
        },
        "coverage": {
            "vanished": tree.vanished,
            "denied": tree.denied,
            "ended_in_interval": None if sample is None else sample.ended,
        },
        "members": [_member_as_json(line.node, depths[line.node], own[line.node], sample) for line in shown],
    }


def _member_as_json(node: Node, depth: int, subtree_own_ns: int, sample: TreeSample | None) -> dict[str, object]:
    member = node.member
    is_known = "stat" not in member.refused
    both_ns = member.subtree_cpu_ns - sum(child.member.subtree_cpu_ns for child in node.children)
    row: dict[str, object] = {
        "pid": member.pid,
        "ppid": member.ppid,
        "depth": depth,
        "comm": decode_bytes(member.comm) if is_known else None,
        "cmdline": as_document(node.cmdline),
        "state": member.state if is_known else None,
        "start_ticks": member.start_ticks if is_known else None,
        "thread_count": member.thread_count if is_known else None,
        "cpu_time_ns": member.cpu_ns if is_known or member.cpu_ns else None,
        "cpu_time_with_children_ns": both_ns if is_known else None,
        "rss_bytes": member.rss_bytes,
        "vsize_bytes": member.vsize_bytes,
        "disk_io": None if member.disk_io is None else member.disk_io._asdict(),
        "refused": list(member.refused),
        "subtree_process_count": member.subtree_process_count,
        "subtree_thread_count": member.subtree_thread_count,
        "subtree_rss_bytes": member.subtree_rss_bytes,
        "subtree_processes_with_io": node.with_io,
        **{metric.name: getattr(member, metric.name) for metric in NUMBERS},
        **{f"subtree_{metric.name}": getattr(member, f"subtree_{metric.name}") for metric in NUMBERS},
    }
    read, write = node.rates or (None, None)
    if sample is None:
        return row | {
            "subtree_cpu_time_ns": subtree_own_ns,
            "subtree_cpu_time_with_children_ns": member.subtree_cpu_ns,
            "subtree_read_bytes": read,
            "subtree_write_bytes": write,
        }
    return row | {
        "cpu_percent": rounded(member.cpu_percent),
        "subtree_cpu_percent": rounded(member.subtree_cpu_percent),
        "subtree_read_bytes_per_s": rounded(read),
        "subtree_write_bytes_per_s": rounded(write),
    }

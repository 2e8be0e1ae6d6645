"""Samples of trees that no kernel has to make."""

from __future__ import annotations

from typing import Any

from prock.cli.output import Screen
from prock.cli.top.model import Picture
from prock.cli.top.render import Pen
from prock.cli.top.view import State
from prock.model import NO_IO as NO_IO
from prock.model import MemberSample
from prock.sampling.sample import TreeSample


def member(pid: int, ppid: int, **changed: Any) -> MemberSample:
    return MemberSample(
        pid=pid,
        ppid=ppid,
        comm=f"p{pid}",
        state="S",
        thread_count=1,
        start_ticks=pid,
        cpu_ns=0,
        cpu_percent=0.0,
        rss_bytes=4096,
        vsize_bytes=8192,
        disk_io=None,
        pss_bytes=None,
        subtree_process_count=1,
        subtree_thread_count=1,
        subtree_cpu_ns=0,
        subtree_cpu_percent=0.0,
        subtree_rss_bytes=4096,
        subtree_vsize_bytes=8192,
        subtree_disk_io=None,
        refused=(),
    )._replace(**changed)


def sample(*members: MemberSample, **changed: Any) -> TreeSample:
    """Of one tree; the first of the members is its root unless the root's pid is given."""
    values: dict[str, Any] = dict.fromkeys(TreeSample._fields, 0) | {
        "root_pid": members[0].pid if members else 1,
        "interval_ns": 10**9,
        "cpu_percent_over_ns": 10**9,
        "wall_ns": 10**9,
        "process_count": len(members),
        "thread_count": len(members),
        "cpu_percent": 0.0,
        "accounting": "ledger",
        "pss_bytes": None,
        "disk_io": None,
    }
    made = TreeSample(**(values | changed))
    root = next((row.identity for row in members if row.pid == made.root_pid), None)
    made.__dict__.update(_root=root, _sharing=(), members=members)
    return made


def picture(*members: MemberSample, before: Picture | None = None, **changed: Any) -> Picture:
    return Picture([sample(*members, **changed)], before)


def with_io(member: MemberSample, read: int, written: int) -> MemberSample:
    io = NO_IO._replace(read_bytes=read, write_bytes=written)
    return member._replace(disk_io=io, subtree_disk_io=io)


class Desk:
    """A `State` that nobody looks at: what it asks of others is written down."""

    def __init__(self, *members: MemberSample, **changed: Any) -> None:
        self.intervals: list[float] = []
        self.details: list[MemberSample] = []
        self.state = State(
            "a tree",
            Pen(Screen(), with_io=False),
            interval_s=1.0,
            sort="pid",
            set_interval=self.intervals.append,
            show_details=self.details.append,
        )
        if members:
            self.state.take(picture(*members, **changed))

    def press(self, *keys: str) -> None:
        for key in keys:
            self.state.key(key, key if len(key) == 1 else None)

    def text(self, columns: int = 80, rows: int = 24) -> list[str]:
        return ["".join(text for text, _ in line) for line in self.state.draw(columns, rows)]

    @property
    def pids(self) -> list[int]:
        return [line.node.member.pid for line in self.state.shown]

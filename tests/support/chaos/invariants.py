"""What must hold of every answer, whatever happens to the processes that it is about.

Nothing is negative; totals never go down; parts add up to their sum; nobody is in it twice; what could not be read is
said. Every test of chaos hands what it got to these.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import prock
from prock.model import MemberSample, ProcessInfo, ProcessStats, Scan, TreeStats, TreeTotals
from prock.sampling.monitor import MonitorResult
from prock.sampling.sample import TreeSample

SIGNED = ("tty_nr", "returncode", "signal")
UNKNOWN_GROUP = ("pgrp", "session")
"""-1 where the process was being reaped while its row was written."""
TICKS_NS = 20_000_000
"""Waited-for time is told in two figures, each in ticks."""


def non_negative(value: Any, name: str = "answer") -> None:
    """All numbers in it, however deep."""
    if isinstance(value, bool) or value is None:
        return
    if isinstance(value, int | float):
        assert math.isfinite(value), f"{name} is {value}"
        least = -1 if name.rpartition(".")[2] in UNKNOWN_GROUP else 0
        assert value >= least or name.rpartition(".")[2] in SIGNED, f"{name} is {value}"
    elif hasattr(value, "_asdict"):
        for field, part in value._asdict().items():
            non_negative(part, f"{name}.{field}")
    elif isinstance(value, dict):
        for key, part in value.items():
            non_negative(part, f"{name}[{key!r}]")
    elif isinstance(value, list | tuple | set | frozenset):
        for number, part in enumerate(value):
            non_negative(part, f"{name}[{number}]")


def each_once(what: Iterable[Any]) -> None:
    known = list(what)
    assert len(set(known)) == len(known), f"twice in it: {[one for one in known if known.count(one) > 1][:5]}"


def _sum(numbers: Iterable[int | None]) -> int | None:
    """None where none is known."""
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None


def scan(rows: Scan) -> Scan:
    non_negative(tuple(rows))
    pids = [row.pid for row in rows]
    assert pids == sorted(set(pids)) and rows.vanished >= 0 and rows.denied >= 0
    return rows


def process(stats: ProcessStats | None, *, asked: tuple[str, ...] = ("stat",)) -> ProcessStats | None:
    """What is missing of what was asked for is said."""
    if stats is not None:
        non_negative(stats)
        each_once(stats.refused)
        if "stat" in asked:
            assert (stats.info is None) == ("stat" in stats.refused)
        if "io" in asked and stats.disk_io is None and "io" not in stats.refused:
            assert stats.cpu_time is not None  # it ended between the two reads
        assert stats.info is None or stats.info.pid == stats.pid
    return stats


def tree(stats: TreeStats | None, root_pid: int, *, memory: bool = True, from_scan: bool = False) -> TreeStats | None:
    """A snapshot: its totals are its members', each of them once."""
    if stats is None:
        return None
    non_negative(stats)
    members = stats.members
    assert members and members[0].pid == root_pid == stats.pids[0]
    each_once(member.pid for member in members)
    each_once(member.identity for member in members if member.identity is not None)
    for member in members:
        process(member, asked=("stat",) if memory else ())
    assert from_scan or stats.denied == sum(1 for member in members if member.refused)  # of a scan: the machine's
    assert stats.cpu_time.total_ns == sum(member.cpu_time.total_ns for member in members if member.cpu_time)
    for field in ("rss_bytes", "vsize_bytes", "thread_count"):
        assert getattr(stats, field) == _sum(getattr(member, field) for member in members), field
    with_children = [member.cpu_time_with_children for member in members if member.cpu_time_with_children is not None]
    if stats.cpu_time_with_children is not None and len(with_children) == len(members):
        assert stats.cpu_time_with_children.total_ns == sum(time.total_ns for time in with_children)
        assert stats.cpu_time_with_children.total_ns >= stats.cpu_time.total_ns
    place = {member.pid: number for number, member in enumerate(members)}
    for number, member in enumerate(members[1:], 1):  # whoever names a member as its parent comes after it
        parent = place.get(member.ppid or 0)
        assert parent is None or parent < number or member.info is not None, member
    return stats


def _all_at_most(less: prock.DiskIo, more: prock.DiskIo) -> bool:
    """Of what is known."""
    return all(a is None or b is None or a <= b for a, b in zip(less, more, strict=True))


def subtrees(members: tuple[MemberSample, ...]) -> None:
    """Nobody below two; all below one of those at the top."""
    pids = {member.pid for member in members}
    tops = [member for number, member in enumerate(members) if number == 0 or member.ppid not in pids]
    for member in members:
        assert member.subtree_process_count >= 1 and member.subtree_thread_count >= member.thread_count
        assert member.subtree_cpu_ns >= member.cpu_ns
        for field in ("rss_bytes", "vsize_bytes"):
            own, all_below = getattr(member, field), getattr(member, f"subtree_{field}")
            assert own is None or all_below >= own, (field, member)
        if member.disk_io is not None:
            assert member.subtree_disk_io is not None
            assert _all_at_most(member.disk_io, member.subtree_disk_io)
    assert sum(member.subtree_process_count for member in tops) >= len(members)
    assert all(member.subtree_process_count <= len(members) for member in members)


class Following:
    """Holds each sample of one tree against those before it."""

    def __init__(self) -> None:
        self.last: TreeSample | None = None
        self.baseline: dict[tuple[int, int], int] = {}
        self.samples = 0

    def take(self, sample: TreeSample) -> TreeSample:
        members = sample.members
        totals(sample)
        non_negative(members)
        each_once(member.identity for member in members)
        each_once(member.pid for member in members)
        assert len(members) == sample.process_count
        assert sample.thread_count == sum(member.thread_count for member in members)
        assert sample.denied == sum(1 for member in members if member.refused)
        for field in ("rss_bytes", "vsize_bytes"):
            total, known = getattr(sample, field), _sum(getattr(member, field) for member in members) or 0
            # What refuses now may have told before.
            assert total is None or total == known or (total > known and sample.denied), field
        if sample.root is not None:
            assert members[0] is sample.root and sample.root.pid == sample.root_pid
        subtrees(members)
        if self.last is not None:
            self._after(self.last, sample)
        self.last = sample
        self.samples += 1
        return sample

    def _after(self, before: TreeSample, now: TreeSample) -> None:
        goes_on(before, now)
        if self.samples > 1:  # who ended while the baseline was taken is told with the first
            assert now.process_count == before.process_count + now.appeared - now.ended, (before.totals, now.totals)
        known = {member.identity: member for member in before.members}
        grown = 0
        for member in now.members:
            was = known.get(member.identity)
            if was is None:
                continue
            assert member.cpu_ns >= was.cpu_ns, f"{member.pid} had used {was.cpu_ns}, and now {member.cpu_ns}"
            grown += member.cpu_ns - was.cpu_ns
            if member.cpu_percent is not None and now.interval_ns:
                used = member.cpu_percent * now.interval_ns / 100
                assert math.isclose(used, member.cpu_ns - was.cpu_ns, rel_tol=1e-6, abs_tol=1000), (was, member)
        if now.accounting == "ledger":  # what living members used is in it at once
            assert now.cpu_ns - before.cpu_ns >= grown, (now.cpu_ns - before.cpu_ns, grown)


def totals(now: TreeTotals) -> None:
    """One sample's, alone."""
    non_negative(TreeTotals(*now))
    assert now.ended_cpu_ns <= now.cpu_ns and now.unseen_cpu_ns <= now.cpu_ns
    assert now.interval_ns <= now.wall_ns or now.interval_ns == now.wall_ns
    assert now.denied <= now.process_count and now.appeared >= 0
    assert (now.cpu_percent is None) == (now.interval_ns == 0)


def goes_on(before: TreeTotals, now: TreeTotals) -> None:
    """Nothing of a tree goes back."""
    assert now.taken_ns >= before.taken_ns and now.wall_ns >= before.wall_ns
    assert now.cpu_ns >= before.cpu_ns, f"the total fell from {before.cpu_ns} to {now.cpu_ns}"
    assert now.ended_cpu_ns >= before.ended_cpu_ns
    if now.accounting == before.accounting == "ledger":
        assert now.unseen_cpu_ns >= before.unseen_cpu_ns
    if before.disk_io is not None:
        assert now.disk_io is not None
        assert _all_at_most(before.disk_io, now.disk_io), (before.disk_io, now.disk_io)
    if now.cpu_percent is not None:
        # Over the interval or longer, so that it includes what was used in the interval, and no more than the total.
        used = now.cpu_percent * now.cpu_percent_over_ns / 100
        assert now.cpu_percent_over_ns >= now.interval_ns
        assert now.cpu_ns - before.cpu_ns - 1000 <= used <= now.cpu_ns + 1000


def not_above(used_ns: int, truth_ns: int, slack_ns: int = 0) -> None:
    """Nothing was counted twice."""
    assert used_ns <= truth_ns + slack_ns, f"{used_ns} counted, {truth_ns} used, {slack_ns} allowed"


def monitored(result: MonitorResult | None) -> MonitorResult:
    assert result is not None
    non_negative(result)
    assert result.samples >= 1 and result.peak_process_count <= result.peak_thread_count
    for before, now in zip(result.series, result.series[1:], strict=False):
        goes_on(before, now)
    for one in result.series:
        totals(one)
        assert one.process_count <= result.peak_process_count and one.thread_count <= result.peak_thread_count
        assert one.rss_bytes is None or one.rss_bytes <= (result.peak_rss_bytes or 0)
    assert not result.series or result.series[-1].cpu_ns == result.cpu_ns
    return result


def account(result: prock.RunResult) -> prock.RunResult:
    """Of a command: every total says where it comes from, and what may be missing is said."""
    non_negative(result._replace(stdout=None, stderr=None))
    figures = {source.figure for source in result.sources}
    each_once(source.figure for source in result.sources)
    known = {
        "cpu": result.cpu_ns, "user_system": result.user_ns, "memory": result.peak_footprint_bytes,
        "root_cpu": result.root_cpu_ns, "largest_process": result.largest_process_bytes, "io": result.disk_io,
        "faults": result.minor_faults, "processes": result.peak_process_count,
    }  # fmt: skip
    for figure, number in known.items():
        assert number is None or figure in figures, f"nobody says where {figure} comes from"
    assert result.user_ns is None or result.user_ns + (result.system_ns or 0) == result.cpu_ns
    assert all(sentence.endswith(".") and "\n" not in sentence for sentence in result.missing)
    each_once(result.missing)
    if not dict(result.cpu_by_source).keys() & {"cgroup", "perf"}:
        assert result.missing, "a lower bound alone, and nobody says what it lacks"
    if result.processes_started is not None and result.peak_process_count is not None:
        assert result.peak_process_count <= result.processes_started
    if result.cpu_ns is not None:
        assert all(one.cpu_ns <= result.cpu_ns + TICKS_NS for one in result.survivors)
    each_once(one.pid for one in result.survivors)
    return result


def info(row: ProcessInfo | None) -> ProcessInfo | None:
    if row is not None:
        non_negative(row)
        assert len(row.state) == 1 and len(row.comm) <= 64
    return row

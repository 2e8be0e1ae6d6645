"""Rows of a result by command and by process, from perf records and samples. Pure arithmetic."""

from __future__ import annotations

from prock.results import CommandUsage, ProcessUsage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from typing import TypeVar

    from prock.accounting.perf_records import Ended

    Usage = TypeVar("Usage", CommandUsage, ProcessUsage)

HEAVIEST = 3
"""Rows of `RunResult.slowest` and `RunResult.largest` at most."""
NEARLY_ALL = 0.95
"""Samples that have this part of the CPU time, or of a life, may stand for all of it."""


def by_command(
    counted: dict[str, tuple[int, int | None]] | None,
    sampled: dict[str, tuple[int, int, int | None]],
    total_ns: int | None,
    *,
    stopped: bool = False,
) -> tuple[CommandUsage, ...]:
    """By name, the most CPU first: processes and CPU time by perf records (`counted`), else as sampled.

    CPU time that the records do not know is as sampled if samples have nearly all of the total, otherwise unknown.
    `stopped`: the records ended before the processes; samples do not know how many there were.
    """
    sampled_ns = sum(cpu_ns for _, cpu_ns, _ in sampled.values())
    samples_count = total_ns is not None and sampled_ns >= NEARLY_ALL * total_ns
    rows = []
    for name in sampled if counted is None else counted:
        processes: int | None
        cpu_ns: int | None
        processes, cpu_ns, peak = sampled.get(name, (0, None, None))
        if stopped:
            processes, cpu_ns = None, cpu_ns if samples_count else None
        elif counted is not None:
            processes, counted_ns = counted[name]
            cpu_ns = counted_ns if counted_ns is not None else cpu_ns if samples_count else None
        rows.append(CommandUsage(name, processes, cpu_ns, peak))
    return tuple(sorted(within(rows, total_ns), key=lambda row: (-(row.cpu_ns or 0), row.comm)))


def by_process(
    rows: list[ProcessUsage], ended: Iterable[Ended], began_ns: int, living: Collection[int]
) -> list[ProcessUsage]:
    """Rows of sampled and of recorded processes: each process once, in the order of their start.

    `living`: pids of processes that have not ended, by the records.
    """
    recorded: dict[int, list[Ended]] = {}
    for one in ended:
        recorded.setdefault(one[0], []).append(one)
    merged = []
    for row in rows:
        if row.ended_ns is None and row.pid in living:
            merged.append(row)
            continue
        # A pid is used again only when its process is gone, and a zombie is not: so it is the latest that had started.
        # The root's record begins with its exec, and a process may start while a sample is taken: else it is the next.
        records = recorded.get(row.pid)
        if records:
            earlier = [one for one in records if one[4] - began_ns <= (row.started_ns or 0)]
            record = max(earlier, key=_start_of) if earlier else min(records, key=_start_of)
            records.remove(record)
            merged.append(_of_record(record, row, began_ns))
        else:
            merged.append(row)
    merged += [_of_record(record, None, began_ns) for records in recorded.values() for record in records]
    return sorted(merged, key=lambda row: row.started_ns or 0)


def _start_of(record: Ended) -> int:
    return record[4]


def _of_record(record: Ended, sampled: ProcessUsage | None, began_ns: int) -> ProcessUsage:
    pid, ppid, comm, cpu_ns, start_ns, end_ns = record
    started_ns, ended_ns = max(0, start_ns - began_ns), max(0, end_ns - began_ns)
    peak = cmdline = None
    if sampled is not None:
        peak = sampled.peak_rss_bytes
        cmdline = sampled.cmdline if sampled.comm == comm else None
        ppid = ppid or sampled.ppid or 0
        last_ns = sampled.ended_ns or 0  # None: it was in the last sample; its time is not known here
        if cpu_ns is None and last_ns - started_ns >= NEARLY_ALL * (ended_ns - started_ns):
            cpu_ns = sampled.cpu_ns
    return ProcessUsage(pid, ppid or None, comm, cpu_ns, peak, started_ns, ended_ns, cmdline)


def within(rows: Sequence[Usage], total_ns: int | None) -> list[Usage]:
    """The rows, reduced in proportion where together they exceed the total: they include time stolen by a VM's host."""
    sum_ns = attributed_ns(rows)
    if total_ns is None or sum_ns <= total_ns:
        return list(rows)
    return [row if row.cpu_ns is None else row._replace(cpu_ns=row.cpu_ns * total_ns // sum_ns) for row in rows]


def attributed_ns(rows: Iterable[CommandUsage | ProcessUsage]) -> int:
    return sum(row.cpu_ns or 0 for row in rows)


def heaviest(rows: Sequence[ProcessUsage], sizes: Sequence[int | None]) -> tuple[ProcessUsage, ...]:
    """The rows with the largest sizes, the largest first; none of a single process."""
    if len(rows) < 2:
        return ()
    known = [(size, place) for place, size in enumerate(sizes) if size]
    return tuple(rows[place] for _, place in sorted(known, key=lambda one: (-one[0], one[1]))[:HEAVIEST])

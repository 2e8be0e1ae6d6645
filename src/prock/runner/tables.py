"""The rows of a result: what was counted of each command and each process, with what was seen of it in samples."""

from __future__ import annotations

from prock.results import CommandUsage, ProcessUsage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from prock.accounting.perf_records import Ended


def usage_by_command(
    counted: dict[str, tuple[int, int | None]], seen: dict[str, tuple[int, int, int | None]]
) -> tuple[CommandUsage, ...]:
    """By name, the most CPU first: numbers from where all are counted if there is such a source, sizes as seen."""
    rows = []
    for name in counted.keys() | seen.keys():
        processes, cpu_ns, peak = seen.get(name, (0, 0, None))
        if counted:
            processes, exact_ns = counted.get(name, (0, None))
            cpu_ns = cpu_ns if exact_ns is None else exact_ns
        if processes or cpu_ns:
            rows.append(CommandUsage(name, processes, cpu_ns, peak))
    return tuple(sorted(rows, key=lambda row: (-row.cpu_ns, row.comm)))


def with_records(rows: list[ProcessUsage], ended: list[Ended], began_ns: int) -> list[ProcessUsage]:
    """Rows of processes that were seen, and of those that were recorded: each once, in the order of their start."""
    seen: dict[int, list[ProcessUsage]] = {}
    for row in rows:
        seen.setdefault(row.pid, []).append(row)
    merged = []
    for pid, ppid, comm, cpu_ns, start_ns, end_ns in ended:
        started_ns, ended_ns = max(0, start_ns - began_ns), max(0, end_ns - began_ns)
        # A sample can have seen it while it lived only: a pid that came twice is told apart by that.
        known = next((row for row in seen.get(pid, ()) if started_ns <= (row.started_ns or 0) <= ended_ns), None)
        if known is not None:
            seen[pid].remove(known)
        merged.append(
            ProcessUsage(
                pid=pid,
                ppid=ppid or (known.ppid if known else None),
                comm=comm,
                cpu_ns=cpu_ns if cpu_ns is not None else known.cpu_ns if known else 0,
                peak_rss_bytes=known.peak_rss_bytes if known else None,
                started_ns=started_ns,
                ended_ns=ended_ns,
            )
        )
    rest = [row for rows in seen.values() for row in rows if row.ended_ns is None]
    return sorted(merged + rest, key=lambda row: row.started_ns or 0)

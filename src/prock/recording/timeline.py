"""The usage of a recorded tree over time, by command. Pure arithmetic."""

from __future__ import annotations

from prock.results import Timeline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from prock.recording.rows import RecordedProcess, RecordedSample


def timeline(
    processes: Sequence[RecordedProcess],
    samples: Sequence[RecordedSample],
    rows: Sequence[tuple[Any, ...]],
    marks: Sequence[tuple[int, str]],
    wall_ns: int,
    most: int,
) -> Timeline:
    """CPU time is spread over the time in which it was used, memory is that of the largest sample of a step, split
    by resident sets."""
    steps = max(1, min(most, len(samples)))
    step_ns = max(1, -(-wall_ns // steps))
    cpu: dict[str, list[float]] = {}
    disk: dict[str, list[int]] = {}
    last: dict[int, tuple[Any, ...]] = {}
    by_id = {process.id: process for process in processes}

    def use(comm: str, from_ns: int, until_ns: int, used_ns: int) -> None:
        if used_ns <= 0:
            return
        parts = cpu.setdefault(comm, [0.0] * steps)
        first, final = (min(steps - 1, max(0, at // step_ns)) for at in (from_ns, until_ns))
        length = until_ns - from_ns
        if first == final or length <= 0:
            parts[final] += used_ns
            return
        for step in range(first, final + 1):
            begin, end = max(from_ns, step * step_ns), min(until_ns, (step + 1) * step_ns)
            parts[step] += used_ns * max(0, end - begin) / length

    memory: list[dict[str, int]] = [{} for _ in range(steps)]
    largest = [-1] * steps
    counts = [0] * steps
    threads = [0] * steps
    now: dict[str, int] = {}
    ends = sorted((process.ended_ns, process.id) for process in processes if process.ended_ns is not None)
    last_at: dict[int, int] = {}
    memory_of: dict[int, int] = {}
    place = passed = before_ns = 0
    for sample in samples:
        while passed < len(ends) and (ends[passed][0] or 0) < sample.at_ns:
            ended = ends[passed][1]
            _add(now, by_id[ended].comm, -(memory_of.pop(ended, 0)))
            passed += 1
        while place < len(rows) and rows[place][0] <= sample.id:
            _, number, cpu_ns, rss, _, _, read, write = rows[place]
            process, before = by_id[number], last.get(number)
            if before is not None:
                use(process.comm, before_ns, sample.at_ns, cpu_ns - before[2])
            elif process.started_ns > 0:  # otherwise the time was used before the recording
                use(process.comm, max(before_ns, process.started_ns), sample.at_ns, cpu_ns)
            if read is not None and write is not None:
                known = disk.setdefault(process.comm, [0] * steps)
                if before is not None and before[6] is not None and before[7] is not None:
                    known[min(steps - 1, sample.at_ns // step_ns)] += max(0, read + write - before[6] - before[7])
                elif before is None and process.started_ns > 0:
                    known[min(steps - 1, sample.at_ns // step_ns)] += read + write
            last_at[number] = sample.at_ns
            if process.ended_ns is None or process.ended_ns >= sample.at_ns:  # not a zombie
                _add(now, process.comm, (rss or 0) - memory_of.get(number, 0))
                memory_of[number] = rss or 0
            last[number] = rows[place]
            place += 1
        before_ns = sample.at_ns
        step = min(steps - 1, sample.at_ns // step_ns)
        rss = sum(now.values())
        total = rss if sample.footprint_bytes is None else sample.footprint_bytes
        counts[step] = max(counts[step], sample.process_count)
        threads[step] = max(threads[step], sample.thread_count)
        if total > largest[step]:
            largest[step] = total
            memory[step] = {comm: size * total // rss for comm, size in now.items() if size}
    for process in processes:
        if process.cpu_ns is not None and process.ended_ns is not None:
            seen = last.get(process.id)
            known_ns = seen[2] if seen is not None else 0 if process.started_ns > 0 else process.cpu_ns
            use(process.comm, last_at.get(process.id, process.started_ns), process.ended_ns, process.cpu_ns - known_ns)
    for step in range(1, steps):  # a step without a sample
        if largest[step] < 0:
            memory[step], counts[step], threads[step] = memory[step - 1], counts[step - 1], threads[step - 1]
    names = sorted(cpu.keys() | {comm for sizes in memory for comm in sizes}, key=lambda comm: -sum(cpu.get(comm, ())))
    return Timeline(
        step_ns=step_ns,
        cpu_ns={comm: tuple(map(round, cpu.get(comm, [0.0] * steps))) for comm in names},
        memory_bytes={comm: tuple(sizes.get(comm, 0) for sizes in memory) for comm in names},
        disk_bytes={comm: tuple(disk[comm]) for comm in names if comm in disk} if disk else None,
        process_count=tuple(counts),
        thread_count=tuple(threads),
        marks=tuple(marks),
    )


def _add(now: dict[str, int], comm: str, size: int) -> None:
    now[comm] = now.get(comm, 0) + size

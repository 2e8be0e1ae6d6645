"""``--max-cpu``, ``--max-memory``, ``--max-wall``: for jobs that are to fail when a command needs more."""

from __future__ import annotations

from prock.report.format import format_bytes, format_span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from prock.cli.run.options import Settings
    from prock.results import RunResult

EXCEEDED = 123
"""Exit code of a command that succeeded, but used more than it was to."""


def exceeded(results: Iterable[RunResult], settings: Settings) -> list[str]:
    """What is above its limit in any of the runs, in words. What is unknown is: nobody can say that it is not."""
    said: list[str] = []
    for what, limit, write, name in (
        ("CPU time", _nanoseconds(settings.max_cpu), format_span, "cpu_ns"),
        ("peak memory", settings.max_memory, format_bytes, "peak_footprint_bytes"),
        ("elapsed time", _nanoseconds(settings.max_wall), format_span, "wall_ns"),
    ):
        if limit is None:
            continue
        values = [_peak(result) if name == "peak_footprint_bytes" else getattr(result, name) for result in results]
        known = [value for value in values if value is not None]
        if len(known) < len(values):
            said.append(f"{what} is unknown, {write(limit)} allowed")
        elif max(known) > limit:
            said.append(f"{what} {write(max(known))} is above {write(limit)}")
    return said


def _peak(result: RunResult) -> int | None:
    """Of one that ended before the first look at it what is known of its largest process, if only as an upper bound."""
    if result.peak_footprint_bytes is None and not result.samples:
        return result.largest_process_bytes
    return result.peak_footprint_bytes


def _nanoseconds(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1e9)

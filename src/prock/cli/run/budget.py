"""``--max-cpu``, ``--max-memory``, ``--max-wall``: limits that are checked when the command has ended."""

from __future__ import annotations

from prock.report.layout import format_bytes, format_span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from prock.cli.run.options import Settings
    from prock.runner.result import RunResult

EXCEEDED = 123
"""Exit code of a command that succeeded but exceeded its budget."""


def exceeded(results: Iterable[RunResult], settings: Settings) -> list[str]:
    """What exceeded its limit in any of the runs. An unknown figure counts as exceeded."""
    exceeded: list[str] = []
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
            exceeded.append(f"{what} is unknown, the limit is {write(limit)}")
        elif max(known) > limit:
            exceeded.append(f"{what} {write(max(known))}, the limit is {write(limit)}")
    return exceeded


def _peak(result: RunResult) -> int | None:
    """If the run ended before the first sample: its largest process, which may be an upper bound."""
    if result.peak_footprint_bytes is None and not result.samples:
        return result.largest_process_bytes
    return result.peak_footprint_bytes


def _nanoseconds(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1e9)

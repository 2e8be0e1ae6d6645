"""The figures of a run as metrics: Prometheus text for the textfile collector of node_exporter and for a Pushgateway,
and gauges for OTLP.

All are gauges: the next run of the same command has figures of its own. What is unknown is left out.
"""

from __future__ import annotations

import os
import re

from prock.export.exposition import Family, render

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prock.results import RunFigures


def _seconds(value_ns: int | None) -> float | None:
    return None if value_ns is None else value_ns / 1e9


RUN_METRICS: tuple[tuple[str, str, str, Callable[[RunFigures], float | None]], ...] = (
    ("elapsed", "seconds", "Elapsed time of the last run.", lambda run: _seconds(run.wall_ns)),
    ("cpu", "seconds", "CPU time of the whole process tree.", lambda run: _seconds(run.cpu_ns)),
    ("cpu_user", "seconds", "CPU time in user mode.", lambda run: _seconds(run.user_ns)),
    ("cpu_system", "seconds", "CPU time in the kernel.", lambda run: _seconds(run.system_ns)),
    (
        "peak_memory",
        "bytes",
        "Peak memory of the tree, shared pages once.",
        lambda run: run.peak_footprint_bytes,
    ),
    ("largest_process", "bytes", "Largest resident set of one process.", lambda run: run.largest_process_bytes),
    ("disk_read", "bytes", "Bytes read from storage.", lambda run: run.disk_io and run.disk_io.read_bytes),
    ("disk_written", "bytes", "Bytes written to storage.", lambda run: run.disk_io and run.disk_io.write_bytes),
    ("started_processes", "", "Processes that were started.", lambda run: run.processes_started),
    ("peak_processes", "", "Most processes at once.", lambda run: run.peak_process_count),
    ("left_processes", "", "Processes that still ran at the end.", lambda run: len(run.survivors)),
    ("exit_code", "", "Exit code, 128 + n for signal n.", lambda run: run.exit_code),
    ("end_time", "seconds", "End of the last run, since the epoch.", lambda run: run.end_time),
)
"""Name, unit, text and value."""
UNITS = {"seconds": "s", "bytes": "By", "": "1"}
"""As in OTLP."""


def values(run: RunFigures) -> Iterator[tuple[str, str, str, float]]:
    """Name, unit, text and value of what is known."""
    for name, unit, text, value_of in RUN_METRICS:
        value = value_of(run)
        if value is not None:
            yield name, unit, text, value


def command_name(run: RunFigures) -> str:
    return os.path.basename(run.args[0]) if run.args else "unknown"


def prometheus_text(run: RunFigures) -> str:
    """Prometheus text, without times, as node_exporter and the Pushgateway refuse those."""
    labels = {"command": command_name(run)}
    for key, value in run.labels:
        labels[re.sub(r"[^a-zA-Z0-9_]", "_", key if key[0].isalpha() else f"label_{key}")] = value
    families = [
        Family(f"prock_run_{metric}{f'_{unit}' if unit else ''}", "gauge", text, [(labels, number)])
        for metric, unit, text, number in values(run)
    ]
    return render(families, openmetrics=False).decode()

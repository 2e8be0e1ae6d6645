"""The figures of runs as benchmark results: for github-action-benchmark, Bencher, and GitLab's report of metrics."""

from __future__ import annotations

import json

from prock.export.run_metrics import UNITS, prometheus_text, values
from prock.redaction import redact
from prock.report.layout import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from prock.results import RunFigures

COMPARED = ("elapsed", "cpu", "cpu_user", "cpu_system", "peak_memory", "largest_process", "disk_read", "disk_written")
"""Of `RUN_METRICS`: smaller is better."""
UNIT_NAMES = {"s": "s", "By": "bytes"}


def _measures(runs: Sequence[RunFigures]) -> dict[str, tuple[str, list[float]]]:
    """Name, unit, and the value of each run; what a run lacks is left out."""
    measures: dict[str, tuple[str, list[float]]] = {}
    for run in runs:
        for name, unit, _, value in values(run):
            if name in COMPARED:
                measures.setdefault(name, (UNIT_NAMES[UNITS[unit]], []))[1].append(value)
    return measures


def _title(runs: Sequence[RunFigures]) -> str:
    return quote(redact(runs[0].args)) or "command"


def _gitlab(runs: Sequence[RunFigures]) -> str:
    return prometheus_text(runs[-1])


def _github_benchmark(runs: Sequence[RunFigures]) -> str:
    """For its tool ``customSmallerIsBetter``."""
    rows = []
    for name, (unit, numbers) in _measures(runs).items():
        row: dict[str, object] = {"name": f"{_title(runs)}: {name}", "unit": unit, "value": sum(numbers) / len(numbers)}
        if len(numbers) > 1:
            row["range"] = f"{min(numbers):g} to {max(numbers):g}"
            row["extra"] = f"{len(numbers)} runs"
        rows.append(row)
    return json.dumps(rows)


def _bencher(runs: Sequence[RunFigures]) -> str:
    """Bencher Metric Format."""
    measures = {
        f"{name}_{unit}": {
            "value": sum(numbers) / len(numbers),
            "lower_value": min(numbers),
            "upper_value": max(numbers),
        }
        for name, (unit, numbers) in _measures(runs).items()
    }
    return json.dumps({_title(runs): measures})


FORMATS: dict[str, Callable[[Sequence[RunFigures]], str]] = {
    "gitlab": _gitlab,
    "github-benchmark": _github_benchmark,
    "bencher": _bencher,
}

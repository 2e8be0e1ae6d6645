"""``--repeat``: mean, standard deviation, minimum and maximum of each figure over several runs of one command.

JSON (``prock.run-repeat/1``): `runs`, a list of documents ``prock.run/1``, and `summary`: for each figure `runs` (in
how many it is known), `mean`, `stdev` (of the sample; null for one run), `min` and `max`, in the unit of its name.
"""

from __future__ import annotations

from prock._compat.namedtuple import NamedTuple
from prock.redaction import redact
from prock.report.layout import count, cut, format_bytes, format_number, format_span, harmless, quote, table
from prock.report.text import COMMAND_WIDTH, accuracy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from prock.report.layout import Style
    from prock.runner.result import RunResult

    Write = Callable[[int], str]


class Spread(NamedTuple):
    """One figure over several runs."""

    runs: int
    """In how many it is known."""
    mean: float
    stdev: float | None
    """Of a sample (n - 1); None for a single run."""
    min: float
    max: float


FIGURES: dict[str, tuple[str, Write]] = {
    "wall_ns": ("elapsed", format_span),
    "cpu_ns": ("CPU", format_span),
    "user_ns": ("user", format_span),
    "system_ns": ("system", format_span),
    "peak_footprint_bytes": ("peak of the tree", format_bytes),
    "largest_process_bytes": ("largest process", format_bytes),
    "read_bytes": ("read", format_bytes),
    "write_bytes": ("written", format_bytes),
    "minor_faults": ("minor faults", format_number),
    "major_faults": ("major faults", format_number),
    "processes_started": ("processes", format_number),
    "peak_process_count": ("at once", format_number),
}


def summarise(results: Sequence[RunResult]) -> dict[str, Spread]:
    """Of each figure that is known in at least one run."""
    spreads = {}
    for name in FIGURES:
        known = [value for result in results if (value := _figure(result, name)) is not None]
        if known:
            spreads[name] = spread(known)
    return spreads


def spread(values: Sequence[float]) -> Spread:
    """
    >>> spread([1, 2, 3])
    Spread(runs=3, mean=2.0, stdev=1.0, min=1, max=3)
    """
    mean = sum(values) / len(values)
    stdev = None
    if len(values) > 1:
        stdev = (sum((value - mean) ** 2 for value in values) / (len(values) - 1)) ** 0.5
    return Spread(len(values), mean, stdev, min(values), max(values))


def _figure(result: RunResult, name: str) -> int | None:
    if name in ("read_bytes", "write_bytes"):
        return None if result.disk_io is None else int(getattr(result.disk_io, name))
    value: int | None = getattr(result, name)
    return value


def repeat_report(results: Sequence[RunResult], planned: int, style: Style) -> str:
    subject = style.paint(f"prock: {cut(quote(redact(results[0].args)), COMMAND_WIDTH, '...')}", "bold")
    failed = [number for number, result in enumerate(results, 1) if result.returncode]
    how = count(len(results), "run") if len(results) == planned else f"{len(results)} of {planned} runs"
    if failed:
        first = results[failed[0] - 1].exit_code
        how += style.paint(f", {len(failed)} failed (the first, number {failed[0]}, with exit code {first})", "red")
    rows = [("MEAN", "STDEV", "", "MIN", "MAX", "FIGURE")]
    for name, figure in summarise(results).items():
        what, write = FIGURES[name]
        part = f"{100 * figure.stdev / figure.mean:.1f}%" if figure.stdev is not None and figure.mean else ""
        numbers = (figure.mean, figure.stdev, figure.min, figure.max)
        mean, stdev, low, high = ("-" if number is None else write(round(number)) for number in numbers)
        rows.append((mean, stdev, part, low, high, what))
    lines = [f"{subject}: {how}", *(f"  {line}" for line in table(rows))]
    return "\n".join(map(harmless, [*lines, *style.lines("accuracy", accuracy(results[-1], style))]))


def as_document(results: Sequence[RunResult]) -> dict[str, object]:
    return {
        "schema": "prock.run-repeat/1",
        "runs": [result.as_document() for result in results],
        "summary": {name: figure._asdict() for name, figure in summarise(results).items()},
    }

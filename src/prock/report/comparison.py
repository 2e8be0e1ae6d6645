"""Two series of runs compared: figures, their spread, and whether a difference is more than noise. Pure arithmetic."""

from __future__ import annotations

from statistics import median

from prock._compat.namedtuple import NamedTuple
from prock.report.layout import count, escape, format_bytes, format_number, format_span, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from prock.results import RunFigures

FIGURES: dict[str, tuple[str, Callable[[RunFigures], int | None], Callable[[int], str]]] = {
    "wall": ("elapsed", lambda run: run.wall_ns, format_span),
    "cpu": ("CPU", lambda run: run.cpu_ns, format_span),
    "peak": ("peak memory", lambda run: run.peak_footprint_bytes, format_bytes),
    "largest": ("largest process", lambda run: run.largest_process_bytes, format_bytes),
    "read": ("read", lambda run: None if run.disk_io is None else run.disk_io.read_bytes, format_bytes),
    "written": ("written", lambda run: None if run.disk_io is None else run.disk_io.write_bytes, format_bytes),
    "processes": ("processes", lambda run: run.processes_started, format_number),
}
"""By the name that a limit has: title, value and format."""
COMMANDS = 10
"""Commands in the table, those whose CPU time differs the most."""

LONGEST_NAME = 20
"""Characters of the name of a file, its end, so that the table fits 80 columns."""


class Difference(NamedTuple):
    """A figure of two series.

    - `name`: Of the figure, or of the command.
    - `before`, `after`: Medians; None where unknown.
    - `before_range`, `after_range`: Smallest and largest value.
    - `is_noise`: Whether the ranges overlap; None where a series has fewer than three runs that know it.
    """

    name: str
    before: int | None
    after: int | None
    before_range: tuple[int, int] | None
    after_range: tuple[int, int] | None
    is_noise: bool | None

    @property
    def change(self) -> float | None:
        """Part by which the median has grown: 0.2 for 20 %. None: unknown, or from nothing."""
        if self.before is None or self.after is None or not self.before:
            return None
        return self.after / self.before - 1


def differences(before: Sequence[RunFigures], after: Sequence[RunFigures]) -> list[Difference]:
    """Of each figure that a run of either series knows."""
    made = [
        _difference(name, [value_of(run) for run in before], [value_of(run) for run in after])
        for name, (_, value_of, _) in FIGURES.items()
    ]
    return [row for row in made if row.before is not None or row.after is not None]


def command_differences(before: Sequence[RunFigures], after: Sequence[RunFigures]) -> list[Difference]:
    """CPU time by command, the largest difference first. A command that a run has not used 0 there."""
    series = [[{row.comm: row.cpu_ns for row in run.commands} for run in runs] for runs in (before, after)]
    names = {name for runs in series for run in runs for name in run}
    rows = [_difference(name, *([run.get(name, 0) for run in runs] for runs in series)) for name in names]
    return sorted(rows, key=lambda row: (-abs((row.after or 0) - (row.before or 0)), row.name))


def _difference(name: str, before: Sequence[int | None], after: Sequence[int | None]) -> Difference:
    known = [[value for value in values if value is not None] for values in (before, after)]
    medians = [round(median(values)) if values else None for values in known]
    ranges = [(min(values), max(values)) if values else None for values in known]
    is_noise = None
    if min(map(len, known)) >= 3 and ranges[0] is not None and ranges[1] is not None:
        is_noise = ranges[0][0] <= ranges[1][1] and ranges[1][0] <= ranges[0][1]
    return Difference(name, medians[0], medians[1], ranges[0], ranges[1], is_noise)


def exceeded(rows: Sequence[Difference], limits: Sequence[tuple[str, float]]) -> list[str]:
    """Which limits of growth are exceeded, a sentence for each. An unknown figure exceeds its limit."""
    by_name = {row.name: row for row in rows}
    sentences = []
    for name, part in limits:
        row = by_name.get(name)
        title = FIGURES[name][0]
        if row is None or row.before is None or row.after is None:
            sentences.append(f"{title} is unknown")
        elif row.after > row.before * (1 + part):
            change = row.change
            grown = "from 0" if change is None else f"by {100 * change:.1f} %"
            sentences.append(f"{title} has grown {grown}, more than {100 * part:g} %")
    return sentences


def comparison_table(
    before: Sequence[RunFigures], after: Sequence[RunFigures], names: tuple[str, str], *, markdown: bool = False
) -> list[str]:
    """The figures, then CPU time by command."""
    heads = (*(escape(name[-LONGEST_NAME:]) for name in names), "CHANGE", "", "FIGURE")
    lines = []
    rows = differences(before, after)
    commands = [row for row in command_differences(before, after) if row.before or row.after][:COMMANDS]
    for part, writers in (
        (rows, {name: write for name, (_, _, write) in FIGURES.items()}),
        (commands, {}),
    ):
        if not part:
            continue
        cells = [
            (
                *(_cell(value, span, writers.get(row.name, format_span)) for value, span in (
                    (row.before, row.before_range), (row.after, row.after_range))),
                "-" if row.change is None else f"{100 * row.change:+.1f} %",
                {None: "", True: "noise", False: "more than noise"}[row.is_noise],
                FIGURES[row.name][0] if part is rows else f"CPU of {escape(row.name)}",
            )
            for row in part
        ]  # fmt: skip
        lines += _markdown([heads, *cells]) if markdown else table([heads, *cells])
        lines.append("")
    runs = " and ".join(count(len(series), "run") for series in (before, after))
    how = "" if min(len(before), len(after)) >= 3 else "; with three of each, noise can be recognized"
    return [*lines, f"medians of {runs}, ± half of the range{how}"]


def _cell(value: int | None, span: tuple[int, int] | None, write: Callable[[int], str]) -> str:
    if value is None or span is None:
        return "?"
    if span[0] == span[1] or not value:
        return write(value)
    return f"{write(value)} ±{50 * (span[1] - span[0]) / value:.0f} %"


def _markdown(rows: Sequence[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return [lines[0], "|" + "---:|" * (len(rows[0]) - 1) + "---|", *lines[1:]]

"""A chapter of a benchmark: notes, tables, targets and raw measurements, and their text form."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from benchmarks.harness.format import number
from benchmarks.harness.measure import Spread, table

MISSING = "-"


@dataclass(frozen=True)
class Table:
    heading: str
    header: Sequence[str]
    lines: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Target:
    """A figure, and its limit."""

    what: str
    measured: float | Spread | None
    limit: float
    at_least: bool = False
    unit: str = ""

    @property
    def median(self) -> float | None:
        return self.measured.median if isinstance(self.measured, Spread) else self.measured

    @property
    def verdict(self) -> str:
        if self.median is None:
            return "not measured"
        met = self.median >= self.limit if self.at_least else self.median <= self.limit
        return "met" if met else "NOT met"

    def line(self) -> list[str]:
        sign = "≥" if self.at_least else "≤"
        measured = MISSING if self.median is None else f"{_digits(self.median)}{self.unit}"
        if isinstance(self.measured, Spread):
            measured += f" ({number(self.measured.low)} to {number(self.measured.high)})"
        return [self.what, measured, f"{sign} {self.limit:g}{self.unit}", self.verdict]


def _digits(value: float) -> str:
    """Enough of them to compare with the limit: 99.97 % is less than 100 %."""
    return f"{value:.2f}" if abs(value) >= 10 and value < 1000 else number(value)


@dataclass
class Chapter:
    name: str
    notes: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    raw: dict[str, object] = field(default_factory=dict)
    """Every single measurement."""


def render(chapter: Chapter, markdown: bool) -> Iterator[str]:
    """Paragraphs and tables, in order."""
    yield f"{'### ' if markdown else ''}{chapter.name}\n"
    if chapter.notes:
        yield "\n".join(f"{'- ' if markdown else ''}{note}" for note in chapter.notes) + "\n"
    tables = list(chapter.tables)
    if chapter.targets:
        lines = [target.line() for target in chapter.targets]
        tables.append(Table(f"{chapter.name}: targets", ("", "measured", "required", ""), lines))
    for one in tables:
        yield f"{'#### ' if markdown else ''}{one.heading}\n\n{table(one.header, one.lines, markdown=markdown)}\n"


def raw(chapter: Chapter) -> dict[str, object]:
    targets = [
        {
            "what": target.what,
            "measured": target.median,
            "required": target.limit,
            "at_least": target.at_least,
            "unit": target.unit.strip(),
            "verdict": target.verdict,
        }
        for target in chapter.targets
    ]
    return {**chapter.raw, "targets": targets}


class Progress:
    """A line on the terminal with the current step; nothing where standard error is not a terminal."""

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty()

    def __call__(self, *what: object) -> None:
        if self._shown:
            print("\r\x1b[K", *what, sep=" ", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


progress = Progress()

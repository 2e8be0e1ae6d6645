"""What a chapter of the sampler's benchmark tells, and how it is told."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from _measure import table
from _text import number

MISSING = "-"


@dataclass(frozen=True)
class Table:
    heading: str
    header: Sequence[str]
    lines: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Target:
    """A figure, and what it has to be."""

    what: str
    measured: float | None
    limit: float
    at_least: bool = False
    unit: str = ""

    @property
    def verdict(self) -> str:
        if self.measured is None:
            return "not measured"
        met = self.measured >= self.limit if self.at_least else self.measured <= self.limit
        return "met" if met else "NOT met"

    def line(self) -> list[str]:
        sign = "≥" if self.at_least else "≤"
        # No more digits than decide: 99.97 % is not 100 %.
        measured = MISSING if self.measured is None else f"{_told(self.measured)}{self.unit}"
        return [self.what, measured, f"{sign} {self.limit:g}{self.unit}", self.verdict]


def _told(value: float) -> str:
    return f"{value:.2f}" if abs(value) >= 10 and value < 1000 else number(value)


@dataclass
class Chapter:
    name: str
    notes: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    raw: dict[str, object] = field(default_factory=dict)
    """Every single measurement."""


def told(chapter: Chapter, markdown: bool) -> Iterator[str]:
    """Paragraphs and tables, in order."""
    yield f"{'## ' if markdown else ''}{chapter.name}\n"
    if chapter.notes:
        yield "\n".join(f"{'- ' if markdown else ''}{note}" for note in chapter.notes) + "\n"
    tables = list(chapter.tables)
    if chapter.targets:
        lines = [target.line() for target in chapter.targets]
        tables.append(Table(f"{chapter.name}: targets", ("", "measured", "required", ""), lines))
    for one in tables:
        yield f"{'### ' if markdown else ''}{one.heading}\n\n{table(one.header, one.lines, markdown=markdown)}\n"


def raw(chapter: Chapter) -> dict[str, object]:
    targets = [
        {
            "what": target.what,
            "measured": target.measured,
            "required": target.limit,
            "at_least": target.at_least,
            "unit": target.unit.strip(),
            "verdict": target.verdict,
        }
        for target in chapter.targets
    ]
    return {**chapter.raw, "targets": targets}


class Progress:
    """A line on the terminal that says what is being done now; nothing where standard error is no terminal."""

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty()

    def __call__(self, *what: object) -> None:
        if self._shown:
            print("\r\x1b[K", *what, sep=" ", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


progress = Progress()

"""Compare how long several contestants take for the same question.

The speed of a shared machine changes within seconds. So in every pass each contestant has a short turn, ratios are
taken within the pass, and the result is the median of those ratios.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

TURN_NS = 5_000_000
"""Length of a turn: long against the cost of the clock, short against changes of the machine's speed."""
PASSES = 512
"""Per row. Slow contestants skip some."""

Turn = Callable[[int], float]
"""Calls so many times, and returns the nanoseconds per call."""


@dataclass(frozen=True)
class Contestant:
    name: str
    turn: Turn
    most_calls: int = 1_000_000
    """Per turn."""


class Spread(NamedTuple):
    """The median of a sample and its quartiles."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        if len(values) < 2:
            return cls(*(values[0],) * 3)
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high)


@dataclass
class Row:
    """Cost of one question for each contestant."""

    title: str
    samples: dict[str, dict[int, float]] = field(default_factory=dict)
    """Contestant -> number of the pass -> nanoseconds a call."""

    def cost(self, name: str) -> Spread | None:
        return Spread.of(list(self.samples[name].values())) if self.samples.get(name) else None

    def ratio(self, name: str, over: str) -> Spread | None:
        """Time of one over that of the other."""
        pairs = self._pairs(name, over)
        return Spread.of([one / other for one, other in pairs]) if pairs else None

    def difference(self, name: str, over: str) -> Spread | None:
        """Time of one less that of the other, in nanoseconds."""
        pairs = self._pairs(name, over)
        return Spread.of([one - other for one, other in pairs]) if pairs else None

    def _pairs(self, name: str, over: str) -> list[tuple[float, float]]:
        one, other = self.samples.get(name, {}), self.samples.get(over, {})
        return [(one[number], other[number]) for number in one if number in other]


def measure(title: str, contestants: Sequence[Contestant], budget_s: float, *, least: int = 4) -> Row:
    """Each contestant gets about the same share of the time, but at least so many turns."""
    share_ns = budget_s * 1e9 / len(contestants)
    runners = [_Runner(contestant, share_ns, least) for contestant in contestants]
    for number in range(PASSES):
        due = [runner.turn_ns for runner in runners if runner.is_due(number / PASSES)]
        # Both orders, as each contestant finds the caches as its predecessor left them.
        runners.reverse()
        for runner in runners:
            # Faster contestants run along with each that is due, as ratios need both in one pass.
            if due and runner.turn_ns <= 2 * max(due):
                runner.take_turn(number)
    return Row(title, {runner.contestant.name: runner.samples for runner in runners})


class _Runner:
    """A contestant while a row is measured."""

    def __init__(self, contestant: Contestant, share_ns: float, least: int) -> None:
        self.contestant = contestant
        self.samples: dict[int, float] = {}
        self._share_ns = share_ns
        self._least = least
        self._spent_ns = 0
        self._calls = 1
        while self._calls < contestant.most_calls and self._is_turn_too_short():
            self._calls = min(self._calls * 4, contestant.most_calls)
        self._calls = max(1, min(round(self._calls * TURN_NS / self.turn_ns), contestant.most_calls))

    def _is_turn_too_short(self) -> bool:
        """Tried twice, as the first may have been interrupted; once if longer than any interruption."""
        shortest = TURN_NS / 4
        return self._timed_turn() < shortest or (self.turn_ns < 20 * TURN_NS and self._timed_turn() < shortest)

    def _timed_turn(self) -> int:
        begin = time.perf_counter_ns()
        self._cost_ns = self.contestant.turn(self._calls)
        self.turn_ns = time.perf_counter_ns() - begin
        return self.turn_ns

    def is_due(self, gone: float) -> bool:
        """Whether it has used no more than its share of the passes until now."""
        return self._spent_ns <= self._share_ns * gone or len(self.samples) < self._least * gone

    def take_turn(self, number: int) -> None:
        if self._calls > 1:
            self.contestant.turn(1)  # warms the caches
        self._spent_ns += self._timed_turn()
        self.samples[number] = self._cost_ns


def in_a_loop(call: Callable[[], object]) -> Turn:
    """One call after the other, in CPU time of this thread: they do not wait, so that this is the elapsed time on an
    idle machine, and other load does not change it."""

    def turn(calls: int) -> float:
        before = time.thread_time_ns()
        for _ in range(calls):
            call()
        return (time.thread_time_ns() - before) / calls

    return turn


def now_and_then(call: Callable[[], object]) -> Turn:
    """As a sampler: sleep 1 ms, call once. Median of the elapsed time of the calls."""

    def turn(calls: int) -> float:
        spent = []
        for _ in range(calls):
            time.sleep(0.001)
            begin = time.perf_counter_ns()
            call()
            spent.append(time.perf_counter_ns() - begin)
        return statistics.median(spent)

    return turn


def beside_busy_thread(turn: Turn) -> Turn:
    """The same, while another Python thread of this process computes without a pause."""

    def busy_turn(calls: int) -> float:
        with _busy_thread():
            return turn(calls)

    return busy_turn


@contextmanager
def _busy_thread() -> Iterator[None]:
    stop = False

    def compute() -> None:
        number = 0
        while not stop:
            number = (number * 5 + 1) % 65_537

    thread = threading.Thread(target=compute, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop = True
        thread.join()


def table(header: Sequence[str], lines: Sequence[Sequence[str]], *, markdown: bool = False) -> str:
    """First column left, the others right."""
    widths = [max(map(len, column)) for column in zip(header, *lines, strict=True)]

    def justify(line: Sequence[str]) -> list[str]:
        first, *others = zip(line, widths, strict=True)
        return [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]

    if markdown:
        rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
        return "\n".join(f"| {' | '.join(line)} |" for line in (justify(header), rule, *map(justify, lines)))
    rule = ["-" * width for width in widths]
    return "\n".join("  ".join(line).rstrip() for line in (justify(header), rule, *map(justify, lines)))

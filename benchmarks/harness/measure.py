"""Ask several contestants the same question, turn by turn, and compare how long they took.

A shared machine is twice as slow now as it was a second ago. So nobody is measured on his own: in every pass each
contestant has a short turn, ratios are taken within the pass, and what is told is the median of those ratios.
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
"""How long a turn lasts: long against the clock's own cost, short against the machine's moods."""
PASSES = 512
"""Of one row. Only the quick take part in all of them."""

Turn = Callable[[int], float]
"""Asks so many times, and returns the nanoseconds that asking once took."""


@dataclass(frozen=True)
class Contestant:
    name: str
    turn: Turn
    most_calls: int = 1_000_000
    """In one turn."""


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
    """What one question cost each contestant."""

    title: str
    samples: dict[str, dict[int, float]] = field(default_factory=dict)
    """Contestant -> number of the pass -> nanoseconds a call."""

    def cost(self, name: str) -> Spread | None:
        return Spread.of(list(self.samples[name].values())) if self.samples.get(name) else None

    def ratio(self, name: str, over: str) -> Spread | None:
        """How many times as long as another it took."""
        pairs = self._pairs(name, over)
        return Spread.of([one / other for one, other in pairs]) if pairs else None

    def difference(self, name: str, over: str) -> Spread | None:
        """How many nanoseconds longer than another it took."""
        pairs = self._pairs(name, over)
        return Spread.of([one - other for one, other in pairs]) if pairs else None

    def _pairs(self, name: str, over: str) -> list[tuple[float, float]]:
        one, other = self.samples.get(name, {}), self.samples.get(over, {})
        return [(one[number], other[number]) for number in one if number in other]


def measure(title: str, contestants: Sequence[Contestant], budget_s: float, *, least: int = 4) -> Row:
    """Give each contestant about the same share of the time, but at least so many turns."""
    share_ns = budget_s * 1e9 / len(contestants)
    runners = [_Runner(contestant, share_ns, least) for contestant in contestants]
    for number in range(PASSES):
        due = [runner.turn_ns for runner in runners if runner.is_due(number / PASSES)]
        # Who always followed the same one would always find that one's traces in the caches.
        runners.reverse()
        for runner in runners:
            # Whoever is due takes all along that need no more than about his time: he is to be compared with them.
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
        """Twice, as the first may only have been interrupted; unless it was longer than interruptions are."""
        shortest = TURN_NS / 4
        return self._timed_turn() < shortest or (self.turn_ns < 20 * TURN_NS and self._timed_turn() < shortest)

    def _timed_turn(self) -> int:
        begin = time.perf_counter_ns()
        self._cost_ns = self.contestant.turn(self._calls)
        self.turn_ns = time.perf_counter_ns() - begin
        return self.turn_ns

    def is_due(self, gone: float) -> bool:
        """Whether it has had no more than its share of the part of the passes that is gone."""
        return self._spent_ns <= self._share_ns * gone or len(self.samples) < self._least * gone

    def take_turn(self, number: int) -> None:
        if self._calls > 1:
            self.contestant.turn(1)  # who has just been given the processor finds the caches full of others' things
        self._spent_ns += self._timed_turn()
        self.samples[number] = self._cost_ns


def in_a_loop(call: Callable[[], object]) -> Turn:
    """One call after the other, as fast as they come. CPU time of this thread: these calls wait for nothing, so that on
    a quiet machine it is the time they take, and on a busy one they don't look dearer for what others are doing."""

    def turn(calls: int) -> float:
        before = time.thread_time_ns()
        for _ in range(calls):
            call()
        return (time.thread_time_ns() - before) / calls

    return turn


def now_and_then(call: Callable[[], object]) -> Turn:
    """As a sampler does it: sleep for a moment, ask once. The median of the calls' elapsed time, without the sleep."""

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

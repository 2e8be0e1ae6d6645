"""Process trees as observable instruments of OpenTelemetry (extra ``opentelemetry``)."""

from __future__ import annotations

import os
import threading

from opentelemetry.metrics import Observation

from prock.sampling.named_trees import NamedTrees

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Unpack

    from opentelemetry.metrics import CallbackOptions, MeterProvider

    from prock.sampling.named_trees import NamedTotals
    from prock.sampling.options import SamplingKeywords

# fmt: off
INSTRUMENTS: tuple[tuple[str, str, str, str, str, float, dict[str, str]], ...] = (
    ("cpu.time", "observable_counter", "s", "CPU time of the tree, ended processes included", "cpu_ns", 1e9, {}),
    ("disk.io", "observable_counter", "By", "Bytes from and to storage", "read_bytes", 1,
     {"disk.io.direction": "read"}),
    ("disk.io", "observable_counter", "By", "Bytes from and to storage", "write_bytes", 1,
     {"disk.io.direction": "write"}),
    ("process.started", "observable_counter", "{process}", "Processes that began in the tree", "processes_started", 1,
     {}),
    ("memory.usage", "observable_up_down_counter", "By", "Sum of resident sets", "rss_bytes", 1, {}),
    ("memory.proportional", "observable_up_down_counter", "By", "Sum of proportional set sizes", "pss_bytes", 1, {}),
    ("memory.virtual", "observable_up_down_counter", "By", "Address space in use", "vsize_bytes", 1, {}),
    ("process.count", "observable_up_down_counter", "{process}", "Processes, zombies included", "process_count", 1, {}),
    ("thread.count", "observable_up_down_counter", "{thread}", "Threads", "thread_count", 1, {}),
    ("unix.file_descriptor.count", "observable_up_down_counter", "{file_descriptor}", "Open file descriptors",
     "fd_count", 1, {}),
)
# fmt: on
"""Name after ``prock.tree.``, kind, unit, text, field of `NamedTotals`, its units in one, and attributes. What follows
the prefix is named as in the semantic conventions for processes."""


def observe_trees(
    meter_provider: MeterProvider,
    trees: Mapping[str, Callable[[], Iterable[int]]] | None = None,
    **options: Unpack[SamplingKeywords],
) -> NamedTrees:
    """Register the instruments ``prock.tree.*``; each collection takes one sample. Close what is returned at the end.

    - `trees`: by name (the attribute `prock.tree.name`), a function that returns the pids of the roots that exist now.
      Default: the tree of this process, named ``self``.
    - `options`: as of `Forest`.

    Counters count from the first search of the tree and never fall. Figures that are unknown are left out. Where
    several readers collect at the same time, they may take a sample more.

    >>> from opentelemetry.sdk.metrics import MeterProvider
    >>> from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    >>> reader = InMemoryMetricReader()
    >>> trees = observe_trees(MeterProvider([reader], shutdown_on_exit=False))
    >>> reader.get_metrics_data() is not None
    True
    >>> trees.close()
    """
    this = os.getpid()
    named = NamedTrees({"self": lambda: [this]} if trees is None else trees, **options)
    latest = _Latest(named)
    meter = meter_provider.get_meter("prock")
    fields: dict[str, list[tuple[str, float, dict[str, str]]]] = {}
    for name, _, _, _, field, divisor, attributes in INSTRUMENTS:
        fields.setdefault(name, []).append((field, divisor, attributes))
    for name, kind, unit, text, *_ in {instrument[0]: instrument for instrument in INSTRUMENTS}.values():
        create = getattr(meter, f"create_{kind}")
        create(f"prock.tree.{name}", [latest.callback(name, fields[name])], unit=unit, description=text)
    return named


class _Latest:
    """A sample that the instruments of one collection share: one that observes again begins the next collection."""

    def __init__(self, trees: NamedTrees) -> None:
        self._trees = trees
        self._lock = threading.Lock()
        self._sample: dict[str, NamedTotals] = {}
        self._observed: set[str] | None = None

    def callback(
        self, instrument: str, fields: list[tuple[str, float, dict[str, str]]]
    ) -> Callable[[CallbackOptions], list[Observation]]:
        def observe(_: CallbackOptions) -> list[Observation]:
            with self._lock:
                if self._observed is None or instrument in self._observed:
                    self._sample, self._observed = self._trees.sample(), set()
                self._observed.add(instrument)
                sample = self._sample
            return [
                Observation(value / divisor if divisor != 1 else value, {"prock.tree.name": tree, **attributes})
                for tree, totals in sample.items()
                for field, divisor, attributes in fields
                if (value := getattr(totals, field)) is not None
            ]

        return observe

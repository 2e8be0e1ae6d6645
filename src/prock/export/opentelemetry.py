"""Process trees as observable instruments of OpenTelemetry (extra ``opentelemetry``)."""

from __future__ import annotations

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
INSTRUMENTS: tuple[tuple[str, str, str, str, float, dict[str, dict[str, str]]], ...] = (
    ("cpu.time", "counter", "s", "CPU time of the tree, ended processes included", 1e9, {"cpu_ns": {}}),
    ("disk.io", "counter", "By", "Bytes from and to storage", 1,
     {"read_bytes": {"disk.io.direction": "read"}, "write_bytes": {"disk.io.direction": "write"}}),
    ("process.started", "counter", "{process}", "Processes that began in the tree", 1, {"processes_started": {}}),
    ("memory.usage", "up_down_counter", "By", "Sum of resident sets", 1, {"rss_bytes": {}}),
    ("memory.proportional", "up_down_counter", "By", "Sum of proportional set sizes", 1, {"pss_bytes": {}}),
    ("memory.virtual", "up_down_counter", "By", "Address space in use", 1, {"vsize_bytes": {}}),
    ("process.count", "up_down_counter", "{process}", "Processes, zombies included", 1, {"process_count": {}}),
    ("thread.count", "up_down_counter", "{thread}", "Threads", 1, {"thread_count": {}}),
    ("unix.file_descriptor.count", "up_down_counter", "{file_descriptor}", "Open file descriptors", 1,
     {"fd_count": {}}),
)
# fmt: on
"""Name after ``prock.tree.``, kind, unit, text, units of the field in one of it, and attributes by field of
`NamedTotals`. What follows the prefix is named as in the semantic conventions for processes."""


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
    named = NamedTrees(trees, **options)
    latest = _Latest(named)
    meter = meter_provider.get_meter("prock")
    for name, kind, unit, text, divisor, fields in INSTRUMENTS:
        create = getattr(meter, f"create_observable_{kind}")
        create(f"prock.tree.{name}", [latest.callback(name, divisor, fields)], unit=unit, description=text)
    return named


class _Latest:
    """A sample that the instruments of one collection share: one that observes again begins the next collection."""

    def __init__(self, trees: NamedTrees) -> None:
        self._trees = trees
        self._lock = threading.Lock()
        self._sample: dict[str, NamedTotals] = {}
        self._observed: set[str] | None = None

    def callback(
        self, instrument: str, divisor: float, fields: dict[str, dict[str, str]]
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
                for field, attributes in fields.items()
                if (value := getattr(totals, field)) is not None
            ]

        return observe

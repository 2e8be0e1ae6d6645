"""Process trees in the registry of a program that uses ``prometheus_client`` (extra ``prometheus``)."""

from __future__ import annotations

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from prock.export.exposition import tree_families
from prock.sampling.named_trees import NamedTrees

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Unpack

    from prock.sampling.options import SamplingKeywords

    Families = Iterator[CounterMetricFamily | GaugeMetricFamily]

KINDS = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily}


class TreeCollector:
    """The figures of process trees, one sample for each collection: the metrics ``prock_tree_*`` of ``prock serve``.

    - `trees`: by name, a function that returns the pids of the roots that exist now. Default: the tree of this process,
      named ``self``. In the first process of a server that forks its workers, that is the sum of all of them.
    - `options`: as of `Forest`, for instance ``pss=True``.

    CPU time counts from the first search of the tree, and never falls when a worker ends or is replaced. Figures that
    are unknown are left out. A collection costs what `Forest.sample` costs. Threads may share it.

    >>> from prometheus_client import CollectorRegistry, generate_latest
    >>> registry = CollectorRegistry()
    >>> collector = TreeCollector()
    >>> registry.register(collector)
    >>> b'prock_tree_processes{tree="self"}' in generate_latest(registry)
    True
    >>> collector.close()
    """

    def __init__(
        self,
        trees: Mapping[str, Callable[[], Iterable[int]]] | None = None,
        **options: Unpack[SamplingKeywords],
    ) -> None:
        self._trees = NamedTrees(trees, **options)

    def collect(self) -> Families:
        """Called by the registry."""
        for family in tree_families(self._trees.sample()):
            metric = KINDS[family.kind](family.name, family.text, labels=list(family.rows[0][0]))
            for labels, value in family.rows:
                metric.add_metric(list(labels.values()), value)
            yield metric

    def describe(self) -> Families:
        """No metric: so that a registry takes no sample when the collector is registered."""
        return iter(())

    def close(self) -> None:
        """Close all file descriptors. Remove the collector from its registry before."""
        self._trees.close()

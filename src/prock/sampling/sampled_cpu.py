"""`SampledCpu`: the CPU time that samples of a tree counted, as a source for `prock.accounting`."""

from __future__ import annotations

from prock.accounting.protocol import (
    BETWEEN_SAMPLES,
    BPF,
    BPF_LOST,
    LEDGER,
    NOT_ADOPTED,
    NOT_REAPED,
    NOT_SAMPLED,
    PERF,
    PERF_LACKS,
    CpuReading,
)
from prock.errors import ProckError
from prock.model import BPF_LACKS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from prock.engine.protocol import Engine
    from prock.model import ProcessInfo
    from prock.sampling.forest import Forest


class SampledCpu:
    """One tree of a forest: its ledger, and with perf events or eBPF records attached, the larger of both."""

    def __init__(self, forest: Forest, root_pid: int, engine: Engine, *, used_before_ns: int, adopts: bool) -> None:
        """`used_before_ns`: part of the ledger's total that is not counted. `adopts`: whether orphans are reaped."""
        self._forest = forest
        self._root_pid = root_pid
        self._used_before_ns = used_before_ns
        self._clock = forest.tree(root_pid).events
        self._source = LEDGER if self._clock is None else self._clock.source
        self._bias = BETWEEN_SAMPLES
        self._missing: tuple[str, ...] = (NOT_SAMPLED,)
        if self._source == PERF:
            self._bias, self._missing = PERF_LACKS, ()
        elif self._source == BPF:
            self._bias, self._missing = BPF_LACKS, ()
        elif _reports_reaped_children(engine):
            self._bias = "lower bound: lacks processes that ended between two samples and were not reaped"
            self._missing = (NOT_REAPED,) if adopts else (NOT_REAPED, NOT_ADOPTED)

    def reading(self, members: Sequence[ProcessInfo] = (), /) -> CpuReading:
        """As of the latest sample."""
        cpu_ns = max(0, self._forest.tree(self._root_pid).cpu_ns - self._used_before_ns)
        bias = BPF_LOST if self._source == BPF and self._clock is not None and self._clock.missed else self._bias
        return CpuReading(self._source, cpu_ns, bias, self._missing)

    def close(self) -> None:
        self._forest.close()


def _reports_reaped_children(engine: Engine) -> bool:
    """Whether the system adds the CPU time of reaped children to their parent's."""
    try:
        info = engine.info(None)
    except (ProckError, OSError):
        return True
    return info is None or info.children_user_ns is not None

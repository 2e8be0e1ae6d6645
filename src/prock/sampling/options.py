"""`SamplingOptions`: what samplers read. Callers give keywords, which samplers hand on as one value."""

from __future__ import annotations

from prock._compat.namedtuple import NamedTuple
from prock.engine.protocol import WANT_CPU, WANT_IO, WANT_STAT
from prock.model import wanted_numbers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypedDict

    class SamplingKeywords(TypedDict, total=False):
        """The same as keywords, for type checkers."""

        memory: bool
        io: bool
        pss: bool
        accounting: str
        fds: bool


ACCOUNTING = ("auto", "bpf", "perf", "ledger")


class SamplingOptions(NamedTuple):
    """Options of `prock.TreeSampler`, `prock.Forest`, `prock.watch`, `prock.awatch` and `prock.Monitor`.

    - `memory`: read resident and virtual memory. Default: True.
    - `io`: read I/O counters, one more file a process. Default: False.
    - `pss`: read proportional set sizes, each at most every 10 s, in at most a 50th of the time. Default: False.
    - `accounting`: CPU source. ``ledger`` adds up the processes that samples see; ``perf`` also counts processes
      that come and go between samples; ``bpf`` has each of them from the kernel's records (root, 40 ms to load);
      ``auto`` (default) is perf where the machine permits it, else the ledger.
    - `fds`: count open file descriptors, 1.3 to 5 µs a process. Default: False.
    """

    memory: bool = True
    io: bool = False
    pss: bool = False
    accounting: str = "auto"
    fds: bool = False

    @property
    def want(self) -> int:
        """The engine's WANT_ bits for these options."""
        numbers = wanted_numbers(self._asdict())
        return WANT_CPU | (WANT_STAT if self.memory else 0) | (WANT_IO if self.io else 0) | numbers

    def check(self) -> None:
        """Raises `ValueError` for an unknown accounting."""
        if self.accounting not in ACCOUNTING:
            raise ValueError(f"invalid accounting {self.accounting!r}: use one of {', '.join(ACCOUNTING)}")

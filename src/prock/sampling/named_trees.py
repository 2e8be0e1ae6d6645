"""`NamedTrees`: trees that keep their name when their root ends and a successor starts, with counters that go on."""

from __future__ import annotations

import os
import threading
import time

from prock._compat.namedtuple import NamedTuple
from prock.errors import AccessDenied, NoSuchProcess
from prock.sampling.forest import SEARCH_SHARE, Forest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Unpack

    from prock.sampling.options import SamplingKeywords
    from prock.sampling.sample import TreeSample

    Find = Callable[[], Iterable[int]]

SEARCH_EVERY_NS = 5_000_000_000
EMPTY_FOR_NS = 300_000_000_000
"""A tree without processes is left out after this time."""


class NamedTotals(NamedTuple):
    """The figures of a named tree: counters since its first search, levels now. None: unknown.

    - `start_time`: Start of the oldest root, in seconds since the epoch; None without a process.
    - `cpu_ns`: CPU time of all trees with this name. Never falls.
    - `read_bytes`: Bytes fetched from storage. Never falls.
    - `write_bytes`: Bytes sent to storage. Never falls.
    - `processes_started`: Number of members first seen in a sample. Lower bound: lacks those that live between two.
    - `denied`: Number of members that this user may not read in full.
    - `pss_age_ns`: Age of the oldest reading in `pss_bytes`.
    """

    start_time: float | None = None
    cpu_ns: int = 0
    read_bytes: int | None = None
    write_bytes: int | None = None
    processes_started: int = 0
    process_count: int = 0
    thread_count: int = 0
    rss_bytes: int | None = None
    vsize_bytes: int | None = None
    pss_bytes: int | None = None
    pss_age_ns: int | None = None
    fd_count: int | None = None
    denied: int = 0


class NamedTrees:
    """Samples the trees of any number of names in one pass. Threads may share it; close it at the end.

    - `finds`: by name, a function that returns the pids of the roots that exist now. What it raises is kept in
      `errors`, and stops no other name. Default: the tree of this process, named ``self``.
    - `on_error`: called with the name and the text of an error that the search before did not have.
    - `options`: as of `Forest`.

    A process belongs to the nearest root above it; where two names claim a process, to the first.

    >>> import os
    >>> trees = NamedTrees({"this": lambda: [os.getpid()]})
    >>> trees.sample()["this"].process_count >= 1
    True
    >>> trees.close()
    """

    def __init__(
        self,
        finds: Mapping[str, Find] | None = None,
        on_error: Callable[[str, str], None] | None = None,
        **options: Unpack[SamplingKeywords],
    ) -> None:
        self._forest = Forest(**options)
        self._lock = threading.Lock()
        self._names: dict[int, str] = {}
        """By root."""
        self._starts: dict[int, float] = {}
        self._before: dict[int, TreeSample] = {}
        self._totals: dict[str, NamedTotals] = {}
        self._seen_ns: dict[str, int] = {}
        self._taken_ns = 0
        self._searched: float | None = None
        self.errors: dict[str, str] = {}
        """Of the latest search, by name."""
        self.error_counts: dict[str, int] = {}
        self._on_error = on_error
        this = os.getpid()
        self.finds = {"self": lambda: [this]} if finds is None else finds

    @property
    def finds(self) -> Mapping[str, Find]:
        """The functions that find roots. When it is set, names that remain keep their trees and counters."""
        return self._finds

    @finds.setter
    def finds(self, finds: Mapping[str, Find]) -> None:
        with self._lock:
            for root, name in list(self._names.items()):
                if name not in finds:
                    self._remove(root)
            self._finds = dict(finds)
            now_ns = time.monotonic_ns()
            self._totals = {name: self._totals.get(name, NamedTotals()) for name in finds}
            self._seen_ns = {name: self._seen_ns.get(name, now_ns) for name in finds}
            self.error_counts = {name: self.error_counts.get(name, 0) for name in finds}
            self._search()

    def sample(self) -> dict[str, NamedTotals]:
        """The figures of each name; names without processes for five minutes are left out.

        Calls that wait for a sample that began after them share it.
        """
        called_ns = time.monotonic_ns()
        with self._lock:
            if self._taken_ns < called_ns:
                self._taken_ns = time.monotonic_ns()
                is_missing = len(set(self._names.values())) < len(self._finds)
                if self._taken_ns >= (self._early_search_due_ns if is_missing else self._search_due_ns):
                    self._search()
                roots = set(self._names)
                self._account()
                if roots - set(self._names) and self._search():
                    self._account()
            return {
                name: totals
                for name, totals in self._totals.items()
                if totals.process_count or self._taken_ns - self._seen_ns[name] < EMPTY_FOR_NS
            }

    def close(self) -> None:
        """Close all file descriptors."""
        with self._lock:
            self._forest.close()

    def _account(self) -> None:
        """Sample all trees, and add what they have used since."""
        grouped: dict[str, list[TreeSample]] = {name: [] for name in self._finds}
        for root, sample in self._forest.sample().items():
            name = self._names[root]
            grouped[name].append(sample)
            self._totals[name] = _advanced(self._totals[name], self._before.get(root), sample)
            self._before[root] = sample
        for name, samples in grouped.items():
            self._totals[name] = self._levels(self._totals[name], samples)
            if self._totals[name].process_count:
                self._seen_ns[name] = self._taken_ns
            for sample in samples:
                if sample.is_over:
                    self._remove(sample.root_pid)

    def _levels(self, totals: NamedTotals, samples: list[TreeSample]) -> NamedTotals:
        ages = [sample.pss_age_ns for sample in samples if sample.pss_age_ns is not None]
        starts = [self._starts[sample.root_pid] for sample in samples if not sample.is_over]
        return totals._replace(
            start_time=min(starts, default=None),
            process_count=sum(sample.process_count for sample in samples),
            thread_count=sum(sample.thread_count for sample in samples),
            rss_bytes=_sum(sample.rss_bytes for sample in samples),
            vsize_bytes=_sum(sample.vsize_bytes for sample in samples),
            pss_bytes=_sum(sample.pss_bytes for sample in samples),
            pss_age_ns=max(ages, default=None),
            fd_count=_sum(sample.fd_count for sample in samples),
            denied=sum(sample.denied for sample in samples),
        )

    def _search(self) -> bool:
        """Returns whether a root was found."""
        began_ns, began = time.monotonic_ns(), time.time()
        before = set(self._names)
        known, self.errors = self.errors, {}
        for name, find in self._finds.items():
            try:
                for root in find():
                    try:
                        self._add(root, name)
                    except AccessDenied as error:
                        self._note_error(name, error)
            except Exception as error:  # whatever it is, the other names are not affected
                self._note_error(name, error)
        for name, text in self.errors.items():
            if self._on_error is not None and known.get(name) != text:
                self._on_error(name, text)
        ended_ns = time.monotonic_ns()
        self._searched = began
        self._early_search_due_ns = ended_ns + SEARCH_SHARE * (ended_ns - began_ns)
        self._search_due_ns = max(ended_ns + SEARCH_EVERY_NS, self._early_search_due_ns)
        return bool(set(self._names) - before)

    def _note_error(self, name: str, error: Exception) -> None:
        self.errors[name] = str(error) or type(error).__name__
        self.error_counts[name] += 1

    def _add(self, root: int, name: str) -> None:
        if root in self._names:
            return
        outer = next((tree.root[0] for tree in self._forest.trees if tree.ledger.identity_of(root)), None)
        if outer is not None:
            if self._names[outer] == name:  # an orphan of a root that has ended
                return
            # The forest never divides a tree: the outer one begins anew, after the inner one.
            outer_name = self._names[outer]
            self._account()
            if outer in self._names:
                self._remove(outer)
            self._open(root, name, is_new=False)
            self._open(outer, outer_name, is_new=False)
            return
        self._open(root, name, is_new=True)

    def _open(self, root: int, name: str, *, is_new: bool) -> None:
        from prock.process import get_start_time

        start = get_start_time(root)
        try:
            if start is None:
                return
            # What a root has used before it was found counts if it started after the search before, and only then.
            self._forest.add(root, since_birth=is_new and self._searched is not None and start > self._searched)
        except (NoSuchProcess, ValueError):  # ended, or already a member of another tree
            return
        self._names[root] = name
        self._starts[root] = start

    def _remove(self, root: int) -> None:
        self._forest.remove(root)
        del self._names[root]
        self._before.pop(root, None)
        self._starts.pop(root, None)


def _advanced(totals: NamedTotals, before: TreeSample | None, sample: TreeSample) -> NamedTotals:
    """The counters, with what a tree has used since the sample before; its baseline is 0."""
    read_bytes, write_bytes = totals.read_bytes, totals.write_bytes
    if (io := sample.disk_io) is not None:
        io_before = None if before is None else before.disk_io
        if io.read_bytes is not None:
            read_bytes = (read_bytes or 0) + io.read_bytes - ((io_before and io_before.read_bytes) or 0)
        if io.write_bytes is not None:
            write_bytes = (write_bytes or 0) + io.write_bytes - ((io_before and io_before.write_bytes) or 0)
    return totals._replace(
        cpu_ns=totals.cpu_ns + sample.cpu_ns - (0 if before is None else before.cpu_ns),
        read_bytes=read_bytes,
        write_bytes=write_bytes,
        processes_started=totals.processes_started + sample.appeared,
    )


def _sum(values: Iterable[int | None]) -> int | None:
    """Of those that are known; None if none is."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None

"""What ``prock top`` shows, as plain data: samples in, the lines of the tree out. No I/O, no clock, no drawing.

A `Picture` is made once for each sample; which of its nodes are lines follows from folds, filter and order, and is
asked again whenever one of these changes.
"""

from __future__ import annotations

from prock._compat.namedtuple import NamedTuple
from prock.report.layout import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence, Set
    from typing import TypeVar

    from prock.model import Identity, MemberSample
    from prock.sampling.sample import TreeSample

    Number = TypeVar("Number", int, float)


class Rates(NamedTuple):
    """Bytes from and to storage per second, of a process and all below it."""

    read: float
    write: float


class Node:
    """A process in its place."""

    __slots__ = ("children", "is_stray", "member", "parent", "rates", "with_io")

    def __init__(self, member: MemberSample, parent: Node | None, rates: Rates | None) -> None:
        self.member = member
        self.parent = parent
        self.rates = rates
        self.children: list[Node] = []
        self.with_io = 0 if member.disk_io is None else 1
        """Processes, itself and all below, whose I/O is known: where they are fewer than all, the rates are too low."""
        self.is_stray = False
        """Whether its parent ended, and the one that adopted it is outside of the tree."""

    @property
    def identity(self) -> Identity:
        return self.member.identity


class Totals(NamedTuple):
    """Of one tree, or of several together. None is unknown, as in `prock.TreeSample`."""

    processes: int
    threads: int
    interval_ns: int
    wall_ns: int
    cpu_ns: int
    cpu_percent: float | None
    ended_cpu_ns: int
    unseen_cpu_ns: int
    rss_bytes: int | None
    rates: Rates | None
    with_io: int
    """Processes whose I/O is known."""
    appeared: int
    ended: int
    vanished: int
    denied: int
    trust: tuple[str, ...]
    """``accounting: bias``, each once."""
    is_over: bool


class Past(NamedTuple):
    """CPU time of trees that are over, and followed no more."""

    cpu_ns: int
    ended_cpu_ns: int
    unseen_cpu_ns: int

    def with_tree(self, sample: TreeSample) -> Past:
        return Past(
            self.cpu_ns + sample.cpu_ns,
            self.ended_cpu_ns + sample.ended_cpu_ns,
            self.unseen_cpu_ns + sample.unseen_cpu_ns,
        )


NOTHING = Past(0, 0, 0)


class Picture:
    """One look at all trees that are followed."""

    def __init__(self, samples: Sequence[TreeSample], before: Picture | None = None, past: Past = NOTHING) -> None:
        self.samples = tuple(samples)
        self._io = {sample.root_pid: sample.disk_io for sample in samples}
        self._subtree_io = {
            member.identity: member.subtree_disk_io
            for sample in samples
            if sample.disk_io is not None
            for member in sample.members
        }
        trees = [self._plant(sample, before) for sample in samples]
        self.totals = self._sum(before, past, [sum(top.with_io for top in tree) for tree in trees])
        self.tops = [top for tree in trees for top in tree]
        """Roots, and strays: what has no parent here."""

    def _plant(self, sample: TreeSample, before: Picture | None) -> list[Node]:
        """Link the members of one tree. Parents come first; who names one that comes later is shown at the top."""
        nodes: dict[int, Node] = {}
        with_io = sample.disk_io is not None
        root, tops = sample.root, []
        for member in sample.members:
            parent = nodes.get(member.ppid)
            rates = self._rates(member, sample.interval_ns, before) if with_io else None
            node = nodes[member.pid] = Node(member, parent, rates)
            if parent is not None:
                parent.children.append(node)
                continue
            node.is_stray = root is None or member.pid != root.pid
            tops.append(node)
        if with_io:
            for node in reversed(nodes.values()):
                if node.with_io == 0:
                    node.rates = None
                elif node.parent is not None:
                    node.parent.with_io += node.with_io
        return tops

    def _rates(self, member: MemberSample, interval_ns: int, before: Picture | None) -> Rates | None:
        now = member.subtree_disk_io
        if now is None or before is None:
            return None
        if member.identity in before._subtree_io:
            then = before._subtree_io[member.identity]
            if then is None:
                return None
            used = now - then
            return _rates(used.read_bytes, used.write_bytes, interval_ns)
        # Born in the interval, or older and seen for the first time: then the sampler knows no percentage either.
        return None if member.cpu_percent is None else _rates(now.read_bytes, now.write_bytes, interval_ns)

    def _sum(self, before: Picture | None, past: Past, with_io: Sequence[int]) -> Totals:
        samples = self.samples
        for sample in samples:
            past = past.with_tree(sample)
        return Totals(
            processes=sum(sample.process_count for sample in samples),
            threads=sum(sample.thread_count for sample in samples),
            interval_ns=max((sample.interval_ns for sample in samples), default=0),
            wall_ns=max((sample.wall_ns for sample in samples), default=0),
            cpu_ns=past.cpu_ns,
            cpu_percent=_sum_of_known((sample.cpu_percent for sample in samples), 0.0),
            ended_cpu_ns=past.ended_cpu_ns,
            unseen_cpu_ns=past.unseen_cpu_ns,
            rss_bytes=_sum_of_known((sample.rss_bytes for sample in samples), 0),
            rates=self._total_rates(before, with_io),
            with_io=sum(with_io),
            appeared=sum(sample.appeared for sample in samples),
            ended=sum(sample.ended for sample in samples),
            vanished=sum(sample.vanished for sample in samples),
            denied=sum(sample.denied for sample in samples),
            trust=tuple(dict.fromkeys(f"{sample.accounting}: {sample.cpu_bias}" for sample in samples)),
            is_over=all(sample.is_over for sample in samples),
        )

    def _total_rates(self, before: Picture | None, with_io: Sequence[int]) -> Rates | None:
        read = write = 0.0
        known = False
        for sample, processes in zip(self.samples, with_io, strict=True):
            now, then = sample.disk_io, None if before is None else before._io.get(sample.root_pid)
            if now is None or processes == 0:
                continue
            used = now if then is None else now - then
            rates = _rates(used.read_bytes, used.write_bytes, sample.interval_ns)
            if rates is None:
                continue
            known = True
            read, write = read + rates.read, write + rates.write
        return Rates(read, write) if known else None


def _rates(read_bytes: int | None, write_bytes: int | None, interval_ns: int) -> Rates | None:
    """Never below zero: what an ended child used can leave a subtree. None where bytes to storage are not counted."""
    if read_bytes is None or write_bytes is None:
        return None
    seconds = max(1, interval_ns) / 1e9
    return Rates(max(0, read_bytes) / seconds, max(0, write_bytes) / seconds)


def _sum_of_known(values: Iterable[Number | None], nothing: Number) -> Number | None:
    known = [value for value in values if value is not None]
    return sum(known, nothing) if known else None


def _descending(value: Callable[[Node], float | None]) -> Callable[[Node], tuple[float, int]]:
    """Largest first, unknown last, equals by pid."""

    def rank(node: Node) -> tuple[float, int]:
        number = value(node)
        return (1 if number is None else -number, node.member.pid)

    return rank


SORTS: dict[str, Callable[[Node], tuple[object, int]]] = {
    "cpu": _descending(lambda node: node.member.subtree_cpu_percent),
    "rss": _descending(lambda node: node.member.subtree_rss_bytes),
    "time": _descending(lambda node: node.member.subtree_cpu_ns),
    "io": _descending(lambda node: None if node.rates is None else node.rates.read + node.rates.write),
    "threads": _descending(lambda node: node.member.subtree_thread_count),
    "processes": _descending(lambda node: node.member.subtree_process_count),
    "pid": lambda node: (0, node.member.pid),
    "name": lambda node: (node.member.comm.lower(), node.member.pid),
}
"""By which siblings can be ordered: by what they use with all below them."""


class Line:
    """A node that is shown. The branches before its name follow from the lines above it: see `lead`."""

    __slots__ = ("hidden", "is_last", "node", "parent")

    def __init__(self, node: Node, parent: Line | None, *, is_last: bool, hidden: int) -> None:
        self.node = node
        self.parent = parent
        self.is_last = is_last
        self.hidden = hidden
        """Processes that are folded away below it."""


def lines(
    tops: Sequence[Node], *, sort: str = "cpu", folded: Set[Identity] = frozenset(), wanted: str = ""
) -> list[Line]:
    """What is shown of the trees, from the top.

    A filter keeps what it hits and the way there, and looks below folds, too. Without recursion: a tree may be deeper
    than Python's stack.
    """
    kept = _kept(tops, wanted) if wanted else None
    if kept is not None:
        folded = frozenset()
    rank = SORTS[sort]
    shown: list[Line] = []
    stack: list[tuple[Node, Line | None, bool]] = []

    def push(nodes: Sequence[Node], parent: Line | None) -> None:
        if kept is not None:
            nodes = [node for node in nodes if node in kept]
        ranked = sorted(nodes, key=rank, reverse=True) if len(nodes) > 1 else nodes
        stack.extend((node, parent, index == 0) for index, node in enumerate(ranked))

    push(tops, None)
    while stack:
        node, parent, is_last = stack.pop()
        is_folded = bool(node.children) and node.identity in folded
        line = Line(node, parent, is_last=is_last, hidden=_count_below(node) if is_folded else 0)
        shown.append(line)
        if node.children and not is_folded:
            push(node.children, line)
    return shown


def all_nodes(tops: Sequence[Node]) -> Iterator[Node]:
    stack = list(tops)
    while stack:
        node = stack.pop()
        yield node
        stack.extend(node.children)


def lead(line: Line, branches: Sequence[str], room: int) -> str:
    """The branches before a name: those next to it, as far as there is room."""
    if line.parent is None:
        return ""
    tee, corner, bar, blank = branches
    parts = [corner if line.is_last else tee]
    left = room - len(tee)
    above: Line | None = line.parent
    while above is not None and above.parent is not None and left > 0:
        parts.append(blank if above.is_last else bar)
        left -= len(bar)
        above = above.parent
    return "".join(reversed(parts))


def _kept(tops: Sequence[Node], wanted: str) -> set[Node]:
    """The nodes whose name or pid has the text in it, and all above them."""
    wanted = wanted.lower()
    kept: set[Node] = set()
    for node in all_nodes(tops):
        if wanted in str(node.member.pid) or wanted in escape(node.member.comm).lower():
            above: Node | None = node
            while above is not None and above not in kept:
                kept.add(above)
                above = above.parent
    return kept


def _count_below(node: Node) -> int:
    return sum(1 for _ in all_nodes(node.children))

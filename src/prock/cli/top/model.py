"""The data behind ``prock top`` and ``prock tree``: samples in, the lines of a tree out. No I/O, no clock, no drawing.

A `Picture` is made once per sample; `lines` chooses its visible nodes by folds, filter and order.
"""

from __future__ import annotations

from functools import partial
from operator import attrgetter

from prock._compat.namedtuple import NamedTuple
from prock.model import NUMBERS
from prock.report.layout import describe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence, Set
    from typing import TypeVar

    from prock.model import DiskIo, Identity, MemberSample
    from prock.sampling.sample import TreeSample

    Number = TypeVar("Number", int, float, DiskIo)


class Rates(NamedTuple):
    """Bytes from and to storage per second, of a process and its descendants."""

    read: float
    write: float


class Node:
    """A process in its tree."""

    __slots__ = ("children", "cmdline", "is_orphan", "member", "parent", "rates", "with_io")

    def __init__(
        self, member: MemberSample, parent: Node | None, rates: Rates | None, cmdline: tuple[str, ...] | None
    ) -> None:
        self.member = member
        self.cmdline = cmdline
        self.parent = parent
        self.rates = rates
        self.children: list[Node] = []
        self.with_io = 0 if member.disk_io is None else 1
        """Processes of the subtree whose I/O is known: if they are fewer than all, the rates are lower bounds."""
        self.is_orphan = False
        """Whether its parent ended and a process outside the tree adopted it."""

    @property
    def identity(self) -> Identity:
        return self.member.identity


class Totals(NamedTuple):
    """Of one tree, or of several together. None is unknown, as in `prock.TreeSample`."""

    processes: int
    threads: int
    cpu_percent_over_ns: int
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
    accuracy: tuple[str, ...]
    """``accounting: bias``, each once."""
    is_over: bool


def unknown(_: MemberSample) -> None:
    """The command line of a process of which none was read."""


class Picture:
    """One sample of all followed trees. The CPU time of `past`, of trees that are no longer followed, is added."""

    def __init__(
        self,
        samples: Sequence[TreeSample],
        before: Picture | None = None,
        past: Totals | None = None,
        cmdline: Callable[[MemberSample], tuple[str, ...] | None] = unknown,
    ) -> None:
        self.samples = tuple(samples)
        self._io = {sample.root_pid: sample.disk_io for sample in samples}
        self._subtree_io = {
            member.identity: member.subtree_disk_io
            for sample in samples
            if sample.disk_io is not None
            for member in sample.members
        }
        trees = [
            plant(
                sample.members,
                None if sample.root is None else sample.root_pid,
                None if sample.disk_io is None else partial(self._rates, sample.interval_ns, before),
                cmdline,
            )
            for sample in samples
        ]
        self.totals = self._sum(before, past, [sum(top.with_io for top in tree) for tree in trees])
        self.tops = [top for tree in trees for top in tree]
        """Roots and orphans."""
        self.cmdline = cmdline

    @staticmethod
    def _rates(interval_ns: int, before: Picture | None, member: MemberSample) -> Rates | None:
        now = member.subtree_disk_io
        if now is None or before is None:
            return None
        if member.identity in before._subtree_io:
            then = before._subtree_io[member.identity]
            if then is None:
                return None
            used = now - then
            return _rates(used.read_bytes, used.write_bytes, interval_ns)
        # Born in the interval, or older and seen for the first time: then cpu_percent is None, too.
        return None if member.cpu_percent is None else _rates(now.read_bytes, now.write_bytes, interval_ns)

    def _sum(self, before: Picture | None, past: Totals | None, with_io: Sequence[int]) -> Totals:
        samples = self.samples
        ever: list[TreeSample | Totals] = [*samples] if past is None else [*samples, past]
        return Totals(
            processes=sum(sample.process_count for sample in samples),
            threads=sum(sample.thread_count for sample in samples),
            cpu_percent_over_ns=max((sample.cpu_percent_over_ns for sample in samples), default=0),
            wall_ns=max((sample.wall_ns for sample in samples), default=0),
            cpu_ns=sum(part.cpu_ns for part in ever),
            cpu_percent=sum_of_known(sample.cpu_percent for sample in samples),
            ended_cpu_ns=sum(part.ended_cpu_ns for part in ever),
            unseen_cpu_ns=sum(part.unseen_cpu_ns for part in ever),
            rss_bytes=sum_of_known(sample.rss_bytes for sample in samples),
            rates=self._total_rates(before, with_io),
            with_io=sum(with_io),
            appeared=sum(sample.appeared for sample in samples),
            ended=sum(sample.ended for sample in samples),
            vanished=sum(sample.vanished for sample in samples),
            denied=sum(sample.denied for sample in samples),
            accuracy=tuple(dict.fromkeys(f"CPU by {sample.accounting}: {sample.cpu_bias}" for sample in samples)),
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


def plant(
    members: Iterable[MemberSample],
    root_pid: int | None,
    rates: Callable[[MemberSample], Rates | None] | None = None,
    cmdline: Callable[[MemberSample], tuple[str, ...] | None] = unknown,
) -> list[Node]:
    """Link the members of one tree; parents come before their children. Returns the root and the orphans.

    `rates` is None without I/O.
    """
    nodes: dict[int, Node] = {}
    tops = []
    for member in members:
        parent = nodes.get(member.ppid)
        node = nodes[member.pid] = Node(member, parent, None if rates is None else rates(member), cmdline(member))
        if parent is None:
            node.is_orphan = member.pid != root_pid
            tops.append(node)
        else:
            parent.children.append(node)
    if rates is not None:
        for node in reversed(nodes.values()):
            if node.with_io == 0:
                node.rates = None
            elif node.parent is not None:
                node.parent.with_io += node.with_io
    return tops


def _rates(read_bytes: int | None, write_bytes: int | None, interval_ns: int) -> Rates | None:
    """Never below zero: the bytes of an ended child can leave a subtree. None if storage is not counted."""
    if read_bytes is None or write_bytes is None:
        return None
    seconds = max(1, interval_ns) / 1e9
    return Rates(max(0, read_bytes) / seconds, max(0, write_bytes) / seconds)


def sum_of_known(values: Iterable[Number | None]) -> Number | None:
    known = [value for value in values if value is not None]
    return sum(known[1:], known[0]) if known else None


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
    **{metric.option: _descending(attrgetter(f"member.subtree_{metric.name}")) for metric in NUMBERS},
    "pid": lambda node: (0, node.member.pid),
    "name": lambda node: (node.member.comm.lower(), node.member.pid),
}
"""Orders of siblings, by the sums of their subtrees."""


class Line:
    """A visible node. The branches before its name follow from the lines above it: see `lead`."""

    __slots__ = ("hidden", "is_last", "node", "parent")

    def __init__(self, node: Node, parent: Line | None, *, is_last: bool, hidden: int) -> None:
        self.node = node
        self.parent = parent
        self.is_last = is_last
        self.hidden = hidden
        """Number of its folded descendants."""


def lines(
    tops: Sequence[Node], *, sort: str = "cpu", folded: Set[Identity] = frozenset(), wanted: str = ""
) -> list[Line]:
    """The visible lines, from the top.

    A filter keeps the matching nodes and their ancestors, also below folds. No recursion: a tree may be deeper than
    Python's stack.
    """
    matches = _matches(tops, wanted) if wanted else None
    if matches is not None:
        folded = frozenset()
    rank = SORTS[sort]
    shown: list[Line] = []
    stack: list[tuple[Node, Line | None, bool]] = []

    def push(nodes: Sequence[Node], parent: Line | None) -> None:
        if matches is not None:
            nodes = [node for node in nodes if node in matches]
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


def lead(line: Line, branches: Sequence[str], columns: int) -> str:
    """The branches before a name: the innermost ones that fit into that many columns."""
    if line.parent is None:
        return ""
    tee, corner, bar, blank = branches
    parts = [corner if line.is_last else tee]
    left = columns - len(tee)
    above: Line | None = line.parent
    while above is not None and above.parent is not None and left > 0:
        parts.append(blank if above.is_last else bar)
        left -= len(bar)
        above = above.parent
    return "".join(reversed(parts))


def _matches(tops: Sequence[Node], wanted: str) -> set[Node]:
    """The nodes with the text in their command line, name or pid, and their ancestors."""
    wanted = wanted.lower()
    found: set[Node] = set()
    for node in all_nodes(tops):
        if wanted in str(node.member.pid) or wanted in describe(node.cmdline, node.member.comm).lower():
            above: Node | None = node
            while above is not None and above not in found:
                found.add(above)
                above = above.parent
    return found


def _count_below(node: Node) -> int:
    return sum(1 for _ in all_nodes(node.children))

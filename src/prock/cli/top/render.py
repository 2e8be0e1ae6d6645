"""How ``prock top`` writes what it knows: columns, totals, history. Text only, for every view of it.

A drawn line is a list of spans, each a text and the name of a style; the text holds nothing that speaks to a terminal.
"""

from __future__ import annotations

from prock._compat.namedtuple import NamedTuple
from prock.cli.top.model import lead
from prock.cli.tree_view import ASCII_BRANCHES, NAME_WIDTH, UNICODE_BRANCHES
from prock.report.format import format_bytes, format_cpu
from prock.report.layout import count, cut, format_percent, format_rate, width

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import TypeAlias

    from prock.cli.output import Screen
    from prock.cli.top.model import Line, Node, Totals

    Span: TypeAlias = tuple[str, str]
    Drawn: TypeAlias = list[Span]

UNICODE_BLOCKS = "▁▂▃▄▅▆▇█"
ASCII_BLOCKS = "_.-=+*#@"


AT_LEAST = "≥"


class Column(NamedTuple):
    title: str
    sort: str
    """What a click on the title orders by."""
    room: int
    """Columns that it takes at least, lest it dance."""
    rank: int
    """Which go first where a terminal is narrow: the highest."""
    text: Callable[[Node], str]


def _rate(node: Node, index: int) -> str:
    """A sum of which some part was refused says so."""
    if node.rates is None:
        return "-"
    mark = AT_LEAST if node.with_io < node.member.subtree_process_count else ""
    return mark + format_rate(node.rates[index])


COLUMNS = (
    Column("PID", "pid", 7, 0, lambda node: str(node.member.pid)),
    Column("S", "", 1, 9, lambda node: node.member.state),
    Column("THR", "threads", 3, 7, lambda node: str(node.member.thread_count)),
    Column("%CPU", "", 5, 3, lambda node: format_percent(node.member.cpu_percent)),
    Column("%CPU+", "cpu", 5, 1, lambda node: format_percent(node.member.subtree_cpu_percent)),
    Column("RSS", "", 5, 6, lambda node: format_bytes(node.member.rss_bytes)),
    Column("RSS+", "rss", 5, 2, lambda node: format_bytes(node.member.subtree_rss_bytes)),
    Column("PROCS", "processes", 5, 8, lambda node: str(node.member.subtree_process_count)),
    Column("READ+/s", "io", 7, 4, lambda node: _rate(node, 0)),
    Column("WRITE+/s", "io", 8, 4, lambda node: _rate(node, 1)),
    Column("TIME+", "time", 7, 5, lambda node: format_cpu(node.member.subtree_cpu_ns)),
)
IO_TITLES = ("READ+/s", "WRITE+/s")


class Pen:
    """Draws for one screen."""

    def __init__(self, screen: Screen, *, with_io: bool, poor: bool = False) -> None:
        self.screen = screen
        self._branches = UNICODE_BRANCHES if screen.can_show("".join(UNICODE_BRANCHES)) else ASCII_BRANCHES
        self._blocks = ASCII_BLOCKS if poor or not screen.can_show(UNICODE_BLOCKS) else UNICODE_BLOCKS
        self._at_least = AT_LEAST if screen.can_show(AT_LEAST) else ">="
        self.with_io = with_io
        self._columns = [column for column in COLUMNS if with_io or column.title not in IO_TITLES]
        self._rooms = {column.title: column.room for column in COLUMNS}

    def cut(self, text: str, columns: int) -> str:
        return cut(text, columns, self.screen.ellipsis)

    def fitting_columns(self, columns: int) -> list[Column]:
        """Those that leave a name its room."""
        chosen = list(self._columns)
        while len(chosen) > 1 and sum(self._rooms[column.title] + 1 for column in chosen) + NAME_WIDTH > columns:
            highest = max(column.rank for column in chosen)
            chosen = [column for column in chosen if column.rank != highest]
        return chosen

    def cells(self, node: Node, chosen: Sequence[Column]) -> list[str]:
        return [column.text(node).replace(AT_LEAST, self._at_least) for column in chosen]

    def rates(self, totals: Totals) -> str:
        """Of everything together."""
        if totals.rates is None:
            return "read -, written -"
        mark = self._at_least if totals.with_io < totals.processes else ""
        read, written = map(format_rate, totals.rates)
        return f"read {mark}{read}/s, written {mark}{written}/s"

    def numbers(self, nodes: Sequence[Node], chosen: Sequence[Column]) -> list[str]:
        """The columns of numbers for each of the nodes. A column that had to grow does not shrink again."""
        rows = [self.cells(node, chosen) for node in nodes]
        for index, column in enumerate(chosen):
            self._rooms[column.title] = max([self._rooms[column.title], *(len(row[index]) for row in rows)])
        rooms = [self._rooms[column.title] for column in chosen]
        return ["".join(f"{text:>{room}} " for text, room in zip(row, rooms, strict=True)) for row in rows]

    def titles(self, chosen: Sequence[Column], sort: str) -> Drawn:
        """The head of the table; what it is ordered by stands out."""
        spans = []
        for column in chosen:
            text = f"{column.title:>{self._rooms[column.title]}}"
            bare = text.lstrip()
            spans.append((text[: len(text) - len(bare)], "title"))
            spans.append((bare, "sorted" if column.sort == sort else "title"))
            spans.append((" ", "title"))
        return [*spans, ("COMMAND", "sorted" if sort == "name" else "title")]

    def sort_at(self, chosen: Sequence[Column], x: int) -> str:
        """What the title at that place orders by."""
        end = 0
        for column in chosen:
            end += self._rooms[column.title] + 1
            if x < end:
                return column.sort
        return "name"

    def name(self, line: Line, room: int | None = None) -> str:
        """Branches and name; where there is little room, the outer branches go first."""
        name = self._label(line)
        if room is None:
            return lead(line, self._branches, 300) + name
        lead_room = max(0, room - min(width(name), NAME_WIDTH))
        branches = lead(line, self._branches, lead_room + 1)
        if len(branches) > lead_room:
            mark = self.screen.ellipsis
            branches = mark + branches[len(branches) + len(mark) - lead_room :] if lead_room > len(mark) else ""
        return branches + self.cut(name, room - len(branches))

    def _label(self, line: Line) -> str:
        member = line.node.member
        name = "? (refused)" if "stat" in member.refused else self.screen.clean(member.comm)
        if line.hidden:
            name = f"[+{line.hidden:,}] {name}"
        if member.state == "Z":
            name += " (zombie)"
        return f"{name} (orphan)" if line.node.is_stray else name

    def sparkline(self, values: Iterable[float | None], columns: int) -> str:
        """The last values, one a column, from zero to the largest of them."""
        last = list(values)[-columns:] if columns > 0 else []
        largest = max((value for value in last if value is not None), default=0)
        top = len(self._blocks) - 1
        return "".join(
            " " if value is None else self._blocks[round(top * value / largest) if largest else 0] for value in last
        )


def widest_fitting(variants: Sequence[str], columns: int) -> str:
    """The first that has room; else the last, which is the shortest."""
    return next((text for text in variants if width(text) <= columns), variants[-1])


def counts(totals: Totals) -> str:
    return f"{count(totals.processes, 'process', 'processes')}, {count(totals.threads, 'thread')}"


def lost(totals: Totals) -> tuple[str, ...]:
    """CPU time that belongs to no living process, in ever shorter words."""
    ended, unseen = format_cpu(totals.ended_cpu_ns), format_cpu(totals.unseen_cpu_ns)
    total = format_cpu(totals.cpu_ns)
    return (
        f"gone   ended members {ended}, unseen children {unseen}, of {total} CPU in {format_cpu(totals.wall_ns)}",
        f"gone   ended members {ended}, unseen children {unseen}, of {total}",
        f"gone   ended {ended}, unseen {unseen}, of {total}",
        f"gone {ended} + {unseen} of {total}",
    )


def trust(totals: Totals) -> str:
    """What is missing, and how true the total is."""
    missing = f"{totals.denied:,} refused, {totals.vanished:,} vanished"
    return "; ".join((f"trust  {missing}", *totals.trust))

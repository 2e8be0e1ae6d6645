"""The text of ``prock top`` and ``prock tree``: columns, branches, totals, history.

A drawn line is a list of spans, each a text and the name of a style; the text contains no escape sequences.
"""

from __future__ import annotations

from prock._compat.namedtuple import NamedTuple
from prock.cli.top.model import lead
from prock.model import NUMBERS
from prock.report.layout import count, cut, describe, format_bytes, format_cpu, format_percent, shorten, table, width

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import TypeAlias

    from prock.cli.output import Screen
    from prock.cli.top.model import Line, Node, Totals

    Span: TypeAlias = tuple[str, str]
    Drawn: TypeAlias = list[Span]

UNICODE_BRANCHES = ("├─ ", "└─ ", "│  ", "   ")
ASCII_BRANCHES = ("|- ", "`- ", "|  ", "   ")
UNICODE_BLOCKS = "▁▂▃▄▅▆▇█"
ASCII_BLOCKS = "_.-=+*#@"
AT_LEAST = "≥"
NAME_WIDTH, COMMAND_WIDTH = 16, 24
"""Columns reserved for a command on a narrow terminal, without and with its branches."""
LONGEST_LEAD = 300
"""Columns of branches without a terminal, so that the output of a deep tree does not grow as its square."""


class Column(NamedTuple):
    title: str
    sort: str
    """The order that a click on the title chooses."""
    width: int
    """Minimum, so that the table does not move with every sample."""
    rank: int
    """On a narrow terminal the columns of the highest rank are left out first."""
    text: Callable[[Node], str]


def _rate(node: Node, index: int) -> str:
    """Marked as a lower bound if access to the I/O of some process was denied."""
    if node.rates is None:
        return "-"
    mark = AT_LEAST if node.with_io < node.member.subtree_process_count else ""
    return mark + format_bytes(node.rates[index])


def _time(node: Node, cpu_ns: int) -> str:
    return "-" if "stat" in node.member.refused and not cpu_ns else format_cpu(cpu_ns)


_PID = Column("PID", "pid", 7, 0, lambda node: str(node.member.pid))
_STATE = Column("S", "", 1, 9, lambda node: node.member.state)
_THREADS = Column("THR", "threads", 3, 7, lambda node: str(node.member.thread_count or "-"))
_RSS = Column("RSS", "", 5, 6, lambda node: format_bytes(node.member.rss_bytes))
_RSS_SUM = Column("RSS+", "rss", 5, 2, lambda node: format_bytes(node.member.subtree_rss_bytes))
_PROCESSES = Column("PROCS", "processes", 5, 8, lambda node: str(node.member.subtree_process_count))
SAMPLE_COLUMNS = (
    _PID,
    _STATE,
    _THREADS,
    Column("%CPU", "", 5, 3, lambda node: format_percent(node.member.cpu_percent)),
    Column("%CPU+", "cpu", 5, 1, lambda node: format_percent(node.member.subtree_cpu_percent)),
    _RSS,
    _RSS_SUM,
    _PROCESSES,
    Column("READ+/s", "io", 7, 4, lambda node: _rate(node, 0)),
    Column("WRITE+/s", "io", 8, 4, lambda node: _rate(node, 1)),
    Column("TIME+", "time", 7, 5, lambda node: _time(node, node.member.subtree_cpu_ns)),
)
SNAPSHOT_COLUMNS = (
    _PID,
    _STATE,
    _THREADS,
    Column("CPU", "", 7, 3, lambda node: _time(node, node.member.cpu_ns)),
    Column("CPU+", "time", 7, 1, lambda node: _time(node, node.member.subtree_cpu_ns)),
    _RSS,
    _RSS_SUM,
    _PROCESSES,
    Column("READ+", "io", 5, 4, lambda node: _rate(node, 0)),
    Column("WRITE+", "io", 6, 4, lambda node: _rate(node, 1)),
)


def number_columns(options: Mapping[str, bool]) -> list[Column]:
    """Two for each metric with a separate reader: of the process, and of the process and all below it."""
    return [
        Column(metric.title + mark, metric.option if mark else "", 5, 5, _number(prefix + metric.name))
        for metric in NUMBERS
        if options.get(metric.option)
        for mark, prefix in (("", ""), ("+", "subtree_"))
    ]


def _number(name: str) -> Callable[[Node], str]:
    def text(node: Node) -> str:
        value = getattr(node.member, name)
        return "-" if value is None else f"{value:,}"

    return text


class Pen:
    """Draws for one screen. `poor`: a terminal whose font has few characters."""

    def __init__(
        self,
        screen: Screen,
        *,
        with_io: bool,
        numbers: Mapping[str, bool] | None = None,
        poor: bool = False,
        columns: Sequence[Column] = SAMPLE_COLUMNS,
    ) -> None:
        self.screen = screen
        self._branches = UNICODE_BRANCHES if screen.can_show("".join(UNICODE_BRANCHES)) else ASCII_BRANCHES
        self._blocks = ASCII_BLOCKS if poor or not screen.can_show(UNICODE_BLOCKS) else UNICODE_BLOCKS
        self._at_least = AT_LEAST if screen.can_show(AT_LEAST) else ">="
        self.with_io = with_io
        self._columns = [column for column in columns if with_io or column.sort != "io"]
        self._columns += number_columns(numbers or {})
        self._widths = {column.title: column.width for column in self._columns}

    def cut(self, text: str, columns: int) -> str:
        return cut(text, columns, self.screen.ellipsis)

    def fitting_columns(self, columns: int) -> list[Column]:
        """Those that leave enough space for a command."""
        chosen = list(self._columns)
        while len(chosen) > 1 and sum(self._widths[column.title] + 1 for column in chosen) + COMMAND_WIDTH > columns:
            highest = max(column.rank for column in chosen)
            chosen = [column for column in chosen if column.rank != highest]
        return chosen

    def cells(self, node: Node, chosen: Sequence[Column]) -> list[str]:
        return [column.text(node).replace(AT_LEAST, self._at_least) for column in chosen]

    def rates(self, totals: Totals) -> str:
        """The totals of all trees."""
        if totals.rates is None:
            return "read -, written -"
        mark = self._at_least if totals.with_io < totals.processes else ""
        read, written = map(format_bytes, totals.rates)
        return f"read {mark}{read}/s, written {mark}{written}/s"

    def numbers(self, nodes: Sequence[Node], chosen: Sequence[Column]) -> list[str]:
        """The columns of numbers for each node. A column that has grown does not shrink again."""
        rows = [self.cells(node, chosen) for node in nodes]
        for index, column in enumerate(chosen):
            self._widths[column.title] = max([self._widths[column.title], *(len(row[index]) for row in rows)])
        widths = [self._widths[column.title] for column in chosen]
        return ["".join(f"{text:>{columns}} " for text, columns in zip(row, widths, strict=True)) for row in rows]

    def titles(self, chosen: Sequence[Column], sort: str) -> Drawn:
        """The header of the table; the column that it is sorted by is highlighted."""
        spans = []
        for column in chosen:
            text = f"{column.title:>{self._widths[column.title]}}"
            bare = text.lstrip()
            spans.append((text[: len(text) - len(bare)], "title"))
            spans.append((bare, "sorted" if column.sort == sort else "title"))
            spans.append((" ", "title"))
        return [*spans, ("COMMAND", "sorted" if sort == "name" else "title")]

    def sort_at(self, chosen: Sequence[Column], x: int) -> str:
        """The order that a click at that column chooses."""
        end = 0
        for column in chosen:
            end += self._widths[column.title] + 1
            if x < end:
                return column.sort
        return "name"

    def table(self, shown: Sequence[Line]) -> list[str]:
        """A header and a line for each process, for the width of the screen."""
        columns = self.fitting_columns(self.screen.width or 1000)
        titles = [*(column.title for column in columns), ""]
        header, *numbers = table([titles, *([*self.cells(line.node, columns), ""] for line in shown)])
        left = None if self.screen.width is None else max(0, self.screen.width - len(header))
        rows = [number + self.name(line, left) for number, line in zip(numbers, shown, strict=True)]
        return [self.screen.paint(f"{header}COMMAND", "bold"), *rows]

    def name(self, line: Line, columns: int | None = None) -> str:
        """Branches and command; if they do not fit, the outer branches are left out first."""
        name, mark = self._label(line)
        if columns is None:
            return lead(line, self._branches, LONGEST_LEAD) + name + mark
        lead_width = max(0, columns - min(width(name + mark), NAME_WIDTH))
        branches = lead(line, self._branches, lead_width + 1)
        if len(branches) > lead_width:
            more = self.screen.ellipsis
            branches = more + branches[len(branches) + len(more) - lead_width :] if lead_width > len(more) else ""
        left = columns - len(branches)
        name = shorten(name, max(left - len(mark), min(left, NAME_WIDTH)), self.screen.ellipsis)
        return branches + self.cut(name + mark, left)

    def _label(self, line: Line) -> tuple[str, str]:
        """The command, and what is special about the process."""
        member = line.node.member
        name = "? (access denied)"
        if "stat" not in member.refused:
            name = describe(line.node.cmdline, member.comm, self.screen.encoding)
        if line.hidden:
            name = f"[+{line.hidden:,}] {name}"
        mark = ""
        if member.state == "Z":
            mark = " (main thread has ended)" if member.is_alive else " (zombie)"
        return name, f"{mark} (orphan)" if line.node.is_orphan else mark

    def sparkline(self, values: Iterable[float | None], columns: int) -> str:
        """The last values, one a column, from zero to the largest of them."""
        last = list(values)[-columns:] if columns > 0 else []
        largest = max((value for value in last if value is not None), default=0)
        top = len(self._blocks) - 1
        return "".join(
            " " if value is None else self._blocks[round(top * value / largest) if largest else 0] for value in last
        )


def widest_fitting(variants: Sequence[str], columns: int) -> str:
    """The first that fits; otherwise the last, which is the shortest."""
    return next((text for text in variants if width(text) <= columns), variants[-1])


def counts(totals: Totals) -> str:
    return f"{count(totals.processes, 'process', 'processes')}, {count(totals.threads, 'thread')}"


def ended_cpu(totals: Totals) -> tuple[str, ...]:
    """CPU time that belongs to no living process; shorter variants follow."""
    ended, unseen = format_cpu(totals.ended_cpu_ns), format_cpu(totals.unseen_cpu_ns)
    total = format_cpu(totals.cpu_ns)
    return (
        f"ended     sampled before {ended}, never sampled {unseen}, of {total} CPU in {format_cpu(totals.wall_ns)}",
        f"ended     sampled {ended}, never sampled {unseen}, of {total}",
        f"ended {ended}, never sampled {unseen}, of {total}",
        f"ended {ended} + {unseen} of {total}",
    )


def accuracy(totals: Totals) -> str:
    """How many processes could not be read, and source and bias of the CPU total."""
    denied = [f"{totals.denied:,} denied access"] if totals.denied else []
    vanished = [f"{totals.vanished:,} ended while being read"] if totals.vanished else []
    return f"accuracy  {'; '.join([*denied, *vanished, *totals.accuracy])}"

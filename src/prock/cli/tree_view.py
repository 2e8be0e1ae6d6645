"""How ``prock tree`` looks: the rows, the branches beside them, and the lines below."""

from __future__ import annotations

from prock.cli.usage import Sums
from prock.report.format import format_bytes, format_cpu
from prock.report.layout import count, cut, format_percent, format_rate, table, width

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prock.cli.output import Screen
    from prock.cli.tree import Node
    from prock.cli.usage import Interval
    from prock.model import TreeStats

UNICODE_BRANCHES = ("├─ ", "└─ ", "│  ", "   ")
ASCII_BRANCHES = ("|- ", "`- ", "|  ", "   ")
LONGEST_LEAD = 300
"""Columns of branches at most; of a deeper tree the outer ones are left out, lest the output grow as its square."""
NAME_WIDTH = 16
"""Columns that a name may claim from the branches on a narrow terminal: a comm has 15 bytes at most."""


class View:
    """The table of one tree."""

    def __init__(self, screen: Screen, interval: Interval | None, *, with_io: bool) -> None:
        self._screen = screen
        self._interval = interval
        self._with_io = with_io
        self._branches = UNICODE_BRANCHES if screen.can_show("".join(UNICODE_BRANCHES)) else ASCII_BRANCHES

    def lines(self, root: Node, depth: int | None) -> list[str]:
        """The header, and a line for each process that is drawn."""
        rows, names = [self._header()], [("", "COMMAND")]
        for lead, node, sums in _drawn(root, depth, self._branches):
            rows.append(self._cells(node, sums))
            names.append((lead, self._name(node, sums)))
        numbers = table([(*row, "") for row in rows])
        lines = [line + self._fitted(*name, width(line)) for line, name in zip(numbers, names, strict=True)]
        return [self._screen.paint(lines[0], "bold"), *lines[1:]]

    def footer(self, tree: TreeStats, root: Node) -> list[str]:
        """Totals, what is missing in them, and how far they can be trusted."""
        sums, interval = root.sums, self._interval
        totals = [_processes(sums), count(sums.threads or 0, "thread")]
        if interval is None:
            totals += [f"CPU {format_cpu(sums.own_ns)}", f"CPU+ {format_cpu(sums.cpu_ns)}"]
        else:
            percent, seconds = interval.percent(sums.cpu_ns), interval.elapsed_ns / 1e9
            totals.append(f"%CPU+ {format_percent(percent)} over {seconds:.2f} s")
        totals.append(f"RSS+ {format_bytes(sums.rss_bytes)}")
        lines = [
            f"total     {', '.join(totals)}",
            f"coverage  {self._coverage(tree)}",
            "trust     + is with all below; CPU+ at least (what nobody waited for is lost),",
            "          RSS+ at most (memory that is shared counts in each process)",
        ]
        return ["", *(self._screen.paint(line, "dim") for line in lines)]

    def _header(self) -> list[str]:
        if self._interval is None:
            return ["PID", "THR", "CPU", "CPU+", "RSS", "RSS+", *(("READ+", "WRITE+") if self._with_io else ())]
        return ["PID", "THR", "%CPU", "%CPU+", "RSS", "RSS+", *(("READ+/s", "WRITE+/s") if self._with_io else ())]

    def _cells(self, node: Node | None, sums: Sums) -> list[str]:
        """Numbers of one process and its subtree; those of all folded ones have no process of their own."""
        interval, amounts = self._interval, (sums.read_bytes, sums.write_bytes)
        if interval is None:
            own = "" if node is None else format_cpu(node.usage.own_ns)
            subtree = format_cpu(sums.cpu_ns)
            disk = [format_bytes(amount) for amount in amounts]
        else:
            own = "" if node is None else format_percent(interval.percent(node.usage.own_ns))
            subtree = format_percent(interval.percent(sums.cpu_ns))
            disk = [format_rate(interval.per_second(amount)) for amount in amounts]
        pid = threads = rss = ""
        if node is not None:
            member = node.member
            pid, rss = str(member.pid), format_bytes(member.rss_bytes)
            threads = "-" if member.thread_count is None else str(member.thread_count)
        rss_below = self._at_least(format_bytes(sums.rss_bytes), sums.described, sums)
        disk = [self._at_least(text, sums.processes_with_io, sums) for text in disk]
        return [pid, threads, own, subtree, rss, rss_below, *(disk if self._with_io else ())]

    def _at_least(self, text: str, known: int, sums: Sums) -> str:
        """A sum of which some part was refused says so."""
        return text if known in (0, sums.processes) else f"{'≥' if self._screen.can_show('≥') else '>='}{text}"

    def _name(self, node: Node | None, sums: Sums) -> str:
        if node is None:
            return f"{self._screen.ellipsis} {_processes(sums)}"
        if node.member.comm is None:
            return "? (refused)"
        return self._screen.clean(node.member.comm) + (" (zombie)" if node.member.state == "Z" else "")

    def _fitted(self, lead: str, name: str, used: int) -> str:
        """Branches and name in what the terminal has left; where that is little, the outer branches go first."""
        if self._screen.width is None:
            return lead + name
        room = max(0, self._screen.width - used)
        lead_room = max(0, room - min(width(name), NAME_WIDTH))
        if len(lead) > lead_room:
            mark = self._screen.ellipsis
            lead = (mark + lead[len(lead) + len(mark) - lead_room :]) if lead_room > len(mark) else ""
        return lead + cut(name, room - len(lead), self._screen.ellipsis)

    def _coverage(self, tree: TreeStats) -> str:
        refusals: dict[str, int] = {}
        for member in tree.members:
            for file in member.refused:
                refusals[file] = refusals.get(file, 0) + 1
        said = [f"{tree.vanished:,} vanished while being read"]
        said += [f"{file} of {number:,} refused" for file, number in refusals.items()] or ["0 refused"]
        if self._interval is not None:
            said.append(f"{len(self._interval.ended):,} ended in the interval")
        return ", ".join(said)


def _drawn(root: Node, depth: int | None, branches: Sequence[str]) -> Iterator[tuple[str, Node | None, Sums]]:
    """Each line's branches, node and sums, from the top. No node: the sums are of all that is folded below the last."""
    tee, corner, bar, blank = branches
    stack = [(root, "", "")]
    while stack:
        node, lead, lead_below = stack.pop()
        yield lead, node, node.sums
        lead_below = lead_below[-LONGEST_LEAD:]
        if node.depth == depth and node.children:
            yield lead_below + corner, None, _sums_below(node)
            continue
        for index, child in enumerate(reversed(node.children)):
            joint, below = (corner, blank) if index == 0 else (tee, bar)
            stack.append((child, lead_below + joint, lead_below + below))


def _sums_below(node: Node) -> Sums:
    sums = Sums()
    for child in node.children:
        sums.add(child.sums)
    return sums


def _processes(sums: Sums) -> str:
    return count(sums.processes, "process", "processes")

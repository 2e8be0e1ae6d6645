"""The account of a run, for people: what it cost in five lines, then how true that is.

Every text of strangers (arguments, names, labels) is escaped: it can neither forge a line nor speak to the terminal.
"""

from __future__ import annotations

from prock._compat.signals import name as signal_name
from prock.report.format import format_bytes, format_span
from prock.report.layout import count, cut, escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from prock.results import RunResult, Source, Survivor

LABEL_WIDTH = 8
COMMAND_WIDTH = 120
SURVIVORS = 5
_PLAIN = "@%+=:,./-_"


class Style:
    """What the report may be dressed in."""

    def __init__(self, *, colour: bool = False, verbose: int = 0, verify: bool = False) -> None:
        self.colour = colour
        self.verbose = verbose
        self.verify = verify

    def paint(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour else text

    def line(self, label: str, text: str) -> str:
        return f"  {self.paint(label.ljust(LABEL_WIDTH), '2')}{text}"


def page(result: RunResult, style: Style, title: str | None = None) -> list[str]:
    """All lines. `title`: who it is about, where that was no command."""
    lines = [
        headline(result, style, title),
        style.line("time", _time(result)),
        style.line("memory", _memory(result)),
        style.line("disk", _disk(result)),
        style.line("tree", _tree(result)),
        *_survivors(result.survivors, style),
        *_labelled("truth", truth(result), style),
    ]
    if style.verbose or style.verify:
        from prock.report.tables import comparison, tables

        lines += tables(result, style) if style.verbose else comparison(result, style)
    return lines


def headline(result: RunResult, style: Style, title: str | None = None) -> str:
    labels = "".join(f" [{escape(key)}={escape(value)}]" for key, value in result.labels)
    who = cut(quote(result.args), COMMAND_WIDTH, "...") if title is None else title
    how = style.paint(ending(result), "31") if result.returncode else ending(result)
    return f"{style.paint(f'prock: {who}', '1')}: {how}{labels}"


def ending(result: RunResult) -> str:
    """How it ended, in a few words.

    >>> import prock
    """
    if result.signal is not None:
        how = f"killed by {signal_name(result.signal)}"
    elif result.returncode is not None:
        how = f"exit code {result.returncode}"
    else:
        root_runs = any(survivor.pid == result.pid for survivor in result.survivors)
        how = "still running" if root_runs else "exit code unknown" if result.args else "has ended"
    return f"its time was over, {how}" if result.timed_out else how


def quote(args: Iterable[str]) -> str:
    """As one would type it; only for reading.

    >>> quote(["sh", "-c", "echo hello; exit"]), quote(["a\\n", ""])
    ("sh -c 'echo hello; exit'", "a\\\\n ''")
    """
    return " ".join(map(_quote, args))


def _quote(argument: str) -> str:
    text = escape(argument)
    if text != argument or (text and all(letter.isalnum() or letter in _PLAIN for letter in text)):
        return text
    return "'" + text.replace("'", "'\\''") + "'"


def _time(result: RunResult) -> str:
    parts = [f"{format_span(result.wall_ns)} elapsed"]
    if result.cpu_ns is None:
        return f"{parts[0]}, CPU unknown"
    split = ""
    if result.user_ns is not None and result.system_ns is not None:
        split = f" (user {format_span(result.user_ns)}, system {format_span(result.system_ns)})"
    parts.append(f"{format_span(result.cpu_ns)} CPU{split}")
    if result.cpu_percent is not None:
        parts.append(f"{result.cpu_percent / 100:.2f} cores busy")
    return ", ".join(parts)


def _memory(result: RunResult) -> str:
    parts = []
    if result.peak_footprint_bytes is not None:
        parts.append(f"{format_bytes(result.peak_footprint_bytes)} at the peak of the whole tree")
    elif result.peak_rss_bytes is not None:
        parts.append(f"{format_bytes(result.peak_rss_bytes)} at the peak, shared pages counted in each process")
    else:
        parts.append("peak unknown")
    if result.largest_process_bytes is not None:
        parts.append(f"{format_bytes(result.largest_process_bytes)} the largest process")
    return ", ".join(parts)


def _disk(result: RunResult) -> str:
    disk_io = result.disk_io
    parts = ["unknown"]
    if disk_io is not None:
        parts = [f"{format_bytes(disk_io.read_bytes)} read", f"{format_bytes(disk_io.write_bytes)} written"]
        if disk_io.read_bytes is None:  # Windows tells no more than that
            read, written = format_bytes(disk_io.read_chars), format_bytes(disk_io.write_chars)
            parts = [f"{read} read and {written} written by calls"]
    if result.major_faults is not None:
        parts.append(count(result.major_faults, "major fault"))
    return ", ".join(parts)


def _tree(result: RunResult) -> str:
    seen = sum(usage.process_count for usage in result.commands)
    if result.processes_started is not None:
        parts = [count(result.processes_started, "process", "processes")]
    else:
        parts = [f"{count(seen, 'process', 'processes')} seen" if seen else "number of processes unknown"]
    if result.peak_process_count is not None:
        parts.append(f"at most {result.peak_process_count:,} at once")
    if result.peak_thread_count is not None:
        parts.append(f"with {count(result.peak_thread_count, 'thread')}")
    return ", ".join(parts)


def _survivors(survivors: Sequence[Survivor], style: Style) -> list[str]:
    """The most CPU first."""
    if not survivors:
        return []
    used = sum(survivor.cpu_ns for survivor in survivors)
    lines = [f"{count(len(survivors), 'process', 'processes')} still running, {format_span(used)} CPU so far"]
    shown = sorted(survivors, key=lambda survivor: (-survivor.cpu_ns, survivor.pid))
    for survivor in shown if style.verbose > 1 else shown[:SURVIVORS]:
        rss = "" if survivor.rss_bytes is None else f", {format_bytes(survivor.rss_bytes)}"
        lines.append(f"{survivor.pid} {escape(survivor.comm)}: {format_span(survivor.cpu_ns)}{rss}")
    if style.verbose < 2 and len(survivors) > SURVIVORS:
        lines.append(f"and {len(survivors) - SURVIVORS:,} more")
    return _labelled("left", lines, style)


def truth(result: RunResult) -> list[str]:
    """Where the two figures that matter most come from, what they may lack, and what prock cost."""
    chosen = [(what, result.source(figure)) for what, figure in (("CPU", "cpu"), ("memory", "memory"))]
    known = [_source(what, source) for what, source in chosen if source is not None]
    lines = [f"{known[0]};", *known[1:]] if sum(map(len, known)) > 110 else ["; ".join(known)] if known else []
    return [*lines, *map(escape, result.missing), f"prock itself used {format_span(result.cost_ns)} CPU"]


def _source(what: str, source: Source) -> str:
    return f"{what} {escape(source.bias)} ({escape(source.source)})"


def _labelled(label: str, lines: Sequence[str], style: Style) -> list[str]:
    return [style.line("" if number else label, line) for number, line in enumerate(lines)]

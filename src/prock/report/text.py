"""The report of a run: its figures in a few lines, then how accurate they are.

Text that other programs chose (arguments, names, labels) is escaped, so that it cannot forge a line or control the
terminal.
"""

from __future__ import annotations

from prock._compat.signals import name as signal_name
from prock.report.layout import (
    Style,
    count,
    cut,
    escape,
    format_bytes,
    format_number,
    format_percent,
    format_span,
    harmless,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from prock.results import LimitExceeded, MonitorFigures, RunFigures, Source, Survivor

COMMAND_WIDTH = 120
SURVIVORS = 5
ONE_LINE = 66
"""Characters of two sources that fit in one line of 80 columns."""
_PLAIN = "@%+=:,./-_"


def run_report(result: RunFigures, style: Style | None = None, title: str | None = None) -> str:
    """All lines. `title` stands in the place of the command, for a tree that prock did not start."""
    style = style or Style()
    lines = [
        headline(result, style, title),
        *_limit(result, style),
        style.line("time", _time(result)),
        style.line("memory", _memory(result)),
        style.line("disk", _disk(result)),
        style.line("tree", _tree(result)),
        *_survivors(result.survivors, style),
        *style.lines("accuracy", accuracy(result)),
    ]
    if style.verbose or style.verify:
        from prock.report.tables import comparison, tables

        lines += tables(result, style) if style.verbose else comparison(result, style)
    return "\n".join(map(harmless, lines))


def monitor_report(result: MonitorFigures) -> str:
    """All lines about a monitored block."""
    style = Style()
    cpu = f"CPU {format_span(result.cpu_ns)}, {format_percent(result.cpu_percent)}% of one core"
    memory = f"{format_bytes(result.peak_rss_bytes)} peak, shared pages counted in each process"
    if result.peak_pss_bytes is not None:
        memory = f"{format_bytes(result.peak_pss_bytes)} peak, shared pages counted once"
    processes = count(result.peak_process_count, "process", "processes")
    lines = [
        style.line("time", f"wall {format_span(result.wall_ns)}, {cpu}"),
        style.line("memory", memory),
        style.line("tree", f"at most {processes}, {count(result.peak_thread_count, 'thread')}"),
        style.line("prock", f"{count(result.samples, 'sample')}, {format_span(result.cost_ns)} CPU"),
    ]
    if result.disk_io is not None:
        io = result.disk_io
        disk = f"read {format_bytes(io.read_bytes)}, written {format_bytes(io.write_bytes)}"
        lines.insert(2, style.line("disk", disk))
    return "\n".join(lines)


def headline(result: RunFigures, style: Style, title: str | None = None) -> str:
    labels = "".join(f" [{escape(key)}={escape(value)}]" for key, value in result.labels)
    subject = cut(quote(result.args), COMMAND_WIDTH, "...") if title is None else title
    how = style.paint(ending(result), "red") if result.returncode else ending(result)
    return f"{style.paint(f'prock: {subject}', 'bold')}: {how}{labels}"


def ending(result: RunFigures) -> str:
    """How the run ended, in a few words."""
    if result.signal is not None:
        how = f"killed by {signal_name(result.signal)}"
    elif result.returncode is not None:
        how = f"exit code {result.returncode}"
    else:
        root_runs = any(survivor.pid == result.pid for survivor in result.survivors)
        how = "still running" if root_runs else "exit code unknown" if result.args else "ended"
    if result.limit_exceeded is not None:
        return f"{result.limit_exceeded.limit} limit exceeded, {how}"
    return f"timed out, {how}" if result.timed_out else how


def limit_line(exceeded: LimitExceeded) -> str:
    """Which limit, and the tree when it was exceeded."""
    write = {"memory": format_bytes, "cpu": format_span}.get(exceeded.limit, format_number)
    value = f"{exceeded.limit} {write(exceeded.value)} of at most {write(exceeded.limit_value)}"
    return f"{value} after {format_span(exceeded.wall_ns)}, {count(exceeded.process_count, 'process', 'processes')}"


def _limit(result: RunFigures, style: Style) -> list[str]:
    """Which limit ended the tree, and its largest processes then."""
    exceeded = result.limit_exceeded
    if exceeded is None:
        return []
    lines = [limit_line(exceeded)]
    for process in exceeded.largest:
        rss = "memory unknown" if process.rss_bytes is None else format_bytes(process.rss_bytes)
        lines.append(f"{process.pid} {escape(process.comm)}: {rss}, {format_span(process.cpu_ns)} CPU")
    return style.lines("limit", lines)


def quote(args: Iterable[str]) -> str:
    """The command as a shell takes it; for reading only.

    >>> quote(["sh", "-c", "echo hello; exit"]), quote(["a\\n", ""])
    ("sh -c 'echo hello; exit'", "a\\\\n ''")
    """
    return " ".join(map(_quote, args))


def _quote(argument: str) -> str:
    text = escape(argument)
    if text != argument or (text and all(letter.isalnum() or letter in _PLAIN for letter in text)):
        return text
    return "'" + text.replace("'", "'\\''") + "'"


def _time(result: RunFigures) -> str:
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


def _memory(result: RunFigures) -> str:
    parts = []
    if result.peak_footprint_bytes is not None:
        parts.append(f"{format_bytes(result.peak_footprint_bytes)} peak of the whole tree")
    elif result.peak_rss_bytes is not None:
        parts.append(f"{format_bytes(result.peak_rss_bytes)} peak, shared pages counted in each process")
    else:
        parts.append("peak unknown")
    if result.largest_process_bytes is not None:
        parts.append(f"{format_bytes(result.largest_process_bytes)} largest process")
    return ", ".join(parts)


def _disk(result: RunFigures) -> str:
    disk_io = result.disk_io
    parts = ["unknown"]
    if disk_io is not None:
        parts = [f"{format_bytes(disk_io.read_bytes)} read", f"{format_bytes(disk_io.write_bytes)} written"]
        if disk_io.read_bytes is None:  # Windows only counts bytes passed to calls
            read, written = format_bytes(disk_io.read_chars), format_bytes(disk_io.write_chars)
            parts = [f"{read} read and {written} written by calls"]
    if result.major_faults is not None:
        parts.append(count(result.major_faults, "major fault"))
    return ", ".join(parts)


def _tree(result: RunFigures) -> str:
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
    """Most CPU first."""
    if not survivors:
        return []
    used = sum(survivor.cpu_ns for survivor in survivors)
    number = count(len(survivors), "process", "processes")
    lines = []
    shown = sorted(survivors, key=lambda survivor: (-survivor.cpu_ns, survivor.pid))
    for survivor in shown if style.verbose > 1 else shown[:SURVIVORS]:
        rss = "" if survivor.rss_bytes is None else f", {format_bytes(survivor.rss_bytes)}"
        lines.append(style.line("", f"{survivor.pid} {escape(survivor.comm)}: {format_span(survivor.cpu_ns)}{rss}"))
    if style.verbose < 2 and len(survivors) > SURVIVORS:
        lines.append(style.line("", f"and {len(survivors) - SURVIVORS:,} more"))
    return [f"  {style.paint('still running:', 'dim')} {number}, {format_span(used)} CPU so far", *lines]


def accuracy(result: RunFigures) -> list[str]:
    """Source and bias of the two main figures, what may be missing, and the CPU time that prock used."""
    chosen = [(what, result.source(figure)) for what, figure in (("CPU", "cpu"), ("memory", "memory"))]
    known = [_source(what, source) for what, source in chosen if source is not None]
    if sum(map(len, known)) <= ONE_LINE:
        known = ["; ".join(known)] if known else []
    return [*known, *map(escape, result.missing), f"prock itself used {format_span(result.cost_ns)} CPU"]


def _source(what: str, source: Source) -> str:
    return f"{what}: {escape(source.bias)} ({escape(source.source)})"

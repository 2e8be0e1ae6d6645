"""The report of a run: its figures in a few lines, then how accurate they are.

Text that other programs chose (arguments, names, labels) is escaped, so that it cannot forge a line or control the
terminal.
"""

from __future__ import annotations

from math import ceil

from prock._compat.signals import name as signal_name
from prock.redaction import redact
from prock.report.layout import (
    LABEL_WIDTH,
    Style,
    command_of,
    count,
    cut,
    distinct,
    escape,
    format_bytes,
    format_number,
    format_percent,
    format_span,
    harmless,
    quote,
    shorten,
    width,
    wrap,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from prock.results import LimitExceeded, MonitorFigures, ProcessUsage, RunFigures, Source, Survivor

COMMAND_WIDTH = 120
SHORTEST_COMMAND = 20
SURVIVORS = 5
ACCURATE = 0.01
"""A total that is accurate to this part has one accuracy, not two bounds."""
STILL_RUNNING = "still running:"


def run_report(result: RunFigures, style: Style | None = None, title: str | None = None) -> str:
    """All lines. `title` stands in the place of the command, for a tree that prock did not start."""
    style = style or Style()
    lines = [
        *headline(result, style, title),
        *_limit(result, style),
        *_signals(result, style),
        *style.lines("time", [_time(result)]),
        *style.lines("memory", [_memory(result)]),
        *style.lines("disk", [_disk(result)]),
        *style.lines("tree", [_tree(result)]),
        *_heaviest(result, style),
        *_survivors(result.survivors, style),
        *style.lines("accuracy", accuracy(result, style)),
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
    parts = [
        ("time", f"wall {format_span(result.wall_ns)}, {cpu}"),
        ("memory", memory),
        ("tree", f"at most {processes}, {count(result.peak_thread_count, 'thread')}"),
        ("prock", f"{count(result.samples, 'sample')}, {format_span(result.cost_ns)} CPU"),
    ]
    if result.disk_io is not None:
        io = result.disk_io
        disk = f"read {format_bytes(io.read_bytes)}, written {format_bytes(io.write_bytes)}"
        parts.insert(2, ("disk", disk))
    return "\n".join(line for label, text in parts for line in style.lines(label, [text]))


def headline(result: RunFigures, style: Style, title: str | None = None) -> list[str]:
    """Command, end and labels. The command is cut so that it ends in the first line, unless `Style.verbose`."""
    how = ending(result)
    labels = "".join(f" [{escape(key)}={escape(value)}]" for key, value in result.labels)
    columns = COMMAND_WIDTH if style.verbose else max(SHORTEST_COMMAND, style.width - len(f"prock: : {how}"))
    subject = cut(quote(redact(result.args)), columns, "...") if title is None else title
    first, *others = wrap(f"prock: {subject}: {how}{labels}", style.width, "  ")
    if first.startswith(start := f"prock: {subject}: {how}"):
        painted = style.paint(how, "red") if result.returncode else how
        first = f"{style.paint(f'prock: {subject}', 'bold')}: {painted}{first.removeprefix(start)}"
    return [first, *others]


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
        after = f": {rss}, {format_span(process.cpu_ns)} CPU"
        lines.append(_fitted(f"{process.pid} ", command_of(process), after, style))
    return style.lines("limit", lines)


def _signals(result: RunFigures, style: Style) -> list[str]:
    """What killed the tree or parts of it, as far as the kernel says."""
    lines = []
    for one in result.signals_received:
        sender = (
            f"pid {one.sender_pid} ({escape(one.sender_comm or '?')})" if one.sender_pid else "another PID namespace"
        )
        lines.append(f"{signal_name(one.number)} from {sender} after {format_span(one.wall_ns)}")
    if result.oom_kills:
        source = result.source("oom_kills")
        where = "" if source is None or source.bias.startswith("exact") else f" ({source.bias.partition(': ')[2]})"
        killed = count(result.oom_kills, "process", "processes")
        lines.append(f"{killed} killed by the kernel as memory ran out{where}")
    return style.lines("signals", lines) if lines else []


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
    seen = sum(usage.process_count or 0 for usage in result.commands)
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
        lines.append(_fitted(f"{survivor.pid} ", command_of(survivor), f": {format_span(survivor.cpu_ns)}{rss}", style))
    if style.verbose < 2 and len(survivors) > SURVIVORS:
        lines.append(f"and {len(survivors) - SURVIVORS:,} more")
    first, *others = wrap(f"  {STILL_RUNNING} {number}, {format_span(used)} CPU so far", style.width, "    ")
    return [first.replace(STILL_RUNNING, style.paint(STILL_RUNNING, "dim")), *others, *style.lines("", lines)]


def _heaviest(result: RunFigures, style: Style) -> list[str]:
    """The processes with the most CPU time, and the largest ones."""
    slowest = [(f"{format_span(usage.cpu_ns):>7} CPU{_life(usage)}  ", usage) for usage in result.slowest]
    largest = [(f"{format_bytes(usage.peak_rss_bytes):>7}  ", usage) for usage in result.largest]
    return [
        line
        for label, rows in (("slowest", slowest), ("largest", largest))
        for line in style.lines(label, _beside_commands(rows, style))
    ]


def _beside_commands(rows: Sequence[tuple[str, ProcessUsage]], style: Style) -> list[str]:
    """Where one does not fit into its line, the words in which they differ."""
    commands = [command_of(usage) for _, usage in rows]
    if any(_columns(before, "", style) < width(command) for (before, _), command in zip(rows, commands, strict=True)):
        commands = distinct(commands, "...")
    return [_fitted(before, command, "", style) for (before, _), command in zip(rows, commands, strict=True)]


def _columns(before: str, after: str, style: Style) -> int:
    return max(SHORTEST_COMMAND, style.width - 2 - LABEL_WIDTH - len(before) - len(after))


def _fitted(before: str, command: str, after: str, style: Style) -> str:
    """With a command between the two, as much of it as fits into the line."""
    return before + shorten(command, _columns(before, after, style), "...") + after


def _life(usage: ProcessUsage) -> str:
    if usage.started_ns is None or usage.ended_ns is None:
        return ""
    return f" in {format_span(usage.ended_ns - usage.started_ns)}"


def accuracy(result: RunFigures, style: Style) -> list[str]:
    """Source and bias of the two main figures where they are bounds, and what may be missing; else only in the long
    form, which has the CPU time of prock as well."""
    chosen = [(what, result.source(figure)) for what, figure in (("CPU", "cpu"), ("memory", "memory"))]
    is_long = bool(style.verbose or style.verify)
    known = [
        f"{what}: {escape(_with_upper(result, source))} ({escape(source.source)})"
        for what, source in chosen
        if source is not None and (is_long or _matters(what, source.bias, result))
    ]
    own = [f"prock itself used {format_span(result.cost_ns)} CPU"] if is_long else []
    return [*known, *map(escape, result.missing), *own]


def _with_upper(result: RunFigures, source: Source) -> str:
    """The bias of a figure; of the CPU time also what it was at most."""
    upper, bias = result.source("cpu_upper"), source.bias
    if source.figure != "cpu" or not bias.startswith("lower bound"):
        return bias
    if upper is None or not result.cpu_ns or result.cpu_upper_ns is None:
        return bias
    part = result.cpu_upper_ns / result.cpu_ns - 1
    if part <= ACCURATE:
        return f"accurate to {max(1, ceil(1000 * part)) / 10:g} %, as its cgroup used no more"
    loose = "" if upper.bias.startswith("upper bound: of") else " (the whole machine)"
    return f"{bias}; at most {format_span(result.cpu_upper_ns)}{loose}"


def _matters(what: str, bias: str, result: RunFigures) -> bool:
    """CPU time that may lack more than what left a cgroup; a peak that is a bound, except that of the only process."""
    if what == "CPU":
        return not bias.startswith(("exact", "lower bound: exact unless"))
    return not bias.startswith(("exact", "estimate: as sampled")) and result.processes_started != 1

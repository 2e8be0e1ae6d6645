"""The long form of a report: tables by command and by process, and the source of every figure."""

from __future__ import annotations

from prock.report.layout import (
    command_of,
    count,
    escape,
    format_bytes,
    format_number,
    format_span,
    shorten,
    table,
    width,
    wrap,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from prock.report.layout import Style
    from prock.results import ProcessUsage, RunFigures

ROWS = 10
SHORTEST_COMMAND = 20
INDENT = 4


def tables(result: RunFigures, style: Style) -> list[str]:
    return [
        *_commands(result, style),
        *_processes(result, style),
        *_counters(result),
        *comparison(result, style),
        *_sources(result, style),
    ]


def comparison(result: RunFigures, style: Style) -> list[str]:
    """The total by every source, and its ratio to the total that was taken."""
    if not result.cpu_by_source or (len(result.cpu_by_source) < 2 and not style.verify):
        return []
    rows = [("CPU", "RATIO", "BY")]
    for name, cpu_ns in result.cpu_by_source:
        ratio = f"{cpu_ns / result.cpu_ns:.3f}" if result.cpu_ns else "-"
        rows.append((format_span(cpu_ns), ratio, escape(name) + (" (taken)" if name == result.accounting else "")))
    return _block("CPU by source", rows)


def _commands(result: RunFigures, style: Style) -> list[str]:
    if not result.commands:
        return []
    shown = result.commands if style.verbose > 1 else result.commands[:ROWS]
    rows = [("CPU", "PROCESSES", "PEAK RSS", "COMMAND")]
    for usage in shown:
        rss = format_bytes(usage.peak_rss_bytes)
        rows.append((format_span(usage.cpu_ns), format_number(usage.process_count), rss, escape(usage.comm)))
    lines = _block("by command", rows, len(result.commands) - len(shown))
    if result.unattributed_cpu_ns:
        lines.append(f"    {format_span(result.unattributed_cpu_ns)} CPU not attributed to a command")
    return lines


def _processes(result: RunFigures, style: Style) -> list[str]:
    """Those with the most CPU, in order of start. Commands are cut at the width, but not below `SHORTEST_COMMAND`."""
    if not result.processes:
        return []
    shown: Sequence[ProcessUsage] = result.processes
    if style.verbose < 2:
        kept = sorted(range(len(shown)), key=lambda place: -(shown[place].cpu_ns or 0))[:ROWS]
        shown = [shown[place] for place in sorted(kept)]
    rows: list[tuple[str, ...]] = [("PID", "PPID", "START", "END", "CPU", "PEAK RSS", "COMMAND")]
    for usage in shown:
        parent = "-" if usage.ppid is None else str(usage.ppid)
        times = map(format_span, (usage.started_ns, usage.ended_ns, usage.cpu_ns))
        rows.append((str(usage.pid), parent, *times, format_bytes(usage.peak_rss_bytes), command_of(usage)))
    left = style.width - INDENT - min(width(line) - width(row[-1]) for line, row in zip(table(rows), rows, strict=True))
    rows = [(*row[:-1], shorten(row[-1], max(SHORTEST_COMMAND, left), "...")) for row in rows]
    return _block("by process", rows, len(result.processes) - len(shown))


def _counters(result: RunFigures) -> list[str]:
    disk_io = result.disk_io
    figures = [
        ("minor faults", format_number(result.minor_faults)),
        ("major faults", format_number(result.major_faults)),
        ("voluntary switches", format_number(result.voluntary_switches)),
        ("involuntary switches", format_number(result.involuntary_switches)),
        ("threads started", format_number(result.threads_started)),
        ("peak of the tree at least, at one instant", format_bytes(result.peak_footprint_low_bytes)),
        ("peak of the tree at most, in a sample", format_bytes(result.peak_footprint_high_bytes)),
        ("peak sum of RSS", format_bytes(result.peak_rss_bytes)),
        ("peak sum of PSS", format_bytes(result.peak_pss_bytes)),
        ("peak of the cgroup, page cache included", format_bytes(result.cgroup_peak_bytes)),
        ("CPU of the tree at most", format_span(result.cpu_upper_ns)),
        ("CPU of the root process alone", format_span(result.root_cpu_ns)),
        ("read by calls", format_bytes(disk_io.read_chars) if disk_io else "-"),
        ("written by calls", format_bytes(disk_io.write_chars) if disk_io else "-"),
        ("samples of the tree", f"{result.samples:,}"),
        ("longest time between two samples", format_span(result.sampling_interval_ns)),
    ]
    return _block("figures", [(value, what) for what, value in figures if value != "-"])


def _sources(result: RunFigures, style: Style) -> list[str]:
    rows = [(escape(source.figure), escape(source.source), escape(source.bias)) for source in result.sources]
    if not rows:
        return []
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    start = " " * (sum(widths) + 8)
    lines = ["  source and bias of each figure"]
    for figure, source, bias in rows:
        lines += wrap(
            f"    {figure:{widths[0]}}  {source:{widths[1]}}  {bias}", max(style.width, len(start) + 30), start
        )
    return lines


def _block(title: str, rows: Sequence[Sequence[str]], left_out: int = 0) -> list[str]:
    lines = [f"  {title}", *(" " * INDENT + line for line in table(rows))]
    if left_out:
        lines.append(f"    and {count(left_out, 'more', 'more')} (-vv: all)")
    return lines

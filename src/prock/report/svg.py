"""A timeline as an SVG picture: CPU, memory and disk stacked by command, and the number of processes."""

from __future__ import annotations

from prock.report.layout import format_bytes, format_number, format_span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from prock.results import Timeline

WIDTH, LEFT, RIGHT, PANEL, GAP, TOP = 800, 64, 12, 150, 40, 28
MOST_COMMANDS = 7
COLOURS = ("#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#b07aa1", "#edc948", "#76b7b2", "#9c9c9c")
"""Of the commands, the last of the others."""
WRITERS: dict[str, Callable[[float], str]] = {
    "cores": lambda value: f"{value:.2g}",
    "bytes": lambda value: format_bytes(round(value)),
    "bytes/s": lambda value: f"{format_bytes(round(value))}/s",
    "count": lambda value: format_number(round(value)),
}
"""How the values of each unit are written."""
STYLE = """\
text { font: 12px system-ui, sans-serif; fill: #333 } .title { font-weight: 600 }
.grid { stroke: #8884; stroke-width: 1 } .mark { stroke: #c33; stroke-dasharray: 4 3 }
.back { fill: #fff } @media (prefers-color-scheme: dark) { text { fill: #ddd } .back { fill: #1c1c1e } }
"""


def xml(text: str) -> str:
    """As text or attribute of a document; control characters, which XML has not, as U+FFFD."""
    text = "".join(
        letter if letter in "\t\n" or (letter >= " " and not "\ud800" <= letter <= "\udfff") else "\ufffd"
        for letter in text
    )
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


def timeline_svg(timeline: Timeline, title: str = "") -> str:
    """The whole picture, 800 units wide."""
    names, panels = stacks(timeline)
    parts: list[str] = []
    y = TOP + (20 if title else 0)
    legend_rows = -(-len(names) // 4)
    height = y + 18 * legend_rows + len(panels) * (PANEL + GAP) + 4
    parts += _legend(names, y)
    y += 18 * legend_rows + 16
    for heading, unit, stack in panels:
        write = WRITERS[unit]
        parts += _panel(heading, stack, write, y, timeline)
        y += PANEL + GAP
    shown = f'<text class="title" x="{LEFT}" y="20">{xml(title)}</text>' if title else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img" aria-label="{xml(title or "usage over time")}">\n<style>{STYLE}</style>\n'
        f'<rect class="back" width="{WIDTH}" height="{height}"/>\n{shown}\n' + "\n".join(parts) + "\n</svg>\n"
    )


def stacks(timeline: Timeline) -> tuple[list[str], list[tuple[str, str, list[list[float]]]]]:
    """Labels of the largest commands and of the others, and panels: heading, unit, a series for each label.

    Processes and threads have one series, of the tree.
    """
    names, series = _largest(timeline)
    shown = set(series)

    def stack(values: Mapping[str, Sequence[int]], scale: float) -> list[list[float]]:
        nothing = [0] * len(timeline.process_count)
        made = [[value * scale for value in values.get(name, nothing)] for name in series[:-1]]
        others = [each for name, each in values.items() if name not in shown]
        if len(names) > len(made):
            made.append([sum(step) * scale for step in zip(*others, strict=True)] if others else [0.0] * len(nothing))
        return made

    panels = [
        ("CPU, cores", "cores", stack(timeline.cpu_ns, 1 / timeline.step_ns)),
        ("memory", "bytes", stack(timeline.memory_bytes, 1.0)),
    ]
    if timeline.disk_bytes is not None:
        panels.append(("disk, read and written", "bytes/s", stack(timeline.disk_bytes, 1e9 / timeline.step_ns)))
    panels.append(("processes", "count", [list(map(float, timeline.process_count))]))
    panels.append(("threads", "count", [list(map(float, timeline.thread_count))]))
    return names, panels


def _largest(timeline: Timeline) -> tuple[list[str], list[str]]:
    """Labels and names of the commands with the most CPU or memory."""
    by_cpu = list(timeline.cpu_ns)
    by_rss = sorted(timeline.memory_bytes, key=lambda name: -max(timeline.memory_bytes[name], default=0))
    chosen: list[str] = []
    for pair in zip(by_cpu, by_rss, strict=True):
        for name in pair:
            if name not in chosen and len(chosen) < MOST_COMMANDS:
                chosen.append(name)
    chosen.sort(key=by_cpu.index)
    others = len(by_cpu) - len(chosen)
    return [*chosen, *([f"{others} other commands"] if others else [])], [*chosen, ""]


def _legend(names: Sequence[str], y: int) -> list[str]:
    parts = []
    for place, name in enumerate(names):
        x, row = LEFT + place % 4 * 180, y + place // 4 * 18
        parts.append(f'<rect x="{x}" y="{row - 9}" width="10" height="10" fill="{_colour(place)}"/>')
        parts.append(f'<text x="{x + 15}" y="{row}">{xml(name)}</text>')
    return parts


def _colour(place: int) -> str:
    return COLOURS[min(place, len(COLOURS) - 1)]


def _panel(
    heading: str, stack: Sequence[Sequence[float]], write: Callable[[float], str], y: int, timeline: Timeline
) -> list[str]:
    steps = len(timeline.process_count)
    totals = [sum(values) for values in zip(*stack, strict=True)] if stack else [0.0] * steps
    top = max([*totals, 1e-9]) * 1.05
    wide = WIDTH - LEFT - RIGHT
    bottom = y + PANEL
    parts = [f'<text class="title" x="{LEFT}" y="{y - 4}">{heading}, at most {write(max(totals, default=0.0))}</text>']
    for quarter in range(5):
        value, line = top * quarter / 4, bottom - PANEL * quarter / 4
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{line:.1f}" y2="{line:.1f}"/>')
        if quarter in (0, 2, 4):
            parts.append(f'<text x="{LEFT - 6}" y="{line + 4:.1f}" text-anchor="end">{write(value)}</text>')
    for fifth in range(6):
        x, at_ns = LEFT + wide * fifth / 5, timeline.step_ns * steps * fifth // 5
        anchor = "start" if fifth == 0 else "end" if fifth == 5 else "middle"
        parts.append(f'<text x="{x:.0f}" y="{bottom + 15}" text-anchor="{anchor}">{format_span(at_ns)}</text>')
    low = [0.0] * steps
    for place, values in enumerate(stack):
        high = [below + value for below, value in zip(low, values, strict=True)]
        upper = _points(high, top, y, wide)
        path = " ".join([*upper, *reversed(_points(low, top, y, wide))])
        parts.append(f'<polygon fill="{_colour(place)}" fill-opacity="0.85" points="{path}"/>')
        low = high
    for place, (at_ns, text) in enumerate(timeline.marks):
        x = LEFT + wide * min(1.0, at_ns / max(1, timeline.step_ns * steps))
        is_right = x > WIDTH * 3 / 4
        side, anchor = (-3, "end") if is_right else (3, "start")
        parts.append(f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{y}" y2="{bottom}"/>')
        parts.append(
            f'<text x="{x + side:.1f}" y="{y + 11 + place % 4 * 13}" text-anchor="{anchor}">{xml(text[:40])}</text>'
        )
    return parts


def _points(values: Sequence[float], top: float, y: int, wide: int) -> list[str]:
    """Each step as a level."""
    width = wide / max(1, len(values))
    return [
        f"{LEFT + width * edge:.1f},{y + PANEL - PANEL * value / top:.1f}"
        for step, value in enumerate(values)
        for edge in (step, step + 1)
    ]

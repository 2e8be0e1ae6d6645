"""A recording as one HTML page without references to other files: pictures and tables, readable without JavaScript."""

from __future__ import annotations

from prock._compat.namedtuple import NamedTuple
from prock.report.layout import count, format_bytes, format_span
from prock.report.svg import timeline_svg, xml

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from prock.results import RunFigures, Timeline

MOST_BARS = 400
"""Processes with a life bar: those that used the most CPU time, in the order of the tree."""
LONGEST = 160
"""Characters of a command line in a table; all of it is shown on hovering."""
BAR, LEFT, WIDE = 14, 260, 1000
STYLE = """\
:root { color-scheme: light dark; --fg: #222; --bg: #fff; --dim: #667; --line: #8883 }
@media (prefers-color-scheme: dark) { :root { --fg: #ddd; --bg: #1c1c1e; --dim: #99a } }
body { font: 14px/1.5 system-ui, sans-serif; color: var(--fg); background: var(--bg); margin: 1rem auto;
  max-width: 1040px; padding: 0 1rem } h1 { font-size: 1.3rem; overflow-wrap: anywhere }
h2 { font-size: 1.05rem; margin-top: 2rem }
svg { width: 100%; height: auto } table { border-collapse: collapse; width: 100% }
td, th { padding: 2px 8px; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap }
td:last-child, th:last-child { text-align: left; white-space: normal; width: 60%; min-width: 16rem;
  overflow-wrap: anywhere }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: .5rem 1rem }
.facts dt { color: var(--dim) } .facts dd { margin: 0; font-size: 1.15rem; font-weight: 600 } .wide { overflow-x: auto }
pre { overflow-x: auto } input { font: inherit; width: 100%; max-width: 30rem }
.bars text { fill: var(--fg); font-size: 11px }
.hidden { display: none } @media print { input { display: none } }
"""
SCRIPT = """\
const box = document.getElementById("search");
box.hidden = false;
box.addEventListener("input", () => {
  const text = box.value.toLowerCase();
  for (const row of document.querySelectorAll("[data-text]"))
    row.classList.toggle("hidden", !row.dataset.text.toLowerCase().includes(text));
});
"""


class Bar(NamedTuple):
    """A process as the page shows it. Times are nanoseconds since the start of the recording."""

    pid: int
    comm: str
    text: str
    """Its command line."""
    depth: int
    started_ns: int
    ended_ns: int
    cpu_ns: int
    rss_bytes: int | None


def page(
    title: str,
    meta: Mapping[str, Any],
    timeline: Timeline,
    bars: Sequence[Bar],
    result: RunFigures | None,
    report: str,
) -> str:
    """`bars`: all processes, in the order of the tree. `report`: the text of the run's report."""
    policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
    sections = [
        _facts(meta, result, timeline),
        f"<h2>Over time</h2>\n{timeline_svg(timeline)}",
        _heaviest("Slowest: the most CPU time", sorted(bars, key=lambda bar: -bar.cpu_ns)[:10]),
        _heaviest("Largest: the most memory", sorted(bars, key=lambda bar: -(bar.rss_bytes or 0))[:10]),
        _commands(bars),
        _bars(bars, timeline),
        f"<h2>Report, with the accuracy of each figure</h2>\n<pre>{xml(report)}</pre>" if report else "",
    ]
    body = "\n".join(section for section in sections if section)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{xml(title)}</title>
<style>{STYLE}</style></head><body>
<h1>{xml(title)}</h1>
{body}
<script>{SCRIPT}</script>
</body></html>
"""


def _facts(meta: Mapping[str, Any], result: RunFigures | None, timeline: Timeline) -> str:
    cpu_ns = sum(map(sum, timeline.cpu_ns.values())) if result is None else result.cpu_ns
    wall_ns = timeline.step_ns * len(timeline.process_count) if result is None else result.wall_ns
    rss = max(map(sum, zip(*timeline.memory_bytes.values(), strict=True)), default=0)
    peak = rss if result is None or result.peak_footprint_bytes is None else result.peak_footprint_bytes
    facts = [
        ("elapsed", format_span(wall_ns)),
        ("CPU", format_span(cpu_ns)),
        ("cores busy", f"{cpu_ns / wall_ns:.2f} of {meta.get('cpu_count') or '?'}" if cpu_ns and wall_ns else "?"),
        ("peak memory", format_bytes(peak)),
        ("at once", count(max(timeline.process_count, default=0), "process", "processes")),
        ("exit code", "?" if result is None or result.exit_code is None else str(result.exit_code)),
        ("host", xml(str(meta.get("host") or "?"))),
    ]
    return (
        '<dl class="facts">' + "".join(f"<div><dt>{name}</dt><dd>{text}</dd></div>" for name, text in facts) + "</dl>"
    )


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{name}</th>" for name in heads)
    body = "".join(f'<tr data-text="{xml(row[-1])}">' + "".join(map(_cell, row)) + "</tr>\n" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table></div>'


def _cell(text: str) -> str:
    if len(text) <= LONGEST:
        return f"<td>{xml(text)}</td>"
    return f'<td title="{xml(text)}">{xml(text[:LONGEST])}…</td>'


def _heaviest(title: str, bars: Sequence[Bar]) -> str:
    rows = [
        (
            format_span(bar.cpu_ns),
            format_span(bar.ended_ns - bar.started_ns),
            _size(bar.rss_bytes),
            str(bar.pid),
            bar.text,
        )
        for bar in bars
    ]
    return f"<h2>{title}</h2>\n" + _table(("CPU", "life", "peak RSS", "pid", "command line"), rows)


def _size(size: int | None) -> str:
    return "?" if size is None else format_bytes(size)


def _commands(bars: Sequence[Bar]) -> str:
    sums: dict[str, tuple[int, int, int]] = {}
    for bar in bars:
        processes, cpu_ns, peak = sums.get(bar.comm, (0, 0, 0))
        sums[bar.comm] = processes + 1, cpu_ns + bar.cpu_ns, max(peak, bar.rss_bytes or 0)
    rows = [
        (format_span(cpu_ns), f"{processes:,}", format_bytes(peak), name)
        for name, (processes, cpu_ns, peak) in sorted(sums.items(), key=lambda item: -item[1][1])[:40]
    ]
    return "<h2>By command</h2>\n" + _table(("CPU", "processes", "largest", "command"), rows)


def _bars(bars: Sequence[Bar], timeline: Timeline) -> str:
    """Lives over time, coloured by the share of a core that each used."""
    kept = sorted(range(len(bars)), key=lambda place: -bars[place].cpu_ns)[:MOST_BARS]
    shown = [bars[place] for place in sorted(kept)]
    whole_ns = max(1, timeline.step_ns * len(timeline.process_count))
    parts = []
    for place, bar in enumerate(shown):
        y = place * BAR
        x = LEFT + (WIDE - LEFT) * bar.started_ns / whole_ns
        wide = max(1.0, (WIDE - LEFT) * (bar.ended_ns - bar.started_ns) / whole_ns)
        share = min(1.0, bar.cpu_ns / max(1, bar.ended_ns - bar.started_ns))
        name = "\u00a0" * 2 * min(bar.depth, 8) + bar.text
        label = f"{bar.text}: {format_span(bar.cpu_ns)} CPU in {format_span(bar.ended_ns - bar.started_ns)}"
        parts.append(
            f'<g data-text="{xml(bar.text)}"><title>{xml(label)}</title>'
            f'<text x="0" y="{y + 11}">{xml(name[:40])}</text>'
            f'<rect x="{x:.1f}" y="{y + 2}" width="{wide:.1f}" height="{BAR - 4}" fill="#e15759" '
            f'fill-opacity="{0.15 + 0.85 * share:.2f}"/></g>'
        )
    rest = len(bars) - len(shown)
    more = f"<p>and {count(rest, 'process', 'processes')} with less CPU time</p>" if rest else ""
    return (
        f"<h2>Processes: {len(bars):,}</h2>\n"
        '<input id="search" type="search" placeholder="search command lines" aria-label="search" hidden>\n'
        f'<div class="wide"><svg class="bars" viewBox="0 0 {WIDE} {max(1, len(shown)) * BAR}" width="{WIDE}" '
        f'height="{max(1, len(shown)) * BAR}">\n' + "\n".join(parts) + f"\n</svg></div>{more}"
    )

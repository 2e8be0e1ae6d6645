"""A recording as one HTML page without references to other files: pictures and tables, readable without JavaScript.

With JavaScript, uPlot (``assets/``, MIT licence) draws the panels; the policy of the page allows these scripts alone.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os

from prock._compat.namedtuple import NamedTuple
from prock.report.layout import count, distinct, format_bytes, format_span, shorten
from prock.report.svg import COLOURS, stacks, timeline_svg, xml

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from prock.results import RunFigures, Timeline

MOST_BARS = 300
"""Processes with a row: those that used the most CPU time and lived longest, in the order of the tree."""
SHORT = 200
"""A process that lived less than this part of the recording shares a row with those of the same name and parent."""
MOST_LIVES = 100
"""Lives drawn in a row at most."""
LONGEST = 160
"""Characters of a command line in a table; all of it is shown on hovering."""
BAR, LEFT, WIDE = 15, 64, 1000
ASSETS = os.path.join(os.path.dirname(__file__), "assets")


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


class Row(NamedTuple):
    """A row of the life bars and of the tree: a process, or short-lived ones of the same name and parent."""

    bar: Bar
    """With the sums of them all."""
    lives: list[tuple[int, int]]
    processes: int


class Quality(NamedTuple):
    """How well the tree was sampled. Times in nanoseconds."""

    samples: int
    interval_ns: int
    """The median."""
    late_ns: int
    """The largest."""
    skipped: int
    suspended_ns: int
    denied: int
    cost_ns: int


def page(
    title: str,
    meta: Mapping[str, Any],
    timeline: Timeline,
    bars: Sequence[Bar],
    result: RunFigures | None,
    report: str,
    quality: Quality,
) -> str:
    """`bars`: all processes, in the order of the tree. `report`: the text of the run's report."""
    scripts = [_asset("uPlot.iife.min.js"), _asset("page.js")]
    hashes = " ".join(f"'sha256-{_base64(hashlib.sha256(script.encode()).digest())}'" for script in scripts)
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src {hashes}"
    names, panels = stacks(timeline)
    rows = _rows(bars, timeline)
    data = {
        "step": timeline.step_ns / 1e9,
        "names": names,
        "colours": COLOURS,
        "marks": [(at_ns / 1e9, text) for at_ns, text in timeline.marks],
        "panels": [
            {"heading": heading, "unit": unit, "series": [[_short(value) for value in series] for series in stack]}
            for heading, unit, stack in panels
        ],
    }
    packed = _base64(gzip.compress(json.dumps(data, separators=(",", ":")).encode(), mtime=0))
    sections = [
        _facts(meta, result, timeline),
        _heaviest("Slowest: the most CPU time", sorted(bars, key=lambda bar: -bar.cpu_ns)[:10]),
        _heaviest("Largest: the most memory", sorted(bars, key=lambda bar: -(bar.rss_bytes or 0))[:10]),
        _where(meta, timeline, bars),
        f"""<h2>Over time</h2>
<div id="tools" hidden><input id="search" type="search" placeholder="search command lines" aria-label="search">
<button id="reset" disabled>whole time</button> <button id="csv">download CSV</button>
<span class="dim">drag to zoom; keys: + - 0 ← → and / to search</span></div>
<p id="keys" class="keys" hidden></p><div id="plots"></div><div id="picture">{timeline_svg(timeline)}</div>""",
        _bars(rows, len(bars), timeline),
        _commands(bars),
        _tree(rows),
        _quality(quality, report),
    ]
    body = "\n".join(section for section in sections if section)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{xml(title)}</title>
<style>{_asset("uPlot.min.css")}{_asset("page.css")}</style></head><body>
<h1>{xml(title)}</h1>
{body}
<script type="text/plain" id="data">{packed}</script>
<!-- uPlot: {_asset("uPlot.LICENSE")} -->
<script>{scripts[0]}</script>
<script>{scripts[1]}</script>
</body></html>
"""


def _asset(name: str) -> str:
    with open(os.path.join(ASSETS, name), encoding="utf-8") as file:
        return file.read()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _short(value: float) -> float:
    """Without digits that no picture shows."""
    return round(value) if value >= 1000 or value == int(value) else round(value, 4)


def _rows(bars: Sequence[Bar], timeline: Timeline) -> list[Row]:
    whole_ns = timeline.step_ns * len(timeline.process_count)
    places: dict[tuple[int, str], int] = {}
    rows: list[Row] = []
    above: list[int] = []  # places of the ancestors in `bars`
    for place, bar in enumerate(bars):
        above = [*above[: bar.depth], place]
        parent = above[-2] if len(above) > 1 else -1
        is_leaf = place + 1 == len(bars) or bars[place + 1].depth <= bar.depth
        life = bar.started_ns, bar.ended_ns
        if is_leaf and (life[1] - life[0]) * SHORT < whole_ns:
            key = parent, bar.comm
            if key in places:
                row = rows[places[key]]
                row.lives.append(life)
                sizes = [size for size in (row.bar.rss_bytes, bar.rss_bytes) if size is not None]
                one = row.bar._replace(
                    text=f"{bar.comm}: {row.processes + 1:,} short-lived processes",
                    started_ns=min(row.bar.started_ns, bar.started_ns),
                    ended_ns=max(row.bar.ended_ns, bar.ended_ns),
                    cpu_ns=row.bar.cpu_ns + bar.cpu_ns,
                    rss_bytes=max(sizes, default=None),
                )
                rows[places[key]] = Row(one, row.lives, row.processes + 1)
                continue
            places[key] = len(rows)
        rows.append(Row(bar, [life], 1))
    if len(rows) > MOST_BARS:
        weights = [row.bar.cpu_ns + (row.bar.ended_ns - row.bar.started_ns) // 10 for row in rows]
        least = sorted(weights, reverse=True)[MOST_BARS - 1]
        rows = [row for row, weight in zip(rows, weights, strict=True) if weight >= least][:MOST_BARS]
    return rows


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


def _table(heads: Sequence[str], rows: Sequence[Sequence[str | tuple[str, str]]]) -> str:
    head = "".join(f"<th>{name}</th>" for name in heads)
    body = "".join("<tr>" + "".join(map(_cell, row)) + "</tr>\n" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table></div>'


def _cell(text: str | tuple[str, str]) -> str:
    """A pair: what is shown, and what is shown on hovering."""
    if not isinstance(text, str):
        return f'<td title="{xml(text[1])}">{xml(text[0])}</td>'
    if len(text) <= LONGEST:
        return f"<td>{xml(text)}</td>"
    return f'<td title="{xml(text)}">{xml(text[:LONGEST])}…</td>'


def _heaviest(title: str, bars: Sequence[Bar]) -> str:
    """Long command lines by the words in which they differ."""
    texts = distinct([bar.text for bar in bars])
    rows = [
        (
            format_span(bar.cpu_ns),
            format_span(bar.ended_ns - bar.started_ns),
            _size(bar.rss_bytes),
            str(bar.pid),
            bar.text if len(bar.text) <= LONGEST // 2 else (shorten(text, LONGEST), bar.text),
        )
        for bar, text in zip(bars, texts, strict=True)
    ]
    return f"<h2>{title}</h2>\n" + _table(("CPU", "life", "peak RSS", "pid", "command line"), rows)


def _size(size: int | None) -> str:
    return "?" if size is None else format_bytes(size)


def _commands(bars: Sequence[Bar]) -> str:
    sums: dict[str, tuple[int, int, int | None]] = {}
    for bar in bars:
        processes, cpu_ns, peak = sums.get(bar.comm, (0, 0, None))
        sizes = [size for size in (peak, bar.rss_bytes) if size is not None]
        sums[bar.comm] = processes + 1, cpu_ns + bar.cpu_ns, max(sizes, default=None)
    rows = [
        (format_span(cpu_ns), f"{processes:,}", _size(peak), name)
        for name, (processes, cpu_ns, peak) in sorted(sums.items(), key=lambda item: -item[1][1])[:40]
    ]
    return "<h2>By command</h2>\n" + _table(("CPU", "processes", "largest", "command"), rows)


def _bars(rows: Sequence[Row], processes: int, timeline: Timeline) -> str:
    """Lives over time, coloured by the share of a core that each used."""
    whole_ns = max(1, timeline.step_ns * len(timeline.process_count))
    parts = []
    for place, (bar, lives, _) in enumerate(rows):
        y = place * BAR
        lived_ns = sum(end - begin for begin, end in lives)
        share = min(1.0, bar.cpu_ns / max(1, lived_ns))
        rects = []
        for begin, end in _thinned(lives):
            x = LEFT + (WIDE - LEFT) * begin / whole_ns
            wide = max(1.0, (WIDE - LEFT) * (end - begin) / whole_ns)
            rects.append(
                f'<rect x="{x:.1f}" y="{y + 1}" width="{wide:.1f}" height="{BAR - 2}" '
                f'fill-opacity="{0.12 + 0.68 * share:.2f}" data-life="{begin / 1e9:.3f} {end / 1e9:.3f}"/>'
            )
        first = LEFT + (WIDE - LEFT) * bar.started_ns / whole_ns
        anchor = f'x="{first - 4:.1f}" text-anchor="end"' if first > LEFT + 500 else f'x="{first + 3:.1f}"'
        label = f"{bar.text}: {format_span(bar.cpu_ns)} CPU in {format_span(lived_ns)}"
        parts.append(
            f'<g data-text="{xml(bar.text)}"><title>{xml(label[:400])}</title>{"".join(rects)}'
            f'<text {anchor} y="{y + 11}">{"· " * min(bar.depth, 8)}{xml(_shorter(bar.text, 70))}</text></g>'
        )
    rest = processes - sum(row.processes for row in rows)
    more = f"<p>and {count(rest, 'process', 'processes')} with less CPU time</p>" if rest else ""
    height = max(1, len(rows)) * BAR
    return (
        f'<h2>Processes: {processes:,}</h2>\n<p class="dim">Lives on the same time axis, in the order of the tree; '
        "the stronger the colour, the more of a core was used.</p>\n"
        f'<div class="wide tall"><svg class="bars" viewBox="0 0 {WIDE} {height}" width="{WIDE}" height="{height}" '
        f'data-height="{height}">\n' + "\n".join(parts) + f"\n</svg></div>{more}"
    )


def _thinned(lives: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """At most `MOST_LIVES`: neighbours become one."""
    every = -(-len(lives) // MOST_LIVES)
    lives = sorted(lives)
    return [
        (lives[place][0], max(end for _, end in lives[place : place + every])) for place in range(0, len(lives), every)
    ]


def _shorter(text: str, most: int) -> str:
    """Start and end, which is where compilers have their files."""
    return text if len(text) <= most else f"{text[: most // 2 - 2]} … {text[-(most // 2 - 1) :]}"


def _tree(rows: Sequence[Row]) -> str:
    """With the CPU time of each row and the rows below it."""
    below = [row.bar.cpu_ns for row in rows]
    above: list[int] = []
    for place, row in enumerate(rows):
        above = [each for each in above if rows[each].bar.depth < row.bar.depth]
        for each in above:
            below[each] += row.bar.cpu_ns
        above.append(place)
    parts = []
    for (bar, lives, number), subtree_ns in zip(rows, below, strict=True):
        lived_ns = sum(end - begin for begin, end in lives)
        cells = (
            (bar.cpu_ns, format_span(bar.cpu_ns)),
            (subtree_ns, format_span(subtree_ns)),
            (lived_ns, format_span(lived_ns)),
            (bar.rss_bytes or -1, _size(bar.rss_bytes)),
            (number, f"{number:,}"),
            (bar.pid, str(bar.pid) if number == 1 else ""),
        )
        shown = "".join(f'<td data-value="{value}">{text}</td>' for value, text in cells)
        hover = f' title="{xml(bar.text)}"' if len(bar.text) > LONGEST else ""
        parts.append(
            f'<tr data-depth="{bar.depth}" data-text="{xml(bar.text)}">{shown}<td data-value="{xml(bar.text[:40])}"'
            f"{hover}>{'&#160;' * 3 * min(bar.depth, 8)}{xml(_shorter(bar.text, LONGEST))}</td></tr>"
        )
    heads = ("CPU", "with children", "life", "peak RSS", "processes", "pid", "command line")
    head = "".join(f"<th>{name}</th>" for name in heads)
    return (
        f'<h2>Tree</h2>\n<div class="wide tall"><table id="tree"><thead><tr>{head}</tr></thead><tbody>\n'
        + "\n".join(parts)
        + "</tbody></table></div>"
    )


def _where(meta: Mapping[str, Any], timeline: Timeline, bars: Sequence[Bar]) -> str:
    """CPU busy, idle cores, and processes that waited for their children. Shares of the recorded time."""
    step_ns = timeline.step_ns
    busy = [sum(values) / step_ns for values in zip(*timeline.cpu_ns.values(), strict=True)]
    whole_ns = max(1, step_ns * len(timeline.process_count))
    cores = meta.get("cpu_count")
    rows: list[tuple[str, str, str]] = []
    if isinstance(cores, int) and cores > 0:
        used_ns = sum(map(sum, timeline.cpu_ns.values()))
        for name, part_ns in (("CPU busy", used_ns), ("cores idle or used by others", cores * whole_ns - used_ns)):
            rows.append((format_span(max(0, part_ns)), f"{100 * max(0, part_ns) / whole_ns / cores:.0f} %", name))
    for name, low, high in (
        ("less than half a core busy: waiting for disk, network or time", -1.0, 0.5),
        ("about one core busy", 0.5, 1.5),
        ("more than one core busy", 1.5, float("inf")),
    ):
        part_ns = step_ns * sum(low <= value < high for value in busy)
        rows.append((format_span(part_ns), f"{100 * part_ns / whole_ns:.0f} %", name))
    waits: list[list[Any]] = []  # process, end of the children so far, time with children
    above: list[list[Any]] = []
    for bar in bars:
        del above[bar.depth :]
        if above:
            parent = above[-1]
            parent[2] += max(0, min(bar.ended_ns, parent[0].ended_ns) - max(bar.started_ns, parent[1]))
            parent[1] = max(parent[1], bar.ended_ns)
        entry = [bar, 0, 0]
        above.append(entry)
        waits.append(entry)
    longest = sorted(waits, key=lambda entry: -entry[2])[:5]
    for bar, _, with_ns in longest:
        if with_ns:
            text = f"had children running, and used {format_span(bar.cpu_ns)} CPU itself: {_shorter(bar.text, 100)}"
            rows.append((format_span(with_ns), f"{100 * with_ns / whole_ns:.0f} %", text))
    return "<h2>Where the time went</h2>\n" + _table(("time", "share", "state"), rows)


def _quality(quality: Quality, report: str) -> str:
    rows = [
        (f"{quality.samples:,}", f"samples, {format_span(quality.interval_ns)} apart (median)"),
        (f"{quality.skipped:,}", "samples left out"),
        (format_span(quality.late_ns), "latest after its deadline"),
        (format_span(quality.suspended_ns), "machine suspended"),
        (f"{quality.denied:,}", "processes at most that could not be read in full"),
        (format_span(quality.cost_ns), "CPU time of prock for sampling"),
    ]
    text = f"<pre>{xml(report)}</pre>" if report else ""
    return f"<h2>Accuracy of each figure</h2>\n{_table(('', 'coverage'), rows)}\n{text}"

"""``prock report``: what a recording holds, as text, page or picture.

JSON (``prock.report/1``): `path`, `meta`, `samples`, `process_count`, `wall_ns`, `marks`, and `results`, the documents
of its runs.
"""

from __future__ import annotations

import os

from prock.cli import output
from prock.recording.reader import Recording
from prock.report.layout import DEFAULT_WIDTH, LABEL_WIDTH, Style, describe, escape, format_bytes, format_span
from prock.report.text import run_report

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from prock.report.page import Bar, Quality

EPILOG = """\
FILE is a recording, as prock run --record writes it. The suffix of the file of
-o says what it becomes: .html, one page that needs no other file and no
network; .svg, a picture of CPU, memory and processes over time; .txt.
A file that exists is replaced only with --force.
FILE may also be a log of prock-sh, which is shown as a table of its commands.

examples:
  prock report build.prock                 the report, and usage over time
  prock report build.prock -o build.html   a page that explains the run
"""
LEVELS = "▁▂▃▄▅▆▇█"
SUFFIXES = (".html", ".svg", ".txt")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="a recording, or a log of prock-sh")
    parser.add_argument("-o", "--output", metavar="FILE", help=f"write to FILE: {', '.join(SUFFIXES)}")
    parser.add_argument("--force", action="store_true", help="with -o: replace FILE if it exists")


def run(arguments: argparse.Namespace) -> int:
    suffix = os.path.splitext(arguments.output or "")[1].lower()
    if arguments.force and arguments.output is None:
        raise output.Failure("--force needs a file to replace: add -o FILE", 2)
    if arguments.output is not None:
        if arguments.json:
            raise output.Failure("-o and --json contradict each other: leave one out", 2)
        if suffix not in SUFFIXES:
            raise output.Failure(f"unknown suffix of {arguments.output}: use {', '.join(SUFFIXES)}", 2)
    from prock.report.shell_log import is_log, log_report

    if is_log(arguments.file):
        if arguments.json or arguments.output is not None:
            raise output.Failure(f"{arguments.file} is a log of prock-sh, JSON already: leave -o and --json out", 2)
        output.write(log_report(arguments.file, output.terminal_width() or DEFAULT_WIDTH).split("\n"))
        return 0
    if arguments.output is not None and os.path.isfile(arguments.output):
        if os.path.exists(arguments.file) and os.path.samefile(arguments.file, arguments.output):
            raise output.Failure(f"{escape(arguments.output)} is the recording itself: write to another file")
        if not arguments.force:
            reason = "it exists: choose another name, or replace it with --force"
            raise output.Failure(f"cannot write {escape(arguments.output)}: {reason}")
    recording = Recording(arguments.file)
    if not recording.samples and not recording.documents:
        raise output.Failure(f"{arguments.file} has no samples: the run ended before the first one", 1)
    if arguments.json:
        output.write_json(_document(recording))
    elif suffix in ("", ".txt"):
        text = _text(recording, Style(width=output.terminal_width() or DEFAULT_WIDTH))
        if arguments.output is None:
            output.write(text.split("\n"))
        else:
            _write(arguments.output, text + "\n")
    elif suffix == ".svg":
        from prock.report.svg import timeline_svg

        _write(arguments.output, timeline_svg(recording.timeline(), recording.title))
    else:
        _write(arguments.output, _page(recording))
    return 0


def _write(path: str, text: str) -> None:
    from prock.files import CannotWrite, OutputFile

    try:
        OutputFile(path, whole=True).write(text)
    except CannotWrite as error:
        raise output.Failure(str(error)) from None


def _document(recording: Recording) -> dict[str, object]:
    return {
        "schema": "prock.report/1",
        "path": recording.path,
        "meta": recording.meta,
        "samples": len(recording.samples),
        "process_count": len(recording.processes),
        "wall_ns": recording.wall_ns,
        "marks": [list(mark) for mark in recording.marks],
        "results": list(recording.documents),
    }


def _text(recording: Recording, style: Style) -> str:
    lines = []
    for result in recording.results:
        lines += run_report(result, style, None if result.args else f"process {result.pid}").split("\n")
    if not lines:
        lines = [f"prock: {recording.title}: the recording ended early, after {format_span(recording.wall_ns)}"]
    columns = max(10, style.width - LABEL_WIDTH - 32)
    timeline = recording.timeline(min(columns, max(1, len(recording.samples))))
    cpu = [sum(values) / timeline.step_ns for values in zip(*timeline.cpu_ns.values(), strict=True)]
    rss = [sum(values) for values in zip(*timeline.memory_bytes.values(), strict=True)]
    lines.append("  over time")
    lines.append(f"    CPU        {_curve(cpu)}  at most {max(cpu, default=0.0):.2f} cores")
    lines.append(f"    memory     {_curve(rss)}  at most {format_bytes(max(rss, default=0))}")
    processes = timeline.process_count
    lines.append(f"    processes  {_curve(processes)}  at most {max(processes, default=0):,}")
    for at_ns, text in recording.marks:
        lines.append(f"    mark       {format_span(at_ns)} {output.Screen().clean(text)}")
    return "\n".join(lines)


def _curve(values: Sequence[float]) -> str:
    top = max(values, default=0)
    return "".join(
        LEVELS[min(len(LEVELS) - 1, int(value / top * len(LEVELS)))] if top else LEVELS[0] for value in values
    )


def _page(recording: Recording) -> str:
    from prock.report.page import page

    results = recording.results
    text = "\n".join(run_report(result, Style(verbose=1, width=100)) for result in results)
    bars = _bars(recording)
    first = results[0] if results else None
    return page(recording.title, recording.meta, recording.timeline(), bars, first, text, _quality(recording))


def _quality(recording: Recording) -> Quality:
    from prock.report.page import Quality

    samples = recording.samples
    intervals = sorted(sample.interval_ns for sample in samples)
    return Quality(
        samples=len(samples),
        interval_ns=intervals[len(intervals) // 2] if intervals else 0,
        late_ns=max((sample.late_ns for sample in samples), default=0),
        skipped=sum(sample.skipped for sample in samples),
        suspended_ns=sum(sample.suspended_ns or 0 for sample in samples),
        denied=max((sample.denied for sample in samples), default=0),
        cost_ns=sum(sample.cost_ns for sample in samples),
    )


def _bars(recording: Recording) -> list[Bar]:
    from prock.report.page import Bar

    depths: dict[int, int] = {}
    bars = []
    for process, parent in recording.family():
        depth = depths[process.id] = 0 if parent is None else depths[parent.id] + 1
        started_ns = max(0, process.started_ns)
        ended_ns = recording.wall_ns if process.ended_ns is None else process.ended_ns
        text = describe(process.args, process.comm)
        life = started_ns, max(started_ns, ended_ns)
        bars.append(Bar(process.pid, process.comm, text, depth, *life, process.cpu_ns or 0, process.peak_rss_bytes))
    return bars

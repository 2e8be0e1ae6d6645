"""Trace events in JSON, for chrome://tracing: a slice for the life of each process, and counters of the tree."""

from __future__ import annotations

import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from prock.recording.reader import Recording


def chunks(recording: Recording) -> Iterator[bytes]:
    yield b'{"displayTimeUnit":"ms","traceEvents":[\n'
    first = True
    for event in _events(recording):
        yield (b"" if first else b",\n") + json.dumps(event).encode()
        first = False
    yield b"\n]}\n"


def _events(recording: Recording) -> Iterator[dict[str, object]]:
    for process in recording.processes:
        ended_ns = recording.wall_ns if process.ended_ns is None else process.ended_ns
        row: dict[str, object] = {"pid": process.pid, "tid": process.pid}
        yield {"ph": "M", "name": "process_name", **row, "args": {"name": process.comm}}
        facts = {"args": process.args, "ppid": process.ppid, "cpu_ns": process.cpu_ns, "peak": process.peak_rss_bytes}
        yield {
            "ph": "X", "name": process.comm, **row, "ts": process.started_ns / 1000,
            "dur": max(0, ended_ns - process.started_ns) / 1000, "args": facts,
        }  # fmt: skip
    for sample in recording.samples:
        row = {"pid": 0, "tid": 0, "ts": sample.at_ns / 1000}
        for name, value in (("rss_bytes", sample.rss_bytes), ("processes", sample.process_count)):
            if value is not None:
                yield {"ph": "C", "name": name, **row, "args": {name: value}}
    for at_ns, text in recording.marks:
        yield {"ph": "i", "s": "g", "name": text, "pid": 0, "tid": 0, "ts": at_ns / 1000}

"""``prock run --otlp``: metrics while a command runs and at its end, and a span for each process of its tree.

The span of the run is that of the command's own process. TRACEPARENT, where it is set, has the parent of that span, and
the command gets it with that span as the parent, so that its own spans hang below.
"""

from __future__ import annotations

import os
import re
import time

from prock.cli.output import Failure, complain
from prock.errors import ProckError
from prock.export import otlp
from prock.export.run_metrics import UNITS, values
from prock.results import plain_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from prock.cli.run.options import Settings
    from prock.runner.result import RunResult
    from prock.runner.session import RunSession

INTERVAL_MS = "10000"
SPANS_MIN_S = 0.01
WAIT_S = 3.0
"""At the end, for a server that does not answer."""
PARENT = "TRACEPARENT"
_PARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
SAMPLED = 1


class Telemetry:
    """Fails where an address or a variable is invalid, before the command runs."""

    def __init__(self, settings: Settings, command: Sequence[str]) -> None:
        environment = os.environ
        try:
            self._endpoint = otlp.endpoint_of(settings.otlp or None, environment)
            from prock import __version__

            resource = otlp.resource_of(environment, "prock", __version__)
        except ProckError as error:
            raise Failure(f"--otlp: {error}", 2) from None
        interval = environment.get("OTEL_METRIC_EXPORT_INTERVAL") or INTERVAL_MS
        if not (interval.isascii() and interval.isdigit() and int(interval[:10]) > 0):
            raise Failure(f"invalid OTEL_METRIC_EXPORT_INTERVAL {interval!r}: use milliseconds, such as 10000", 2)
        self._interval_ns = int(interval[:10]) * 1_000_000
        self.due_ns = time.monotonic_ns() + self._interval_ns
        self._args = settings.args
        self._min_ns = round((SPANS_MIN_S if settings.spans_min is None else settings.spans_min) * 1e9)
        found = _PARENT.fullmatch(environment.get(PARENT, ""))
        self._trace, self._parent = (found[1], found[2]) if found else (os.urandom(16).hex(), "")
        self._flags = found[3] if found else f"{SAMPLED:02x}"
        self._state = environment.get("TRACESTATE", "") if found else ""
        self._span = ""
        instance = {"service.instance.id": os.urandom(16).hex()}
        self._resource = {"attributes": [*resource["attributes"], *otlp.attributes(instance)]}
        self._labels = (("process.executable.name", plain_text(os.path.basename(command[0]))),)
        self._cpu_ns = 0
        self._sender: otlp.Sender | None = None

    def environment(self, entries: list[bytes]) -> list[bytes]:
        self._span = os.urandom(8).hex()
        name = f"{PARENT}=".encode()
        own = f"{PARENT}=00-{self._trace}-{self._span}-{self._flags}".encode()
        return [*(entry for entry in entries if not entry.startswith(name)), own]

    def step(self, session: RunSession, now_ns: int) -> None:
        self.due_ns = now_ns + self._interval_ns
        status = session.status()
        threads = None if session.tree is None else session.tree.sums.thread_count
        self._cpu_ns = max(self._cpu_ns, status.cpu_ns or 0)
        values = [
            _counter("prock.tree.cpu.time", "s", "CPU time of the process tree", self._cpu_ns / 1e9),
            _current("prock.tree.memory.usage", "By", "memory, shared pages counted once", status.footprint_bytes),
            _current("prock.tree.process.count", "{process}", "processes of the tree", status.process_count),
            _current("prock.tree.thread.count", "{thread}", "their threads", threads),
        ]
        self._send_metrics(values, round(session.start_time * 1e9), time.time_ns())

    def _send_metrics(self, points: Iterable[otlp.Point | None], began_ns: int, at_ns: int) -> None:
        known = []
        for point in filter(None, points):
            since_ns = None if point.since_ns is None else began_ns
            known.append(point._replace(at_ns=at_ns, since_ns=since_ns, labels=(*self._labels, *point.labels)))
        self._send(otlp.METRICS, otlp.metrics_document(self._resource, known))

    def _send(self, signal: str, document: otlp.Document) -> None:
        if self._sender is None:
            self._sender = otlp.Sender(self._endpoint)
        self._sender.send(signal, document)

    def add(self, result: RunResult) -> None:
        began_ns, ended_ns = round(result.start_time * 1e9), round((result.end_time or time.time()) * 1e9)
        self._cpu_ns, cpu_ns = 0, max(self._cpu_ns, result.cpu_ns or 0)
        points = [_counter("prock.tree.cpu.time", "s", "CPU time of the process tree", cpu_ns / 1e9)]
        if result.disk_io is not None:
            for direction, amount in (("read", result.disk_io.read_bytes), ("write", result.disk_io.write_bytes)):
                if amount is not None:
                    point = _counter("prock.tree.disk.io", "By", "bytes from and to storage", amount)
                    points.append(point._replace(labels=(("disk.io.direction", direction),)))
        points += [
            otlp.Point(f"prock.run.{name}", UNITS[unit], text, value, 0) for name, unit, text, value in values(result)
        ]
        self._send_metrics(points, began_ns, ended_ns)
        if int(self._flags, 16) & SAMPLED:
            spans = spans_of(result, self._trace, self._span, self._parent, min_ns=self._min_ns, args=self._args)
            for document in otlp.span_documents(self._resource, spans, self._state):
                self._send(otlp.TRACES, document)

    def close(self, code: int, problems: Sequence[str]) -> None:
        failure = None if self._sender is None else self._sender.close(WAIT_S)
        if failure is not None:
            complain("prock run", f"--otlp: {failure}")


def _counter(name: str, unit: str, text: str, value: float) -> otlp.Point:
    return otlp.Point(name, unit, text, value, 0, since_ns=0)


def _current(name: str, unit: str, text: str, value: int | None) -> otlp.Point | None:
    return None if value is None else otlp.Point(name, unit, text, value, 0, since_ns=0, is_monotonic=False)


class _Node:
    """A process, with the shorter ones below it that have no span."""

    def __init__(self, row: Mapping[str, Any], parent: _Node | None, span: str) -> None:
        self.row, self.parent, self.span = row, parent, span
        self.cpu_ns: int = row["cpu_ns"] or 0
        self.merged = 0
        self.merged_cpu_ns = 0


def spans_of(result: RunResult, trace: str, span: str, parent: str, *, min_ns: int, args: bool) -> list[otlp.Span]:
    """The span of the run, with that id, and those of the other processes that lasted at least `min_ns`.

    Each has its own CPU time, and that of the shorter processes below it; the span of the run also what no process has,
    so that all add up to the CPU time of the run.
    """
    document: dict[str, Any] = result.as_document()
    rows: list[dict[str, Any]] = document["processes"]
    root_row = next((row for row in rows if row["pid"] == result.pid), None)
    root = _Node(root_row or {"pid": result.pid, "cpu_ns": 0, "peak_rss_bytes": None}, None, span)
    latest: dict[int, _Node] = {result.pid: root}
    nodes = []
    ids = os.urandom(8 * len(rows)).hex()
    for place, row in enumerate(rows):  # in the order of their start
        if row is root_row:
            continue
        above = latest.get(row["ppid"] or 0, root)
        ended_ns = result.wall_ns if row["ended_ns"] is None else row["ended_ns"]
        if ended_ns - (row["started_ns"] or 0) < min_ns:
            above.merged += 1
            above.merged_cpu_ns += row["cpu_ns"] or 0
            latest[row["pid"]] = above
        else:
            latest[row["pid"]] = node = _Node(row, above, ids[16 * place : 16 * place + 16])
            nodes.append(node)
    began_ns = round(result.start_time * 1e9)
    below = [_span_of(node, trace, began_ns, result.wall_ns, args=args) for node in nodes]
    others_ns = sum(node.cpu_ns + node.merged_cpu_ns for node in nodes)
    return [_run_span(root, document, trace, parent, began_ns, others_ns, args=args), *below]


def _span_of(node: _Node, trace: str, began_ns: int, wall_ns: int, *, args: bool) -> otlp.Span:
    row = node.row
    values = {
        "process.executable.name": row["comm"],
        "process.pid": row["pid"],
        "process.parent_pid": row["ppid"],
        "process.command_args": row["cmdline"] if args else None,
        "prock.cpu.time": (node.cpu_ns + node.merged_cpu_ns) / 1e9,
        "prock.memory.peak": row["peak_rss_bytes"],
        **_merged(node),
        "prock.process.running": True if row["ended_ns"] is None else None,
    }
    ended_ns = wall_ns if row["ended_ns"] is None else row["ended_ns"]
    above = "" if node.parent is None else node.parent.span
    return otlp.Span(
        trace, node.span, above, row["comm"], began_ns + (row["started_ns"] or 0), began_ns + ended_ns, values
    )


def _merged(node: _Node) -> dict[str, otlp.Value | None]:
    if not node.merged:
        return {}
    return {"prock.merged.processes": node.merged, "prock.merged.cpu.time": node.merged_cpu_ns / 1e9}


def _run_span(
    root: _Node, document: Mapping[str, Any], trace: str, parent: str, began_ns: int, others_ns: int, *, args: bool
) -> otlp.Span:
    name = os.path.basename(document["args"][0]) if document["args"] else str(root.row.get("comm"))
    total_ns, code = document["cpu_ns"], document["exit_code"]
    own_ns = None if total_ns is None else max(0, total_ns - others_ns)
    rest_ns = None if own_ns is None else max(0, own_ns - root.cpu_ns - root.merged_cpu_ns)
    bias = next((source["bias"] for source in document["sources"] if source["figure"] == "cpu"), None)
    io = document["disk_io"] or {}
    error = None
    if document["timed_out"]:
        error = "timeout"
    elif document["limit_exceeded"] is not None:
        error = f"limit of {document['limit_exceeded']['limit']}"
    elif code:
        error = str(code) if document["signal"] is None else f"signal {document['signal']}"
    values = {
        "process.executable.name": name,
        "process.pid": document["pid"],
        "process.exit.code": code,
        "process.command_args": document["args"] if args else None,
        "error.type": error,
        "prock.cpu.time": None if own_ns is None else own_ns / 1e9,
        "prock.memory.peak": root.row["peak_rss_bytes"],
        **_merged(root),
        "prock.unattributed.cpu.time": None if rest_ns is None else rest_ns / 1e9,
        "prock.tree.cpu.time": None if total_ns is None else total_ns / 1e9,
        "prock.tree.cpu.source": document["accounting"],
        "prock.tree.cpu.bias": bias,
        "prock.tree.memory.peak": document["peak_footprint_bytes"],
        "prock.tree.disk.read": io.get("read_bytes"),
        "prock.tree.disk.written": io.get("write_bytes"),
        "prock.tree.processes": document["processes_started"],
        **{f"prock.label.{key}": value for key, value in document["labels"].items()},
    }
    ended_ns = began_ns + document["wall_ns"]
    return otlp.Span(trace, root.span, parent, name, began_ns, ended_ns, values, error and f"exit status: {error}")

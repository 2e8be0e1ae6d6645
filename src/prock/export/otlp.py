"""OTLP as JSON over HTTP, by the standard library alone: where to send to, the documents, and a thread that sends them.

Importing the SDK takes 400 ms and more. Names are those of the semantic conventions for ``process.*``; what they have
no name for is ``prock.*``. Numbers of 64 bits are strings, and identifiers hexadecimal, as OTLP's JSON has them.
"""

from __future__ import annotations

import json
import os
import threading
import time

from prock._compat.namedtuple import NamedTuple
from prock._compat.signals import all_blocked
from prock.errors import ProckError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any, TypeAlias

    Value: TypeAlias = str | int | float | bool | Sequence[str]
    Document: TypeAlias = dict[str, Any]

METRICS, TRACES = "metrics", "traces"
DEFAULT_URL = "http://localhost:4318"
LONGEST_WAIT_S = 10.0
INTERNAL, ERROR = 1, 2
"""`SPAN_KIND_INTERNAL` and `STATUS_CODE_ERROR`."""
MOST_SPANS = 1000
"""In one request: some 600 KB; a Collector accepts 20 MB."""
CUMULATIVE = 2
MOST_WAITING = 8
"""Metrics that wait to be sent; older ones are dropped."""


class Endpoint(NamedTuple):
    """Where to send, and how long to wait for an answer."""

    urls: Mapping[str, str]
    """By `METRICS` and `TRACES`."""
    headers: Mapping[str, Mapping[str, str]]
    timeout_s: float


def endpoint_of(url: str | None, environment: Mapping[str, str]) -> Endpoint:
    """The address of a Collector; None: that of OTEL_EXPORTER_OTLP_ENDPOINT and its like, or `DEFAULT_URL`.

    Headers and the timeout are those of the OTEL_* variables. Raises `ProckError` where one of them is invalid.
    """
    prefix = "OTEL_EXPORTER_OTLP_"

    def variable(signal: str, name: str) -> str:
        return environment.get(f"{prefix}{signal.upper()}_{name}") or environment.get(prefix + name, "")

    urls, headers = {}, {}
    for signal in (METRICS, TRACES):
        base = checked_url(url or environment.get(f"{prefix}ENDPOINT") or DEFAULT_URL)
        whole = None if url else environment.get(f"{prefix}{signal.upper()}_ENDPOINT")
        urls[signal] = checked_url(whole or f"{base.rstrip('/')}/v1/{signal}")
        headers[signal] = _pairs(variable(signal, "HEADERS"))
        if not url and variable(signal, "PROTOCOL") == "grpc":
            raise ProckError("OTEL_EXPORTER_OTLP_PROTOCOL is grpc: use --otlp=URL with the port for HTTP, mostly 4318")
    timeout = environment.get(f"{prefix}TIMEOUT") or str(round(LONGEST_WAIT_S * 1000))
    if not (timeout.isascii() and timeout.isdigit()):
        raise ProckError(f"invalid OTEL_EXPORTER_OTLP_TIMEOUT {timeout!r}: use milliseconds, such as 10000")
    return Endpoint(urls, headers, min(int(timeout) / 1000, LONGEST_WAIT_S))


def checked_url(url: str) -> str:
    """The URL. Raises `ProckError`."""
    scheme, _, rest = url.partition("://")
    host = rest.partition("/")[0]
    if "@" in host:  # other users see it in proc
        raise ProckError("a URL with a user or a password: put them into OTEL_EXPORTER_OTLP_HEADERS")
    if scheme not in ("http", "https") or not host or not url.isascii() or not url.isprintable() or " " in url:
        raise ProckError(f"invalid URL {url!r}: use http://HOST:PORT or https://HOST:PORT")
    return url


def _pairs(text: str) -> dict[str, str]:
    """``key=value,key=value``, percent-encoded, of OTEL_EXPORTER_OTLP_HEADERS and OTEL_RESOURCE_ATTRIBUTES."""
    from urllib.parse import unquote

    pairs = {}
    for part in filter(None, map(str.strip, text.split(","))):
        key, equals, value = part.partition("=")
        if not (equals and key.strip()):
            raise ProckError("invalid OTEL_* variable: use KEY=VALUE,KEY=VALUE for headers and attributes")
        pairs[key.strip()] = unquote(value.strip())
    return pairs


def resource_of(environment: Mapping[str, str], service: str, version: str) -> Document:
    """The resource: `service`, unless OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES name another one, and the host."""
    given = _pairs(environment.get("OTEL_RESOURCE_ATTRIBUTES", ""))
    name = environment.get("OTEL_SERVICE_NAME") or given.get("service.name") or service
    host = os.uname().nodename if hasattr(os, "uname") else ""
    own = {"host.name": host} if host else {}
    more = {"service.name": name, "telemetry.sdk.name": "prock", "telemetry.sdk.version": version}
    return {"attributes": attributes({**own, **given, **more})}


def attributes(values: Mapping[str, Value | None]) -> list[Document]:
    """Without those that are None."""
    return [{"key": key, "value": _value(value)} for key, value in values.items() if value is not None]


def _value(value: Value) -> Document:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, str):
        return {"stringValue": value}
    return {"arrayValue": {"values": [_value(one) for one in value]}}


class Point(NamedTuple):
    """A value of a metric. `since_ns`: where a counter began, since the epoch; None for a gauge."""

    name: str
    unit: str
    text: str
    value: float
    """A whole number is sent as such."""
    at_ns: int
    since_ns: int | None = None
    is_monotonic: bool = True
    labels: tuple[tuple[str, str], ...] = ()


def metrics_document(resource: Document, points: Iterable[Point]) -> Document:
    metrics: dict[str, Document] = {}
    for point in points:
        value = {"asInt": str(point.value)} if isinstance(point.value, int) else {"asDouble": point.value}
        row = {"timeUnixNano": str(point.at_ns), **value, "attributes": attributes(dict(point.labels))}
        metric = metrics.setdefault(point.name, {"name": point.name, "unit": point.unit, "description": point.text})
        if point.since_ns is None:
            metric.setdefault("gauge", {"dataPoints": []})["dataPoints"].append(row)
        else:
            empty = {"aggregationTemporality": CUMULATIVE, "isMonotonic": point.is_monotonic, "dataPoints": []}
            row["startTimeUnixNano"] = str(point.since_ns)
            metric.setdefault("sum", empty)["dataPoints"].append(row)
    scope = {"scope": {"name": "prock"}, "metrics": list(metrics.values())}
    return {"resourceMetrics": [{"resource": resource, "scopeMetrics": [scope]}]}


class Span(NamedTuple):
    """A span; its times are in nanoseconds since the epoch."""

    trace: str
    """32 hexadecimal digits."""
    id: str
    """16 hexadecimal digits."""
    parent: str
    """The `id` of the parent; empty: none."""
    name: str
    began_ns: int
    ended_ns: int
    values: Mapping[str, Value | None]
    error: str | None = None
    """Sets the status to error, with this text."""


def span_documents(resource: Document, spans: Sequence[Span], state: str = "") -> Iterable[Document]:
    """Requests of at most `MOST_SPANS` spans each. `state`: the trace state of all."""
    for place in range(0, len(spans), MOST_SPANS):
        rows = [_span_row(span, state) for span in spans[place : place + MOST_SPANS]]
        yield {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": {"name": "prock"}, "spans": rows}]}]}


def _span_row(span: Span, state: str) -> Document:
    return {
        "traceId": span.trace,
        "spanId": span.id,
        **({"parentSpanId": span.parent} if span.parent else {}),
        **({"traceState": state} if state else {}),
        "name": span.name,
        "kind": INTERNAL,
        "startTimeUnixNano": str(span.began_ns),
        "endTimeUnixNano": str(max(span.began_ns, span.ended_ns)),
        "attributes": attributes(span.values),
        "status": {} if span.error is None else {"code": ERROR, "message": span.error},
    }


class Sender:
    """Sends documents from a thread, in their order: `send` returns at once, whatever the server does.

    A document that was not accepted is not sent again: the next metrics are cumulative. The first failure is kept in
    `failure`, in one line. Redirections are not followed, as the headers may have a key for this server alone.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._waiting: list[tuple[str, Document]] = []
        self._changed = threading.Condition()
        self._closing = False
        self._deadline_ns: int | None = None
        self.failure: str | None = None
        self.sent = 0
        """Documents that were accepted."""
        self._thread = threading.Thread(target=self._run, name="prock-otlp", daemon=True)
        with all_blocked():
            self._thread.start()

    def send(self, signal: str, document: Document) -> None:
        with self._changed:
            if signal == METRICS and sum(kind == METRICS for kind, _ in self._waiting) >= MOST_WAITING:
                dropped = next(entry for entry in self._waiting if entry[0] == METRICS)
                self._waiting = [entry for entry in self._waiting if entry is not dropped]
            self._waiting.append((signal, document))
            self._changed.notify()

    def close(self, wait_s: float = 3.0) -> str | None:
        """Wait at most so long until all is sent. Returns what failed, in one line; None if nothing did."""
        with self._changed:
            self._closing = True
            self._deadline_ns = time.monotonic_ns() + round(wait_s * 1e9)
            self._changed.notify()
        self._thread.join(wait_s)
        if self._thread.is_alive() and self.failure is None:
            url = self._endpoint.urls[self._waiting[0][0] if self._waiting else TRACES]
            self.failure = f"no answer from {_shown(url)} within {wait_s:g} s: check the server"
        return self.failure

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._closing:
                    self._changed.wait()
                if not self._waiting:
                    return
                entry = self._waiting[0]
            failure = self._post(*entry)
            with self._changed:
                self._waiting = [other for other in self._waiting if other is not entry]
                if failure is None:
                    self.sent += 1
                elif self.failure is None:
                    self.failure = failure
                if failure is not None and self._closing:  # the others would fail as well, each after its timeout
                    self._waiting.clear()

    def _post(self, signal: str, document: Document) -> str | None:
        url = self._endpoint.urls[signal]
        timeout_s = self._endpoint.timeout_s
        if self._deadline_ns is not None:
            timeout_s = max(0.1, min(timeout_s, (self._deadline_ns - time.monotonic_ns()) / 1e9))
        data = json.dumps(document, allow_nan=False).encode()
        headers = {**self._endpoint.headers[signal], "Content-Type": "application/json"}
        return send_request("POST", url, data, headers, timeout_s)


def send_request(method: str, url: str, data: bytes, headers: Mapping[str, str], timeout_s: float) -> str | None:
    """Send this, without following redirections. Returns what failed, in one line; None if nothing did."""
    import http.client
    from urllib import error, request

    class NoRedirect(request.HTTPRedirectHandler):
        def redirect_request(self, *_: object) -> None:
            return None

    try:
        with request.build_opener(NoRedirect).open(
            request.Request(url, data, dict(headers), method=method),  # noqa: S310  # the scheme was checked
            timeout=timeout_s,
        ) as answer:
            answer.read(1 << 16)
    except error.HTTPError as refused:
        with refused:
            return f"{_shown(url)} returned {refused.code} {refused.reason}: check its address and its log"
    except error.URLError as failed:
        return f"cannot reach {_shown(url)}: {_reason(failed.reason)}"
    except (OSError, ValueError, http.client.HTTPException) as failed:
        return f"cannot send to {_shown(url)}: {_reason(failed)}"
    return None


def _reason(error: object) -> str:
    return str(getattr(error, "strerror", None) or error or type(error).__name__).split("\n")[0]


def _shown(url: str) -> str:
    """Without a query, which may have a key."""
    return url.partition("?")[0]

"""A receiver of OTLP as JSON, which decodes what it gets by OpenTelemetry's own definitions."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from google.protobuf.json_format import Parse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Received:
    def __init__(self) -> None:
        self.url = ""
        self.headers: list[dict[str, str]] = []
        self.spans: list[Any] = []
        self.resources: list[dict[str, Any]] = []
        self.metrics: list[Any] = []
        self.requests: list[str] = []

    def take(self, path: str, headers: dict[str, str], body: bytes) -> None:
        self.requests.append(path)
        self.headers.append(headers)
        if path.endswith("/v1/metrics"):
            for part in Parse(body, ExportMetricsServiceRequest()).resource_metrics:
                self.resources.append(values(part.resource.attributes))
                self.metrics += [metric for scope in part.scope_metrics for metric in scope.metrics]
            return
        # In OTLP identifiers are hexadecimal; protobuf's own JSON has base64.
        text = json.dumps(_by_base64(json.loads(body)))
        for traces in Parse(text, ExportTraceServiceRequest()).resource_spans:
            self.resources.append(values(traces.resource.attributes))
            self.spans += [span for scope in traces.scope_spans for span in scope.spans]


def _by_base64(value: Any) -> Any:
    if isinstance(value, list):
        return [_by_base64(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        key: base64.b64encode(bytes.fromhex(one)).decode()
        if key in ("traceId", "spanId", "parentSpanId")
        else _by_base64(one)
        for key, one in value.items()
    }


def values(attributes: Any) -> dict[str, Any]:
    """Attributes as a dict."""
    found = {}
    for attribute in attributes:
        kind = attribute.value.WhichOneof("value")
        value = getattr(attribute.value, kind)
        found[attribute.key] = [one.string_value for one in value.values] if kind == "array_value" else value
    return found


@contextmanager
def receiver(status: int = 200) -> Iterator[Received]:
    """Listens while the block runs, and answers with that status."""
    received = Received()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.take(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
            self.send_response(status)
            self.send_header("Location", "/elsewhere")
            self.end_headers()
            self.wfile.write(b"{}")

        do_PUT = do_POST  # noqa: N815  # the server's name for it

        def log_message(self, *_: object) -> None:
            """Nothing to the output of the tests."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    received.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield received
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

"""``prock run --otlp``: what a receiver decodes by OpenTelemetry's own definitions, and what failures do not hurt."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from support.command_line import environment, is_one_line, prock
from support.otlp_receiver import Received, receiver, values

from prock import engine

TREE = "sleep 0.05; (exec -a inner sh -c 'sleep 0.05; i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done'); /bin/true"
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def without_otel(**changed: str) -> dict[str, str]:
    kept = environment(**changed)
    unwanted = [name for name in kept if name.startswith(("OTEL_", "TRACE")) and name not in changed]
    return {name: value for name, value in kept.items() if name not in unwanted}


def send(received: Received, *arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return prock("run", "-q", f"--otlp={received.url}", *arguments, env=env or without_otel())


def numbers(metric: Any) -> list[float]:
    points = getattr(metric, metric.WhichOneof("data")).data_points
    return [getattr(point, point.WhichOneof("value")) for point in points]


def test_spans_add_up_to_the_run(tmp_path: Path) -> None:
    document = tmp_path / "run.json"
    with receiver() as received:
        done = send(received, "--spans-min", "0", "--json", str(document), "bash", "-c", TREE)
    assert (done.returncode, done.stderr) == (0, "")
    run = json.loads(document.read_text())
    root, *below = received.spans
    of = {span.span_id: values(span.attributes) for span in received.spans}
    assert of[root.span_id]["process.exit.code"] == 0
    assert of[root.span_id]["prock.tree.cpu.time"] == run["cpu_ns"] / 1e9
    assert sum(span["prock.cpu.time"] for span in of.values()) == pytest.approx(run["cpu_ns"] / 1e9)
    assert run["processes"] == []  # the document is as without --otlp
    assert all(span.parent_span_id in of and span.trace_id == root.trace_id for span in below)
    assert all(span.start_time_unix_nano <= span.end_time_unix_nano for span in received.spans)
    assert not any("process.command_args" in span for span in of.values())
    if engine.active.launcher is not None and run["processes_started"] is not None and run["accounting"] != "waited":
        assert len(received.spans) == run["processes_started"]
        assert max(below, key=lambda span: of[span.span_id]["prock.cpu.time"]).parent_span_id == root.span_id


def test_the_children_of_a_process_hang_below_its_span() -> None:
    with receiver() as received:
        send(received, "--args", "sh", "-c", "sh -c 'sleep 0.3; :'; :", "--token", "hunter2")
    by_id = {span.span_id: span for span in received.spans}
    sleep = next(span for span in received.spans if span.name == "sleep")
    inner = by_id[sleep.parent_span_id]
    assert by_id[inner.parent_span_id].span_id == received.spans[0].span_id
    assert values(sleep.attributes)["process.command_args"] == ["sleep", "0.3"]
    assert values(received.spans[0].attributes)["process.command_args"][-2:] == ["--token", "***"]


def test_short_processes_are_part_of_their_parent() -> None:
    with receiver() as received:
        send(received, "--spans-min", "10s", "sh", "-c", "sleep 0.15; sleep 0.15; :")
    (root,) = received.spans
    assert values(root.attributes)["prock.merged.processes"] == 2


def test_the_trace_goes_on_in_the_command() -> None:
    context = f"00-{TRACE}-{PARENT}-01"
    with receiver() as received:
        done = send(received, "sh", "-c", 'echo "$TRACEPARENT"', env=without_otel(TRACEPARENT=context))
    (root,) = received.spans
    assert root.trace_id.hex() == TRACE
    assert root.parent_span_id.hex() == PARENT
    assert done.stdout == f"00-{TRACE}-{root.span_id.hex()}-01\n"


def test_a_trace_that_is_not_sampled_has_no_spans() -> None:
    with receiver() as received:
        done = send(
            received, "sh", "-c", 'echo "$TRACEPARENT"', env=without_otel(TRACEPARENT=f"00-{TRACE}-{PARENT}-00")
        )
    assert received.spans == []
    assert received.metrics != []
    assert done.stdout.startswith(f"00-{TRACE}-") and done.stdout.endswith("-00\n")


@pytest.mark.parametrize("context", ["", "00-0-0-01", f"ff-{TRACE}-{PARENT}-01", f"00-{'0' * 32}-{PARENT}-01", "é"])
def test_an_invalid_parent_begins_a_trace(context: str) -> None:
    with receiver() as received:
        assert send(received, "true", env=without_otel(TRACEPARENT=context)).returncode == 0
    (root,) = received.spans
    assert root.parent_span_id == b""
    assert any(root.trace_id)


def test_failures_are_errors_of_the_span() -> None:
    with receiver() as received:
        assert send(received, "sh", "-c", "exit 3").returncode == 3
        assert send(received, "sh", "-c", "kill -9 $$").returncode == 137
        assert send(received, "--timeout", "0.1", "sleep", "60").returncode == 124
    assert [values(span.attributes)["error.type"] for span in received.spans] == ["3", "signal 9", "timeout"]
    assert {span.status.code for span in received.spans} == {2}


def test_metrics_come_while_the_command_runs() -> None:
    with receiver() as received:
        env = without_otel(OTEL_METRIC_EXPORT_INTERVAL="100", OTEL_SERVICE_NAME="build")
        send(received, "-i", "0.05", "sleep", "1", env=env)
    cpu = [value for metric in received.metrics if metric.name == "prock.tree.cpu.time" for value in numbers(metric)]
    assert len(cpu) > 2
    assert cpu == sorted(cpu)
    counts = [numbers(metric) for metric in received.metrics if metric.name == "prock.tree.process.count"]
    assert [1.0] in counts
    assert {resource["service.name"] for resource in received.resources} == {"build"}
    assert next(numbers(metric) for metric in received.metrics if metric.name == "prock.run.exit_code") == [0]


def test_variables_say_where_to_but_do_not_turn_it_on() -> None:
    with receiver() as received:
        env = without_otel(OTEL_EXPORTER_OTLP_ENDPOINT=received.url, OTEL_EXPORTER_OTLP_HEADERS="x-key=a%20b")
        assert prock("run", "-q", "true", env=env).returncode == 0
        assert received.requests == []
        assert prock("run", "-q", "--otlp", "true", env=env).returncode == 0
    assert received.requests == ["/v1/metrics", "/v1/traces"]
    assert [headers["x-key"] for headers in received.headers] == ["a b", "a b"]


@pytest.mark.parametrize("status", [302, 404, 503])
def test_a_server_that_refuses_is_one_line(status: int) -> None:
    with receiver(status) as received:
        done = send(received, "sh", "-c", "exit 7")
    assert done.returncode == 7
    assert is_one_line(done.stderr, f"prock run: --otlp: {received.url}/v1/metrics returned {status} ")
    assert set(received.requests) <= {"/v1/metrics", "/v1/traces"}


def test_no_server_is_one_line() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        done = prock("run", "-q", f"--otlp={url}", "sh", "-c", "exit 7", env=without_otel())
    assert done.returncode == 7
    assert done.stderr == f"prock run: --otlp: cannot reach {url}/v1/metrics: Connection refused\n"


def test_a_server_that_does_not_answer_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()
        done = prock("run", "-q", f"--otlp={url}", "sh", "-c", "exit 7", env=without_otel())
    assert done.returncode == 7
    assert is_one_line(done.stderr, "prock run: --otlp: ")
    assert time.monotonic() - began < 20  # bounded: the timeout of the variables alone would be 10 s a request


@pytest.mark.parametrize(
    ("arguments", "changed", "problem"),
    [
        (["--otlp=localhost:4318"], {}, "--otlp: invalid URL 'localhost:4318': use http://HOST:PORT"),
        (["--otlp=http://u:geheim@h"], {}, "--otlp: a URL with a user or a password: "),
        (["--otlp"], {"OTEL_EXPORTER_OTLP_TIMEOUT": "soon"}, "--otlp: invalid OTEL_EXPORTER_OTLP_TIMEOUT 'soon': "),
        (["--otlp"], {"OTEL_EXPORTER_OTLP_HEADERS": "key"}, "--otlp: invalid OTEL_* variable: "),
        (["--otlp"], {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "--otlp: OTEL_EXPORTER_OTLP_PROTOCOL is grpc: "),
        (["--otlp"], {"OTEL_METRIC_EXPORT_INTERVAL": "0"}, "invalid OTEL_METRIC_EXPORT_INTERVAL '0': "),
        (["--args"], {}, "--args is about what is sent: add --otlp"),
        (["--spans-min", "1s"], {}, "--spans-min is about what is sent: add --otlp"),
        (["--push", "gateway"], {}, "--push: invalid URL 'gateway': "),
    ],
)
def test_bad_input(arguments: list[str], changed: dict[str, str], problem: str) -> None:
    done = prock("run", *arguments, "true", env=without_otel(**changed))
    assert done.returncode == 2
    assert is_one_line(done.stderr, f"prock run: {problem}")
    assert "geheim" not in done.stderr


COLLECTOR = shutil.which(os.environ.get("PROCK_OTELCOL", "otelcorecol"))


@pytest.mark.skipif(COLLECTOR is None, reason="no OpenTelemetry Collector (tools/collector.sh builds one)")
def test_the_collector_accepts_a_build(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "config.yaml").write_text(
        f"""
receivers: {{otlp: {{protocols: {{http: {{endpoint: "127.0.0.1:{port}"}}}}}}}}
exporters: {{debug: {{verbosity: detailed}}}}
service:
  telemetry: {{metrics: {{level: none}}}}
  pipelines:
    traces: {{receivers: [otlp], exporters: [debug]}}
    metrics: {{receivers: [otlp], exporters: [debug]}}
"""
    )
    assert COLLECTOR is not None
    log = tmp_path / "log"
    with log.open("w") as output:
        collector = subprocess.Popen([COLLECTOR, f"--config={tmp_path}/config.yaml"], stderr=output, stdout=output)
    try:
        until = time.monotonic() + 60
        while "Everything is ready" not in log.read_text() and time.monotonic() < until:
            assert collector.poll() is None, log.read_text()
            time.sleep(0.05)
        done = prock("run", "-q", f"--otlp=http://127.0.0.1:{port}", "sh", "-c", "sleep 0.2; :", env=without_otel())
    finally:
        collector.terminate()
        collector.wait(60)
    assert (done.returncode, done.stderr) == (0, "")
    text = log.read_text()
    assert "prock.tree.cpu.time: Double(" in text
    assert "Name           : sleep" in text
    assert "-> Name: prock.tree.cpu.time" in text

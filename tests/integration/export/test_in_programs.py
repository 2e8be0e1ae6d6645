"""Process trees in the registries of other libraries: ``prometheus_client`` in a real gunicorn, OpenTelemetry's SDK."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from support.runs import until

from prock.export.opentelemetry import observe_trees
from prock.export.prometheus import TreeCollector

SERVER = """
import time
from prometheus_client import CollectorRegistry, start_http_server
from prock.export.prometheus import TreeCollector

workers = 3
bind = "127.0.0.1:0"

def when_ready(server):
    registry = CollectorRegistry()
    registry.register(TreeCollector(io=True))
    started, _ = start_http_server(0, "127.0.0.1", registry)
    with open("ports", "w") as ports:
        print(started.server_port, server.LISTENERS[0].sock.getsockname()[1], file=ports)

def app(environ, start_response):
    end = time.process_time() + 0.2
    while time.process_time() < end:
        pass
    start_response("200 OK", [])
    return [b"done"]
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], str, str]]:
    (tmp_path / "conf.py").write_text(SERVER)
    arguments = [sys.executable, "-m", "gunicorn", "-c", "conf.py", "conf:app"]
    with subprocess.Popen(arguments, cwd=tmp_path, stderr=subprocess.DEVNULL) as master:
        try:
            ports = tmp_path / "ports"
            assert until(lambda: ports.exists() and ports.read_text().endswith("\n"))
            metrics, pages = ports.read_text().split()
            yield master, f"http://127.0.0.1:{metrics}/metrics", f"http://127.0.0.1:{pages}/"
        finally:
            master.terminate()


def scraped(url: str) -> dict[str, float]:
    with urllib.request.urlopen(url, timeout=20) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    return {sample.name: sample.value for family in families for sample in family.samples}


def test_the_master_of_a_server_shows_the_sum_of_its_workers(server: tuple[subprocess.Popen[bytes], str, str]) -> None:
    master, metrics, pages = server
    assert until(lambda: scraped(metrics)["prock_tree_processes"] == 4)
    before = scraped(metrics)
    for _ in range(5):
        assert urllib.request.urlopen(pages, timeout=20).read() == b"done"
    after = scraped(metrics)
    used = after["prock_tree_cpu_seconds_total"] - before["prock_tree_cpu_seconds_total"]
    assert 1.0 <= used < 1.5
    master.send_signal(signal.SIGHUP)  # new workers replace all
    started = "prock_tree_processes_started_total"
    assert until(lambda: scraped(metrics)[started] == after[started] + 3)
    assert until(lambda: scraped(metrics)["prock_tree_processes"] == 4)
    assert scraped(metrics)["prock_tree_cpu_seconds_total"] >= after["prock_tree_cpu_seconds_total"]


def test_a_collector_without_trees_shows_nothing() -> None:
    registry = CollectorRegistry()
    collector = TreeCollector({})
    registry.register(collector)
    assert generate_latest(registry) == b""
    collector.close()


def test_observable_instruments_share_a_sample_in_a_collection(monkeypatch: pytest.MonkeyPatch) -> None:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    trees = observe_trees(provider, {"pytest": lambda: [os.getpid()]}, io=True, fds=True)

    def collected() -> dict[tuple[str, ...], float]:
        data = reader.get_metrics_data()
        assert data is not None
        return {
            (metric.name, *map(str, (point.attributes or {}).values())): point.value  # type: ignore[union-attr]
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            for point in metric.data.data_points
        }

    samples: list[object] = []
    take = trees.sample

    def counted() -> object:
        samples.append(take())
        return samples[-1]

    monkeypatch.setattr(trees, "sample", counted)
    first = collected()
    assert len(samples) == 1
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as child:
        end = time.process_time() + 0.1
        while time.process_time() < end:
            pass
        second = collected()
        assert len(samples) == 2
        child.kill()
    assert second["prock.tree.process.count", "pytest"] == first["prock.tree.process.count", "pytest"] + 1
    used = second["prock.tree.cpu.time", "pytest"] - first["prock.tree.cpu.time", "pytest"]
    assert 0.1 <= used < 0.5
    assert ("prock.tree.disk.io", "pytest", "write") in second
    assert second["prock.tree.unix.file_descriptor.count", "pytest"] >= 3
    assert {name for name, *_ in second} >= {"prock.tree.memory.usage", "prock.tree.thread.count"}
    trees.close()

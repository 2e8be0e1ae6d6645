"""``prock run -f prometheus`` and ``--push``, read by promtool, node_exporter and a Pushgateway."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.command_line import is_one_line, prock

needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is missing (prometheus)")
needs_node_exporter = pytest.mark.skipif(
    shutil.which("prometheus-node-exporter") is None, reason="prometheus-node-exporter is missing"
)
needs_pushgateway = pytest.mark.skipif(
    shutil.which("prometheus-pushgateway") is None, reason="prometheus-pushgateway is missing"
)


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        text: str = answer.read().decode()
    return text


@contextmanager
def server(*command: str) -> Iterator[str]:
    """Runs it while the block runs; yields the address that it listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    popen = subprocess.Popen([*command, f"--web.listen-address={address}"], stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 30
        while True:
            try:
                get(f"http://{address}/metrics")
                break
            except OSError:
                assert popen.poll() is None and time.monotonic() < until
                time.sleep(0.05)
        yield f"http://{address}"
    finally:
        popen.terminate()
        popen.wait(30)


@needs_promtool
def test_promtool_has_nothing_to_say(tmp_path: Path) -> None:
    file = tmp_path / "run.prom"
    done = prock(
        "run", "-f", "prometheus", "-o", file, "--label", '7=a"b\\c\nd', "--label", "__x=y", "sh", "-c", "exit 3"
    )
    assert (done.returncode, done.stderr) == (3, "")
    checked = subprocess.run(["promtool", "check", "metrics"], input=file.read_text(), capture_output=True, text=True)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


@needs_node_exporter
def test_node_exporter_shows_the_last_run(tmp_path: Path) -> None:
    file = tmp_path / "run.prom"
    prock("run", "-f", "prometheus", "-o", file, "true")
    before = file.stat().st_ino
    prock("run", "-f", "prometheus", "-o", file, "--label", "job=nightly", "sh", "-c", "exit 3")
    assert file.stat().st_ino != before  # replaced in one step
    with server(
        "prometheus-node-exporter", "--collector.disable-defaults", "--collector.textfile",
        f"--collector.textfile.directory={tmp_path}",
    ) as url:  # fmt: skip
        text = get(f"{url}/metrics")
    assert 'prock_run_exit_code{command="sh",job="nightly"} 3\n' in text
    assert "node_textfile_scrape_error 0\n" in text
    assert 'command="true"' not in text


@needs_pushgateway
def test_a_pushgateway_keeps_the_last_run() -> None:
    with server("prometheus-pushgateway") as url:
        assert prock("run", "-q", "--push", url, "sh", "-c", "exit 3").returncode == 3
        assert prock("run", "-q", "--push", url, "sh", "-c", "exit 4").returncode == 4
        named = f"{url}/metrics/job/nightly/host/a"
        assert prock("run", "-q", "--push", named, "true").stderr == ""
        lines = [line for line in get(f"{url}/metrics").splitlines() if line.startswith("prock_run_exit_code")]
    assert sorted(lines) == [
        'prock_run_exit_code{command="sh",instance="",job="sh"} 4',
        'prock_run_exit_code{command="true",host="a",instance="",job="nightly"} 0',
    ]


def test_no_gateway_is_one_line() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        done = prock("run", "-q", "--push", url, "sh", "-c", "exit 7")
    assert done.returncode == 7
    assert is_one_line(done.stderr, f"prock run: cannot reach {url}/metrics/job/sh: ")


def test_a_file_of_metrics_is_not_appended_to(tmp_path: Path) -> None:
    done = prock("run", "-f", "prometheus", "-a", "-o", tmp_path / "run.prom", "true")
    assert done.returncode == 2
    assert is_one_line(done.stderr, "prock run: -a and -f prometheus contradict each other")

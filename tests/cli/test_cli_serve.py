"""``prock serve``: real trees, read over HTTP and by a real Prometheus."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support import processes
from support.command_line import command, environment, is_one_line, prock, prock_json

BUSY = "libc.prctl(15, b'{name}'); say(); sys.stdin.readline(); burn(0.2); say(); wait()"


class Serve:
    def __init__(self, *arguments: object) -> None:
        self.popen = subprocess.Popen(
            command("serve", "--listen", "127.0.0.1:0", *arguments),
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        self.said: list[str] = []
        line = self.line()
        while "listening on" not in line:
            assert line, self.said
            line = self.line()
        self.url = line.split()[-1].removesuffix("/metrics")

    def line(self) -> str:
        assert self.popen.stderr is not None
        self.said.append(self.popen.stderr.readline())
        return self.said[-1]

    def get(self, path: str = "/metrics", method: str = "GET", **headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return urllib.request.urlopen(urllib.request.Request(self.url + path, method=method, headers=named), timeout=20)

    def values(self) -> dict[str, float]:
        with self.get() as answer:
            lines = answer.read().decode().splitlines()
        return {name: float(value) for name, _, value in (x.rpartition(" ") for x in lines if not x.startswith("#"))}


@contextmanager
def serving(*arguments: object) -> Iterator[Serve]:
    serve = Serve(*arguments)
    try:
        yield serve
    finally:
        serve.popen.terminate()
        assert serve.popen.wait(20) == 0
        assert serve.popen.stderr is not None
        serve.popen.stderr.close()


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return f"s{os.getpid()}{abs(hash(request.node.name)) % 9999}"


def cpu(values: dict[str, float], tree: str) -> float:
    return values[f'prock_tree_cpu_seconds_total{{tree="{tree}"}}']


def test_a_successor_goes_on_with_the_counter(spawn: processes.Spawn, name: str) -> None:
    first = spawn(BUSY.format(name=name))
    first.hears()
    with serving("--name", f"^{name}$", "--tree", "web") as serve:
        first.tell()
        first.hears()
        before = serve.values()
        assert cpu(before, "web") >= 0.1 and before['prock_tree_processes{tree="web"}'] == 1
        first.finish()
        second = spawn(BUSY.format(name=name))
        second.hears()
        second.tell()
        second.hears()
        after = serve.values()
        assert cpu(after, "web") >= cpu(before, "web")
        while not after['prock_tree_processes{tree="web"}']:
            after = serve.values()
        assert cpu(after, "web") >= cpu(before, "web") + 0.1  # also what it used before it was found
        assert not any("pid" in label for label in after)


def test_nearest_configured_ancestor(spawn: processes.Spawn, tmp_path: Path, name: str) -> None:
    inner = tmp_path / "inner.pid"
    program = spawn("a = sleeper(); b = sleeper(); say(a, b); wait()")
    child, _ = program.pids()
    config = tmp_path / "prock.toml"
    config.write_text(f"[trees.outer]\npid = {program.pid}\n[trees.inner]\npidfile = '{inner}'\n")
    with serving("--config", config) as serve:
        values = serve.values()
        assert values['prock_tree_processes{tree="outer"}'] == 3
        inner.write_text(str(child))
        while not values.get('prock_tree_processes{tree="inner"}'):
            values = serve.values()
        assert values['prock_tree_processes{tree="inner"}'] == 1
        assert values['prock_tree_processes{tree="outer"}'] == 2


def test_formats(spawn: processes.Spawn) -> None:
    program = spawn("say(); wait()")
    program.hears()
    label = 'a"b\\c\nd'
    with serving("--pid", program.pid, "--tree", label, "--pss", "--fds") as serve:
        with serve.get() as answer:
            assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            text = answer.read().decode()
        assert 'prock_tree_processes{tree="a\\"b\\\\c\\nd"} 1\n' in text
        with serve.get(Accept="application/openmetrics-text; version=1.0.0") as answer:
            assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
            assert answer.read().endswith(b"# EOF\n")
        with serve.get(Accept_Encoding="gzip") as answer:
            assert answer.headers["Content-Encoding"] == "gzip"
            assert b"prock_tree_proportional_memory_bytes{" in gzip.decompress(answer.read())
        with serve.get(method="HEAD") as answer:
            assert int(answer.headers["Content-Length"]) > 100 and answer.read() == b""
        assert serve.get("/-/healthy").read() == b"healthy\n"
        assert b"/metrics" in serve.get("/").read()
        with pytest.raises(urllib.error.HTTPError, match="404") as raised:
            serve.get("/else")
        raised.value.close()
        if shutil.which("promtool"):
            checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
            assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_concurrent_scrapes(spawn: processes.Spawn) -> None:
    program = spawn("say(); wait()")
    program.hears()
    with serving("--pid", program.pid, "--tree", "x") as serve:
        found: list[float] = []
        threads = [threading.Thread(target=lambda: found.append(len(serve.values()))) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 20 and len(set(found)) == 1


def test_an_error_after_the_start_is_printed_once(spawn: processes.Spawn, tmp_path: Path) -> None:
    program = spawn("say(); wait()")
    program.hears()
    config, pidfile = tmp_path / "prock.toml", tmp_path / "one.pid"
    pidfile.write_text(f"{program.pid}\n")
    config.write_text(f"[trees.one]\npidfile = '{pidfile}'\n[trees.missing]\nname = 'no such process'\n")
    name = 'prock_serve_search_errors_total{tree="one"}'
    with serving("--config", config) as serve:
        assert serve.values()[name] == 0
        pidfile.write_text("nothing\n")
        while serve.values()[name] < 3:
            time.sleep(0.1)
        assert "no pid in the first line" in serve.line()
        config.write_text(f"[trees.one]\npid = {program.pid}\n")
        serve.popen.send_signal(signal.SIGHUP)
        assert serve.line() == "prock serve: reloaded: 1 trees\n"


def test_a_name_that_is_not_utf8(spawn: processes.Spawn) -> None:
    program = spawn("say(); wait()")
    program.hears()
    with serving("--pid", program.pid, "--tree", os.fsdecode(b"a\xff\\")) as serve:
        assert serve.values()[r'prock_tree_processes{tree="a\\xff\\"}'] == 1


def test_reload_and_errors_of_one_tree(spawn: processes.Spawn, tmp_path: Path) -> None:
    program = spawn("say(); wait()")
    program.hears()
    config, broken = tmp_path / "prock.toml", tmp_path / "broken.pid"
    broken.write_text("nothing\n")
    config.write_text(f"[trees.one]\npid = {program.pid}\n[trees.broken]\npidfile = '{broken}'\n")
    with serving("--config", config) as serve:
        assert any("no pid in the first line" in line for line in serve.said)
        values = serve.values()
        assert values['prock_tree_processes{tree="one"}'] == 1
        assert values['prock_serve_search_errors_total{tree="broken"}'] >= 1
        config.write_text("[trees\n")
        serve.popen.send_signal(signal.SIGHUP)
        assert re.match(r"prock serve: not reloaded: .*prock\.toml: no valid TOML: .*line 1", serve.line())
        assert serve.values()['prock_tree_processes{tree="one"}'] == 1
        config.write_text(f"[trees.two]\npid = {program.pid}\n")
        serve.popen.send_signal(signal.SIGHUP)
        assert serve.line() == "prock serve: reloaded: 1 trees\n"
        values = serve.values()
        assert values['prock_tree_processes{tree="two"}'] == 1
        assert 'prock_tree_processes{tree="one"}' not in values


def test_interrupt(spawn: processes.Spawn) -> None:
    program = spawn("say(); wait()")
    program.hears()
    serve = Serve("--pid", program.pid)
    serve.popen.send_signal(signal.SIGINT)
    _, errors = serve.popen.communicate(timeout=20)
    assert (serve.popen.returncode, errors) == (-signal.SIGINT, "")


def test_check(tmp_path: Path) -> None:
    config = tmp_path / "prock.toml"
    config.write_text(f"listen = '127.0.0.1:9'\n[trees.me]\npid = {os.getpid()}\n")
    assert prock("serve", "--check", config).stdout == "me: roots now: 1\n"
    assert prock_json("serve", "--check", config)["trees"] == {"me": 1}


BAD_FILES = [
    ("[trees.a]\nname = 'x'\nfoo = 1\n", "line 3: unknown key 'foo': use one of pid, "),
    ("listen = 1\n", "line 1: listen must be text: "),
    ("", "line 1: no trees: "),
    ("[trees.a]\n\n[trees.b]\nname = 'x'\n", "line 1: no selection of trees: "),
    ("\n[trees.a]\nname = 'x'\nall = true\n", "line 2: both --name and --all: "),
    ("[trees.a]\nname = '('\n", "line 1: invalid regular expression"),
    ("[trees.a]\nname = 3\n", "line 2: name is 3: use text in quotes"),
    ("[trees.a]\nfull = 'yes'\n", "line 2: full is 'yes': use true or false"),
]


@pytest.mark.parametrize(("text", "message"), BAD_FILES)
def test_bad_configuration(text: str, message: str, tmp_path: Path) -> None:
    config = tmp_path / "prock.toml"
    config.write_text(text)
    for option in ("--check", "--config"):
        done = prock("serve", option, config)
        assert (done.returncode, done.stdout) == (1, "")
        assert is_one_line(done.stderr, f"prock serve: {config}, {message}"), done.stderr


def test_bad_input(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        bad: list[tuple[tuple[object, ...], int, str]] = [
            ((), 2, "no trees: give --name PATTERN or another selection, or --config FILE"),
            (("--pid", os.getpid(), "--listen", f"127.0.0.1:{port}"), 1, f"cannot listen on 127.0.0.1:{port}: "),
            (("--pid", os.getpid(), "--listen", "x"), 2, "invalid address 'x': use ADDR:PORT"),
            (("--name", f"^none{os.getpid()}$"), 1, "no process has a name that matches"),
            (("--config", tmp_path / "none"), 1, "cannot read the configuration: No such file or directory: "),
            (("--config", tmp_path / "none", "--all"), 2, "both --config and a selection of trees: "),
            (("--pid", 1, "--json"), 2, "--json without --check: "),
        ]
        for arguments, code, message in bad:
            done = prock("serve", *arguments)
            assert (done.returncode, done.stdout) == (code, ""), done
            assert is_one_line(done.stderr, f"prock serve: {message}"), done.stderr


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed")
def test_prometheus_scrapes_it(spawn: processes.Spawn, tmp_path: Path) -> None:
    program = spawn("say(); wait()")
    program.hears()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with serving("--pid", program.pid, "--tree", "scraped") as serve:
        target = serve.url.removeprefix("http://")
        (tmp_path / "p.yml").write_text(
            "scrape_configs: [{job_name: prock, scrape_interval: 1s, static_configs: [{targets: ['" + target + "']}]}]"
        )
        server = subprocess.Popen(
            ["prometheus", f"--config.file={tmp_path}/p.yml", f"--storage.tsdb.path={tmp_path}/d",
             f"--web.listen-address=127.0.0.1:{port}"],
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            found: list[Any] = []
            deadline = time.monotonic() + 60
            while not found and time.monotonic() < deadline:
                try:
                    url = f"http://127.0.0.1:{port}/api/v1/query?query=prock_tree_processes"
                    with urllib.request.urlopen(url, timeout=10) as answer:
                        found = json.load(answer)["data"]["result"]
                except (urllib.error.URLError, ConnectionError):
                    pass
                time.sleep(0.2)
            assert [(row["metric"]["tree"], row["value"][1]) for row in found] == [("scraped", "1")]
        finally:
            server.terminate()
            server.wait()

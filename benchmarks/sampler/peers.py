"""Other monitors that follow the CPU time and the memory of a process tree: how each is started and what it reported.

None is needed: one that isn't installed, or doesn't work here, is reported as missing.
"""

from __future__ import annotations

import csv
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from benchmarks.harness.programs import BIN

LOOPS = Path(__file__).with_name("monitor_loops.py")


class Peer(NamedTuple):
    name: str
    """Of its package, too."""
    attach: Callable[[int, float, Path], list[str]] | None
    """The command that follows this pid, at this interval in seconds, and writes into this directory."""
    launch: Callable[[Sequence[str], float, Path], list[str]] | None
    """Command line that starts this command and follows it, where the monitor can't attach."""
    log: str
    """The file that has something in it once it follows."""
    cpu_s: Callable[[Path], float]
    """The CPU time that it reported in this directory."""

    def version(self) -> str | None:
        try:
            return metadata.version(self.name)
        except metadata.PackageNotFoundError:
            return None


def _psrecord(pid: int, interval: float, home: Path) -> list[str]:
    options = ["--interval", f"{interval:g}", "--include-children", "--log-format", "csv", "--log"]
    return [str(BIN / "psrecord"), str(pid), *options, str(home / "psrecord.csv")]


def _psrecord_cpu(home: Path) -> float:
    """Percent, each over the time since the row before."""
    total, before = 0.0, 0.0
    with open(home / "psrecord.csv", newline="") as file:
        for row in csv.DictReader(file):
            now = float(row["elapsed_time"])
            total += float(row["cpu"]) / 100 * (now - before)
            before = now
    return total


def _procpath(pid: int, interval: float, home: Path) -> list[str]:
    options = ["--stop-without-result", "-f", "stat", "-i", f"{interval:g}", "-d", str(home / "procpath.sqlite")]
    return [str(BIN / "procpath"), "record", *options, f"$..children[?(@.stat.pid == {pid})]"]


def _procpath_cpu(home: Path) -> float:
    """Of each process the last ticks that were recorded."""
    query = "SELECT MAX(stat_utime + stat_stime) FROM record GROUP BY stat_pid, stat_starttime"
    connection = sqlite3.connect(home / "procpath.sqlite")
    try:
        return sum(int(ticks) for (ticks,) in connection.execute(query)) / os.sysconf("SC_CLK_TCK")
    finally:
        connection.close()


def _con_duct(command: Sequence[str], interval: float, home: Path) -> list[str]:
    options = ["-l", "NONE", "--fail-time", "0", "--sample-interval", f"{interval:g}"]
    return [
        str(BIN / "con-duct"), "run", *options, "--report-interval", f"{max(interval, 1):g}", "-p", str(home / "duct_"),
        *command,
    ]  # fmt: skip


def _con_duct_cpu(home: Path) -> float:
    summary = json.loads((home / "duct_info.json").read_text())["execution_summary"]
    return float(summary["average_pcpu"] or 0) / 100 * float(summary["wall_clock_time"])


def _loop(name: str, log: str) -> Callable[[int, float, Path], list[str]]:
    """Of a peer that is a Python module without a command to attach by."""
    return lambda pid, interval, home: [
        sys.executable, str(LOOPS), name, str(pid), f"{interval:g}", str(home / log),
    ]  # fmt: skip


def _denet_cpu(home: Path) -> float:
    """Percent, each over the time since the sample before."""
    total, before = 0.0, None
    for line in (home / "denet.jsonl").read_text().splitlines():
        sample = json.loads(line)
        if sample.get("kind") == "tree":
            now = sample["ts_ms"] / 1000
            if before is not None:
                total += sample["aggregated"]["cpu_usage"] / 100 * (now - before)
            before = now
    return total


def _resource_tracker_cpu(home: Path) -> float:
    with open(home / "tracker.csv", newline="") as file:
        return sum(float(row["utime"]) + float(row["stime"]) for row in csv.DictReader(file))


PEERS = (
    Peer("psrecord", _psrecord, None, "psrecord.csv", _psrecord_cpu),
    Peer("Procpath", _procpath, None, "procpath.sqlite", _procpath_cpu),
    Peer("con-duct", None, _con_duct, "duct_usage.jsonl", _con_duct_cpu),
    Peer("denet", _loop("denet", "denet.jsonl"), None, "denet.jsonl", _denet_cpu),
    Peer("resource-tracker", _loop("resource-tracker", "tracker.csv"), None, "tracker.csv", _resource_tracker_cpu),
)


def installed() -> tuple[list[Peer], dict[str, str]]:
    """Those that can take part, and of all the version or that it is missing."""
    versions = {peer.name: peer.version() for peer in PEERS}
    return (
        [peer for peer in PEERS if versions[peer.name] is not None],
        {name: version or "missing" for name, version in versions.items()},
    )


@contextmanager
def running(command: Sequence[str], home: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A monitor that is interrupted at the end of the block, then killed with its children."""
    env = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}"}
    with open(home / "output", "wb") as output:
        process = subprocess.Popen(
            command, cwd=home, env=env, stdin=subprocess.PIPE, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen[bytes], patience_s: float = 2.0) -> None:
    """Several lose what they have not written yet unless they are interrupted as by Ctrl-C."""
    if process.stdin is not None:
        process.stdin.close()
    for number in (signal.SIGINT, signal.SIGTERM):
        if process.poll() is None:
            process.send_signal(number)
            try:
                process.wait(patience_s)
            except subprocess.TimeoutExpired:
                continue
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()

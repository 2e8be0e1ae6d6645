"""Other tools that run a command and report its usage: their command lines and reports."""

from __future__ import annotations

import csv
import json
import os
import shlex
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from benchmarks.harness.programs import BIN
from benchmarks.run.tool import Report, Tool, What, version_of_package

KIB, MIB = 1024, 1 << 20
FAST = 0.1
LAUNCH = Path(__file__).with_name("launch_peer.py")

CPU, MEMORY, IO = What.CPU, What.MEMORY, What.IO
LEFT_OUT = {"osmem": "neither starts nor follows a command: it shows the memory of all processes at one moment"}


# --- programs of the system


def _time(command: Sequence[str], home: Path, _: What) -> list[str]:
    return ["/usr/bin/time", "-f", "%U %S %M %O", "-o", str(home / "time"), *command]


def _time_report(home: Path) -> Report:
    # Before it there may be a line about the exit code.
    user, system, kib, blocks = (home / "time").read_text().splitlines()[-1].split()
    return Report(float(user) + float(system), int(kib) * KIB, int(blocks) * 512)


def _perf(command: Sequence[str], home: Path, _: What) -> list[str]:
    return ["perf", "stat", "-x", ",", "-e", "task-clock", "-o", str(home / "perf"), *command]


def _perf_report(home: Path) -> Report:
    for line in (home / "perf").read_text().splitlines():
        value, unit, event, *_ = [*line.split(","), "", ""]
        if event.startswith("task-clock"):
            return Report(float(value) / {"msec": 1e3, "": 1e9}[unit])
    raise ValueError("no task-clock")


def _runexec(command: Sequence[str], home: Path, _: What) -> list[str]:
    output = str(home / "runexec-output")
    return [str(BIN / "runexec"), "--no-container", "--quiet", "--output", output, "--", *command]


def _runexec_report(home: Path) -> Report:
    found = dict(line.partition("=")[::2] for line in (home / "stdout").read_text().splitlines())
    return Report(
        float(found["cputime"].removesuffix("s")),
        float(found["memory"].removesuffix("B")) if "memory" in found else None,
        float(found["blkio-write"].removesuffix("B")) if "blkio-write" in found else None,
    )


# --- Python packages


def _con_duct(interval: float | None) -> Tool:
    options = [] if interval is None else ["--sample-interval", f"{interval:g}"]

    def command(command: Sequence[str], home: Path, _: What) -> list[str]:
        return [str(BIN / "con-duct"), "run", "-l", "NONE", *options, "-p", str(home / "duct_"), *command]

    return Tool(_named("con-duct", interval), "con-duct", command, _con_duct_report, frozenset({CPU, MEMORY}),
                is_variant=interval is not None)  # fmt: skip


def _con_duct_report(home: Path) -> Report:
    summary = json.loads((home / "duct_info.json").read_text())["execution_summary"]
    cpu_s = float(summary["average_pcpu"] or 0) / 100 * float(summary["wall_clock_time"])
    return Report(cpu_s, float(summary["peak_rss"] or 0))


def _launched(name: str, interval: float, log: str) -> list[str]:
    return [sys.executable, str(LAUNCH), name, f"{interval:g}", log]


def _denet(command: Sequence[str], home: Path, _: What) -> list[str]:
    return [*_launched("denet", FAST, str(home / "denet.jsonl")), *command]


def _denet_report(home: Path) -> Report:
    """CPU as a percentage, each over the time since the sample before."""
    cpu, peak, written, before = 0.0, 0, 0, None
    for sample in map(json.loads, (home / "denet.jsonl").read_text().splitlines()):
        if sample.get("kind") == "tree":
            tree = sample["aggregated"]
            if before is not None:
                cpu += tree["cpu_usage"] / 100 * (sample["ts_ms"] - before) / 1000
            before = sample["ts_ms"]
            peak = max(peak, tree["mem_rss_kb"] * KIB)
            written = max(written, tree["disk_write_bytes"])
    return Report(cpu, peak, written)


def _resource_tracker(interval: float) -> Tool:
    def command(command: Sequence[str], home: Path, _: What) -> list[str]:
        return [*_launched("resource-tracker", interval, str(home / "tracker.csv")), *command]

    return Tool(_named("resource-tracker", interval if interval != 1 else None), "resource-tracker", command,
                _resource_tracker_report, frozenset(What), is_variant=interval != 1)  # fmt: skip


def _resource_tracker_report(home: Path) -> Report:
    rows = list(_rows(home / "tracker.csv"))
    if not rows:
        return Report()
    return Report(
        sum(float(row["utime"]) + float(row["stime"]) for row in rows),
        max(float(row["memory_mib"]) for row in rows) * MIB,
        sum(float(row["disk_write_bytes"]) for row in rows),
    )


def _psrecord(interval: float | None) -> Tool:
    options = [] if interval is None else ["--interval", f"{interval:g}"]

    def command(command: Sequence[str], home: Path, what: What) -> list[str]:
        with_io = ["--include-io"] if what is IO else []
        log = ["--log-format", "csv", "--log", str(home / "psrecord.csv")]
        return [str(BIN / "psrecord"), shlex.join(command), *options, *with_io, "--include-children", *log]

    return Tool(_named("psrecord", interval), "psrecord", command, _psrecord_report, frozenset(What),
                is_variant=interval is not None)  # fmt: skip


def _psrecord_report(home: Path) -> Report:
    cpu, peak, written, before = 0.0, 0.0, 0.0, 0.0
    for row in _rows(home / "psrecord.csv"):
        now = float(row["elapsed_time"])
        cpu += float(row["cpu"]) / 100 * (now - before)
        before = now
        peak = max(peak, float(row["mem_real"]) * MIB)
        written = max(written, float(row.get("write_bytes") or 0))
    return Report(cpu, peak, written)


def _procpath(interval: float) -> Tool:
    def command(command: Sequence[str], home: Path, what: What) -> list[str]:
        files = {CPU: "stat", MEMORY: "stat,smaps_rollup", IO: "stat,io"}[what]
        script = (
            '"$@" & pid=$!; "$PROCPATH" record --stop-without-result -f "$FILES" -i "$INTERVAL" -d "$DATABASE"'
            ' "\\$..children[?(@.stat.pid == $pid)]" & monitor=$!; wait $pid; status=$?; wait $monitor; exit $status'
        )
        given = {"PROCPATH": BIN / "procpath", "FILES": files, "INTERVAL": f"{interval:g}",
                 "DATABASE": home / "procpath.sqlite"}  # fmt: skip
        return ["env", *(f"{name}={value}" for name, value in given.items()), "sh", "-c", script, "sh", *command]

    return Tool(_named("Procpath", interval), "Procpath", command, _procpath_report, frozenset(What),
                is_variant=interval == FAST, starts=False)  # fmt: skip


def _procpath_report(home: Path) -> Report:
    """Of each process the last that was recorded, and of the tree the most that there ever was at once."""
    with closing(sqlite3.connect(home / "procpath.sqlite")) as database:
        columns = {row[1] for row in database.execute("PRAGMA table_info(record)")}

        def ask(total: str, each: str, column: str, by: str) -> float | None:
            if column not in columns:
                return None
            found: float | None
            [found] = next(database.execute(f"SELECT {total}(v) FROM (SELECT {each} AS v FROM record GROUP BY {by})"))
            return found

        process = "stat_pid, stat_starttime"
        ticks = ask("SUM", "MAX(stat_utime + stat_stime)", "stat_utime", process)
        written = ask("SUM", "MAX(io_write_bytes)", "io_write_bytes", process)
        peak = ask("MAX", "SUM(smaps_rollup_pss)", "smaps_rollup_pss", "ts")
    return Report(
        None if ticks is None else ticks / os.sysconf("SC_CLK_TCK"), None if peak is None else peak * KIB, written
    )


def _mprof(backend: str) -> Tool:
    def command(command: Sequence[str], home: Path, _: What) -> list[str]:
        options = ["--include-children", "--nopython", "--exit-code", "--backend", backend]
        return [str(BIN / "mprof"), "run", *options, "-o", str(home / "mprof"), *command]

    name = "memory_profiler" if backend == "psutil" else "memory_profiler PSS"
    return Tool(name, "memory-profiler", command, _mprof_report, frozenset({MEMORY}))


def _mprof_report(home: Path) -> Report:
    samples = [line.split() for line in (home / "mprof").read_text().splitlines() if line.startswith("MEM ")]
    return Report(peak_bytes=max(float(sample[1]) for sample in samples) * MIB)


def _gpu_tracker(interval: float | None) -> Tool:
    options = [] if interval is None else [f"--st={interval:g}"]

    def command(command: Sequence[str], home: Path, _: What) -> list[str]:
        units = ["--ru=bytes", "--tu=seconds", "--format=json", f"--output={home / 'gpu.json'}"]
        return [str(BIN / "gpu-tracker"), f"--execute={shlex.join(command)}", *units, *options]

    return Tool(_named("gpu-tracker", interval), "gpu-tracker", command, _gpu_tracker_report, frozenset({CPU, MEMORY}),
                is_variant=interval is not None, is_slow=True)  # fmt: skip


def _gpu_tracker_report(home: Path) -> Report:
    found = json.loads((home / "gpu.json").read_text())
    mean = found["cpu_utilization"]["combined"]["mean_sum_percent"]
    return Report(mean / 100 * found["compute_time"]["time"], found["max_ram"]["combined"]["total_rss"])


def _cmdbench(command: Sequence[str], home: Path, _: What) -> list[str]:
    return [str(BIN / "cmdbench"), "--save-json", str(home / "cmdbench.json"), shlex.join(command)]


def _cmdbench_report(home: Path) -> Report:
    [found] = json.loads((home / "cmdbench.json").read_text())
    return Report(found["cpu"]["total_time"], found["memory"]["max"], found["disk"]["write_bytes"])


# --- all of them


def _named(name: str, interval: float | None) -> str:
    return name if interval is None else f"{name} {interval:g} s"


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with open(path, newline="") as file:
        yield from csv.DictReader(file)


# BenchExec takes hierarchies of version 1 where there are any.
_BENCHEXEC = frozenset({1 if Path("/sys/fs/cgroup/cpuacct").exists() else 2})

PEERS = (
    Tool("GNU time", "time", _time, _time_report, frozenset(What)),
    Tool("perf stat", "perf", _perf, _perf_report, frozenset({CPU})),
    Tool("runexec", "BenchExec", _runexec, _runexec_report, frozenset(What), groups=_BENCHEXEC),
    _con_duct(None),
    _con_duct(FAST),
    Tool("denet", "denet", _denet, _denet_report, frozenset(What)),
    _resource_tracker(1),
    _resource_tracker(FAST),
    _psrecord(None),
    _psrecord(FAST),
    _procpath(1),
    _procpath(FAST),
    _gpu_tracker(None),
    _gpu_tracker(FAST),
    Tool("cmdbench", "cmdbench", _cmdbench, _cmdbench_report, frozenset(What), is_slow=True),
    _mprof("psutil"),
    _mprof("psutil_pss"),
)


def versions() -> dict[str, str | None]:
    """Of each package or program; None if it is missing."""
    return {tool.about: _version(tool.about) for tool in PEERS}


def _version(about: str) -> str | None:
    programs = {"time": ["/usr/bin/time", "--version"], "perf": ["perf", "--version"]}
    if about not in programs:
        return version_of_package(about)
    if shutil.which(programs[about][0]) is None:
        return None
    said = subprocess.run(programs[about], capture_output=True, text=True, check=False)
    line, *_ = [*(said.stdout or said.stderr).splitlines(), ""]
    return line.removeprefix(f"{about} ").removeprefix("version ") if said.returncode == 0 else None

"""Real programs under `prock run`: CPU time beside a control group, counts beside the kernel's proc connector."""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.harness.cgroup import new_account
from benchmarks.harness.chapter import Chapter, Table, Target, progress, render
from benchmarks.harness.command import machine
from benchmarks.harness.programs import Unavailable, compile_c
from benchmarks.run.execute import OTHER_UID
from benchmarks.run.prock_run import JSON, PROCK, document

CAP = "+dac_read_search"
USER = [
    "setpriv",
    f"--reuid={OTHER_UID}",
    f"--regid={OTHER_UID}",
    "--clear-groups",
    f"--inh-caps={CAP}",
    f"--ambient-caps={CAP}",
]
"""The capability lets it execute programs below a private home; it may write no more than other users."""
LOWEST, HIGHEST = 0.999, 1.002
SOURCES = 40


class Workload(NamedTuple):
    name: str
    program: str
    """That must be installed."""
    prepare: Callable[[Path], Sequence[str]]
    """Writes files into an empty directory and returns the command."""


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks real", description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="runs of each workload and user")
    parser.add_argument("--quick", action="store_true", help="as --runs 1")
    parser.add_argument("--markdown", action="store_true", help="print tables as Markdown")
    options = parser.parse_args(arguments)
    if os.geteuid() != 0:
        sys.exit("benchmarks: real: it makes control groups and listens to forks: run it as root")
    print(*(f"{name}: {value}" for name, value in machine().items()), "", sep="\n", flush=True)
    with tempfile.TemporaryDirectory(prefix="prock-bench-") as home:
        os.chmod(home, 0o755)
        chapter = measure(Path(home), 1 if options.quick else options.runs)
    progress.clear()
    print(*render(chapter, options.markdown), sep="\n")


class Run(NamedTuple):
    ratio: float
    """CPU time reported ÷ that of the control group."""
    upper_ratio: float | None
    is_counted: bool
    """Whether the number of processes is the connector's, or a lower bound and not more."""
    processes: int
    bias: str


def measure(home: Path, runs: int) -> Chapter:
    chapter = Chapter("Real programs")
    lines = []
    by_user: dict[str, list[Run]] = {"root": [], "user": []}
    charged = compile_c("charged", home)
    for workload in WORKLOADS:
        if shutil.which(workload.program) is None:
            chapter.notes.append(f"Skipped: {workload.name} ({workload.program} is not installed).")
            continue
        for user, before in (("root", []), ("user", USER)):
            progress(workload.name, "as", user)
            try:
                done = [run_once(workload, before, charged, home) for _ in range(runs)]
            except (Unavailable, subprocess.CalledProcessError) as reason:
                chapter.notes.append(f"Skipped: {workload.name} as {user} ({reason}).")
                continue
            by_user[user] += done
            lines.append(_line(workload.name, user, done))
    header = ("", "user", "processes", "CPU ÷ truth", "at most ÷ truth", "CPU bound holds", "count right", "CPU is")
    chapter.tables.append(Table("prock run: lowest to highest", header, lines))
    if by_user["root"]:
        ratios = [one.ratio for one in by_user["root"]]
        chapter.targets.append(Target("root: CPU ÷ truth, lowest", min(ratios), LOWEST, at_least=True))
        chapter.targets.append(Target("root: CPU ÷ truth, highest", max(ratios), HIGHEST))
    for user, done in by_user.items():
        wrong = [one for one in done if not (_holds(one) and one.is_counted)]
        chapter.targets.append(Target(f"{user}: runs with a bound or count that is wrong", len(wrong), 0))
    return chapter


def _holds(one: Run) -> bool:
    """A microsecond for rounding, a thousandth for what the group's clock and the run's begin at."""
    lower = one.ratio <= 1.001 if one.bias.startswith("lower") else LOWEST <= one.ratio <= HIGHEST
    return lower and (one.upper_ratio is None or one.upper_ratio >= 0.999)


def _line(name: str, user: str, done: list[Run]) -> list[str]:
    ratios = sorted(one.ratio for one in done)
    uppers = sorted(one.upper_ratio for one in done if one.upper_ratio is not None)
    return [
        name,
        user,
        f"{statistics.median(one.processes for one in done):.0f}",
        f"{ratios[0]:.4f} to {ratios[-1]:.4f}",
        f"{uppers[0]:.4f} to {uppers[-1]:.4f}" if uppers else "-",
        f"{sum(map(_holds, done))} of {len(done)}",
        f"{sum(one.is_counted for one in done)} of {len(done)}",
        ", ".join(sorted({one.bias.partition(",")[0].partition(":")[0] for one in done})),
    ]


def run_once(workload: Workload, before: Sequence[str], charged: Path, home: Path) -> Run:
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=home)))
        work = place / "work"
        work.mkdir()
        command = workload.prepare(work)
        for path in (place, work, *work.rglob("*")):
            os.chown(path, *([OTHER_UID] * 2 if before else [0, 0]))
        truth = stack.enter_context(new_account([1]))
        around = stack.enter_context(new_account([2]))
        truth.join_file.chmod(0o666)
        fifo = place / "began"
        os.mkfifo(fifo)
        fifo.chmod(0o666)
        reader = os.open(fifo, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        stack.callback(os.close, reader)
        join = [str(charged), str(truth.join_file), str(fifo)]
        outer = [PROCK, "run", "-q", "--json", str(place / JSON), "--", *join, *command]
        base_ns = truth.cpu_ns()
        with forks() as listener:
            process = subprocess.Popen(
                [str(charged), str(around.join_file), "-", *before, *outer],
                cwd=work,
                env={**os.environ, "HOME": str(work), "GOCACHE": str(work / "cache"), "GOFLAGS": "-mod=mod"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
            _, error = process.communicate()
            if process.returncode:
                raise Unavailable(error.decode(errors="replace").strip().splitlines()[-1][:100])
            descendants = listener.descendants(process.pid)
        return _judge(document(place), truth.cpu_ns() - base_ns + int(os.read(reader, 100).split()[1]), descendants)


def _judge(found: dict[str, Any], truth_ns: int, descendants: int) -> Run:
    sources = {source["figure"]: source["bias"] for source in found["sources"]}
    started, expected = found["processes_started"], descendants - 1  # without the launcher
    is_exact = sources["processes"] == "exact"
    upper_ns = found["cpu_upper_ns"]
    return Run(
        ratio=found["cpu_ns"] / truth_ns,
        upper_ratio=None if upper_ns is None else upper_ns / truth_ns,
        is_counted=started == expected or (not is_exact and started < expected),
        processes=started,
        bias=sources["cpu"],
    )


class Forks:
    """All forks of the machine, by the proc connector (CONFIG_PROC_EVENTS)."""

    def __init__(self, listening: socket.socket) -> None:
        self._socket = listening

    def descendants(self, pid: int) -> int:
        """Processes that this one, which has ended, and its descendants have started."""
        family, count = {pid}, 0
        while True:
            try:
                data = self._socket.recv(4096)
            except BlockingIOError:
                return count
            what = struct.unpack_from("=I", data, 36)[0]
            if what == 1:  # PROC_EVENT_FORK: pids and tgids of parent and child
                _, parent, child_tid, child = struct.unpack_from("=iiii", data, 52)
                if child_tid == child and parent in family:
                    family.add(child)
                    count += 1


@contextmanager
def forks() -> Iterator[Forks]:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, 11) as listening:
        listening.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
        listening.bind((0, 1))
        message = struct.pack("=IIIIHHI", 1, 1, 0, 0, 4, 0, 1)  # PROC_CN_MCAST_LISTEN
        listening.send(struct.pack("=IHHII", 16 + len(message), 3, 0, 0, os.getpid()) + message)
        yield Forks(listening)


def _c_sources(work: Path) -> list[str]:
    names = [f"part{number}" for number in range(SOURCES)]
    for name in names:
        (work / f"{name}.c").write_text(
            f'#include <stdio.h>\n#include <stdlib.h>\nint {name}(int n) {{ return n ? printf("%d", n) : rand(); }}\n'
        )
    (work / "main.c").write_text("int main(void) { return 0; }\n")
    return [*names, "main"]


def _make(work: Path) -> Sequence[str]:
    objects = " ".join(f"{name}.o" for name in _c_sources(work))
    (work / "Makefile").write_text(f"CFLAGS = -O1\nprogram: {objects}\n\t$(CC) -o $@ $^\n")
    return ["make", "-s", "-j2"]


def _ninja(work: Path) -> Sequence[str]:
    names = _c_sources(work)
    rules = ["rule cc", "  command = cc -O1 -c $in -o $out", "rule link", "  command = cc -o $out $in"]
    rules += [f"build {name}.o: cc {name}.c" for name in names]
    rules += [f"build program: link {' '.join(f'{name}.o' for name in names)}", ""]
    (work / "build.ninja").write_text("\n".join(rules))
    return ["ninja", "-j2"]


def _cargo(work: Path) -> Sequence[str]:
    (work / "src").mkdir()
    (work / "Cargo.toml").write_text('[package]\nname = "work"\nversion = "0.1.0"\nedition = "2021"\n')
    functions = "".join(
        f"pub fn f{n}(x: &[u64]) -> Vec<u64> {{ x.iter().map(|y| y + {n}).collect() }}\n" for n in range(200)
    )
    (work / "src" / "lib.rs").write_text(functions)
    return ["env", f"CARGO_HOME={work}/cargo", f"RUSTUP_HOME={_rustup()}", "cargo", "build", "--offline", "--release"]


def _rustup() -> Path:
    return Path(os.environ.get("RUSTUP_HOME", Path.home() / ".rustup"))


def _go(work: Path) -> Sequence[str]:
    (work / "go.mod").write_text("module example\n\ngo 1.18\n")
    (work / "main.go").write_text('package main\n\nimport "os"\n\nfunc main() { os.Stdout.WriteString("x") }\n')
    return ["go", "build", "-o", "program", "."]


def _pytest(work: Path) -> Sequence[str]:
    test = "import subprocess\ndef test_{0}(): assert subprocess.run(['true']).returncode == 0\n"
    (work / "test_work.py").write_text("".join(test.format(number) for number in range(100)))
    return [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_work.py"]


def _xz(work: Path) -> Sequence[str]:
    (work / "data").write_bytes(b"".join(b"%d %d\n" % (number, number * number) for number in range(300_000)))
    return ["xz", "-T2", "-6", "data"]


def _git(work: Path) -> Sequence[str]:
    identity = "git -c user.name=x -c user.email=x@example.org"
    script = "git init -q . && for i in $(seq 40); do echo $i >file$i && git add . && "
    return ["sh", "-c", f"{script} {identity} commit -q -m $i; done && git gc -q"]


def _tiny(_: Path) -> Sequence[str]:
    return ["sh", "-c", "i=0; while [ $i -lt 1000 ]; do /bin/true; i=$((i + 1)); done"]


WORKLOADS = (
    Workload("make -j2, gcc", "make", _make),
    Workload("ninja, gcc", "ninja", _ninja),
    Workload("cargo build", "cargo", _cargo),
    Workload("go build", "go", _go),
    Workload("pytest", sys.executable, _pytest),
    Workload("xz -T2", "xz", _xz),
    Workload("git, 40 commits", "git", _git),
    Workload("1000 tiny processes", "sh", _tiny),
)

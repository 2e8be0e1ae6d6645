"""The share of a tree's CPU time since the attach that a monitor reports in the end.

Truth: the CPU time of a control group that the workload joins before it begins, read at the attach and after the last
sample, when all processes have ended.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import psutil

import prock
from benchmarks.harness.cgroup import about_accounts
from benchmarks.harness.chapter import MISSING, Chapter, Table, Target, progress
from benchmarks.harness.programs import Unavailable, compile_c
from benchmarks.sampler.followers import How, sampler_of
from benchmarks.sampler.peers import Peer, installed, running
from benchmarks.workloads.work import Work, Workload, workload

LEDGER, PERF, PSUTIL = "ledger", "perf", "psutil loop"
FAST, SLOW = 0.1, 1.0
LAG_NS = 20_000_000 * (os.cpu_count() or 1)
"""Between the account and the clocks while threads run: each moves once a tick."""


class Pace(NamedTuple):
    scale: float
    """Size of the workloads. The CPU time of ended children is in ticks, which weigh more in small workloads."""
    peers: bool


THOROUGH = Pace(1.0, peers=True)
QUICK = Pace(0.2, peers=False)


def works(scale: float) -> list[Work]:
    def some(count: int) -> int:
        return max(1, round(count * scale))

    return [
        Work("steady", "steady", 1, some(1500) * 1000),
        Work("fork storm", "storm", some(2000), 2000),
        Work("fork storm, root reaped at once", "storm", some(1000), 2000, reaped_at_once=True),
        Work("orphans", "orphans", some(80), 25_000),
        Work("SIGCHLD ignored", "auto-reap", some(1000), 2000),
        Work("200 deep", "chain", 200, some(20_000)),
        Work("threads", "threads", some(20), 2000),
    ]


LOST = ("fork storm, root reaped at once", "orphans", "SIGCHLD ignored")
"""Where the ledger misses CPU time: of processes that no member waited for."""
HARD = ("fork storm", "orphans", "SIGCHLD ignored")


class Follower(Protocol):
    """Attached on construction."""

    def cpu_ns(self) -> int:
        """Of the tree, since the attach."""

    def close(self) -> None: ...


class Prock:
    def __init__(self, root: int, accounting: str) -> None:
        self._sampler = sampler_of(root, How(accounting, all=False))

    def cpu_ns(self) -> int:
        return self._sampler.sample().cpu_ns

    def close(self) -> None:
        self._sampler.close()


class Psutil:
    """Sum of the last known CPU time of each process; a process once seen is followed to its end."""

    def __init__(self, root: int) -> None:
        self._root = psutil.Process(root)
        self._alive: dict[psutil.Process, psutil.Process] = {}
        self._used: dict[psutil.Process, float] = {}
        self._base = 0.0
        self._base = self._read()

    def cpu_ns(self) -> int:
        return round((self._read() - self._base) * 1e9)

    def _read(self) -> float:
        try:
            found = [self._root, *self._root.children(recursive=True)]
        except psutil.NoSuchProcess:
            found = []
        for process in found:
            self._alive.setdefault(process, process)
        for process in list(self._alive):
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                del self._alive[process]
            else:
                self._used[process] = times.user + times.system
        return sum(self._used.values())

    def close(self) -> None:
        pass


@dataclass
class Seen:
    """Samples of one contestant and one workload."""

    share: float
    fell: int = 0
    """Samples below the one before."""
    over: int = 0
    """Samples above the account at that moment, by more than the lag and the steal time."""
    stolen: float = 0.0
    """Steal time of all processors meanwhile, as a share of the truth. Perf counts what was stolen from a running
    thread; the account and the clocks do not."""


Results = dict[str, dict[str, Seen]]
"""By workload and contestant."""


def chapter(temporary: Path, pace: Pace) -> Chapter:
    made = Chapter("Accuracy")
    try:
        truth = about_accounts()
    except Unavailable as reason:
        made.notes.append(f"Skipped: no control group for the reference value ({reason}).")
        return made
    peers, versions = installed() if pace.peers else ([], {})
    made.notes += [
        f"CPU time seen since the attach, in percent of the truth: {truth}.",
        "The root is reaped after the last sample, as by a parent that watches its child, unless stated otherwise.",
    ]
    if pace.scale < 1:
        made.notes.append(
            "The workloads are short, so that the ticks of ended children weigh: no target for the ledger there."
        )
    if versions:
        made.notes.append(f"Peers, each at {FAST:g} s: {', '.join(' '.join(pair) for pair in versions.items())}.")
    program = compile_c("work", temporary)
    contestants = _contestants()
    results: Results = {}
    for work in works(pace.scale):
        row = results.setdefault(work.title, {})
        for name, (follow, interval) in contestants.items():
            progress("accuracy:", work.title, name)
            try:
                row[name] = _watched(program, work, temporary, follow, interval)
            except prock.NotSupported:
                continue
        for peer in () if work.reaped_at_once else peers:
            progress("accuracy:", work.title, peer.name)
            share = _reported(program, work, temporary, peer)
            if share is not None:
                row[peer.name] = Seen(share)
    stolen = [seen.stolen * 100 for row in results.values() for name, seen in row.items() if name in contestants]
    made.notes.append(
        "Perf counts what the host of a virtual machine steals from a running thread. Stolen from all threads:"
        f" {statistics.median(stolen):.1f} % of the truth in the median, {max(stolen):.1f} % at most."
    )
    made.tables.append(_table(results, [*contestants, *(peer.name for peer in peers)]))
    made.targets = _targets(results, are_short=pace.scale < 1)
    made.raw = {"accuracy": {title: {name: vars(seen) for name, seen in row.items()} for title, row in results.items()}}
    return made


def ours(accounting: str, interval: float) -> str:
    return f"{accounting} {1 / interval:g} Hz"


def _contestants() -> dict[str, tuple[Callable[[int], Follower], float]]:
    found: dict[str, tuple[Callable[[int], Follower], float]] = {}
    for accounting in (LEDGER, PERF):
        for interval in (FAST, SLOW):
            found[ours(accounting, interval)] = (_prock(accounting), interval)
    found[PSUTIL] = (Psutil, FAST)
    return found


def _prock(accounting: str) -> Callable[[int], Follower]:
    return lambda root: Prock(root, accounting)


def _watched(
    program: Path, work: Work, temporary: Path, follow: Callable[[int], Follower], interval: float
) -> Seen:  # fmt: skip
    with workload(program, work, temporary) as run:
        run.start()
        follower = follow(run.await_root())
        try:
            before, stolen_before = run.account.cpu_ns(), stolen_ns()
            run.begin()
            seen, latest = Seen(0.0), 0
            due = time.monotonic()
            over = False
            while not over:
                due += interval
                over = _over_by(run, due)
                latest = _check(follower, run, before, seen, latest, stolen_ns() - stolen_before)
            used = run.account.cpu_ns() - before
            seen.share, seen.stolen = latest / used, (stolen_ns() - stolen_before) / used
            return seen
        finally:
            follower.close()


def _check(follower: Follower, run: Workload, before: int, seen: Seen, latest: int, stolen: int) -> int:
    now = follower.cpu_ns()
    seen.fell += now < latest
    seen.over += now > (run.account.cpu_ns() - before) * 1.005 + LAG_NS + stolen
    return now


def stolen_ns() -> int:
    """Steal time of this machine since boot."""
    return int(Path("/proc/stat").read_text().split(maxsplit=9)[8]) * 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def _over_by(run: Workload, due: float) -> bool:
    """Wait until then, or until all have ended; True if they have."""
    while (left := due - time.monotonic()) > 0:
        if run.is_over():
            time.sleep(0.05)  # the last process may still be on a processor
            return True
        time.sleep(min(left, 0.02))
    return False


def _reported(program: Path, work: Work, temporary: Path, peer: Peer) -> float | None:
    """The share that a peer reports. It gets time to begin, to see the end, and to write."""
    home = temporary / f"{peer.name}-{work.kind}"
    home.mkdir()
    with workload(program, work, temporary) as run:
        if peer.attach is not None:
            run.start()
            command = peer.attach(run.await_root(), FAST, home)
        else:
            assert peer.launch is not None
            command = peer.launch(run.command, FAST, home)
        with running(command, home) as process:
            _await_log(home / peer.log)
            run.await_root()
            before = run.account.cpu_ns()
            run.begin()
            while not run.is_over():
                time.sleep(0.02)
            time.sleep(3 * FAST)
            used = run.account.cpu_ns() - before
            run.reap()
            end = time.monotonic() + 1
            while process.poll() is None and time.monotonic() < end:
                time.sleep(0.02)
    try:
        return peer.cpu_s(home) * 1e9 / used
    except (OSError, ValueError, KeyError):
        return None


def _await_log(log: Path) -> None:
    end = time.monotonic() + 3
    while time.monotonic() < end and not (log.exists() and log.stat().st_size > 0):
        time.sleep(0.02)
    time.sleep(3 * FAST)


def _table(results: Results, names: list[str]) -> Table:
    lines = [
        [title, *(f"{row[name].share * 100:.1f}" if name in row else MISSING for name in names)]
        for title, row in results.items()
    ]
    return Table("CPU time seen, percent of the truth", ("", *names), lines)


def _targets(results: Results, *, are_short: bool) -> list[Target]:
    def percent(title: str, name: str) -> float | None:
        row = results.get(title, {})
        return row[name].share * 100 if name in row else None

    names = [ours(PERF, interval) for interval in (FAST, SLOW)]
    targets = [Target(f"{title}, {name}", percent(title, name), 96.5, True, " %") for name in names for title in HARD]
    names = [ours(LEDGER, interval) for interval in (FAST, SLOW)]
    waited = [title for title in results if title not in LOST and not are_short]
    targets += [Target(f"{title}, {name}", percent(title, name), 99, True, " %") for name in names for title in waited]
    mine = [seen for row in results.values() for name, seen in row.items() if name.startswith((LEDGER, PERF))]
    for accounting in (LEDGER, PERF):
        its = [seen for row in results.values() for name, seen in row.items() if name.startswith(accounting)]
        if its:
            most = max(seen.share for seen in its) * 100
            targets.append(Target(f"most that {accounting} ever saw", most, 100.5, unit=" %"))
    if mine:
        most = max(seen.share - seen.stolen for seen in mine) * 100
        targets += [
            Target("most that prock ever saw, less what the host stole", most, 100.5, unit=" %"),
            Target("samples that fell", sum(seen.fell for seen in mine), 0),
            Target("samples above the account", sum(seen.over for seen in mine), 0),
        ]
    return targets

"""Cost of a whole monitor: a process that follows CPU time and memory of 300 others ten times a second.

Its CPU time and that of its children, by a control group, from its start until a few seconds later.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.harness.cgroup import Account, new_account
from benchmarks.harness.chapter import MISSING, Chapter, Table, Target, progress
from benchmarks.harness.format import number
from benchmarks.harness.programs import BIN, Unavailable, compile_c
from benchmarks.sampler.peers import LOOPS, Peer, installed, running
from benchmarks.workloads.churn import Churn, churning
from benchmarks.workloads.forest import forest
from benchmarks.workloads.work import Work, workload

INTERVAL = 0.1
MEMBERS = 300
OTHERS = 2000
RUN_US = 20
"""Each member computes that long, ten times a second."""
REPLACED = 3
"""Of the members, ten times a second."""
START_S, PEER_START_S = 1.0, 2.5

WATCH, ROWS, TOP, PSUTIL = "prock.watch", "prock.watch, rows", "prock top --plain", "psutil loop"


class Pace(NamedTuple):
    seconds: float
    peers: bool


THOROUGH = Pace(4.0, peers=True)
QUICK = Pace(1.5, peers=False)


class Programs(NamedTuple):
    work: Path
    churn: Path
    forest: Path


def chapter(temporary: Path, pace: Pace) -> Chapter:
    made = Chapter("Whole monitors")
    peers, versions = installed() if pace.peers else ([], {})
    programs = Programs(*(compile_c(name, temporary) for name in ("work", "churn", "forest")))
    made.notes.append(
        f"CPU and RSS of {MEMBERS} processes at {INTERVAL:g} s; CPU time of the monitor, in percent of a processor,"
        f" over {pace.seconds:g} s after it has started. Lively: each member runs ten times a second. Still: none does."
        f" Churning: {REPLACED} of the members are replaced ten times a second, the others sleep, and {OTHERS}"
        " unrelated processes beside."
    )
    if versions:
        made.notes.append(f"Peers: {', '.join(' '.join(pair) for pair in versions.items())}.")
    try:
        with new_account():
            pass
    except Unavailable as reason:
        made.notes.append(f"Skipped, without a control group ({reason}).")
        return made
    lively = {name: _beside_lively(programs, command, temporary, pace) for name, command in _ours().items()}
    for peer in peers:
        lively[peer.name] = _peer_beside_lively(programs, peer, temporary, pace)
    found = {"lively": lively, "still": _beside_still(programs, temporary, pace)}
    found["churning"] = _beside_churning(programs, temporary, pace)
    lines = [[name, *(_text(column.get(name)) for column in found.values())] for name in lively]
    made.tables.append(Table("CPU time of a monitor, percent of a processor", ("", *found), lines))
    made.targets = [
        Target(f"{name}, {what}", column.get(name), 1, unit=" %")
        for what, column in found.items()
        for name in (WATCH, TOP)
    ]  # fmt: skip
    made.raw = {"monitors": found}
    return made


def _text(percent: float | None) -> str:
    return MISSING if percent is None else f"{number(percent)} %"


def _ours() -> dict[str, list[str]]:
    """Commands, to which pid and interval are added."""
    loop = [sys.executable, str(LOOPS)]
    return {
        WATCH: [*loop, "prock-watch"],
        ROWS: [*loop, "prock-rows"],
        TOP: [str(BIN / "prock"), "top", "--plain"],
        PSUTIL: [*loop, "psutil"],
    }


def _with_target(command: Sequence[str], pid: int) -> list[str]:
    return [*command, *(["--interval", f"{INTERVAL}", str(pid)] if "top" in command else [str(pid), f"{INTERVAL}"])]


def _beside_lively(programs: Programs, command: Sequence[str], temporary: Path, pace: Pace) -> float | None:
    progress("whole monitors, lively:", *command[1:])
    with _lively(programs) as pid:
        return _measured(_with_target(command, pid), temporary, START_S, pace)


@contextmanager
def _lively(programs: Programs) -> Iterator[int]:
    command = [str(programs.work), "-", "-", "stir", str(MEMBERS), str(RUN_US)]
    root = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert root.stdout is not None
        if root.stdout.readline() != "ready\n":
            raise RuntimeError("the lively tree couldn't be made")
        yield root.pid
    finally:
        root.communicate()


def _peer_beside_lively(programs: Programs, peer: Peer, temporary: Path, pace: Pace) -> float | None:
    progress("whole monitors, lively:", peer.name)
    home = temporary / f"monitor-{peer.name}"
    home.mkdir()
    if peer.attach is not None:
        with _lively(programs) as pid:
            return _measured(peer.attach(pid, INTERVAL, home), home, PEER_START_S, pace)
    assert peer.launch is not None
    # The monitor joins the account instead of the workload.
    with workload(programs.work, Work("lively", "stir", MEMBERS, RUN_US), home) as run:
        command = peer.launch([*run.command[:2], "-", *run.command[3:]], INTERVAL, home)
        return _measured(command, home, PEER_START_S, pace)


def _beside_still(programs: Programs, temporary: Path, pace: Pace) -> dict[str, float | None]:
    with forest(programs.forest, MEMBERS) as root:
        found = {}
        for name, command in _ours().items():
            progress("whole monitors, still:", name)
            found[name] = _measured(_with_target(command, root), temporary, START_S, pace)
        return found


def _beside_churning(programs: Programs, temporary: Path, pace: Pace) -> dict[str, float | None]:
    with ExitStack() as stack:
        stack.enter_context(forest(programs.forest, OTHERS, fanout=OTHERS))
        churn = stack.enter_context(churning(programs.churn, MEMBERS))
        stack.enter_context(_replacing(churn))
        found = {}
        for name, command in _ours().items():
            progress("whole monitors, churning:", name)
            found[name] = _measured(_with_target(command, churn.root), temporary, START_S, pace)
        return found


@contextmanager
def _replacing(churn: Churn) -> Iterator[None]:
    done = threading.Event()

    def replace() -> None:
        while not done.wait(INTERVAL):
            churn.replace(REPLACED)

    thread = threading.Thread(target=replace, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _measured(command: Sequence[str], home: Path, start_s: float, pace: Pace) -> float | None:
    """Percent of a processor; None if it ended before its time."""
    with new_account() as account, running(_joining(account, command), home) as process:
        time.sleep(start_s)
        before_ns, begin = account.cpu_ns(), time.monotonic()
        time.sleep(pace.seconds)
        used_ns, took_s = account.cpu_ns() - before_ns, time.monotonic() - begin
        if process.poll() is not None:
            return None
        return used_ns / took_s / 1e9 * 100


def _joining(account: Account, command: Sequence[str]) -> list[str]:
    return ["sh", "-ec", 'echo 0 > "$0"; exec "$@"', str(account.join_file), *command]

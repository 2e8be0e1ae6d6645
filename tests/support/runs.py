"""What tests of commands that are run and accounted for share."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import re
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import prock
from prock.engine.linux.mountinfo import cgroup2_home
from prock.runner.session import RunSession
from support.accounts import CpuReference, stolen_ns
from support.elsewhere import libc
from support.processes import POLL_S, PRELUDE, WORKER

MS = 1_000_000
JOINING_NS = 2 * MS
"""What a shell uses to enter a group, at most."""
START_NS = 4 * MS
"""What the start of a small shell costs, where the kernel doesn't tell."""
TICK_NS = 10 * MS
SH = shutil.which("sh") or "/bin/sh"
PYTHON = (WORKER, "-I", "-S", "-c")

TREES = (
    PRELUDE
    + """
def child(work):
    pid = os.fork()
    if pid == 0:
        work()
        ends()
    return pid
def orphan(work):
    "Handed to a new parent before it works, in a session of its own."
    reader, writer = os.pipe()
    def be_orphan():
        os.setsid()
        os.close(writer)
        os.read(reader, 1)
        work()
    os.waitpid(child(lambda: child(be_orphan)), 0)
    os.close(writer); os.close(reader)
def use(seconds):
    "More than what was used until now."
    until = time.process_time() + seconds
    while time.process_time() < until: pass
"""
)


def python(program: str, account: CpuReference | None = None) -> list[str]:
    """Each of its processes logs what it used where that is all that the account has."""
    log = "def log(): pass\ndef ends(): os._exit(0)\n" if account is None else account.join
    return [*PYTHON, f"{TREES}{log}{program}\nlog()"]


class Cost(NamedTuple):
    """Of a run, and what it really was."""

    result: prock.RunResult
    truth_ns: int
    start_ns: int
    """What it may have used more, before its account began: as the command itself says, for it differs by what starts
    it and by how busy the machine is."""
    stolen_ns: int
    """What the host may have taken while it ran; perf events count it."""
    is_guessed: bool
    """Whether a part of what perf events counted is taken off for that, which can be too much."""

    @property
    def by_source(self) -> dict[str, int]:
        return dict(self.result.cpu_by_source)


def joins(account: CpuReference, command: list[str]) -> list[str]:
    """The command, in that account before it does anything; what it has used until then is written down."""
    if not account.group:
        return command
    script = f"""read -r ran rest </proc/$$/schedstat
echo 0 >{account.group}/cgroup.procs
echo "$ran" >"{account.start}"
exec "$@\""""
    return [SH, "-c", script, SH, *command]


def measure(account: CpuReference, command: list[str], **options: Any) -> Cost:
    account.start.unlink(missing_ok=True)
    before_ns, stolen_before_ns = account.used_ns(), stolen_ns()
    result = prock.run(joins(account, command), **{"reap_orphans": True, "wait_all": True, **options})
    stolen = stolen_ns() - stolen_before_ns
    is_robbed = stolen_before_ns + stolen > 0
    return Cost(
        result,
        account.used_ns() - before_ns,
        JOINING_NS + int((account.group and account.start.read_text().strip()) or START_NS),
        stolen + (os.cpu_count() or 1) * TICK_NS if is_robbed else 0,
        stolen > 0 and "cgroup" not in dict(result.cpu_by_source),
    )


def groups(pid: int | None = None) -> list[str]:
    """Those that runs of a process have made and not removed."""
    home = cgroup2_home("/proc")
    names = os.listdir(home[1]) if home else []
    return [f"{home[1]}/{name}" for name in names if home and re.match(f"prock-run-.*-{pid or os.getpid()}-", name)]


def has_cgroups() -> bool:
    """Whether this user may make groups here."""
    from prock.accounting.cgroup import RunCgroup

    try:
        RunCgroup(prock.engine.active).close()
    except prock.NotSupported:
        return False
    return True


def has_perf() -> bool:
    try:
        prock.TreeSampler(accounting="perf").close()
    except (prock.AccessDenied, prock.NotSupported):
        return False
    return True


def is_public(path: str) -> bool:
    """Whether every user may execute it."""
    places = [Path(path).resolve(), *Path(path).resolve().parents]
    return all(place.stat().st_mode & stat.S_IXOTH for place in places)


def children_of(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def state_of(pid: int) -> str:
    """The letter; empty where there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def until(happened: Callable[[], Any]) -> Any:
    """The first true value."""
    while not (value := happened()):
        time.sleep(POLL_S)
    return value


def has_ended(pid: int) -> bool:
    return state_of(pid) in ("", "Z", "X")


@contextmanager
def opened(command: list[str], **options: Any) -> Iterator[prock.Popen]:
    """Whose tree ends with the block, whatever happens in it."""
    with prock.Popen(command, **options) as process:
        try:
            yield process
        finally:
            process.kill_tree(0)


def drive(running: RunSession, *, whole_tree: bool = False) -> None:
    """What a program does that has a loop of its own."""
    while not (running.is_over() if whole_tree else running.root_ended):
        running.step()


class _Filter(ctypes.Structure):
    _fields_ = [("code", ctypes.c_ushort), ("jt", ctypes.c_ubyte), ("jf", ctypes.c_ubyte), ("k", ctypes.c_uint32)]


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filters", ctypes.POINTER(_Filter))]


SYSCALLS = {
    "clone3": {"x86_64": 435, "aarch64": 435},
    "perf_event_open": {"x86_64": 298, "aarch64": 241},
    "pidfd_open": {"x86_64": 434, "aarch64": 434},
    "pidfd_send_signal": {"x86_64": 424, "aarch64": 424},
    "close_range": {"x86_64": 436, "aarch64": 436},
    "kcmp": {"x86_64": 312, "aarch64": 272},
    "waitid": {"x86_64": 247, "aarch64": 95},
    "wait4": {"x86_64": 61, "aarch64": 260},
    "rt_sigtimedwait": {"x86_64": 128, "aarch64": 137},
    "socketpair": {"x86_64": 53, "aarch64": 199},
}
OLDEST_OF_5_1 = 424
"""Linux 5.1 gave its new system calls one number on all machines; each later one has a larger."""


def refuse(call: str, error: int) -> None:
    """In this process and all that it starts from now on, for good: for a forked child."""
    number = SYSCALLS[call].get(platform.machine())
    assert number is not None, "needs_known_calls was forgotten"
    _filter(0x15, number, error)  # equal


def be_linux_4_18() -> None:
    """Like `refuse`, of all system calls that are newer."""
    _filter(0x35, OLDEST_OF_5_1, errno.ENOSYS)  # greater or equal


def _filter(comparison: int, number: int, error: int) -> None:
    filters = (_Filter * 4)(
        _Filter(0x20, 0, 0, 0),  # load the number of the call
        _Filter(comparison, 0, 1, number),  # not so: the next but one
        _Filter(0x06, 0, 0, 0x00050000 | error),  # SECCOMP_RET_ERRNO
        _Filter(0x06, 0, 0, 0x7FFF0000),  # SECCOMP_RET_ALLOW
    )
    program = _Program(len(filters), filters)
    zero = ctypes.c_ulong(0)
    assert libc.prctl(38, ctypes.c_ulong(1), zero, zero, zero) == 0  # PR_SET_NO_NEW_PRIVS
    assert libc.prctl(22, ctypes.c_ulong(2), ctypes.byref(program), zero, zero) == 0  # PR_SET_SECCOMP, a filter


def _can_filter() -> bool:
    return platform.machine() in SYSCALLS["clone3"] and "Seccomp:" in Path("/proc/self/status").read_text()


needs_filters = pytest.mark.skipif(not _can_filter(), reason="no seccomp filters, or of unknown numbers")


@contextmanager
def signal_handler(number: int, action: Any) -> Iterator[None]:
    import signal

    before = signal.signal(number, action)
    try:
        yield
    finally:
        signal.signal(number, before)

"""Processes that a test leaves behind."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

MARK = "PROCK_TEST"
"""Variable in the environment of all that a test starts."""


def children(pid: int | str = "self") -> set[int]:
    """Of all threads; empty where the process is gone."""
    found: set[int] = set()
    with suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            found.update(map(int, _read(pid, f"task/{thread}/children").split()))
    return found


def kill_all(left: set[int], mark: str) -> None:
    """Kill these children with their descendants, and orphans that have the mark or are forks of this process."""
    own = _identity("self")
    while True:
        doomed = set(left)
        for pid in left:
            doomed |= _descendants(pid)
        for name in filter(str.isdigit, os.listdir("/proc")):
            environment = _read(name, "environ").split(b"\0")
            is_orphan = _read(name, "stat").rpartition(b")")[2].split()[1:2] == [b"1"]
            if f"{MARK}={mark}".encode() in environment or (is_orphan and _identity(name) == own):
                doomed.add(int(name))
        doomed.discard(os.getpid())
        doomed = {pid for pid in doomed if _read(pid, "stat").rpartition(b")")[2].split()[:1] not in ([], [b"Z"])}
        for pid in doomed:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        for pid in left:
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)
        if not doomed:
            return


def _descendants(pid: int) -> set[int]:
    found = children(pid)
    return found.union(*map(_descendants, found))


def _identity(pid: int | str) -> tuple[object, ...]:
    """Equal for a process and its forks."""
    try:
        return _read(pid, "cmdline"), _read(pid, "environ"), os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return (pid,)


def _read(pid: int | str, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""

"""Run a function in a forked child: as another user, in other namespaces, under other limits."""

from __future__ import annotations

import ctypes
import os
import pickle
import signal
import traceback
from collections.abc import Callable
from typing import Any

import pytest

NOBODY = 65534
CLONE_NEWNS, CLONE_NEWPID = 0x20000, 0x20000000
MS_REC, MS_PRIVATE = 0x4000, 0x40000
PR_SET_DUMPABLE = 4
libc = ctypes.CDLL(None, use_errno=True)

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user or make namespaces")


def in_child(function: Callable[[], Any]) -> Any:
    """What the function returns, or the failure of its assertions, from a forked child."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            answer = (True, function())
        except BaseException:
            answer = (False, traceback.format_exc())
        os.write(writer, pickle.dumps(answer))
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        data = pipe.read()
    os.waitpid(pid, 0)
    assert data, "the child died without an answer"
    succeeded, answer = pickle.loads(data)
    assert succeeded, answer
    return answer


def become_nobody(uid: int = NOBODY) -> None:
    """As if started by an ordinary user: without the dumpable flag even one's own files below proc belong to root."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    libc.prctl(PR_SET_DUMPABLE, 1)


def unshare(flags: int) -> None:
    if libc.unshare(flags) != 0:
        pytest.skip(f"unshare: {os.strerror(ctypes.get_errno())}")


def as_first_of_a_namespace(function: Callable[[], Any], *, with_proc: bool) -> Any:
    """What the function returns in process 1 of a fresh PID namespace, with its own proc or (not) the one around it."""

    def first() -> Any:
        if with_proc:
            mount_proc("/proc", "")
        return function()

    def outside() -> Any:
        unshare(CLONE_NEWPID | CLONE_NEWNS)
        libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None)
        return in_child(first)

    return in_child(outside)


def fork_with_pid(pid: int) -> None:
    """A child that sleeps and has that pid in this namespace: wrapping its pid space by force."""
    while True:
        with open("/proc/sys/kernel/ns_last_pid", "w", encoding="ascii") as last:
            last.write(str(pid - 1))
        child = os.fork()
        if child == 0:
            signal.pause()
            os._exit(0)
        if child == pid:
            return
        os.kill(child, signal.SIGKILL)  # who had it is not quite gone yet
        os.waitpid(child, 0)


def mount_proc(directory: str, options: str) -> None:
    """In this process's own mount namespace."""
    libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None)
    if libc.mount(b"proc", directory.encode(), b"proc", 0, options.encode()) != 0:
        raise OSError(ctypes.get_errno(), "mount")

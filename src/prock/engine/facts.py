"""Further facts about one process, which no sample reads: user, directory, nice value, cgroup.

All raise `PermissionError` where access is denied, and another `OSError` where the process has ended.
"""

from __future__ import annotations

import os
import sys

from prock import engine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    import psutil

    Value = TypeVar("Value")


def directory(pid: int) -> str:
    """The working directory."""
    if not engine.active.reads_proc:
        return by_psutil(pid, lambda process: process.cwd())
    return os.readlink(f"{engine.active.root}/{pid}/cwd")


def users(pid: int) -> tuple[str, str]:
    """Names of the effective and of the real user; numbers of users without a name."""
    if sys.platform == "win32" or not engine.active.reads_proc:
        return (by_psutil(pid, lambda process: process.username()),) * 2
    with open(f"{engine.active.root}/{pid}/status", "rb") as file:
        real, effective = next(map(int, line.split()[1:3]) for line in file if line.startswith(b"Uid:"))
    return user_name(effective), user_name(real)


def user_name(uid: int) -> str:
    """The number itself where it has no name."""
    if sys.platform == "win32":
        return str(uid)
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def nice(pid: int) -> int:
    if sys.platform == "win32" or not engine.active.reads_proc:
        return by_psutil(pid, lambda process: int(process.nice()))
    return os.getpriority(os.PRIO_PROCESS, pid)


def cgroup(pid: int) -> str | None:
    """The path of its group in cgroup v2; None without cgroup v2."""
    if sys.platform != "linux" or not engine.active.reads_proc:
        return None
    from prock.engine.linux.mountinfo import cgroup2_name

    return cgroup2_name(engine.active.root, pid)


def by_psutil(pid: int, read: Callable[[psutil.Process], Value]) -> Value:
    import psutil

    try:
        return read(psutil.Process(pid))
    except psutil.AccessDenied:
        raise PermissionError from None
    except (psutil.Error, KeyError):  # KeyError: a user without a name
        raise OSError from None

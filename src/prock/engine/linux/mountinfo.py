"""What is mounted where, by ``/proc/self/mountinfo``, and in which cgroup this process is."""

from __future__ import annotations

import os

from prock._compat.namedtuple import NamedTuple


class Mount(NamedTuple):
    """A line of ``mountinfo``."""

    point: str
    root: str
    """The directory of the file system that is mounted."""
    options: tuple[str, ...]
    """Of the mount and of the file system."""


def mounts(proc: str, kind: str) -> list[Mount]:
    """Mounts of one type of file system, the last one on top; empty where proc does not tell."""
    found = []
    for line in lines(f"{proc}/self/mountinfo"):
        before, _, after = line.partition(" - ")
        fields, system = before.split(" "), after.split(" ")
        if system[0] == kind and len(fields) > 5 and len(system) > 2:
            options = (*fields[5].split(","), *system[2].split(","))
            found.append(Mount(_unquoted(fields[4]), _unquoted(fields[3]), options))
    return found


def cgroup2_home(proc: str, pid: int | None = None) -> tuple[Mount, str] | None:
    """Where cgroup v2 is mounted, and the directory of the group that a process is in (None: this one).

    The top of the mount where that directory can't be seen, as in a container. None: it is not mounted.
    """
    mounted = mounts(proc, "cgroup2")
    if not mounted:
        return None
    mount = mounted[0]
    return mount, group_directory(mount, cgroup2_name(proc, pid) or "/")


def group_directory(mount: Mount, name: str) -> str:
    """The directory of a group, by its path in ``/proc/PID/cgroup``; the top of the mount where it can't be seen."""
    below = name.removeprefix(mount.root) if mount.root != "/" else name
    return mount.point if ".." in below.split("/") else os.path.normpath(f"{mount.point}/{below}")


def cgroup2_name(proc: str, pid: int | None) -> str | None:
    """The path of the cgroup v2 that a process is in, as seen from this process's cgroup namespace.

    That of a zombie as well, with " (deleted)" after it if the group was removed.
    """
    found = lines(f"{proc}/{'self' if pid is None else pid}/cgroup")
    return next((line[3:] for line in found if line.startswith("0::")), None)


def lines(path: str) -> list[str]:
    try:
        # Only a newline ends one: names of directories may hold all else that Python takes for the end of a line.
        with open(path, encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            return file.read().removesuffix("\n").split("\n")
    except OSError:
        return []


def _unquoted(path: str) -> str:
    r"""``mountinfo`` writes a space as ``\040``."""
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        path = path.replace(code, character)
    return path

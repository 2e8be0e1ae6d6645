"""`OomKills`: processes that the kernel killed because memory ran out (OOM killer), by a cgroup's own count.

Cgroup v2 counts them in ``memory.events``, those in groups below included; v1 in ``memory.oom_control`` (Linux 4.13),
of the group alone. The group is the command's own if that has the memory controller, otherwise the nearest one around
it that counts: a process that was killed there need not be of this tree.
"""

from __future__ import annotations

import os

from prock.engine.linux.mountinfo import group_directory, lines, mounts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from prock.accounting.cgroup import RunCgroup


class OomKills:
    """Counts from its creation on. `pid`: a process in the group around the tree; None: this one."""

    def __init__(self, proc: str, pid: int | None, own: RunCgroup | None) -> None:
        found = [] if own is None else [f"{own.path}/memory.events"]
        self._own = found[0] if found else None
        found += (f"{directory}/memory.events" for directory in _upwards(proc, pid, "cgroup2"))
        found += (f"{directory}/memory.oom_control" for directory in _upwards(proc, pid, "cgroup"))
        self._file = next((path for path in found if _count(path) is not None), None)
        self._before = 0 if self._file is None else _count(self._file) or 0

    @property
    def is_own(self) -> bool:
        """Whether the group holds the command's tree alone."""
        return self._file is not None and self._file == self._own

    @property
    def group(self) -> str:
        """The directory of the group."""
        return os.path.dirname(self._file or "")

    def count(self) -> int | None:
        """Since its creation. None: no group counts them, or it was removed."""
        now = None if self._file is None else _count(self._file)
        return None if now is None else max(0, now - self._before)


def _upwards(proc: str, pid: int | None, kind: str) -> list[str]:
    """The directories of the process's group and of those around it, in a hierarchy that may count memory."""
    for mount in mounts(proc, kind):
        if kind == "cgroup" and "memory" not in mount.options:
            continue
        for line in lines(f"{proc}/{'self' if pid is None else pid}/cgroup"):
            _, _, named = line.partition(":")
            controllers, _, name = named.partition(":")
            if controllers == "" if kind == "cgroup2" else "memory" in controllers.split(","):
                directory = group_directory(mount, name)
                directories = [directory]
                while directory != mount.point and directory != os.path.dirname(directory):
                    directory = os.path.dirname(directory)
                    directories.append(directory)
                return directories
    return []


def _count(path: str) -> int | None:
    for line in lines(path):
        name, _, value = line.partition(" ")
        if name == "oom_kill" and value.isdigit():
            return int(value)
    return None

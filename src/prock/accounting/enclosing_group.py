"""`EnclosingGroup`: CPU time of a cgroup that a tree cannot leave, a bound from above that needs no privilege.

Cgroup v2 lets a process be moved only by a writer of ``cgroup.procs`` in the common ancestor of both groups, so it
stays below a group that has no writable ancestor. Cgroup v1 checks the destination alone, which may be anywhere: there
only the top of the mount holds. For root that is so as well where the top is not the hierarchy's root, as in a
container without CAP_SYS_ADMIN. Programs with more privileges than the user, such as sudo, can move themselves.

The root of the v2 hierarchy is not used: it counts by ticks, which is not a bound. That of v1 counts like other groups.
"""

from __future__ import annotations

import os
import time

from prock.engine.linux.mountinfo import cgroup2_home, lines, mounts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

MACHINE = "the whole machine"
V1_FILE, V2_FILE = "cpuacct.usage", "cpu.stat"
CAP_SYS_ADMIN = 21


class EnclosingGroup:
    """Measures from construction on. `proc`: root of the proc file system.

    `pids`: all processes of a tree that runs already; None: of a child of this process that does not run yet. Cost: two
    to four files to find the group, and one to read it.
    """

    def __init__(self, proc: str, pids: Collection[int] | None = None) -> None:
        self.name: str | None = None
        """Directory of the group, or `MACHINE`. None: the tree can leave every group, or none can be read."""
        self._path = _find(proc, pids) or ""
        self._before_ns = self._read()
        self._own_before_ns = time.process_time_ns()
        if self._before_ns is not None:
            directory, file = os.path.split(self._path)
            self.name = MACHINE if _is_hierarchy_root(directory) else directory
            self._has_own = pids is None or file == V1_FILE or _is_in(proc, directory)

    @property
    def source(self) -> tuple[str, str]:
        """Source and bias."""
        if self.name == MACHINE:
            return MACHINE, "upper bound: loose: it includes all other processes"
        return f"{self.name}", "upper bound: of a cgroup that the tree cannot leave"

    def growth_ns(self) -> int | None:
        """CPU time of all processes in the group since then, without this process. None: unknown."""
        own_ns = time.process_time_ns() - self._own_before_ns  # reading that clock adds it to the group, too
        now_ns = self._read()
        if self.name is None or self._before_ns is None or now_ns is None:
            return None
        return max(0, now_ns - self._before_ns - (own_ns if self._has_own else 0))

    def _read(self) -> int | None:
        try:
            with open(self._path, "rb", buffering=256) as file:
                first = file.readline().split()
            return int(first[0]) if len(first) == 1 else 1000 * int(first[1])  # usage_usec comes first
        except (OSError, ValueError, IndexError):
            return None


def _find(proc: str, pids: Collection[int] | None) -> str | None:
    """The file with the CPU time of the smallest group that holds."""
    if os.geteuid() == 0 and _may_mount(proc):
        return None
    if pids is not None and not all(_is_own(proc, pid) for pid in pids):  # another user may write other groups
        return None
    homes = [home for pid in (pids if pids is not None else [None]) if (home := cgroup2_home(proc, pid)) is not None]
    if homes and (pids is None or len(homes) == len(pids)):
        top = homes[0][0].point
        group = _smallest(top, os.path.commonpath([directory for _, directory in homes]))
        if group is not None and not _is_hierarchy_root(group):
            return f"{group}/{V2_FILE}"
    for mount in mounts(proc, "cgroup"):
        if "cpuacct" in mount.options:
            return f"{mount.point}/{V1_FILE}" if _smallest(mount.point, mount.point) else None
    return None


def _smallest(top: str, group: str) -> str | None:
    """The nearest group from `group` upwards that may not be written, nor any above it."""
    if _may_write(top):
        return top if os.geteuid() == 0 and not _is_hierarchy_root(top) else None
    found = directory = top
    for name in os.path.relpath(group, top).split("/"):
        directory = os.path.normpath(f"{directory}/{name}")
        if _may_write(directory):
            break
        found = directory
    return found


def _may_mount(proc: str) -> bool:
    """Whether this process, or a program that it executes, may have CAP_SYS_ADMIN."""
    bounding = next((line.split()[1] for line in lines(f"{proc}/self/status") if line.startswith("CapBnd:")), "f" * 16)
    return bool(int(bounding, 16) >> CAP_SYS_ADMIN & 1)


def _may_write(directory: str) -> bool:
    """Whether this user may move processes from it. By its owner, too: a mount that is read-only can be made again."""
    path = f"{directory}/cgroup.procs"
    try:
        return os.stat(path).st_uid == os.geteuid() or os.access(path, os.W_OK, effective_ids=True)
    except OSError:
        return True


def _is_hierarchy_root(directory: str) -> bool:
    """Only the root of v1 has ``release_agent``; only that of v2 lacks ``cgroup.type``, which v1 does not have."""
    if os.path.exists(f"{directory}/{V1_FILE}"):
        return os.path.exists(f"{directory}/release_agent")
    return not os.path.exists(f"{directory}/cgroup.type")


def _is_own(proc: str, pid: int) -> bool:
    try:
        return os.stat(f"{proc}/{pid}").st_uid == os.geteuid()
    except OSError:
        return False


def _is_in(proc: str, directory: str) -> bool:
    """Whether this process is below that group of cgroup v2."""
    home = cgroup2_home(proc)
    return home is not None and os.path.commonpath([home[1], directory]) == directory

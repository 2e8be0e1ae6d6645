"""What is known of a process when it is waited for: the kernel's own account of it and of all that it waited for.

The command's orphans come to this process to be waited for, where it is their subreaper (prctl(2),
PR_SET_CHILD_SUBREAPER, Linux 3.4). What nobody waits for, as its parent ignores SIGCHLD, is in no such account.

Each is looked at once more as a zombie, before it is reaped: ``/proc/PID/io`` then has what it and those it waited for
have read and written, and the root's CPU clock its own time without its children's. Files of a zombie are root's, so
the root's is opened while it lives, and another user's orphans are known from samples.
"""

from __future__ import annotations

import os

from prock._compat.signals import is_child, pidfd_of_child
from prock.accounting.protocol import ExitedChild
from prock.errors import ProckError
from prock.model import DiskIo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from prock.engine.protocol import Engine

ZERO_IO = DiskIo(0, 0, 0, 0, 0, 0, 0)

_roots: set[int] = set()
"""Of all runs of this process: none waits for another's."""
_left_behind: set[int] = set()
"""Orphans of runs that are over. They stay children of this process, and zombies until it waits for them."""


class LinuxWaiter:
    """The account of the root and of orphans that came to this process.

    `adopt`: be the subreaper, and reap whatever child of this process ends, apart from those that it had before and
    from the roots of other runs; not for a program that starts other children meanwhile: it could not wait for them.
    Without it only the root is waited for.
    """

    def __init__(self, engine: Engine, *, adopt: bool) -> None:
        reap_left_behind()
        self._engine = engine
        self._was_subreaper: bool | None = None
        self._io_file = -1
        self.adopts = adopt and self._become_subreaper()
        self._others = frozenset(engine.children(None) or ()) if self.adopts else frozenset()
        self.root_pid = 0
        self._root_handle = os.P_PID, 0
        self.user_ns = self.system_ns = 0
        self.minor_faults = self.major_faults = self.voluntary_switches = self.involuntary_switches = 0
        self.largest_bytes = 0
        """The largest resident set of one process, by ``ru_maxrss``."""
        self.disk_io: DiskIo = ZERO_IO
        self.refused_io = 0
        """Processes whose I/O counters the kernel refused."""
        self.orphans = 0
        """How many came to this process and were waited for."""
        self.root: ExitedChild | None = None
        """Once it has ended."""
        self.root_state: int | None = None
        """The signal that it is stopped by."""

    @property
    def total_ns(self) -> int:
        return self.user_ns + self.system_ns

    def begins(self, pid: int, used_ns: int, io: DiskIo | None) -> None:
        """The root's pid, and what its process had used and read before it executed the command."""
        self.root_pid = pid
        try:
            self._root_handle = os.P_PIDFD, pidfd_of_child(pid)
        except OSError:  # no pidfds: its pid is its own as long as nobody else waits for it
            self._root_handle = os.P_PID, pid
        _roots.add(pid)
        try:
            self._io_file = os.open(f"{self._engine.root}/{pid}/io", os.O_RDONLY)
        except OSError:
            pass
        self._used_ns = used_ns
        self._io_before = io or ZERO_IO

    def reap(self) -> list[ExitedChild]:
        """Wait for all who have ended, without waiting for anybody to end."""
        reaped = []
        while (pid := self._next()) is not None:
            ended = self._reap_one(pid)
            if ended is None:
                break
            reaped.append(ended)
        self._look_whether_stopped()
        return reaped

    def _next(self) -> int | None:
        """Somebody who has ended and is not reaped yet."""
        if not self.adopts:
            return None if self.root is not None else self.root_pid if _has_ended(*self._root_handle) else None
        pid = _has_ended(os.P_ALL, 0)
        if pid is None or not self._is_strange(pid):
            return pid
        # Who started that one is to wait for it; until then it is the first answer to every question for all.
        return next((child for child in self.children() if _has_ended(os.P_PID, child)), None)

    def _is_strange(self, pid: int) -> bool:
        return pid in self._others or (pid in _roots and pid != self.root_pid)

    def _notice_loss(self) -> None:
        """Whether somebody else has waited for the root, or nobody as SIGCHLD is ignored: its account is gone then."""
        try:  # without WEXITED the answer is the same for one that is a zombie since a moment ago
            os.waitid(*self._root_handle, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            _roots.discard(self.root_pid)
            self.root = ExitedChild(self.root_pid, 0, None)
            self.lost_root = True

    @property
    def holds_root(self) -> bool:
        """Whether the root's pid is still the root's: nobody has waited for it."""
        return self.root is None and is_child(*self._root_handle)

    holds_children = True
    lost_root = False
    """Whether the root's account, and how it ended, went to somebody else."""

    def _reap_one(self, pid: int) -> ExitedChild | None:
        own_ns, io = self._last_look(pid)
        try:
            found, status, usage = os.wait4(pid, os.WNOHANG)
        except ChildProcessError:
            found = 0
        if not found:  # another thread was quicker
            return None
        ended = ExitedChild(pid, os.waitstatus_to_exitcode(status), own_ns)
        user_ns, system_ns = round(usage.ru_utime * 1e9), round(usage.ru_stime * 1e9)
        if pid == self.root_pid:
            user_ns, system_ns = _less(user_ns, system_ns, self._used_ns)
            ended = ended._replace(own_ns=None if own_ns is None else max(0, own_ns - self._used_ns))
            io = None if io is None else io - self._io_before
            self.root = ended
            _roots.discard(pid)
        else:
            self.orphans += 1
        self.user_ns += user_ns
        self.system_ns += system_ns
        self.minor_faults += usage.ru_minflt
        self.major_faults += usage.ru_majflt
        self.voluntary_switches += usage.ru_nvcsw
        self.involuntary_switches += usage.ru_nivcsw
        self.largest_bytes = max(self.largest_bytes, usage.ru_maxrss * 1024)
        if io is None:
            self.refused_io += 1
        else:
            self.disk_io += io
        return ended

    def _last_look(self, pid: int) -> tuple[int | None, DiskIo | None]:
        """The root's own CPU time, and anybody's I/O."""
        try:
            own = self._engine.cpu_time(pid) if pid == self.root_pid else None
        except (ProckError, OSError):
            own = None
        try:
            io = self._engine.disk_io(pid)
        except (ProckError, OSError):
            io = self._io_of_root() if pid == self.root_pid else None
        return None if own is None else own.total_ns, io

    def _io_of_root(self) -> DiskIo | None:
        from prock.engine.pure import parse  # here, as root has no use for it

        try:
            return DiskIo(*parse.io(os.pread(self._io_file, 4096, 0)))
        except (ValueError, OSError):  # it executed what only root may look at
            return None

    def _look_whether_stopped(self) -> None:
        """And whether it is there at all: where somebody else reaps, other children can be left that go on."""
        if self.root is not None or not self.root_pid:
            self.root_state = None
            return
        try:
            found = os.waitid(*self._root_handle, os.WSTOPPED | os.WCONTINUED | os.WNOHANG)
        except ChildProcessError:
            self._notice_loss()
            return
        if found is not None and found.si_code in (os.CLD_STOPPED, os.CLD_CONTINUED):
            self.root_state = found.si_status if found.si_code == os.CLD_STOPPED else None

    def _become_subreaper(self) -> bool:
        try:
            self._was_subreaper = self._engine.subreaper(True)
        except OSError:
            return False
        return True

    def children(self) -> list[int]:
        """Of this process: the root while it lives, and orphans that came to it."""
        return [pid for pid in self._engine.children(None) or () if not self._is_strange(pid)]

    def send(self, number: int, /) -> bool:
        """It goes through a pidfd, where there is one."""
        return False

    def close(self) -> None:
        """Be no subreaper any more, if this process was none before. Who is orphaned from now on goes to init."""
        if self._was_subreaper is False:
            self._engine.subreaper(False)
        self._was_subreaper = None
        if self._io_file >= 0:
            os.close(self._io_file)
            self._io_file = -1
        kind, descriptor = self._root_handle
        if kind == os.P_PIDFD:
            os.close(descriptor)
            self._root_handle = os.P_PID, self.root_pid
        if self.adopts:
            _left_behind.update(self.children())
            self.adopts = False
        _roots.discard(self.root_pid)


def reap_left_behind() -> None:
    """Wait for orphans of earlier runs that have ended since."""
    for pid in list(_left_behind):
        try:
            found, _ = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:  # or it was a child of who this process was forked from
            found = pid
        if found:
            _left_behind.discard(pid)


def _has_ended(kind: int, who: int) -> int | None:
    """The pid of such a child that has, and is not reaped."""
    try:
        found = os.waitid(kind, who, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return None if found is None else found.si_pid


def _less(user_ns: int, system_ns: int, used_ns: int) -> tuple[int, int]:
    """Without what was used before, which was mostly in the kernel."""
    rest = max(0, used_ns - system_ns)
    return max(0, user_ns - rest), max(0, system_ns - used_ns)

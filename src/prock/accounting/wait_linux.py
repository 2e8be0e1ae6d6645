"""`LinuxWaiter`: reaps the root of a launched command and its orphans, and adds up what the kernel accounted to them.

Orphans are reparented to this process where it is a subreaper (prctl(2), PR_SET_CHILD_SUBREAPER, Linux 3.4): they
descend from it. Where it had other children, or is PID 1, which gets the orphans of the whole PID namespace, that does
not prove that they descend from the root: such an orphan is reaped, and counts only with other evidence. Children of a
parent that ignores SIGCHLD are in no process's account.

Each process is read once more as a zombie, before it is reaped: ``/proc/PID/io`` then includes what it and the children
that it reaped read and wrote, and the root's CPU clock is its own time without its children's. Only root may open files
of a zombie, so the root process's ``io`` is opened while it lives; other users' orphans are known from samples alone.
"""

from __future__ import annotations

import os
from _thread import RLock  # the module threading around it costs two milliseconds to import

from prock._compat.signals import is_child, kernel, pidfd_of_child
from prock.accounting.protocol import ExitedChild, RootWaiter, without_start
from prock.errors import ProckError, require_call
from prock.model import NO_IO, DiskIo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from prock.engine.protocol import Engine
    from prock.model import ProcessInfo

MOST_NAMED = 5
_roots: set[int] = set()
"""Roots of all runs of this process, and helpers: no run reaps another's."""
_left_behind: set[int] = set()
"""Orphans of runs that are over. They stay children of this process, and zombies until it reaps them."""


class LinuxWaiter(RootWaiter):
    """Reaps the root, and with `adopt` the orphans that are reparented to this process.

    `adopt`: be the subreaper and reap every child of this process that ends, except the children that it had before and
    the roots of other runs. Not for a program that starts other children meanwhile: it could not wait for them.
    """

    minor_faults: int
    major_faults: int
    voluntary_switches: int
    involuntary_switches: int
    disk_io: DiskIo

    def __init__(self, engine: Engine, *, adopt: bool) -> None:
        super().__init__()
        require_call("waitid", lambda: os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT))
        require_call("wait4", lambda: os.wait4(os.getpid(), os.WNOHANG))  # never its own child
        reap_left_behind()
        self._engine = engine
        self._was_subreaper: bool | None = None
        self._io_file = -1
        self.reaps_orphans = adopt and self._become_subreaper()
        self._others = self._older_children() if self.reaps_orphans else {}
        self.adoption_proves = os.getpid() != 1 and not self._others
        self._judged: dict[int, tuple[int, bool]] = {}
        """Start times of such orphans that are not reaped, and whether they count."""
        self._lock = RLock()  # a signal handler that sends a signal may interrupt `reap`
        self.minor_faults = self.major_faults = self.voluntary_switches = self.involuntary_switches = 0
        self.disk_io = NO_IO

    def set_root(self, pid: int, used_ns: int, io: DiskIo | None) -> None:
        """`used_ns`, `io`: what the process `pid` used and read before it executes the command."""
        self.root_pid = pid
        try:
            self.pidfd = pidfd_of_child(pid)
        except OSError:  # no pidfds: the pid is not reused unless other code reaps the process
            pass
        _roots.add(pid)
        try:
            self._io_file = os.open(f"{self._engine.root}/{pid}/io", os.O_RDONLY)
        except OSError:
            pass
        self.used_before_ns = used_ns
        self._io_before = io or NO_IO

    @property
    def _root_handle(self) -> tuple[int, int]:
        return (os.P_PIDFD, self.pidfd) if self.pidfd >= 0 else (os.P_PID, self.root_pid)

    def reap(self) -> None:
        with self._lock:
            while (pid := self._next_zombie()) is not None and self._reap_one(pid):
                pass
            self._check_stopped()

    def send(self, number: int, /) -> None:
        with self._lock:  # reaping needs this lock, so that the pid is not reused meanwhile
            if not self.holds_root:
                return
            if self.pidfd < 0:
                os.kill(self.root_pid, number)
                return
            try:
                kernel.pidfd_send_signal(self.pidfd, number)
            except ProcessLookupError:  # other code has reaped it
                pass

    def _next_zombie(self) -> int | None:
        if not self.reaps_orphans:
            return self.root_pid if self.root is None and _has_ended(*self._root_handle) else None
        pid = _has_ended(os.P_ALL, 0)
        if pid is None or not self._is_foreign(pid):
            return pid
        # The code that started that child has to reap it; until then waitid(P_ALL) returns it each time.
        return next((child for child in self._adopted() if _has_ended(os.P_PID, child)), None)

    def _older_children(self) -> dict[int, int]:
        """Pids and start times of the children that this process has already."""
        rows = [self._info(pid) for pid in self._engine.children(None) or () if pid not in _roots]
        return {row.pid: row.start_ticks for row in rows if row is not None}

    def _info(self, pid: int) -> ProcessInfo | None:
        try:
            return self._engine.info(pid)
        except ProckError:
            return None

    def _is_foreign(self, pid: int) -> bool:
        """Whether the code that started that child has to reap it."""
        if pid in _roots:
            return pid != self.root_pid
        if pid not in self._others:
            return False
        row = self._info(pid)
        return row is None or row.start_ticks == self._others[pid]  # otherwise the pid was reused

    def _adopted(self) -> list[int]:
        return [pid for pid in self._engine.children(None) or () if not self._is_foreign(pid)]

    def _belongs(self, pid: int) -> bool:
        if self.adoption_proves or pid == self.root_pid:
            return True
        row = self._info(pid)
        if row is None:
            return False
        start_ticks, belongs = self._judged.get(pid, (None, False))
        if start_ticks != row.start_ticks:
            belongs = self.is_member(row)
            self._judged[pid] = row.start_ticks, belongs
            self.unproved_count += not belongs
            if not belongs and len(self.unproved) < MOST_NAMED:
                self.unproved[row.identity] = row.comm
        return belongs

    @property
    def holds_root(self) -> bool:
        return self.root is None and is_child(*self._root_handle)

    def _reap_one(self, pid: int) -> bool:
        belongs = self._belongs(pid)
        own_ns, io = self._read_zombie(pid)
        row = self._info(pid) if pid == self.root_pid else None
        try:
            found, status, usage = os.wait4(pid, os.WNOHANG)
        except ChildProcessError:
            found = 0
        if not found:  # another thread was quicker
            return False
        self._judged.pop(pid, None)
        if not belongs:
            return True
        user_ns, system_ns = round(usage.ru_utime * 1e9), round(usage.ru_stime * 1e9)
        if pid == self.root_pid:
            user_ns, system_ns = without_start(user_ns, system_ns, self.used_before_ns)
            own_ns = None if own_ns is None else max(0, own_ns - self.used_before_ns)
            io = None if io is None else io - self._io_before
            # ru_maxrss includes the reaped children's; each of them had page faults.
            alone = row is not None and row.children_minor_faults == 0
            peak = usage.ru_maxrss * 1024 if alone else None
            self.root = ExitedChild(pid, os.waitstatus_to_exitcode(status), own_ns, peak)
            _roots.discard(pid)
        self.user_ns += user_ns
        self.system_ns += system_ns
        self.minor_faults += usage.ru_minflt
        self.major_faults += usage.ru_majflt
        self.voluntary_switches += usage.ru_nvcsw
        self.involuntary_switches += usage.ru_nivcsw
        self.largest_bytes = max(self.largest_bytes, usage.ru_maxrss * 1024)
        if io is None:
            self.denied_io += 1
        else:
            self.disk_io += io
        return True

    def _read_zombie(self, pid: int) -> tuple[int | None, DiskIo | None]:
        """The root's own CPU time; the I/O of any process."""
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
        except (ValueError, OSError):  # it executed a file that only root may read
            return None

    def _check_stopped(self) -> None:
        """Note whether the root is stopped, and whether other code has reaped it."""
        if self.root is not None or not self.root_pid:
            self.root_state = None
            return
        try:
            found = os.waitid(*self._root_handle, os.WSTOPPED | os.WCONTINUED | os.WNOHANG)
        except ChildProcessError:
            self._check_lost()
            return
        if found is not None and found.si_code in (os.CLD_STOPPED, os.CLD_CONTINUED):
            self.root_state = found.si_status if found.si_code == os.CLD_STOPPED else None

    def _check_lost(self) -> None:
        """Note whether other code has reaped the root, or SIGCHLD is ignored: its usage is lost then."""
        try:  # without WEXITED the error is the same for a root that became a zombie just now
            os.waitid(*self._root_handle, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            _roots.discard(self.root_pid)
            self.root = ExitedChild(self.root_pid, 0, None)
            self.lost_root = True

    def _become_subreaper(self) -> bool:
        try:
            self._was_subreaper = self._engine.subreaper(True)
        except OSError:
            return False
        return True

    def children(self) -> list[int]:
        if not self.reaps_orphans:
            return super().children()
        return [pid for pid in self._adopted() if self._belongs(pid)]

    def close(self) -> None:
        """Stop being a subreaper, unless this process was one before: later orphans go to init."""
        if self._was_subreaper is False:
            self._engine.subreaper(False)
        self._was_subreaper = None
        if self._io_file >= 0:
            os.close(self._io_file)
            self._io_file = -1
        with self._lock:
            if self.pidfd >= 0:
                os.close(self.pidfd)
                self.pidfd = -1
        if self.reaps_orphans:
            _left_behind.update(self._adopted())
            self.reaps_orphans = False
        _roots.discard(self.root_pid)


def reap_left_behind() -> None:
    """Reap orphans of earlier runs that have ended since."""
    for pid in list(_left_behind):
        try:
            found, _ = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:  # or it was a child of the process that this one was forked from
            found = pid
        if found:
            _left_behind.discard(pid)
            _roots.discard(pid)


def keep_helper(pid: int) -> None:
    """That child is of no run's tree, and is not reaped with it."""
    _roots.add(pid)


def forget_helper(pid: int, *, is_reaped: bool) -> None:
    """If it is not reaped, that is left to a later run."""
    if is_reaped:
        _roots.discard(pid)
    else:
        _left_behind.add(pid)


def _has_ended(kind: int, number: int) -> int | None:
    """The pid of such a child that is a zombie."""
    try:
        found = os.waitid(kind, number, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return None if found is None else found.si_pid

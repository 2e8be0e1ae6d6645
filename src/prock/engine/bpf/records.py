"""`ProcessRecords`: a record of each process that ends, made of the events of the eBPF programs."""

from __future__ import annotations

import os
import time

from prock import engine
from prock._compat.namedtuple import NamedTuple
from prock.engine.bpf import MOST_MEMBERS, RING_BYTES, open_recorder
from prock.engine.linux.procfs import PAGE_BYTES, TICK_NS
from prock.engine.protocol import WANT_STAT
from prock.model import DiskIo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from prock.model import ProcessInfo

    ReadArgs = Callable[[Sequence[ProcessInfo]], Sequence[tuple[str, ...] | None]]
    Key = tuple[int, int]
    """Pid, and start time in ns."""

FORK, EXEC, EXIT, FREE = 1, 2, 3, 4
"""As in native/bpf/events.h."""
MOST_PASSES = 100
"""Over a tree that forks while its members are added."""
UNREAPED_NS = 1_000_000_000
"""An ended process that its parent has not reaped for so long is reported all the same, as `reaped=False`."""


class EndDetails(NamedTuple):
    """Of the events EXIT and FREE: struct prock_bpf_end."""

    cpu_ns: int | None
    user_ns: int
    system_ns: int
    max_rss_pages: int
    rss_pages: int
    minor_faults: int
    major_faults: int
    io: tuple[int, ...]
    cgroup: int
    uid: int
    status: int


class EndedProcess(NamedTuple):
    """A process that has ended, as the kernel has counted it.

    - `pid`, `ppid`: Of the process, and of its parent when it ended; `ppid` 0 is unknown.
    - `tree`: Number under which its tree was added; 0 where all processes are recorded.
    - `comm`: Name at its end.
    - `cmdline`: Arguments of its last exec, or of its parent if it executed nothing, at most 4 KiB. None: unknown.
    - `start_ns`, `end_ns`: Of CLOCK_BOOTTIME; the end is when its last thread began to exit.
    - `cpu_ns`: CPU time of all its threads, to the nanosecond, the work of ending it included.
    - `user_ns`, `system_ns`: `cpu_ns` in the proportion of the ticks counted in each; None without ticks.
    - `peak_rss_bytes`: Peak RSS since its last exec, as the kernel counts it. None: unknown (before Linux 6.16, where
      the process had more before its exec).
    - `disk_io`: Its own I/O, without that of children. None: the kernel does not count it.
    - `minor_faults`, `major_faults`: Page faults.
    - `exit_code`: None if a signal ended it.
    - `signal`: Number of the signal that ended it, or None.
    - `uid`: Real user id at its end. None: unknown.
    - `cgroup`: Id of its cgroup v2 at its end. None: unknown.
    - `reaped`: False for a zombie; its CPU time is the one of its clock then.
    """

    pid: int
    ppid: int
    tree: int
    comm: str
    cmdline: tuple[str, ...] | None
    start_ns: int
    end_ns: int
    cpu_ns: int | None
    user_ns: int | None
    system_ns: int | None
    peak_rss_bytes: int | None
    disk_io: DiskIo | None
    minor_faults: int
    major_faults: int
    exit_code: int | None
    signal: int | None
    uid: int | None
    cgroup: int | None
    reaped: bool

    @property
    def wall_ns(self) -> int:
        return max(0, self.end_ns - self.start_ns)


class Living:
    """What is known of a process that has not been reported yet."""

    __slots__ = ("args", "comm", "exit", "exit_ns", "ppid", "reported", "rss_before_exec", "tree")

    def __init__(self, ppid: int, args: tuple[str, ...] | None, tree: int) -> None:
        self.ppid = ppid
        self.args = args
        self.tree = tree
        self.comm = b""
        self.rss_before_exec = 0  # pages
        self.exit_ns = 0
        self.exit: EndDetails | None = None
        self.reported = False


class ProcessRecords:
    """Records of all processes, or of the trees that are added. Raises `Unavailable`.

    `arguments`: keep the arguments as well, not only the name of the program. For one thread.
    """

    def __init__(
        self,
        *,
        everything: bool,
        arguments: bool = True,
        ring_bytes: int = RING_BYTES,
        most_members: int = MOST_MEMBERS,
    ) -> None:
        self._recorder = open_recorder(everything=everything, ring_bytes=ring_bytes, most_members=most_members)
        self._most_args = None if arguments else 1
        self._living: dict[Key, Living] = {}
        self._newest: dict[int, Key] = {}
        self._older: dict[int, tuple[ProcessInfo, tuple[str, ...] | None]] = {}
        self._ended: dict[Key, Living] = {}
        self._lost = 0
        self.running: set[int] = set()
        """Pids of members, while trees are recorded."""

    def __enter__(self) -> ProcessRecords:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        self._recorder.close()

    def add_older(self, info: ProcessInfo, args: tuple[str, ...] | None) -> None:
        """A process that was started before the recorder."""
        self._older[info.pid] = info, None if args is None else args[: self._most_args]

    def add(self, info: ProcessInfo, args: tuple[str, ...] | None, tree: int) -> bool:
        """Record this process, and what it starts from now on; False if it has ended. `tree`: above 0.

        Raises OSError if the map is full.
        """
        self._recorder.add(info.pid, tree)
        now = engine.active.info(info.pid)
        if now is None or now.identity != info.identity:
            self._recorder.remove(info.pid)  # else the next process with this pid would be a member
            return False
        self.add_older(info, args)
        self.running.add(info.pid)
        return True

    def add_tree(self, root: int, tree: int, read_args: ReadArgs | None = None) -> int:
        """Add a process and its descendants. Returns how many. `read_args`: returns their command lines.

        A child of a member is a member, so after a pass that finds no other process the tree is complete, except for
        orphans of processes that started and ended during a pass.
        """
        known: set[int] = set()
        for _ in range(MOST_PASSES):
            walk = engine.active.tree(root, WANT_STAT)
            infos = [row.info for row in walk[0] if row.info is not None] if walk is not None else []
            found = [info for info in infos if info.pid not in known]
            args = [None] * len(found) if read_args is None else read_args(found)
            for info, of_one in zip(found, args, strict=True):
                self.add(info, of_one, tree)
                known.add(info.pid)
            if not found:
                break
        return len(known)

    def members(self) -> set[int]:
        """Pids of the members that the kernel has not freed, zombies included; without `everything`."""
        return set(self._newest) | set(self._older)

    def wait(self, seconds: float) -> None:
        """Until that time is over, or the ring buffer fills."""
        self._recorder.wait(max(0, round(seconds * 1000)))

    def losses(self) -> tuple[int, int]:
        """How many events were lost as the ring buffer was full, and how many entries as a map was full."""
        return self._recorder.counters()

    def read(self, *, unreaped_ns: int = UNREAPED_NS) -> list[EndedProcess]:
        """The processes that were reaped since the last call, and the zombies that have been waiting for so long."""
        reports = []
        for kind, pid, ppid, tree, time_ns, start_ns, comm, details in self._recorder.read():
            key = (pid, start_ns)
            if kind == FORK:
                self._living[key] = Living(ppid, self._args_of(ppid), tree)
                self._newest[pid] = key
                if tree:
                    self.running.add(pid)
                continue
            living = self._living.get(key)
            if living is None:
                living = self._living[key] = self._find_older(pid, start_ns, tree)
                self._newest.setdefault(pid, key)
            if kind == EXEC:
                _, living.rss_before_exec, size, args = details
                living.args = split_arguments(args, size)[: self._most_args] or None
            elif kind == EXIT:
                living.ppid, living.comm, living.exit_ns, living.exit = ppid, comm, time_ns, EndDetails(*details)
                self._ended[key] = living
                self.running.discard(pid)
            else:
                self._forget(key)
                self.running.discard(pid)  # it was a zombie already when it was added
                self._older.pop(pid, None)
                if not living.reported:
                    living.comm = living.comm or comm
                    living.exit_ns = living.exit_ns or time_ns
                    reports.append(_report(key, living, EndDetails(*details), reaped=True))
        reports += self._unreaped(time.clock_gettime_ns(time.CLOCK_BOOTTIME) - unreaped_ns)
        self._drop_lost()
        return reports

    def _unreaped(self, before_ns: int) -> list[EndedProcess]:
        reports = []
        for key, living in self._ended.items():
            if living.exit_ns >= before_ns:
                break  # in order of time
            if not living.reported and living.exit is not None:
                living.reported = True
                cpu = engine.active.cpu_time(key[0]) if self._newest.get(key[0]) == key else None
                end = living.exit._replace(cpu_ns=None if cpu is None else cpu.total_ns)
                reports.append(_report(key, living, end, reaped=False))
        return reports

    def _args_of(self, pid: int) -> tuple[str, ...] | None:
        key = self._newest.get(pid)
        if key is not None:
            return self._living[key].args
        older = self._older.get(pid)
        return None if older is None else older[1]

    def _find_older(self, pid: int, start_ns: int, tree: int) -> Living:
        info, args = self._older.pop(pid, (None, None))
        if info is None or info.start_ticks != start_ns // TICK_NS:
            return Living(0, None, tree)
        return Living(info.ppid, args, tree)

    def _forget(self, key: Key) -> None:
        self._living.pop(key, None)
        self._ended.pop(key, None)
        if self._newest.get(key[0]) == key:
            del self._newest[key[0]]

    def _drop_lost(self) -> None:
        """Processes of which the end was lost."""
        lost = self._recorder.counters()[0]
        if lost == self._lost:
            return
        self._lost = lost
        pids = set(engine.active.pids())
        for key in [key for key in self._living if key[0] not in pids]:
            self._forget(key)


def split_arguments(args: bytes, size: int) -> tuple[str, ...]:
    r"""`size`: of all arguments, of which `args` may be the beginning.

    >>> split_arguments(b"ls\0-l\0", 6), split_arguments(b"", 0)
    (('ls', '-l'), ())
    """
    if not args:
        return ()
    if size <= len(args):
        args = args.removesuffix(b"\0")
    return tuple(map(os.fsdecode, args.split(b"\0")))


def _report(key: Key, living: Living, end: EndDetails, *, reaped: bool) -> EndedProcess:
    at_exit = living.exit
    cpu_ns, ticks_ns = end.cpu_ns, end.user_ns + end.system_ns
    user_ns = cpu_ns * end.user_ns // ticks_ns if cpu_ns is not None and ticks_ns else None
    peak_pages = end.max_rss_pages if end.max_rss_pages > living.rss_before_exec else None
    if at_exit is not None and at_exit.rss_pages:
        peak_pages = at_exit.rss_pages
    signal = end.status & 0x7F
    return EndedProcess(
        pid=key[0],
        ppid=living.ppid,
        tree=living.tree,
        comm=os.fsdecode(living.comm),
        cmdline=living.args,
        start_ns=key[1],
        end_ns=living.exit_ns,
        cpu_ns=cpu_ns,
        user_ns=user_ns,
        system_ns=None if user_ns is None or cpu_ns is None else cpu_ns - user_ns,
        peak_rss_bytes=None if peak_pages is None else peak_pages * PAGE_BYTES,
        disk_io=DiskIo(*at_exit.io) if at_exit is not None and at_exit.io else None,
        minor_faults=end.minor_faults,
        major_faults=end.major_faults,
        exit_code=None if signal else end.status >> 8 & 0xFF,
        signal=signal or None,
        uid=None if at_exit is None else at_exit.uid,
        cgroup=None if at_exit is None else at_exit.cgroup,
        reaped=reaped,
    )

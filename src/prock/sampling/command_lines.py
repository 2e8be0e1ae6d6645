"""`CommandLines`: the command lines of sampled processes, read beside the samples.

A read waits for the memory lock of its process, which can be held for long, or for ever by a process that wants that.
So a thread reads, and a reader that hangs delays neither samples nor the other command lines. Measured on Linux 6.18: a
read takes 6 µs, a thread for a batch 40 µs.
"""

from __future__ import annotations

import sys
import time
from _thread import allocate_lock, start_new_thread  # importing threading costs 2 ms

from prock._compat.signals import all_blocked
from prock.errors import ProckError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _thread import LockType
    from collections.abc import Container, Iterable

    from prock.engine.protocol import Engine
    from prock.model import Identity

LONGEST_BYTES = 4096
"""Of a command line that is kept."""
MOST_READERS = 4
"""Threads; more of them only if the others hang."""
STALE_NS = 1_000_000_000
"""Age of a request of which the pid may have been reused."""
FIRST_REREAD_NS, LAST_REREAD_NS = 50_000_000, 5_000_000_000
"""A program that executes another one of the same name shows no sign of that. It mostly does so early: reads are
repeated after this time, then after twice that, and so on up to the longest."""
WAIT_S, SHORT_WAIT_S = 0.2, 0.005
"""For a batch; the second where it delays other work. A read that hangs is waited for once."""
NEVER = sys.maxsize


class CommandLine:
    """Of one process."""

    __slots__ = ("args", "comm", "due_ns", "first_ns", "pid", "wanted_ns")

    def __init__(self, pid: int, comm: str, now_ns: int) -> None:
        self.pid = pid
        self.comm = comm
        self.args: tuple[str, ...] | None = None
        self.first_ns = self.wanted_ns = now_ns
        self.due_ns = 0


class CommandLines:
    """Reads each command line when the process is first wanted, when its name changes, and now and then after that.

    `arguments`: keep the arguments as well, not only the name of the program.
    """

    def __init__(self, engine: Engine, *, arguments: bool = True) -> None:
        self._engine = engine
        self._most = None if arguments else 1
        self._known: dict[Identity, CommandLine] = {}
        self._queue: list[CommandLine] = []
        self._readers = 0
        self._lock = allocate_lock()
        self.cost_ns = 0
        """CPU time of the readers."""

    def get(self, identity: Identity, comm: str) -> tuple[str, ...] | None:
        """As last read; None where it is unknown, also under this name."""
        line = self._known.get(identity)
        return None if line is None or line.comm != comm else line.args

    def __len__(self) -> int:
        return len(self._known)

    def forget(self, identity: Identity) -> None:
        self._known.pop(identity, None)

    def keep(self, identities: Container[Identity]) -> None:
        """Forget all others."""
        for identity in [identity for identity in self._known if identity not in identities]:
            del self._known[identity]

    def read(self, processes: Iterable[tuple[Identity, str]], *, wait_s: float = WAIT_S) -> None:
        """Read those that are due, and wait at most so long for it. `processes`: with their names."""
        now_ns = time.monotonic_ns()
        for identity, comm in processes:
            line = self._known.get(identity)
            if line is None:
                line = self._known[identity] = CommandLine(identity[0], comm, now_ns)
            elif comm != line.comm:
                line.comm, line.args, line.first_ns, line.due_ns = comm, None, now_ns, 0
            if now_ns >= line.due_ns:
                line.due_ns, line.wanted_ns = NEVER, now_ns
                self._queue.append(line)
        if not self._queue or self._readers >= MOST_READERS:
            return
        done = allocate_lock()
        done.acquire()
        with self._lock:
            self._readers += 1
        try:
            with all_blocked():
                start_new_thread(self._work, (done,))
        except RuntimeError:  # there can be no thread more
            with self._lock:
                self._readers -= 1
        else:
            done.acquire(timeout=wait_s)

    def _work(self, done: LockType) -> None:
        began_ns = time.thread_time_ns()
        try:
            while self._queue:
                self._read(self._queue.pop(0))
        except IndexError:  # another reader has taken the last one
            pass
        finally:
            with self._lock:
                self._readers -= 1
                self.cost_ns += time.thread_time_ns() - began_ns
            done.release()

    def _read(self, line: CommandLine) -> None:
        comm, args = line.comm, None
        if time.monotonic_ns() - line.wanted_ns < STALE_NS:
            try:
                args = self._engine.cmdline(line.pid, LONGEST_BYTES)
            except (ProckError, OSError, MemoryError):
                pass
        if line.comm == comm:
            if args is not None:  # else it may have ended meanwhile
                line.args = args[: self._most]
            now_ns = time.monotonic_ns()
            line.due_ns = now_ns + min(max(FIRST_REREAD_NS, now_ns - line.first_ns), LAST_REREAD_NS)

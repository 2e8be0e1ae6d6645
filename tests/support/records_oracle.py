"""Ring buffers of perf events read in plain Python: the oracle of ``native/perf/ring.c``."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
from struct import Struct

from prock.engine.protocol import RECORD_EXEC, RECORD_EXIT, RECORD_FORK, RECORD_RENAME, RECORD_STOPPED
from prock.engine.tuples import DrainedEvents, TaskEvent
from prock.errors import AccessDenied, NotSupported, OutOfDescriptors

EVENT = "perf events"
HEADER, IDS = Struct("=IHH"), Struct("=iiQ")
FOUR_IDS, TWO_IDS, LOST = Struct("=iiii"), Struct("=ii"), Struct("=QQ")
LONGEST = 128
COMM_MAX = 15
HEAD, TAIL = 1024 // 8, 1032 // 8
"""Places of the positions in a buffer's first page, in words."""
TYPE_MMAP, TYPE_LOST, TYPE_COMM, TYPE_EXIT, TYPE_FORK, TYPE_SWITCH = 1, 2, 3, 4, 7, 14
MISC_EXEC = MISC_OUT = 1 << 13
OTHER, IN, OUT, LOST_RECORDS, MAP = 0, 5, 6, 7, 9
"""Kinds of records that are no events."""
BODY = {TYPE_MMAP: 8, TYPE_LOST: 16, TYPE_COMM: 8, TYPE_EXIT: 24, TYPE_FORK: 24}
IOC_DISABLE = 0x20002401 if os.uname().machine in ("ppc64le", "sparc64") else 0x2401


def parse_record(data: bytes) -> TaskEvent:
    """One record, all of `data`. Of a LOST one, the number is where an event has the parent's pid."""
    if len(data) < HEADER.size:
        raise ValueError("no record")
    kind, misc, size = HEADER.unpack_from(data)
    if size < HEADER.size + BODY.get(kind, 0) + IDS.size or size > len(data):
        raise ValueError("no record")
    pid, tid, time_ns = IDS.unpack_from(data, size - IDS.size)
    if kind in (TYPE_FORK, TYPE_EXIT):
        pid, ppid, tid, ptid = FOUR_IDS.unpack_from(data, HEADER.size)
        return TaskEvent(RECORD_FORK if kind == TYPE_FORK else RECORD_EXIT, time_ns, pid, tid, ppid, ptid, None, 0)
    if kind == TYPE_COMM:
        pid, tid = TWO_IDS.unpack_from(data, HEADER.size)
        comm = data[HEADER.size + TWO_IDS.size : size - IDS.size][:COMM_MAX].partition(b"\0")[0]
        name = comm.decode("utf-8", "surrogateescape")
        return TaskEvent(RECORD_EXEC if misc & MISC_EXEC else RECORD_RENAME, time_ns, pid, tid, 0, 0, name, 0)
    if kind == TYPE_SWITCH:
        return TaskEvent(OUT if misc & MISC_OUT else IN, time_ns, pid, tid, 0, 0, None, 0)
    if kind == TYPE_MMAP:
        return TaskEvent(MAP, time_ns, pid, tid, 0, 0, None, 0)
    if kind == TYPE_LOST:
        return TaskEvent(LOST_RECORDS, time_ns, pid, tid, LOST.unpack_from(data, HEADER.size)[1], 0, None, 0)
    return TaskEvent(OTHER, time_ns, pid, tid, 0, 0, None, 0)


class _Ring:
    """One buffer. Python knows no memory barriers; x86 needs none here, and elsewhere the interpreter's own
    instructions between two steps have to do."""

    def __init__(self, descriptor: int, size: int) -> None:
        self._map = mmap.mmap(descriptor, mmap.PAGESIZE + size)
        self._bytes = memoryview(self._map)
        self._words = self._bytes[: mmap.PAGESIZE].cast("Q")
        self._data = self._bytes[mmap.PAGESIZE :]
        self._size = size
        self._at = self._head = 0
        self._front_size = 0
        self.front: TaskEvent | None = None
        self.lost = 0

    def look(self) -> None:
        self._head = self._words[HEAD]
        if (self._head - self._at) % 2**64 > self._size - LONGEST:
            self.lost += 1

    def _copy(self, length: int) -> bytes:
        start = self._at % self._size
        return bytes(self._data[start : start + length]) + bytes(self._data[: max(0, start + length - self._size)])

    def advance(self) -> TaskEvent | None:
        """Have the next record in `front`."""
        while self.front is None and self._at != self._head:
            left = (self._head - self._at) % 2**64
            length = HEADER.unpack(self._copy(HEADER.size))[2] if HEADER.size <= left <= self._size else 0
            if length < HEADER.size or length > left:
                self.lost += 1
                self._at = self._head
                continue
            if length <= LONGEST:
                try:
                    self.front = parse_record(self._copy(length))
                    self._front_size = length
                    break
                except ValueError:
                    self.lost += 1
            self._at = (self._at + length) % 2**64
        return self.front

    def take(self) -> None:
        self.front = None
        self._at = (self._at + self._front_size) % 2**64

    def give_back(self) -> None:
        self._words[TAIL] = self._at

    def close(self) -> None:
        for view in (self._words, self._data, self._bytes):
            view.release()
        self._map.close()


class PureRecords:
    def __init__(self, descriptors: list[int], switches: list[int], size: int) -> None:
        self._rings: list[_Ring] = []
        if switches and len(switches) != len(descriptors):
            raise ValueError("as many events of switches as others, or none")
        if not descriptors or size < mmap.PAGESIZE or size & (size - 1):
            raise NotSupported(EVENT)
        self._descriptors, self._switches_of = list(descriptors), list(switches)
        self._cpus = len(descriptors)
        self._running: list[tuple[int, int] | None] = [None] * self._cpus
        self._ran: dict[int, int] = {}
        self._switches = 0
        self._executing: set[int] = set()
        self._owner = os.getpid()
        try:
            for descriptor in descriptors + switches:
                self._rings.append(_Ring(descriptor, size))
        except (OSError, ValueError) as error:
            self.close()
            code = error.errno if isinstance(error, OSError) else errno.EINVAL
            if code in (errno.EPERM, errno.EACCES):
                raise AccessDenied(os.getpid(), EVENT) from None
            if code == errno.EINVAL:
                raise NotSupported(EVENT) from None
            if code == errno.EMFILE:  # mmap keeps a copy of each
                raise OutOfDescriptors(len(descriptors + switches)) from None
            raise

    def _check(self) -> None:
        if not self._rings or self._owner != os.getpid():
            raise ValueError("these records are closed, or belong to the process that this was forked from")

    def drain(self, until_ns: int, /) -> DrainedEvents:
        self._check()
        for ring in self._rings:
            ring.look()
        events: list[TaskEvent] = []
        while True:
            first: TaskEvent | None = None
            for place, ring in enumerate(self._rings):
                front = ring.advance()
                if front is not None and (first is None or front[1] < first[1]):
                    first, at = front, place
            if first is None or first[1] > until_ns:
                break
            self._take_in(first, at, events)
            self._rings[at].take()
        for ring in self._rings:
            ring.give_back()
        lost = [ring.lost for ring in self._rings]
        return DrainedEvents(events, sum(lost[: self._cpus]) % 2**64, self._switches, sum(lost[self._cpus :]) % 2**64)

    def _take_in(self, event: TaskEvent, place: int, events: list[TaskEvent]) -> None:
        kind = event[0]
        if kind == LOST_RECORDS:
            self._rings[place].lost += event[4]
        elif kind in (RECORD_FORK, RECORD_RENAME):
            events.append(event)
        elif kind in (RECORD_EXIT, RECORD_EXEC):
            event = event._replace(cpu_ns=self._follow(event, place % self._cpus))
            if kind == RECORD_EXEC:
                self._executing.add(event[2])
            elif event[2] in self._executing:
                self._executing.remove(event[2])
                event = event._replace(kind=RECORD_STOPPED)
            events.append(event)
        elif kind == MAP:
            self._executing.discard(event[2])
        elif kind in (IN, OUT):
            self._switches += 1
            self._follow(event, place % self._cpus)

    def _follow(self, event: TaskEvent, cpu: int) -> int:
        """Of one CPU: who runs there now, and for how long the one before did. By CPU, as a thread may change its tid:
        one that executes gets its leader's."""
        if not self._switches_of:
            return 0
        kind, time_ns, pid = event[:3]
        running = self._running[cpu]
        if kind != IN and running is not None and running[0] and time_ns > running[1]:
            self._ran[running[0]] = (self._ran.get(running[0], 0) + time_ns - running[1]) % 2**64
        self._running[cpu] = (pid, time_ns) if kind in (IN, RECORD_EXEC) else None
        return self._ran.pop(pid, 0) if kind in (RECORD_EXIT, RECORD_EXEC) else 0

    def totals(self) -> tuple[int, int]:
        self._check()
        total_ns = lost = 0
        for descriptor in self._descriptors:
            values = memoryview(os.read(descriptor, 32)).cast("Q")
            total_ns += values[0]
            lost += values[1] if len(values) > 1 else 0
        return total_ns, lost

    def stop_switches(self) -> None:
        self._check()
        for descriptor in self._switches_of:
            fcntl.ioctl(descriptor, IOC_DISABLE, 0)

    def close(self) -> None:
        rings, self._rings = self._rings, []
        for ring in rings:
            ring.close()

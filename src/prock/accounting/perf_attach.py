"""`TaskClocks`: perf events of a tree that runs already. Each thread and process is counted by exactly one event.

A thread that existed before its creator had an event needs its own. A thread that its creator started afterwards
inherits the creator's event, and would count twice with one of its own. The first pass runs before any event is opened:
all threads that it finds need one. Later passes decide by pid. The kernel allocates pids and tids in sequence, and the
last allocated one is noted before and after each event is opened: a thread with a number from before inherited nothing.

A number from afterwards does not prove the opposite. A fork first copies the events, then the memory, and allocates the
pid at the end (Linux 6.18; of 30 forks of a 200 MB process with an event opened meanwhile, 15 children had a later
number and no event). This can be true only of the first child, as a thread forks one at a time, and not if the thread
sleeps while its event is opened. Such a child is an `UncertainFork`, and CPU time decides: the child gets an event, and
its parent a second one, which the child cannot have inherited. If the child inherited the first event, that has all
that the child uses beyond the second. What it lacks is counted from the child's own event. So nothing counts twice in
either case, and once the child has used some milliseconds it is decided; later only if the parent forked again just
when its second event was opened, as that child blurs the comparison while it runs.

Alternatives: to open events again until no pid was allocated meanwhile does not see the fork in flight, and may not end
beside a fork storm; to stop the tree would disturb it.
"""

from __future__ import annotations

import errno
import os
import time
from _thread import get_native_id  # the module threading around it costs two milliseconds to import

from prock._compat import fork
from prock.accounting.perf_clock import is_event
from prock.errors import NotSupported, OutOfDescriptors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from prock.engine.protocol import CompiledCore, Engine

PASSES = 10
"""At most. A pass that opens nothing is the last: mostly the second, in a fork storm the third or fourth."""
PAUSE_S = 0.0005
"""Between the first two passes where a fork may be in flight; doubled each time."""
FORK_NS, FORK_NS_PER_KB = 1_000_000, 100
"""A fork takes less CPU time than this; 8 ms for 200 MB were measured."""
DECISIVE_NS = 1_000_000
"""Events of one thread differ by less: by parts of a microsecond for each context switch."""


class PidSequence:
    """The order in which the kernel allocates pids and tids, from the beginning of the attachment on."""

    def __init__(self, engine: CompiledCore) -> None:
        self._engine = engine
        self._size = engine.pid_limit()
        self._first = engine.last_pid()

    def allocated(self) -> int:
        """How many were allocated."""
        return (self._engine.last_pid() - self._first) % self._size

    def position(self, tid: int) -> int:
        """Position in the sequence; 0 for all that were allocated before, also where the pid space has wrapped."""
        position = (tid - self._first) % self._size
        return position if position <= self.allocated() else 0


class ThreadEvent:
    """A thread and the event that was opened for it."""

    __slots__ = ("event", "first_child_seen", "pid", "since", "tid", "until")

    def __init__(self, pid: int, tid: int, event: int, since: int, until: int) -> None:
        self.pid = pid
        self.tid = tid
        self.event = event
        self.since = since
        """Threads up to this position did not inherit the event."""
        self.until = until
        """Threads after this position that this thread started inherited it, except perhaps the first."""
        self.first_child_seen = False


class Member:
    """A process whose existing threads got events."""

    __slots__ = ("doubt", "inherited", "sources")

    def __init__(self, doubt: UncertainFork | None) -> None:
        self.doubt = doubt
        self.sources: dict[int, ThreadEvent] = {}
        self.inherited: set[int] = set()


class UncertainFork:
    """A process, with all that it started, that either inherited events from some of `sources` or did not.

    The first source is its parent, unless the child was reparented to that by a subreaper or when a thread ended; the
    others are all threads that have ended.
    """

    def __init__(self, engine: CompiledCore, sources: list[int]) -> None:
        self._engine = engine
        self._sources = sources
        self.events: list[int] = []
        self.second: list[int] = []
        """The second event of the parent, if that lives."""
        self.doubts: list[UncertainFork] = []
        """Its own children that it may have been forking when its event was opened."""
        self.is_clean = True
        """Whether no later child can be in the first event of the parent but not in the second."""
        self._kept_ns = 0
        self.rebase()

    def descriptors(self) -> list[int]:
        found = self.events + self.second
        for doubt in self.doubts:
            found += doubt.descriptors()
        return found

    def lose_events(self, events: list[int], settled: UncertainFork) -> None:
        """`events` are about to be closed, as what they count is in the events that `settled` inherited.

        If this process inherited one of `events`, it inherited those as well.
        """
        if not set(events).isdisjoint(self._sources):
            self._kept_ns += self.read()[1]
            self._sources = list(dict.fromkeys([*self._sources, *settled._sources]))
            self._sources = [source for source in self._sources if source not in events]
            self.rebase()
        for doubt in self.doubts:
            doubt.lose_events(events, settled)

    def rebase(self) -> None:
        """Compare from now on. The order of reads, here and in `read`, rather attributes too much to the sources."""
        sources_ns = self._engine.read_task_clocks(self._sources)
        self._used_before_ns = self._used_ns()
        self._beyond_before_ns = sources_ns - self._engine.read_task_clocks(self.second)

    def read(self) -> tuple[int, int]:
        """CPU time since `rebase`, and a lower bound of the part that no other event has."""
        second_ns = self._engine.read_task_clocks(self.second)
        used_ns = self._used_ns() - self._used_before_ns
        beyond_ns = self._engine.read_task_clocks(self._sources) - second_ns - self._beyond_before_ns
        return used_ns, max(0, used_ns - max(0, beyond_ns))

    def own_ns(self) -> int:
        """Lower bound of the total that no other event has."""
        return self._kept_ns + self.read()[1]

    def inherited(self) -> bool | None:
        """None: undecided."""
        used, own = self.read()
        if own > max(DECISIVE_NS, used // 10):  # after inheriting there would be no own part
            return False
        if used < 4 * DECISIVE_NS:
            return None
        if self.is_clean:
            return True
        self._kept_ns += own  # a later child may have blurred this comparison
        self.rebase()
        return None

    def _used_ns(self) -> int:
        return sum(doubt.own_ns() for doubt in self.doubts) + self._engine.read_task_clocks(self.events)


class TaskClocks:
    """The events of the trees below some processes, summed up.

    A process that has ended adds nothing and needs no `descriptors`. Trees may overlap: no thread counts twice within
    one object. Source and bias: `prock.accounting.perf_clock`. Cost: 60 to 80 µs a thread to attach, 6 of them for the
    event, the others for the proof that the thread sleeps and for two passes over the tree, more where something forks;
    a microsecond an event to read. Where threads run, attaching waits until no fork of theirs can be in flight: a
    millisecond, longer for large processes.

    Raises `AccessDenied` where the kernel refuses the event of any thread (another user's process, a high
    kernel.perf_event_paranoid, a sandbox), `OutOfDescriptors` where more than `limit` or more than available are
    needed, and `NotSupported` without perf events, without CONFIG_PROC_CHILDREN, and for another PID namespace's /proc.
    Then no descriptor stays open.
    """

    source = "perf"

    def __init__(self, root_pids: Iterable[int], engine: Engine, limit: int) -> None:
        self._events: list[int] = []  # first, so that close() works whatever fails below
        self._doubts: list[UncertainFork] = []
        self.descriptors = 0
        """Number of open descriptors."""
        self._is_closed = False
        core = engine.core
        if core is None:
            raise NotSupported(f"perf events: only the compiled core opens them, and the engine is {engine.name}")
        if not engine.clocks_usable:
            raise NotSupported("perf events by way of another PID namespace's proc")
        self._engine = core
        self._limit = limit
        self._members: dict[int, Member | None] = {}  # None: inherited, as all that it starts
        self._maybe_forking: list[ThreadEvent] = []
        self._missed = self._settled_ns = self._most_ns = 0
        fork.register(self)
        try:
            self._attach(list(root_pids))
        except BaseException as error:
            opened = self.descriptors
            self.close()
            if type(error) is OSError and error.errno in (errno.EMFILE, errno.ENFILE):
                raise OutOfDescriptors(opened) from error
            raise
        finally:
            self._members.clear()
            self._maybe_forking.clear()

    @property
    def missed(self) -> int:
        """Threads and processes found while attaching that may not be counted in full.

        Whether they inherited an event is undecided, and counting a process twice would be worse.
        """
        return self._missed + sum(not doubt.is_clean for doubt in self._doubts)

    def total_ns(self) -> int:
        """CPU time of the trees since they were attached to. Never decreases.

        Raises `ValueError` after `close`, and `OSError` where other code closed the descriptors: their numbers may
        belong to other files now, and are not read.
        """
        if self._is_closed:
            raise ValueError("these events are closed, or belong to the process that this one was forked from")
        if self._events and not is_event(self._events[0]):
            raise OSError(errno.EBADF, "other code closed the descriptors of the perf events")
        doubtful = self._settle_doubts()
        self._most_ns = max(self._most_ns, doubtful + self._engine.read_task_clocks(self._events))
        return self._most_ns

    def close(self) -> None:
        """Stop counting. Idempotent."""
        self._is_closed = True
        events, self._events = self._events, []
        doubts, self._doubts = self._doubts, []
        self._close(events)
        for doubt in doubts:
            self._close(doubt.descriptors())

    def after_fork(self) -> None:
        """Close the copies in the child, where the events would keep counting after the parent has closed its own."""
        self.close()

    def __del__(self) -> None:
        self.close()

    def _attach(self, roots: list[int]) -> None:
        self._pids = PidSequence(self._engine)
        pause = PAUSE_S
        for _ in range(PASSES):
            settled, opened, before = not self._maybe_forking, self.descriptors, self._pids.allocated()
            self._open_pass(roots)
            if settled and self.descriptors == opened:
                break
            self._maybe_forking = [source for source in self._maybe_forking if not self._has_forked(source)]
            if self._maybe_forking:
                time.sleep(pause)
                pause *= 2
            elif self._pids.allocated() == before:
                break

    def _settle_doubts(self) -> int:
        """What uncertain processes add to the sum of the other events; to be read before those."""
        total = 0
        for doubt in list(self._doubts):
            inherited = doubt.inherited()
            if inherited is None:
                total += doubt.own_ns()
                continue
            self._doubts.remove(doubt)
            if inherited:
                self._settled_ns += doubt.own_ns()
                closing = doubt.descriptors()
                for other in self._doubts:
                    other.lose_events(closing, doubt)
                self._close(closing)
            else:
                self._close(doubt.second)
                self._events += doubt.events
                self._doubts += doubt.doubts
                total += sum(inner.own_ns() for inner in doubt.doubts)
        return self._settled_ns + total

    def _has_forked(self, source: ThreadEvent) -> bool:
        """Whether a fork that was in flight when the event was opened has finished."""
        if source.first_child_seen or self._engine.thread_state(source.pid, source.tid) not in ("R", "D"):
            return True
        memory = self._engine.memory(source.pid)
        enough = FORK_NS + (memory[0] // 1024 * FORK_NS_PER_KB if memory else 0)
        return self._engine.read_task_clocks([source.event]) > enough

    def _open_pass(self, roots: list[int]) -> None:
        """Walk down from the roots, parents first, skipping processes that inherited their events."""
        queue, queued = list(roots), set(roots)
        for pid in queue:
            member = self._members.get(pid)
            if member is None and pid in self._members:
                continue
            children_by_thread = self._engine.children_by_thread(pid)
            if children_by_thread is None:
                continue
            if member is None or not member.sources:
                member = member or Member(None)
                self._members[pid] = member
                self._open_all(member, pid, [tid for tid, _ in children_by_thread])
                self._admit(member.doubt, [child for _, children in children_by_thread for child in children])
            else:
                self._judge(member, pid, children_by_thread)
            for _, children in children_by_thread:
                queue += [child for child in children if child not in queued]
                queued.update(children)

    def _admit(self, doubt: UncertainFork | None, pids: list[int]) -> None:
        for pid in pids:
            self._members.setdefault(pid, Member(doubt))

    def _open_all(self, member: Member, pid: int, tids: Collection[int]) -> None:
        since = self._pids.allocated() if tids else 0
        for tid in tids:
            event = self._open(tid, self._events if member.doubt is None else member.doubt.events)
            until = self._pids.allocated()
            if event is not None:
                source = member.sources[tid] = ThreadEvent(pid, tid, event, since, until)
                if self._slept(pid, tid, event):
                    source.since, source.first_child_seen = until, True
                else:
                    self._maybe_forking.append(source)
            since = until

    def _slept(self, pid: int, tid: int, event: int) -> bool:
        """Whether the thread was not in a fork when its event was opened: it sleeps, and has not run since.

        A thread in a fork is never in state ``S``; while it waits for memory or locks, its state is ``D``. The calling
        thread is not in a fork.
        """
        if tid == get_native_id():
            return True
        return self._engine.thread_state(pid, tid) not in ("R", "D") and not self._engine.read_task_clocks([event])

    def _open(self, tid: int, into: list[int]) -> int | None:
        if self.descriptors >= self._limit:
            raise OutOfDescriptors(self._limit)
        event = self._engine.open_task_clock(tid)
        if event is not None:
            into.append(event)
            self.descriptors += 1
        return event

    def _close(self, events: list[int]) -> None:
        for event in events:
            self.descriptors -= 1
            if is_event(event):
                os.close(event)

    def _judge(self, member: Member, pid: int, children_by_thread: list[tuple[int, list[int]]]) -> None:
        """Open events for what is new in a process that has events."""
        tids = {tid for tid, _ in children_by_thread}
        new = tids - member.sources.keys() - member.inherited
        old = {tid for tid in new if self._is_older(tid, member)}
        self._open_all(member, pid, old)
        member.inherited |= new - old
        dead = [source for tid, source in member.sources.items() if tid not in tids]
        for tid, children in children_by_thread:
            unknown = [child for child in children if child not in self._members]
            if unknown:
                self._judge_children(member, tid, unknown, dead)

    def _is_older(self, tid: int, member: Member) -> bool:
        """Whether the thread is older than any event of its process. /proc does not show which thread started it."""
        place = self._pids.position(tid)
        if place <= min(source.since for source in member.sources.values()):
            return True
        if place <= max(source.until for source in member.sources.values()):
            self._missed += 1
        return False

    def _judge_children(self, member: Member, tid: int, children: list[int], dead: list[ThreadEvent]) -> None:
        source = member.sources.get(tid)
        if source is None:
            self._members.update(dict.fromkeys(children))
            if tid not in member.inherited:  # the thread ended before its event was opened
                self._missed += len(children)
            return
        for place, child in sorted((self._pids.position(child), child) for child in children):
            if place <= source.since:
                # Or a thread that had an event earlier started it, and its children were handed to this one at its end.
                doubtful = any(other.since < place for other in dead)
                inherited = False
            else:
                doubtful = place <= source.until or not source.first_child_seen
                inherited = True
                source.first_child_seen |= place > source.until
            if doubtful:
                self._doubt(member, source, child)
            elif inherited:
                self._members[child] = None
            else:
                self._admit(member.doubt, [child])

    def _doubt(self, member: Member, source: ThreadEvent, child: int) -> None:
        """The thread may not have started the child: a subreaper gets the children of all processes that ended."""
        doubt = UncertainFork(self._engine, [source.event, *self._events_of_ended_threads(source)])
        (self._doubts if member.doubt is None else member.doubt.doubts).append(doubt)
        event = self._open(source.tid, doubt.second)
        doubt.is_clean = event is None or self._slept(source.pid, source.tid, event)
        self._admit(doubt, [child])

    def _events_of_ended_threads(self, besides: ThreadEvent) -> list[int]:
        events = []
        for pid, member in self._members.items():
            if member is not None and member.sources:
                living = {tid for tid, _ in self._engine.children_by_thread(pid) or ()}
                events += [
                    source.event
                    for source in member.sources.values()
                    if source.tid not in living and source is not besides
                ]
        return events

"""What a running tree uses from now on, by perf events: also what ends unseen and what nobody waits for.

Each thread that exists gets an event ``task-clock``; what it starts afterwards inherits it, and stays in it when it
ends. `attach` finds out which threads need one of their own. Measured on Linux 6.18 against a cgroup's account:

- The events of a process end before its memory is taken down. Of children of 2 ms the sum has 97 %, of double-forked
  ones 93 %, of children of 20 ms with a copy of 100 MB 86 %.
- The exec of a setuid or unreadable program by an ordinary user ends them silently, inherited ones too: the sum has
  202 of 404 ms. In a tree of root's they stay.
- They count time on a CPU by the wall clock. In a virtual machine that includes what the host stole, which no other
  account does: 1.8 % once. Else the sum is a lower bound.

Who follows a tree takes the larger of this and the ledger.
"""

from __future__ import annotations

import errno

from prock._compat import fork
from prock.accounting.perf_attach import Attachment, is_event
from prock.errors import NotSupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from prock.engine.protocol import Engine


class TaskClocks:
    """The events of the trees below some processes, as one sum; one object a tree, where each is to have its own.

    A process that is gone adds nothing: without any there are no `descriptors`. Trees may overlap; no thread counts
    twice within one object. Cost: 60 to 80 µs a thread to attach, 6 of them for the event, the others for the proof
    that its thread sleeps and for two looks at the tree, or more where something forks; a microsecond an event to read.
    Where threads run, attaching waits until no fork of theirs can be in flight: a millisecond, longer for large
    processes.

    Raises `AccessDenied` where the kernel refuses the event of any thread (another user's process, a high
    kernel.perf_event_paranoid, a sandbox), `OutOfDescriptors` where they do not suffice or more than `limit` are
    needed, and `NotSupported` without perf events, without CONFIG_PROC_CHILDREN, and for another PID namespace's proc.
    Nothing stays open then.
    """

    def __init__(self, root_pids: Iterable[int], engine: Engine, limit: int) -> None:
        self._attachment: Attachment | None = None  # so that close() works whatever fails below
        core = engine.core
        if core is None:
            raise NotSupported(f"perf events: only the compiled core opens them, and the engine is {engine.name}")
        if not engine.clocks_usable:
            raise NotSupported("perf events by way of another PID namespace's proc")
        self._engine = core
        self._most_ns = 0
        self._attachment = Attachment(core, limit)
        fork.register(self)
        try:
            self._attachment.run(list(root_pids))
        except BaseException:
            self.close()
            raise

    @property
    def descriptors(self) -> int:
        """How many are open."""
        return 0 if self._attachment is None else self._attachment.descriptors

    @property
    def missed(self) -> int:
        """Threads and processes, found while attaching, that may not be counted, or not in full.

        It could not be told, or not yet, whether they are in another's event, and to count one twice would be worse.
        """
        attachment = self._attachment
        if attachment is None:
            return 0
        return attachment.missed + sum(not doubt.is_clean for doubt in attachment.doubts)

    def total_ns(self) -> int:
        """CPU of the trees since they were attached to. Never falls.

        Raises `ValueError` once it is closed, and `OSError` where somebody else closed its descriptors: their numbers
        may be other files' by now, and are not read.
        """
        attachment = self._attachment
        if attachment is None:
            raise ValueError("these events are closed, or belong to the process that this one was forked from")
        if attachment.events and not is_event(attachment.events[0]):
            raise OSError(errno.EBADF, "the descriptors of perf events were closed by somebody else")
        doubtful = attachment.settle_doubts()
        self._most_ns = max(self._most_ns, doubtful + self._engine.read_task_clocks(attachment.events))
        return self._most_ns

    def close(self) -> None:
        """End the counting. Once more is no error."""
        attachment, self._attachment = self._attachment, None
        if attachment is not None:
            attachment.close()

    def after_fork(self) -> None:
        """Close the copies in the child, where the events would keep counting after the parent has closed its own."""
        self.close()

    def __enter__(self) -> TaskClocks:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

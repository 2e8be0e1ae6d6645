"""What is known of one member of a tree that is followed, and when it was read."""

from __future__ import annotations

from prock.model import NUMBERS, ProcessInfo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from prock.model import DiskIo


NO_NUMBERS: tuple[int | None, ...] = (None,) * len(NUMBERS)


class Stamp:
    """When a file was read: at which instant, at which own time of its process, at which last pid of the machine."""

    __slots__ = ("at_ns", "last_pid", "own_ns")

    def __init__(self) -> None:
        self.at_ns = self.own_ns = -1
        self.last_pid: int | None = None


class Member:
    __slots__ = (
        "before_ns",
        "born_since",
        "children_read",
        "expected_ticks",
        "gone",
        "has_children",
        "info",
        "io",
        "io_before",
        "io_read",
        "is_new",
        "is_root",
        "memory",
        "memory_read",
        "numbers",
        "numbers_read",
        "own_ns",
        "parent",
        "pid",
        "refused",
        "report",
        "reread",
        "stat_read",
        "tree",
        "untold",
    )  # fmt: skip

    def __init__(self, pid: int, tree: int, parent: Member | None) -> None:
        self.pid = pid
        self.tree = tree
        self.parent = parent
        self.is_root = False
        self.is_new = self.report = True
        self.gone = self.reread = self.has_children = self.born_since = False
        self.untold = False
        """The latest pass failed: what it found is told by the next."""
        self.expected_ticks: int | None = None
        self.own_ns = self.before_ns = 0
        self.info = unreadable(pid)
        self.memory = (0, 0)
        self.io: DiskIo | None = None
        self.numbers: tuple[int | None, ...] = NO_NUMBERS
        """In the order of `prock.model.NUMBERS`."""
        self.io_before: DiskIo | None = None
        self.refused: frozenset[str] = frozenset()
        self.stat_read, self.children_read, self.memory_read, self.io_read = Stamp(), Stamp(), Stamp(), Stamp()
        self.numbers_read = Stamp()

    @property
    def has_ended(self) -> bool:
        return self.gone or not self.info.is_alive

    @property
    def lacks_leader(self) -> bool:
        """Its main thread has ended, others go on: then ``stat`` knows nothing of its memory."""
        return self.info.state == "Z" and self.info.thread_count > 1


def unreadable(pid: int) -> ProcessInfo:
    """Stands for a row of which nothing is known."""
    return ProcessInfo(pid, 0, 0, 0, 0, "?", "", 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)

"""What a tree used, by whoever keeps an account of it in the kernel: one file per source of truth.

Here stands what has to be known of a launched command's root, whoever waits for it: `waited` on Linux, else `child`.
"""

from __future__ import annotations

from prock._compat.namedtuple import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from prock.model import DiskIo

    class RootWaiter(Protocol):
        """The account of the root, and of whom it or this process has waited for."""

        @property
        def root_pid(self) -> int: ...

        @property
        def root(self) -> ExitedChild | None:
            """Once it has ended."""

        @property
        def root_state(self) -> int | None:
            """The signal that it is stopped by."""

        @property
        def lost_root(self) -> bool:
            """Whether the root's account, and how it ended, went to somebody else."""

        @property
        def holds_root(self) -> bool:
            """Whether the root's pid is still the root's: nobody has waited for it."""

        @property
        def adopts(self) -> bool:
            """Whether orphans come to this process, and are waited for."""

        @property
        def holds_children(self) -> bool:
            """Whether the times of one that ended hold those of the children that it has waited for."""

        @property
        def user_ns(self) -> int: ...

        @property
        def system_ns(self) -> int: ...

        @property
        def minor_faults(self) -> int | None:
            """None, here and below: this system does not tell."""

        @property
        def major_faults(self) -> int | None: ...

        @property
        def voluntary_switches(self) -> int | None: ...

        @property
        def involuntary_switches(self) -> int | None: ...

        @property
        def largest_bytes(self) -> int:
            """The largest resident set of one process; 0: not known yet, or never."""

        @property
        def disk_io(self) -> DiskIo | None:
            """Of all that were waited for; None: this system does not tell."""

        @property
        def refused_io(self) -> int:
            """Processes whose I/O counters the kernel refused."""

        def reap(self) -> object:
            """Wait for all who have ended, without waiting for anybody to end."""

        def children(self) -> list[int]:
            """Of this process: the root while it lives, and orphans that came to it."""

        def send(self, number: int, /) -> bool:
            """A signal to the root, and to nobody else; nothing where it has ended. False: it takes a pidfd."""

        def close(self) -> None: ...


class ExitedChild(NamedTuple):
    """A child of this process that has ended."""

    pid: int
    returncode: int
    """As `subprocess.Popen.returncode`."""
    own_ns: int | None
    """Its own CPU time; None where it is not the root, or where that is not known."""

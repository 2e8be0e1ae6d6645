"""The functions of `signal` without its enums, which take 5 ms to import; and pidfds of children of this process."""

from __future__ import annotations

import errno
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as kernel
else:
    try:
        import _signal as kernel
    except ImportError:  # another Python than CPython may keep them elsewhere
        import signal as kernel

__all__ = [
    "CONT",
    "IGNORED_BY_PYTHON",
    "KILL",
    "TERM",
    "all_blocked",
    "is_child",
    "kernel",
    "name",
    "numbers",
    "pidfd_of_child",
]

TERM = int(kernel.SIGTERM)
KILL = int(getattr(kernel, "SIGKILL", 9))
"""Windows has no such signal: what is sent there ends a process at once, whatever it is called."""
CONT: int | None = getattr(kernel, "SIGCONT", None)


def numbers(names: str) -> tuple[int, ...]:
    """Of those, with spaces between them, that this system has.

    >>> numbers("SIGINT SIGTERM SIGNONE")
    (2, 15)
    """
    return tuple(int(getattr(kernel, word)) for word in names.split() if hasattr(kernel, word))


IGNORED_BY_PYTHON = numbers("SIGPIPE SIGXFZ SIGXFSZ")
"""Commands do not expect that these are ignored."""


class all_blocked:  # noqa: N801  # used as a function; contextlib takes 2 ms to import
    """While a thread is started, which inherits it: a signal that such a thread takes does not wake the main thread out
    of a wait, so that a Ctrl-C is noticed only when something else does."""

    def __enter__(self) -> None:
        if sys.platform != "win32":
            self._before = kernel.pthread_sigmask(kernel.SIG_BLOCK, kernel.valid_signals())

    def __exit__(self, *exception: object) -> None:
        if sys.platform != "win32":
            kernel.pthread_sigmask(kernel.SIG_SETMASK, self._before)


def is_child(kind: int, number: int) -> bool:
    """Whether this pid or pidfd is an unreaped child of this process, running or a zombie. Linux only."""
    if sys.platform != "linux":
        raise NotImplementedError
    try:
        os.waitid(kind, number, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def pidfd_of_child(pid: int) -> int:
    """A pidfd of that child, never of another process.

    Raises `ChildProcessError` or `ProcessLookupError` if it is not an unreaped child, as where SIGCHLD is ignored or
    another thread waits for all children: the pid may be reused then. `OSError` without pidfds (before Linux 5.4, and
    on other systems).
    """
    if sys.platform != "linux":
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    descriptor = os.pidfd_open(pid)
    try:
        if not is_child(os.P_PIDFD, descriptor):
            raise ChildProcessError(errno.ECHILD, os.strerror(errno.ECHILD))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def name(number: int) -> str:
    """What a signal is called.

    >>> name(15), name(9), name(64), name(61)
    ('SIGTERM', 'SIGKILL', 'SIGRTMAX', 'SIGRTMAX-3')
    """
    for word, value in vars(kernel).items():
        if value == number and word.startswith("SIG") and not word.startswith(("SIG_", "SIGCLD", "SIGPOLL")):
            return word
    low, high = getattr(kernel, "SIGRTMIN", 0), getattr(kernel, "SIGRTMAX", 0)  # macOS has none, nor has Windows
    if low < number < high:
        return f"SIGRTMIN+{number - low}" if number - low <= high - number else f"SIGRTMAX-{high - number}"
    return f"signal {number}"

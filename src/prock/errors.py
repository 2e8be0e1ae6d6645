"""The exceptions that prock raises.

    Exception
    └── ProckError
        ├── AccessDenied       (also PermissionError)     the process exists, but this user may not read it
        ├── NoSuchProcess      (also ProcessLookupError)  the root of a tree to follow does not exist
        ├── NotSupported       (also OSError)             this system, kernel or engine does not provide it
        ├── OutOfDescriptors   (also OSError)             the limit of open files is too low
        └── MalformedProcFile  (also ValueError)          a file does not have the format of proc(5)

Functions return None for a process that does not exist; only what starts to follow one raises `NoSuchProcess`.
A number that cannot be a pid raises ``ValueError``, another type ``TypeError``.
"""

from __future__ import annotations

import errno

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class ProckError(Exception):
    """Base class of all exceptions of prock."""

    _parameters: tuple[str, ...] = ()
    """The parameters of the constructor, each an attribute: by these an error is pickled."""

    def __str__(self) -> str:
        return str(self.args[-1]) if self.args else ""

    def __reduce__(self) -> Any:
        if not self._parameters:
            return super().__reduce__()
        return type(self), tuple(getattr(self, name) for name in self._parameters)


class AccessDenied(ProckError, PermissionError):
    """Process `pid` exists, but this user may not read `what` of it.

    Also raised where ``/proc`` is mounted with ``hidepid`` and hides the process.
    """

    _parameters = ("pid", "what")

    def __init__(self, pid: int, what: str) -> None:
        message = f"access denied to {what} of process {pid}: run prock as the user of that process or as root"
        super().__init__(errno.EACCES, message)
        self.pid = pid
        self.what = what


class NoSuchProcess(ProckError, ProcessLookupError):
    """Process `pid`, which is to be followed, does not exist or has ended."""

    _parameters = ("pid",)

    def __init__(self, pid: int) -> None:
        super().__init__(errno.ESRCH, f"no process {pid}: it has ended, or the pid is wrong")
        self.pid = pid


class NotSupported(ProckError, OSError):
    """The system, the kernel or the engine in use does not provide `what`."""

    _parameters: tuple[str, ...] = ("what",)

    def __init__(self, what: str) -> None:
        super().__init__(errno.ENOTSUP, f"not available here: {what}")
        self.what = what


class OutOfDescriptors(ProckError, OSError):
    """More file descriptors are needed than `count`, the number that a limit of the caller or the system allows."""

    _parameters = ("count",)

    def __init__(self, count: int) -> None:
        super().__init__(errno.EMFILE, f"{count} file descriptors are too few: raise the limit (ulimit -n)")
        self.count = count


class MalformedProcFile(ProckError, ValueError):
    """File `what` of process `pid` below ``/proc`` does not have the format that proc(5) describes."""

    _parameters = ("pid", "what")

    def __init__(self, pid: int, what: str) -> None:
        super().__init__(f"{what} of process {pid} does not have the format of proc(5): check what is mounted on /proc")
        self.pid = pid
        self.what = what


def require_call(name: str, call: Callable[[], object]) -> None:
    """Raises `NotSupported` where a sandbox refuses that system call. Without a child, `call` may raise that."""
    try:
        call()
    except ChildProcessError:
        pass
    except OSError as error:
        raise NotSupported(f"{name}(2) ({error.strerror}): allow it in the seccomp profile of the sandbox") from None


LONGEST_INTERVAL_S = 1e6


def check_interval(interval: float) -> None:
    """Raises `ValueError` unless it is above 0 and at most 1000000 seconds, and `TypeError` unless it is a number."""
    check_seconds("interval", interval)
    if not 0 < interval <= LONGEST_INTERVAL_S:  # false for nan, too
        limits = f"more than 0 and at most {LONGEST_INTERVAL_S:.0f}"
        raise ValueError(f"invalid interval {interval!r}: use seconds, {limits}")


def check_seconds(name: str, seconds: float) -> None:
    """Raises `TypeError` unless it is a number."""
    try:
        seconds + 0.0
    except TypeError:
        raise TypeError(f"invalid {name} {seconds!r}: use seconds") from None


def check_timeout(timeout: float | None) -> None:
    """Raises `TypeError` unless it is a number or None, and `ValueError` for nan."""
    if timeout is not None:
        check_seconds("timeout", timeout)
        if timeout != timeout:  # only nan differs from itself
            raise ValueError(f"invalid timeout {timeout!r}: use seconds")

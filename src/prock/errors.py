"""Everything prock raises on purpose.

    Exception
    └── ProckError
        ├── AccessDenied      (also PermissionError)     the process exists, the kernel refuses the question
        ├── NoSuchProcess     (also ProcessLookupError)  who is to be followed is not there (any more)
        ├── NotSupported      (also OSError)             this kernel, or this engine, cannot answer it at all
        ├── OutOfDescriptors  (also OSError)             more of them are needed than may be open
        └── MalformedProcFile (also ValueError)          the file is not in the form proc(5) describes

A process that does not exist (any more) is no error: functions answer ``None``. Only what is to follow one and can't
begin without it raises `NoSuchProcess`.
A pid that never could be one is the caller's mistake: ``ValueError`` or ``TypeError``.
"""

from __future__ import annotations

import errno


class ProckError(Exception):
    """The base of every error below."""


class AccessDenied(ProckError, PermissionError):
    """The process exists, but this user may not read `what` of it.

    Also raised where ``/proc`` is mounted with ``hidepid`` and pretends that the process is not there.
    """

    def __init__(self, pid: int, what: str) -> None:
        super().__init__(errno.EACCES, f"the kernel refuses {what} of process {pid} to this user")
        self.pid = pid
        self.what = what

    def __str__(self) -> str:
        return str(self.strerror)

    def __reduce__(self) -> tuple[type[AccessDenied], tuple[int, str]]:
        return type(self), (self.pid, self.what)


class NoSuchProcess(ProckError, ProcessLookupError):
    """There is no process `pid` (any more) that could be followed."""

    def __init__(self, pid: int) -> None:
        super().__init__(errno.ESRCH, f"there is no process {pid}")
        self.pid = pid

    def __str__(self) -> str:
        return str(self.strerror)

    def __reduce__(self) -> tuple[type[NoSuchProcess], tuple[int]]:
        return type(self), (self.pid,)


class NotSupported(ProckError, OSError):
    """The kernel (or the engine in use) does not have what was asked for."""

    def __init__(self, what: str) -> None:
        super().__init__(errno.ENOTSUP, f"not available here: {what}")
        self.what = what

    def __str__(self) -> str:
        return str(self.strerror)

    def __reduce__(self) -> tuple[type[NotSupported], tuple[str]]:
        return type(self), (self.what,)


class OutOfDescriptors(ProckError, OSError):
    """More descriptors are needed than may be open: by a limit that the caller set, or by the system's."""

    def __init__(self, count: int) -> None:
        super().__init__(errno.EMFILE, f"{count} descriptors do not suffice")
        self.count = count

    def __str__(self) -> str:
        return str(self.strerror)

    def __reduce__(self) -> tuple[type[OutOfDescriptors], tuple[int]]:
        return type(self), (self.count,)


class MalformedProcFile(ProckError, ValueError):
    """A file below ``/proc`` does not have the form that proc(5) describes."""

    def __init__(self, pid: int, what: str) -> None:
        super().__init__(f"the {what} file of process {pid} is not in the form that proc(5) describes")
        self.pid = pid
        self.what = what

    def __reduce__(self) -> tuple[type[MalformedProcFile], tuple[int, str]]:
        return type(self), (self.pid, self.what)

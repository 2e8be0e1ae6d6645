"""Where the account of a run goes: places that are looked at before the command runs, and written when it has ended.

A mistyped directory must not cost an hour. A regular file with a document is replaced in one step, so that nobody reads
half of it; what is no regular file (a pipe, a device, a descriptor that the shell has opened) is written as it is.
"""

from __future__ import annotations

import errno
import os
import stat
import sys

from prock.cli.output import Failure
from prock.report.layout import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    if sys.platform == "win32":
        from prock.cli.run.replacing_on_windows import AtomicWriter
    else:
        from prock.cli.run.replacing import AtomicWriter

TROUBLE = 125
"""Exit code where prock itself fails: what timeout(1), env(1) and GNU time use."""
_OPEN = {"-": 1, "/dev/stdout": 1, "/dev/stderr": 2}


def keep_low_descriptors_free() -> None:
    """Of those of 0, 1 and 2 that are closed, none becomes prock's own.

    Else a report might be written into it. The command finds them closed, as these are closed by its execution.
    """
    try:
        while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
            pass
    except OSError:  # without /dev
        return
    os.close(descriptor)


class OutputFile:
    """A file to be written after the run. Raises `Failure` where that can be seen not to be possible."""

    def __init__(self, path: str, *, append: bool = False, whole: bool = False) -> None:
        self.path = path
        self._append = append
        self._whole = whole
        """Whether nobody may see a part of it."""
        self._is_shared = False
        """Whether others write into it, too."""
        self._descriptor: int | None = None
        self._replacement: AtomicWriter | None = None
        try:
            self._prepare()
        except (OSError, ValueError) as error:  # ValueError: a NUL in it
            self._fail(error)

    @property
    def is_terminal(self) -> bool:
        return self._descriptor is not None and os.isatty(self._descriptor)

    def _prepare(self) -> None:
        number = _OPEN.get(self.path)
        if number is None and self.path.startswith("/dev/fd/") and self.path[8:].isdigit():
            number = int(self.path[8:])
        if number is not None:
            self._is_shared = True
            if not os.get_inheritable(number):  # one of `keep_low_descriptors_free`, or prock's own
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))
            # Not opened anew: then it would have a position of its own, and overwrite what the command writes.
            self._descriptor = _copy(number)
            return
        if not self.path:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        try:
            mode = os.stat(self.path).st_mode
        except FileNotFoundError:
            mode = None
        if mode is not None and stat.S_ISFIFO(mode):  # to open it waits for a reader: later
            _check(self.path, os.W_OK)
        elif mode is not None and not stat.S_ISREG(mode):
            self._open()
        else:
            if self._whole:
                self._replacement = _replacement(self.path)
            else:
                _check_links(self.path)
                self._open()

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | getattr(os, "O_NOCTTY", 0) | (os.O_APPEND if self._append else 0)
        self._descriptor = os.open(self.path, flags, 0o666)

    def write(self, text: str) -> None:
        """All of it, or `Failure`."""
        data = text.encode("utf-8", "backslashreplace")
        try:
            if self._replacement is not None:
                self._replacement.write(data)
                return
            if self._descriptor is None:
                self._descriptor = _open_fifo(self.path)
            elif not self._is_shared and not self._append and stat.S_ISREG(os.fstat(self._descriptor).st_mode):
                os.ftruncate(self._descriptor, 0)
            write_all(self._descriptor, data)
        except OSError as error:
            self._fail(error)

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        if self._replacement is not None:
            self._replacement.close()
            self._replacement = None

    def _fail(self, error: Exception) -> NoReturn:
        reason = getattr(error, "strerror", None) or str(error)
        where = "standard output" if self.path == "-" else escape(self.path)
        raise Failure(f"cannot write {where}: {reason}", TROUBLE) from None


def _replacement(path: str) -> AtomicWriter:
    if sys.platform == "win32":
        from prock.cli.run.replacing_on_windows import AtomicWriter
    else:
        from prock.cli.run.replacing import AtomicWriter
    return AtomicWriter(path)


def _check_links(path: str) -> None:
    if sys.platform != "win32":
        from prock.cli.run.replacing import check_links

        check_links(path)


def _copy(number: int) -> int:
    """Above the standard descriptors, also where these are closed."""
    if sys.platform == "win32":
        return os.dup(number)
    import fcntl

    return fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 3)


def _open_fifo(path: str) -> int:
    """Fails where nobody reads it."""
    if sys.platform == "win32":  # which has none in its file systems
        return os.open(path, os.O_WRONLY)
    descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):  # nor is anything else written over
        os.close(descriptor)
        raise OSError(errno.EEXIST, "something else has taken its place")
    os.set_blocking(descriptor, True)
    return descriptor


def _check(path: str, mode: int) -> None:
    """With the rights that a write would have."""
    effective = os.access in os.supports_effective_ids
    if not os.access(path, mode, effective_ids=effective):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]

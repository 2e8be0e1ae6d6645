"""Files that prock writes: documents and reports of a run.

A path is checked before the command runs, so that a mistyped directory does not cost an hour. A regular file that must
be whole is replaced in one step; a pipe, a device or a descriptor opened by the shell is written directly.

The file may be in a directory that others may write to, such as /tmp, where another user can put a link or a file in
its place at any moment of the run. Therefore the directory is opened before the run, links are followed only then and
by the rule of ``fs.protected_symlinks``, whatever its setting, and at the end a name in that directory is replaced: a
link put there meanwhile is replaced, not followed.
"""

from __future__ import annotations

import errno
import os
import stat
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

MOST_LINKS = 40
"""As many as the kernel follows."""
MOST_NAMES = 100
_DESCRIPTORS = {"-": 1, "/dev/stdout": 1, "/dev/stderr": 2}
_DIRECTORY = getattr(os, "O_PATH", os.O_RDONLY) | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)


class CannotWrite(Exception):
    """A file cannot be written, or will not be writable when the run has ended."""


class OutputFile:
    """A file to write after the run. Raises `CannotWrite` if that can already be seen to fail.

    `whole`: readers never see a part of it.
    """

    def __init__(self, path: str, *, append: bool = False, whole: bool = False) -> None:
        self.path = path
        self._append = append
        self._whole = whole
        self._is_shared = False
        """Whether other programs write to the same descriptor."""
        self._descriptor: int | None = None
        self._writer: AtomicWriter | None = None
        try:
            self._prepare()
        except (OSError, ValueError) as error:  # ValueError: a NUL in it
            self._fail(error)

    @property
    def is_terminal(self) -> bool:
        return self._descriptor is not None and os.isatty(self._descriptor)

    def _prepare(self) -> None:
        number = _DESCRIPTORS.get(self.path)
        if number is None and self.path.startswith("/dev/fd/") and self.path[8:].isdigit():
            number = int(self.path[8:])
        if number is not None:
            self._is_shared = True
            if not os.get_inheritable(number):  # prock opened it itself: the caller's descriptor is closed
                raise _error(errno.EBADF)
            # Duplicated, not opened again: a second position would overwrite what the command writes.
            self._descriptor = _duplicate(number)
            return
        if not self.path:
            raise _error(errno.ENOENT)
        try:
            mode = os.stat(self.path).st_mode
        except FileNotFoundError:
            mode = None
        if mode is not None and stat.S_ISFIFO(mode):  # opening it now would wait for a reader
            if not os.access(self.path, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
                raise _error(errno.EACCES)
        elif mode is not None and not stat.S_ISREG(mode):
            self._open()
        elif self._whole:
            self._writer = AtomicWriter(self.path)
        else:
            _check_links(self.path)
            self._open()

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | getattr(os, "O_NOCTTY", 0) | (os.O_APPEND if self._append else 0)
        self._descriptor = os.open(self.path, flags, 0o666)

    def write(self, text: str) -> None:
        """Write all of it, or raise `CannotWrite`."""
        data = text.encode("utf-8", "backslashreplace")
        try:
            if self._writer is not None:
                self._writer.write(data)
                return
            if self._descriptor is None:
                self._descriptor = _open_fifo(self.path)
            elif not self._is_shared and not self._append and stat.S_ISREG(os.fstat(self._descriptor).st_mode):
                os.ftruncate(self._descriptor, 0)
            _write_all(self._descriptor, data)
        except OSError as error:
            self._fail(error)

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _fail(self, error: Exception) -> NoReturn:
        reason = getattr(error, "strerror", None) or str(error)
        raise CannotWrite(f"cannot write {'standard output' if self.path == '-' else self.path}: {reason}") from None


if sys.platform == "win32":  # no descriptors of directories, no sticky directories
    import tempfile

    class AtomicWriter:
        """Replaces a regular file, or creates one. Raises `OSError` if that cannot work."""

        def __init__(self, path: str) -> None:
            self._path = os.path.realpath(path)
            os.stat(os.path.dirname(self._path))

        def write(self, data: bytes) -> None:
            """All of it, or nothing."""
            descriptor, temporary = tempfile.mkstemp(prefix=".prock-", suffix=".tmp", dir=os.path.dirname(self._path))
            try:
                try:
                    _write_all(descriptor, data)
                finally:
                    os.close(descriptor)
                os.replace(temporary, self._path)
            except BaseException:
                os.unlink(temporary)
                raise

        def close(self) -> None:
            """Holds nothing open."""

    def _check_links(path: str) -> None:
        """Links need privileges on Windows."""

    def _duplicate(number: int) -> int:
        return os.dup(number)

    def _open_fifo(path: str) -> int:
        return os.open(path, os.O_WRONLY)

else:

    class AtomicWriter:
        """Replaces a regular file, or creates one. Raises `OSError` if that cannot work."""

        def __init__(self, path: str) -> None:
            self._directory, self._name = _open_directory(path)
            try:
                if not os.access(".", os.W_OK | os.X_OK, dir_fd=self._directory, effective_ids=True):
                    raise _error(errno.EACCES)
                existing = self._existing()
                if existing is not None and os.geteuid() != 0 and _is_foreign(existing, os.fstat(self._directory)):
                    raise _error(errno.EPERM)
            except BaseException:
                self.close()
                raise

        def write(self, data: bytes) -> None:
            """All of it, or nothing."""
            descriptor, temporary = self._create()
            try:
                try:
                    self._copy_mode(descriptor)
                    _write_all(descriptor, data)
                finally:
                    os.close(descriptor)
                os.replace(temporary, self._name, src_dir_fd=self._directory, dst_dir_fd=self._directory)
            except BaseException:
                os.unlink(temporary, dir_fd=self._directory)
                raise

        def close(self) -> None:
            os.close(self._directory)

        def _create(self) -> tuple[int, str]:
            """A temporary file whose name cannot be predicted, so that no other user can have taken it."""
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            for _ in range(MOST_NAMES):
                temporary = f".prock-{os.urandom(8).hex()}.tmp"
                try:
                    return os.open(temporary, flags, 0o666, dir_fd=self._directory), temporary
                except FileExistsError:
                    continue
            raise _error(errno.EEXIST)

        def _copy_mode(self, descriptor: int) -> None:
            """Keep the mode and group of this user's own file; another user's mode is limited by the umask."""
            existing, fresh = self._existing(), os.fstat(descriptor)
            if existing is None or not stat.S_ISREG(existing.st_mode):
                return
            mode = stat.S_IMODE(existing.st_mode) & 0o777
            if existing.st_uid != os.geteuid():
                mode &= stat.S_IMODE(fresh.st_mode)
            elif existing.st_gid != fresh.st_gid:
                try:
                    os.fchown(descriptor, -1, existing.st_gid)
                except OSError:  # otherwise the new group would get the rights of the old one
                    mode &= ~0o070
            try:
                os.fchmod(descriptor, mode)
            except OSError:  # a file system without modes
                pass

        def _existing(self) -> os.stat_result | None:
            try:
                return os.stat(self._name, dir_fd=self._directory, follow_symlinks=False)
            except FileNotFoundError:
                return None

    def _open_directory(path: str) -> tuple[int, str]:
        """Follow links; return a descriptor of the directory that the file is in, or would be, and its name there."""
        directory = -1
        try:
            for _ in range(MOST_LINKS):
                parent, name = os.path.split(path)
                before, directory = (
                    directory,
                    os.open(parent or ".", _DIRECTORY, dir_fd=directory if directory >= 0 else None),
                )
                if before >= 0:
                    os.close(before)
                if name in ("", ".", ".."):
                    raise _error(errno.EISDIR)
                target = _read_link(directory, name)
                if target is None:
                    return directory, name
                path = target
            raise _error(errno.ELOOP)
        except BaseException:
            if directory >= 0:
                os.close(directory)
            raise

    def _check_links(path: str) -> None:
        """Raise `PermissionError` if another user may have put a link in the place of the file."""
        try:
            directory, _ = _open_directory(path)
        except FileNotFoundError:  # opening the file reports it; links in /proc need not lead where their text says
            return
        os.close(directory)

    def _read_link(directory: int, name: str) -> str | None:
        """Its target; None if it is not a link. `PermissionError` if another user may have put it there."""
        if not hasattr(os, "O_PATH"):
            return _read_link_by_name(directory, name)
        try:
            link = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        except FileNotFoundError:
            return None
        try:
            status = os.fstat(link)  # of the opened link: its name could be another link's by now
            if not stat.S_ISLNK(status.st_mode):
                return None
            if _is_foreign(status, os.fstat(directory)):
                raise _error(errno.EACCES)
            return os.readlink("", dir_fd=link)
        finally:
            os.close(link)

    def _read_link_by_name(directory: int, name: str) -> str | None:
        """Only Linux can hold a link open: elsewhere it can be replaced between the check and the read."""
        try:
            status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            return None
        if not stat.S_ISLNK(status.st_mode):
            return None
        if _is_foreign(status, os.fstat(directory)):
            raise _error(errno.EACCES)
        return os.readlink(name, dir_fd=directory)

    def _is_foreign(status: os.stat_result, directory: os.stat_result) -> bool:
        """Whether it is in a sticky, world-writable directory and belongs neither to this user nor to its owner."""
        is_shared = directory.st_mode & stat.S_ISVTX and directory.st_mode & stat.S_IWOTH
        return bool(is_shared) and status.st_uid not in (os.geteuid(), directory.st_uid)

    def _duplicate(number: int) -> int:
        """Never 0, 1 or 2, even if these are closed."""
        import fcntl

        return fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 3)

    def _open_fifo(path: str) -> int:
        """Fails if no process reads it."""
        descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
        if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(errno.EEXIST, "something else has taken its place")
        os.set_blocking(descriptor, True)
        return descriptor


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))

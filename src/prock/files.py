"""Files that prock writes: documents and reports of a run.

The path is checked before the command runs, so that a mistyped directory does not cost an hour. It is walked component
by component, each opened below the one before, and stays open as a directory and a name: what the path means later does
not matter. In a directory that others may write to, such as /tmp, and below a directory that another user created
there, no entry of another user is used: no link is followed, no device or pipe is opened, no file is written into. That
is the rule of ``fs.protected_symlinks``, whatever its setting, for directories without the sticky bit, too.
"""

from __future__ import annotations

import errno
import os
import stat
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

MOST_LINKS = 40
"""As many as the kernel follows."""
_O_PATH = getattr(os, "O_PATH", 0)
_SAFE = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_DIRECTORY = (_O_PATH or os.O_RDONLY) | getattr(os, "O_DIRECTORY", 0) | _SAFE
_WRITE = os.O_WRONLY | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | _SAFE


class CannotWrite(Exception):
    """A file cannot be written, or will not be writable when the run has ended."""


class OutputFile:
    """A file to write after the run. Raises `CannotWrite` if that can already be seen to fail.

    `whole`: a regular file is replaced in one step, so that readers never see a part of it.
    """

    def __init__(self, path: str, *, append: bool = False, whole: bool = False) -> None:
        self.path = path
        self._append = append
        self._replaces = False
        self._shares_position = False
        """Whether the caller opened the descriptor, which other programs may be writing to."""
        self._descriptor: int | None = None
        self._location: _Location | None = None
        try:
            self._prepare(whole)
        except (OSError, ValueError) as error:  # ValueError: a NUL in it
            self.close()
            self._fail(error)

    @property
    def is_terminal(self) -> bool:
        return self._descriptor is not None and os.isatty(self._descriptor)

    def _prepare(self, whole: bool) -> None:
        number = _descriptor_of(self.path)
        if number is not None:
            if not os.get_inheritable(number):  # prock opened it itself: the caller's descriptor is closed
                raise _error(errno.EBADF)
            # Duplicated, not opened again: a second position would overwrite what the command writes.
            self._descriptor, self._shares_position = _duplicate(number), True
            return
        self._location = location = _Location(self.path)
        if whole and (location.status is None or stat.S_ISREG(location.status.st_mode)):
            self._replaces = True
            location.check_replaceable()
        elif location.status is None or not stat.S_ISFIFO(location.status.st_mode):
            self._descriptor = location.open(append=self._append)
        else:  # to open a pipe now would fail if its reader comes later
            location.check_pipe()

    def write(self, content: str | bytes) -> None:
        """Write all of it, or raise `CannotWrite`."""
        data = content if isinstance(content, bytes) else content.encode("utf-8", "backslashreplace")
        try:
            if self._location is not None and self._replaces:
                self._location.replace(data)
                return
            if self._descriptor is None and self._location is not None:
                self._descriptor = self._location.open()
            descriptor = -1 if self._descriptor is None else self._descriptor
            if not self._shares_position and not self._append and stat.S_ISREG(os.fstat(descriptor).st_mode):
                os.ftruncate(descriptor, 0)
            _write_all(descriptor, data)
        except OSError as error:
            self._fail(error)

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        if self._location is not None:
            self._location.close()
            self._location = None

    def _fail(self, error: Exception) -> NoReturn:
        reason = getattr(error, "strerror", None) or str(error)
        raise CannotWrite(f"cannot write {'standard output' if self.path == '-' else self.path}: {reason}") from None


def create_private(path: str, data: bytes, beside: Sequence[str], *, replace: bool) -> None:
    """Create a file of mode 0600 with this content in one step, for a library that opens it by its name.

    `beside`: suffixes of further files that it opens; they are created empty, so that no other user can.

    Raises `FileExistsError` if one of them exists, unless `replace`, and `PermissionError` in a directory that others
    may write to without the sticky bit, as they can replace any file there.
    """
    location = _Location(path)
    try:
        directory, name = location.directory, location.name
        if location.status is not None and stat.S_ISDIR(location.status.st_mode):
            raise _error(errno.EISDIR)
        if directory is not None and os.fstat(directory).st_mode & (stat.S_IWOTH | stat.S_ISVTX) == stat.S_IWOTH:
            raise PermissionError(errno.EACCES, "others may replace files in that directory: choose another")
        temporary = os.path.join(os.path.dirname(name), f".prock-{os.urandom(8).hex()}.tmp")
        flags = _WRITE | os.O_CREAT | os.O_EXCL
        with open(os.open(temporary, flags, 0o600, dir_fd=directory), "wb") as file:
            file.write(data)
        try:
            for suffix in beside:
                if replace:
                    _unlink_if_there(name + suffix, directory)
                os.close(os.open(name + suffix, flags, 0o600, dir_fd=directory))
            if replace:
                os.replace(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
            else:  # which fails where the name is taken
                os.link(temporary, name, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False)
        finally:
            _unlink_if_there(temporary, directory)
    finally:
        location.close()


def _unlink_if_there(name: str, directory: int | None) -> None:
    try:
        os.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        pass


class _Location:
    """Where a path leads: a descriptor of the directory, the name in it, and what is there now, None if nothing.

    On Windows, which has no descriptors of directories, and whose links need privileges: the whole path is the name.
    """

    def __init__(self, path: str) -> None:
        self.directory: int | None = None
        self.status: os.stat_result | None = None
        self._is_foreign_place = False
        """Below an entry of another user in a directory that others may write to."""
        if not path:
            raise _error(errno.ENOENT)
        if sys.platform == "win32":
            self.name = os.path.realpath(path)
            os.stat(os.path.dirname(self.name))
            self._examine(self.name)
            return
        try:
            self.name = self._walk(path)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if self.directory is not None:
            os.close(self.directory)
            self.directory = None

    def _walk(self, path: str) -> str:
        names = self._start(path)
        links = 0
        while names:
            name = names.pop()
            if not names and name in ("", ".", ".."):
                raise _error(errno.EISDIR)
            if name in ("", "."):
                continue
            target = self._examine(name)
            if target is not None:
                links += 1
                if links > MOST_LINKS:
                    raise _error(errno.ELOOP)
                names += self._start(target)
            elif not names:
                return name
            elif self.status is None:
                raise _error(errno.ENOENT)
            else:
                self._is_foreign_place = self._is_foreign_place or self.is_foreign()
                self._enter(os.open(name, _DIRECTORY, dir_fd=self.directory))
        raise _error(errno.EISDIR)

    def _start(self, path: str) -> list[str]:
        """Its components, the first one last; from the root directory if it is absolute."""
        if path.startswith("/"):
            self._enter(os.open("/", _DIRECTORY))
            self._is_foreign_place = False
        elif self.directory is None:
            self._enter(os.open(".", _DIRECTORY))
        return path.split("/")[::-1]

    def _enter(self, directory: int) -> None:
        self.close()
        self.directory = directory

    def _examine(self, name: str) -> str | None:
        """Sets `status`. Returns the target of a link; `PermissionError` if another user may have put it there."""
        try:
            # Held open: a name can stand for another link by the time that it is read.
            entry = os.open(name, _O_PATH | _SAFE, dir_fd=self.directory) if _O_PATH else None
        except FileNotFoundError:
            self.status = None
            return None
        try:
            if entry is None:
                self.status = os.stat(name, dir_fd=self.directory, follow_symlinks=False)
            else:
                self.status = os.fstat(entry)
            if sys.platform == "win32" or not stat.S_ISLNK(self.status.st_mode):
                return None
            if self.is_foreign():
                raise _error(errno.EACCES)
            return os.readlink(name if entry is None else "", dir_fd=self.directory if entry is None else entry)
        except FileNotFoundError:
            self.status = None
            return None
        finally:
            if entry is not None:
                os.close(entry)

    def is_foreign(self) -> bool:
        """Whether the entry is another user's, in a place where others may create entries."""
        if sys.platform == "win32" or self.status is None or self.directory is None:
            return False
        directory = os.fstat(self.directory)
        owners = {os.geteuid()} if self._is_foreign_place else {os.geteuid(), directory.st_uid}
        return (self._is_foreign_place or bool(directory.st_mode & stat.S_IWOTH)) and self.status.st_uid not in owners

    def open(self, *, append: bool = False) -> int:
        """Opens what was there when the path was walked, or creates it."""
        expected = self.status
        in_shared = self.directory is not None and bool(os.fstat(self.directory).st_mode & stat.S_IWOTH)
        if self.is_foreign() or (in_shared and expected and stat.S_ISREG(expected.st_mode) and expected.st_nlink > 1):
            raise _error(errno.EACCES)  # a second name of a file may be another user's as well
        create = os.O_CREAT | os.O_EXCL if expected is None else 0
        flags = _WRITE | create | (os.O_APPEND if append else 0)
        descriptor = os.open(self.name, flags, 0o666, dir_fd=self.directory)
        found = os.fstat(descriptor)
        if expected is not None and _identity(found) != _identity(expected):
            os.close(descriptor)
            raise OSError(errno.EEXIST, "something else has taken its place")
        if sys.platform != "win32":
            os.set_blocking(descriptor, True)
        return descriptor

    def check_pipe(self) -> None:
        """Raises `OSError` if this user may not write into the pipe."""
        if self.is_foreign() or not os.access(
            self.name, os.W_OK, dir_fd=self.directory, effective_ids=os.access in os.supports_effective_ids
        ):
            raise _error(errno.EACCES)

    def check_replaceable(self) -> None:
        """Raises `OSError` if the file cannot be replaced, as far as can be seen now."""
        if sys.platform == "win32" or self.directory is None:
            return
        if not os.access(".", os.W_OK | os.X_OK, dir_fd=self.directory, effective_ids=True):
            raise _error(errno.EACCES)
        is_sticky = os.fstat(self.directory).st_mode & stat.S_ISVTX
        if is_sticky and os.geteuid() != 0 and self.is_foreign():
            raise _error(errno.EPERM)

    def replace(self, data: bytes) -> None:
        """All of it, or nothing. The temporary file has a name that no other user can predict."""
        temporary = os.path.join(os.path.dirname(self.name), f".prock-{os.urandom(8).hex()}.tmp")
        descriptor = os.open(temporary, _WRITE | os.O_CREAT | os.O_EXCL, 0o666, dir_fd=self.directory)
        try:
            try:
                if sys.platform != "win32":
                    self._copy_mode(descriptor)
                _write_all(descriptor, data)
            finally:
                os.close(descriptor)
            os.replace(temporary, self.name, src_dir_fd=self.directory, dst_dir_fd=self.directory)
        except BaseException:
            os.unlink(temporary, dir_fd=self.directory)
            raise

    def _copy_mode(self, descriptor: int) -> None:
        """Keep the mode and group of this user's own file; another user's mode is limited by the umask."""
        try:
            existing = os.stat(self.name, dir_fd=self.directory, follow_symlinks=False)
        except FileNotFoundError:
            return
        if sys.platform == "win32" or not stat.S_ISREG(existing.st_mode):
            return
        fresh = os.fstat(descriptor)
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


def _descriptor_of(path: str) -> int | None:
    """The number of the descriptor that a path such as ``/dev/fd/3`` stands for."""
    for directory in ("/dev/fd/", "/proc/self/fd/"):
        number = path.removeprefix(directory)
        if number != path and number.isdecimal() and number.isascii() and len(number) < 10:
            return int(number)
    return {"-": 1, "/dev/stdout": 1, "/dev/stderr": 2}.get(path)


def _identity(status: os.stat_result) -> tuple[int, int, int]:
    """The type as well: the inode of a removed file can be that of a new one at once."""
    return status.st_dev, status.st_ino, stat.S_IFMT(status.st_mode)


def _duplicate(number: int) -> int:
    """Never 0, 1 or 2, even if these are closed."""
    if sys.platform == "win32":
        return os.dup(number)
    import fcntl

    return fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 3)


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))

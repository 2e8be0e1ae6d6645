"""Replacing a file in one step, so that nobody reads half of it, and nobody else chooses which file it is.

The file may lie in a directory that others may write to, such as /tmp: there a stranger can put a link, or a file, in
its place at any moment of the run. So the directory is opened before the run, links are followed then and by the rule
of ``fs.protected_symlinks``, whatever that is set to, and in the end a name in that directory is replaced: a link that
has come there meanwhile is not followed, but replaced.
"""

from __future__ import annotations

import errno
import os
import stat
import sys

from prock.cli.run.files import write_all

assert sys.platform != "win32"  # there it is `replacing_on_windows`; and so that types are known

MOST_LINKS = 40
"""As many as the kernel follows."""
MOST_NAMES = 100
_PLACE = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC


class AtomicWriter:
    """Of a regular file, or of none yet. Raises `OSError` where it can be seen not to be possible."""

    def __init__(self, path: str) -> None:
        self._directory, self._name = find(path)
        try:
            if not os.access(".", os.W_OK | os.X_OK, dir_fd=self._directory, effective_ids=True):
                raise _error(errno.EACCES)
            known = self._existing()
            if known is not None and _is_anothers(known, os.fstat(self._directory)) and os.geteuid() != 0:
                raise _error(errno.EPERM)
        except BaseException:
            self.close()
            raise

    def write(self, data: bytes) -> None:
        """All of it, or nothing."""
        descriptor, beside = self._create()
        try:
            try:
                self._dress(descriptor)
                write_all(descriptor, data)
            finally:
                os.close(descriptor)
            os.replace(beside, self._name, src_dir_fd=self._directory, dst_dir_fd=self._directory)
        except BaseException:
            os.unlink(beside, dir_fd=self._directory)
            raise

    def close(self) -> None:
        os.close(self._directory)

    def _create(self) -> tuple[int, str]:
        """A file with a name that nobody can have taken before, lest the report be refused for it."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        for _ in range(MOST_NAMES):
            beside = f".prock-{os.urandom(8).hex()}.tmp"
            try:
                return os.open(beside, flags, 0o666, dir_fd=self._directory), beside
            except FileExistsError:
                continue
        raise _error(errno.EEXIST)

    def _dress(self, descriptor: int) -> None:
        """As the file before: of the own one what its owner chose, of another's no more than the umask leaves."""
        known, fresh = self._existing(), os.fstat(descriptor)
        if known is None or not stat.S_ISREG(known.st_mode):
            return
        mode = stat.S_IMODE(known.st_mode) & 0o777
        if known.st_uid != os.geteuid():
            mode &= stat.S_IMODE(fresh.st_mode)
        elif known.st_gid != fresh.st_gid:
            try:
                os.fchown(descriptor, -1, known.st_gid)
            except OSError:  # else another group could do what that one could
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


def find(path: str) -> tuple[int, str]:
    """A descriptor of the directory that the file is in, or would be, and its name there."""
    directory = -1
    try:
        for _ in range(MOST_LINKS):
            above, name = os.path.split(path)
            before, directory = directory, os.open(above or ".", _PLACE, dir_fd=directory if directory >= 0 else None)
            if before >= 0:
                os.close(before)
            if name in ("", ".", ".."):
                raise _error(errno.EISDIR)
            target = _target(directory, name)
            if target is None:
                return directory, name
            path = target
        raise _error(errno.ELOOP)
    except BaseException:
        if directory >= 0:
            os.close(directory)
        raise


def check_links(path: str) -> None:
    """Raise `PermissionError` where a stranger may have put a link in the place of the file."""
    try:
        directory, _ = find(path)
    except FileNotFoundError:  # to be said, or not, by who opens it: links of proc lead where their text does not
        return
    os.close(directory)


def _target(directory: int, name: str) -> str | None:
    """Where that leads; None where it is no link. `PermissionError` for one that a stranger may have put there."""
    if not hasattr(os, "O_PATH"):
        return _target_by_name(directory, name)
    try:
        link = os.open(name, getattr(os, "O_PATH", 0) | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    except FileNotFoundError:
        return None
    try:
        known = os.fstat(link)  # of the link itself: by its name it could be another one by now
        if not stat.S_ISLNK(known.st_mode):
            return None
        if _is_anothers(known, os.fstat(directory)):
            raise _error(errno.EACCES)
        return os.readlink("", dir_fd=link)
    finally:
        os.close(link)


def _target_by_name(directory: int, name: str) -> str | None:
    """On other systems than Linux a link can't be held: between the look at it and its reading it can be another's."""
    try:
        known = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if not stat.S_ISLNK(known.st_mode):
        return None
    if _is_anothers(known, os.fstat(directory)):
        raise _error(errno.EACCES)
    return os.readlink(name, dir_fd=directory)


def _is_anothers(known: os.stat_result, directory: os.stat_result) -> bool:
    """Whether it lies where everybody may put things, and neither this user nor who owns the place has put it there."""
    shared = directory.st_mode & stat.S_ISVTX and directory.st_mode & stat.S_IWOTH
    return bool(shared) and known.st_uid not in (os.geteuid(), directory.st_uid)


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))

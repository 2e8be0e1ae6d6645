"""What other systems than Linux tell of one process in words: its command line, directory, user and open files."""

from __future__ import annotations

import psutil

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def command_line(pid: int) -> str:
    """Its arguments with spaces between them; empty where there are none, or they are refused."""
    try:
        return " ".join(psutil.Process(pid).cmdline())
    except (psutil.Error, OSError):
        return ""


def directory(pid: int) -> str:
    return _asked(pid, lambda process: process.cwd())


def user(pid: int) -> str:
    return _asked(pid, lambda process: process.username())


def open_files(pid: int) -> str:
    return _asked(pid, lambda process: f"{process.num_fds():,}" if hasattr(process, "num_fds") else "-")


def _asked(pid: int, question: Callable[[psutil.Process], str]) -> str:
    """Raises `PermissionError` and `OSError`, as reading proc does."""
    try:
        return question(psutil.Process(pid)) or "-"
    except psutil.AccessDenied:
        raise PermissionError from None
    except (psutil.Error, KeyError):  # KeyError: a user without a name
        raise OSError from None

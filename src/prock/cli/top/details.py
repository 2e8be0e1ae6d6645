"""Details of one followed process: what ``prock stat`` shows, and its command line, directory, user and open files."""

from __future__ import annotations

import os
import sys

from prock import engine
from prock.cli import output, stat
from prock.errors import AccessDenied
from prock.process import get_process_cmdline
from prock.report.command_line import quote
from prock.report.layout import count, format_bytes, format_cpu, format_percent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    import psutil

    from prock.model import MemberSample

DENIED = "access denied"


def describe(member: MemberSample, screen: output.Screen) -> list[str]:
    """Lines of any length; `screen` must have no colours. May block if the process hangs in the kernel."""
    pid = member.pid
    facts = [
        ("command", _command(pid, screen)),
        ("directory", _text(lambda: screen.clean(_directory(pid)))),
        ("user", _text(lambda: screen.clean(_user(pid)))),
        ("open files", _text(lambda: _open_files(pid))),
    ]
    of_sample = [
        ("subtree", count(member.subtree_process_count, "process", "processes")),
        ("", f"{count(member.subtree_thread_count, 'thread')}, {format_bytes(member.subtree_rss_bytes)} resident"),
        ("", f"CPU {format_percent(member.subtree_cpu_percent)} %, {format_cpu(member.subtree_cpu_ns)} in total"),
        ("own CPU", f"{format_percent(member.cpu_percent)} %, {format_cpu(member.cpu_ns)} in total"),
    ]
    if member.pss_bytes is not None:
        of_sample.append(("PSS", format_bytes(member.pss_bytes)))
    try:  # last: it checks that the pid was still this process's when the facts were read
        subject = stat.Subject(pid)
        if subject.info.identity != member.identity:
            raise output.Failure(f"process {pid} has ended")
        page = stat.page(subject, screen)
    except output.Failure as failure:
        facts, page = [], [f"{failure}; from the last sample:"]
    except AccessDenied as denied:
        page = [f"{denied}; from the last sample:"]
    before, after = ([stat.labelled(*fact, screen) for fact in part] for part in (facts, of_sample))
    return [*before, *page, "", *after]


def _command(pid: int, screen: output.Screen) -> str:
    cmdline = get_process_cmdline(pid)
    return "-" if cmdline is None else quote(cmdline, screen.encoding)


def _text(read: Callable[[], str]) -> str:
    try:
        return read()
    except PermissionError:
        return DENIED
    except OSError:
        return "-"


def _directory(pid: int) -> str:
    if not engine.active.reads_proc:
        return _by_psutil(pid, lambda process: process.cwd())
    return os.readlink(f"{engine.active.root}/{pid}/cwd")


def _user(pid: int) -> str:
    """The effective user, and the real user if it differs."""
    if sys.platform == "win32" or not engine.active.reads_proc:
        return _by_psutil(pid, lambda process: process.username())
    with open(f"{engine.active.root}/{pid}/status", "rb") as file:
        real, effective = next(map(int, line.split()[1:3]) for line in file if line.startswith(b"Uid:"))
    return _user_name(effective) + ("" if real == effective else f", started by {_user_name(real)}")


def _user_name(uid: int) -> str:
    if sys.platform == "win32":
        return str(uid)
    import pwd

    try:
        return f"{pwd.getpwuid(uid).pw_name} ({uid})"
    except KeyError:
        return str(uid)


def _open_files(pid: int) -> str:
    if not engine.active.reads_proc:
        return _by_psutil(pid, lambda process: f"{process.num_fds():,}" if hasattr(process, "num_fds") else "-")
    with os.scandir(f"{engine.active.root}/{pid}/fd") as files:
        number = sum(1 for _ in files)  # no list: there may be a million
    with open(f"{engine.active.root}/{pid}/limits", "rb") as file:
        limit = next((line.split()[3].decode() for line in file if line.startswith(b"Max open files")), "-")
    return f"{number:,} of at most {limit}"


def _by_psutil(pid: int, read: Callable[[psutil.Process], str]) -> str:
    """Raises `PermissionError` and `OSError`, as reading /proc does."""
    import psutil

    try:
        return read(psutil.Process(pid)) or "-"
    except psutil.AccessDenied:
        raise PermissionError from None
    except (psutil.Error, KeyError):  # KeyError: a user without a name
        raise OSError from None

"""Everything about one process that is followed: what ``prock stat`` tells, and what only proc has in words."""

from __future__ import annotations

import os
import sys

from prock import engine
from prock.cli import output, stat
from prock.cli.top.trees import command_line
from prock.errors import AccessDenied
from prock.report.format import format_bytes, format_cpu
from prock.report.layout import count, format_percent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from prock.model import MemberSample

REFUSED = "refused to this user"


def describe(member: MemberSample, screen: output.Screen) -> list[str]:
    """Lines of any length; `screen` must have no colours. May block, where the process hangs in the kernel."""
    pid = member.pid
    words = [
        ("command", _asked(lambda: screen.clean(command_line(pid)) or "none (kernel thread or zombie)")),
        ("directory", _asked(lambda: screen.clean(_directory(pid)))),
        ("user", _asked(lambda: screen.clean(_user(pid)))),
        ("open files", _asked(lambda: _open_files(pid))),
    ]
    of_sample = [
        ("subtree", count(member.subtree_process_count, "process", "processes")),
        ("", f"{count(member.subtree_thread_count, 'thread')}, {format_bytes(member.subtree_rss_bytes)} resident"),
        ("", f"CPU {format_percent(member.subtree_cpu_percent)} %, {format_cpu(member.subtree_cpu_ns)} in all"),
        ("own CPU", f"{format_percent(member.cpu_percent)} %, {format_cpu(member.cpu_ns)} in all"),
    ]
    if member.pss_bytes is not None:
        of_sample.append(("PSS", format_bytes(member.pss_bytes)))
    try:  # last, as it tells whether the pid was still this process's when the words were read
        subject = stat.Subject(pid)
        if subject.info.identity != member.identity:
            raise output.Failure(f"process {pid} has ended")
        page = stat.page(subject, screen)
    except output.Failure as failure:
        words, page = [], [f"{failure}; what the last sample knew:"]
    except AccessDenied as denied:
        page = [f"{denied}; what the last sample knew:"]
    return [*_labelled(words), *page, "", *_labelled(of_sample)]


def _labelled(facts: list[tuple[str, str]]) -> list[str]:
    return [f"{label:{stat.LABEL_WIDTH}}{text}" for label, text in facts]


def _asked(question: Callable[[], str]) -> str:
    try:
        return question()
    except PermissionError:
        return REFUSED
    except OSError:
        return "-"


def _directory(pid: int) -> str:
    if engine.active.name == "portable":
        from prock.cli.top import words

        return words.directory(pid)
    return os.readlink(f"/proc/{pid}/cwd")


def _user(pid: int) -> str:
    """The effective one, and the real one where it is another."""
    if sys.platform == "win32" or engine.active.name == "portable":
        from prock.cli.top import words

        return words.user(pid)
    with open(f"/proc/{pid}/status", "rb") as file:
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
    if engine.active.name == "portable":
        from prock.cli.top import words

        return words.open_files(pid)
    with os.scandir(f"/proc/{pid}/fd") as files:
        number = sum(1 for _ in files)  # there may be a million: no list of them
    with open(f"/proc/{pid}/limits", "rb") as file:
        limit = next((line.split()[3].decode() for line in file if line.startswith(b"Max open files")), "-")
    return f"{number:,} of at most {limit}"

"""Details of one followed process: what ``prock stat`` shows, its limit of open files, and its last sample."""

from __future__ import annotations

import os

from prock import engine
from prock.cli import output, stat
from prock.engine import facts
from prock.errors import AccessDenied
from prock.report.layout import count, format_bytes, format_cpu, format_number, format_percent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from prock.model import MemberSample


def describe(member: MemberSample, screen: output.Screen) -> list[str]:
    """Lines of any length; `screen` must have no colours. May block if the process hangs in the kernel."""
    pid = member.pid
    open_files = _open_files(pid)
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
        page = [*stat.page(subject, screen), stat.labelled("open files", open_files, screen)]
    except output.Failure as failure:
        page = [f"{failure}; from the last sample:"]
    except AccessDenied as denied:
        page = [f"{denied}; from the last sample:"]
    return [*page, "", *(stat.labelled(*fact, screen) for fact in of_sample)]


def _open_files(pid: int) -> str:
    try:
        if not engine.active.reads_proc:
            known = facts.by_psutil(pid, lambda process: process.num_fds() if hasattr(process, "num_fds") else None)
            return format_number(known)
        with os.scandir(f"{engine.active.root}/{pid}/fd") as files:
            number = sum(1 for _ in files)  # no list: there may be a million
        with open(f"{engine.active.root}/{pid}/limits", "rb") as file:
            limit = next((line.split()[3].decode() for line in file if line.startswith(b"Max open files")), "-")
    except PermissionError:
        return "access denied"
    except OSError:
        return "-"
    return f"{number:,} of at most {limit}"

"""``prock stat``: one process in detail.

JSON (``prock.stat/1``): fields of `prock.ProcessInfo` and `prock.DiskIo`, and `path`, `cmdline` (the arguments; the
values of passwords, tokens, secrets and keys are ``***``), `directory`, `user` (effective), `real_user`, `nice`,
`cgroup` (path in cgroup v2), `tty`, `start_time` (seconds since the epoch), `age_s`, `children` (pids), ``cpu_time``
and ``waited_for_children_cpu_time`` (each `user_ns`, `system_ns`, `total_ns`). Null is unknown, not applicable or
access denied; `refused` names the files below ``/proc/PID`` to which access was denied.
"""

from __future__ import annotations

import time

import prock
from prock import engine
from prock.cli import output
from prock.cli import parser as command
from prock.engine import facts
from prock.model import NUMBERS, CpuTime, ProcessInfo, ProcessStats
from prock.report.layout import (
    as_document,
    count,
    decode_bytes,
    format_age,
    format_bytes,
    format_cpu,
    format_number,
    quote,
    table,
)
from prock.sampling.command_lines import CommandLines

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from typing import TypeVar

    Value = TypeVar("Value")

EPILOG = """\
The total CPU time of the process itself is exact to the nanosecond; its split
into user and system is an estimate, and the time of waited-for children has a
resolution of 10 ms. The kernel counts the I/O of children that were waited for
as the process's own.

A dash means unknown. On other systems than Linux, times are as exact as the
system reports them, and figures that it does not report (page faults, perhaps
children and I/O) are left out.

example:
  prock stat 1                  show the first process of this machine
"""

STATES = {
    "R": "running or runnable",
    "S": "sleeping",
    "D": "uninterruptible wait, usually for I/O",
    "T": "stopped by a signal",
    "t": "stopped by a debugger",
    "Z": "zombie, not reaped by its parent",
    "X": "dead",
    "I": "idle kernel thread",
    "P": "parked kernel thread",
}
LABEL_WIDTH = 12


def configure(parser: argparse.ArgumentParser) -> None:
    command.add_pid(parser, of="the process")
    command.add_no_args(parser)


def run(arguments: argparse.Namespace) -> int:
    subject = Subject(command.chosen_pid(arguments), arguments=arguments.arguments)
    if arguments.json:
        output.write_json(subject.as_json())
    else:
        output.write(page(subject, output.Screen()))
    return 0


class Subject:
    """Everything that can be read of one process, at about one time."""

    def __init__(self, pid: int, *, arguments: bool = True) -> None:
        stats = prock.snapshot_process(pid, io=True, **dict.fromkeys((metric.option for metric in NUMBERS), True))
        if stats is None:
            raise output.Failure(f"no process {pid}")
        if stats.info is None:
            raise prock.AccessDenied(pid, "stat")
        self.stats: ProcessStats = stats
        self.info: ProcessInfo = stats.info
        self.refused = list(stats.refused)
        self.path = self._read(prock.get_process_path, pid, "exe")
        self.children = self._read(prock.get_children, pid, "children")
        self.parent_comm = self._read(prock.get_process_comm, self.info.ppid, None) if self.info.ppid else None
        self.directory = self._read(facts.directory, pid, "cwd")
        self.users = self._read(facts.users, pid, "status")
        self.nice = self._read(facts.nice, pid, "nice")
        self.cgroup = self._read(facts.cgroup, pid, "cgroup")
        cmdlines = CommandLines(engine.active, arguments=arguments)
        cmdlines.read([(self.info.identity, self.info.comm)])
        self.cmdline = cmdlines.get(self.info.identity, self.info.comm)
        liveness = self._read(prock.get_liveness_info, pid, "stat")
        if liveness is None or liveness.identity != self.info.identity:
            raise output.Failure(f"no process {pid}: it ended while it was read")
        self.start_time = liveness.start_time
        self.tty = liveness.tty
        self.age_s = max(0.0, time.time() - self.start_time)

    def _read(self, read: Callable[[int], Value], pid: int, file: str | None) -> Value | None:
        """None if access is denied or not supported, and the file is then noted; also if it has ended."""
        try:
            return read(pid)
        except (PermissionError, prock.NotSupported):
            if file is not None:
                self.refused.append(file)
            return None
        except OSError:
            return None

    @property
    def waited_for(self) -> CpuTime | None:
        """None if the system does not count it."""
        user_ns, system_ns = self.info.children_user_ns, self.info.children_system_ns
        return None if user_ns is None or system_ns is None else CpuTime(user_ns, system_ns)

    def as_json(self) -> dict[str, object]:
        info, disk_io = self.info, self.stats.disk_io
        return {
            "schema": "prock.stat/1",
            "pid": info.pid,
            "ppid": info.ppid,
            "pgrp": info.pgrp,
            "session": info.session,
            "comm": decode_bytes(info.comm),
            "path": None if self.path is None else decode_bytes(self.path),
            "cmdline": as_document(self.cmdline),
            "directory": None if self.directory is None else decode_bytes(self.directory),
            "user": None if self.users is None else self.users[0],
            "real_user": None if self.users is None else self.users[1],
            "nice": self.nice,
            "cgroup": None if self.cgroup is None else decode_bytes(self.cgroup),
            "state": info.state,
            "tty": self.tty,
            "start_ticks": info.start_ticks,
            "start_time": self.start_time,
            "age_s": round(self.age_s, 2),
            "thread_count": info.thread_count,
            "children": self.children,
            "cpu_time": cpu_as_json(info.cpu_time),
            "waited_for_children_cpu_time": None if self.waited_for is None else cpu_as_json(self.waited_for),
            "rss_bytes": info.rss_bytes,
            "vsize_bytes": info.vsize_bytes,
            "minor_faults": info.minor_faults,
            "major_faults": info.major_faults,
            "disk_io": None if disk_io is None else disk_io._asdict(),
            **{metric.name: getattr(self.stats, metric.name) for metric in NUMBERS},
            "refused": self.refused,
        }


def cpu_as_json(time_used: CpuTime) -> dict[str, int]:
    return {**time_used._asdict(), "total_ns": time_used.total_ns}


def page(subject: Subject, screen: output.Screen) -> list[str]:
    info = subject.info
    children = None if subject.children is None else len(subject.children)
    facts = [
        ("process", f"{info.pid} {screen.clean(info.comm)}"),
        ("path", _path(subject, screen)),
        ("command", "-" if subject.cmdline is None else quote(subject.cmdline, screen.encoding)),
        ("directory", _unless_denied(subject, "cwd", screen.clean(subject.directory or "-"))),
        ("user", _unless_denied(subject, "status", _user(subject, screen))),
        ("parent", _parent(subject, screen)),
        ("children", _unless_denied(subject, "children", format_number(children))),
        ("state", f"{info.state} ({_state(info)})"),
        ("terminal", screen.clean(subject.tty or "none")),
        ("started", f"{_local_time(subject.start_time)}, {format_age(subject.age_s)} ago"),
        ("nice", "-" if subject.nice is None else str(subject.nice)),
        ("cgroup", screen.clean(subject.cgroup or "-")),
        ("threads", f"{info.thread_count:,}"),
        ("memory", f"{format_bytes(info.rss_bytes)} resident, {format_bytes(info.vsize_bytes)} virtual"),
    ]
    facts += [
        (metric.title.lower(), _unless_denied(subject, metric.file, format_number(getattr(subject.stats, metric.name))))
        for metric in NUMBERS
    ]
    if info.minor_faults is not None and info.major_faults is not None:
        text = f"{info.minor_faults:,} minor, {info.major_faults:,} major (read from storage)"
        facts.append(("page faults", text))
    lines = [labelled(label, text, screen) for label, text in facts]
    lines += ["", *_block("CPU", _cpu_rows(subject), screen), ""]
    disk_io = subject.stats.disk_io
    if disk_io is None:
        return [*lines, labelled("I/O", _no_io(subject), screen)]
    rows = [
        ("storage", "through calls", "calls", ""),
        (format_bytes(disk_io.read_bytes), format_bytes(disk_io.read_chars), format_number(disk_io.read_count), "read"),
        (
            format_bytes(disk_io.write_bytes),
            format_bytes(disk_io.write_chars),
            format_number(disk_io.write_count),
            "written",
        ),
    ]
    if disk_io.cancelled_write_bytes:
        rows.append((format_bytes(disk_io.cancelled_write_bytes), "", "", "of which cancelled"))
    return [*lines, *_block("I/O", rows, screen)]


def _cpu_rows(subject: Subject) -> list[tuple[str, str, str, str]]:
    own, waited = subject.info.cpu_time, subject.waited_for
    parts = [(own, "own")]
    if waited is not None:
        parts += [(waited, "waited-for children"), (own + waited, "sum")]
    return [("user", "system", "total", "")] + [
        (format_cpu(part.user_ns), format_cpu(part.system_ns), format_cpu(part.total_ns), of) for part, of in parts
    ]


def labelled(label: str, text: str, screen: output.Screen) -> str:
    return screen.paint(f"{label:{LABEL_WIDTH}}", "bold") + text


def _block(label: str, rows: list[tuple[str, str, str, str]], screen: output.Screen) -> list[str]:
    """A small table next to its label."""
    first, *others = (line.rstrip() for line in table(rows))
    return [labelled(label, screen.paint(first, "dim"), screen), *(" " * LABEL_WIDTH + line for line in others)]


def _unless_denied(subject: Subject, file: str, text: str) -> str:
    return "access denied" if file in subject.refused else text


def _no_io(subject: Subject) -> str:
    try:
        engine.active.disk_io(None)
    except prock.NotSupported as error:
        return error.what
    except (prock.ProckError, OSError):
        pass
    return _unless_denied(subject, "io", "-")


def _path(subject: Subject, screen: output.Screen) -> str:
    if subject.path is not None:
        return screen.clean(subject.path)
    nothing = "none (kernel thread)" if subject.info.vsize_bytes == 0 and subject.info.state != "Z" else "-"
    return _unless_denied(subject, "exe", nothing)


def _user(subject: Subject, screen: output.Screen) -> str:
    """The effective user, and the real user if it differs."""
    if subject.users is None:
        return "-"
    effective, real = map(screen.clean, subject.users)
    return effective if real == effective else f"{effective}, started by {real}"


def _parent(subject: Subject, screen: output.Screen) -> str:
    if not subject.info.ppid:
        return "none in this PID namespace"
    return f"{subject.info.ppid} {screen.clean(subject.parent_comm or '-')}"


def _state(info: ProcessInfo) -> str:
    if info.state == "Z" and info.thread_count > 1:
        return f"main thread has ended, {count(info.thread_count - 1, 'other')} running"
    return STATES.get(info.state, "unknown")


def _local_time(epoch_seconds: float) -> str:
    """As in RFC 3339, with the offset from UTC."""
    local = time.localtime(epoch_seconds)
    offset = time.strftime("%z", local)
    return f"{time.strftime('%Y-%m-%d %H:%M:%S', local)}{offset[:3]}:{offset[3:]}"

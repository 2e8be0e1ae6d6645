"""``launcher/main.c`` in Python, where that could not be compiled: executed as a script, with the same arguments.

It becomes the command itself, and does not divide: the command's largest resident set is at least this Python's.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

MOST_EVENTS = 253


def open_events(cpus: str, with_switches: bool) -> tuple[list[int], int]:
    """Descriptors, and an errno where there are none."""
    if cpus == "-":
        return [], 0
    sys.path.insert(0, os.path.abspath(os.path.join(os.path.dirname(__file__), *[os.pardir] * 3)))
    from prock.engine.pure.perf import open_on_exec, open_switches_on_exec

    numbers = [-1] if cpus == "any" else [int(cpu) for cpu in cpus.split(",")]
    events, error = open_all(numbers, open_on_exec)
    if events and with_switches and 2 * len(events) <= MOST_EVENTS:
        events += open_all(numbers, open_switches_on_exec)[0]
    return events, error


def open_all(cpus: list[int], open_one: Callable[[int], int]) -> tuple[list[int], int]:
    events: list[int] = []
    try:
        for cpu in cpus:
            events.append(open_one(cpu))  # noqa: PERF401  # those before one that fails have to be closed
    except OSError as error:
        for event in events:
            os.close(event)
        return [], error.errno or 1
    return events, 0


def join(group: int) -> int:
    """Enter the cgroup; an errno."""
    try:
        procs = os.open("cgroup.procs", os.O_WRONLY, dir_fd=group)
        try:
            os.write(procs, b"0")
        finally:
            os.close(procs)
    except OSError as error:
        return error.errno or 1
    return 0


def keep_only(keep: str) -> None:
    kept = {int(number) for number in keep.split(",") if number}
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            try:
                os.set_inheritable(int(name), int(name) in kept)
            except OSError:  # the directory's own
                pass


def fail(control: socket.socket, kind: str, error: OSError) -> NoReturn:
    control.send(f"{kind} {error.errno}".encode())
    os._exit(127)


def main(unset: str, signals: str, arguments: list[str]) -> NoReturn:
    number, group, cpus, keep, stops, flags, mask, directory, count, *rest = arguments
    control = socket.socket(fileno=int(number))
    control.set_inheritable(False)
    group_error = outside_ns = 0
    if int(group) >= 0:
        os.set_inheritable(int(group), False)
        group_error = join(int(group))
        outside_ns = time.process_time_ns()
    events, perf_error = open_events(cpus, "w" in flags)
    report = f"b {os.getpid()} {group_error} {perf_error} {time.process_time_ns()} {outside_ns}"
    socket.send_fds(control, [report.encode()], events)
    if control.recv(1) != b"g":
        os._exit(127)
    for name in signals.split(","):
        if name:
            signal.signal(int(name), signal.SIG_DFL)
    if keep != "-":
        keep_only(keep)
    try:
        if "s" in flags:
            os.setsid()
        if "g" in flags:
            os.setpgid(0, 0)
    except OSError as error:
        fail(control, "s", error)
    if mask != "-":
        os.umask(int(mask, 8))
    try:
        if directory:
            os.chdir(directory)
    except OSError as error:
        fail(control, "d", error)
    environ = {name: value for name, value in os.environ.items() if name != unset}
    unblock([int(number) for number in stops.split(",") if number])
    command = rest[int(count) :]
    told: OSError | None = None
    for file in rest[: int(count)]:
        try:
            os.execve(file, command, environ)
        except OSError as error:
            if error.errno == errno.ENOEXEC and "x" in flags:
                file, command = "/bin/sh", ["/bin/sh", file, *command[1:]]
                os.execve(file, command, environ)
            if told is None or isinstance(told, (FileNotFoundError, NotADirectoryError)):
                told = error
    assert told is not None  # there is a file at least
    fail(control, "x", told)


def unblock(numbers: list[int]) -> None:
    """One that came meanwhile is forgotten."""
    for number in numbers:
        if signal.signal(number, signal.SIG_IGN) != signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])

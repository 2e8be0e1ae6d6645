"""Signals to a process that was seen, and to no other that got its pid meanwhile, or has it in another namespace."""

from __future__ import annotations

import errno
import os
import signal
import sys

from prock import engine
from prock._compat.signals import KILL, TERM, name
from prock.process import get_liveness_info

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from prock.model import Identity

_MEANINGS = {
    "SIGTERM": "end, after tidying up" if sys.platform != "win32" else "end at once; can't be refused",
    "SIGINT": "as Ctrl-C",
    "SIGHUP": "the terminal is gone, or: read your configuration",
    "SIGQUIT": "end, with a core dump",
    "SIGKILL": "end at once; can't be refused",
    "SIGSTOP": "stop; can't be refused",
    "SIGCONT": "go on",
    "SIGUSR1": "what the program makes of it",
    "SIGUSR2": "what the program makes of it",
}
SIGNALS = tuple(
    (signal.Signals[name], meaning)
    for name, meaning in _MEANINGS.items()
    if hasattr(signal, name) and (sys.platform != "win32" or name == "SIGTERM")  # others end it there, too
)


class NotSent(Exception):
    """Why not, for people."""


def send(identity: Identity, number: int) -> None:
    """Raises `NotSent`.

    Linux: through a pidfd, which holds on to whoever had the pid, so that it goes to that process or to nobody. There
    is no second way by pid alone: between a look at it and the signal it can change hands.

    Other systems have nothing to hold on to but the handles of Windows, which are of a pid, too. There the start of the
    process is looked at just before the signal is sent: who got the pid earlier than some microseconds ago is safe, and
    who gets it within these is not. Windows knows no signals: SIGTERM and SIGKILL both end a process at once.
    """
    if sys.platform != "linux":
        _send_by_pid(identity, number)
        return
    pid, _ = identity
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        raise NotSent(f"process {pid} has ended") from None
    except OSError as error:
        reason = "this kernel has no pidfd (Linux 5.3)" if error.errno == errno.ENOSYS else error.strerror
        raise NotSent(f"{name(number)} not sent to {pid}: {reason}") from None
    try:
        # The descriptor holds on to whoever had the pid; only then to ask who it was leaves no gap.
        called = _pid_in_proc(descriptor)
        if called not in (pid, -1):
            raise NotSent(f"{name(number)} not sent to {pid}: the mounted proc numbers processes in another way")
        _check_and(identity, number, lambda: signal.pidfd_send_signal(descriptor, number))
    except PermissionError:
        raise NotSent(f"{name(number)} refused: process {pid} is another user's") from None
    finally:
        os.close(descriptor)


def _send_by_pid(identity: Identity, number: int) -> None:
    pid, _ = identity
    if sys.platform == "win32":
        if number not in (TERM, KILL):
            raise NotSent(f"{name(number)} not sent to {pid}: Windows knows no such signal")
        number = TERM
    _check_and(identity, number, lambda: os.kill(pid, number))


def _check_and(identity: Identity, number: int, send_it: Callable[[], None]) -> None:
    """Send it where it is that process still."""
    pid, _ = identity
    try:
        liveness = get_liveness_info(pid)
        if liveness is None or liveness.identity != identity:
            raise NotSent(f"process {pid} has ended")
        if not liveness.is_alive:
            raise NotSent(f"process {pid} is a zombie: signals do nothing any more")
        send_it()
    except ProcessLookupError:
        raise NotSent(f"process {pid} has ended") from None
    except PermissionError:  # of AccessDenied, too
        raise NotSent(f"{name(number)} refused: process {pid} is another user's") from None
    except OSError as error:
        raise NotSent(f"{name(number)} not sent to {pid}: {error.strerror}") from None


def _pid_in_proc(descriptor: int) -> int | None:
    """What the proc that we read calls the process behind a pidfd; -1 where it has ended, 0 where it is not seen there.

    That proc can be another PID namespace's: then the pid that was seen in it is somebody else's to `pidfd_open`.
    """
    try:
        with open(f"{engine.active.root}/self/fdinfo/{descriptor}", "rb", buffering=0) as file:
            fields = dict(line.split(b":", 1) for line in file.readall().splitlines() if b":" in line)
            return int(fields[b"Pid"])
    except (FileNotFoundError, KeyError, ValueError):
        return None

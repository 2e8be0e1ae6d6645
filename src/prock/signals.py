"""Signals to a process that was seen, and to no other that got its pid meanwhile, or has it in another namespace."""

from __future__ import annotations

import errno
import os
import signal

from prock import engine
from prock._signals import name
from prock.process import get_liveness_info

TYPE_CHECKING = False  # see prock/_records.py
if TYPE_CHECKING:
    from prock.model import Identity

SIGNALS = (
    (signal.SIGTERM, "end, after tidying up"),
    (signal.SIGINT, "as Ctrl-C"),
    (signal.SIGHUP, "the terminal is gone, or: read your configuration"),
    (signal.SIGQUIT, "end, with a core dump"),
    (signal.SIGKILL, "end at once; can't be refused"),
    (signal.SIGSTOP, "stop; can't be refused"),
    (signal.SIGCONT, "go on"),
    (signal.SIGUSR1, "what the program makes of it"),
    (signal.SIGUSR2, "what the program makes of it"),
)


class NotSent(Exception):
    """Why not, for people."""


def send(identity: Identity, number: int) -> None:
    """Raises `NotSent`. No second way by pid alone: between a look at it and the signal it can change hands."""
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
        liveness = get_liveness_info(pid)
        if liveness is None or liveness.identity != identity:
            raise NotSent(f"process {pid} has ended")
        if not liveness.is_alive:
            raise NotSent(f"process {pid} is a zombie: signals do nothing any more")
        signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        raise NotSent(f"process {pid} has ended") from None
    except PermissionError:  # of AccessDenied, too
        raise NotSent(f"{name(number)} refused: process {pid} is another user's") from None
    except OSError as error:
        raise NotSent(f"{name(number)} not sent to {pid}: {error.strerror}") from None
    finally:
        os.close(descriptor)


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

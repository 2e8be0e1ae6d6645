"""Signals to a process that was seen, and to no other that got its pid meanwhile."""

from __future__ import annotations

import errno
import os
import signal

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

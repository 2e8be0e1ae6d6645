"""`send`: a signal to a process that was seen, never to another process with the same pid."""

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
    "SIGTERM": "end, after cleaning up" if sys.platform != "win32" else "end at once; cannot be caught",
    "SIGINT": "interrupt, as Ctrl-C",
    "SIGHUP": "terminal closed, or reload the configuration",
    "SIGQUIT": "end, with a core dump",
    "SIGKILL": "end at once; cannot be caught",
    "SIGSTOP": "stop; cannot be caught",
    "SIGCONT": "continue",
    "SIGUSR1": "defined by the program",
    "SIGUSR2": "defined by the program",
}
SIGNALS = tuple(
    (signal.Signals[name], meaning)
    for name, meaning in _MEANINGS.items()
    if hasattr(signal, name) and (sys.platform != "win32" or name == "SIGTERM")  # there the others end the process, too
)


class NotSent(Exception):
    """The signal was not sent; the message says why."""


def send(identity: Identity, number: int) -> None:
    """Raises `NotSent`.

    Linux: through a pidfd. It refers to one process, and its identity is checked before the signal is sent, so that no
    other process can get it. There is intentionally no fallback by pid: the pid may be reused after the check.

    Other systems: the start time of the process is checked just before the signal is sent by pid. A pid that is reused
    in the microseconds between the two is a race that remains. Windows has no signals: SIGTERM and SIGKILL both end a
    process at once.
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
        # The identity is read after the descriptor was opened: no race remains.
        pid_in_proc = _pid_in_proc(descriptor)
        if pid_in_proc not in (pid, -1):
            raise NotSent(f"{name(number)} not sent to {pid}: /proc belongs to another PID namespace")
        _check_and_send(identity, number, lambda: signal.pidfd_send_signal(descriptor, number))
    except PermissionError:
        raise NotSent(f"{name(number)} not sent: process {pid} is another user's") from None
    finally:
        os.close(descriptor)


def _send_by_pid(identity: Identity, number: int) -> None:
    pid, _ = identity
    if sys.platform == "win32":
        if number not in (TERM, KILL):
            raise NotSent(f"{name(number)} not sent to {pid}: Windows has no such signal")
        number = TERM
    _check_and_send(identity, number, lambda: os.kill(pid, number))


def _check_and_send(identity: Identity, number: int, send_it: Callable[[], None]) -> None:
    """Call `send_it` if the pid still belongs to that process."""
    pid, _ = identity
    try:
        liveness = get_liveness_info(pid)
        if liveness is None or liveness.identity != identity:
            raise NotSent(f"process {pid} has ended")
        if not liveness.is_alive:
            raise NotSent(f"process {pid} is a zombie: signals have no effect")
        send_it()
    except ProcessLookupError:
        raise NotSent(f"process {pid} has ended") from None
    except PermissionError:  # also AccessDenied
        raise NotSent(f"{name(number)} not sent: process {pid} is another user's") from None
    except OSError as error:
        raise NotSent(f"{name(number)} not sent to {pid}: {error.strerror}") from None


def _pid_in_proc(descriptor: int) -> int | None:
    """The pid that the mounted /proc shows for a pidfd; -1: it has ended, 0: it is not visible there.

    /proc may belong to another PID namespace, in which `pidfd_open` would take the pid for another process's.
    """
    try:
        with open(f"{engine.active.root}/self/fdinfo/{descriptor}", "rb", buffering=0) as file:
            fields = dict(line.split(b":", 1) for line in file.readall().splitlines() if b":" in line)
            return int(fields[b"Pid"])
    except (FileNotFoundError, KeyError, ValueError):
        return None

"""Start a command so that it is counted from its first instruction on.

Between fork and exec a process has to enter a cgroup, to open perf events on itself and to wait until their buffers are
mapped. A small program does that (``native/launcher/main.c``, which says why it is a program): no Python code runs in a
fork of the calling process, whose other threads may hold any lock. Without a compiler there is no such program, and
`prock.runner.spawn_portable` starts the command.
"""

from __future__ import annotations

import _socket  # the module socket around it costs ten milliseconds to import
import errno
import os
import sys
import time

from prock._compat.namedtuple import NamedTuple
from prock._compat.signals import is_child, kernel, pidfd_of_child
from prock.accounting.cgroup import ABOVE_STANDARD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

STOPS = (kernel.SIGTSTP, kernel.SIGTTIN, kernel.SIGTTOU)
"""Blocked for the launcher: if a Ctrl-Z stopped it, who called it would wait for it, deaf to all."""
MOST_EVENTS = 253
"""As many descriptors as one message takes."""


class Launched(NamedTuple):
    """A command that runs."""

    pid: int
    start_time: float
    """Seconds since the epoch, and below nanoseconds of the monotonic clock, just before it was executed."""
    started_ns: int


class LauncherReport(NamedTuple):
    """A process that is about to execute the command."""

    pid: int
    group_error: int
    """Errno where it couldn't enter the cgroup; 0 where it could, or none was given."""
    perf_error: int
    """Errno where it couldn't open perf events."""
    used_ns: int
    """CPU time that it has used so far: not the command's."""
    outside_ns: int
    """Of it: before it was in the cgroup."""


class SpawnOptions(NamedTuple):
    """What a command inherits."""

    env: Mapping[bytes, bytes]
    cwd: bytes = b""
    stdio: tuple[int, int, int] = (-1, -1, -1)
    """Descriptors that it gets as 0, 1 and 2; -1 for the caller's own."""
    keep: tuple[int, ...] | None = None
    """Other descriptors that it keeps; None for all that can be inherited."""
    scripts: bool = False
    """Take a file that is no program for a script of ``/bin/sh``, as execvp(3) and shells do."""
    new_session: bool = False
    new_group: bool = False
    umask: int = -1
    mask: Iterable[int] = ()
    """Signals that are blocked for it."""
    defaults: Iterable[int] = ()
    """Signals that get their default meaning back."""

    def __repr__(self) -> str:
        """Without the values of variables: a repr ends up in logs."""
        return (
            f"Setup(env=<{len(self.env)} variables>, cwd={self.cwd!r}, stdio={self.stdio!r}, keep={self.keep!r}, ...)"
        )


def launch(
    launcher: str,
    command: Sequence[bytes],
    files: Sequence[bytes],
    setup: SpawnOptions,
    *,
    name: bytes,
    group: int = -1,
    cpus: str = "-",
    with_switches: bool = False,
    when_ready: Callable[[LauncherReport, list[int]], None],
    meanwhile: Callable[[], object] = bool,
) -> Launched:
    """Execute the first of `files` that can be, with `command` as its arguments.

    `launcher`: see `Engine.launcher`. `name`: what the program is called in errors. `group`: descriptor of a cgroup's
    directory, or -1. `cpus`: ``-`` for no perf events, ``any`` for one, or numbers with commas between them for one on
    each of these CPUs, and `with_switches` as many more; `when_ready` is called before the command runs, with the
    descriptors of the events, which it owns from then on; an exception of its ends the launch. `meanwhile` is called
    while the process makes itself ready: its first perf event takes up to 3 ms. Raises `OSError` as exec or chdir did.
    """
    ours, theirs = _pair()
    started = pid = 0
    try:
        setting = (
            str(theirs.fileno()), str(group), cpus,
            "-" if setup.keep is None else ",".join(map(str, setup.keep)),
            ",".join(str(number) for number in STOPS if number not in set(setup.mask)),
            "x" * setup.scripts + "s" * setup.new_session + "g" * setup.new_group + "w" * with_switches + "-",
            "-" if setup.umask < 0 else f"{setup.umask:o}",
        )  # fmt: skip
        argv = [*map(str.encode, setting), setup.cwd, str(len(files)).encode(), *files, *command]
        started = _spawn(launcher, argv, name, setup, theirs.fileno(), group)
        theirs.close()
        meanwhile()
        launched = _converse(ours, name, setup, when_ready)
        pid = launched.pid
        return launched
    finally:
        theirs.close()
        ours.close()
        if started != pid:  # else it has become the command
            _reap(started)


def _pair() -> tuple[_socket.socket, _socket.socket]:
    """Above the standard descriptors, also where the caller has closed those: the launcher puts others there."""
    pair = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    if min(end.fileno() for end in pair) > 2:
        return pair
    import fcntl

    lifted = [fcntl.fcntl(end.fileno(), fcntl.F_DUPFD_CLOEXEC, ABOVE_STANDARD) for end in pair]
    for end in pair:
        end.close()
    ours, theirs = (_socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET, 0, descriptor) for descriptor in lifted)
    return ours, theirs


def _spawn(launcher: str, argv: list[bytes], name: bytes, setup: SpawnOptions, control: int, group: int) -> int:
    actions: list[tuple[int, int, int]] = []
    lifted: list[int] = []
    try:
        for target, descriptor in enumerate(setup.stdio):
            if descriptor < 0:
                continue
            if descriptor <= 2 and descriptor != target:  # it may be overwritten before it is its turn
                import fcntl

                descriptor = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, ABOVE_STANDARD)
                lifted.append(descriptor)
            actions.append((os.POSIX_SPAWN_DUP2, descriptor, target))
        # A descriptor that is put where it is loses its mark "close on exec".
        kept = (control, *((group,) if group >= 0 else ()), *(setup.keep or ()))
        actions += [(os.POSIX_SPAWN_DUP2, descriptor, descriptor) for descriptor in kept]
        return os.posix_spawn(
            launcher,
            [b"prock-launcher", *argv],
            setup.env,
            file_actions=actions,
            setsigmask=(*setup.mask, *STOPS),
            setsigdef=setup.defaults,
        )
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EACCES):  # the launcher itself
            raise
        about = () if error.errno == errno.EBADF else (os.fsdecode(name),)
        raise OSError(error.errno, error.strerror, *about) from None
    finally:
        for descriptor in lifted:
            os.close(descriptor)


def _converse(
    ours: _socket.socket, name: bytes, setup: SpawnOptions, when_ready: Callable[[LauncherReport, list[int]], None]
) -> Launched:
    text, extra, _, _ = ours.recvmsg(128, _socket.CMSG_SPACE(4 * MOST_EVENTS), _socket.MSG_CMSG_CLOEXEC)
    kind, *numbers = text.split()
    if kind != b"b":
        raise OSError(errno.ECHILD, "the command's process was ended before it could execute the command")
    ready = LauncherReport(*map(int, numbers))
    try:
        when_ready(ready, _descriptors(extra))
        start_time, started_ns = time.time(), time.monotonic_ns()
        ours.send(b"g")
        text = ours.recv(64)
        if text:  # nothing: the socket was closed by exec
            _raise(text, name, setup)
    except BaseException:
        ours.close()  # without the byte it ends; with it, it may have executed the command when Ctrl-C comes
        _kill(ready.pid)
        _reap(ready.pid)
        raise
    return Launched(ready.pid, start_time, started_ns)


def _descriptors(extra: list[tuple[int, int, bytes]]) -> list[int]:
    found = []
    for level, kind, data in extra:
        if (level, kind) == (_socket.SOL_SOCKET, _socket.SCM_RIGHTS):
            found += [int.from_bytes(data[at : at + 4], sys.byteorder) for at in range(0, len(data) - 3, 4)]
    return found


def _raise(text: bytes, name: bytes, setup: SpawnOptions) -> None:
    kind, number = text.split()
    error = int(number)
    if kind == b"s":
        raise OSError(error, f"no session or process group could be made: {os.strerror(error)}")
    raise OSError(error, os.strerror(error), os.fsdecode(setup.cwd if kind == b"d" else name))


def _kill(pid: int) -> None:
    """The process that was to become the command. Where others wait for all children, its pid may be a stranger's."""
    try:
        descriptor = pidfd_of_child(pid)
    except (ProcessLookupError, ChildProcessError):
        return
    except OSError:  # no pidfds: a child that is not reaped keeps its pid
        if is_child(os.P_PID, pid):
            os.kill(pid, kernel.SIGKILL)
        return
    try:
        kernel.pidfd_send_signal(descriptor, kernel.SIGKILL)
    except ProcessLookupError:
        pass
    finally:
        os.close(descriptor)


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:  # somebody who waits for all children was there first, or SIGCHLD is ignored
        pass

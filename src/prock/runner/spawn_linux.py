"""`launch`: start a command so that it is counted from its first instruction on.

Between fork and exec a process has to enter a cgroup, to open perf events on itself and to wait until their buffers are
mapped. A small program does that, ``native/launcher/fork_exec.c``, which `launch` starts: no Python code runs in a fork
of the calling process, because its other threads may hold any lock. Without a compiler there is no such program, and
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
from prock.accounting.cgroup import ABOVE_STANDARD, above_standard
from prock.errors import NotSupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

STOPS = (kernel.SIGTSTP, kernel.SIGTTIN, kernel.SIGTTOU)
"""Blocked for the launcher: if Ctrl-Z stopped it, the caller would block until it continues."""
REFUSALS = (errno.EPERM, errno.ENOSYS)
"""Errors of system calls that a seccomp profile refuses."""
MOST_EVENTS = 253
"""Most descriptors of one message (SCM_MAX_FD)."""


class Launched(NamedTuple):
    """A running command."""

    pid: int
    start_time: float
    """Seconds since the epoch, just before it was executed."""
    started_ns: int
    """The same on the monotonic clock."""


class LauncherReport(NamedTuple):
    """The process that is about to execute the command."""

    pid: int
    group_error: int
    """Errno of entering the cgroup; 0 on success, and without a cgroup."""
    perf_error: int
    """Errno of opening perf events, or 0."""
    used_ns: int
    """CPU time that it used up to now, which is not the command's."""
    outside_ns: int
    """The part of it from before it entered the cgroup."""


class SpawnOptions(NamedTuple):
    """What a command inherits."""

    env: Sequence[bytes]
    """Entries: in general ``NAME=value``, but any bytes without a zero are possible."""
    cwd: bytes = b""
    stdio: tuple[int, int, int] = (-1, -1, -1)
    """Descriptors that become its 0, 1 and 2; -1: the caller's."""
    keep: tuple[int, ...] | None = None
    """Other descriptors that it inherits; None: all inheritable ones."""
    scripts: bool = False
    """Execute a file that is not a program by ``/bin/sh``, as execvp(3) and shells do."""
    new_session: bool = False
    new_group: bool = False
    umask: int = -1
    mask: Iterable[int] = ()
    """Signals that are blocked in it."""
    defaults: Iterable[int] = ()
    """Signals that get their default action."""

    def __repr__(self) -> str:
        """Without the values of variables, as reprs end up in logs."""
        return f"SpawnOptions(env=<{len(self.env)} variables>, cwd={self.cwd!r}, stdio={self.stdio!r}, ...)"


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
    """Execute the first of `files` that is executable, with `command` as its arguments.

    - `launcher`: see `Engine.launcher`. `name`: name of the program in errors.
    - `group`: descriptor of a cgroup's directory, or -1.
    - `cpus`: perf events to open: ``-`` none, ``any`` one for all CPUs, or comma-separated numbers, one for each of
      these CPUs, and `with_switches` a second one for each.
    - `when_ready`: called before the command is executed, with the descriptors of the events, which it owns from then
      on. An exception that it raises ends the launch.
    - `meanwhile`: called while the process prepares itself; its first perf event takes up to 3 ms.

    Raises `OSError` of exec or chdir.
    """
    ours, theirs = socket_pair()
    started = pid = 0
    try:
        environment, is_numbered = _as_mapping(setup.env)
        setting = (
            str(theirs.fileno()), str(group), cpus,
            "-" if setup.keep is None else ",".join(map(str, setup.keep)),
            ",".join(str(number) for number in STOPS if number not in set(setup.mask)),
            "x" * setup.scripts + "s" * setup.new_session + "g" * setup.new_group + "w" * with_switches
            + "e" * is_numbered + "-",
            "-" if setup.umask < 0 else f"{setup.umask:o}",
        )  # fmt: skip
        argv = [*map(str.encode, setting), setup.cwd, str(len(files)).encode(), *files, *command]
        started = _spawn(launcher, argv, environment, name, setup, theirs.fileno(), group)
        theirs.close()
        meanwhile()
        launched = _converse(ours, name, setup, when_ready)
        pid = launched.pid
        return launched
    finally:
        theirs.close()
        ours.close()
        if started != pid:  # otherwise it has become the command
            reap_child(started)


def socket_pair() -> list[_socket.socket]:
    try:
        pair = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    except OSError as error:
        if error.errno in REFUSALS:
            raise NotSupported(f"socketpair(2) ({error.strerror}): allow it in the sandbox") from None
        raise
    return [_socket.socket(fileno=above_standard(end.detach())) for end in pair]


def _as_mapping(entries: Sequence[bytes]) -> tuple[dict[bytes, bytes], bool]:
    """For `os.posix_spawn`, and whether the entries are numbered, for the launcher: not all are ``NAME=value``, or a
    name occurs twice."""
    variables = {name: value for name, _, value in (entry.partition(b"=") for entry in entries)}
    if b"" not in variables and [b"%b=%b" % pair for pair in variables.items()] == list(entries):
        return variables, False
    return {b"%d" % number: entry for number, entry in enumerate(entries)}, True


def _spawn(
    launcher: str,
    argv: list[bytes],
    environment: dict[bytes, bytes],
    name: bytes,
    setup: SpawnOptions,
    control: int,
    group: int,
) -> int:
    actions: list[tuple[int, int, int]] = []
    lifted: list[int] = []
    try:
        for target, descriptor in enumerate(setup.stdio):
            if descriptor < 0:
                continue
            if descriptor <= 2 and descriptor != target:  # an earlier dup2 may overwrite it
                import fcntl

                descriptor = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, ABOVE_STANDARD)
                lifted.append(descriptor)
            actions.append((os.POSIX_SPAWN_DUP2, descriptor, target))
        # dup2 of a descriptor onto itself clears its close-on-exec flag.
        kept = (control, *((group,) if group >= 0 else ()), *(setup.keep or ()))
        actions += [(os.POSIX_SPAWN_DUP2, descriptor, descriptor) for descriptor in kept]
        words = [b"prock-launcher", *argv]
        try:
            return os.posix_spawn(
                launcher,
                words,
                environment,
                file_actions=actions,
                setsigmask=(*setup.mask, *STOPS),
                setsigdef=setup.defaults,
            )
        except OSError as error:
            if error.errno != errno.EPERM:
                raise
            return _spawn_without_clone3(launcher, words, environment, setup, kept)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EACCES):  # the launcher itself
            raise
        if error.errno in REFUSALS:
            raise NotSupported(f"a new process ({error.strerror}): allow clone(2) in the sandbox") from None
        about = () if error.errno == errno.EBADF else (os.fsdecode(name),)
        raise OSError(error.errno, error.strerror, *about) from None
    finally:
        for descriptor in lifted:
            os.close(descriptor)


def _spawn_without_clone3(
    launcher: str, words: list[bytes], environment: dict[bytes, bytes], setup: SpawnOptions, kept: tuple[int, ...]
) -> int:
    """By vfork(2): where a sandbox refuses clone3 with EPERM, posix_spawn(3) of the C library does not try clone."""
    import subprocess

    if setup.keep is None:
        kept = (*kept, *_inheritable_fds())
    before = kernel.pthread_sigmask(kernel.SIG_SETMASK, (*setup.mask, *STOPS))
    try:
        process = subprocess.Popen(  # noqa: S603
            words,
            executable=launcher,
            env=environment,
            stdin=None if setup.stdio[0] < 0 else setup.stdio[0],
            stdout=None if setup.stdio[1] < 0 else setup.stdio[1],
            stderr=None if setup.stdio[2] < 0 else setup.stdio[2],
            pass_fds=kept,
            restore_signals=bool(setup.defaults),
        )
    finally:
        kernel.pthread_sigmask(kernel.SIG_SETMASK, before)
    process.returncode = 0  # it is reaped by its pid: subprocess is not to wait for it
    return process.pid


def _inheritable_fds() -> list[int]:
    found = []
    for number in map(int, os.listdir("/dev/fd")):
        try:
            if number > 2 and os.get_inheritable(number):
                found.append(number)
        except OSError:  # that of the directory, which is closed
            continue
    return found


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
        ours.close()  # without the byte the launcher ends; with it, it may have executed the command already
        kill_child(ready.pid)
        reap_child(ready.pid)
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
        raise OSError(error, f"cannot create a session or process group: {os.strerror(error)}")
    raise OSError(error, os.strerror(error), os.fsdecode(setup.cwd if kind == b"d" else name))


def kill_child(pid: int) -> None:
    """Kill a child. If other code reaps all children, its pid may belong to another process by now."""
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


def reap_child(pid: int) -> None:
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:  # other code reaped it, or SIGCHLD is ignored
        pass

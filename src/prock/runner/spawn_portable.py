"""Start a command without the launcher: where the C core was not compiled, and on other systems than Linux.

The command runs before anything can be attached to it. So there are no perf events, a cgroup is joined just after the
start, and what the process uses between its start and its exec is counted as the command's.
"""

from __future__ import annotations

import errno
import os
import sys
import time

from prock import engine as engines
from prock.accounting.wait_posix import PosixWaiter
from prock.errors import NotSupported
from prock.runner.session import RunSession, files_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from prock.runner.session import Options

NO_SUBREAPER = "reap_orphans: only Linux reparents orphans to the process that started the command"


def start(
    args: Sequence[str],
    begin: Callable[[], subprocess.Popen[Any] | int],
    options: Options,
    *,
    wants_orphans: bool = False,
) -> RunSession:
    """Measure the process that `begin` starts. No other code may wait for it.

    `wants_orphans`: refuse where `Options.adopt` is not supported.

    Raises what `begin` raises, and before it is called `NotSupported` for accounting that is not available.
    """
    began_ns = time.thread_time_ns()
    session = RunSession(engines.active, options, args)
    if wants_orphans and not session.engine.reads_proc:
        raise NotSupported(NO_SUBREAPER)
    waiter = None
    if session.engine.reads_proc:
        from prock.accounting.wait_linux import LinuxWaiter

        waiter = LinuxWaiter(session.engine, adopt=options.adopt)
        waiter.includes_start = True
        session.wait_with(waiter)
    try:
        session.sources.open_cgroup()
        session.watch_caller()
        session.sources.open_enclosing()
        start_time, started_ns = time.time(), time.monotonic_ns()
        process = begin()
        pid = process if isinstance(process, int) else process.pid
        if waiter is not None:
            waiter.set_root(pid, 0, None)
        elif sys.platform == "win32" and not isinstance(process, int):
            from prock.accounting.wait_windows import WindowsWaiter

            session.wait_with(WindowsWaiter(process))
        else:
            session.wait_with(PosixWaiter(pid))
        try:
            session.sources.move_into_cgroup(pid)
        finally:
            session.begin(pid, start_time, started_ns)
            session.follow_root(pid)
    except BaseException as error:
        if isinstance(error, NotSupported) and session.pid:
            from prock.runner.terminate import end_tree

            end_tree(session, 0)
        session.close()
        raise
    session.cost_ns += time.thread_time_ns() - began_ns
    return session


def start_command(
    command: Sequence[str],
    options: Options,
    env: Sequence[bytes] = (),
    *,
    mask: Iterable[int] = (),
    defaults: Iterable[int] = (),
) -> RunSession:
    """Start a command with the caller's files and terminal. A file that is not a program is a script of ``/bin/sh``.

    `env`: entries ``NAME=value``. Others are left out, as Python cannot pass them on; so are all but the first with one
    name, as getenv(3) finds that. `mask`: signals that are blocked for it; `defaults`: signals that are reset to their
    default action. Windows has none of these three here. Raises `OSError` as `subprocess.Popen` does.
    """

    def begin() -> subprocess.Popen[Any] | int:
        if sys.platform == "win32":
            import subprocess

            process = subprocess.Popen(command, close_fds=False)  # noqa: S603  # what the user wants to be run
            process.returncode = 0  # the session waits for it, not the standard library
            return process
        return _spawn([os.fsencode(word) for word in command], env, mask, defaults)

    return start(command, begin, options)


def _spawn(words: list[bytes], entries: Sequence[bytes], mask: Iterable[int], defaults: Iterable[int]) -> int:
    """Execute the first file of PATH that can be, as execvp(3) does. Not `subprocess`, which has no `mask`."""
    if sys.platform == "win32":
        raise NotImplementedError
    failure: OSError | None = None
    env: dict[bytes, bytes] = {}
    for entry in entries:
        name, equals, value = entry.partition(b"=")
        if name and equals:
            env.setdefault(name, value)
    for file in files_of(words[0], entries):
        try:
            return os.posix_spawn(file, words, env, setsigmask=mask, setsigdef=defaults)
        except OSError as error:
            if error.errno == errno.ENOEXEC:
                script = [b"/bin/sh", file, *words[1:]]
                return os.posix_spawn(script[0], script, env, setsigmask=mask, setsigdef=defaults)
            if failure is None or isinstance(failure, (FileNotFoundError, NotADirectoryError)):
                failure = error
    assert failure is not None  # there is at least one file
    raise failure

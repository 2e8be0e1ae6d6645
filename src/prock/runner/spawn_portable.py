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
from prock.accounting.wait_posix import waiting_for
from prock.errors import NotSupported
from prock.runner.session import DEFAULTS, RunSession, files_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

    from prock.engine.protocol import Engine
    from prock.runner.session import Options

LINUX_ALONE = "cgroup, perf: only Linux has them, and the portable engine asks for neither"
NO_LAUNCHER = "perf events: only the compiled launcher opens them before the command runs"
NO_SUBREAPER = "waiting for orphans: only Linux hands them to who started the command"
HANDS_NOTHING_ON = "waited accounting: Windows hands the CPU time of no process to the one that waits for it"


def start(
    args: Sequence[str],
    begin: Callable[[], subprocess.Popen[Any] | int],
    options: Options,
    *,
    wants_orphans: bool = False,
    engine: Engine | None = None,
) -> RunSession:
    """Account for the process that `begin` starts. Nothing else may wait for it.

    `wants_orphans`: refuse where `Options.adopt` is not supported.

    Raises what `begin` raises, and before it is called `NotSupported` for an accounting that can't be had.
    """
    began_ns = time.thread_time_ns()
    running = RunSession(engine or engines.active, options, args)
    sources = running.sources
    _refuse(running.engine, options.accounting)
    if wants_orphans and not running.engine.reads_proc:
        raise NotSupported(NO_SUBREAPER)
    if options.accounting == "auto":
        sources.refusals.append(NO_LAUNCHER if running.engine.reads_proc else LINUX_ALONE)
    waiter = None
    if running.engine.reads_proc:
        from prock.accounting.wait_linux import LinuxWaiter

        running.waited = waiter = LinuxWaiter(running.engine, adopt=options.adopt)
    try:
        if waiter is not None:
            sources.open_group()
        start_time, started_ns = time.time(), time.monotonic_ns()
        process = begin()
        pid = process if isinstance(process, int) else process.pid
        if waiter is None:
            running.waited = waiting_for(process)
        else:
            waiter.begins(pid, 0, None)
        running.begins(pid, start_time, started_ns)
        sources.move_in(pid)
    except BaseException as error:
        if isinstance(error, NotSupported) and running.pid:
            from prock.runner.terminate import end_tree

            end_tree(running, 0)
        running.close()
        raise
    running.cost_ns += time.thread_time_ns() - began_ns
    return running


def _refuse(engine: Engine, accounting: str) -> None:
    if engine.reads_proc:
        if accounting == "perf":
            raise NotSupported(NO_LAUNCHER)
    elif accounting in ("cgroup", "perf"):
        raise NotSupported(f"{accounting} accounting: only Linux has it, and the portable engine asks for none")
    elif accounting == "waited" and sys.platform == "win32":
        raise NotSupported(HANDS_NOTHING_ON)


def start_command(
    command: Sequence[str],
    options: Options = DEFAULTS,
    env: Mapping[bytes, bytes] | None = None,
    *,
    mask: Iterable[int] = (),
    defaults: Iterable[int] = (),
) -> RunSession:
    """Start a command with the caller's files and terminal. A file that is not a program is a script of ``/bin/sh``.

    `mask`: signals that are blocked for it; `defaults`: signals whose default action is restored. Windows has neither,
    and no `env` here. Raises `OSError` as `subprocess.Popen` does.
    """

    def begin() -> subprocess.Popen[Any] | int:
        if sys.platform == "win32":
            import subprocess

            process = subprocess.Popen(command, close_fds=False)  # noqa: S603  # what the user wants to be run
            process.returncode = 0  # the session waits for it, not the standard library
            return process
        return _spawn([os.fsencode(word) for word in command], {} if env is None else env, mask, defaults)

    return start(command, begin, options)


def _spawn(words: list[bytes], env: Mapping[bytes, bytes], mask: Iterable[int], defaults: Iterable[int]) -> int:
    """Execute the first file of PATH that can be, as execvp(3) does. Not `subprocess`, which has no `mask`."""
    if sys.platform == "win32":
        raise NotImplementedError
    failure: OSError | None = None
    for file in files_of(words[0], env):
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

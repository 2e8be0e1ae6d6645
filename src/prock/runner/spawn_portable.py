"""Start a command where the engine is the portable one: by the standard library's own means, as everywhere else.

There is no launcher then that could count from the first instruction on: what the process uses between its start and
that, which is most where a large caller is copied, is counted as the command's.
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
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from prock.engine.protocol import Engine
    from prock.runner.session import Options

LINUX_ALONE = "cgroup, perf: only Linux has them, and the portable engine asks for neither"
NO_SUBREAPER = "waiting for orphans: only Linux hands them to who started the command"
HANDS_NOTHING_ON = "waited accounting: Windows hands the CPU time of no process to the one that waits for it"


def start(
    args: Sequence[str],
    begin: Callable[[], subprocess.Popen[Any]],
    options: Options,
    *,
    wants_orphans: bool = False,
    engine: Engine | None = None,
) -> RunSession:
    """Account for what `begin` starts. Its process must not have been waited for, nor be by anybody else.

    `wants_orphans`: whether somebody insists on `Options.adopt`, which can't be had.

    Raises what `begin` raises, and before it is called `NotSupported` for an accounting that can't be had.
    """
    began_ns = time.thread_time_ns()
    running = RunSession(engine or engines.active, options, args)
    _refuse(options.accounting)
    if wants_orphans:
        raise NotSupported(NO_SUBREAPER)
    if options.accounting == "auto":
        running.sources.refusals.append(LINUX_ALONE)
    start_time, started_ns = time.time(), time.monotonic_ns()
    process = begin()
    running.waited = waiting_for(process)
    running.begins(process.pid, start_time, started_ns)
    running.cost_ns += time.thread_time_ns() - began_ns
    return running


def _refuse(accounting: str) -> None:
    if accounting in ("cgroup", "perf"):
        raise NotSupported(f"{accounting} accounting: only Linux has it, and the portable engine asks for none")
    if accounting == "waited" and sys.platform == "win32":
        raise NotSupported(HANDS_NOTHING_ON)


def start_command(
    command: Sequence[str], options: Options = DEFAULTS, env: Mapping[bytes, bytes] | None = None
) -> RunSession:
    """Start a command with the caller's files and terminal. A file that is no program is a script of ``/bin/sh``.

    Raises `OSError` as `subprocess.Popen` does.
    """
    return start(command, lambda: _begin(command, env), options)


def _begin(command: Sequence[str], env: Mapping[bytes, bytes] | None) -> subprocess.Popen[Any]:
    import subprocess

    if sys.platform == "win32":
        process = subprocess.Popen(command, close_fds=False)  # noqa: S603  # what the user wants to be run
    else:
        try:
            process = subprocess.Popen(command, close_fds=False, env=env)  # noqa: S603  # as above
        except OSError as error:
            if error.errno != errno.ENOEXEC:
                raise
            files = files_of(os.fsencode(command[0]), {} if env is None else env)
            script = next((file for file in files if os.access(file, os.X_OK)), files[0])
            by_shell = ["/bin/sh", os.fsdecode(script), *command[1:]]
            process = subprocess.Popen(by_shell, close_fds=False, env=env)  # noqa: S603  # as above
    process.returncode = 0  # the standard library is not to wait for it: who follows it does
    return process

"""`run`, `arun`, `Popen`: commands as with `subprocess`, with the resource usage of their process trees."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
import time

from prock import engine as engines
from prock._compat.signals import IGNORED_BY_PYTHON, KILL, kernel
from prock.errors import NotSupported, check_seconds, check_timeout
from prock.runner.args import command_of, environment_of, labels_of, mask, with_recording, words_of
from prock.runner.session import Options, RunSession
from prock.runner.terminate import end_tree
from prock.runner.thread import POLL_S, SessionThread, wait_for

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from prock.runner.limits import Limits
    from prock.runner.result import RunResult
    from prock.runner.spawn_linux import SpawnOptions
    from prock.sampling.recorder import Recorder
    from prock.sampling.sample import TreeSample

KILL_AFTER_S = 2.0
"""Between SIGTERM and SIGKILL."""
UNSUPPORTED = "{} is not supported by prock.Popen: start the command through setpriv(1), env(1) or a shell"
SUBPROCESS_OPTIONS = frozenset(
    "bufsize executable stdin stdout stderr preexec_fn close_fds shell cwd env universal_newlines startupinfo "
    "creationflags restore_signals start_new_session pass_fds user group extra_groups encoding errors text umask "
    "pipesize process_group".split()
)
"""Parameters of `subprocess.Popen`, named in each signature here, so that `help` lists them and a misspelt one is an
error of the function that was called."""
POPEN_OPTIONS = SUBPROCESS_OPTIONS | {
    "accounting", "interval", "pss", "processes", "labels", "limits", "reap_orphans", "die_with_caller", "record",
}  # fmt: skip


class Popen(subprocess.Popen):  # type: ignore[type-arg]  # bytes or text, as its arguments say
    """`subprocess.Popen` that measures the command and its whole process tree; `finish` returns the `RunResult`.

    Accepts all that `subprocess.Popen` accepts, except ``preexec_fn``, ``user``, ``group`` and ``extra_groups``, and:

    - `accounting`: CPU source ``cgroup``, ``perf``, ``waited`` (wait4) or ``ledger`` (samples). Default: ``auto``, all
      that are available; `RunResult.sources` has their bias.
    - `interval`: seconds between samples of memory. Default: 0.1, or more where sampling would cost over a 400th of the
      time.
    - `pss`: read proportional set sizes also where they cannot change the peak. Default: False.
    - `processes`: keep a row for every process. Default: False.
    - `labels`: strings that are copied into the result.
    - `limits`: `Limits` of the whole tree: SIGKILL ends a tree that exceeds one, without warning.
    - `whole_tree`: measure until the whole tree has ended, not until the command has. Default: False.
    - `reap_orphans`: be the subreaper of the command's orphans and reap every child of this process that ends. Only for
      programs that start no other children meanwhile, as they could not wait for them. Default: False; `run` does it
      where this process has no other thread and no other child.
    - `die_with_caller`: end the tree by SIGKILL, what the command leaves included, when this process ends, whatever
      ends it. A helper process waits for that (15 ms of CPU time, 11 MB, half of it shared); it is a child of this
      process, and does not depend on the thread that started the command. Without a cgroup, an orphan that left its
      session between two samples is not found. Default: False.
    - `record`: a file for a recording, which must not exist: see `Recorder`. It adds PROCK_RECORDING to the environment
      of the command, for ``prock mark``. Default: none.

    Without Linux there are no ``cgroup``, ``perf``, `reap_orphans` and `die_with_caller`; on Windows no ``waited``
    either.

    Raises what `subprocess.Popen` raises, and `NotSupported` for a single accounting that is not available. Cost: 1 ms
    for the thread that follows the tree, and the samples.

    >>> process = Popen(["sh", "-c", "exit 3"])
    >>> process.wait(), process.finish().returncode
    (3, 3)
    """

    _holds = False
    """Whether the session stays open until `finish` is called."""

    def __init__(
        self,
        args: Any,
        bufsize: int = -1,
        executable: Any = None,
        stdin: Any = None,
        stdout: Any = None,
        stderr: Any = None,
        preexec_fn: Any = None,
        close_fds: bool = True,
        shell: bool = False,
        cwd: Any = None,
        env: Any = None,
        universal_newlines: bool | None = None,
        startupinfo: Any = None,
        creationflags: int = 0,
        restore_signals: bool = True,
        start_new_session: bool = False,
        pass_fds: Sequence[int] = (),
        *,
        accounting: str = "auto",
        interval: float | None = None,
        pss: bool = False,
        processes: bool = False,
        labels: Mapping[str, str] | None = None,
        limits: Limits | None = None,
        whole_tree: bool = False,
        reap_orphans: bool = False,
        die_with_caller: bool = False,
        record: str | None = None,
        user: Any = None,
        group: Any = None,
        extra_groups: Any = None,
        encoding: str | None = None,
        errors: str | None = None,
        text: bool | None = None,
        umask: int = -1,
        pipesize: int = -1,
        process_group: int | None = None,
    ) -> None:
        options = {name: value for name, value in locals().items() if name in SUBPROCESS_OPTIONS}
        labels_ = labels_of(labels)
        self._options = Options(
            accounting,
            interval,
            pss,
            processes,
            labels_,
            reap_orphans,
            die_with_caller=die_with_caller,
            limits=limits,
            recorder=None if record is None else _recorder(record, args, labels),
        )
        self._whole_tree = whole_tree
        self._thread: SessionThread | None = None
        try:
            super().__init__(args, **options)
        except BaseException:
            if self._options.recorder is not None:
                self._options.recorder.discard()
            raise

    # fmt: off
    def _execute_child(
        self, args: Any, executable: Any, preexec_fn: Any, close_fds: bool, pass_fds: Sequence[int], cwd: Any, env: Any,
        startupinfo: Any, creationflags: int, shell: bool, p2cread: int, p2cwrite: int, c2pread: int, c2pwrite: int,
        errread: int, errwrite: int, restore_signals: bool, gid: Any, gids: Any, uid: Any, umask: int,
        start_new_session: bool, process_group: int,
    ) -> None:
        """What `subprocess` calls when pipes and files are ready (the same from Python 3.11 to 3.14)."""
        # fmt: on
        for name, value in (("preexec_fn", preexec_fn), ("user", uid), ("group", gid), ("extra_groups", gids)):
            if value is not None:
                raise ValueError(UNSUPPORTED.format(name))
        if process_group not in (-1, 0, None):  # None: on Windows
            raise ValueError(UNSUPPORTED.format(f"process_group={process_group}"))
        if cwd is not None and not os.fspath(cwd):  # which to the launcher means: stay
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), cwd)
        if self._options.recorder is not None:
            env = with_recording(env, self._options.recorder.path)
        pipes = (p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite)
        by_launcher = engines.active.launcher is not None
        if not by_launcher:
            running = self._start(
                args, executable, shell, preexec_fn, close_fds, pass_fds, cwd, env, startupinfo, creationflags, shell,
                *pipes, restore_signals, gid, gids, uid, umask, start_new_session, process_group,
            )  # fmt: skip
        else:
            from prock.runner.spawn_linux import SpawnOptions

            setup = SpawnOptions(
                env=environment_of(env),
                cwd=b"" if cwd is None else os.fsencode(cwd),
                stdio=(p2cread, c2pwrite, errwrite),
                keep=tuple(pass_fds) if close_fds else None,
                new_session=start_new_session,
                new_group=process_group == 0,
                umask=umask,
                mask=mask(),
                defaults=IGNORED_BY_PYTHON if restore_signals else (),
            )
            running = self._launch(args, executable, shell, cwd, env, setup)
        try:
            self._thread = SessionThread(running, whole_tree=self._whole_tree, hold=self._holds)
        except BaseException:  # there can be no thread more
            end_tree(running, 0)
            running.close()
            raise
        self.pid = running.pid
        self._child_created = True
        if by_launcher:  # else the standard library has closed them
            self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]

    def _launch(self, args: Any, executable: Any, shell: bool, cwd: Any, env: Any, setup: SpawnOptions) -> RunSession:
        """By the launcher."""
        command = command_of(args, shell, executable)
        sys.audit("subprocess.Popen", command[0] if executable is None else executable, args, cwd, env)
        try:
            return RunSession.launch(command, setup, self._options, executable=executable)
        except OSError as error:
            for given in (executable, command[0], cwd):
                if given is not None and error.filename == os.fsdecode(given):
                    error.filename = given
            raise

    def _start(self, args: Any, executable: Any, shell: bool, *how: Any) -> RunSession:
        """By the standard library's own means."""
        from prock.runner.spawn_portable import start

        def begin() -> Popen:
            subprocess.Popen._execute_child(self, args, executable, *how)  # type: ignore[attr-defined]
            return self

        words = words_of(args, shell, executable)
        try:
            return start(words, begin, self._options, wants_orphans=self._options.adopt)
        except NotSupported:
            self.returncode = -KILL  # if it was started it was killed; `subprocess` is not to wait for it
            raise

    def _internal_poll(self, _deadstate: int | None = None, *_: Any, **__: Any) -> int | None:
        thread = self._thread
        if self.returncode is None and thread is not None:
            self.returncode = 0 if thread.is_forked else thread.poll()  # as subprocess, which has no child then
        return self.returncode

    def _wait(self, timeout: float | None) -> int:
        if self._internal_poll() is None and self._thread is not None:
            if not wait_for(self._thread.root_ended, timeout):
                assert timeout is not None
                raise subprocess.TimeoutExpired(self.args, timeout)
            self.returncode = self._thread.returncode
        code: int = self.returncode
        return code

    def wait(self, timeout: float | None = None) -> int:
        """As of `subprocess.Popen`."""
        check_timeout(timeout)
        return super().wait(timeout)

    def communicate(self, input: Any = None, timeout: float | None = None) -> Any:
        """As of `subprocess.Popen`."""
        check_timeout(timeout)
        return super().communicate(input, timeout)

    def sample(self) -> TreeSample | None:
        """A sample of the tree now, which counts in the result too; None where the command has just started, or the run
        is over. Cost: as `Forest.sample`.

        >>> with Popen(["sleep", "60"]) as process:
        ...     process.sample().process_count
        ...     process.kill()
        1
        """
        thread = self._thread
        return None if thread is None or thread.is_forked else thread.sample()

    def send_signal(self, sig: int) -> None:
        """Send a signal to the command alone, never to another process with the same pid."""
        if self._thread is not None and self.poll() is None:
            self._thread.send_signal(sig)

    def send_tree_signal(self, number: int) -> int:
        """Send a signal to every process of the tree once. Returns to how many it was sent.

        Linux: through pidfds, never to another process. Other systems: by pid, just after its start time was checked.
        """
        if not isinstance(number, int):
            raise TypeError(f"invalid signal {number!r}: use a number, as signal.SIGTERM")
        if number and number not in kernel.valid_signals():
            raise ValueError(f"invalid signal {number!r}: this system has none with that number")
        thread = self._thread
        return 0 if thread is None or thread.is_forked else thread.signal_tree(number)

    def kill_tree(self, kill_after: float = KILL_AFTER_S, *, timed_out: bool = False) -> bool:
        """End the whole tree, orphans included: SIGTERM, and `kill_after` seconds later SIGKILL.

        Returns whether no process is left. `timed_out`: value of `RunResult.timed_out`.
        """
        check_seconds("kill_after", kill_after)
        thread = self._thread
        return thread is None or (not thread.is_forked and thread.end_tree(kill_after, timed_out))

    def finish(self, timeout: float | None = None) -> RunResult:
        """Wait until the run is over, and return its result. Raises `subprocess.TimeoutExpired` after `timeout` s."""
        check_timeout(timeout)
        thread = self._thread
        if thread is None:
            raise ValueError("this command was not started")
        if thread.is_forked:
            raise ValueError("this command belongs to the process that this one was forked from")
        thread.release()
        if not wait_for(thread.is_closed, timeout):
            assert timeout is not None
            raise subprocess.TimeoutExpired(self.args, timeout)
        thread.thread.join()  # it ends at once, and is not in threading.enumerate() afterwards
        self.poll()
        return thread.result()


def _recorder(path: str, args: Any, labels: Mapping[str, str] | None) -> Recorder:
    from prock.sampling.recorder import Recorder

    return Recorder(path, command=words_of(args, False, None), labels=labels)


def run(
    args: Any,
    *,
    input: Any = None,
    capture_output: bool = False,
    timeout: float | None = None,
    check: bool = False,
    wait_all: bool = False,
    kill_tree: bool = False,
    kill_after: float = KILL_AFTER_S,
    accounting: str = "auto",
    interval: float | None = None,
    pss: bool = False,
    processes: bool = False,
    labels: Mapping[str, str] | None = None,
    limits: Limits | None = None,
    reap_orphans: bool | None = None,
    die_with_caller: bool = False,
    record: str | None = None,
    bufsize: int = -1,
    executable: Any = None,
    stdin: Any = None,
    stdout: Any = None,
    stderr: Any = None,
    preexec_fn: Any = None,
    close_fds: bool = True,
    shell: bool = False,
    cwd: Any = None,
    env: Any = None,
    universal_newlines: bool | None = None,
    startupinfo: Any = None,
    creationflags: int = 0,
    restore_signals: bool = True,
    start_new_session: bool = False,
    pass_fds: Sequence[int] = (),
    user: Any = None,
    group: Any = None,
    extra_groups: Any = None,
    encoding: str | None = None,
    errors: str | None = None,
    text: bool | None = None,
    umask: int = -1,
    pipesize: int = -1,
    process_group: int | None = None,
) -> RunResult:
    """Run a command, wait for it, and return what it and its whole process tree used.

    - `args`, `input`, `capture_output`, `timeout`, `check`: as of `subprocess.run`.
    - `wait_all`: wait until the whole tree has ended. Default: False, until the command has.
    - `kill_tree`: when the command has ended, end what it left running. Default: False.
    - `kill_after`: seconds from SIGTERM to SIGKILL. Default: 2.
    - the others: as of `prock.Popen`, which has those of `subprocess.Popen` as well.

    After `timeout` seconds, and where waiting is interrupted, the whole tree is ended, orphans included.
    `subprocess.TimeoutExpired` and `subprocess.CalledProcessError` have the `RunResult` as ``result``.

    Cost: 1 ms for the launch, 1 ms for the thread that follows the tree; then as `Popen`.

    >>> result = run(["sh", "-c", "echo hello"], capture_output=True, text=True)
    >>> result.stdout, result.returncode, result.cpu_ns > 0
    ('hello\\n', 0, True)
    """
    options = {name: value for name, value in locals().items() if name in POPEN_OPTIONS}
    _check_pipes(input, capture_output, options)
    return _run(args, input, timeout, check, wait_all, kill_tree, kill_after, options, lambda _: None)


class _Held(Popen):
    """Stays open until `finish`, so that its tree can be ended."""

    _holds = True


def _run(
    args: Any, given: Any, timeout: float | None, check: bool, wait_all: bool, kill_tree: bool, kill_after: float,
    options: dict[str, Any], when_started: Callable[[Popen], object],
) -> RunResult:  # fmt: skip
    check_seconds("kill_after", kill_after)
    check_timeout(timeout)
    deadline = None if timeout is None else time.monotonic() + timeout
    if options.get("reap_orphans") is None:
        options["reap_orphans"] = _is_alone()
    with _Held(args, whole_tree=wait_all, **options) as process:
        try:
            when_started(process)
            output = process.communicate(given, timeout=timeout)
            if kill_tree:
                process.kill_tree(kill_after)
            # Without `wait_all` it ends at once, also just after the timeout.
            if deadline is None or not wait_all:
                result = process.finish()
            else:
                result = process.finish(max(0.0, deadline - time.monotonic()) + POLL_S)
        except subprocess.TimeoutExpired as expired:
            assert timeout is not None
            expired.timeout = timeout  # not what was left of it
            _end(process, kill_after, timed_out=True)
            _complete(expired, process)
            raise
        except BaseException:  # mostly KeyboardInterrupt
            _end(process, kill_after)
            process.finish()
            raise
    result = result._replace(stdout=output[0], stderr=output[1])
    if check:
        result.check_returncode()
    return result


def _end(process: Popen, kill_after: float, *, timed_out: bool = False) -> None:
    """End the tree; kill it at once where the grace period is interrupted (second Ctrl-C)."""
    try:
        process.kill_tree(kill_after, timed_out=timed_out)
    except BaseException:
        process.kill_tree(0, timed_out=timed_out)
        process.finish()
        raise


def _complete(expired: subprocess.TimeoutExpired, process: Popen) -> None:
    """Give the exception the output so far and the result."""
    try:
        expired.stdout, expired.stderr = process.communicate(timeout=1.0)
    except subprocess.TimeoutExpired as again:  # a process outside the tree holds the other end
        expired.stdout, expired.stderr = again.stdout, again.stderr
    result = process.finish()._replace(stdout=expired.stdout, stderr=expired.stderr)
    expired.result = result  # type: ignore[attr-defined]  # ours


async def arun(
    args: Any,
    *,
    input: Any = None,
    capture_output: bool = False,
    timeout: float | None = None,
    check: bool = False,
    wait_all: bool = False,
    kill_tree: bool = False,
    kill_after: float = KILL_AFTER_S,
    accounting: str = "auto",
    interval: float | None = None,
    pss: bool = False,
    processes: bool = False,
    labels: Mapping[str, str] | None = None,
    limits: Limits | None = None,
    reap_orphans: bool | None = None,
    die_with_caller: bool = False,
    record: str | None = None,
    bufsize: int = -1,
    executable: Any = None,
    stdin: Any = None,
    stdout: Any = None,
    stderr: Any = None,
    preexec_fn: Any = None,
    close_fds: bool = True,
    shell: bool = False,
    cwd: Any = None,
    env: Any = None,
    universal_newlines: bool | None = None,
    startupinfo: Any = None,
    creationflags: int = 0,
    restore_signals: bool = True,
    start_new_session: bool = False,
    pass_fds: Sequence[int] = (),
    user: Any = None,
    group: Any = None,
    extra_groups: Any = None,
    encoding: str | None = None,
    errors: str | None = None,
    text: bool | None = None,
    umask: int = -1,
    pipesize: int = -1,
    process_group: int | None = None,
) -> RunResult:
    """`prock.run` for asyncio, in a thread, with the same parameters. Cancelling it ends the tree and waits for that.

    Cost: as `run`.

    >>> import asyncio
    >>> asyncio.run(arun(["true"])).returncode
    0
    """
    options = {name: value for name, value in locals().items() if name in POPEN_OPTIONS}
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    _check_pipes(input, capture_output, options)
    launched: list[Popen] = []
    cancelled = threading.Event()

    def started(process: Popen) -> None:
        launched.append(process)
        if cancelled.is_set():
            raise InterruptedError("cancelled before it began")

    # Not the loop's executor: if that is full of runs, none of them could be ended.
    loop, pool = asyncio.get_running_loop(), ThreadPoolExecutor(2, "prock-arun")
    running = loop.run_in_executor(
        pool, lambda: _run(args, input, timeout, check, wait_all, kill_tree, kill_after, options, started)
    )
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        cancelled.set()
        for process in launched:
            pool.submit(process.kill_tree, kill_after)
        await asyncio.wait([running])
        running.exception()  # mark it as retrieved
        raise
    finally:
        pool.shutdown(wait=False)


def _check_pipes(given: Any, capture_output: bool, options: dict[str, Any]) -> None:
    """As `subprocess.run` does."""
    if capture_output:
        if options.get("stdout") is not None or options.get("stderr") is not None:
            raise ValueError("stdout and stderr cannot be used with capture_output")
        options["stdout"] = options["stderr"] = subprocess.PIPE
    if given is not None:
        if options.get("stdin") is not None:
            raise ValueError("stdin cannot be used with input")
        options["stdin"] = subprocess.PIPE


def _is_alone() -> bool:
    """Whether this process has no other thread and no other child."""
    if not engines.active.reads_proc:  # orphans are not reparented to this process
        return False
    from prock.accounting.wait_linux import reap_left_behind

    reap_left_behind()
    return threading.active_count() == 1 and not engines.active.children(None)

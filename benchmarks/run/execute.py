"""Run one command under one tool: in its own session, with a time limit, and kill what is left afterwards.

Truth: the CPU time of a control group. It must not disturb a tool that makes control groups itself, so the command
joins its own group in a hierarchy that the tool doesn't use (version 1 or 2). Where there is none, the command stays in
the group in which the tool was started, and the CPU time of the tool's own process is subtracted.
"""

from __future__ import annotations

import functools
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from benchmarks.harness.cgroup import VERSIONS, Account, about_accounts, new_account
from benchmarks.harness.programs import BIN, Unavailable
from benchmarks.run.tool import Report, Tool, What

MARK = "PROCK_BENCHMARK_RUN"
OTHER_UID = 65534
PATIENCE_S = 15.0
"""How long processes may outlive the root."""

NONE: frozenset[int] = frozenset()


class Poke(NamedTuple):
    """A signal to the tool after the command has begun."""

    after_s: float
    number: signal.Signals
    to_group: bool = False
    """As the Ctrl-C of a terminal."""


class Ask(NamedTuple):
    """A command, and how to run it."""

    command: Sequence[str]
    what: What = What.CPU
    limit_s: float = 60.0
    poke: Poke | None = None
    patience_s: float = PATIENCE_S


@dataclass
class Outcome:
    """Result of one run. None: unknown."""

    status: int | None = None
    """Of the tool; None if it didn't end within the limit."""
    wall_s: float = 0.0
    work_s: float | None = None
    """From when the command began until its root ended."""
    used_ns: int | None = None
    """CPU time of the whole tree: the truth."""
    used_by_root_end_ns: int | None = None
    own_ns: int | None = None
    """CPU time of the tool and its helpers."""
    survivors: int | None = None
    """Processes of the tree that were still alive after the patience."""
    report: Report = field(default_factory=Report)
    trouble: str | None = None
    """Why the report is missing."""


def why_no_truth() -> str | None:
    try:
        about_accounts()
    except Unavailable as reason:
        return str(reason)
    return None


@functools.cache
def version_for(groups: frozenset[int]) -> int | None:
    """Version of a hierarchy that a tool with these groups does not use; None if there is none."""
    for version in VERSIONS:
        if version not in groups:
            try:
                about_accounts([version])
            except Unavailable:
                continue
            return version
    return None


def run_under(tool: Tool | None, ask: Ask, charged: Path, home: Path) -> Outcome:
    """Run it alone without a tool. Creates the directory, which gets the files of the tool."""
    home.mkdir(parents=True)
    outcome = Outcome()
    groups = NONE if tool is None else tool.groups
    version = version_for(groups)
    mark = f"{os.getpid()}-{time.monotonic_ns()}"
    with ExitStack() as stack:
        stack.callback(_end_marked, mark)
        whole = work = None
        if why_no_truth() is None:
            whole = stack.enter_context(new_account(VERSIONS if version is None else [version]))
            work = whole if version is None else stack.enter_context(new_account([version]))
        run = _Run(tool, ask, charged, home, whole, work, mark)
        with run.started() as process:
            run.follow(process, outcome)
            run.settle(process, outcome)
    if tool is not None and outcome.status is not None:
        try:
            outcome.report = tool.report(home)
        except Exception as error:  # any error of a parser in a half-written file
            outcome.trouble = _why(outcome, error, home)
    return outcome


def _why(outcome: Outcome, error: Exception, home: Path) -> str:
    """Why a report is missing: the last line of the tool's stderr if it failed."""
    said = (home / "stderr").read_text(errors="replace").strip().splitlines()
    if outcome.status and said:
        return f"status {outcome.status}: {said[-1][:120]}"
    return f"{type(error).__name__}: {error}".replace(f"{home}/", "")


class _Run:
    def __init__(
        self,
        tool: Tool | None,
        ask: Ask,
        charged: Path,
        home: Path,
        whole: Account | None,
        work: Account | None,
        mark: str,
    ) -> None:
        self.ask, self.home, self.whole, self.work = ask, home, whole, work
        self.joins = work is not whole
        """Whether the command has its own account."""
        self._before_ns = 0
        # The test of each account has used some CPU time.
        self._bases = {id(account): account.cpu_ns() for account in (whole, work) if account is not None}
        self._fifo = home / "began"
        os.mkfifo(self._fifo)
        join = str(work.join_file) if work is not None and self.joins else "-"
        command = [str(charged), join, str(self._fifo), *ask.command]
        outer = command if tool is None else tool.command(command, home, ask.what)
        if tool is not None and tool.as_other_user:
            outer = self._by_other_user(outer)
        start = str(whole.join_file) if whole is not None else "-"
        self._command = [str(charged), start, "-", *outer]
        path = f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}"
        self._env = {**os.environ, "PATH": path, "TMPDIR": str(home), MARK: mark}

    def _by_other_user(self, command: list[str]) -> list[str]:
        self.home.chmod(0o777)
        self._fifo.chmod(0o666)
        if self.work is not None and self.joins:
            self.work.join_file.chmod(0o666)
        return ["setpriv", f"--reuid={OTHER_UID}", f"--regid={OTHER_UID}", "--clear-groups", "--", *command]

    @contextmanager
    def started(self) -> Iterator[subprocess.Popen[bytes]]:
        # Before the writer opens it: without a reader it skips its report.
        self._reads = os.open(self._fifo, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            with self._session() as process:
                yield process
        finally:
            os.close(self._reads)

    @contextmanager
    def _session(self) -> Iterator[subprocess.Popen[bytes]]:
        with open(self.home / "stdout", "wb") as stdout, open(self.home / "stderr", "wb") as stderr:
            process = subprocess.Popen(
                self._command,
                cwd=self.home,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()

    def follow(self, process: subprocess.Popen[bytes], outcome: Outcome) -> None:
        """Wait until the tool ends or its time limit."""
        begin = time.monotonic()
        with ExitStack() as stack:
            poll = select.poll()
            fifo, ends = self._reads, os.pidfd_open(process.pid)
            stack.callback(os.close, ends)
            for fd in (fifo, ends):
                poll.register(fd, select.POLLIN)
            root, began, poke = -1, begin, self.ask.poke
            while (left := begin + self.ask.limit_s - time.monotonic()) > 0:
                if poke is not None and root >= 0:
                    left = min(left, began + poke.after_s - time.monotonic())
                events = [fd for fd, _ in poll.poll(max(0.0, left) * 1000)]
                now = time.monotonic()
                if fifo in events:
                    pid, before_ns = map(int, os.read(fifo, 100).split()[:2])
                    self._before_ns, began = before_ns, now
                    root = self._open_root(pid, stack)
                    if root >= 0:
                        poll.register(root, select.POLLIN)
                    else:
                        self._root_ended(outcome, 0.0)
                if root in events:
                    poll.unregister(root)
                    self._root_ended(outcome, now - began)
                if ends in events:
                    outcome.wall_s = now - begin
                    return
                if poke is not None and root >= 0 and now - began >= poke.after_s:
                    (os.killpg if poke.to_group else os.kill)(process.pid, poke.number)
                    poke = None
        outcome.wall_s = self.ask.limit_s
        outcome.trouble = f"did not end within {self.ask.limit_s:g} s"
        os.killpg(process.pid, signal.SIGKILL)

    @staticmethod
    def _open_root(pid: int, stack: ExitStack) -> int:
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:  # has ended, and was waited for
            return -1
        stack.callback(os.close, fd)
        return fd

    def _root_ended(self, outcome: Outcome, work_s: float) -> None:
        outcome.work_s = work_s
        if self.work is not None and self.joins:
            outcome.used_by_root_end_ns = self._charged_ns(self.work) + self._before_ns

    def _charged_ns(self, account: Account) -> int:
        return account.cpu_ns() - self._bases[id(account)]

    def settle(self, process: subprocess.Popen[bytes], outcome: Outcome) -> None:
        """After the tool's end: read its CPU time, and that of the tree until it has ended too."""
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        clock_ns = time.clock_gettime_ns(~process.pid << 3 | 2)
        if self.whole is not None and self.joins:
            outcome.own_ns = self._charged_ns(self.whole) - self._before_ns
        status = process.wait()
        if outcome.trouble is None:
            outcome.status = status
        if self.whole is None or self.work is None:
            return
        end = time.monotonic() + (self.ask.patience_s if outcome.trouble is None else 0)
        while not self.work.is_empty() and time.monotonic() < end:
            time.sleep(0.01)
        outcome.survivors = len(self.work.pids())
        if self.joins:
            outcome.used_ns = self._charged_ns(self.work) + self._before_ns
        else:
            outcome.own_ns = clock_ns
            outcome.used_ns = self._charged_ns(self.whole) - clock_ns


def _end_marked(mark: str) -> None:
    """Kill each process with the mark in its environment, in whatever session and group it is."""
    sought = f"{MARK}={mark}".encode()
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if sought in Path("/proc", name, "environ").read_bytes().split(b"\0"):
                    os.kill(int(name), signal.SIGKILL)
            except OSError:  # gone, or another user's
                continue

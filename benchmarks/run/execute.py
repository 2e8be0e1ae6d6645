"""Running one command under one tool: in a session of its own, with a limit, and nothing left of it afterwards.

The truth is the account of a control group, and a tool that makes control groups must not be disturbed by it. So the
command joins its own in a hierarchy that the tool doesn't use (version 1 beside version 2, on most machines that have
both). Where there is none, the command stays in the group that the tool was started in, which counts what is below it
too, and what the tool's own process has used by its CPU clock is taken off.
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
NOBODY = 65534
PATIENCE_S = 15.0
"""With what outlives the root."""

NONE: frozenset[int] = frozenset()


class Poke(NamedTuple):
    """A signal to the tool, some time after the command has begun."""

    after_s: float
    number: signal.Signals
    to_group: bool = False
    """As the Ctrl-C of a terminal."""


class Ask(NamedTuple):
    """What is to be run, and how."""

    command: Sequence[str]
    what: What = What.CPU
    limit_s: float = 60.0
    poke: Poke | None = None
    patience_s: float = PATIENCE_S


@dataclass
class Outcome:
    """Of one run. None: not known."""

    status: int | None = None
    """Of the tool; None if it didn't end within the limit."""
    wall_s: float = 0.0
    work_s: float | None = None
    """From when the command began until its root ended."""
    used_ns: int | None = None
    """The truth: by the whole tree."""
    used_by_root_end_ns: int | None = None
    own_ns: int | None = None
    """By the tool and its helpers."""
    survivors: int | None = None
    """How many of the tree were still there when patience ended."""
    report: Report = field(default_factory=Report)
    trouble: str | None = None
    """Why there is no report."""


def why_no_truth() -> str | None:
    try:
        about_accounts()
    except Unavailable as reason:
        return str(reason)
    return None


@functools.cache
def version_for(groups: frozenset[int]) -> int | None:
    """Of a hierarchy where the command can join a group without disturbing a tool that uses these; None if none."""
    for version in VERSIONS:
        if version not in groups:
            try:
                about_accounts([version])
            except Unavailable:
                continue
            return version
    return None


def run_under(tool: Tool | None, ask: Ask, charged: Path, home: Path) -> Outcome:
    """Alone if there is no tool. The directory is made, and holds what the tool writes."""
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
        except Exception as error:  # whatever a reader makes of a file that a stranger has half written
            outcome.trouble = _why(outcome, error, home)
    return outcome


def _why(outcome: Outcome, error: Exception, home: Path) -> str:
    """There is no report: in the tool's own words if it failed."""
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
        """Whether the command has an account of its own."""
        self._before_ns = 0
        # What was used to try them out.
        self._bases = {id(account): account.cpu_ns() for account in (whole, work) if account is not None}
        self._fifo = home / "began"
        os.mkfifo(self._fifo)
        join = str(work.join_file) if work is not None and self.joins else "-"
        command = [str(charged), join, str(self._fifo), *ask.command]
        outer = command if tool is None else tool.command(command, home, ask.what)
        if tool is not None and tool.as_nobody:
            outer = self._by_nobody(outer)
        start = str(whole.join_file) if whole is not None else "-"
        self._command = [str(charged), start, "-", *outer]
        path = f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}"
        self._env = {**os.environ, "PATH": path, "TMPDIR": str(home), MARK: mark}

    def _by_nobody(self, command: list[str]) -> list[str]:
        self.home.chmod(0o777)
        self._fifo.chmod(0o666)
        if self.work is not None and self.joins:
            self.work.join_file.chmod(0o666)
        return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--", *command]

    @contextmanager
    def started(self) -> Iterator[subprocess.Popen[bytes]]:
        # Before anybody can write to it: who finds nobody there to read says nothing.
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
        """Until the tool ends, or its time."""
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
        """Once the tool has ended: what it used, and what the others did until they ended too."""
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
    """Whoever has the mark in its environment: however it has left its session and its group."""
    sought = f"{MARK}={mark}".encode()
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if sought in Path("/proc", name, "environ").read_bytes().split(b"\0"):
                    os.kill(int(name), signal.SIGKILL)
            except OSError:  # gone, or somebody else's
                continue

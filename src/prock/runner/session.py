"""A tree that is accounted for: a command that was launched, or a process that was attached to.

The owner of a `RunSession` drives it: it calls `step` when it is due and whenever a child of this process has changed
(SIGCHLD), and at the end `prock.runner.build_result.finish`, once. A session keeps no thread and no signal handler:
`prock.run` drives it from a thread, the command from its loop.
"""

from __future__ import annotations

import os
import sys
import time

from prock import engine as engines
from prock._compat.namedtuple import NamedTuple
from prock.accounting.selection import Sources
from prock.errors import AccessDenied, NoSuchProcess, NotSupported, OutOfDescriptors, ProckError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from prock.accounting.protocol import RootWaiter
    from prock.accounting.wait_linux import LinuxWaiter
    from prock.engine.protocol import Engine
    from prock.model import ProcessInfo
    from prock.runner.sample_stats import SampleStats
    from prock.runner.spawn_linux import LauncherReport, SpawnOptions
    from prock.sampling.forest import Forest

ACCOUNTING = ("auto", "cgroup", "perf", "waited", "ledger")
FIRST_SAMPLE_NS = 10_000_000
"""After the start; the next after twice that, and so on up to the interval: short commands have peaks, too."""
INTERVAL_S = 0.1
SAMPLING_SHARE = 400
"""Without an interval of the user's own, samples take one 400th of the time at most, and readings of shares of memory
as much again: large trees have fewer."""
LONGEST_INTERVAL_NS = 2_000_000_000
DRAIN_NS = 100_000_000
"""Records of perf events are taken at least that often, before their buffers are full."""


class Options(NamedTuple):
    """How a tree is accounted for."""

    accounting: str = "auto"
    interval: float | None = None
    """Seconds between samples; None: a tenth, or more where that would cost too much."""
    pss: bool = False
    """Read shares of memory whether they can matter or not."""
    processes: bool = False
    """Keep a row for every process."""
    labels: tuple[tuple[str, str], ...] = ()
    adopt: bool = True
    """Be the subreaper of what the command orphans. For a program that has no other children."""


DEFAULTS = Options()


class Status(NamedTuple):
    """How it stands, for a line on a screen."""

    wall_ns: int
    cpu_ns: int | None
    footprint_bytes: int | None
    process_count: int | None


class RunSession:
    """Made by `launch`, `attach` or `prock.runner.spawn_portable.start`."""

    def __init__(self, engine: Engine, options: Options, args: Sequence[str]) -> None:
        if options.accounting not in ACCOUNTING:
            raise ValueError(f"{options.accounting!r} is no accounting: choose one of {', '.join(ACCOUNTING)}")
        if options.interval is not None and not 0 < options.interval <= 1e6:  # false for nan, too
            raise ValueError(f"{options.interval!r} is no interval: give seconds, more than 0 and at most 1000000")
        self.engine = engine
        self.options = options
        self.args = tuple(args)
        self.pid = 0
        self.sources = Sources(engine, options.accounting, keep_processes=options.processes)
        self.waited: RootWaiter | None = None
        self.forest: Forest | None = None
        self.peaks: SampleStats | None = None
        self.start_time = 0.0
        self.began_ns = self.ended_ns = self.due_ns = 0
        self.used_before_ns = 0
        """What the root had used before it was counted."""
        self.cost_ns = 0
        """CPU time of the calling threads."""
        self._sample_due_ns = 0
        self._wait_ns = FIRST_SAMPLE_NS
        self._root_gone = False

    @classmethod
    def launch(
        cls,
        args: Sequence[str | bytes],
        setup: SpawnOptions,
        options: Options = DEFAULTS,
        *,
        executable: str | bytes | None = None,
        engine: Engine | None = None,
        meanwhile: Callable[[], object] = bool,
    ) -> RunSession:
        """Start a command by the engine's launcher. `meanwhile` is called while its process makes itself ready.

        Raises `FileNotFoundError`, `PermissionError` ... where it can't be executed, and `NotSupported` where an
        accounting was asked for, other than ``auto``, that can't be had.
        """
        from prock.accounting.wait_linux import LinuxWaiter  # of Linux alone
        from prock.runner.spawn_linux import launch

        began_ns = time.thread_time_ns()
        engine = engine or engines.active
        if engine.launcher is None:
            raise NotSupported("a launcher: it is not there, or not executable")
        command = [os.fsencode(argument) for argument in args]
        self = cls(engine, options, [os.fsdecode(argument) for argument in command])
        self.waited = waited = LinuxWaiter(self.engine, adopt=options.adopt)
        sources = self.sources
        try:
            sources.open_group()
            name = os.fsencode(executable) if executable is not None else command[0]
            launched = launch(
                engine.launcher,
                command,
                files_of(name, setup.env),
                setup,
                name=name,
                group=sources.directory,
                cpus=sources.cpus,
                with_switches=sources.with_switches,
                when_ready=lambda ready, events: self._when_ready(waited, ready, events),
                meanwhile=meanwhile,
            )
        except BaseException:
            self.close()
            raise
        self.begins(launched.pid, launched.start_time, launched.started_ns)
        self.cost_ns += time.thread_time_ns() - began_ns
        return self

    @classmethod
    def attach(
        cls,
        pid: int,
        options: Options = DEFAULTS,
        *,
        engine: Engine | None = None,
    ) -> RunSession:
        """Account for a tree that runs already, from now on.

        Raises `NoSuchProcess`, `AccessDenied`, and `NotSupported` for the accounting of what has to be launched.
        """
        if options.accounting in ("cgroup", "waited"):
            raise NotSupported(f"{options.accounting} accounting of a tree that runs already: it takes perf or ledger")
        self = cls(engine or engines.active, options, ())
        self.pid = pid
        self.start_time = time.time()
        self._open_forest(since_birth=False)
        self.began_ns = time.monotonic_ns()
        self._open_peaks(since_birth=False)
        cpu = self.engine.cpu_time(pid)
        self.used_before_ns = 0 if cpu is None else cpu.total_ns
        self._sample_due_ns = self.due_ns = self.began_ns
        return self

    def _when_ready(self, waited: LinuxWaiter, ready: LauncherReport, events: list[int]) -> None:
        self.sources.take(ready, events)
        self.used_before_ns = ready.used_ns
        try:
            io = self.engine.disk_io(ready.pid)
        except (ProckError, OSError):
            io = None
        waited.begins(ready.pid, ready.used_ns, io)

    def begins(self, pid: int, start_time: float, began_ns: int) -> None:
        """The command runs: since then, by the clock on the wall and the monotonic one."""
        self.pid = pid
        self.start_time, self.began_ns = start_time, began_ns
        self._sample_due_ns = self.due_ns = began_ns + FIRST_SAMPLE_NS

    @property
    def is_exact_launch(self) -> bool:
        """Whether the launcher was so small that it is in nobody's ``ru_maxrss``."""
        return self.engine.launcher is not None

    @property
    def root_ended(self) -> bool:
        return self._root_gone

    @property
    def stopped_by(self) -> int | None:
        """The signal that the root was stopped by, while it is."""
        return None if self.waited is None else self.waited.root_state

    @property
    def is_over(self) -> bool:
        """Whether nothing of the tree is left."""
        noticed = self._root_gone or self.waited is None
        return noticed and not any(info.is_alive for info in self.members())

    def step(self) -> None:
        """Do what is due: reap who has ended, look at the tree. Cheap where nothing is."""
        began_ns = time.thread_time_ns()
        now_ns = time.monotonic_ns()
        if self.waited is not None:
            self.waited.reap()
            if self.waited.root is not None and not self._root_gone:
                self._root_gone = True
                self.ended_ns = now_ns
        if now_ns >= self._sample_due_ns:
            self.sample()
        self.due_ns = self._sample_due_ns
        if self.sources.records is not None:
            self.sources.records.drain()
            self.due_ns = min(self.due_ns, now_ns + DRAIN_NS)
        self.cost_ns += time.thread_time_ns() - began_ns

    def sample(self) -> None:
        """Look at the tree now, whether it is due or not."""
        now_ns = time.monotonic_ns()
        took_ns = 0
        if self.forest is None and not self._root_gone:
            try:
                self._open_forest(since_birth=True)
            except (NoSuchProcess, AccessDenied, OutOfDescriptors):  # what is waited for is known all the same
                pass
            else:
                self._open_peaks(since_birth=True)
        if self.forest is not None and self.peaks is not None:
            self._adopt_orphans(self.forest)
            sample = self.forest.sample(due_ns=self._sample_due_ns)[self.pid]
            self.peaks.take(sample)
            took_ns = sample.cost_ns
            if self.waited is None and not self._root_gone and not self._attached_root_lives(self.forest):
                self._root_gone = True
                self.ended_ns = now_ns
        self._plan(took_ns)

    def _attached_root_lives(self, forest: Forest) -> bool:
        """A zombie has ended, however long its parent takes to wait for it."""
        if not forest.tree(self.pid).root_lives:
            return False
        try:
            info = self.engine.info(self.pid)
        except ProckError:
            return True
        return info is not None and info.is_alive

    def _plan(self, took_ns: int) -> None:
        """The next sample: on the grid of the ones before, unless its time has passed."""
        if self.options.interval is not None:
            longest = max(1, round(self.options.interval * 1e9))
        else:
            longest = max(round(INTERVAL_S * 1e9), min(took_ns * SAMPLING_SHARE, LONGEST_INTERVAL_NS))
        self._wait_ns = min(2 * self._wait_ns, longest)
        now_ns = time.monotonic_ns()
        was_due = self._sample_due_ns <= now_ns
        self._sample_due_ns += self._wait_ns
        if not was_due or self._sample_due_ns <= now_ns:
            self._sample_due_ns = now_ns + self._wait_ns

    def _open_forest(self, *, since_birth: bool) -> None:
        from prock.sampling.forest import Forest

        adopts = self.waited is not None and self.waited.adopts
        accounting = "ledger" if since_birth or self.options.accounting == "ledger" else self.options.accounting
        io = not adopts or sys.platform != "linux" or os.geteuid() != 0  # of who is waited for, zombies tell it to root
        forest = Forest(memory=True, io=io, accounting=accounting, engine=self.engine, scans=not adopts)
        try:
            forest.add(self.pid, since_birth=since_birth)
        except BaseException:
            forest.close()
            raise
        self.forest = forest

    def _open_peaks(self, *, since_birth: bool) -> None:
        from prock.runner.sample_stats import SampleStats

        options = self.options
        self.peaks = SampleStats(
            self.engine, self.began_ns, pss=options.pss, processes=options.processes, since_birth=since_birth
        )

    def _adopt_orphans(self, forest: Forest) -> None:
        """Those whose parent had ended before a sample saw them, and that came to this process."""
        if self.waited is not None and self.waited.adopts:
            ledger = forest.tree(self.pid).ledger
            for pid in self.waited.children():
                if ledger.identity_of(pid) is None:
                    forest.adopt(self.pid, pid)

    def members(self) -> list[ProcessInfo]:
        """Who belongs to the tree at this moment, zombies too; nobody who was given a member's pid."""
        seen: dict[int, int | None] = {}
        """Pids, and when each began as it was found: unknown of those that a group lists."""
        if self.waited is not None:
            roots = self.waited.children() if self.waited.adopts else () if self._root_gone else (self.pid,)
            for root in roots:
                found = self.engine.tree(root, 0)
                # Asked afterwards: then it was the root's pid all along.
                if found is not None and (root != self.pid or self.waited.holds_root):
                    seen.update((row.pid, row.identity and row.identity[1]) for row in found[0])
        group = self.sources.group
        if group is not None:
            seen = {**dict.fromkeys(group.pids()), **seen}
        if self.forest is not None and not (self.waited is not None and self.waited.adopts):
            sample = self.forest.sample()[self.pid]
            seen.update((row.pid, row.start_ticks) for row in sample.members)
        rows = []
        for pid, start_ticks in seen.items():
            try:
                info = self.engine.info(pid)
            except ProckError:
                continue
            if info is not None and start_ticks in (info.start_ticks, None):
                rows.append(info)
        if group is None:
            return rows
        listed = set(group.pids())  # still: then whom we have looked at was in it, or has ended
        return [row for row in rows if seen[row.pid] is not None or row.pid in listed]

    def signal_tree(self, number: int) -> int:
        """Send a signal to every member once; answers to how many it went."""
        from prock._compat.signals import KILL
        from prock.runner.send_signal import NotSent, send

        sent = 0
        for row in self.members():
            if row.is_alive:
                try:
                    send(row.identity, number)
                    sent += 1
                except NotSent:  # it has ended, is another user's, or the kernel has no pidfd
                    sent += self._signal_child(row, number)
        if number == KILL and self.sources.group is not None:
            self.sources.group.kill()
        return sent

    def _signal_child(self, row: ProcessInfo, number: int) -> bool:
        """Where there are no pidfds (before Linux 5.3): a child's pid is nobody else's until this process waits for it.

        Where orphans come to this process, a tree that is killed again and again ends generation by generation.
        """
        if sys.platform != "linux" or row.ppid != os.getpid() or not self.engine.clocks_usable:
            return False
        try:
            if os.waitid(os.P_PID, row.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                return False
            info = self.engine.info(row.pid)
            if info is None or info.identity != row.identity:  # by now another child of this process has its pid
                return False
            os.kill(row.pid, number)
        except OSError:  # it is no child any more, or another user's
            return False
        return True

    def status(self) -> Status:
        """As of the latest sample."""
        peaks = self.peaks
        tree = self.forest.tree(self.pid) if self.forest is not None else None
        cpu_ns = self.sources.cpu_ns()
        if cpu_ns is None and tree is not None:
            cpu_ns = tree.cpu_ns
        return Status(
            time.monotonic_ns() - self.began_ns,
            cpu_ns,
            None if peaks is None else peaks.footprint.current_bytes,
            None if tree is None else tree.sums[0],
        )

    def ends(self, *, whole_tree: bool) -> None:
        """The last look at it, and the end of the wall time: of the root, or of the tree."""
        self.step()
        if whole_tree or not self._root_gone:
            self.ended_ns = time.monotonic_ns()

    def close(self) -> None:
        """Give everything back: what still runs goes on uncounted. Once more is no error."""
        self.sources.close()
        if self.forest is not None:
            self.forest.close()
        if self.waited is not None:
            self.waited.close()


def files_of(name: bytes, env: Mapping[bytes, bytes]) -> list[bytes]:
    """Where a command may be, as execvp(3) looks for it."""
    here = b"./" + name if name.startswith(b"-") else name  # a script's name is no option of the shell that runs it
    if b"/" in name:
        return [here]
    path = env.get(b"PATH")
    directories = os.fsencode(os.defpath).split(b":") if path is None else path.split(b":")
    return [os.path.join(directory, name) if directory else here for directory in directories]

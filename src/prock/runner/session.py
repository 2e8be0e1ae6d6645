"""`RunSession`: a command that was launched, or a process that was attached to, with its tree and CPU sources.

The owner of a session calls `step` at `due_ns` and whenever a child of this process has changed (SIGCHLD), and once, at
the end, `prock.runner.build_result.finish`. A session has no thread and no signal handler: `prock.run` drives it from a
thread, the command ``prock`` from its loop.
"""

from __future__ import annotations

import os
import sys
import time

from prock import engine as engines
from prock._compat.namedtuple import NamedTuple
from prock.accounting.open_sources import CpuSources
from prock.errors import AccessDenied, NoSuchProcess, NotSupported, OutOfDescriptors, ProckError, check_interval
from prock.runner.members import Members

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from prock.accounting.oom_kills import OomKills
    from prock.accounting.perf_records import Ended
    from prock.accounting.protocol import RootWaiter
    from prock.accounting.wait_linux import LinuxWaiter
    from prock.engine.protocol import Engine
    from prock.model import Identity, ProcessInfo
    from prock.results import LimitExceeded, ReceivedSignal
    from prock.runner.caller_watch import CallerWatch
    from prock.runner.limits import Limits, LimitWatch
    from prock.runner.sample_stats import SampleStats
    from prock.runner.spawn_linux import LauncherReport, SpawnOptions
    from prock.sampling.forest import Forest
    from prock.sampling.recorder import Recorder
    from prock.sampling.sample import TreeSample
    from prock.sampling.tree_state import TreeState

FIRST_SAMPLE_NS = 10_000_000
"""After the start; then after twice that, and so on up to the interval, so that short commands have peaks as well."""
FIRST_LIMITED_SAMPLE_NS = 2_000_000
"""With limits, which a command may exceed early."""
INTERVAL_NS = 100_000_000
SAMPLING_SHARE = 400
"""Without `Options.interval`, samples take at most one 400th of the time, and PSS readings as much again."""
LONGEST_INTERVAL_NS = 2_000_000_000
NO_CALLER_WATCH = "die_with_caller: only Linux has what it needs, and the portable engine does not use it"
DRAIN_NS = 100_000_000
"""Perf records are read at least this often, before their ring buffers are full."""


class Options(NamedTuple):
    """How a tree is measured."""

    accounting: str = "auto"
    interval: float | None = None
    """Seconds between samples; None: 0.1, or more for large trees."""
    pss: bool = False
    """Read PSS also where it cannot change the peak."""
    processes: bool = False
    """Keep a row for every process."""
    labels: tuple[tuple[str, str], ...] = ()
    adopt: bool = True
    """Be the subreaper of the command's orphans. For programs that have no other children."""
    die_with_caller: bool = False
    """End the tree when this process ends, whatever ends it."""
    arguments: bool = True
    """Keep the arguments of commands, not only their names."""
    limits: Limits | None = None
    """The caller of `RunSession.step` ends the tree when `RunSession.limit_exceeded` is set."""
    recorder: Recorder | None = None
    """Records every sample, and every process that ends. Its owner closes it."""


class Status(NamedTuple):
    """For a status line."""

    wall_ns: int
    cpu_ns: int | None
    footprint_bytes: int | None
    process_count: int | None


class SamplePlan:
    """When the next sample is due."""

    def __init__(self, interval: float | None) -> None:
        if interval is not None:
            check_interval(interval)
        self._interval_ns = None if interval is None else max(1, round(interval * 1e9))
        self._wait_ns = self.first_ns = FIRST_SAMPLE_NS
        self.due_ns = 0

    def advance(self, took_ns: int) -> None:
        """A sample took so long. The next one stays on the grid of the earlier ones unless that time has passed."""
        longest_ns = self._interval_ns or max(INTERVAL_NS, min(took_ns * SAMPLING_SHARE, LONGEST_INTERVAL_NS))
        self._wait_ns = min(2 * self._wait_ns, longest_ns)
        now_ns = time.monotonic_ns()
        was_due = self.due_ns <= now_ns
        self.due_ns += self._wait_ns
        if not was_due or self.due_ns <= now_ns:
            self.due_ns = now_ns + self._wait_ns

    def hasten(self, wait_ns: int) -> None:
        """The next sample is due after this time at the latest."""
        self.due_ns = min(self.due_ns, time.monotonic_ns() + wait_ns)


class RunSession:
    """Created by `launch`, `attach` or `prock.runner.spawn_portable.start`."""

    members: Members

    def __init__(self, engine: Engine, options: Options, args: Sequence[str], *, attached: bool = False) -> None:
        self.engine = engine
        self.options = options
        self.args = tuple(args)
        self.created_ticks = engine.now_ticks()
        """When this object was created, in the unit of `ProcessInfo.start_ticks`."""
        self.pid = 0
        self.plan = SamplePlan(options.interval)
        self.sources = CpuSources(engine, options.accounting, attached=attached, keep_processes=options.processes)
        self.waiter: RootWaiter | None = None
        """None where the tree was attached to."""
        self.forest: Forest | None = None
        self.sampled_pid = 0
        """Root of the tree in `forest`: the command, or one of its descendants if it ended before the first sample."""
        self.stats: SampleStats | None = None
        self._watch: LimitWatch | None = None
        self.limit_exceeded: LimitExceeded | None = None
        if options.limits is not None:
            from prock.runner.limits import LimitWatch

            self._watch = LimitWatch(options.limits, engine)
            self.plan.first_ns = FIRST_LIMITED_SAMPLE_NS
        self._unrecorded: list[Ended] = []
        """Ended processes that are to be recorded."""
        self._caller_watch: CallerWatch | None = None
        self.oom_kills: OomKills | None = None
        self.received: list[ReceivedSignal] = []
        """Signals that processes sent to the caller."""
        self.root_ended = False
        self.start_time = 0.0
        self.began_ns = self.ended_ns = self.due_ns = 0
        self.used_before_ns = 0
        """CPU time of the root before it was counted."""
        self.cost_ns = 0
        """CPU time of the calling threads."""

    @classmethod
    def launch(
        cls,
        args: Sequence[str | bytes],
        setup: SpawnOptions,
        options: Options,
        *,
        executable: str | bytes | None = None,
        meanwhile: Callable[[], object] = bool,
    ) -> RunSession:
        """Start a command by the engine's launcher. `meanwhile` is called while its process prepares itself.

        Raises `FileNotFoundError`, `PermissionError` ... where it cannot be executed, and `NotSupported` where a single
        accounting was chosen that is not available.
        """
        from prock.accounting.wait_linux import LinuxWaiter  # Linux only
        from prock.runner.spawn_linux import launch

        began_ns = time.thread_time_ns()
        command = [os.fsencode(argument) for argument in args]
        self = cls(engines.active, options, [os.fsdecode(argument) for argument in command])
        if self.engine.launcher is None:
            raise NotSupported("launching: this engine has no launcher; use prock.runner.spawn_portable")
        waiter = LinuxWaiter(self.engine, adopt=options.adopt)
        self.wait_with(waiter)
        try:
            name = os.fsencode(executable) if executable is not None else command[0]
            cpus, with_switches = self.sources.choose_events()
            group = self.sources.open_cgroup()
            self.watch_caller()
            launched = launch(
                self.engine.launcher,
                command,
                files_of(name, setup.env),
                setup,
                name=name,
                group=group,
                cpus=cpus,
                with_switches=with_switches,
                when_ready=lambda report, events: self._when_ready(waiter, report, events),
                meanwhile=meanwhile,
            )
        except BaseException:
            self.close()
            raise
        self.begin(launched.pid, launched.start_time, launched.started_ns)
        self.cost_ns += time.thread_time_ns() - began_ns
        return self

    @classmethod
    def attach(cls, pid: int, options: Options, *, engine: Engine | None = None) -> RunSession:
        """Measure a tree that runs already, from now on.

        Raises `NoSuchProcess`, `AccessDenied`, and `NotSupported` for accounting that needs a launched command.
        """
        self = cls(engine or engines.active, options, (), attached=True)
        self.pid = pid
        start_time = time.time()
        self.sources.open_enclosing([row.pid for row in (self.engine.tree(pid, 0) or ([], 0, []))[0]])
        self._open_forest(pid)
        self.begin(pid, start_time, time.monotonic_ns())
        self.plan.due_ns = self.due_ns = self.began_ns
        self._open_stats()
        cpu = self.engine.cpu_time(pid)
        self.used_before_ns = 0 if cpu is None else cpu.total_ns
        return self

    def wait_with(self, waiter: RootWaiter) -> None:
        self.waiter = waiter
        self.sources.add(waiter)

    def _when_ready(self, waiter: LinuxWaiter, report: LauncherReport, events: list[int]) -> None:
        self.sources.open_enclosing()
        self.sources.take_launched(
            events,
            cgroup_error=report.group_error,
            perf_error=report.perf_error,
            used_in_cgroup_ns=report.used_ns - report.outside_ns,
        )
        self.used_before_ns = report.used_ns
        try:
            io = self.engine.disk_io(report.pid)
        except (ProckError, OSError):
            io = None
        waiter.set_root(report.pid, report.used_ns, io)
        self.follow_root(report.pid)

    def watch_caller(self) -> None:
        """Start the helper for `Options.die_with_caller`. Raises `NotSupported`."""
        if not self.options.die_with_caller:
            return
        if sys.platform != "linux" or not self.engine.reads_proc:
            raise NotSupported(NO_CALLER_WATCH)
        from prock.runner.caller_watch import CallerWatch

        self._caller_watch = CallerWatch("" if self.sources.cgroup is None else self.sources.cgroup.path)

    def follow_root(self, pid: int) -> None:
        if self._caller_watch is not None:
            root = self.engine.info(pid)
            if root is not None:
                self._caller_watch.follow({pid: root.start_ticks}, {})

    def begin(self, pid: int, start_time: float, began_ns: int) -> None:
        """The command runs since then, by the wall clock and the monotonic clock."""
        self.pid = pid
        self.start_time, self.began_ns = start_time, began_ns
        self.plan.due_ns = self.due_ns = began_ns + self.plan.first_ns
        if self.engine.reads_proc:
            from prock.accounting.oom_kills import OomKills

            self.oom_kills = OomKills(self.engine.root, pid if self.waiter is None else None, self.sources.cgroup)
        self.members = Members(self.engine, pid, self.waiter, self.sources)
        if self.options.recorder is not None and self.sources.records is not None:
            self.sources.records.ended_listener = self._unrecorded.append
        if self.waiter is not None:
            self.waiter.is_member = lambda row: self.members.is_evident(row, self._sampled)
            if not self.waiter.adoption_proves and self.sources.records is not None:
                self.sources.records.keep_starts()

    @property
    def stopped_by(self) -> int | None:
        """The signal that stopped the root, while it is stopped."""
        return None if self.waiter is None else self.waiter.root_state

    @property
    def tree(self) -> TreeState | None:
        """The sampled tree; None before the first sample."""
        return None if self.forest is None else self.forest.tree(self.sampled_pid)

    @property
    def _sampled(self) -> Collection[Identity]:
        """The members that were alive at the latest sample."""
        return () if self.tree is None else self.tree.ledger

    def rows(self) -> list[ProcessInfo]:
        """The members that exist now, zombies included."""
        return self.members.rows(self._sampled)

    def is_over(self) -> bool:
        """Whether the root and all other members have ended. Takes no sample.

        Of a chain of processes that each start the next one and exit, a pass over the members may see exited ones only.
        So a cgroup counts by what the kernel says of it, and where orphans are reaped nothing may be left to be reaped.
        """
        if not self.root_ended or (self.sources.cgroup is not None and self.sources.cgroup.is_populated()):
            return False
        rows = self.rows()
        reaps = self.waiter is not None and self.waiter.reaps_orphans
        return self.members.is_complete and not (rows if reaps else any(row.is_alive for row in rows))

    def signal_tree(self, number: int) -> int:
        """Send a signal to every living member once. Returns to how many it was sent."""
        return self.members.signal(number, self._sampled)

    def step(self) -> None:
        """Reap what has ended, take a sample if one is due, and read perf records."""
        began_ns = time.thread_time_ns()
        now_ns = time.monotonic_ns()
        if self.waiter is not None:
            self.waiter.reap()
            if self.waiter.root is not None and not self.root_ended:
                self.root_ended = True
                self.ended_ns = now_ns
        if now_ns >= self.plan.due_ns:
            self.sample()
        self.due_ns = self.plan.due_ns
        if self.sources.records is not None:
            self.sources.records.drain()
            self.due_ns = min(self.due_ns, now_ns + DRAIN_NS)
            if self.options.recorder is not None:
                self.record_ended(self.options.recorder)
        self.cost_ns += time.thread_time_ns() - began_ns

    def sample(self, *, is_last: bool = False) -> TreeSample | None:
        """Take a sample now, whether or not it is due; None where there is no process to sample."""
        now_ns = time.monotonic_ns()
        took_ns = 0
        sample = None
        root_pid = self._root_to_sample() if self.forest is None else None
        if root_pid is not None:
            try:
                self._open_forest(root_pid)
            except (NoSuchProcess, AccessDenied, OutOfDescriptors):  # the other sources go on
                pass
            else:
                self._open_stats()
        if self.forest is not None and self.stats is not None:
            self._adopt_members(self.forest)
            sample = self.forest.sample(due_ns=self.plan.due_ns)[self.sampled_pid]
            tree = self.forest.tree(self.sampled_pid)
            self.members.sessions |= tree.sessions
            if self._caller_watch is not None:
                self._caller_watch.follow(dict(self._sampled), self.members.sessions)
            self.stats.take(sample, tree)
            if is_last:
                self.stats.take_rows(sample.members)
            if self.options.recorder is not None:
                footprint = self.stats.footprint.current_bytes
                self.options.recorder.add_sample(self.tree_key, sample, sample.members, footprint)
            took_ns = sample.cost_ns
            if self.waiter is None and not self.root_ended and not self.forest.tree(self.pid).root_lives:
                self.root_ended = True
                self.ended_ns = now_ns
        self.plan.advance(took_ns)
        if (
            self._watch is not None
            and self.stats is not None
            and sample is not None
            and self.limit_exceeded is None
            and not is_last
        ):
            status = self.status()
            self.limit_exceeded = self._watch.check(
                sample,
                wall_ns=status.wall_ns,
                cpu_ns=status.cpu_ns,
                footprint_bytes=status.footprint_bytes,
                cmdlines=self.stats.cmdlines,
            )
            if self.limit_exceeded is not None and self.sources.cgroup is not None:
                self.sources.cgroup.kill()  # at once; the caller of `step` ends the rest
            self.plan.hasten(self._watch.wait_ns(sample, status.cpu_ns))
        return sample

    def _root_to_sample(self) -> int | None:
        if not self.root_ended:
            return self.pid
        return next((row.pid for row in self.rows() if row.is_alive), None)

    def _open_forest(self, root_pid: int) -> None:
        from prock.sampling.sampled_cpu import SampledCpu

        waiter = self.waiter
        adopts = waiter is not None and waiter.reaps_orphans
        # Root can read the I/O of zombies before they are reaped, so that samples need not.
        io = not adopts or sys.platform != "linux" or os.geteuid() != 0 or self.options.recorder is not None
        # The events of a launched command were opened by the launcher.
        accounting = self.options.accounting if waiter is None else "ledger"
        if waiter is None and accounting == "auto" and sys.platform == "linux" and os.geteuid() == 0:
            accounting = "bpf"  # where it is not available, the next source follows, and the result says so
        try:
            forest = self._follow(root_pid, accounting, io=io, adopts=adopts)
        except NotSupported as error:
            if accounting == self.options.accounting:
                raise
            self.sources.refused["bpf"] = error.what
            forest = self._follow(root_pid, self.options.accounting, io=io, adopts=adopts)
        self.forest, self.sampled_pid = forest, root_pid
        used_before_ns = 0 if waiter is None or root_pid != self.pid else self.used_before_ns
        self.sources.add(SampledCpu(forest, root_pid, self.engine, used_before_ns=used_before_ns, adopts=adopts))

    def _follow(self, root_pid: int, accounting: str, *, io: bool, adopts: bool) -> Forest:
        from prock.sampling.forest import Forest

        forest = Forest(memory=True, io=io, accounting=accounting, engine=self.engine, scans=not adopts)
        try:
            forest.add(root_pid, since_birth=self.waiter is not None)
        except BaseException:
            forest.close()
            raise
        return forest

    def _open_stats(self) -> None:
        from prock.runner.sample_stats import SampleStats

        self.stats = SampleStats(
            self.engine,
            self.began_ns,
            self.pid,
            pss=self.options.pss,
            processes=self.options.processes,
            since_birth=self.waiter is not None,
            arguments=self.options.arguments,
        )

    def _adopt_members(self, forest: Forest) -> None:
        """Add members to the forest whose parent ended before a sample saw them."""
        ledger = forest.tree(self.sampled_pid).ledger
        if self.waiter is not None and self.waiter.reaps_orphans:
            for pid in self.waiter.children():
                if ledger.identity_of(pid) is None:
                    forest.adopt(self.sampled_pid, pid)
            return
        for pid, start_ticks in self.members.known.items():
            if (pid, start_ticks) not in ledger:
                info = self.engine.info(pid)
                if info is not None and info.is_alive and info.start_ticks == start_ticks:
                    forest.adopt(self.sampled_pid, pid)

    def status(self) -> Status:
        """As of the latest sample."""
        tree = self.tree
        cpu_ns = self.sources.current_ns()
        if cpu_ns is None and tree is not None:
            cpu_ns = tree.cpu_ns
        return Status(
            time.monotonic_ns() - self.began_ns,
            cpu_ns,
            None if self.stats is None else self.stats.footprint.current_bytes,
            None if tree is None else tree.sums.process_count,
        )

    def end(self, *, whole_tree: bool) -> None:
        """Step once more, and end the wall time: that of the root, or of the tree."""
        self.step()
        if whole_tree or not self.root_ended:
            self.ended_ns = time.monotonic_ns()

    @property
    def tree_key(self) -> Identity:
        """Of this run in a recording. The root may end before its start time is read."""
        return self.pid, 0

    def record_ended(self, recorder: Recorder) -> None:
        """Record what has ended since the last call."""
        if self._unrecorded:
            recorder.add_ended(self.tree_key, self._unrecorded)
            self._unrecorded.clear()

    def close(self) -> None:
        """Close all sources: what still runs is not counted any more. Idempotent."""
        if self._caller_watch is not None:
            left = {row.pid: row.start_ticks for row in self.rows() if row.is_alive} if self.pid else {}
            self._caller_watch.close(left, self.members.sessions if self.pid else {})
        self.sources.close()


def files_of(name: bytes, env: Sequence[bytes]) -> list[bytes]:
    """The files that a command's name may mean, in the order in which execvp(3) tries them."""
    here = b"./" + name if name.startswith(b"-") else name  # not an option of the shell that may run the script
    if b"/" in name:
        return [here]
    paths = (entry.removeprefix(b"PATH=") for entry in env if entry.startswith(b"PATH="))
    directories = next(paths, os.fsencode(os.defpath)).split(b":")
    return [os.path.join(directory, name) if directory else here for directory in directories]

"""`SampleStats`: peaks of a tree's samples, and what they saw of each process and each command."""

from __future__ import annotations

from prock.model import Identity
from prock.results import ProcessUsage
from prock.sampling.command_lines import CommandLines
from prock.sampling.footprint import Footprint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from prock.engine.protocol import Engine
    from prock.model import MemberSample, ProcessInfo
    from prock.sampling.sample import TreeSample
    from prock.sampling.tree_state import TreeState

PSS_SHARE = 400
"""PSS readings take at most one 400th of the time."""
ROWS_EVERY_NS = 1_000_000_000
"""Interval of rows of a tree that prock attached to; they cost more than the sample itself."""
HEAVIEST_ENDED, MOST_ENDED = 100, 100_000
"""Ended processes whose rows are kept at least."""
HEAVY = 8
"""Of so many processes with the most CPU time, and with the largest resident sets, command lines are read."""
CMDLINES_EVERY_NS = 1_000_000_000
"""Longest time between two such readings; early ones are twice as long after the start as the one before."""
MOST_CMDLINE_LETTERS = 64 << 20
"""Of the command lines of all ended processes."""


class _Seen:
    """One process."""

    __slots__ = (
        "base_ns",
        "base_peak",
        "cmdline",
        "comm",
        "cpu_ns",
        "first_ns",
        "identity",
        "last_ns",
        "peak_rss",
        "ppid",
    )

    def __init__(self, row: MemberSample | ProcessInfo, now_ns: int, base_ns: int) -> None:
        self.identity = row.identity
        self.ppid = row.ppid
        self.comm = row.comm
        self.cpu_ns = 0
        self.last_ns = now_ns
        self.base_ns = base_ns
        self.base_peak = 0
        """The peak that it had before it was measured."""
        self.first_ns = now_ns
        self.peak_rss: int | None = None
        self.cmdline: tuple[str, ...] | None = None
        """Set when it has ended."""

    def update(self, comm: str, cpu_ns: int, peak_rss: int | None, now_ns: int) -> None:
        self.comm, self.cpu_ns, self.last_ns = comm, max(0, cpu_ns - self.base_ns), now_ns
        if peak_rss is not None and peak_rss > self.base_peak:
            self.peak_rss = max(self.peak_rss or 0, peak_rss) or None


class SampleStats:
    """`began_ns`: zero of the times in rows. `root_pid`: of the command. `processes`: keep rows of up to `MOST_ENDED`
    processes that ended, not only of the largest and busiest.

    `since_birth`: count all CPU time of the processes in the first sample, not only what they use from then on.
    """

    def __init__(
        self,
        engine: Engine,
        began_ns: int,
        root_pid: int,
        *,
        pss: bool,
        processes: bool,
        since_birth: bool,
        arguments: bool = True,
    ) -> None:
        self.footprint = Footprint(engine, share=PSS_SHARE, always_pss=pss)
        self.samples = 0
        self.longest_ns = 0
        self.peak_process_count = self.peak_thread_count = 0
        self.cmdlines = CommandLines(engine, arguments=arguments)
        self._cmdlines_due_ns = self._cmdline_letters = 0
        self._began_ns = began_ns
        self._last_ns = began_ns
        self._most = MOST_ENDED if processes else HEAVIEST_ENDED
        self._since_birth = since_birth
        self._rows_ns = 0
        self._root_pid = root_pid
        self._root_seen: _Seen | None = None
        self._living: dict[Identity, _Seen] = {}
        self._ended: list[_Seen] = []
        self._commands: dict[str, tuple[int, int, int | None]] = {}

    def take(self, sample: TreeSample, tree: TreeState) -> None:
        """The latest sample of that tree."""
        now_ns, before_ns = sample.taken_ns, self._last_ns
        self.samples += 1
        self.longest_ns = max(self.longest_ns, now_ns - before_ns)
        self._last_ns = now_ns
        self.peak_process_count = max(self.peak_process_count, sample.process_count)
        self.peak_thread_count = max(self.peak_thread_count, sample.thread_count)
        self.footprint.add_sample(sample)
        if self.samples == 1:
            self._take_first(sample.members, now_ns)
        elif not self._since_birth and now_ns >= self._rows_ns:  # for their RSS, as the kernel's peaks may be older
            self.take_rows(sample.members)
        for change in tree.changed:
            row = change.info
            if row.identity not in self._living:
                self._living[row.identity] = _Seen(row, now_ns, 0)
            self._living[row.identity].update(row.comm, row.user_ns + row.system_ns, change.peak_rss_bytes, now_ns)
        for end in tree.ended:
            seen = self._living.pop(end.identity, None)
            if seen is not None:
                seen.update(end.comm, end.cpu_ns, end.peak_rss_bytes, before_ns)
                self._note_cmdline(seen)
                self._ended.append(seen)
                self._count(self._commands, seen)
        if len(self._ended) > 4 * self._most:
            largest = sorted(self._ended, key=lambda seen: -(seen.peak_rss or 0))[: self._most]
            busiest = sorted(self._ended, key=lambda seen: -seen.cpu_ns)[: self._most]
            self._ended = list({id(seen): seen for seen in (*largest, *busiest)}.values())
            self._cmdline_letters = sum(sum(map(len, seen.cmdline or ())) for seen in self._ended)
        if now_ns >= self._cmdlines_due_ns:
            self._read_cmdlines(sample.members, now_ns)

    def _read_cmdlines(self, members: tuple[MemberSample, ...], now_ns: int) -> None:
        """Of the heaviest, or of all with `processes`."""
        self._cmdlines_due_ns = now_ns + min(now_ns - self._began_ns, CMDLINES_EVERY_NS)
        rows = [row for row in members if row.state != "Z"]
        if self._most != MOST_ENDED and len(rows) > HEAVY:
            busiest = sorted(rows, key=lambda row: -row.cpu_ns)[:HEAVY]
            largest = sorted(rows, key=lambda row: -(row.rss_bytes or 0))[:HEAVY]
            rows = [*busiest, *largest]
        self.cmdlines.read(((row.identity, row.comm) for row in rows), wait_s=0)

    def _note_cmdline(self, seen: _Seen) -> None:
        """Of a process that has ended."""
        cmdline = self.cmdlines.get(seen.identity, seen.comm)
        self.cmdlines.forget(seen.identity)
        if cmdline is not None and self._cmdline_letters < MOST_CMDLINE_LETTERS:
            seen.cmdline = cmdline
            self._cmdline_letters += sum(map(len, cmdline))

    def _take_first(self, members: tuple[MemberSample, ...], now_ns: int) -> None:
        for row in members:
            seen = self._living[row.identity] = _Seen(row, now_ns, 0 if self._since_birth else row.cpu_ns)
            if not self._since_birth:
                seen.base_peak = row.peak_rss_bytes or 0
            if row.pid == self._root_pid:
                self._root_seen = seen
        self.take_rows(members)

    def take_rows(self, members: tuple[MemberSample, ...]) -> None:
        """Of the latest sample: a member that has not changed since it was new is up to date only then."""
        self._rows_ns = self._last_ns + ROWS_EVERY_NS
        for row in members:
            if row.identity in self._living:
                seen = self._living[row.identity]
                seen.update(row.comm, row.cpu_ns, row.peak_rss_bytes, self._last_ns)
                seen.peak_rss = max(seen.peak_rss or 0, row.rss_bytes or 0) or None

    def set_root_peak(self, peak_rss: int) -> None:
        """The exact peak of the root, known once it has ended."""
        if self._root_seen is None:
            return
        self._root_seen.peak_rss = peak_rss
        if self._root_seen.identity not in self._living:
            processes, cpu_ns, peak = self._commands[self._root_seen.comm]
            self._commands[self._root_seen.comm] = (processes, cpu_ns, max(peak or 0, peak_rss))

    @staticmethod
    def _count(commands: dict[str, tuple[int, int, int | None]], seen: _Seen) -> None:
        processes, cpu_ns, peak = commands.get(seen.comm, (0, 0, None))
        if seen.peak_rss is not None:
            peak = max(peak or 0, seen.peak_rss)
        commands[seen.comm] = (processes + 1, cpu_ns + seen.cpu_ns, peak)

    @property
    def root_cpu_ns(self) -> int | None:
        """CPU time of the root as last sampled."""
        return None if self._root_seen is None else self._root_seen.cpu_ns

    @property
    def largest_bytes(self) -> int:
        """The largest resident set of one process in any sample."""
        return max((peak for _, _, peak in self.commands().values() if peak is not None), default=0)

    def commands(self) -> dict[str, tuple[int, int, int | None]]:
        """By name: processes, CPU time, and the largest resident set, as sampled."""
        commands = dict(self._commands)
        for seen in self._living.values():
            self._count(commands, seen)
        return commands

    def processes(self) -> list[ProcessUsage]:
        """A row for each sampled process, in the order of their first sample."""
        return [
            ProcessUsage(
                pid=seen.identity[0],
                ppid=seen.ppid,
                comm=seen.comm,
                cpu_ns=seen.cpu_ns,
                peak_rss_bytes=seen.peak_rss,
                started_ns=max(0, seen.first_ns - self._began_ns),
                ended_ns=None if self._living.get(seen.identity) is seen else max(0, seen.last_ns - self._began_ns),
                cmdline=seen.cmdline or self.cmdlines.get(seen.identity, seen.comm),
            )
            for seen in sorted([*self._ended, *self._living.values()], key=lambda seen: (seen.first_ns, seen.identity))
        ]

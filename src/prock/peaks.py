"""What the samples of a tree leave behind: its peaks, and what was seen of each process and of each command."""

from __future__ import annotations

from prock.footprint import Footprint
from prock.model import Identity
from prock.result import CommandUsage, ProcessUsage

TYPE_CHECKING = False  # see _records.py
if TYPE_CHECKING:
    from prock.accounting.records import Ended
    from prock.engine.protocol import Engine
    from prock.model import MemberSample
    from prock.sample import TreeSample

ROWS_EVERY_NS = 1_000_000_000
"""How often rows are asked for, which cost more than the sample itself ..."""
ROWS_EARLY_NS = 300_000_000
"""... but always while the tree is as young as that: short commands are to have some, too."""


class _Seen:
    """One process."""

    __slots__ = ("base_ns", "comm", "cpu_ns", "first_ns", "last_ns", "peak_rss", "ppid")

    def __init__(self, row: MemberSample, now_ns: int, base_ns: int) -> None:
        self.ppid = row.ppid
        self.comm = row.comm
        self.cpu_ns = 0
        self.last_ns = now_ns
        self.base_ns = base_ns
        self.first_ns = now_ns
        self.peak_rss: int | None = None


class Peaks:
    """Takes samples. `began_ns`: what times are counted from. `processes`: keep what was seen of each, for a table.

    `since_birth`: whoever is in the first sample counts with all that it has used; else from then on.
    """

    def __init__(self, engine: Engine, began_ns: int, *, pss: bool, processes: bool, since_birth: bool) -> None:
        self.footprint = Footprint(engine, always_pss=pss)
        self.samples = 0
        self.longest_ns = 0
        self.cost_ns = 0
        self.peak_processes = self.peak_threads = 0
        self.denied = 0
        self._began_ns = began_ns
        self._last_ns = began_ns
        self._rows_ns = 0
        self._keeps_processes = processes
        self._since_birth = since_birth
        self._root: Identity | None = None
        self._root_seen: _Seen | None = None
        self._living: dict[Identity, _Seen] = {}
        self._ended: list[tuple[Identity, _Seen]] = []
        self._commands: dict[str, tuple[int, int, int | None]] = {}

    def take(self, sample: TreeSample) -> None:
        now_ns = sample.taken_ns
        self.samples += 1
        self.longest_ns = max(self.longest_ns, now_ns - self._last_ns)
        self._last_ns = now_ns
        self.cost_ns += sample.cost_ns
        self.peak_processes = max(self.peak_processes, sample.process_count)
        self.peak_threads = max(self.peak_threads, sample.num_threads)
        self.denied = max(self.denied, sample.denied)
        self.footprint.take(sample)
        if now_ns >= self._rows_ns or now_ns - self._began_ns < ROWS_EARLY_NS:
            self._rows_ns = now_ns + ROWS_EVERY_NS
            self._look_at(sample.members, now_ns)

    def _look_at(self, members: tuple[MemberSample, ...], now_ns: int) -> None:
        self._root = self._root or next((row.identity for row in members), None)
        before, self._living = self._living, {}
        for row in members:
            identity = (row.pid, row.start_ticks)
            seen = before.pop(identity, None)
            if seen is None:
                existed = self.samples == 1 and not self._since_birth
                seen = _Seen(row, now_ns, row.cpu_ns if existed else 0)
            self._living[identity] = seen
            if identity == self._root:
                self._root_seen = seen
            seen.comm, seen.cpu_ns, seen.last_ns = row.comm, max(0, row.cpu_ns - seen.base_ns), now_ns
            rss = row.rss_bytes
            if rss is not None and (seen.peak_rss is None or rss > seen.peak_rss):
                seen.peak_rss = rss
        for identity, seen in before.items():
            if self._keeps_processes:
                self._ended.append((identity, seen))
            self._count(self._commands, seen)

    @staticmethod
    def _count(commands: dict[str, tuple[int, int, int | None]], seen: _Seen) -> None:
        processes, cpu_ns, peak = commands.get(seen.comm, (0, 0, None))
        if seen.peak_rss is not None:
            peak = max(peak or 0, seen.peak_rss)
        commands[seen.comm] = (processes + 1, cpu_ns + seen.cpu_ns, peak)

    @property
    def root_cpu_ns(self) -> int | None:
        """What the root was last seen to have used."""
        return None if self._root_seen is None else self._root_seen.cpu_ns

    @property
    def largest_bytes(self) -> int:
        """The largest resident set of one process that was seen."""
        return max((peak for _, _, peak in self.commands().values() if peak is not None), default=0)

    def commands(self) -> dict[str, tuple[int, int, int | None]]:
        """Of each name: processes, CPU, and the largest resident set, as far as they were seen."""
        commands = dict(self._commands)
        for seen in self._living.values():
            self._count(commands, seen)
        return commands

    def processes(self) -> list[ProcessUsage]:
        """What was seen, in the order of their appearance."""
        living = [(identity, seen, True) for identity, seen in self._living.items()]
        ended = [(identity, seen, False) for identity, seen in self._ended]
        return [
            ProcessUsage(
                pid=identity[0],
                ppid=seen.ppid,
                comm=seen.comm,
                cpu_ns=seen.cpu_ns,
                peak_rss_bytes=seen.peak_rss,
                started_ns=max(0, seen.first_ns - self._began_ns),
                ended_ns=None if lives else max(0, seen.last_ns - self._began_ns),
            )
            for identity, seen, lives in sorted(ended + living, key=lambda one: (one[1].first_ns, one[0]))
        ]


def usage_by_command(
    counted: dict[str, tuple[int, int | None]], seen: dict[str, tuple[int, int, int | None]]
) -> tuple[CommandUsage, ...]:
    """By name, the most CPU first: numbers from where all are counted if there is such a source, sizes as seen."""
    rows = []
    for name in counted.keys() | seen.keys():
        processes, cpu_ns, peak = seen.get(name, (0, 0, None))
        if counted:
            processes, exact_ns = counted.get(name, (0, None))
            cpu_ns = cpu_ns if exact_ns is None else exact_ns
        if processes or cpu_ns:
            rows.append(CommandUsage(name, processes, cpu_ns, peak))
    return tuple(sorted(rows, key=lambda row: (-row.cpu_ns, row.comm)))


def with_records(rows: list[ProcessUsage], ended: list[Ended], began_ns: int) -> list[ProcessUsage]:
    """Rows of processes that were seen, and of those that were recorded: each once, in the order of their start."""
    seen: dict[int, list[ProcessUsage]] = {}
    for row in rows:
        seen.setdefault(row.pid, []).append(row)
    merged = []
    for pid, ppid, comm, cpu_ns, start_ns, end_ns in ended:
        started_ns, ended_ns = max(0, start_ns - began_ns), max(0, end_ns - began_ns)
        # A sample can have seen it while it lived only: a pid that came twice is told apart by that.
        known = next((row for row in seen.get(pid, ()) if started_ns <= (row.started_ns or 0) <= ended_ns), None)
        if known is not None:
            seen[pid].remove(known)
        merged.append(
            ProcessUsage(
                pid=pid,
                ppid=ppid or (known.ppid if known else None),
                comm=comm,
                cpu_ns=cpu_ns if cpu_ns is not None else known.cpu_ns if known else 0,
                peak_rss_bytes=known.peak_rss_bytes if known else None,
                started_ns=started_ns,
                ended_ns=ended_ns,
            )
        )
    rest = [row for rows in seen.values() for row in rows if row.ended_ns is None]
    return sorted(merged + rest, key=lambda row: row.started_ns or 0)

"""What a workload really used: by a cgroup's account, or where none can be made, as its processes say themselves."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

V1, HYBRID, V2 = Path("/sys/fs/cgroup/cpuacct"), Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup")

JOIN = """
import resource
GROUP, LOG = {group!r}, {log!r}
if GROUP: open(GROUP + '/cgroup.procs', 'w').write('0')
def log(so_far=[0]):
    own = resource.getrusage(resource.RUSAGE_SELF)
    own = int((own.ru_utime + own.ru_stime) * 1e9)
    with open(LOG, 'a') as file: file.write(f'{{own - so_far[0]}}\\n')
    so_far[0] = own
def ends(): log(); os._exit(0)
"""


class CpuReference:
    def __init__(self, group: Path | None, log: Path) -> None:
        self.group = group
        self._log = log
        self.start = log.with_name(f"{log.name}-start")
        """Where a program may write what it had used when it joined."""
        self.exact = group is not None
        """Else it lacks the ends of the processes' lives, and what they have not logged yet."""
        self.join = JOIN.format(group=str(group) if group else "", log=str(log))
        """What a program begins with: it joins, has ``log()`` for what it used itself since the last time, and
        ``ends()``."""

    def used_ns(self) -> int:
        if self.group is None:
            return sum(map(int, self._log.read_text().split()))
        usage = self.group / "cpuacct.usage"
        if usage.exists():
            return int(usage.read_text())
        fields = dict(line.split() for line in (self.group / "cpu.stat").read_text().splitlines())
        return int(fields["usage_usec"]) * 1000


@contextmanager
def open_account(log: Path, *, apart: bool = False) -> Iterator[CpuReference]:
    """`apart`: only of a hierarchy of its own, where to join does not mean to leave a group of version 2."""
    log.write_text("")
    for parent, file in ((V1, "cpuacct.usage"), *(() if apart else ((HYBRID, "cpu.stat"), (V2, "cpu.stat")))):
        group = parent / f"prock-test-{os.getpid()}"
        if not (parent / "cgroup.procs").exists():
            continue
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            yield CpuReference(group if (group / file).exists() else None, log)
        finally:
            while pids := (group / "cgroup.procs").read_text().split():
                for pid in pids:
                    with suppress(ProcessLookupError):
                        os.kill(int(pid), signal.SIGKILL)
            group.rmdir()
        return
    yield CpuReference(None, log)


def stolen_ns() -> int:
    """What the host of a virtual machine took: perf events count it, the scheduler and its accounts do not."""
    return int(Path("/proc/stat").read_text().split("\n", 1)[0].split()[8]) * (
        1_000_000_000 // os.sysconf("SC_CLK_TCK")
    )

"""Control groups for what must not get out of hand: so many processes, a part of the CPU, and an account of it."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from prock.engine.linux.mountinfo import mounts

NAME = "prock-chaos-{pid}"


class Pen:
    def __init__(self, groups: tuple[Path, ...], account: Path | None, is_limited: bool) -> None:
        self.groups = groups
        """To be joined."""
        self._account = account
        self.is_limited = is_limited
        """Whether it holds the number of processes; else who is to be held has to be a user of his own."""

    @property
    def is_accounted(self) -> bool:
        return self._account is not None

    def used_ns(self) -> int:
        """By the scheduler's own account."""
        assert self._account is not None
        usage = self._account / "cpuacct.usage"
        if usage.exists():
            return int(usage.read_text())
        fields = dict(line.split() for line in (self._account / "cpu.stat").read_text().splitlines())
        return int(fields["usage_usec"]) * 1000


@contextmanager
def pen(pids: int, cpus: float = 1.0) -> Iterator[Pen]:
    """Version 1 where its controllers are mounted, else version 2 as far as its controllers are on here."""
    sweep()
    name = NAME.format(pid=os.getpid())
    groups: dict[Path, None] = {}
    account: Path | None = None
    is_limited = False
    try:
        for mount in mounts("/proc", "cgroup"):
            parent = Path(mount.point)
            for controller in {"pids", "cpuacct", "cpu"} & set(mount.options):
                if not (group := _made(parent / name)):
                    continue
                groups[group] = None
                if controller == "pids":
                    (group / "pids.max").write_text(str(pids))
                    is_limited = True
                elif controller == "cpu":
                    with suppress(OSError):
                        (group / "cpu.cfs_quota_us").write_text(str(round(cpus * 100_000)))
                else:
                    account = group
        for mount in mounts("/proc", "cgroup2"):
            if is_limited and account is not None:
                break
            if not (group := _made(Path(mount.point) / name)):
                continue
            groups[group] = None
            account = account or group
            if not is_limited and (group / "pids.max").exists():
                (group / "pids.max").write_text(str(pids))
                is_limited = True
            if (group / "cpu.max").exists():
                (group / "cpu.max").write_text(f"{round(cpus * 100_000)} 100000")
        yield Pen(tuple(groups), account, is_limited)
    finally:
        for group in groups:
            _remove(group)


def _made(group: Path) -> Path | None:
    try:
        group.mkdir(exist_ok=True)
    except OSError:
        return None
    return group


def _remove(group: Path) -> None:
    """With all that is in it."""
    while True:
        try:
            pids = (group / "cgroup.procs").read_text().split()
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            group.rmdir()
        except FileNotFoundError:
            return
        except OSError:  # busy, until the last of them is gone
            time.sleep(0.01)
        else:
            return


def sweep() -> None:
    """Remove what a test run left that was killed itself."""
    for kind in ("cgroup", "cgroup2"):
        for mount in mounts("/proc", kind):
            with suppress(OSError):
                for name in os.listdir(mount.point):
                    found = re.fullmatch(NAME.format(pid=r"(\d+)"), name)
                    if found and not os.path.exists(f"/proc/{found[1]}"):
                        _remove(Path(mount.point, name))

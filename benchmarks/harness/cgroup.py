"""Reference value of CPU time: the account of a control group.

The CPU time of a process stays in the account of the group that it joined, whatever its parent and its session.
"""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.harness.programs import Unavailable

SELF = Path("/proc/self")
VERSIONS = (1, 2)

_numbers = itertools.count(1)


class Account:
    """A control group, with the CPU time of all processes that were ever in it."""

    def __init__(self, home: Path, version: int) -> None:
        self.home = home
        self.version = version
        self.join_file = home / "cgroup.procs"

    def cpu_ns(self) -> int:
        if self.version == 1:
            return int((self.home / "cpuacct.usage").read_text())
        for line in (self.home / "cpu.stat").read_text().splitlines():
            name, _, value = line.partition(" ")
            if name == "usage_usec":
                return int(value) * 1000
        raise Unavailable(f"{self.home}/cpu.stat has no usage_usec")

    def pids(self) -> list[int]:
        """Its live processes; zombies are not in it."""
        try:
            return [int(pid) for pid in self.join_file.read_text().split()]
        except OSError:  # v2 refuses the list of a group of threads
            return []

    def is_empty(self) -> bool:
        return not self.pids()

    def close(self) -> None:
        """Kill what is left, and remove the group."""
        for _ in range(100):
            for pid in self.pids():
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            try:
                self.home.rmdir()
            except FileNotFoundError:
                return
            except OSError:  # the dying are not out yet
                time.sleep(0.02)
            else:
                return


@contextmanager
def new_account(versions: Collection[int] = VERSIONS) -> Iterator[Account]:
    """A new account; raises ``Unavailable`` where there is no hierarchy of these versions."""
    account = _open(versions)
    try:
        yield account
    finally:
        account.close()


def about_accounts(versions: Collection[int] = VERSIONS) -> str:
    """Which kind this machine has; raises ``Unavailable`` with the reason if none."""
    with new_account(versions) as account:
        return "cpuacct.usage of a cgroup v1" if account.version == 1 else "usage_usec in cpu.stat of a cgroup v2"


def _open(versions: Collection[int]) -> Account:
    reasons = []
    for version, parent in _parents():
        if version not in versions:
            continue
        home = parent / f"prock-bench-{os.getpid()}-{next(_numbers)}"
        try:
            home.mkdir()
        except OSError as refusal:
            reasons.append(f"{parent}: {refusal.strerror}")
            continue
        account = Account(home, version)
        try:
            _try_out(account)
        except (OSError, ValueError, Unavailable) as trouble:
            account.close()
            reasons.append(f"{parent}: {trouble}")
        else:
            return account
    raise Unavailable("; ".join(reasons) or "no control groups that count CPU time are mounted")


def _try_out(account: Account) -> None:
    """Raise unless a process can join and is charged."""
    join = 'echo 0 > "$0"; i=0; while [ $i -lt 200 ]; do i=$((i + 1)); done'
    done = subprocess.run(["sh", "-ec", join, account.join_file], stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise Unavailable(done.stderr.strip())
    if account.cpu_ns() == 0:
        raise Unavailable("counts nothing")


def _parents() -> Iterator[tuple[int, Path]]:
    """Candidates: the group of this process, then the top of the mount."""
    mine = {}
    for line in (SELF / "cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        mine[controllers] = path
    for line in (SELF / "mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        kind, _, options = right.split(" ", 2)
        mount = Path(left.split()[4].encode().decode("unicode_escape"))
        if kind == "cgroup2":
            version, path = 2, mine.get("", "/")
        elif kind == "cgroup" and "cpuacct" in options.split(","):
            version, path = 1, next((mine[name] for name in mine if "cpuacct" in name.split(",")), "/")
        else:
            continue
        for parent in dict.fromkeys((mount / path.strip("/"), mount)):
            if parent.is_dir():
                yield version, parent

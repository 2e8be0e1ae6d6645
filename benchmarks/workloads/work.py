"""A running work.c: a workload with its own account, which begins on command."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness.cgroup import Account, new_account


@dataclass(frozen=True)
class Work:
    """Arguments of work.c."""

    title: str
    kind: str
    count: int
    us: int
    reaped_at_once: bool = False
    """Whether a thread reaps the root at its end; otherwise it is reaped after the last sample."""


class Workload:
    """One run of a workload."""

    def __init__(self, program: Path, work: Work, account: Account, home: Path) -> None:
        self.account = account
        self._gate = home / "gate"
        self._gate.unlink(missing_ok=True)
        os.mkfifo(self._gate)
        self.command = [str(program), str(account.join_file), str(self._gate), work.kind, str(work.count), str(work.us)]
        self._reaped_at_once = work.reaped_at_once
        self._root: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """As a child of this process. A session of its own keeps the Ctrl-C of a terminal from it."""
        self._root = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, start_new_session=True)

    def await_root(self, within_s: float = 10.0) -> int:
        """Pid of the root, once it stands at the gate: nothing else makes it sleep once it has joined."""
        end = time.monotonic() + within_s
        while time.monotonic() < end:
            for pid in self.account.pids():
                if _is_asleep(pid):
                    return pid
            time.sleep(0.005)
        raise RuntimeError(f"{self.command} did not come to the gate")

    def begin(self) -> None:
        """Open the gate."""
        os.close(os.open(self._gate, os.O_WRONLY | os.O_NONBLOCK))
        if self._reaped_at_once and self._root is not None:
            threading.Thread(target=self._root.wait, daemon=True).start()

    def is_over(self) -> bool:
        return self.account.is_empty()

    def reap(self) -> None:
        if self._root is not None:
            self._root.wait()


@contextmanager
def workload(program: Path, work: Work, home: Path) -> Iterator[Workload]:
    """Not started yet; all of it has ended when the block ends."""
    with new_account() as account:
        made = Workload(program, work, account, home)
        try:
            yield made
        finally:
            account.close()
            made.reap()


def _is_asleep(pid: int) -> bool:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return text[text.rindex(")") + 2] == "S"

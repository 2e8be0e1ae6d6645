"""Whoever sets the stage for a program whose n-th question goes wrong, and makes things happen on it."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from support.chaos import pid_namespace
from support.chaos.pid_namespace import Crowd
from support.runs import children_of, state_of

KILLS = {"root": b"1", "middle": b"2", "leaf": b"3", "all": b"4"}
REPLACES = {"root": b"5", "middle": b"6", "leaf": b"7"}
NEW_STAGE = b"s"
STRANGER_NS = 6_000_000
"""What one who takes over a pid has used, more than all on the stage together."""
TWO_TICKS_NS = 20_000_000
"""Who is born within the same tick of 10 ms has the same identity."""
LAST_PID = "/proc/sys/kernel/ns_last_pid"


class Director:
    """Of one asker, a program that has the shim. Within a cell."""

    def __init__(self, *, reaps: bool) -> None:
        self._reaps = reaps
        self._stage: Crowd | None = None
        self._strangers: list[int] = []

    def direct(self, *arguments: str) -> None:
        """Run the asker, and do what it says, until it ends."""
        hears, tells = os.pipe()
        listens, answers = os.pipe()
        environment = {**os.environ, "LD_PRELOAD": str(pid_namespace.SHIM), "PYTHONPATH": ":".join(sys.path)}
        program = Path(__file__).with_name("calls_with_faults.py")
        asker = subprocess.Popen(
            [sys.executable, str(program), str(tells), str(listens), *arguments],
            env=environment, pass_fds=(tells, listens), stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        os.close(tells)
        os.close(listens)
        while wish := os.read(hears, 1):
            if wish == NEW_STAGE:
                os.write(answers, struct.pack("4i", *self._set_stage()))
            else:
                self._happens(wish)
                os.write(answers, wish)
        assert asker.stderr is not None
        said = asker.stderr.read()
        status = asker.wait()
        self._clear_stage()
        assert status == 0, f"{said}\nstatus {status}"

    def _set_stage(self) -> list[int]:
        self._clear_stage()
        self._stage = stage = Crowd("stage", int(self._reaps))
        middle, other = children_of(stage.pid)
        (leaf,) = children_of(middle)
        self._pids = [stage.pid, middle, leaf, other]
        self._set_ns = time.monotonic_ns()
        return self._pids

    def _clear_stage(self) -> None:
        if self._stage is not None:
            for pid in self._pids + self._strangers:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._stage.close()
            for pid in self._strangers:
                os.waitpid(pid, 0)
            self._strangers.clear()
            self._stage = None

    def _happens(self, wish: bytes) -> None:
        root, middle, leaf, other = self._pids
        for name, byte in KILLS.items():
            if byte == wish:
                for pid in {"root": [root], "middle": [middle], "leaf": [leaf]}.get(name, [leaf, middle, other, root]):
                    self._end(pid, self._reaps)
        for name, byte in REPLACES.items():
            if byte == wish:
                pid = {"root": root, "middle": middle, "leaf": leaf}[name]
                used_ns = sum(map(cpu_ns, self._pids))
                self._end(pid, True)
                self._replace(pid, used_ns + STRANGER_NS)

    def _end(self, pid: int, reaps: bool) -> None:
        """As a zombie, or waited for."""
        os.kill(pid, signal.SIGKILL)
        assert self._stage is not None
        if pid == self._stage.pid:
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
            if reaps:
                self._stage.popen.wait()
        while state_of(pid) not in ({""} if reaps else {"Z", ""}):
            pass

    def _replace(self, pid: int, use_ns: int) -> None:
        """By a stranger that has used so much; the machine has given away other pids meanwhile."""
        while time.monotonic_ns() < self._set_ns + TWO_TICKS_NS:
            time.sleep(0.001)
        stranger = 0
        while stranger != pid:  # it is not there any more a moment before its pid is free
            if stranger:
                os.kill(stranger, signal.SIGKILL)
                os.waitpid(stranger, 0)
            Path(LAST_PID).write_text(str(pid - 1))
            stranger = os.fork()
            if stranger == 0:
                until = time.process_time_ns() + use_ns
                while time.process_time_ns() < until:
                    pass
                os.kill(os.getpid(), signal.SIGSTOP)
                os._exit(0)
        self._strangers.append(stranger)
        os.waitid(os.P_PID, stranger, os.WSTOPPED | os.WNOWAIT)
        another = os.fork()
        if another == 0:
            os._exit(0)
        os.waitpid(another, 0)


def cpu_ns(pid: int) -> int:
    """What a process has used."""
    return time.clock_gettime_ns(~pid << 3 | 2)

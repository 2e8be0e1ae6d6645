"""Real processes for tests: programs that say when they are ready, and trees of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil

PRELUDE = """
import ctypes, os, signal, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
libc.prctl(1, 9)  # PR_SET_PDEATHSIG: don't outlive the test
def say(*words): print(*words, flush=True)
def wait(): sys.stdin.read()
def sleeper():
    pid = os.fork()
    if pid == 0:
        libc.prctl(1, 9)
        signal.pause()
    return pid
def burn(seconds):
    while time.process_time() < seconds: pass
"""


class Spawn:
    """``spawn(program)`` runs Python source to its first line of output and keeps it until its stdin closes."""

    def __init__(self) -> None:
        self._programs: list[subprocess.Popen[str]] = []

    def __call__(self, program: str, **options: object) -> Program:
        popen: subprocess.Popen[str] = subprocess.Popen(
            [sys.executable, "-c", PRELUDE + program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            **options,  # type: ignore[call-overload]  # whatever Popen takes
        )
        self._programs.append(popen)
        return Program(popen)

    def end(self) -> None:
        for popen in self._programs:
            for pid in descendants(popen.pid):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            popen.kill()
            popen.wait()
            for pipe in (popen.stdin, popen.stdout):
                if pipe is not None and not pipe.closed:
                    pipe.close()


class Program:
    def __init__(self, popen: subprocess.Popen[str]) -> None:
        self.popen = popen
        self.pid = popen.pid

    def hears(self) -> list[str]:
        """The words of its next line."""
        assert self.popen.stdout is not None
        line = self.popen.stdout.readline()
        assert line, "the program ended before it said anything"
        return line.split()

    def rests(self) -> list[str]:
        """The words of its next line, once it and all it started sleep: only then their figures stand still."""
        words = self.hears()
        wait_for_rest(self.pid)
        return words

    def pids(self) -> list[int]:
        return [int(word) for word in self.hears()]

    def tell(self, line: str = "") -> None:
        assert self.popen.stdin is not None
        self.popen.stdin.write(line + "\n")
        self.popen.stdin.flush()

    def finish(self) -> int:
        assert self.popen.stdin is not None
        self.popen.stdin.close()
        return self.popen.wait()


def descendants(pid: int) -> list[int]:
    """By psutil, an opinion that is not our own."""
    try:
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def wait_for_rest(root_pid: int) -> None:
    at_rest = (psutil.STATUS_SLEEPING, psutil.STATUS_ZOMBIE)
    while any(psutil.Process(pid).status() not in at_rest for pid in (root_pid, *descendants(root_pid))):
        pass


def stat_line(pid: object, /, **changed: object) -> bytes:
    """A line as ``/proc/PID/stat`` holds it, with the fields given; names as in proc(5)."""
    fields: dict[str, object] = dict.fromkeys(STAT_FIELDS, 0)
    fields |= {"pid": pid, "comm": b"name", "state": b"S", "ppid": 1, "num_threads": 1} | changed
    words = []
    for name in STAT_FIELDS:
        value = fields[name]
        word = value if isinstance(value, bytes) else str(value).encode()
        words.append(b"(" + word + b")" if name == "comm" else word)
    return b" ".join(words) + b"\n"


STAT_FIELDS = (
    "pid comm state ppid pgrp session tty_nr tpgid flags minflt cminflt majflt cmajflt utime stime cutime cstime "
    "priority nice num_threads itrealvalue starttime vsize rss rsslim startcode endcode startstack kstkesp kstkeip "
    "signal blocked sigignore sigcatch wchan nswap cnswap exit_signal processor rt_priority policy"
).split()

IO_LINES = b"rchar: 1\nwchar: 2\nsyscr: 3\nsyscw: 4\nread_bytes: 5\nwrite_bytes: 6\ncancelled_write_bytes: 7\n"


def fake_process(
    root: Path, pid: int, *, children: bytes | None = b"", stat: bytes | None = None, **fields: object
) -> Path:
    """A process below a fake proc, with the files that prock reads. ``children=None``: a kernel without such files."""
    directory = root / str(pid)
    task = directory / "task" / str(pid)
    task.mkdir(parents=True)
    (directory / "stat").write_bytes(stat_line(pid, **fields) if stat is None else stat)
    (directory / "statm").write_bytes(b"300 100 50 1 0 60 0\n")
    (directory / "io").write_bytes(IO_LINES)
    (directory / "comm").write_bytes(b"name\n")
    (directory / "environ").write_bytes(b"A=1\0B=x=y\0")
    if children is not None:
        (task / "children").write_bytes(children)
    return directory

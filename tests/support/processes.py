"""Real processes for tests: programs that say when they are ready, and trees of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

WORKER = os.environ.get("PROCK_TEST_WORKER", sys.executable)
"""The Python that runs what is measured. Where the tests' own is built with sanitizers, whose memory would be measured
too, another one."""

POLL_S = 0.001
"""Between two looks: a loop without a pause takes a processor from the processes that it waits for."""

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


PUPPET = """
reader, writer = os.pipe()
life, alive = os.pipe()
behind, before = os.pipe()
def gate(): os.read(behind, 1)
def open_gate(): os.write(before, b'x')
def told(count=1):
    words = b''
    while words.count(b' ') < count: words += os.read(reader, 65536)
    return [int(word) for word in words.split()]
def tells(word): os.write(writer, b'%d ' % word)
def stay(): os.read(life, 1); os._exit(0)
def child(work=stay):
    global alive
    pid = os.fork()
    if pid == 0:
        alive = alive and os.close(alive)
        work()
        os._exit(0)
    return pid
def orphan(work=stay):
    def be_orphan():
        os.setsid()
        tells(os.getpid())
        work()
    os.waitpid(child(lambda: child(be_orphan)), 0)
    return told()[0]
def work_when_signalled():
    signal.signal(signal.SIGUSR1, lambda *_: (burn(time.process_time() + 0.05), tells(os.getpid())))
    tells(os.getpid())
    stay()
def grow(fan_out, depth):
    for _ in range(fan_out if depth else 0):
        child(lambda: (grow(fan_out, depth - 1), tells(1), stay()))
def has_ended(pid): os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
say(1)
for line in iter(sys.stdin.readline, ''): exec(eval(line))
"""
"""Does what it is told: see `Program.does`. All that it starts ends with it, orphans too."""


class Spawn:
    """``spawn(program)`` runs Python source to its first line of output and keeps it until its stdin closes."""

    def __init__(self) -> None:
        self._programs: list[subprocess.Popen[str]] = []

    def __call__(self, program: str, **options: object) -> Program:
        popen: subprocess.Popen[str] = subprocess.Popen(
            [WORKER, "-S", "-c", PRELUDE + program],
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

    def is_ready(self) -> Program:
        self.rests()
        return self

    def tell(self, line: str = "") -> None:
        assert self.popen.stdin is not None
        self.popen.stdin.write(line + "\n")
        self.popen.stdin.flush()

    def does(self, source: str) -> list[int]:
        """Have a puppet run that, and what it says of it once it and all below it rest; 0 where it says nothing."""
        self.tell(repr(source if "say(" in source else f"{source}\nsay(0)"))
        return [int(word) for word in self.rests()]

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
    """Until no thread of the tree runs; by plain files, as psutil would read the whole machine each time."""
    while not _rests(root_pid):
        time.sleep(POLL_S)


def _rests(pid: int) -> bool:
    try:
        for thread in map(Path(f"/proc/{pid}/task").joinpath, os.listdir(f"/proc/{pid}/task")):
            stat = Path(thread, "stat").read_text(errors="replace")
            if stat.rpartition(")")[2].split()[0] not in "SZT":
                return False
            if not all(_rests(int(child)) for child in Path(thread, "children").read_text().split()):
                return False
    except (FileNotFoundError, ProcessLookupError):  # ended meanwhile
        return not os.path.exists(f"/proc/{pid}")
    return True


def stat_line(pid: object, /, **changed: object) -> bytes:
    """A line as ``/proc/PID/stat`` holds it, with the fields given; names as in proc(5)."""
    fields: dict[str, object] = dict.fromkeys(STAT_FIELDS, 0)
    fields |= {"pid": pid, "comm": b"name", "state": b"S", "ppid": 1, "thread_count": 1} | changed
    words = []
    for name in STAT_FIELDS:
        value = fields[name]
        word = value if isinstance(value, bytes) else str(value).encode()
        words.append(b"(" + word + b")" if name == "comm" else word)
    return b" ".join(words) + b"\n"


STAT_FIELDS = (
    "pid comm state ppid pgrp session tty_nr tpgid flags minflt cminflt majflt cmajflt utime stime cutime cstime "
    "priority nice thread_count itrealvalue starttime vsize rss rsslim startcode endcode startstack kstkesp kstkeip "
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

"""A place where anything may happen: a PID and a mount namespace of its own, that leave nothing behind.

Whoever is in it ends with it: the kernel kills all of a PID namespace when its first process ends, and that one ends
with the test run, however that does. A cell that hangs is ended, and says where it stood.
"""

from __future__ import annotations

import faulthandler
import os
import pickle
import select
import signal
import subprocess
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import pytest

from support.elsewhere import CLONE_NEWNS, CLONE_NEWPID, libc, mount_proc, unshare

HANGS_S = 150
"""Longer than anything here takes on a slow and busy machine: only for what would hang for ever."""
PR_SET_PDEATHSIG = 1


class Hangs(Exception):
    """It did not come to an end."""


def in_cell(function: Callable[[], Any], *, hangs_s: float = HANGS_S, flags: int = 0) -> Any:
    """What the function returns, or the failure of its assertions. `flags`: further namespaces of its own."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    with tempfile.TemporaryFile() as dump:
        guard = os.fork()
        if guard == 0:
            try:
                _guard(function, writer, dump, CLONE_NEWPID | CLONE_NEWNS | flags)
            except BaseException:
                _answer(writer, (0, False, traceback.format_exc()))
            os._exit(0)
        os.close(writer)
        first = 0
        try:
            answers = _answers(reader, time.monotonic() + hangs_s)
            first = next(answers)[0]
            succeeded, answer = next(answers)[1:]
        except Hangs:
            raise AssertionError(f"hangs after {hangs_s} s:\n{_dump(first, dump)}") from None
        finally:
            if first:
                with suppress(ProcessLookupError):
                    os.kill(first, signal.SIGKILL)
            os.waitpid(guard, 0)  # by then nothing of the cell is left
            os.close(reader)
    if succeeded is None:
        pytest.skip(answer)
    assert succeeded, answer
    return answer


def _guard(function: Callable[[], Any], writer: int, dump: IO[bytes], flags: int) -> None:
    os.setsid()
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    unshare(flags)
    first = os.fork()
    if first == 0:
        try:
            _be_first(function, writer, dump)
        finally:
            os._exit(0)
    _answer(writer, (first, True, None))
    os.waitpid(first, 0)


def _be_first(function: Callable[[], Any], writer: int, dump: IO[bytes]) -> None:
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    mount_proc("/proc", "")
    pid = os.fork()
    if pid == 0:
        faulthandler.register(signal.SIGUSR2, file=dump, all_threads=True)
        try:
            answer: tuple[Any, ...] = (0, True, function())
        except pytest.skip.Exception as why:
            answer = (0, None, str(why))
        except BaseException:
            answer = (0, False, traceback.format_exc())
        _answer(writer, answer)
        os._exit(0)
    while os.wait()[0] != pid:
        pass


def _answer(writer: int, answer: tuple[Any, ...]) -> None:
    data = pickle.dumps(answer)
    data = len(data).to_bytes(8, "little") + data
    while data:
        data = data[os.write(writer, data) :]


def _answers(reader: int, until: float) -> Iterator[tuple[Any, ...]]:
    data = b""
    while True:
        size = int.from_bytes(data[:8], "little")
        if len(data) >= 8 + size > 8:
            yield pickle.loads(data[8 : 8 + size])
            data = data[8 + size :]
            continue
        if not select.select([reader], [], [], max(0, until - time.monotonic()))[0]:
            raise Hangs
        part = os.read(reader, 65536)
        assert part, "the cell died without an answer"
        data += part


def _dump(first: int, dump: IO[bytes]) -> str:
    """What all threads of the function were at, and who else is there."""
    from support.processes import descendants

    lines = []
    for number, pid in enumerate(descendants(first)):
        if number == 0:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGUSR2)
            time.sleep(1)
        with suppress(OSError):
            stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
            lines.append(f"{stat[:60]} waits in {Path(f'/proc/{pid}/wchan').read_text()}")
    dump.seek(0)
    return dump.read().decode(errors="replace") + "\n".join(lines[:50])


# ---- crowds ----

CROWD = Path()
"""The program of process_trees.c, once it is compiled."""
SHIM = Path()
"""The library of fault_shim.c."""


class Crowd:
    """A tree that `crowd` makes; within a cell, which ends it."""

    def __init__(self, *arguments: object, groups: tuple[Path, ...] = (), before: Callable[[], None] | None = None):
        self.popen: subprocess.Popen[str] = subprocess.Popen(
            [str(CROWD), *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "CROWD_GROUPS": ":".join(map(str, groups))},
            preexec_fn=before,
        )
        self.pid = self.popen.pid
        self.hears("ready")

    def hears(self, word: str) -> int:
        assert self.popen.stdout is not None
        words = self.popen.stdout.readline().split()
        assert words and words[0] == word, words
        return int(words[1])

    def tell(self) -> None:
        assert self.popen.stdin is not None
        self.popen.stdin.write("\n")
        self.popen.stdin.flush()

    def close(self) -> None:
        for pipe in (self.popen.stdin, self.popen.stdout):
            assert pipe is not None
            pipe.close()
        self.popen.kill()
        self.popen.wait()


@contextmanager
def crowd(
    *arguments: object, groups: tuple[Path, ...] = (), before: Callable[[], None] | None = None
) -> Iterator[Crowd]:
    made = Crowd(*arguments, groups=groups, before=before)
    try:
        yield made
    finally:
        made.close()

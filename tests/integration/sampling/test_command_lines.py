"""Command lines beside the samples: when they are read, and what a read that hangs does not delay."""

from __future__ import annotations

import subprocess
import threading
import time
from typing import TYPE_CHECKING, Any, cast

import pytest
from support import processes

import prock
from prock.sampling import command_lines
from prock.sampling.command_lines import CommandLines

if TYPE_CHECKING:
    from prock.engine.protocol import Engine
    from prock.model import Identity


class Slow:
    """An engine whose reads of some processes hang."""

    def __init__(self, *hanging: int) -> None:
        self.hanging = set(hanging)
        self.go_on = threading.Event()
        self.reads: list[int] = []

    def cmdline(self, pid: int, most_bytes: int) -> tuple[str, ...]:
        self.reads.append(pid)
        if pid in self.hanging:
            self.go_on.wait(10)
        return ("command", str(pid))


def lines_of(engine: Slow, **options: Any) -> CommandLines:
    return CommandLines(cast("Engine", engine), **options)


def wanted(*pids: int, comm: str = "a") -> list[tuple[Identity, str]]:
    return [((pid, 0), comm) for pid in pids]


def read_of(engine: Engine, pid: int, lines: CommandLines, comm: str) -> tuple[str, ...] | None:
    info = prock.get_liveness_info(pid)
    assert info is not None
    lines.read([(info.identity, comm)], wait_s=10)
    return lines.get(info.identity, comm)


def test_a_process(engine: Engine, spawn: processes.Spawn) -> None:
    program = spawn("say(); wait()")
    program.hears()
    lines = CommandLines(engine)
    assert read_of(engine, program.pid, lines, "python") == prock.get_process_cmdline(program.pid)
    assert lines.cost_ns > 0
    assert read_of(engine, program.pid, CommandLines(engine, arguments=False), "python") == (processes.WORKER,)


@pytest.mark.parametrize("name_changes", [True, False])
def test_a_program_that_executes_another(name_changes: bool, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_lines, "FIRST_REREAD_NS", 10**12 if name_changes else 0)
    script = "echo; read line; exec sh -c 'echo; read line' second"
    with subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as popen:
        assert popen.stdin is not None and popen.stdout is not None
        popen.stdout.readline()
        lines = CommandLines(engine)
        assert read_of(engine, popen.pid, lines, "sh") == ("sh", "-c", script)
        popen.stdin.write(b"\n")
        popen.stdin.flush()
        popen.stdout.readline()
        comm = "other" if name_changes else "sh"
        if not name_changes:
            time.sleep(0.05)
            read_of(engine, popen.pid, lines, comm)
        assert read_of(engine, popen.pid, lines, comm) == ("sh", "-c", "echo; read line", "second")


def test_each_is_read_once() -> None:
    engine = Slow()
    lines = lines_of(engine)
    for _ in range(3):
        lines.read(wanted(1, 2), wait_s=10)
    assert engine.reads == [1, 2]
    lines.read(wanted(1, comm="b"), wait_s=10)
    assert engine.reads == [1, 2, 1]
    lines.keep({(1, 0)})
    assert lines.get((1, 0), "a") is None and lines.get((1, 0), "b") == ("command", "1")
    assert lines.get((2, 0), "a") is None
    lines.forget((1, 0))
    assert lines.get((1, 0), "b") is None


def test_a_read_that_hangs_delays_nothing() -> None:
    """Not the other ones either, until all readers hang."""
    engine = Slow(2, 4, 6, 8, 10)
    lines = lines_of(engine)
    for pid in (2, 4, 6, 8):
        lines.read(wanted(pid, pid + 1), wait_s=0.01)
        lines.read(wanted(1), wait_s=10 if pid < 8 else 0)
    assert lines.get((1, 0), "a") == ("command", "1")
    assert lines.get((3, 0), "a") == ("command", "3") and lines.get((2, 0), "a") is None
    asked = len(engine.reads)
    lines.read(wanted(10, 11), wait_s=10)  # no reader is left: returns at once
    assert len(engine.reads) == asked
    engine.go_on.set()
    while lines.get((11, 0), "a") is None or lines.get((2, 0), "a") is None:
        time.sleep(0.001)


def test_a_request_that_waited_long_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pid may be another process's by then."""
    monkeypatch.setattr(command_lines, "STALE_NS", 0)
    engine = Slow()
    lines = lines_of(engine)
    lines.read(wanted(1), wait_s=10)
    assert engine.reads == [] and lines.get((1, 0), "a") is None


def test_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    lines = lines_of(Slow())
    with monkeypatch.context() as patch:
        patch.setattr(command_lines, "start_new_thread", refuse)
        lines.read(wanted(1), wait_s=10)
    assert lines.get((1, 0), "a") is None
    lines.read(wanted(2), wait_s=10)
    assert lines.get((1, 0), "a") == ("command", "1")

"""Signals and details of ``prock top``: of the process that was seen, and what is refused."""

from __future__ import annotations

import os
import signal

import pytest
from support import processes
from support.elsewhere import become_nobody, in_child, needs_root
from support.made_up_samples import member
from support.run_engines import on_both

import prock
from prock.cli.output import Screen
from prock.cli.top.details import describe
from prock.model import Identity, MemberSample
from prock.runner.send_signal import NotSent, send

pytestmark = on_both


def identity(pid: int) -> Identity:
    liveness = prock.get_liveness_info(pid)
    assert liveness is not None
    return liveness.identity


def seen(pid: int) -> MemberSample:
    return member(pid, 0, start_ticks=identity(pid)[1])


def not_sent(to: Identity) -> str:
    with pytest.raises(NotSent) as caught:
        send(to, signal.SIGKILL)
    return str(caught.value)


def test_it_reaches_the_process(spawn: processes.Spawn) -> None:
    program = spawn("signal.signal(signal.SIGUSR1, lambda *_: os.write(1, b'heard\\n')); say(); wait()")
    program.hears()
    send(identity(program.pid), signal.SIGUSR1)
    assert program.hears() == ["heard"]


def test_another_with_the_same_pid_is_not_hit(spawn: processes.Spawn) -> None:
    program = spawn("say(); wait()")
    program.hears()
    pid, start_ticks = identity(program.pid)
    assert not_sent((pid, start_ticks - 1)) == f"process {pid} has ended"
    assert program.popen.poll() is None


def test_who_has_ended_is_not_hit(dead_pid: int) -> None:
    assert not_sent((dead_pid, 1)) == f"process {dead_pid} has ended"


def test_a_zombie_is_said_to_be_one(spawn: processes.Spawn) -> None:
    program = spawn("child = sleeper(); say(child); wait()")
    (child,) = program.pids()
    os.kill(child, signal.SIGKILL)
    while prock.snapshot_process(child).state != "Z":  # type: ignore[union-attr]
        pass
    assert "zombie" in not_sent(identity(child))


@needs_root
def test_a_refusal_is_said(spawn: processes.Spawn) -> None:
    program = spawn("say(); wait()")
    program.hears()
    target = identity(program.pid)

    def ask() -> str:
        become_nobody()
        return not_sent(target)

    assert in_child(ask) == f"SIGKILL not sent: process {program.pid} is another user's"
    assert program.popen.poll() is None


def test_a_kernel_without_pidfd_sends_nothing(spawn: processes.Spawn, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(pid: int, flags: int = 0) -> int:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(os, "pidfd_open", refuse)
    program = spawn("say(); wait()")
    program.hears()
    assert "no pidfd" in not_sent(identity(program.pid))
    assert program.popen.poll() is None


def test_details_of_a_process(spawn: processes.Spawn) -> None:
    program = spawn("say(); wait()", cwd="/")
    program.hears()
    text = "\n".join(describe(seen(program.pid), Screen()))
    for words in ("command     ", "directory   /\n", "user        ", "open files  ", "started     ", "own CPU     "):
        assert words in text
    assert f"process     {program.pid} " in text


def test_details_of_another_with_the_same_pid_are_not_told() -> None:
    text = "\n".join(describe(member(os.getpid(), 0, start_ticks=1), Screen()))
    assert text.startswith(f"process {os.getpid()} has ended")
    assert "directory" not in text


@needs_root
def test_details_say_what_is_refused(spawn: processes.Spawn) -> None:
    program = spawn("say(); wait()")
    program.hears()
    subject = seen(program.pid)

    def ask() -> list[str]:
        become_nobody()
        return describe(subject, Screen())

    lines = in_child(ask)
    for label in ("directory", "open files", "path", "I/O"):
        assert f"{label:12}access denied" in lines


def test_details_of_a_hostile_process(hostile: int) -> None:
    lines = describe(seen(hostile), Screen())
    assert all(line.isprintable() for line in lines)

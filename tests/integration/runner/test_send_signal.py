"""A signal goes to the process that was meant, or to none: pids that are used again, and those of other namespaces."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support import processes
from support.elsewhere import as_first_of_a_namespace, fork_with_pid, in_child, needs_root
from support.runs import needs_filters, refuse

import prock
from prock._compat.signals import is_child, pidfd_of_child
from prock.accounting.wait_linux import LinuxWaiter
from prock.engine import open_engine
from prock.model import Identity
from prock.runner.send_signal import NotSent, send
from prock.runner.session import Options, RunSession
from prock.runner.spawn_linux import kill_child

PID = 300


def identity(pid: int) -> Identity:
    liveness = prock.get_liveness_info(pid)
    assert liveness is not None
    return liveness.identity


def lives(pid: int) -> bool:
    """A child of this process."""
    return os.waitpid(pid, os.WNOHANG) == (0, 0)


def use_again(pid: int, by: Callable[[int], None] = fork_with_pid) -> Identity:
    """End whoever has it, and give it to another; answers who that was."""
    before = identity(pid)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    by(pid)
    while identity(pid) == before:  # within the same tick: nobody was able to see both
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        by(pid)
    return before


@needs_root
def test_a_pid_that_is_used_again_is_not_hit() -> None:
    def check() -> None:
        fork_with_pid(PID)
        before = use_again(PID)
        for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGSTOP):
            with pytest.raises(NotSent, match=f"process {PID} has ended"):
                send(before, number)
        assert lives(PID) and identity(PID) != before
        send(identity(PID), signal.SIGKILL)
        assert os.waitpid(PID, 0)[1] == signal.SIGKILL

    as_first_of_a_namespace(check, with_proc=True)


@needs_root
def test_a_member_whose_pid_is_used_again_is_no_member() -> None:
    """Of a tree that was attached to, whose root is gone: its pid is a stranger's."""

    def check() -> None:
        fork_with_pid(PID)
        running = RunSession.attach(PID, Options(accounting="ledger"))
        try:
            running.step()
            use_again(PID)
            assert running.signal_tree(signal.SIGKILL) == 0
        finally:
            running.close()
        assert lives(PID)

    as_first_of_a_namespace(check, with_proc=True)


@needs_root
def test_a_member_whose_pid_another_child_has_is_not_hit() -> None:
    """Children can be told by their pids where there are no pidfds; but not one for another."""

    def check() -> None:
        fork_with_pid(PID)
        running = RunSession.attach(PID, Options(accounting="ledger"), engine=open_engine())
        try:
            before = running.engine.info(PID)
            assert before is not None
            use_again(PID)
            assert not running.members._signal_child(before, signal.SIGKILL)
            assert lives(PID)
            now = running.engine.info(PID)
            assert now is not None and running.members._signal_child(now, signal.SIGKILL)
        finally:
            running.close()
        assert os.waitpid(PID, 0)[1] == signal.SIGKILL

    as_first_of_a_namespace(check, with_proc=True)


@needs_root
@needs_filters
@pytest.mark.parametrize("with_pidfds", [True, False])
def test_a_command_that_is_gone_unnoticed(with_pidfds: bool) -> None:
    """SIGCHLD is ignored, so that nobody has to wait for it before its pid is used again.

    With pidfds even by another child of this process; without them that could not be told.
    """

    def check() -> None:
        if not with_pidfds:
            refuse("pidfd_open", 38)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        with prock.Popen(["sleep", "60"]) as process:
            os.kill(process.pid, signal.SIGKILL)
            while os.path.exists(f"/proc/{process.pid}"):
                pass
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            if with_pidfds:
                fork_with_pid(process.pid)
            elif (between := os.fork()) == 0:
                fork_with_pid(process.pid)
                signal.pause()
            while not os.path.exists(f"/proc/{process.pid}"):
                pass
            stranger = identity(process.pid)
            process.kill()
            process.send_signal(signal.SIGTERM)
            process.kill_tree(0)
        after = prock.get_liveness_info(process.pid)
        assert after is not None and after.is_alive and after.identity == stranger
        if not with_pidfds:
            os.kill(between, signal.SIGKILL)

    as_first_of_a_namespace(check, with_proc=True)


@needs_root
def test_a_pid_of_another_namespaces_proc_is_not_hit(spawn: processes.Spawn) -> None:
    """A container that has the host's proc: the pid that is read there is somebody else's in here."""
    target = spawn("say(); wait()")
    target.hears()

    def check() -> None:
        meant = identity(target.pid)
        fork_with_pid(target.pid)
        for who in (meant, identity(int(os.readlink("/proc/self")))):
            with pytest.raises(NotSent):
                send(who, signal.SIGKILL)
        assert lives(target.pid)

    as_first_of_a_namespace(check, with_proc=False)
    assert target.popen.poll() is None


def test_a_descriptor_of_a_child_is_of_no_stranger(spawn: processes.Spawn, dead_pid: int) -> None:
    descriptors = os.listdir("/proc/self/fd")
    with subprocess.Popen(["sleep", "60"]) as child:
        os.close(pidfd_of_child(child.pid))
        assert is_child(os.P_PID, child.pid)
        child.kill()
        while Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
            pass
        os.close(pidfd_of_child(child.pid))  # a zombie keeps its pid
    for pid in (os.getppid(), dead_pid, child.pid):
        with pytest.raises((ChildProcessError, ProcessLookupError)):
            pidfd_of_child(pid)
        assert not is_child(os.P_PID, pid)
    assert os.listdir("/proc/self/fd") == descriptors


@needs_filters
@pytest.mark.parametrize("with_pidfds", [True, False])
def test_a_launch_that_is_broken_off_ends_its_own_process_alone(with_pidfds: bool, spawn: processes.Spawn) -> None:
    program = spawn("child = sleeper(); say(child); wait()")
    (stranger,) = program.pids()

    def check() -> None:
        if not with_pidfds:
            refuse("pidfd_open", 38)
        kill_child(stranger)
        child = subprocess.Popen(["sleep", "60"])
        kill_child(child.pid)
        assert child.wait() == -signal.SIGKILL
        kill_child(child.pid)

    in_child(check)
    os.kill(stranger, 0)
    assert Path(f"/proc/{stranger}/stat").read_text().rpartition(")")[2].split()[0] in "RS"  # it may not sleep yet


def test_interrupted_before_it_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the launch is left."""
    ready: list[int] = []

    def interrupt(self: LinuxWaiter, pid: int, *_: object) -> None:
        ready.append(pid)
        raise KeyboardInterrupt

    monkeypatch.setattr(LinuxWaiter, "set_root", interrupt)
    with pytest.raises(KeyboardInterrupt):
        prock.run(["sleep", "60"])
    assert ready and not is_child(os.P_PID, ready[0])

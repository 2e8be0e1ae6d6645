"""`kill_tree`: trees that this process did not start, or whose root it knows by pid only."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from support.elsewhere import become_nobody, in_child, needs_root
from support.runs import PYTHON, SH, has_ended, name_of, python, until

import prock
from prock.engine import active

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sessions and orphans as of Linux")
finds_sessions = pytest.mark.skipif(not active.reads_proc, reason="psutil does not report sessions")
CHAIN = """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
until = time.monotonic() + 20
while time.monotonic() < until:
    if os.fork(): os._exit(0)
    time.sleep(0.0003)
"""


@contextmanager
def started(command: list[str], **options: object) -> Iterator[subprocess.Popen[bytes]]:
    process: subprocess.Popen[bytes] = subprocess.Popen(command, stdout=subprocess.PIPE, **options)  # type: ignore[call-overload]
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout and process.stdout.close()


def numbers(process: subprocess.Popen[bytes]) -> list[int]:
    assert process.stdout is not None
    return [int(word) for word in process.stdout.readline().split()]


TREE = """
trap '' TERM
sleep 60 & a=$!
(sleep 60 & echo $a $! >&3; wait) 3>&1 &
wait
"""


def test_every_process_of_a_tree_that_ignores_sigterm_is_ended() -> None:
    with started([SH, "-c", TREE]) as root:
        inner = numbers(root)
        assert prock.kill_tree(root.pid, 0.1) is not False
        assert root.wait() == -signal.SIGKILL
        assert until(lambda: all(map(has_ended, inner)))


def test_a_tree_gets_sigterm_first() -> None:
    with started([SH, "-c", "trap 'exit 3' TERM; echo 1; while :; do sleep 0.01; done"]) as root:
        numbers(root)
        assert prock.kill_tree(root.pid, 30) is not False
        assert root.wait() == 3


def test_a_pid_that_was_reused_is_left_alone() -> None:
    with started(["sleep", "60"]) as other:
        info = prock.get_liveness_info(other.pid)
        assert info is not None
        pid, start_ticks = info.identity
        assert prock.kill_tree((pid, start_ticks - 1)) is None
        assert other.poll() is None
        assert prock.kill_tree((pid, start_ticks), 0) is not False
        assert other.wait() == -signal.SIGKILL


@finds_sessions
def test_what_left_its_parent_but_not_the_session_of_a_member_is_ended() -> None:
    with started([SH, "-c", "(sleep 60 & echo $!) ; exec sleep 60"], start_new_session=True) as root:
        (orphan,) = numbers(root)
        until(lambda: name_of(root.pid) == "sleep")  # then its parent has ended
        assert prock.kill_tree(root.pid, 0) is not False
        assert until(lambda: has_ended(orphan))


def test_an_orphan_in_a_session_of_others_is_left_alone() -> None:
    with started([SH, "-c", "(sleep 60 & echo $!) ; exec sleep 60"]) as root:
        (orphan,) = numbers(root)
        until(lambda: name_of(root.pid) == "sleep")
        prock.kill_tree(root.pid, 0)
        assert not has_ended(orphan)
        os.kill(orphan, signal.SIGKILL)


def test_an_orphan_that_no_pass_saw_makes_the_result_unknown() -> None:
    """On SIGTERM the tree's only process leaves an orphan in a session of its own."""
    program = """
def leave(*_):
    orphan(lambda: (os.write(1, b'%d\\n' % os.getpid()), os.close(1), time.sleep(60)))
    os._exit(0)
signal.signal(signal.SIGTERM, leave)
os.write(1, b'1\\n')
while True: time.sleep(60)
"""
    with started(python(program)) as root:
        numbers(root)
        result = prock.kill_tree(root.pid, 5)
        (orphan,) = numbers(root)
        if not has_ended(orphan):
            os.kill(orphan, signal.SIGKILL)
            assert result is None


@finds_sessions
@pytest.mark.parametrize("kill_after", [0, 0.2])
def test_a_chain_of_processes_is_ended(kill_after: float) -> None:
    with started([SH, "-c", '"$@" & echo $!; exec sleep 60', SH, *python(CHAIN)], start_new_session=True) as root:
        numbers(root)
        time.sleep(0.2)
        assert prock.kill_tree(root.pid, kill_after) is not False
        assert not [row for row in prock.scan_all_processes() if row.session == root.pid and row.is_alive]


def test_a_process_that_does_not_exist_is_an_error() -> None:
    with started(["true"]) as process:
        process.wait()
        with pytest.raises(prock.NoSuchProcess):
            prock.kill_tree(process.pid)


def test_the_caller_and_its_ancestors_are_not_ended() -> None:
    for pid in (os.getpid(), os.getppid()):
        with pytest.raises(ValueError, match="this process or an ancestor"):
            prock.kill_tree(pid)


@pytest.mark.parametrize("process", [None, "1", (1, 2, 3), ("1", 2), 1.5, -1])
def test_what_is_no_process_is_an_error(process: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        prock.kill_tree(process)  # type: ignore[arg-type]


@needs_root
def test_a_tree_of_another_user_is_left_and_that_is_said() -> None:
    with started([*PYTHON, "print(1, flush=True); import time; time.sleep(60)"]) as root:
        numbers(root)

        def check() -> None:
            become_nobody()
            from prock.runner import terminate

            terminate.GIVE_UP_NS = 0
            assert prock.kill_tree(root.pid, 0) is False

        in_child(check)
        assert root.poll() is None

"""Runs in programs that do other things, too: other children, threads, forks, handlers; and what they leave behind."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support.elsewhere import in_child
from support.processes import descendants
from support.runs import (
    PYTHON,
    children_of,
    groups,
    has_ended,
    name_of,
    needs_filters,
    python,
    refuse,
    signal_handler,
    state_of,
    until,
)
from support.sampling import open_descriptors

import prock

CAT = ["/bin/cat"]


def fork(returncode: int) -> int:
    pid = os.fork()
    if pid == 0:
        os._exit(returncode)
    return pid


def test_children_from_before_are_left_to_who_started_them() -> None:
    def check() -> None:
        pid = fork(5)
        until(lambda: has_ended(pid))
        result = prock.run(["sh", "-c", "(true &); exit 3"], reap_orphans=True, wait_all=True)
        assert result.returncode == 3 and state_of(pid) == "Z"
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 5

    in_child(check)


def test_children_that_are_started_meanwhile() -> None:
    """By default a Popen reaps nobody but its command."""

    def check() -> None:
        with prock.Popen(CAT, stdin=subprocess.PIPE) as first:
            pid = fork(5)
            until(lambda: has_ended(pid))
            for code in range(10):
                assert subprocess.run(["sh", "-c", f"exit {code}"]).returncode == code
                assert prock.run(["sh", "-c", f"exit {code}"]).returncode == code
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 5
        assert first.returncode == 0

    in_child(check)


def test_two_that_adopt() -> None:
    """Neither takes the other's root; of orphans both may."""

    def check() -> None:
        with (
            prock.Popen(CAT, stdin=subprocess.PIPE, reap_orphans=True) as first,
            prock.Popen(["sh", "-c", "exit 4"], reap_orphans=True) as second,
            prock.Popen(["sh", "-c", "exit 5"]) as third,
        ):
            assert [process.finish().returncode for process in (second, third)] == [4, 5]
        assert first.finish().returncode == 0

    in_child(check)


def test_orphans_that_a_run_left_behind_are_no_zombies_for_ever() -> None:
    def check() -> None:
        reader, writer = os.pipe()
        for _ in range(3):
            result = prock.run(["sh", "-c", "cat <&3 &", "sh"], pass_fds=[reader], stdin=reader)
            assert result.returncode == 0
        left = children_of(os.getpid())
        os.close(writer)
        until(lambda: all(has_ended(pid) for pid in left))
        assert prock.run(["true"]).survivors == ()
        assert children_of(os.getpid()) == []

    in_child(check)


def lost(result: prock.RunResult) -> bool:
    return result.returncode is None and any("SIGCHLD" in sentence for sentence in result.missing)


COMMANDS = {"alone": ["sh", "-c", "exit 3"], "with an orphan": ["sh", "-c", "sleep 60 & exit 3"]}


@pytest.mark.parametrize("accounting", ["auto", "waited", "ledger"])
@pytest.mark.parametrize("name", COMMANDS)
def test_sigchld_ignored(name: str, accounting: str) -> None:
    """Nobody learns how it ended; `subprocess` says 0 then, too. What its orphan does keeps nobody waiting."""

    def check() -> None:
        with signal_handler(signal.SIGCHLD, signal.SIG_IGN):
            with prock.Popen(COMMANDS["alone"], accounting=accounting) as process:
                assert process.wait() == 0
            result = prock.run(COMMANDS[name], reap_orphans=True, accounting=accounting, kill_tree=True, kill_after=0)
            assert lost(result) and result.survivors == ()
            assert result.accounting == "cgroup" or result.cpu_ns is None or accounting != "waited"
            assert result.minor_faults is None and (result.disk_io is None or any(result.disk_io))
            assert lost(prock.run(COMMANDS["alone"], accounting=accounting))
            until(lambda: not descendants(os.getpid()))

    in_child(check)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_handler_that_reaps_everything(name: str) -> None:
    def check() -> None:
        def reap(*_: object) -> None:
            try:
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            except ChildProcessError:
                pass

        with signal_handler(signal.SIGCHLD, reap):
            for _ in range(10):
                result = prock.run(COMMANDS[name], kill_tree=True, kill_after=0)
                assert (lost(result) or result.returncode == 3) and result.survivors == ()

    in_child(check)


def test_many_at_once_from_threads() -> None:
    def one(number: int) -> tuple[int | None, Any]:
        command = ["sh", "-c", f"echo {number}; exit {number}"]
        result = prock.run(command, capture_output=True, text=True)
        return result.returncode, result.stdout

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(one, range(40))) == [(number, f"{number}\n") for number in range(40)]
    assert not groups()


def test_a_hundred_runs_leave_nothing() -> None:
    def check() -> None:
        prock.run(["true"])
        before = open_descriptors(), threading.enumerate(), children_of(os.getpid())
        for number in range(100):
            options: dict[str, Any] = {"capture_output": True} if number % 3 == 0 else {}
            prock.run(["true"], **options)
            if number % 10 == 0:
                with pytest.raises(FileNotFoundError):
                    prock.run(["there-is-no-such-command"])
        assert (open_descriptors(), threading.enumerate(), children_of(os.getpid())) == before
        assert not groups()

    in_child(check)


def test_no_warnings() -> None:
    program = """
import asyncio, gc, os, prock, subprocess
for _ in range(3): prock.run(['sh', '-c', 'true; exec sleep 0.03'], capture_output=True)
try: prock.run(['sleep', '60'], timeout=0.05, stdout=subprocess.PIPE, kill_after=1)
except subprocess.TimeoutExpired: pass
try: prock.run(['none'], stdout=subprocess.PIPE)
except FileNotFoundError: pass
with prock.Popen(['true'], stdout=subprocess.PIPE) as process: process.communicate()
async def run():
    # Development mode reports steps that take longer than 0.1 s, as on a busy machine.
    asyncio.get_running_loop().slow_callback_duration = 60
    await prock.arun(['true'], capture_output=True)
asyncio.run(run())
gc.collect()
"""
    ended = subprocess.run([sys.executable, "-X", "dev", "-W", "error", "-c", program], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_one_that_is_dropped_while_it_runs() -> None:
    """As with `subprocess`: a warning, and no zombie later."""

    def check() -> None:
        reader, writer = os.pipe()
        process: Any = prock.Popen(CAT, stdin=reader, stdout=subprocess.DEVNULL)
        pid = process.pid
        processes = [process]
        del process
        with pytest.warns(ResourceWarning, match=f"{pid} is still running"):
            processes.clear()
        gc.collect()
        os.close(reader)
        os.close(writer)
        until(lambda: not state_of(pid))
        until(lambda: not groups())

    in_child(check)


def is_strange(process: Any) -> None:
    """In a fork: as with `subprocess`, whose child it is not."""
    assert process.poll() == process.wait() == 0
    process.kill()
    assert process.send_tree_signal(signal.SIGKILL) == 0 and not process.kill_tree()
    with pytest.raises(ValueError, match="forked"):
        process.finish()


def test_a_fork_of_the_caller() -> None:
    """It has nothing to do with the run, and its end ends nothing of it."""

    def check() -> None:
        with prock.Popen(CAT, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
            assert in_child(lambda: prock.run(["sh", "-c", "exit 6"]).returncode) == 6
            in_child(lambda: is_strange(process))
            assert process.poll() is None and (not groups() or state_of(process.pid) in "SR")
        result = process.finish()
        assert result.returncode == 0 and result.cpu_ns and result.survivors == ()

    in_child(check)


def test_the_parent_of_a_command_lives_as_long_as_this_process() -> None:
    """Not a thread that ends: PR_SET_PDEATHSIG would kill the command then."""
    program = "import ctypes, os, sys\nctypes.CDLL(None).prctl(1, 9)\nprint(os.getppid(), flush=True)\nsys.stdin.read()"
    with prock.Popen([*PYTHON, program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and int(process.stdout.readline()) == os.getpid()
        prock.run(["true"])
    assert process.returncode == 0


def test_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the command does not go on behind everybody's back."""

    def refuse_thread(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    def check() -> None:
        before = open_descriptors()
        monkeypatch.setattr(threading.Thread, "start", refuse_thread)
        with pytest.raises(RuntimeError, match="new thread"):
            prock.Popen(["sleep", "60"], stdout=subprocess.PIPE)
        gc.collect()
        assert not descendants(os.getpid()) and not groups() and open_descriptors() == before

    in_child(check)


@needs_filters
def test_in_a_sandbox_without_pidfds_signals_go_by_pid() -> None:
    def check() -> None:
        refuse("pidfd_open", 1)
        with prock.Popen(CAT, stdin=subprocess.PIPE) as process:
            process.terminate()
        assert process.returncode == -signal.SIGTERM

    in_child(check)


def interrupted(start: Callable[[], object]) -> None:
    """By Ctrl-C, once the command has said so."""
    with pytest.raises(KeyboardInterrupt):
        start()


def test_keyboard_interrupt() -> None:
    """Of this process alone: the whole tree is ended, orphans too."""

    def check() -> None:
        kill = f"os.kill({os.getpid()}, signal.SIGINT)"
        program = f"orphan(lambda: ({kill}, time.sleep(60)))\ntime.sleep(60)"
        interrupted(lambda: prock.run(python(program), kill_after=1))
        until(lambda: not descendants(os.getpid()))
        assert not groups()

    in_child(check)


def test_a_second_keyboard_interrupt_kills() -> None:
    def check() -> None:
        kill = f"os.kill({os.getpid()}, signal.SIGINT)"
        program = f"signal.signal(signal.SIGTERM, lambda *_: {kill})\n{kill}\nwhile True: time.sleep(60)"
        interrupted(lambda: prock.run(python(program), kill_after=3600))
        assert not descendants(os.getpid()) and not groups()

    in_child(check)


@pytest.mark.skipif(sys.platform != "linux", reason="the masks of threads are read from proc")
def test_threads_of_prock_take_no_signal_of_the_program() -> None:
    """Else a Ctrl-C does not wake the main thread: without this, 8 of 60 interrupts were lost."""
    with prock.Popen(["sleep", "60"]) as process, prock.Monitor(0.01):
        masks = {
            tid: next(line.split()[1] for line in Path(f"/proc/self/task/{tid}/status").read_text().splitlines()
                      if line.startswith("SigBlk:"))
            for tid in os.listdir("/proc/self/task")
        }  # fmt: skip
        process.kill()
    own = masks.pop(str(os.getpid()))
    interrupt = 1 << (signal.SIGINT - 1)
    assert not int(own, 16) & interrupt
    assert len(masks) >= 2 and all(int(mask, 16) & interrupt for mask in masks.values()), masks


def test_arun() -> None:
    async def several() -> list[int | None]:
        results = await asyncio.gather(*(prock.arun(["sh", "-c", f"exit {code}"]) for code in range(8)))
        return [result.returncode for result in results]

    assert asyncio.run(several()) == list(range(8))


def test_arun_that_is_cancelled() -> None:
    """However many there are: more than a pool has threads."""

    async def several() -> None:
        reader, writer = os.pipe()
        command = ["sh", "-c", "echo; exec sleep 60"]
        tasks = [asyncio.create_task(prock.arun(command, stdout=writer, kill_after=10)) for _ in range(12)]
        os.set_blocking(reader, False)
        heard = b""
        while len(heard) < len(tasks):
            await asyncio.sleep(0)
            try:
                heard += os.read(reader, 100)
            except BlockingIOError:
                pass
        for task in tasks:
            task.cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(answer) for answer in answers} == {asyncio.CancelledError}
        assert not any(name_of(pid) == "sleep" for pid in children_of(os.getpid()))
        os.close(reader)
        os.close(writer)

    asyncio.run(several())
    assert not groups()


def test_arun_that_is_cancelled_before_it_began() -> None:
    async def at_once() -> None:
        task = asyncio.create_task(prock.arun(["sleep", "60"], kill_after=10))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(at_once())
    assert not groups()


def test_arun_that_fails() -> None:
    with pytest.raises(FileNotFoundError):
        asyncio.run(prock.arun(["there-is-no-such-command"]))
    with pytest.raises(subprocess.TimeoutExpired) as caught:
        asyncio.run(prock.arun(["sleep", "60"], timeout=0.01, kill_after=10))
    result: Any = caught.value.result  # type: ignore[attr-defined]
    assert result.timed_out and result.returncode == -signal.SIGTERM

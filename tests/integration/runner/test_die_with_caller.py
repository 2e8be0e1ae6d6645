"""`die_with_caller` and ``--die-with-prock``: the tree ends with the process that started it, whatever ends that."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from support.elsewhere import in_child, needs_root
from support.runs import PYTHON, children_of, groups, has_ended, name_of, until

import prock
from prock.engine import active

pytestmark = pytest.mark.skipif(not active.reads_proc, reason="only Linux, with its proc")

TREE = "(trap '' TERM HUP INT; setsid sleep 61 & echo $! $$ >pids.new; mv pids.new pids; exec sleep 61)"
"""The command, and a child that leads a session of its own."""
PROGRAM = """
import os, sys, threading, time, prock
def start():
    global process
    process = prock.Popen(["sh", "-c", {tree!r}], die_with_caller=True, accounting={accounting!r}, interval=0.02)
thread = threading.Thread(target=start)
thread.start()
thread.join()
while not os.path.exists("pids"): time.sleep(0.01)
time.sleep(0.2)
print(1, flush=True)
{end}
"""
ENDS = {
    "SIGKILL": "time.sleep(60)",
    "exit": "os._exit(0)",
    "exception": "raise SystemExit(3)",
    "fork": "os.fork() or time.sleep(3); time.sleep(60)",
}
"""After `fork`, a child of the caller still has its descriptors, and lives on."""


def pids_in(directory: Path) -> list[int]:
    return [
        int(word) for word in until(lambda: (directory / "pids").exists() and (directory / "pids").read_text()).split()
    ]


@pytest.mark.parametrize("accounting", ["auto", "waited"])
@pytest.mark.parametrize("end", ENDS)
def test_the_tree_ends_with_the_program(end: str, accounting: str, tmp_path: Path) -> None:
    program = PROGRAM.format(tree=TREE, accounting=accounting, end=ENDS[end])
    with subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path, stdout=subprocess.PIPE) as caller:
        assert caller.stdout is not None
        assert caller.stdout.readline()
        pids = pids_in(tmp_path)
        assert not any(map(has_ended, pids))
        if "sleep" in ENDS[end]:
            caller.kill()
        assert until(lambda: all(map(has_ended, pids)))
    assert until(lambda: not groups(caller.pid))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_the_tree_ends_with_prock(number: int, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "prock", "run", "--die-with-prock", "sh", "-c", TREE]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL) as caller:
        pids = pids_in(tmp_path)
        time.sleep(0.3)
        caller.send_signal(number)
        assert until(lambda: all(map(has_ended, pids)))


@needs_root
@pytest.mark.parametrize("accounting", ["auto", "waited"])
def test_a_member_that_changes_its_user_ends_too(accounting: str, tmp_path: Path) -> None:
    """Which clears the parent-death signal of prctl(2), as executing a set-id program does."""
    script = "echo $$ >pids; exec setpriv --reuid 65534 --regid 65534 --clear-groups sleep 61"
    command = [sys.executable, "-m", "prock", "run", "--die-with-prock", "--accounting", accounting, "sh", "-c", script]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL) as caller:
        pids = pids_in(tmp_path)
        until(lambda: name_of(pids[0]) == "sleep")
        caller.kill()
        assert until(lambda: all(map(has_ended, pids)))


@needs_root
@pytest.mark.parametrize("accounting", ["auto", "waited"])
def test_a_member_that_executes_a_set_id_program_ends_too(accounting: str, tmp_path: Path) -> None:
    """The parent-death signal of prctl(2) would be lost."""
    program = shutil.copy(os.path.realpath(shutil.which("sleep") or "/bin/sleep"), tmp_path / "sleeper")
    os.chown(program, 65534, 65534)
    os.chmod(program, 0o6755)
    tmp_path.chmod(0o755)
    script = f"echo $$ >pids; exec {program} 61"
    command = [sys.executable, "-m", "prock", "run", "--die-with-prock", "--accounting", accounting, "sh", "-c", script]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL) as caller:
        pids = pids_in(tmp_path)
        until(lambda: name_of(pids[0]) == "sleeper")
        status = Path(f"/proc/{pids[0]}/status").read_text()
        assert "\nUid:\t0\t65534\t65534\t65534\n" in status  # its file system allows set-id programs
        caller.kill()
        assert until(lambda: all(map(has_ended, pids)))


def test_the_end_of_prock_run_is_that_of_kill_tree(tmp_path: Path) -> None:
    script = "sleep 62 >&- 2>&- & echo $! >pids"
    command = [sys.executable, "-m", "prock", "run", "--die-with-prock", "-k", "0", "sh", "-c", script]
    run = subprocess.run(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, timeout=60)
    assert run.returncode == 0
    assert "still running" not in run.stderr
    assert all(map(has_ended, pids_in(tmp_path)))


def test_what_a_run_leaves_ends_with_the_program(tmp_path: Path) -> None:
    program = f"""
import os, time, prock
result = prock.run(["sh", "-c", "sleep 63 & echo $! >pids"], cwd={str(tmp_path)!r}, die_with_caller=True)
assert len(result.survivors) == 1
time.sleep(1.5)
os.kill(result.survivors[0].pid, 0)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
    pids = pids_in(tmp_path)
    assert until(lambda: all(map(has_ended, pids)))


def test_the_helper_is_no_member_and_leaves_nothing() -> None:
    def check() -> None:
        how: dict[str, Any] = {"die_with_caller": True, "reap_orphans": True, "processes": True, "interval": 0.01}
        descriptors = len(os.listdir("/proc/self/fd"))
        result = prock.run(["sleep", "0.2"], **how)
        assert result.returncode == 0
        assert result.peak_process_count == 1
        assert result.missing == prock.run(["sleep", "0.2"], reap_orphans=True).missing
        assert children_of(os.getpid()) == []
        assert len(os.listdir("/proc/self/fd")) == descriptors

    in_child(check)


def test_the_helper_is_out_of_the_way_of_signals_and_files(tmp_path: Path) -> None:
    with prock.Popen(["sleep", "60"], die_with_caller=True) as process:
        try:
            (helper,) = [pid for pid in children_of(os.getpid()) if pid != process.pid and "python" in name_of(pid)]
            until(lambda: os.getsid(helper) == helper)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                os.kill(helper, number)
            assert until(lambda: os.readlink(f"/proc/{helper}/cwd") == "/")
            files = {os.readlink(f"/proc/{helper}/fd/{number}") for number in (0, 1, 2)}
            assert files == {os.devnull}
            assert not has_ended(helper)
        finally:
            process.kill_tree(0)


def test_without_a_helper_nothing_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", None)
    with pytest.raises(prock.NotSupported, match="executable"):
        prock.run(list(PYTHON[:1]), die_with_caller=True)

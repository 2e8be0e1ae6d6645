"""``prock run`` between a command and those who send signals: a terminal, a shell, other processes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.command_line import TIMEOUT_S, command, environment
from support.processes import WORKER
from support.run_engines import on_both
from support.terminal import CTRL_C, CTRL_Z, Session

from prock.cli.run.supervisor import SAME_NS

pytestmark = on_both

LISTENER = """
import os, signal, sys

def say(words): os.write(1, f"{words}\\n".encode())  # print can't be interrupted by itself
def heard(number, frame):
    say(f"heard {signal.Signals(number).name}")
    if number != signal.SIGUSR1: sys.exit(number if sys.argv[1:] else 0)
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1): signal.signal(number, heard)
say("ready")
while True: signal.pause()
"""
DEAF = "trap '' INT TERM HUP; echo ready; while :; do sleep 0.05; done"
SHELL = """
import os, signal, sys
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
job = os.fork()
if job == 0:
    os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpid())
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    os.execv(sys.argv[1], sys.argv[1:])
while True:
    _, status = os.waitpid(job, os.WUNTRACED)
    if not os.WIFSTOPPED(status): break
    os.tcsetpgrp(0, os.getpgrp())
    print("stopped", flush=True)
    sys.stdin.readline()
    os.tcsetpgrp(0, job)
    os.killpg(job, signal.SIGCONT)
    print("continued", flush=True)
os.tcsetpgrp(0, os.getpgrp())
print("ended", os.waitstatus_to_exitcode(status), flush=True)
"""
"""A shell with job control, that continues a stopped job for a line of input."""


def python(program: str, *arguments: str) -> list[str]:
    return [WORKER, "-S", "-c", program, *arguments]


class Run:
    """``prock run`` of a command that says when it is ready."""

    def __init__(self, *words: str) -> None:
        self.popen = subprocess.Popen(
            command("run", *words),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        assert self.popen.stdout is not None
        self.hears("ready")

    def hears(self, line: str) -> None:
        assert self.popen.stdout is not None
        assert self.popen.stdout.readline() == f"{line}\n"

    def end(self) -> tuple[int, str, str]:
        out, errors = self.popen.communicate(timeout=TIMEOUT_S)
        return self.popen.returncode, out, errors


def wait_until_handled(pid: int, number: int) -> None:
    """Wait until it is not pending and the process sleeps again. A second signal before that merges with the first: in
    the kernel while it is pending, and in Python, which only sets a flag until its handler runs."""
    while True:
        status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        if status["State"].split()[0] == "S" and not int(status["ShdPnd"], 16) >> (number - 1) & 1:
            return


def only_child(pid: int) -> int:
    """Waits until it has one child alone: what helped prock to start the command is gone then."""
    while True:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        if len(children) == 1:
            return int(children[0])


def is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


@pytest.fixture
def terminal() -> Iterator[Any]:
    """Makes sessions, and hangs up on those that a failed test leaves."""
    sessions: list[Session] = []

    def begin(words: list[str], **options: Any) -> Session:
        sessions.append(Session(words, **options))
        return sessions[-1]

    yield begin
    for session in sessions:
        try:
            os.killpg(session.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_prock_reaches_the_command_once(number: signal.Signals) -> None:
    run = Run(*python(LISTENER, "with its number"))
    run.popen.send_signal(number)
    code, out, errors = run.end()
    assert (code, out) == (number, f"heard {number.name}\n")
    assert f"exit code {number}" in errors.partition("\n")[0]


def test_a_signal_reaches_the_whole_tree() -> None:
    run = Run("--wait-all", "sh", "-c", "trap 'wait; exit 3' TERM; setsid -w sleep 60 & echo ready; wait; wait")
    run.popen.send_signal(signal.SIGTERM)
    code, _, errors = run.end()
    assert code == 3
    assert "left" not in errors


def test_user_signals_go_to_the_root_alone() -> None:
    run = Run(*python(LISTENER))
    run.popen.send_signal(signal.SIGUSR1)
    run.hears("heard SIGUSR1")
    run.popen.send_signal(signal.SIGTERM)
    assert run.end()[:2] == (0, "heard SIGTERM\n")


def test_what_ends_by_the_signal_gives_its_exit_code_and_a_report() -> None:
    run = Run("sh", "-c", "echo ready; exec sleep 60")
    run.popen.send_signal(signal.SIGTERM)
    code, _, errors = run.end()
    assert code == 143
    assert errors.partition("\n")[0].endswith("killed by SIGTERM")


def test_the_report_names_the_sender() -> None:
    run = Run("sh", "-c", "echo ready; exec sleep 60")
    run.popen.send_signal(signal.SIGTERM)
    assert f"SIGTERM from pid {os.getpid()} (" in run.end()[2]


def test_a_sender_that_writes_its_own_pid_is_not_named() -> None:
    """sigqueue(3) lets it."""
    kill = shutil.which("kill")
    assert kill is not None
    run = Run("sh", "-c", "echo ready; exec sleep 60")
    subprocess.run([kill, "-q", "1", "-TERM", str(run.popen.pid)], check=True)
    errors = run.end()[2]
    assert "killed by SIGTERM" in errors and "SIGTERM from" not in errors


def test_a_second_signal_kills() -> None:
    run = Run("sh", "-c", DEAF)
    run.popen.send_signal(signal.SIGTERM)
    time.sleep(2 * SAME_NS / 1e9)
    run.popen.send_signal(signal.SIGTERM)
    code, _, errors = run.end()
    assert code == 137
    assert "killed by SIGKILL" in errors


def test_what_prock_was_started_to_ignore_the_command_ignores() -> None:
    """nohup, and shells that put a command into the background."""
    program = "trap '' HUP INT; exec \"$@\""
    words = ["sh", "-c", program, "sh", *command("run", "sh", "-c", "kill -HUP $$; kill -INT $$; echo lives")]
    done = subprocess.run(words, capture_output=True, text=True, env=environment(), timeout=TIMEOUT_S, check=False)
    assert (done.returncode, done.stdout) == (0, "lives\n")


def test_ctrl_c_ends_prock_as_it_ends_the_command(terminal: Any) -> None:
    session = terminal(command("run", "sh", "-c", "echo ready; exec sleep 60"))
    session.shows("ready")
    session.type(CTRL_C)
    assert session.end() == -signal.SIGINT
    assert "killed by SIGINT" in session.text


def test_ctrl_c_reaches_the_command_once(terminal: Any) -> None:
    session = terminal(command("run", *python(LISTENER, "with its number")))
    session.shows("ready")
    session.type(CTRL_C)
    assert session.end() == signal.SIGINT
    assert session.text.count("heard SIGINT") == 1


def test_a_command_that_catches_ctrl_c_goes_on(terminal: Any) -> None:
    session = terminal(command("run", "sh", "-c", "trap 'echo caught' INT; echo ready; read line; read line; exit 4"))
    session.shows("ready")
    session.type(CTRL_C)
    session.shows("caught")
    session.type(b"go on\ngo on\n")
    assert session.end() == 4


def test_ctrl_c_for_the_third_time_kills(terminal: Any) -> None:
    session = terminal(command("run", "sh", "-c", DEAF))
    session.shows("ready")
    session.type(CTRL_C)
    session.shows("^C")
    wait_until_handled(session.pid, signal.SIGINT)
    session.type(CTRL_C)
    session.shows("once more kills")
    session.type(CTRL_C)
    assert session.end() == 137


def test_ctrl_z_stops_the_job_and_a_shell_continues_it(terminal: Any) -> None:
    session = terminal(python(SHELL, *command("run", "sh", "-c", "echo ready; read line; echo went on; exit 6")))
    session.shows("ready")
    only_child(only_child(session.pid))
    for times in (1, 2):
        session.type(CTRL_Z)
        session.shows("stopped", times)
        session.type(b"\n")
        session.shows("continued", times)
    session.type(b"\n")
    session.shows("ended 6")
    session.end()
    assert "exit code 6" in session.text


def test_without_a_shell_it_does_not_stop(terminal: Any) -> None:
    """Who continues the command knows nothing of prock, which would sleep for ever."""
    session = terminal(command("run", "sh", "-c", "echo ready; kill -STOP $$; echo woken; exit 5"))
    session.shows("ready")
    root = only_child(session.pid)
    while not is_stopped(root):
        pass
    assert not is_stopped(session.pid)
    os.kill(root, signal.SIGCONT)
    assert session.end() == 5


def test_progress_keeps_out_of_the_output(terminal: Any, tmp_path: Path) -> None:
    log = tmp_path / "log"
    program = f'"$@" >{log} 2>&1 </dev/tty'
    words = ["/bin/sh", "-c", program, "sh", *command("run", "-q", "--progress", "sh", "-c", "echo output; read line")]
    session = terminal(words)
    session.shows("CPU ")
    session.type(b"\n")
    assert session.end() == 0
    assert log.read_text() == "output\n"
    assert session.written.endswith(b"\x1b[K") or b"\x1b[r" in session.written

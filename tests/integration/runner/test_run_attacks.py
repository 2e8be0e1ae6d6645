"""Commands that change what a tree is known by: sessions, subreapers, namespaces, names, limits, stops."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from support.elsewhere import needs_root
from support.runs import MS, has_ended, until

import prock

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="prctl and namespaces of Linux")

PROGRAM = """
import ctypes, os, signal, sys, time
prctl = ctypes.CDLL(None).prctl
def say(pid=None):
    os.write(1, b"%d\\n" % (pid or os.getpid()))
def burn(s):
    until = time.process_time() + s
    while time.process_time() < until: pass
"""
UNSHARE = ["unshare", "--pid", "--fork"]
NAME = "a) R 1\n1 (b"


def program(text: str) -> list[str]:
    return [sys.executable, "-S", "-c", PROGRAM + text]


def ended_by_timeout(command: list[str], **options: Any) -> prock.RunResult:
    """All processes that said their pid are ended."""
    with pytest.raises(subprocess.TimeoutExpired) as caught:
        prock.run(command, timeout=1, kill_after=0, stdout=subprocess.PIPE, **options)
    pids = [int(word) for word in (caught.value.stdout or b"").split()]
    assert pids
    until(lambda: all(map(has_ended, pids)))
    result: prock.RunResult = caught.value.result  # type: ignore[attr-defined]
    assert result.timed_out and result.survivors == ()
    return result


@pytest.mark.parametrize("accounting", ["auto", "waited"])
@pytest.mark.parametrize(
    "text",
    [
        pytest.param(
            "for _ in 1, 2:\n    if os.fork(): os._exit(0)\n    os.setsid()\nsay(); time.sleep(60)", id="setsid"
        ),
        pytest.param(
            "prctl(36, 1, 0, 0, 0)\nif not os.fork():\n    os.setsid()\n    if not os.fork(): say(); time.sleep(60)\n"
            "    os._exit(0)\nsay(); time.sleep(60)",
            id="subreaper",
        ),
        pytest.param("say(); os.kill(os.getpid(), signal.SIGSTOP); time.sleep(60)", id="stopped"),
        pytest.param("say(); prctl(4, 0, 0, 0, 0); time.sleep(60)", id="not dumpable"),
        pytest.param("say(); os.closerange(3, 99); os.dup2(os.open('/dev/null', 1), 1); time.sleep(60)", id="stdout"),
    ],
)
def test_a_timeout_ends(text: str, accounting: str) -> None:
    ended_by_timeout(program(text), accounting=accounting, wait_all=True)


@needs_root
def test_a_timeout_ends_a_pid_namespace_inside_the_tree() -> None:
    if subprocess.run([*UNSHARE, "true"], check=False).returncode != 0:
        pytest.skip("no PID namespace can be made")
    text = """
import subprocess
one = subprocess.Popen(["unshare", "--pid", "--fork", "sleep", "60"])
while not (children := open(f"/proc/{one.pid}/task/{one.pid}/children").read()):
    time.sleep(0.01)
say(int(children))
one.wait()
"""
    ended_by_timeout(program(text))


def test_a_name_with_a_parenthesis_and_a_newline() -> None:
    text = f"prctl(15, {NAME.encode()!r}, 0, 0, 0); burn(0.3)"
    result = prock.run(program(text), check=True)
    assert result.cpu_ns is not None and result.cpu_ns >= 290 * MS
    assert [row.comm for row in result.commands] == [NAME]


@pytest.mark.parametrize("limit", ["-n 3", "-u 1", "-v 100000", "-f 0"])
def test_a_command_with_tiny_limits(limit: str) -> None:
    result = prock.run(["sh", "-c", f"ulimit {limit}; exit 5"])
    assert result.returncode == 5 and result.cpu_ns

"""``prock attach``: the account of what runs already; nothing is sent to it, and nothing ends with it."""

from __future__ import annotations

import json
import os
import signal
import subprocess

import pytest
from support import processes
from support.command_line import NO_PID, TIMEOUT_S, command, environment, is_followed_by, is_one_line, prock
from support.run_engines import on_both
from support.terminal import CTRL_C, Session

pytestmark = on_both


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_reports_and_lets_go_when_told_to(number: signal.Signals, spawn: processes.Spawn) -> None:
    program = spawn("child = sleeper(); say(child); wait()")
    (child,) = program.pids()
    words = command("attach", program.pid, "--json", "-")
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    ) as attached:
        is_followed_by(attached.pid)
        attached.send_signal(number)
        out, errors = attached.communicate(timeout=TIMEOUT_S)
    assert attached.returncode == 0
    assert errors.startswith(f"prock: process {program.pid} (")
    assert ") since prock attached: still running" in errors.partition("\n")[0]
    document = json.loads(out)
    assert (document["pid"], document["args"], document["returncode"]) == (program.pid, [], None)
    assert {survivor["pid"] for survivor in document["survivors"]} == {program.pid, child}
    assert program.popen.poll() is None
    os.kill(child, 0)


def test_the_peak_of_a_tree_is_not_below_its_largest_process(spawn: processes.Spawn) -> None:
    """Half of a small process are libraries that it shares with others."""
    program = spawn("block = bytearray(64 << 20); del block; say(1); wait()")
    program.hears()  # otherwise the block may come after prock attached
    words = command("attach", "--interval", "0.01", "--json", "-", program.pid)
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    ) as attached:
        is_followed_by(attached.pid)
        attached.send_signal(signal.SIGINT)
        out, _ = attached.communicate(timeout=TIMEOUT_S)
    document = json.loads(out)
    assert document["peak_rss_bytes"] >= document["peak_footprint_bytes"] >= document["largest_process_bytes"] > 0
    assert document["largest_process_bytes"] < 64 << 20, "what it had before prock attached"
    assert document["peak_pss_bytes"] in (None, document["peak_footprint_bytes"])


def test_it_ends_with_the_process(spawn: processes.Spawn) -> None:
    program = spawn("say(1); wait()")
    words = command("attach", "--interval", "0.01", program.pid)
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=environment()) as attached:
        is_followed_by(attached.pid)
        program.finish()
        _, errors = attached.communicate(timeout=TIMEOUT_S)
    assert attached.returncode == 0
    assert ") since prock attached: ended\n" in errors


def test_ctrl_c_is_no_failure_here(spawn: processes.Spawn) -> None:
    program = spawn("say(1); wait()")
    session = Session(command("attach", program.pid))
    is_followed_by(session.pid)
    session.type(CTRL_C)
    assert session.end() == 0
    assert "still running" in session.text


def test_who_does_not_exist() -> None:
    done = prock("attach", NO_PID)
    assert (done.returncode, done.stderr) == (1, f"prock attach: no process {NO_PID}\n")


@pytest.mark.parametrize("words", [[], ["1", "2"], ["abc"], ["--timeout", "1", "1"], ["1", "--nonsense"]])
def test_wrong_arguments(words: list[str]) -> None:
    done = prock("attach", *words)
    assert done.returncode == 2
    assert is_one_line(done.stderr, "prock attach: ")

"""Limits that hold while a tree runs: the tree is ended, and the result says why."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from support.command_line import prock as command
from support.elsewhere import become_nobody, in_child, needs_root
from support.processes import WORKER
from support.run_engines import on_both
from support.runs import has_ended, until

import prock
from prock.cli.output import Failure
from prock.cli.run.options import ATTACH, parse

pytestmark = on_both

MIB = 2**20
PERL = "/usr/bin/perl"
ALONE = 64_998
"""A user without other processes."""
LEAK = "import sys\nheld = []\nwhile True:\n    held.append(bytearray(2**20))\n    held[-1][::4096] = b'x' * 256\n"
LOOP = "while :; do :; done"
IGNORES_TERM = f"trap '' TERM; ({LOOP}) & {LOOP}"
SLEEPERS = "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 60 & done; wait"
SHARED = """
import os, time
held = bytearray(40 << 20)
held[::4096] = b"x" * 10240
children = [os.fork() for _ in range(1)]
for _ in range(7):
    if children[-1] == 0:
        break
    children.append(os.fork())
time.sleep(0.5 if children[-1] else 0.4)
"""


def run(script: str, *, shell: bool = True, **limits: Any) -> prock.RunResult:
    words = ["sh", "-c", script] if shell else [WORKER, "-I", "-S", "-c", script]
    return prock.run(words, limits=prock.Limits(**limits), timeout=60)


def test_a_leak_is_ended_a_little_above_its_limit() -> None:
    limit = 500 * MIB  # at 2.5 bytes a nanosecond, 5 % of it take 10 ms
    result = run(LEAK, shell=False, memory_bytes=limit)
    exceeded = result.limit_exceeded
    assert exceeded is not None and result.returncode == -signal.SIGKILL
    assert (exceeded.limit, exceeded.limit_value) == ("memory", limit)
    assert limit < exceeded.value == exceeded.memory_bytes and exceeded.process_count == 1
    (process,) = exceeded.largest
    assert process.pid == result.pid and process.rss_bytes is not None and process.rss_bytes > limit
    assert result.largest_process_bytes is not None
    assert exceeded.value <= 1.05 * limit, result


def test_cpu_time_of_the_whole_tree_counts() -> None:
    result = run(IGNORES_TERM, cpu_ns=300_000_000)
    exceeded = result.limit_exceeded
    assert exceeded is not None and exceeded.limit == "cpu" and result.returncode == -signal.SIGKILL
    assert exceeded.cpu_ns == exceeded.value > 300_000_000
    assert exceeded.process_count == len(exceeded.largest) == 2 and result.survivors == ()
    assert exceeded.largest[0].cpu_ns >= exceeded.largest[1].cpu_ns


def test_processes_are_counted_at_once() -> None:
    exceeded = run(SLEEPERS, processes=6).limit_exceeded
    assert exceeded is not None and exceeded.limit == "processes" and exceeded.limit_value == 6
    assert 6 < exceeded.value == exceeded.process_count <= 13 and len(exceeded.largest) == 5


def test_threads_are_no_processes() -> None:
    script = "import threading, time\nfor _ in range(9): threading.Thread(target=time.sleep, args=(0.2,)).start()"
    result = prock.run([WORKER, "-I", "-c", script], limits=prock.Limits(processes=1))
    assert result.limit_exceeded is None and result.returncode == 0
    assert result.peak_thread_count is None or result.peak_thread_count > 1


@pytest.mark.skipif(sys.platform != "linux", reason="PSS is of Linux")
def test_shared_pages_count_once() -> None:
    result = run(SHARED, shell=False, memory_bytes=150 * MIB)
    assert result.limit_exceeded is None and result.returncode == 0
    assert result.peak_rss_bytes is not None and result.peak_rss_bytes > 150 * MIB, "the limit was not tried"


def test_nothing_is_said_of_a_tree_within_its_limits() -> None:
    result = prock.run(["sh", "-c", "sleep 0.1; exit 3"], limits=prock.Limits(2**40, 1000, 60 * 10**9))
    assert (result.limit_exceeded, result.returncode) == (None, 3)
    assert prock.run(["true"], limits=prock.Limits()).limit_exceeded is None


def test_an_orphan_is_within_the_limits_and_is_ended(tmp_path: Path) -> None:
    """Where no cgroup holds it, it is a member once a sample has seen it below its parent."""
    file = tmp_path / "pid"
    script = f"setsid sh -c 'echo $$ > {file}; sleep 0.1; {LOOP}' & sleep 0.5; exit 0"
    result = prock.run(["sh", "-c", script], limits=prock.Limits(cpu_ns=200_000_000), wait_all=True, timeout=60)
    assert result.limit_exceeded is not None and result.limit_exceeded.limit == "cpu"
    assert result.survivors == ()
    pid = int(file.read_text())
    assert until(lambda: has_ended(pid))


def test_popen_and_arun() -> None:
    limits = prock.Limits(cpu_ns=100_000_000)
    with prock.Popen(["sh", "-c", LOOP], limits=limits) as process:
        result = process.finish()
    assert process.returncode == result.returncode == -signal.SIGKILL
    assert result.limit_exceeded is not None
    again = asyncio.run(prock.arun(["sh", "-c", LOOP], limits=limits))
    assert again.limit_exceeded is not None and again.limit_exceeded.limit == "cpu"


@pytest.mark.parametrize("value", [0, -1])
@pytest.mark.parametrize("name", prock.Limits._fields)
def test_limits_of_nothing_are_refused(name: str, value: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"^invalid limit {name}={value}: use a whole number, 1 or more$"):
        prock.run(["touch", tmp_path / "ran"], limits=prock.Limits(**{name: value}))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("value", ["1G", 1.5, True])
def test_limits_are_whole_numbers(value: Any) -> None:
    with pytest.raises(TypeError, match=r"use a whole number, 1 or more$"):
        prock.run(["true"], limits=prock.Limits(memory_bytes=value))


@pytest.mark.parametrize(
    ("options", "limit", "words"),
    [
        (("--limit-memory", "100M"), "memory", (WORKER, "-I", "-S", "-c", LEAK)),
        (("--limit-cpu", "200ms"), "cpu", ("sh", "-c", IGNORES_TERM)),
        (("--limit-processes", "4"), "processes", ("sh", "-c", SLEEPERS)),
    ],
)
def test_the_command_says_which_limit(
    options: tuple[str, ...], limit: str, words: tuple[str, ...], tmp_path: Path
) -> None:
    document = tmp_path / "document.json"
    done = command("run", "--json", document, *options, *words)
    assert done.returncode == 123 and f": {limit} limit exceeded, killed by SIGKILL\n" in done.stderr
    assert f"\n  limit     {limit} " in done.stderr
    exceeded = json.loads(document.read_text())["limit_exceeded"]
    assert exceeded["limit"] == limit and exceeded["value"] > exceeded["limit_value"]
    assert exceeded["largest"][0]["comm"]


def test_a_quiet_run_says_it_in_one_line() -> None:
    done = command("run", "-q", "--limit-cpu", "100ms", "sh", "-c", LOOP)
    assert done.returncode == 123
    assert done.stderr.startswith("prock run: limit exceeded: cpu ") and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("option", "value"),
    [("--limit-memory", "0"), ("--limit-processes", "0"), ("--limit-cpu", "0"), ("--limit-cpu", "x")],
)
def test_bad_limits_are_refused_before_the_run(option: str, value: str, tmp_path: Path) -> None:
    done = command("run", option, value, "touch", tmp_path / "ran")
    assert done.returncode == 2 and done.stderr.startswith("prock run: invalid ") and done.stderr.count("\n") == 1
    assert not (tmp_path / "ran").exists()


def test_attach_has_no_limits_as_it_sends_no_signals() -> None:
    with pytest.raises(Failure, match="unrecognized arguments: --limit-memory"):
        parse(["--limit-memory=1G", str(os.getpid())], ATTACH, name="attach", usage="u", summary="s", epilog="e")


@needs_root
@pytest.mark.skipif(not Path(PERL).exists(), reason="perl is not installed")
def test_what_forks_as_fast_as_it_can_is_ended_without_a_cgroup() -> None:
    """By an ordinary user, with at most 200 processes: each that is killed lets another be forked.

    The user has no other process, so that a signal to all of its processes finds what is left, and ends it at once.
    """

    def bomb() -> tuple[str | None, int, int, bool]:
        prock.run(["sleep", "0.03"], limits=prock.Limits(processes=20))  # imports what only root may read
        become_nobody(ALONE)
        os.chdir("/")
        resource.setrlimit(resource.RLIMIT_NPROC, (200, 200))
        wait = "select(undef, undef, undef, 0.2);"  # the thread of the run counts as a process of the user
        script = f"{wait} while (1) {{ defined(fork()) or select(undef, undef, undef, 0.001) }}"
        result = prock.run([PERL, "-e", script], limits=prock.Limits(processes=20))
        exceeded = result.limit_exceeded
        left = any(row.comm == "perl" and row.is_alive for row in prock.scan_all_processes())
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        is_true = not left or any("orphans" in sentence for sentence in result.missing)
        return exceeded and exceeded.limit, len(result.survivors), result.returncode or 0, is_true

    assert in_child(bomb) == ("processes", 0, -signal.SIGKILL, True)

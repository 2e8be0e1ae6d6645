"""Orphans that reach prock as subreaper or as PID 1: which of them are the command's."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.elsewhere import as_first_of_a_namespace, in_child, needs_root
from support.runs import MS, has_cgroups, has_ended, has_perf, python, until

import prock
from prock.engine import active

USED_S = 0.3
MOST_NS = 200 * MS
"""More than the command uses, less than the orphan does."""
HAS_EVIDENCE = active.launcher is not None and (has_cgroups() or has_perf())
needs_evidence = pytest.mark.skipif(not HAS_EVIDENCE, reason="neither cgroups nor records of forks")
accountings = pytest.mark.parametrize("accounting", ["auto", "waited"])


class Daemon:
    """A child of this process that leaves an orphan with `USED_S` of CPU when `orphan_command` runs."""

    def __init__(self) -> None:
        started, self._start = os.pipe()
        self._read, ready = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.read(started, 1)
            if os.fork() == 0:
                while time.process_time() < USED_S:
                    pass
                os.write(ready, b"%d\n" % os.getpid())
                signal.pause()
            os._exit(0)

    def run(self, **options: Any) -> tuple[prock.RunResult, int]:
        """Of a command during which that happens; and the pid of the orphan."""
        program = f"os.write({self._start}, b'x'); print(os.read({self._read}, 9).decode()); time.sleep(0.05)"
        keep = (self._start, self._read)
        result = prock.run(python(program), capture_output=True, reap_orphans=True, pass_fds=keep, **options)
        return result, int(result.stdout)


def is_left_alone(result: prock.RunResult, orphan: int) -> None:
    try:
        assert not has_ended(orphan)
        assert result.cpu_ns is not None and result.cpu_ns < MOST_NS
        assert all(survivor.pid != orphan for survivor in result.survivors)
        assert sum(f" {orphan} (" in sentence for sentence in result.missing) == 1
    finally:
        os.kill(orphan, signal.SIGKILL)


@accountings
def test_the_orphan_of_an_older_child_is_left_alone(accounting: str) -> None:
    def check() -> None:
        is_left_alone(*Daemon().run(accounting=accounting, kill_tree=True, kill_after=0))

    in_child(check)


@accountings
def test_the_orphan_of_what_an_earlier_run_left_is_left_alone(accounting: str) -> None:
    def check() -> None:
        reader, writer = os.pipe()
        started, start = os.pipe()
        program = f"""
def daemon():
    os.read({started}, 1)
    if os.fork() == 0:
        while time.process_time() < {USED_S}: pass
        os.write({writer}, b'%d\\n' % os.getpid())
        signal.pause()
    os._exit(0)
orphan(daemon)
"""
        prock.run(python(program), reap_orphans=True, pass_fds=(started, writer))
        program = f"os.write({start}, b'x'); print(os.read({reader}, 9).decode()); time.sleep(0.05)"
        keep = (start, reader)
        ends: dict[str, Any] = {"reap_orphans": True, "kill_tree": True}
        result = prock.run(python(program), accounting=accounting, capture_output=True, pass_fds=keep, **ends)
        is_left_alone(result, int(result.stdout))

    in_child(check)


def ends_its_orphan(*, after_s: float = 0, **options: Any) -> bool:
    program = python(f"time.sleep({after_s})\n{ORPHAN}")
    result = prock.run(program, stdout=-1, reap_orphans=True, kill_tree=True, kill_after=0, **options)
    orphan = int(result.stdout)
    if until(lambda: has_ended(orphan) or any(f" {orphan} (" in sentence for sentence in result.missing)):
        assert result.survivors == ()
    ended = has_ended(orphan)
    assert result.cpu_ns is not None and ended == (result.cpu_ns > USED_S * 1e9)
    if not ended:
        os.kill(orphan, signal.SIGKILL)
    return ended


ORPHAN = f"""
reader, writer = os.pipe()
def work():
    os.close(1)  # otherwise the caller reads on
    while time.process_time() < {USED_S}: pass
    os.write(writer, b'%d' % os.getpid())
    signal.pause()
orphan(work)
say(os.read(reader, 9).decode())
"""


@needs_evidence
def test_the_orphan_of_the_command_is_ended_beside_an_older_child() -> None:
    def check() -> None:
        daemon = Daemon()
        try:
            assert ends_its_orphan()
        finally:
            os.kill(daemon.pid, signal.SIGKILL)  # it has the pipe of `in_child` open

    in_child(check)


SESSION = """
def lead():
    os.setsid()
    while True:  # until prock has seen the leader, it leaves no orphan
        time.sleep(0.3)
        if os.fork() == 0:
            if os.fork() == 0:
                time.sleep(60)
            os._exit(0)
        os.wait()
        os.write(1, b'x')
        os._exit(0)
child(lead)
os.wait()
time.sleep(60)
"""


def test_joining_the_session_of_a_member_is_evidence() -> None:
    """Beside an older child, adoption is none."""

    def check() -> None:
        daemon = Daemon()
        try:
            before = set(prock.list_all_pids())
            with pytest.raises(subprocess.TimeoutExpired) as caught:
                prock.run(
                    python(SESSION), reap_orphans=True, accounting="waited", interval=0.05, timeout=1, kill_after=0
                )
            assert caught.value.result.survivors == () == caught.value.result.missing[1:]  # type: ignore[attr-defined]
            left = [row for row in prock.scan_all_processes() if row.pid not in before and row.ppid == os.getpid()]
            assert not [row for row in left if row.is_alive]
        finally:
            os.kill(daemon.pid, signal.SIGKILL)

    in_child(check)


SERVER = """
sh -c 'until [ -e started ]; do sleep 0.01; done; (sleep 60 & echo $! >worker); exec sleep 60' >server & echo $!
exec "$PROCK" -m prock run -q --kill-tree -k 0 sh -c 'touch started; until [ -s worker ]; do sleep 0.1; done; sleep 9&'
"""


def test_workers_of_a_server_beside_prock_are_left_alone(tmp_path: Path) -> None:
    """A shell starts a server and executes prock: the server is a child of prock, and its orphans come to prock."""
    environment = {**os.environ, "PROCK": sys.executable}
    run = subprocess.run(["sh", "-c", SERVER], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, timeout=60)
    pids = [int(run.stdout), int((tmp_path / "worker").read_text())]
    try:
        assert run.returncode == 0
        assert not any(map(has_ended, pids))
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)


def test_a_daemon_of_the_first_run_is_not_charged_to_the_next(tmp_path: Path) -> None:
    burn = "import time\nwhile time.process_time() < 0.05: pass"
    script = f"""
if mkdir lock 2>/dev/null; then
    (setsid sh -c 'for i in $(seq 15); do ("{sys.executable}" -S -c "{burn}" &); sleep 0.05; done' &)
    sleep 0.2
else sleep 0.5; fi
"""
    command = [sys.executable, "-m", "prock", "run", "-q", "-r", "3", "--json", "runs.json", "sh", "-c", script]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=60)
    runs = json.loads((tmp_path / "runs.json").read_text())["runs"]
    assert all(run["cpu_ns"] < 40 * MS for run in runs[1:])


def test_an_early_orphan_that_no_source_knows_is_named() -> None:
    """In a program with another thread prock is no subreaper: without cgroup and perf, nothing records the orphan."""
    program = python("print(orphan(lambda: (os.close(1), time.sleep(60))) or '', flush=True); time.sleep(60)")
    program[-1] = program[-1].replace(
        "work()\n    os.waitpid", "os.write(1, b'%d\\n' % os.getpid()); work()\n    os.waitpid"
    )
    with pytest.raises(subprocess.TimeoutExpired) as caught:
        prock.run(program, reap_orphans=False, accounting="waited", interval=60, timeout=0.5, kill_after=0, stdout=-1)
    assert caught.value.stdout is not None
    orphan = int(caught.value.stdout)
    ended = has_ended(orphan)
    if not ended:
        os.kill(orphan, signal.SIGKILL)
    assert ended or any(f" {orphan} (" in sentence for sentence in caught.value.result.missing)  # type: ignore[attr-defined]


@needs_root
@needs_evidence
@pytest.mark.parametrize("how", [{}, {"accounting": "perf"}])
def test_the_orphan_of_the_command_is_ended_by_pid_1(how: dict[str, Any]) -> None:
    if how and not has_perf():
        pytest.skip("no perf events")
    assert as_pid_1(lambda: ends_its_orphan(**how))


@needs_root
def test_to_pid_1_adoption_is_no_evidence() -> None:
    """The orphan is made halfway between the samples at 1.3 and 2.5 s: one that saw its parent would be evidence."""
    assert not as_pid_1(lambda: ends_its_orphan(after_s=1.7, accounting="waited", interval=60))


def as_pid_1(function: Callable[[], Any]) -> Any:
    return as_first_of_a_namespace(function, with_proc=True)

"""Orphans that reach prock as subreaper or as PID 1: which of them are the command's."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
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

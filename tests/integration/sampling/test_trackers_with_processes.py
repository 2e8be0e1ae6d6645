"""The trackers on real trees: what ends between two samples, held against what the processes say themselves."""

from __future__ import annotations

import os
import select

import pytest
from support.engines import Knows
from support.processes import Spawn

import prock

pytestmark = pytest.mark.usefixtures("engine")

WORKERS = """
import resource
def used():
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return int(sum((own.ru_utime, own.ru_stime, children.ru_utime, children.ru_stime)) * 1e9)
say(used()); sys.stdin.readline()
%s
say(used()); wait()
"""
SLACK_NS = 40_000_000
"""The ledger's: two ticks at the beginning, two at the end."""


def test_children_that_lived_and_died_unseen_are_counted_through_their_parent(spawn: Spawn, knows: Knows) -> None:
    program = spawn(
        WORKERS
        % """
for _ in range(10):
    pid = os.fork()
    if pid == 0: burn(0.03); os._exit(0)
    os.waitpid(pid, 0)"""
    )
    tracker = prock.CumulativeTracker()
    before = int(program.rests()[0])
    assert tracker.get_tree_cpu_ns(program.pid) == 0
    program.tell()
    after = int(program.rests()[0])
    counted = tracker.get_tree_cpu_ns(program.pid)
    assert counted is not None
    assert after - before - SLACK_NS - knows.cpu_lag_ns <= counted <= after - before + SLACK_NS
    assert counted >= 300_000_000 - SLACK_NS - knows.cpu_lag_ns


def test_totals_never_fall_nor_count_twice_while_children_come_and_go(spawn: Spawn, knows: Knows) -> None:
    program = spawn(
        WORKERS
        % """
for _ in range(25):
    pids = []
    for _ in range(2):
        pid = os.fork()
        if pid == 0: burn(0.02); os._exit(0)
        pids.append(pid)
    for pid in pids: os.waitpid(pid, 0)"""
    )
    tracker, delta = prock.CumulativeTracker(), prock.DeltaTracker()
    before = int(program.rests()[0])
    tracker.get_tree_cpu_ns(program.pid)
    first = delta.get_tree_cpu_percent(program.pid)
    assert first is not None and first.cpu_percent is None
    program.tell()
    total = 0
    assert program.popen.stdout is not None
    while not select.select([program.popen.stdout], [], [], 0)[0]:  # until it has printed what it used
        usage = tracker.get_tree_cpu_percent(program.pid)
        now = tracker.get_tree_cpu_ns(program.pid)
        percent = delta.get_tree_cpu_percent(program.pid)
        assert usage is not None and now is not None and percent is not None
        assert now >= total and percent.cpu_percent is not None and percent.cpu_percent >= 0
        total = now
    after = int(program.rests()[0])
    final = tracker.get_tree_cpu_ns(program.pid)
    assert final is not None and total <= final
    assert after - before - SLACK_NS - knows.cpu_lag_ns <= final <= after - before + SLACK_NS


def test_children_that_nobody_waits_for(spawn: Spawn, knows: Knows) -> None:
    """Their parent ignores SIGCHLD: what was seen of them stays, and nothing comes through the parent."""
    program = spawn("""
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
say(1); sys.stdin.readline()
pid = os.fork()
if pid == 0:
    burn(0.2); signal.pause()
say(pid); sys.stdin.readline()
os.kill(pid, 9)
while os.path.exists(f'/proc/{pid}'): pass
say(1); wait()""")
    tracker = prock.CumulativeTracker()
    program.rests()
    tracker.get_tree_cpu_ns(program.pid)
    program.tell()
    (child,) = map(int, program.rests())
    spent, seen = prock.get_cpu_time(child), tracker.get_tree_cpu_ns(program.pid)
    assert spent is not None and seen is not None and seen >= spent.total_ns >= 200_000_000 - knows.cpu_lag_ns
    program.tell()
    program.rests()
    after = tracker.get_tree_cpu_ns(program.pid)
    assert prock.get_cpu_time(child) is None
    assert after is not None and after >= seen


def test_a_double_forked_orphan_stays_a_member(spawn: Spawn, knows: Knows) -> None:
    program = spawn("""
say(1); sys.stdin.readline()
reader, writer = os.pipe()
middle = os.fork()
if middle == 0:
    if os.fork():
        os.read(0, 1); os._exit(0)
    os.setsid()
    os.write(writer, b'%d' % os.getpid())
    signal.signal(signal.SIGUSR1, lambda *_: burn(0.2))
    while True: signal.pause()
orphan = int(os.read(reader, 10))
say(middle, orphan); os.waitpid(middle, 0); say(1); wait()""")
    tracker = prock.CumulativeTracker()
    program.rests()
    tracker.get_tree_cpu_ns(program.pid)
    program.tell()
    _, orphan = map(int, program.rests())
    usage = tracker.get_tree_cpu_percent(program.pid)
    assert usage is not None and usage.process_count == 3
    program.tell()
    program.hears()
    try:
        assert prock.get_ppid(orphan) != program.pid and prock.collect_tree_pids(program.pid) == [program.pid]
        before = tracker.get_tree_cpu_ns(program.pid)
        os.kill(orphan, 10)
        while (spent := prock.get_cpu_time(orphan)) and spent.total_ns < 200_000_000 - knows.cpu_lag_ns:
            pass
        after, usage = tracker.get_tree_cpu_ns(program.pid), tracker.get_tree_cpu_percent(program.pid)
        assert before is not None and after is not None and after - before > 100_000_000
        assert usage is not None and usage.process_count == 2
    finally:
        os.kill(orphan, 9)


def test_first_answers(dead_pid: int) -> None:
    for tracker in (prock.DeltaTracker(), prock.CumulativeTracker()):
        assert tracker.get_cpu_percent() is None
        percent = tracker.get_cpu_percent()
        assert percent is not None and percent >= 0
        assert tracker.get_cpu_percent(dead_pid) is None and tracker.get_tree_cpu_percent(dead_pid) is None
        assert tracker.prune_dead() == 0

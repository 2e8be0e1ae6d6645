"""Real trees: every shape, found whole, and nothing of it twice."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import psutil
import pytest
from support.processes import Spawn, descendants, wait_for_rest

import prock

if TYPE_CHECKING:
    from prock.engine.protocol import Engine

pytestmark = pytest.mark.usefixtures("engine")

FORK_TREE = """
def grow(fan_out, depth):
    for _ in range(fan_out if depth else 0):
        pid = os.fork()
        if pid == 0:
            grow(fan_out, depth - 1)
            signal.pause()
grow(%d, %d)
if os.getppid() == %d: say(1); wait()
"""


def wait_for(count: int, pid: int) -> list[int]:
    while len(found := descendants(pid)) < count:
        pass
    wait_for_rest(pid)
    return found


def test_a_tree_of_three_levels(spawn: Spawn) -> None:
    program = spawn(FORK_TREE % (3, 3, os.getpid()))
    expected = {program.pid, *wait_for(3 + 9 + 27, program.pid)}
    pids = prock.collect_tree_pids(program.pid)
    assert pids is not None and pids[0] == program.pid and len(pids) == 40 and set(pids) == expected
    tree = prock.snapshot_tree(program.pid, io=True)
    assert tree is not None and tree.pids == tuple(pids) and (tree.vanished, tree.denied) == (0, 0)
    position = {pid: index for index, pid in enumerate(pids)}
    assert all(position[member.ppid] < position[member.pid] for member in tree.members[1:] if member.ppid)
    from_scan = prock.snapshot_tree_from_scan(program.pid)
    assert from_scan is not None and set(from_scan.pids) == expected
    children_map, parent_map = prock.build_children_map(), prock.build_parent_map()
    assert set(prock.collect_descendants_from_map(program.pid, children_map)) == expected - {program.pid}
    assert all(prock.is_descendant_of(pid, program.pid, parent_map) for pid in pids[1:])


def test_totals_are_the_members_sums(spawn: Spawn) -> None:
    program = spawn(FORK_TREE % (4, 1, os.getpid()))
    wait_for(4, program.pid)
    tree = prock.snapshot_tree(program.pid, io=True)
    assert tree is not None and tree.process_count == 5 and tree.thread_count == 5
    assert tree.rss_bytes == sum(member.rss_bytes or 0 for member in tree.members)
    assert tree.vsize_bytes == sum(psutil.Process(pid).memory_info().vms for pid in tree.pids)
    assert tree.cpu_time.total_ns == sum(spent.total_ns for pid in tree.pids if (spent := prock.get_cpu_time(pid)))
    assert tree.disk_io is not None
    assert tree.disk_io.read_count == sum(io.read_count or 0 for pid in tree.pids if (io := prock.get_disk_io(pid)))


def test_only_what_was_asked_for(spawn: Spawn) -> None:
    program = spawn("sleeper(); say(1); wait()")
    program.rests()
    lean, usual = prock.snapshot_tree(program.pid, memory=False), prock.snapshot_tree(program.pid)
    assert lean is not None and usual is not None
    assert [member.info for member in lean.members] == [None, None] and lean.rss_bytes is None
    assert lean.denied == 0 and lean.cpu_time.total_ns == usual.cpu_time.total_ns
    assert usual.disk_io is None and usual.rss_bytes is not None
    (member,) = lean.members[1:]
    assert member.ppid == program.pid and member.rss_bytes is None and member.identity is None


def test_children_that_threads_started(spawn: Spawn) -> None:
    program = spawn("""
started = threading.Barrier(4)
def work():
    sleeper(); started.wait(); wait()
for _ in range(3): threading.Thread(target=work).start()
started.wait(); say(1); wait()""")
    program.rests()
    expected = sorted(descendants(program.pid))
    assert len(expected) == 3
    assert sorted(prock.get_children(program.pid) or []) == expected
    assert sorted((prock.collect_tree_pids(program.pid) or [])[1:]) == expected
    tree = prock.snapshot_tree(program.pid)
    assert tree is not None and sorted(tree.pids[1:]) == expected and tree.members[0].thread_count == 4


def test_a_wide_tree(spawn: Spawn) -> None:
    """Most of the machine: the pass may change to a scan, and the answer is the same."""
    program = spawn("say(*[sleeper() for _ in range(400)]); wait()")
    expected = program.pids()
    assert prock.get_children(program.pid) == expected
    tree = prock.snapshot_tree(program.pid, io=True)
    assert tree is not None and tree.pids == (program.pid, *expected) and tree.denied == 0
    assert all(member.disk_io is not None and member.ppid == program.pid for member in tree.members[1:])


def test_a_deep_chain(spawn: Spawn) -> None:
    program = spawn("""
for depth in range(200):
    if os.fork(): signal.pause()
say(os.getpid()); signal.pause()""")
    (deepest,) = program.pids()
    pids = prock.collect_tree_pids(program.pid)
    tree = prock.snapshot_tree(program.pid)
    assert pids is not None and len(pids) == 201 and pids[-1] == deepest
    assert tree is not None and tree.pids == tuple(pids)
    assert prock.is_descendant_of(deepest, program.pid, prock.build_parent_map())


def test_a_tree_that_changes_while_it_is_read(spawn: Spawn) -> None:
    program = spawn("""
say(1)
while True:
    pid = os.fork()
    if pid == 0:
        if os.fork() == 0: os._exit(0)
        os._exit(0)
    os.waitpid(pid, 0)""")
    program.hears()
    for _ in range(100):
        tree = prock.snapshot_tree(program.pid, io=True)
        assert tree is not None and tree.pids[0] == program.pid and len(set(tree.pids)) == len(tree.pids)
        for scanned in (prock.collect_tree_pids(program.pid), prock.get_children(program.pid)):
            assert scanned is not None
        assert prock.scan_all_processes().denied == 0


def test_reaping_moves_a_childs_time_and_loses_none(spawn: Spawn) -> None:
    program = spawn("""
pid = os.fork()
if pid == 0: burn(0.2); os._exit(0)
os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
say(1); sys.stdin.readline(); os.waitpid(pid, 0); say(2); wait()""")
    program.rests()
    before = prock.snapshot_tree(program.pid)
    program.tell()
    program.rests()
    after = prock.snapshot_tree(program.pid)
    assert before is not None and after is not None and (before.process_count, after.process_count) == (2, 1)
    assert after.cpu_time.total_ns < before.cpu_time.total_ns
    assert before.cpu_time_with_children is not None and after.cpu_time_with_children is not None
    lost = before.cpu_time_with_children.total_ns - after.cpu_time_with_children.total_ns
    assert lost < 20_000_000  # the kernel tells the children's part in ticks
    assert after.cpu_time_with_children.total_ns - before.cpu_time_with_children.total_ns < 150_000_000


def test_one_scan_serves_many_roots(spawn: Spawn) -> None:
    programs = [spawn("say(sleeper()); wait()") for _ in range(3)]
    children = [program.pids()[0] for program in programs]
    scan = prock.scan_all_processes()
    for program, child in zip(programs, children, strict=True):
        tree = prock.snapshot_tree_from_scan(program.pid, scan)
        assert tree is not None and tree.pids == (program.pid, child) and tree.taken_ns == scan.taken_ns


def test_repeated_questions_leak_nothing(spawn: Spawn, engine: Engine) -> None:
    program = spawn("[sleeper() for _ in range(3)]; say(1); wait()")
    program.rests()

    def ask() -> None:
        prock.get_all_stats(program.pid)
        prock.get_process_comm(program.pid)
        prock.get_children(program.pid)
        prock.snapshot_tree(program.pid, io=True)
        prock.scan_all_processes()
        prock.get_cpu_time(2**30)
        with pytest.raises(ValueError, match="can't be"):
            prock.get_cpu_time(-1)

    for _ in range(20):
        ask()
    before = (sys_blocks(), len(os.listdir("/proc/self/fd")))
    for _ in range(200):
        ask()
    blocks, descriptors = sys_blocks(), len(os.listdir("/proc/self/fd"))
    assert descriptors == before[1]
    assert blocks - before[0] < 100  # a leak of one object a round would be 200


def sys_blocks() -> int:
    import gc
    import sys

    gc.collect()
    return sys.getallocatedblocks()

"""Every way in which the members of a tree that is followed come and go."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
from support.processes import Program, Spawn
from support.sampling import MS, SLACK_NS, TICK_NS, Time, members

import prock

if TYPE_CHECKING:
    from support.engines import Knows

    from prock.engine.protocol import Engine

pytestmark = pytest.mark.usefixtures("engine")


def test_children_that_nobody_saw(puppet: Program, sampler: prock.TreeSampler) -> None:
    before = sampler.sample()
    puppet.does("for _ in range(5): os.waitpid(child(lambda: burn(0.06)), 0)")
    after = sampler.sample()
    assert 300 * MS - SLACK_NS <= after.unseen_cpu_ns <= after.cpu_ns and before.unseen_cpu_ns == 0
    assert after.ended_cpu_ns == 0 and after.process_count == 1 and (after.appeared, after.ended) == (0, 0)
    assert after.root is not None and after.root.subtree_cpu_percent is not None
    assert after.root.cpu_percent is not None and after.root.subtree_cpu_percent > after.root.cpu_percent


@pytest.mark.parametrize("ignored", [False, True])
def test_a_child_that_was_seen_and_ends(
    puppet: Program, sampler: prock.TreeSampler, ignored: bool, knows: Knows
) -> None:
    """Whether it is waited for or its parent ignores SIGCHLD: what was seen of it stays, once."""
    if ignored:
        puppet.does("signal.signal(signal.SIGCHLD, signal.SIG_IGN)")
    (pid,) = puppet.does("one = child(lambda: (burn(0.2), stay())); say(one)")
    seen = sampler.sample()
    own = members(seen)[pid].cpu_ns
    assert own >= 200 * MS - knows.cpu_lag_ns
    puppet.does("os.kill(one, 9)" + ("\nwhile os.path.exists(f'/proc/{one}'): pass" if ignored else "; os.wait()"))
    after = sampler.sample()
    assert pid not in members(after) and (after.ended, after.process_count) == (1, 1)
    assert own <= after.ended_cpu_ns < own + TICK_NS and after.unseen_cpu_ns < TICK_NS
    assert seen.cpu_ns <= after.cpu_ns < seen.cpu_ns + SLACK_NS


def test_orphans_stay_members(puppet: Program, sampler: prock.TreeSampler, knows: Knows) -> None:
    """A session of its own, parents that have gone: who was seen once is a member, and its later CPU counts."""
    middle, orphan = puppet.does(
        "def leave(): tells(child(work_when_signalled)); stay()\nmiddle = child(leave); say(middle, max(told(2)))"
    )
    assert set(members(sampler.sample())) == {puppet.pid, middle, orphan}
    puppet.does("os.kill(middle, 9); os.waitpid(middle, 0)")
    before = sampler.sample()
    assert set(members(before)) == {puppet.pid, orphan} and before.root is not None
    assert members(before)[orphan].ppid != middle and before.root.subtree_process_count == 1
    assert before.members[0].pid == puppet.pid
    os.kill(orphan, signal.SIGUSR1)
    puppet.does("told()")
    after = sampler.sample()
    assert (
        after.cpu_ns - before.cpu_ns >= 50 * MS - knows.cpu_lag_ns and members(after)[orphan].subtree_process_count == 1
    )


def test_orphans_that_a_member_adopts(puppet: Program, sampler: prock.TreeSampler) -> None:
    """prctl(2), PR_SET_CHILD_SUBREAPER: also who is first seen as an orphan."""
    puppet.does("libc.prctl(36, 1)")
    sampler.sample()
    (unseen,) = puppet.does("say(orphan())")
    sample = sampler.sample()
    assert set(members(sample)) == {puppet.pid, unseen} and members(sample)[unseen].ppid == puppet.pid
    assert sample.root is not None and sample.root.subtree_process_count == 2
    puppet.does(f"os.kill({unseen}, 9); os.waitpid({unseen}, 0)")
    assert set(members(sampler.sample())) == {puppet.pid}


def test_an_orphan_adopted_by_a_member_that_sleeps(puppet: Program, sampler: prock.TreeSampler) -> None:
    (pid,) = puppet.does("""
def work():
    signal.signal(signal.SIGUSR1, lambda *_: os.waitpid(child(child), 0))
    tells(1); stay()
libc.prctl(36, 1); one = child(work); told(); say(one)""")
    sampler.sample()
    os.kill(pid, signal.SIGUSR1)
    while len(children := prock.get_children(puppet.pid) or []) < 2 or prock.get_children(pid):
        pass
    sample = sampler.sample()
    assert set(members(sample)) == {puppet.pid, *children} and sample.root is not None
    assert sample.root.cpu_percent == 0.0 and sample.root.subtree_process_count == 3


def test_a_child_of_a_worker_thread(puppet: Program, sampler: prock.TreeSampler) -> None:
    (pid,) = puppet.does("threading.Thread(target=lambda: (tells(child()), stay())).start(); say(told()[0])")
    sample = sampler.sample()
    assert set(members(sample)) == {puppet.pid, pid} and sample.thread_count == 3


def test_another_program(puppet: Program, sampler: prock.TreeSampler, knows: Knows) -> None:
    (pid,) = puppet.does("one = child(lambda: os.execlp('sleep', 'sleep', '1000')); say(one)")
    while prock.get_process_comm(pid) != "sleep":
        pass
    before = sampler.sample()
    assert members(before)[pid].comm == "sleep"
    (pid,) = puppet.does("two = child(lambda: (gate(), burn(0.05), os.execlp('sleep', 'sleep', '1000'))); say(two)")
    seen = members(sampler.sample())[pid]
    puppet.does("open_gate()")
    while prock.get_process_comm(pid) != "sleep":
        pass
    puppet.does("os.waitpid(child(lambda: None), 0)")  # a name may be a second old, else
    after = members(sampler.sample())[pid]
    assert (
        after.comm == "sleep" != seen.comm
        and after.identity == seen.identity
        and after.cpu_ns >= 50 * MS - knows.cpu_lag_ns
    )


def test_another_name(puppet: Program, sampler: prock.TreeSampler) -> None:
    """It costs no pid, by which others are seen to have run; but no row is more than a second old."""
    sampler.sample()
    puppet.does("libc.prctl(15, b'other')")
    while sampler.sample().members[0].comm != "other":
        puppet.does("pass")


def test_a_zombie(puppet: Program, sampler: prock.TreeSampler, knows: Knows) -> None:
    (pid,) = puppet.does("one = child(lambda: (gate(), burn(0.05))); say(one)")
    assert members(sampler.sample())[pid].state == "S"
    puppet.does("open_gate(); has_ended(one); os.waitpid(child(lambda: None), 0)")  # a state may be a second old, else
    sample = sampler.sample()
    row = members(sample)[pid]
    assert (row.state, row.rss_bytes, row.vsize_bytes, row.is_alive) == ("Z", 0, 0, False)
    assert row.cpu_ns >= 50 * MS - knows.cpu_lag_ns and sample.process_count == 2 and sample.ended == 0
    puppet.does("os.wait()")
    after = sampler.sample()
    assert after.process_count == 1 and row.cpu_ns <= after.ended_cpu_ns and after.unseen_cpu_ns < TICK_NS


def test_a_main_thread_that_has_ended(puppet: Program, sampler: prock.TreeSampler, knows: Knows) -> None:
    (pid,) = puppet.does("""
def work():
    while open(f'/proc/self/task/{os.getpid()}/stat').read().rsplit(')')[1].split()[0] != 'Z': pass
    tells(child()); burn(0.05); tells(1); stay()
def lead():
    threading.Thread(target=work).start()
    libc.syscall(60, 0)  # exit of this thread alone, on x86-64
one = child(lead); told(2); say(one)""")
    for _ in range(2):
        row = members(sampler.sample())[pid]
        assert row.state == "Z" and row.is_alive and row.thread_count == 2
        assert row.cpu_ns >= 50 * MS - knows.cpu_lag_ns
        assert row.rss_bytes and row.vsize_bytes and row.rss_bytes > 1 << 20
        assert row.subtree_process_count == 2


def test_the_root_ends_first(puppet: Program, engine: Engine) -> None:
    root, first = puppet.does("libc.prctl(36, 1)\nroot = child(lambda: (tells(child()), stay())); say(root, told()[0])")
    with prock.TreeSampler(root, accounting="ledger") as sampler:
        assert sampler.sample().process_count == 2
        puppet.does("os.kill(root, 9); os.waitpid(root, 0)")
        sample = sampler.sample()
        assert sample.root is None and set(members(sample)) == {first} and not sample.is_over
        assert sample.root_pid == root and sample.ended == 1
        puppet.does(f"os.kill({first}, 9); os.waitpid({first}, 0)")  # that adopted it
        for _ in range(2):
            sample = sampler.sample()
            assert sample.is_over and sample.members == () and sample.root is None
            assert (sample.thread_count, sample.rss_bytes) == (0, 0) and sample.cpu_percent is not None


def test_a_session_whose_leader_was_seen(puppet: Program, knows: Knows, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its members are found by a scan whoever adopted them: after half a minute, or after much coming and going."""
    monkeypatch.setattr("prock.sampling.forest.SCAN_SHARE", 0)  # however slow a scan is on a busy machine
    time = Time()
    with prock.TreeSampler(puppet.pid, accounting="ledger", clock=time) as sampler:
        (leader,) = puppet.does("""
def lead():
    os.setsid()
    while True: tells(1); gate(); os.waitpid(child(child), 0)
one = child(lead); told(); say(one)""")
        assert set(members(sampler.sample())) == {puppet.pid, leader}
        puppet.does("open_gate(); told()")  # a child of the leader has started one, and ended
        (first,) = (row.pid for row in prock.scan_all_processes() if row.session == leader != row.pid)
        assert set(members(sampler.sample())) == {puppet.pid, leader}
        time.passes(31 if knows.scans_cheaply else 1000)
        sample = sampler.sample()
        assert set(members(sample)) == {puppet.pid, leader, first} and sample.appeared == 1
        puppet.does("open_gate(); told(); many = [child(lambda: None) for _ in range(40)]")
        assert sampler.sample().process_count == 43
        puppet.does("for one in many: os.waitpid(one, 0)")
        assert sampler.sample().process_count == 3
        time.passes(25 if knows.scans_cheaply else 1000)
        assert sampler.sample().process_count == 4


LEADER_THAT_LEAVES_AN_ORPHAN = """
gate, opened = os.pipe()
leads, leading = os.pipe()
life, alive = os.pipe()
member = os.fork()
if member == 0:
    os.close(alive)
    os.read(gate, 1)
    os.setsid()
    os.write(leading, b'x')
    os.read(gate, 1)
    orphan = os.fork()
    if orphan == 0: os.read(life, 1)
    else: say(orphan)
    os._exit(0)
say(member)
sys.stdin.readline()
os.write(opened, b'x')
os.read(leads, 1)
if os.fork() == 0: os._exit(0)  # a new pid: the sampler reads the row again of a member that has run
os.wait()
say('leads')
sys.stdin.readline()
os.write(opened, b'x')
os.waitpid(member, 0)
say('ended')
wait()
"""


def test_an_orphan_in_a_session_that_a_known_member_opened(
    spawn: Spawn, knows: Knows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The member calls setsid() after it was sampled, and ends before a sample could see its child."""
    monkeypatch.setattr("prock.sampling.forest.SCAN_SHARE", 0)  # however slow a scan is on a busy machine
    program, time = spawn(LEADER_THAT_LEAVES_AN_ORPHAN), Time()
    (member,) = program.pids()
    with prock.TreeSampler(program.pid, accounting="ledger", clock=time) as sampler:
        assert set(members(sampler.sample())) == {program.pid, member}
        program.tell()
        assert program.hears() == ["leads"] and os.getsid(member) == member
        assert set(members(sampler.sample())) == {program.pid, member}
        program.tell()
        (orphan,) = program.pids()
        assert program.hears() == ["ended"] and os.getsid(orphan) == member
        assert set(members(sampler.sample())) == {program.pid}
        time.passes(31 if knows.scans_cheaply else 1000)
        sample = sampler.sample()
        assert set(members(sample)) == {program.pid, orphan} and sample.appeared == 1
        assert members(sample)[orphan].ppid not in (program.pid, member)

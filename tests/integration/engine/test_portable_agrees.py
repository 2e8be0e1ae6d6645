"""The engine portable against the best one, about the same live processes at the same time."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import psutil
import pytest
from support.elsewhere import become_nobody, in_child, needs_root
from support.engines import KNOWS, LINUX_ENGINES
from support.processes import Program, Spawn

import prock
from prock.engine import open_engine, using
from prock.engine.portable import psutil_adapter as by_psutil
from prock.engine.portable.engine import PortableEngine
from prock.model import ProcessInfo

LAG_NS = KNOWS["portable"].cpu_lag_ns
best = open_engine(LINUX_ENGINES[0])


@pytest.fixture
def portable() -> Iterator[PortableEngine]:
    engine = PortableEngine()
    with using(engine):
        yield engine


@pytest.fixture
def still(puppet: Program) -> Program:
    """A tree of 40 at rest: some have used CPU time, one is a zombie, one has a session of its own, one two threads."""
    puppet.does("grow(3, 3); told(39)")
    puppet.does("child(lambda: (burn(0.07), tells(1), stay())); told(); has_ended(child(lambda: burn(0.03)))")
    puppet.does("child(lambda: (os.setsid(), tells(1), stay())); told()")
    puppet.does(
        "child(lambda: (threading.Thread(target=lambda: (tells(1), stay())).start(), threading.Event().wait())); told()"
    )
    return puppet


def agree(mine: ProcessInfo, theirs: ProcessInfo) -> None:
    assert mine.identity == theirs.identity
    names = ("ppid", "pgrp", "session", "state", "comm", "thread_count", "vsize_bytes", "is_alive")
    assert [getattr(mine, name) for name in names] == [getattr(theirs, name) for name in names]
    assert 0 <= theirs.cpu_time.total_ns - mine.cpu_time.total_ns < LAG_NS
    assert mine.waited_ns == theirs.waited_ns
    assert abs(mine.rss_bytes - theirs.rss_bytes) < 1 << 20  # statm and stat count differently
    unknown = (mine.tty_nr, mine.minor_faults, mine.major_faults, mine.children_minor_faults)
    assert unknown == (None, None, None, None)


def test_rows(still: Program, portable: PortableEngine) -> None:
    pids = prock.collect_tree_pids(still.pid)
    assert pids is not None and len(pids) == 44 and best.tree(still.pid, 0) is not None
    assert pids == [member.pid for member in (best.tree(still.pid, 0) or ([], 0, []))[0]]
    for pid in pids:
        mine, theirs = portable.info(pid), best.info(pid)
        assert mine is not None and theirs is not None
        agree(mine, theirs)
        assert portable.ppid(pid) == theirs.ppid and portable.comm(pid) == theirs.comm
        assert portable.children(pid) == sorted(best.children(pid) or ())
        assert portable.path(pid) == best.path(pid)
        here, there = portable.liveness(pid), best.liveness(pid)
        assert here is not None and there is not None and abs(here.start_time - there.start_time) < 0.011
        assert here._replace(start_time=0.0) == there._replace(start_time=0.0)
        assert (portable.environ(pid) or b"").split(b"\0") == (best.environ(pid) or b"").split(b"\0")


def test_a_scan_and_a_map_of_the_machine(still: Program, portable: PortableEngine) -> None:
    mine, theirs, parents = portable.scan(), best.scan(), portable.parents()
    tree = set(prock.collect_tree_pids(still.pid) or ())
    known = {row.pid: row for row in theirs}
    for row in mine:
        if row.pid in tree:
            agree(row, known[row.pid])
            assert parents[row.pid] == row.ppid
    assert tree <= {row.pid for row in mine} and list(mine) == sorted(mine) and 0 not in parents
    assert [row.pid for row in mine if row.pid in tree] == [pid for pid in portable.pids() if pid in tree]


def test_the_layer_below_psutils_own_answers_as_documented(still: Program) -> None:
    """What is asked of it is not documented; what `psutil.Process` makes of it is."""
    for pid in prock.collect_tree_pids(still.pid) or ():
        asked, documented = by_psutil.process(pid), psutil.Process(pid)
        assert (asked.ppid(), asked.status()) == (documented.ppid(), documented.status())
        assert asked.num_threads() == documented.num_threads()
        assert asked.cpu_times() == documented.cpu_times() and asked.memory_info().vms == documented.memory_info().vms
        assert asked.create_time() == pytest.approx(documented.create_time(), abs=1.1)
        assert asked.io_counters() == documented.io_counters() and documented.name().startswith(asked.name())
        assert by_psutil.parents()[pid] == documented.ppid()


def test_starts_stay_the_same(still: Program, portable: PortableEngine) -> None:
    before = {pid: portable.start_of(pid) for pid in prock.collect_tree_pids(still.pid) or ()}
    again = PortableEngine()
    assert None not in before.values() and before == {pid: again.start_of(pid) for pid in before}
    born = portable.now_ticks()
    (pid,) = still.does("one = child(); say(one)")
    start = portable.start_of(pid)
    assert start is not None and born <= start <= portable.now_ticks()
    assert portable.start_time(start) == pytest.approx(best.start_time(start), abs=0.011)


def test_where_starts_move_with_the_wall_clock_they_are_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on FreeBSD: how far they have moved is seen by this process's own."""
    monkeypatch.setattr(by_psutil, "HAS_MOVING_STARTS", True)
    layer = by_psutil._layer.Process
    told, step_s = layer.create_time, 0.0

    def moving(self: object, monotonic: bool = False) -> float:
        return float(told(self, monotonic=True)) + 1e9 + step_s

    monkeypatch.setattr(layer, "create_time", moving)
    starts = by_psutil.Starts()
    other = by_psutil.process(os.getppid())
    before, shown = starts.of(other), starts.epoch_seconds(starts.of(other))
    for step_s in (3600.0, -7200.5, 0.25):
        assert starts.of(other) == before

        def in_a_fork(step: float = step_s) -> None:
            nonlocal step_s
            assert starts.of(other) == before
            step_s = step + 5
            assert starts.of(other) == before

        in_child(in_a_fork)
    assert shown == starts.epoch_seconds(before)


def test_what_dies_while_it_is_read_is_gone(portable: PortableEngine, spawn: Spawn) -> None:
    """A process that ends between two of the files that its row is made of."""
    asked = by_psutil._layer.Process
    for dies_before in ("cpu_times", "memory_info", "num_threads", "ppid", "name", "status"):
        program = spawn("say(1); wait()")
        program.rests()
        ask = getattr(asked, dies_before)

        def killing(self: object, ask: object = ask, program: Program = program) -> object:
            program.popen.kill()
            program.popen.wait()
            return ask(self)  # type: ignore[operator]  # the method as it was

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(asked, dies_before, killing)
            row = portable.info(program.pid)
        assert row is None or row.pid == program.pid  # all that was still to be read had been read before
        assert portable.info(program.pid) is None
    assert portable.memory(program.pid) is None and portable.liveness(program.pid) is None


def test_a_churning_tree_is_read_by_many_threads(puppet: Program, portable: PortableEngine) -> None:
    puppet.tell(
        repr(
            "for _ in range(150):\n    for _ in range(4): child(lambda: None)\n    for _ in range(4): os.wait()\nsay(0)"
        )
    )
    failures: list[BaseException] = []
    over = threading.Event()

    def look() -> None:
        try:
            while not over.is_set():
                tree = prock.snapshot_tree(puppet.pid, io=True)
                assert tree is not None and tree.pids[0] == puppet.pid and len(set(tree.pids)) == len(tree.pids)
                assert tree.cpu_time.total_ns >= 0 and puppet.pid in prock.build_parent_map()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    puppet.hears()
    over.set()
    for thread in threads:
        thread.join()
    assert failures == []


@needs_root
def test_an_ordinary_user_and_one_member_of_roots(spawn: Spawn) -> None:
    """What is refused is named in the row of who refuses, and nothing else of the tree is lost."""
    program = spawn("""
pid = os.fork()
if pid == 0:
    root = sleeper()
    os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534); libc.prctl(4, 1)
    say(os.getpid(), root); os.wait(); signal.pause()
wait()""")
    own, stranger = program.pids()

    def check() -> None:
        become_nobody()
        with using(PortableEngine()), prock.TreeSampler(own, io=True) as sampler:
            sample = sampler.sample()
            assert [row.refused for row in sample.members] == [(), ("io",)] and sample.denied == 1
            assert [row.pid for row in sample.members] == [own, stranger] and sample.disk_io is not None
            tree = prock.snapshot_tree(own, io=True)
            assert tree is not None and tree.denied == 1 and tree.members[1].refused == ("io",)

    in_child(check)


def test_two_thousand_members(puppet: Program, portable: PortableEngine) -> None:
    puppet.tell(repr("for _ in range(2000): child(lambda: (tells(1), stay()))\ntold(2000); say(0)"))
    puppet.hears()
    with prock.TreeSampler(puppet.pid, io=True) as sampler:
        sample = sampler.sample()
        assert sample.process_count == 2001 == len(sample.members)
        assert (sample.appeared, sample.vanished, sample.denied) == (0, 0, 0)
        tree = prock.snapshot_tree(puppet.pid)
        assert tree is not None and tree.process_count == 2001
        os.kill(sample.members[-1].pid, signal.SIGKILL)
        os.kill(sample.members[-2].pid, signal.SIGKILL)
        puppet.tell(repr("os.wait(); os.wait(); say(0)"))
        puppet.hears()
        after = sampler.sample()
        assert (after.process_count, after.ended) == (1999, 2) and after.cpu_ns >= sample.cpu_ns


def test_a_member_that_refuses_its_figures_is_known_and_its_end_is_seen(
    puppet: Program, portable: PortableEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    (secret,) = puppet.does("one = child(lambda: (tells(child()), stay())); told(); say(one)")
    layer = by_psutil._layer.Process
    ask = layer.cpu_times

    def refusing(self: psutil.Process) -> object:
        if self.pid == secret:
            raise psutil.AccessDenied(self.pid)
        return ask(self)

    monkeypatch.setattr(layer, "cpu_times", refusing)
    start = portable.start_of(secret)
    with prock.TreeSampler(puppet.pid) as sampler:
        for _ in range(2):
            sample = sampler.sample()
            root, row, below = sample.members
            assert (row.pid, row.ppid, row.start_ticks, row.refused) == (secret, puppet.pid, start, ("stat",))
            assert row.comm == root.comm and row.state == "S" and row.rss_bytes is None and below.ppid == secret
            assert sample.denied == 1 and sample.process_count == 3
        puppet.does("os.kill(one, 9); os.wait()")
        after = sampler.sample()
        assert (after.process_count, after.ended, after.denied) == (2, 1, 0) and after.cpu_ns >= sample.cpu_ns

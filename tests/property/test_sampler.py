"""The sampler against a simulated kernel that goes on between any two questions: never down, never too much."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from support.examples import examples
from support.simulated_kernel import CHANGES, INIT, TICK, LiveKernel
from test_cpu_ledger import STEPS, Step, finish

from prock import NoSuchProcess
from prock.engine.pure.tracker import PureMemberTracker
from prock.model import DiskIo, ProcessInfo, Scan
from prock.sampling.cpu_ledger import WAITED_SLACK_NS
from prock.sampling.forest import Forest
from prock.sampling.sample import TreeSample

MS = 1_000_000
SECOND = 1000 * MS


class SimulatedEngine:
    """Answers what the sampler asks of an engine; before each answer the kernel goes on by a step."""

    name = "simulated"
    root = "/proc"
    clocks_usable = True
    io_includes_children = True
    children_list_is_racy = True

    def __init__(self, kernel: LiveKernel, go_on: Callable[[], object] = lambda: None) -> None:
        self.kernel = kernel
        self.go_on = go_on
        self.now_ns = 0

    def track(self, want: int, descriptors: int) -> PureMemberTracker:
        return PureMemberTracker(self, want, self.clock)

    def clock(self) -> int:
        self.now_ns += SECOND // 10
        return self.now_ns

    def begin(self) -> None:
        pass

    def shares_space(self, pid: int, parent: int, /) -> bool:
        return False

    def now_ticks(self) -> int:
        return self.kernel.now + 1  # whoever is forked next starts at that instant

    def outline(self, pid: int) -> ProcessInfo | None:
        raise AssertionError("nothing is refused here")

    def number(self, metric: str, pid: int) -> int | None:
        raise AssertionError(f"{metric} is not requested here")

    def last_pid(self) -> int:
        self.go_on()
        return self.kernel.last_pid

    def own_ns(self, pid: int) -> int | None:
        self.go_on()
        task = self.kernel.tasks.get(pid)
        return None if task is None else task.own * MS

    def info(self, pid: int | None) -> ProcessInfo | None:
        self.go_on()
        assert pid is not None
        return self._row(pid) if pid in self.kernel.tasks else None

    def _row(self, pid: int) -> ProcessInfo:
        row = self.kernel.row(pid)
        return row._replace(user_ns=row.user_ns * MS, children_user_ns=row.waited_ns * MS)

    def children_of_threads(self, pid: int, thread_count: int | None = None) -> list[int] | None:
        self.go_on()
        if pid not in self.kernel.tasks:
            return None
        only_first = thread_count == 1
        return [child.pid for child in self.kernel.children(pid) if not (only_first and child.by_thread)]

    def memory(self, pid: int) -> tuple[int, int] | None:
        return (0, 0)

    def disk_io(self, pid: int) -> DiskIo | None:
        self.go_on()
        task = self.kernel.tasks.get(pid)
        return None if task is None else DiskIo(task.io, 0, 0, 0, 0, 0, 0)

    def status(self, info: ProcessInfo) -> tuple[int, int] | None:
        return None

    def scan(self) -> Scan:
        return Scan([self._row(pid) for pid in self.kernel.tasks if pid != INIT])


class MappingEngine(SimulatedEngine):
    """As where there are no exact clocks, no lists of children and no page faults: one map of parents a sample, which
    may be wrong by the time that it is used."""

    clocks_usable = False
    children_list_is_racy = False

    def begin(self) -> None:
        self.go_on()
        self.parents = {task.pid: task.parent for task in self.kernel.tasks.values()}

    def children_of_threads(self, pid: int, thread_count: int | None = None) -> list[int] | None:
        return [child for child, parent in self.parents.items() if parent == pid]

    def _row(self, pid: int) -> ProcessInfo:
        return super()._row(pid)._replace(minor_faults=None, children_minor_faults=None)


both_ways = pytest.mark.parametrize("engine_type", [SimulatedEngine, MappingEngine])


class World:
    """A kernel with a history, and a forest that follows its one tree."""

    def __init__(self, before: list[Step], engine_type: type[SimulatedEngine] = SimulatedEngine) -> None:
        self.kernel = LiveKernel()
        for step in before:
            # Not covered: an orphan in a member's session that is older than the tracker, but younger than every
            # member, counts as born since.
            if step[0] != "setsid":
                self.act(step)
        self.engine = engine_type(self.kernel)
        self.used_before = self.kernel.burnt
        engine: Any = self.engine
        self.forest = Forest([self.kernel.root], io=True, accounting="ledger", engine=engine, clock=engine.clock)
        self.began = self.kernel.now
        self.last = self.sample()

    def act(self, step: Step) -> None:
        kernel = self.kernel
        living = kernel.living()
        pid = living[step[1] % len(living)]
        if step[0] == "fork" and len(kernel.tasks) < kernel.pids // 2:
            kernel.fork(pid)
        elif step[0] == "burn":
            kernel.burn(pid, step[2])
        elif step[0] == "exit" and pid != kernel.root:
            kernel.exit(pid)
        elif step[0] == "reap":
            kernel.reap(pid)
        elif step[0] == "ignore":
            kernel.tasks[pid].ignores_sigchld = True
        elif step[0] in CHANGES:
            kernel.change(step[0], pid, step[2])

    def sample(self) -> TreeSample:
        return self.forest.sample()[self.kernel.root]

    def check(self) -> TreeSample:
        now = self.sample()
        assert self.last.cpu_ns <= now.cpu_ns <= (self.kernel.burnt - self.used_before) * MS
        assert now.disk_io is not None and self.last.disk_io is not None
        read = [sample.disk_io.read_bytes or 0 for sample in (self.last, now) if sample.disk_io is not None]
        assert read[0] <= read[1] <= self.kernel.burnt - self.used_before
        assert now.cpu_percent is not None and now.cpu_percent >= 0
        for member in now.members:
            assert member.cpu_percent is None or member.cpu_percent >= 0
        self.last = now
        return now


@both_ways
@settings(max_examples=examples(1500), deadline=None)
@given(before=STEPS, steps=STEPS)
def test_between_samples(engine_type: type[SimulatedEngine], before: list[Step], steps: list[Step]) -> None:
    world = World(before, engine_type)
    for step in steps:
        world.act(step)
        if step[0] == "sample":
            world.check()
    now = world.check()
    assert now.process_count == len({member.pid for member in now.members}) == len(now.members)


@both_ways
@settings(max_examples=examples(1500), deadline=None)
@given(before=STEPS, steps=STEPS)
def test_while_a_sample_is_taken(engine_type: type[SimulatedEngine], before: list[Step], steps: list[Step]) -> None:
    """Every answer may already be about another state of the tree."""
    world = World(before, engine_type)
    history = iter(steps)

    def go_on() -> None:
        step = next(history, None)
        if step is not None:
            world.act(step)

    world.engine.go_on = go_on
    for _ in range(8):
        world.check()
    world.check()
    world.check()


@both_ways
@settings(max_examples=examples(800), deadline=None)
@given(steps=STEPS)
def test_all_is_counted_where_every_child_is_waited_for(engine_type: type[SimulatedEngine], steps: list[Step]) -> None:
    """As a shell or make does it. Unknown remains only what the ticks of ``cutime`` hide."""
    world = World([], engine_type)
    kernel = world.kernel
    for step in steps:
        living = kernel.living()
        pid = living[step[1] % len(living)]
        if step[0] == "sample":
            world.check()
        elif step[0] == "exit" and pid != kernel.root and not kernel.children(pid):
            finish(kernel, pid)
        elif step[0] in ("fork", "burn"):
            world.act(step)
    while len(kernel.tasks) > 2:
        for task in list(kernel.tasks.values()):
            if task.pid not in (INIT, kernel.root) and not kernel.children(task.pid):
                finish(kernel, task.pid)
    world.check()
    now = world.check()
    used = kernel.burnt - world.used_before
    assert now.cpu_ns > (used - 3 * TICK) * MS
    assert now.disk_io is not None and now.disk_io.read_bytes == used
    assert now.process_count == 1


@both_ways
@settings(max_examples=examples(400), deadline=None)
@given(before=STEPS, steps=STEPS)
def test_orphans_of_sessions_are_found(
    engine_type: type[SimulatedEngine], before: list[Step], steps: list[Step]
) -> None:
    """A session that a member leads leads to what is born in it later, wherever its parents have gone."""
    world = World(before, engine_type)
    kernel = world.kernel
    led: set[int] = set()
    for step in [*steps, ("sample", 0, 0), ("sample", 0, 0)]:
        world.act(step)
        if step[0] == "sample":
            world.engine.now_ns += 60 * SECOND  # so that rows are stale and a scan is due
            now = world.check()
            led |= {member.pid for member in now.members if kernel.tasks[member.pid].session == member.pid}
    members = {member.pid for member in now.members}
    born = [task for task in kernel.tasks.values() if task.start > world.began and not task.zombie]
    assert members >= {task.pid for task in born if task.session in led}


@both_ways
def test_an_orphan_of_a_session_that_a_member_has_started(engine_type: type[SimulatedEngine]) -> None:
    world = World([], engine_type)
    kernel = world.kernel
    leader = kernel.fork(kernel.root)
    assert world.check().process_count == 2
    kernel.change("setsid", leader, 0)
    world.engine.now_ns += 2 * SECOND
    world.check()
    between = kernel.fork(leader)
    orphan = kernel.fork(between)
    kernel.exit(between)
    kernel.reap(leader)
    world.engine.now_ns += 60 * SECOND
    world.check()
    assert orphan in {member.pid for member in world.check().members}


@both_ways
def test_members_stay_members_whoever_adopts_them(engine_type: type[SimulatedEngine]) -> None:
    world = World([], engine_type)
    kernel = world.kernel
    middle = kernel.fork(kernel.root)
    below = kernel.fork(middle)
    assert world.check().process_count == 3
    kernel.exit(middle)
    kernel.reap(kernel.root)
    kernel.burn(below, 100)
    now = world.check()
    assert {member.pid for member in now.members} == {kernel.root, below}
    assert {member.ppid for member in now.members if member.pid == below} == {INIT}
    assert now.cpu_ns >= 100 * MS


@both_ways
def test_a_pid_that_is_given_away_again_is_a_stranger(engine_type: type[SimulatedEngine]) -> None:
    world = World([], engine_type)
    kernel = world.kernel
    child = kernel.fork(kernel.root)
    kernel.burn(child, 7)
    world.check()
    finish(kernel, child)
    kernel.last_pid = child - 1
    assert kernel.fork(INIT) == child
    kernel.fork(INIT)
    kernel.tasks[child].own = 50  # of a stranger
    world.engine.now_ns += 2 * SECOND  # the least that it takes to give all pids away
    assert world.check().process_count == 1


@both_ways
def test_a_pid_that_is_given_away_while_a_sample_is_taken(engine_type: type[SimulatedEngine]) -> None:
    """After it was asked which was the last: nothing but the row tells, and nothing else makes it read."""
    world = World([], engine_type)
    kernel = world.kernel
    kernel.tasks[kernel.root].ignores_sigchld = True
    child = kernel.fork(kernel.root)
    world.check()
    world.check()
    questions = 0

    def go_on() -> None:
        nonlocal questions
        questions += 1
        if questions == 2:
            kernel.exit(child)
            kernel.last_pid = child - 1
            assert kernel.fork(INIT) == child
            kernel.fork(INIT)
            kernel.tasks[child].own = kernel.tasks[child].io = 50  # of a stranger

    world.engine.go_on = go_on
    now = world.check()
    assert now.process_count == 1 and now.ended == 1


@both_ways
def test_a_subreaper_in_the_tree_is_found_to_adopt_whom_nobody_saw(engine_type: type[SimulatedEngine]) -> None:
    world = World([], engine_type)
    kernel = world.kernel
    kernel.tasks[kernel.root].subreaper = True
    middle = kernel.fork(kernel.root)
    world.check()
    kernel.fork(middle)
    kernel.exit(middle)
    assert world.check().process_count == 3


def test_what_never_arrived_at_a_parent_explains_nothing_later() -> None:
    world = World([])
    kernel = world.kernel
    kernel.tasks[kernel.root].ignores_sigchld = True
    child = kernel.fork(kernel.root)
    kernel.burn(child, 100)
    world.check()
    kernel.exit(child)
    world.check()
    world.check()
    kernel.tasks[kernel.root].ignores_sigchld = False
    unseen = kernel.fork(kernel.root)
    kernel.burn(unseen, 90)
    finish(kernel, unseen)
    now = world.check()
    assert now.unseen_cpu_ns >= 90 * MS - 2 * WAITED_SLACK_NS
    assert now.disk_io is not None and (now.disk_io.read_bytes or 0) >= 190


def test_roots_do_not_overlap() -> None:
    world = World([])
    kernel = world.kernel
    child = kernel.fork(kernel.root)
    world.check()
    with pytest.raises(ValueError, match="already"):
        world.forest.add(child)
    with pytest.raises(NoSuchProcess):
        world.forest.add(59)


@both_ways
def test_a_child_whose_parent_ends_before_its_own_turn(engine_type: type[SimulatedEngine]) -> None:
    """Who named it as a child is a zombie by then: it is no stranger that has got the pid."""
    first = 2 if engine_type is MappingEngine else 8  # by then it was named
    for turn in range(first, 12):
        world = World([], engine_type)
        kernel = world.kernel
        middle = kernel.fork(kernel.root)
        world.check()
        child = kernel.fork(middle)
        questions = iter(range(1, 100))

        def go_on(
            turn: int = turn, middle: int = middle, kernel: LiveKernel = kernel, questions: Any = questions
        ) -> None:
            if next(questions) == turn:
                kernel.exit(middle)

        world.engine.go_on = go_on
        world.check()
        world.engine.go_on = lambda: None
        assert child in {member.pid for member in world.check().members}


def test_where_children_hand_no_io_on_every_byte_of_the_parent_is_its_own() -> None:
    class HandsNothingOn(MappingEngine):
        io_includes_children = False

    world = World([], HandsNothingOn)
    kernel = world.kernel
    child = kernel.fork(kernel.root)
    kernel.burn(child, 100)
    world.check()
    finish(kernel, child)
    kernel.tasks[kernel.root].io -= 100  # what this kernel has added
    kernel.burn(kernel.root, 60)
    world.check()
    now = world.check()
    assert now.disk_io is not None and now.disk_io.read_bytes == kernel.burnt - world.used_before

"""Several trees, followed in one pass."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from support.elsewhere import in_child
from support.processes import PUPPET, Program, Spawn
from support.sampling import MS, TICK_NS, members

import prock

if TYPE_CHECKING:
    from support.engines import Knows

    from prock.engine.protocol import Engine

pytestmark = pytest.mark.usefixtures("engine")


def test_one_pass_answers_as_samplers_of_their_own(spawn: Spawn, knows: Knows) -> None:
    puppets = [spawn(PUPPET).is_ready() for _ in range(3)]
    with prock.Forest(accounting="ledger", roots=[puppet.pid for puppet in puppets], io=True) as forest:
        samplers = [prock.TreeSampler(puppet.pid, io=True, accounting="ledger") for puppet in puppets]
        for number, puppet in enumerate(puppets):
            puppet.does(f"for _ in range({number + 1}): child(lambda: (burn(0.05), tells(1), stay()))")
            puppet.does(f"told({number + 1}); os.waitpid(child(lambda: burn(0.1)), 0)")
        together = forest.sample()
        for number, (puppet, sampler) in enumerate(zip(puppets, samplers, strict=True)):
            mine, own = together[puppet.pid], sampler.sample()
            assert mine.process_count == own.process_count == number + 2
            assert mine.members == tuple(
                row._replace(cpu_percent=other.cpu_percent, subtree_cpu_percent=other.subtree_cpu_percent)
                for row, other in zip(own.members, mine.members, strict=True)
            )
            assert (
                abs(mine.cpu_ns - own.cpu_ns) <= 2 * TICK_NS
                and mine.cpu_ns > (number + 1) * (50 * MS - knows.cpu_lag_ns) + 60 * MS
            )
            assert mine.disk_io is not None and own.disk_io is not None
            assert abs((mine.disk_io.write_chars or 0) - (own.disk_io.write_chars or 0)) < 100
            sampler.close()
        assert len(forest) == 3 and set(forest.roots) == set(together)


def test_roots_come_and_go(spawn: Spawn, knows: Knows) -> None:
    first, second = spawn(PUPPET).is_ready(), spawn(PUPPET).is_ready()
    with prock.Forest(accounting="ledger", roots=[first.pid]) as forest:
        first.does("child(lambda: (burn(0.1), tells(1), stay())); told()")
        assert forest.sample()[first.pid].cpu_ns >= 100 * MS - knows.cpu_lag_ns
        forest.add(second.pid)
        second.does("child(lambda: (burn(0.1), tells(1), stay())); told()")
        both = forest.sample()
        assert both[second.pid].cpu_ns >= 100 * MS - knows.cpu_lag_ns and both[first.pid].process_count == 2
        forest.remove(first.pid)
        assert set(forest.sample()) == {second.pid}
        with pytest.raises(KeyError):
            forest.remove(first.pid)
        first.does("burn(time.process_time() + 0.1)")
        forest.add(first.pid)
        again = forest.sample()
        assert again[first.pid].cpu_ns < 10 * MS and again[first.pid].process_count == 2
        assert again[second.pid].cpu_ns >= both[second.pid].cpu_ns
        assert set(members(again[second.pid])).isdisjoint(members(again[first.pid]))


def test_trees_do_not_overlap(puppet: Program) -> None:
    inner, below = puppet.does("one = child(lambda: (tells(child()), stay())); say(one, told()[0])")
    with prock.Forest(accounting="ledger", roots=[puppet.pid]) as forest:
        for pid in (puppet.pid, inner, below):
            with pytest.raises(
                ValueError, match=f"{pid} is followed already: it is in the tree of process {puppet.pid}"
            ):
                forest.add(pid)
        assert forest.sample()[puppet.pid].process_count == 3
        forest.remove(puppet.pid)
        forest.add(inner)
        forest.add(puppet.pid)
        samples = forest.sample()
        assert set(members(samples[inner])) == {inner, below} and set(members(samples[puppet.pid])) == {puppet.pid}
        puppet.does("child()")
        samples = forest.sample()
        assert samples[inner].process_count == 2 == samples[puppet.pid].process_count


def test_roots_that_are_given_together(puppet: Program, dead_pid: int) -> None:
    inner, below = puppet.does("one = child(lambda: (tells(child()), stay())); say(one, told()[0])")
    with pytest.raises(prock.NoSuchProcess):
        prock.Forest([puppet.pid, dead_pid])
    with prock.Forest([puppet.pid, dead_pid, inner], missing_ok=True, io=True) as forest:
        assert forest.roots == (puppet.pid, inner)
        puppet.does("burn(time.process_time() + 0.05)")
        samples = forest.sample()
        assert set(members(samples[inner])) == {inner, below} and set(members(samples[puppet.pid])) == {puppet.pid}
        assert samples[puppet.pid].cpu_ns >= 30 * MS > samples[inner].cpu_ns
        with pytest.raises(ValueError, match="followed already"):
            forest.add(below)
    with pytest.raises(ValueError, match="followed already"):
        prock.Forest([puppet.pid, puppet.pid])


def test_a_tree_that_ends_disturbs_no_other(spawn: Spawn) -> None:
    puppets = [spawn(PUPPET).is_ready() for _ in range(3)]
    with prock.Forest(accounting="ledger", roots=[puppet.pid for puppet in puppets]) as forest:
        for puppet in puppets:
            puppet.does("many = [child(), child()]")
        before = forest.sample()
        puppets[1].does("for one in many: os.kill(one, 9); os.waitpid(one, 0)")
        puppets[1].finish()
        puppets[2].does("child()")
        after = forest.sample()
        ended = after[puppets[1].pid]
        assert ended.is_over and ended.members == () and ended.cpu_ns >= before[puppets[1].pid].cpu_ns
        assert [after[puppet.pid].process_count for puppet in puppets] == [3, 0, 4]
        with pytest.raises(prock.NoSuchProcess):
            forest.add(puppets[1].pid)
        forest.remove(puppets[1].pid)
        assert len(forest.sample()) == 2


def test_a_root_that_can_not_be_added_leaves_nothing(puppet: Program, engine: Engine) -> None:
    class FailsOnce:
        def __init__(self, of: Any) -> None:
            self.of = of
            self.failed = False

        def __getattr__(self, name: str) -> Any:
            return getattr(self.of, name)

        def track(self, *arguments: int) -> FailsOnce:
            return FailsOnce(self.of.track(*arguments))

        def sample(self, *arguments: Any) -> Any:
            answer = self.of.sample(*arguments)
            if not self.failed:
                self.failed = True
                raise OSError("out of something")
            return answer

    (pid,) = puppet.does("one = child(lambda: (child(), child(), tells(1), stay())); told(); say(one)")
    with prock.Forest(engine=FailsOnce(engine)) as forest:
        with pytest.raises(OSError, match="out of something"):
            forest.add(pid)
        assert len(forest) == 0 and forest.sample() == {}
        forest.add(puppet.pid)
        assert forest.sample()[puppet.pid].process_count == 4
    with pytest.raises(ValueError, match="closed"):
        forest.add(os.getpid())


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no timer signals")
def test_a_sample_in_a_signal_handler_raises_or_works() -> None:
    outcomes: set[str] = set()

    def check() -> set[str]:
        def handle(*_: object) -> None:
            try:
                forest.sample()
                outcomes.add("sampled")
            except RuntimeError as error:
                outcomes.add("raised" if "signal handler" in str(error) else str(error))

        with prock.Forest([None]) as forest:
            signal.signal(signal.SIGALRM, handle)
            signal.setitimer(signal.ITIMER_REAL, 0.0007, 0.0007)
            until = time.monotonic() + 0.5
            while time.monotonic() < until:
                forest.sample()
            signal.setitimer(signal.ITIMER_REAL, 0)
            assert forest.sample()
        return outcomes

    assert {"raised"} <= in_child(check) <= {"raised", "sampled"}

"""What ``prock run`` does with signals, time limits and what a command leaves: on trees that are made up."""

from __future__ import annotations

import signal
from types import SimpleNamespace
from typing import Any, cast

import pytest
from support.made_up_runs import MS, S, Script, Tree

from prock.cli.run import supervisor as supervise
from prock.cli.run.supervisor import Plan, Supervisor
from prock.results import LimitExceeded

INT, TERM, HUP, KILL, CONT, TSTP = (
    int(getattr(signal, f"SIG{name}")) for name in "INT TERM HUP KILL CONT TSTP".split()
)
TERMINAL = True


class Stage:
    """A tree, what happens to it, and what prock says meanwhile."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tree: Tree) -> None:
        self.tree = tree
        self.said: list[str] = []
        self.stops = 0
        self.edits_lines = True
        monkeypatch.setattr(supervise, "time", SimpleNamespace(monotonic_ns=lambda: tree.now_ns))
        monkeypatch.setattr("prock.runner.terminate.time", SimpleNamespace(monotonic_ns=lambda: tree.now_ns))
        monkeypatch.setattr(supervise, "_print_note", self.said.append)
        monkeypatch.setattr("prock.cli.run.job_control.terminal_edits_lines", lambda: self.edits_lines)
        monkeypatch.setattr("prock.cli.run.job_control.is_foreground_job", lambda: True)
        monkeypatch.setattr("prock.cli.run.job_control.stop_self", self._stop)

    def _stop(self) -> None:
        self.stops += 1

    def play(self, *events: tuple[Any, ...], **plan: Any) -> Supervisor:
        script = Script(self.tree, events)
        supervisor = Supervisor(cast(Any, self.tree), cast(Any, script), Plan(**plan))
        supervisor.run()
        return supervisor


@pytest.fixture
def tree() -> Tree:
    return Tree()


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch, tree: Tree) -> Stage:
    return Stage(monkeypatch, tree)


def test_it_ends_with_the_root(stage: Stage, tree: Tree) -> None:
    supervisor = stage.play((S, lambda: tree.end(left=2)))
    assert (tree.sent, tree.members, supervisor.end_requested) == ([], 2, False)


def test_wait_all_stays_for_the_last(stage: Stage, tree: Tree) -> None:
    stage.play((S, lambda: tree.end(left=2)), (5 * S, lambda: tree.end()), wait_all=True)
    assert tree.now_ns == 6 * S


def test_kill_tree_ends_what_is_left(stage: Stage, tree: Tree) -> None:
    tree.stubborn = True
    stage.play((S, lambda: tree.end(left=2)), kill_tree=True, kill_after=3)
    assert (tree.sent, tree.members, tree.now_ns) == ([TERM, CONT, KILL], 0, 4 * S)


def test_a_timeout_ends_everything(stage: Stage, tree: Tree) -> None:
    supervisor = stage.play(timeout=7)
    assert (tree.sent, tree.now_ns, supervisor.timed_out) == ([TERM, CONT], 7 * S, True)


@pytest.mark.parametrize("plan", [{}, {"timeout": 1, "kill_after": 60}])
def test_a_limit_kills_at_once_also_within_the_grace_of_a_timeout(stage: Stage, tree: Tree, plan: Any) -> None:
    tree.stubborn = True
    exceeded = LimitExceeded("cpu", 1, 2, 3, None, 1, 2, ())

    def exceed() -> None:
        tree.limit_exceeded = exceeded

    stage.play((5 * S, exceed), **plan)
    assert tree.sent == ([TERM, CONT] if plan else []) + [KILL] and tree.now_ns == 5 * S


def test_a_limit_that_is_noticed_at_the_end_of_the_root_kills_the_rest(stage: Stage, tree: Tree) -> None:
    tree.limit_exceeded = LimitExceeded("memory", 1, 2, 3, 2, 1, 2, ())
    tree.end(left=2)
    stage.play()
    assert tree.sent == [KILL]


def test_a_timeout_of_the_stubborn(stage: Stage, tree: Tree) -> None:
    tree.stubborn = True
    stage.play(timeout=7, kill_after=1)
    assert (tree.sent, tree.now_ns) == ([TERM, CONT, KILL], 8 * S)


def test_a_process_that_signals_prock_means_the_tree(stage: Stage, tree: Tree) -> None:
    supervisor = stage.play((S, TERM))
    assert (tree.sent, supervisor.end_requested, supervisor.interrupted) == ([TERM], True, False)


def test_a_stopped_tree_has_to_go_on_to_hear_of_it(stage: Stage, tree: Tree) -> None:
    tree.stubborn = True
    tree.stopped_by = int(signal.SIGSTOP)
    stage.play((S, TERM), (S, TERM))
    assert tree.sent == [TERM, CONT, KILL]


def test_a_second_signal_kills(stage: Stage, tree: Tree) -> None:
    tree.stubborn = True
    stage.play((S, TERM), (S, HUP))
    assert tree.sent == [TERM, KILL]


def test_who_does_not_know_is_told(stage: Stage, tree: Tree) -> None:
    tree.stubborn = True
    stage.play((S, TERM), (2 * S, TERM))
    assert stage.said == ["SIGTERM sent to 3 processes; a second one kills them"]


def test_twice_at_once_is_once(stage: Stage, tree: Tree) -> None:
    """timeout(1) signals its child, then its whole group."""
    tree.stubborn = True
    stage.play((S, TERM), (MS, TERM), (S, tree.end))
    assert tree.sent == [TERM]


def test_two_kinds_at_once_are_one_request(stage: Stage, tree: Tree) -> None:
    """systemd's SendSIGHUP."""
    tree.stubborn = True
    stage.play((S, TERM), (MS, HUP), (S, tree.end))
    assert tree.sent == [TERM, HUP]


def test_during_a_timeout_a_signal_ends_the_grace(stage: Stage, tree: Tree) -> None:
    tree.stubborn = True
    stage.play((8 * S, TERM), (S, TERM), timeout=7, kill_after=100)
    assert (tree.sent, tree.now_ns) == ([TERM, CONT, KILL], 8 * S)


def test_ctrl_c_has_reached_the_command_already(stage: Stage, tree: Tree) -> None:
    supervisor = stage.play((S, INT, TERMINAL), (MS, tree.end))
    assert (tree.sent, supervisor.interrupted) == ([], True)


def test_ctrl_c_again_and_again(stage: Stage, tree: Tree) -> None:
    tree.stubborn = True
    stage.play((S, INT, TERMINAL), (S, INT, TERMINAL), (S, INT, TERMINAL))
    assert tree.sent == [TERM, KILL]
    assert stage.said == ["SIGTERM sent to 3 processes; once more kills them"]


def test_ctrl_c_now_and_then_is_each_time_a_first_one(stage: Stage, tree: Tree) -> None:
    stage.play(*3 * [(10 * S, INT, TERMINAL)], (S, tree.end))
    assert tree.sent == []


def test_ctrl_c_is_but_a_key_to_an_editor(stage: Stage, tree: Tree) -> None:
    stage.edits_lines = False
    stage.play(*5 * [(MS, INT, TERMINAL)], (S, tree.end))
    assert tree.sent == []


def test_it_stops_with_the_command_once(stage: Stage, tree: Tree) -> None:
    def stop() -> None:
        tree.stopped_by = TSTP

    def go_on() -> None:
        tree.stopped_by = None

    stage.play((S, stop), (S, lambda: None), (S, go_on), (S, stop), (S, tree.end))
    assert stage.stops == 2


def test_a_stop_that_follows_at_once_is_another(stage: Stage, tree: Tree) -> None:
    """The kernel forgets that a process went on, if it stops before anybody has asked."""

    def stop() -> None:
        tree.stopped_by = TSTP

    stage.play((S, TSTP, TERMINAL), (MS, stop), (S, TSTP, TERMINAL), (S, tree.end))
    assert stage.stops == 2


@pytest.mark.parametrize("number", [INT, TERM, HUP])
def test_detaching_sends_nothing(stage: Stage, tree: Tree, number: int) -> None:
    supervisor = stage.play((S, number), detach=True)
    assert (tree.sent, supervisor.detached) == ([], True)

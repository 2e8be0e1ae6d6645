"""SIGTERM, then SIGKILL until nothing is left; within bounds."""

from __future__ import annotations

import signal
from types import SimpleNamespace

import pytest
from support.made_up_runs import MS, S, Tree

from prock.runner import terminate as endings
from prock.runner.terminate import Termination, end_tree

TERM, CONT, KILL, STOP = map(int, (signal.SIGTERM, signal.SIGCONT, signal.SIGKILL, signal.SIGSTOP))


@pytest.fixture
def tree(monkeypatch: pytest.MonkeyPatch) -> Tree:
    tree = Tree()

    def sleep(seconds: float) -> None:
        tree.now_ns += round(seconds * S)

    monkeypatch.setattr(endings, "time", SimpleNamespace(monotonic_ns=lambda: tree.now_ns, sleep=sleep))
    return tree


def test_who_ends_when_asked_is_not_killed(tree: Tree) -> None:
    assert end_tree(tree, 2)
    assert tree.sent == [TERM, CONT]


def test_who_does_not_is_killed_after_the_grace(tree: Tree) -> None:
    tree.stubborn = True
    assert end_tree(tree, 2)
    assert (tree.sent, tree.now_ns) == ([TERM, CONT, KILL], 2 * S)


def test_without_grace_nobody_is_asked(tree: Tree) -> None:
    assert end_tree(tree, 0)
    assert tree.sent == [KILL]


def test_what_can_not_be_killed_is_left(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing_helps(number: int) -> int:
        tree.sent.append(number)
        return 1

    monkeypatch.setattr(tree, "signal_tree", nothing_helps)
    assert not end_tree(tree, 1)
    assert tree.now_ns <= S + endings.GIVE_UP_NS + 3 * endings.KILL_AGAIN_NS
    assert tree.sent[:3] == [TERM, CONT, KILL] and set(tree.sent[3:]) == {STOP, KILL}


def test_what_forks_faster_than_it_is_killed_is_stopped_first(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    running, stopped = [3], [0]

    def signal_tree(number: int) -> int:
        tree.sent.append(number)
        if number == STOP:
            stopped[0] += running[0]
            running[0] //= 2
        elif number == KILL and not running[0]:
            stopped[0] = 0
        return stopped[0]

    monkeypatch.setattr(tree, "signal_tree", signal_tree)
    monkeypatch.setattr(tree, "is_over", lambda: not (running[0] or stopped[0]))
    assert end_tree(tree, 0)
    assert tree.sent == [KILL, STOP, STOP, STOP, KILL]


def test_it_does_nothing_before_it_is_due(tree: Tree) -> None:
    tree.stubborn = True
    ending = Termination(tree, 2)
    ending.step(ending.due_ns - MS)
    assert tree.sent == [TERM, CONT]

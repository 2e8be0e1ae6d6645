"""`prock.accounting.perf_attach` without a kernel: the order of pids, and to which event CPU time belongs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from prock.accounting.perf_attach import PidSequence, TaskClocks, UncertainFork

MS = 1_000_000
PARENT, SECOND, CHILD = 10, 11, 12


class Kernel:
    """As an engine: pids that are allocated, and events that count."""

    clocks_usable = True

    def __init__(self, last: int = 300, limit: int = 32768) -> None:
        self.last = last
        self.limit = limit
        self.used = {PARENT: 0, SECOND: 0, CHILD: 0}

    @property
    def core(self) -> Kernel:
        return self

    def last_pid(self) -> int:
        return self.last

    def pid_limit(self) -> int:
        return self.limit

    def read_task_clocks(self, fds: Iterable[int]) -> int:
        return sum(self.used[fd] for fd in fds)

    def burn(self, ns: int, *events: int) -> None:
        for event in events:
            self.used[event] += ns


def doubt_of(kernel: Any) -> UncertainFork:
    doubt = UncertainFork(kernel, [PARENT])
    doubt.second.append(SECOND)
    doubt.events.append(CHILD)
    return doubt


@pytest.mark.parametrize(
    ("first", "last", "places"),
    [
        (1000, 1000, {999: 0, 1000: 0, 1001: 0, 5: 0}),
        (1000, 1010, {999: 0, 1000: 0, 1001: 1, 1010: 10, 1011: 0, 32767: 0}),
        (32760, 310, {32760: 0, 32761: 1, 32767: 7, 300: 308, 310: 318, 311: 0, 20000: 0}),
    ],
)
def test_pids_have_positions_in_the_order_of_their_allocation(first: int, last: int, places: dict[int, int]) -> None:
    kernel: Any = Kernel(first)
    order = PidSequence(kernel)
    assert order.allocated() == 0
    kernel.last = last
    assert {tid: order.position(tid) for tid in places} == places


def test_a_child_that_inherited_has_nothing_of_its_own() -> None:
    kernel = Kernel()
    doubt = doubt_of(kernel)
    kernel.burn(7 * MS, PARENT, SECOND)  # the parent itself, and its later children
    kernel.burn(3 * MS, PARENT, CHILD)
    assert doubt.own_ns() == 0 and doubt.inherited() is None
    kernel.burn(2 * MS, PARENT, CHILD)
    assert doubt.own_ns() == 0 and doubt.inherited() is True


def test_a_child_that_did_not_inherit_is_counted_from_the_beginning() -> None:
    kernel = Kernel()
    doubt = doubt_of(kernel)
    kernel.burn(7 * MS, PARENT, SECOND)
    kernel.burn(MS // 2, CHILD)
    assert doubt.own_ns() == MS // 2 and doubt.inherited() is None
    kernel.burn(MS, CHILD)
    assert doubt.own_ns() == 3 * MS // 2 and doubt.inherited() is False


def test_another_child_that_only_the_first_event_has_blurs_the_comparison() -> None:
    kernel = Kernel()
    doubt = doubt_of(kernel)
    doubt.is_clean = False
    for _ in range(3):
        kernel.burn(5 * MS, CHILD)
        kernel.burn(5 * MS, PARENT)  # the other
        assert doubt.own_ns() == 0 and doubt.inherited() is None
    kernel.burn(5 * MS, PARENT)
    kernel.burn(2 * MS, CHILD)
    assert doubt.own_ns() == 0 and doubt.inherited() is None
    kernel.burn(5 * MS, CHILD)
    assert doubt.own_ns() == 2 * MS and doubt.inherited() is False


def test_what_was_its_own_once_stays() -> None:
    kernel = Kernel()
    doubt = doubt_of(kernel)
    doubt.is_clean = False
    kernel.burn(MS, CHILD)
    kernel.burn(4 * MS, CHILD, PARENT)
    assert doubt.inherited() is None
    kernel.burn(4 * MS, PARENT)
    assert doubt.own_ns() == MS


def test_a_childs_own_child_in_doubt_goes_with_it() -> None:
    kernel = Kernel()
    kernel.used |= {20: 0, 21: 0}
    doubt = doubt_of(kernel)
    inner = UncertainFork(kernel, [CHILD])  # type: ignore[arg-type]  # as much of an engine as it asks
    inner.second.append(20)
    inner.events.append(21)
    doubt.doubts.append(inner)
    kernel.burn(5 * MS, PARENT, 21)  # the child inherited, so its child did too
    assert inner.own_ns() == 5 * MS and doubt.own_ns() == 0 and doubt.inherited() is True
    assert sorted(doubt.descriptors()) == [SECOND, CHILD, 20, 21]


def test_a_doubt_about_the_children_of_one_that_was_settled_goes_on_without_its_event() -> None:
    """A member that inherited ends, and leaves a child in doubt: what it inherited from stands for it from then on."""
    kernel = Kernel()
    kernel.used |= {20: 0, 21: 0}
    clocks = TaskClocks((), kernel, 100)  # type: ignore[arg-type]  # as much of an engine as it asks
    clocks._doubts = [doubt_of(kernel), UncertainFork(kernel, [20, CHILD])]  # type: ignore[arg-type]
    clocks._doubts[1].events.append(21)
    kernel.burn(5 * MS, PARENT, CHILD)  # that one inherited
    assert clocks._settle_doubts() == 0
    assert clocks._doubts[0].descriptors() == [21]
    del kernel.used[CHILD], kernel.used[SECOND]  # closed: to read them is an error now
    kernel.burn(5 * MS, PARENT, 21)  # the other did, too
    assert clocks._settle_doubts() == 0 and clocks._doubts == []

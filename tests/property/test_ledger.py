"""The ledger against a simulated kernel: never down, never too much, and all of it where children are waited for."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_kernel import INIT, TICK, Kernel, read_tree, sample

from prock.ledger import Ledger

PLACES = st.integers(0, 10_000)  # which of the living processes, modulo their number
Step = tuple[str, int] | tuple[str, int, int]
STEPS: st.SearchStrategy[list[Step]] = st.lists(
    st.one_of(
        st.tuples(st.just("fork"), PLACES),
        st.tuples(st.just("burn"), PLACES, st.integers(1, 500)),
        st.tuples(st.just("exit"), PLACES),
        st.tuples(st.just("reap"), PLACES),
        st.tuples(st.just("ignore"), PLACES),
        st.tuples(st.just("subreaper"), PLACES),
        st.tuples(st.just("sample"), st.just(0)),
    ),
    max_size=80,
)


def act(kernel: Kernel, step: Step) -> None:
    living = kernel.living()
    pid = living[step[1] % len(living)]
    match step[0]:
        case "fork":
            kernel.fork(pid)
        case "burn":
            kernel.burn(pid, step[-1])
        case "exit" if pid != kernel.root:
            kernel.exit(pid)
        case "reap":
            kernel.reap(pid)
        case "ignore":
            kernel.tasks[pid].ignores_sigchld = True
        case "subreaper":
            kernel.tasks[pid].subreaper = True


@settings(max_examples=1500, deadline=None)
@given(before=STEPS, steps=STEPS)
def test_never_falls_and_never_exceeds_what_was_used(before: list[Step], steps: list[Step]) -> None:
    kernel, ledger = Kernel(), Ledger(waited_slack_ns=TICK)
    for step in before:
        act(kernel, step)
    used_before = kernel.burnt
    sample(kernel, ledger)
    assert ledger.total_ns == 0
    total = 0
    for step in steps:
        if step[0] == "sample":
            sample(kernel, ledger)
        act(kernel, step)
        assert total <= ledger.total_ns <= kernel.burnt - used_before
        total = ledger.total_ns


@settings(max_examples=1500, deadline=None)
@given(steps=STEPS)
def test_a_pass_that_the_tree_changes_under(steps: list[Step]) -> None:
    """Each row is read between two steps of the tree."""
    kernel, ledger = Kernel(), Ledger(waited_slack_ns=TICK)
    sample(kernel, ledger)
    total, rows, reading = 0, [], read_tree(kernel, list(ledger))
    for step in steps:
        act(kernel, step)
        row = next(reading, None)
        if row is not None:
            rows.append(row)
            continue
        ledger.update(rows)
        rows, reading = [], read_tree(kernel, list(ledger))
        assert total <= ledger.total_ns <= kernel.burnt
        total = ledger.total_ns


@settings(max_examples=800, deadline=None)
@given(steps=STEPS)
def test_complete_where_every_child_is_waited_for(steps: list[Step]) -> None:
    """Nobody ignores SIGCHLD or ends before its children, all are reaped: all but two ticks of the root is known."""
    kernel, ledger = Kernel(), Ledger(waited_slack_ns=TICK)
    sample(kernel, ledger)
    for step in steps:
        if step[0] in ("ignore", "subreaper"):
            continue
        if step[0] == "sample":
            sample(kernel, ledger)
            continue
        living = kernel.living()
        if step[0] == "exit" and kernel.children(living[step[1] % len(living)]):
            continue
        act(kernel, step)
    while len(kernel.tasks) > 2:
        for task in list(kernel.tasks.values()):
            if task.pid not in (INIT, kernel.root) and not task.zombie and not kernel.children(task.pid):
                kernel.exit(task.pid)
        for pid in kernel.living():
            kernel.reap(pid)
    sample(kernel, ledger)
    sample(kernel, ledger)
    assert kernel.burnt - 2 * TICK < ledger.total_ns <= kernel.burnt

"""The ledger against a simulated kernel: never down, never too much, and all of it where children are waited for."""

from __future__ import annotations

import random
from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples
from support.simulated_kernel import CHANGES, INIT, TICK, Kernel, read_tree, sample, update

from prock.model import ProcessInfo
from prock.sampling.cpu_ledger import CpuLedger

Step = tuple[str, int, int]
"""What happens, to which of the living processes (modulo their number), and how much of it."""

WEIGHTS = {
    **dict.fromkeys(CHANGES, 0.4), "setsid": 1, "fork": 5, "burn": 8, "exit": 3, "reap": 3, "ignore": 0.2,
    "subreaper": 0.7, "sample": 4,
}  # fmt: skip


def random_steps(seed: int) -> list[Step]:
    chance = random.Random(seed)
    actions = chance.choices(list(WEIGHTS), list(WEIGHTS.values()), k=chance.randrange(5, 100))
    return [(action, chance.randrange(1000), chance.randrange(1, 500)) for action in actions]


STEPS = st.integers(0, 2**32).map(random_steps)


def act(kernel: Kernel, ledger: CpuLedger, step: Step) -> None:
    living = kernel.living()
    pid = living[step[1] % len(living)]
    match step[0]:
        case "fork":
            kernel.fork(pid)
        case "burn":
            kernel.burn(pid, step[2])
        case "exit" if pid != kernel.root:
            kernel.exit(pid)
        case "reap":
            kernel.reap(pid)
        case "ignore":
            kernel.tasks[pid].ignores_sigchld = True
        case "subreaper":
            kernel.tasks[pid].subreaper = True
            ledger._adopters.add((pid, kernel.tasks[pid].start))
        case action if action in CHANGES:
            kernel.change(action, pid, step[2])


@settings(max_examples=examples(2500), deadline=None)
@given(before=STEPS, steps=STEPS)
def test_never_falls_and_never_exceeds_what_was_used(before: list[Step], steps: list[Step]) -> None:
    kernel, ledger = Kernel(), CpuLedger(waited_slack_ns=TICK)
    for step in before:
        act(kernel, ledger, step)
    used_before = kernel.burnt
    sample(kernel, ledger)
    assert ledger.total_ns == 0
    total = 0
    for step in steps:
        if step[0] == "sample":
            sample(kernel, ledger)
        act(kernel, ledger, step)
        assert total <= ledger.total_ns <= kernel.burnt - used_before
        total = ledger.total_ns


@settings(max_examples=examples(2500), deadline=None)
@given(steps=STEPS)
def test_a_pass_that_the_tree_changes_under(steps: list[Step]) -> None:
    """Each row is read between two steps of the tree."""
    kernel, ledger = Kernel(), CpuLedger(waited_slack_ns=TICK)
    sample(kernel, ledger)
    total = 0
    for rows in passes(kernel, ledger, steps):
        update(ledger, rows)
        assert total <= ledger.total_ns <= kernel.burnt
        total = ledger.total_ns


@settings(max_examples=examples(2500), deadline=None)
@given(before=STEPS, steps=STEPS)
def test_a_first_pass_that_the_tree_changes_under(before: list[Step], steps: list[Step]) -> None:
    """The second pass makes good for it, as long as nobody in the tree adopts what both passes then miss."""
    kernel, ledger = Kernel(), CpuLedger(waited_slack_ns=TICK)
    before, steps = ([step for step in history if step[0] != "subreaper"] for history in (before, steps))
    for step in before:
        act(kernel, ledger, step)
    used_before = kernel.burnt
    total = 0
    for number, rows in enumerate(passes(kernel, ledger, steps)):
        if number == 1:
            ledger.rebase(rows)
        else:
            update(ledger, rows)
        assert total <= ledger.total_ns <= kernel.burnt - used_before
        total = ledger.total_ns


def passes(kernel: Kernel, ledger: CpuLedger, steps: list[Step]) -> Iterator[list[ProcessInfo]]:
    """The rows of one pass after the other, a step of the tree before each row."""
    rows: list[ProcessInfo] = []
    reading = read_tree(kernel, list(ledger))
    for step in steps:
        act(kernel, ledger, step)
        row = next(reading, None)
        if row is not None:
            rows.append(row)
            continue
        yield rows
        rows, reading = [], read_tree(kernel, list(ledger))


@settings(max_examples=examples(1500), deadline=None)
@given(steps=STEPS)
def test_complete_where_every_child_is_waited_for_at_once(steps: list[Step]) -> None:
    """As a shell or make does it. All is known but what the ticks of `cutime` hide."""
    kernel, ledger = Kernel(), CpuLedger(waited_slack_ns=TICK)
    sample(kernel, ledger)
    for step in steps:
        living = kernel.living()
        pid = living[step[1] % len(living)]
        if step[0] == "sample":
            sample(kernel, ledger)
        elif step[0] == "exit" and pid != kernel.root and not kernel.children(pid):
            finish(kernel, pid)
        elif step[0] in ("fork", "burn"):
            act(kernel, ledger, step)
    while len(kernel.tasks) > 2:
        for task in list(kernel.tasks.values()):
            if task.pid not in (INIT, kernel.root) and not kernel.children(task.pid):
                finish(kernel, task.pid)
    sample(kernel, ledger)
    sample(kernel, ledger)
    assert kernel.burnt - 2 * TICK < ledger.total_ns <= kernel.burnt


def finish(kernel: Kernel, pid: int) -> None:
    parent = kernel.tasks[pid].parent
    kernel.exit(pid)
    kernel.reap(parent)

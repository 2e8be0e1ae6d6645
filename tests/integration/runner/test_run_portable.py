"""What trees cost, and how they end, by `prock.run` on the portable engine, beside an account that they join."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.accounts import CpuReference, open_account
from support.elsewhere import in_child
from support.processes import descendants
from support.runs import MS, TICK_NS, has_ended, measure, opened, python, signal_handler, state_of, until

import prock
from prock.engine import open_engine, using
from prock.runner.build_result import LOST_ROOT

HOLDS = {
    "many short children": "for _ in range(40): os.waitpid(child(lambda: use(0.004)), 0)",
    "one that works and sleeps": "use(0.1); time.sleep(0.05); use(0.1)",
    "children of children": """
def work(): use(0.02); os.waitpid(child(lambda: use(0.03)), 0)
for _ in range(3): os.waitpid(child(work), 0)""",
}
"""What was waited for: all of it."""
LACKS = {
    "orphans that the root outlives": "for _ in range(5): orphan(lambda: use(0.02))\nuse(0.05)",
    "orphans that outlive the root": "for _ in range(5): orphan(lambda: use(0.03))",
    "children that nobody waits for": """
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
pids = [child(lambda: use(0.02)) for _ in range(8)]
while any(os.path.exists(f'/proc/{pid}') for pid in pids): time.sleep(0.001)""",
}
"""What nobody, or nobody of the tree, waits for."""
SLEEP = "time.sleep(60)"


@pytest.fixture(autouse=True)
def portable() -> Iterator[None]:
    with using(open_engine("portable")):
        yield


@pytest.fixture
def account(tmp_path: Path) -> Iterator[CpuReference]:
    with open_account(tmp_path / "log") as account:
        yield account


@pytest.mark.parametrize("name", [*HOLDS, *LACKS])
def test_a_lower_bound_and_how_low(account: CpuReference, name: str) -> None:
    cost = measure(account, python({**HOLDS, **LACKS}[name], account), reap_orphans=False, wait_all=False)
    result = cost.result
    assert result.returncode == 0 and "waited" in cost.by_source
    assert result.cpu_ns == cost.by_source[result.accounting] == max(cost.by_source.values())
    source = result.source("cpu")
    assert source is not None and source.bias.startswith("lower bound: ")
    if account.exact:
        assert cost.by_source["waited"] <= 1.005 * cost.truth_ns + cost.start_ns
        assert result.cpu_ns <= 1.005 * cost.truth_ns + cost.start_ns + 2 * TICK_NS * (os.cpu_count() or 1)
    if name in HOLDS:
        assert result.cpu_ns >= 0.98 * cost.truth_ns
    assert any(reason.startswith("Not used: cgroup, perf: ") for reason in result.missing)


def test_the_root_alone_is_known_as_it_was_sampled() -> None:
    result = prock.run(python("use(0.1); time.sleep(0.3)"), interval=0.02)
    source = result.source("root_cpu")
    assert source is not None and (source.source, source.bias) == ("samples", "lower bound: as last sampled")
    assert result.root_cpu_ns is not None and result.cpu_ns is not None
    assert 0 < result.root_cpu_ns <= result.cpu_ns + 2 * TICK_NS


def test_who_is_orphaned_after_it_was_seen_is_a_survivor_and_is_ended() -> None:
    program = f"child(lambda: (say('up'), {SLEEP})); sys.stdin.readline()"
    with opened(python(program), stdin=subprocess.PIPE, stdout=subprocess.PIPE, whole_tree=True) as process:
        assert process.stdin is not None and process.stdout is not None and process.stdout.readline() == b"up\n"
        (child,) = descendants(process.pid)
        assert process.send_tree_signal(0) == 2  # that is a look at it
        process.stdin.close()
        assert process.wait() == 0 and not has_ended(child)
        assert process.kill_tree(60)
        until(lambda: has_ended(child))
        assert process.finish().survivors == ()


def test_who_is_left_is_named() -> None:
    program = f"child(lambda: (use(0.05), say('up'), {SLEEP})); sys.stdin.readline()"
    with prock.Popen(python(program), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None and process.stdout.readline() == b"up\n"
        (child,) = descendants(process.pid)
        assert process.send_tree_signal(0) == 2
        process.stdin.close()
        (survivor,) = process.finish().survivors
    assert survivor.pid == child and survivor.cpu_ns >= 50 * MS - 2 * TICK_NS and survivor.rss_bytes
    os.kill(child, signal.SIGKILL)


def test_a_stop_is_noticed_and_does_not_hinder_the_end() -> None:
    with opened(python(f"os.kill(os.getpid(), signal.SIGSTOP)\n{SLEEP}")) as process:
        until(lambda: state_of(process.pid) == "T")
        assert process.poll() is None and process.kill_tree(60)
    assert process.returncode == -signal.SIGTERM


def test_how_it_ended_is_unknown_where_nobody_may_wait() -> None:
    def check() -> None:
        with signal_handler(signal.SIGCHLD, signal.SIG_IGN):
            result = prock.run(python("use(0.05)"))
        assert result.returncode is None and LOST_ROOT in result.missing
        assert result.minor_faults is None and "waited" not in dict(result.cpu_by_source)

    in_child(check)


def test_who_waits_for_all_children_takes_the_account() -> None:
    def check() -> None:
        with prock.Popen(["true"]) as process:
            while True:
                try:
                    os.waitpid(-1, 0)
                except ChildProcessError:
                    break
        assert process.wait() == 0 and process.finish().returncode in (0, None)

    in_child(check)


@pytest.mark.parametrize(
    "options", [{"accounting": "cgroup"}, {"accounting": "perf"}, {"reap_orphans": True}, {"die_with_caller": True}]
)
def test_what_can_not_be_had_is_refused_before_it_starts(options: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(prock.NotSupported, match="only Linux"):
        prock.run(["touch", tmp_path / "started"], **options)
    assert not (tmp_path / "started").exists()


def test_it_leaves_nothing_behind() -> None:
    before = os.listdir("/proc/self/fd")
    for _ in range(5):
        prock.run(["sh", "-c", "true | cat"], stdout=subprocess.PIPE)
    with pytest.raises(FileNotFoundError):
        prock.run(["/no/such/program"])
    assert os.listdir("/proc/self/fd") == before and not descendants(os.getpid())

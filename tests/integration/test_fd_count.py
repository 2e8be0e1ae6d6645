"""Open file descriptors of processes and trees, on all engines."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.elsewhere import become_nobody, in_child, needs_root
from support.engines import ENGINES, LINUX_ENGINES
from support.processes import fake_process

import prock
from prock.engine import open_engine
from prock.engine.reads import read_numbers
from prock.model import NUMBERS, wanted_numbers

OPEN_MANY = """
import os, sys
more = [os.open("/dev/null", os.O_RDONLY) for _ in range(int(sys.argv[1]))]
print(flush=True)
sys.stdin.read()
"""
WANT = wanted_numbers({"fds": True})


def opener(count: int) -> subprocess.Popen[bytes]:
    started = subprocess.Popen(
        [sys.executable, "-c", OPEN_MANY, str(count)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert started.stdout is not None and started.stdout.readline() == b"\n"
    return started


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("count", [0, 1000])
def test_a_process_and_its_tree(count: int) -> None:
    with opener(count) as child:
        assert prock.snapshot_process(child.pid).fd_count is None  # type: ignore[union-attr]
        stats = prock.snapshot_process(child.pid, fds=True)
        assert stats is not None and stats.fd_count == 3 + count and stats.refused == ()
        tree = prock.snapshot_tree(fds=True)
        assert tree is not None
        by_pid = {member.pid: member.fd_count for member in tree.members}
        assert by_pid[child.pid] == 3 + count
        assert tree.fd_count == sum(number for number in by_pid.values() if number is not None)
        with prock.TreeSampler(fds=True, accounting="ledger") as sampler:
            sample = sampler.sample()
        rows = {row.pid: row for row in sample.members}
        assert rows[child.pid].fd_count == rows[child.pid].subtree_fd_count == 3 + count
        assert sample.root is not None and sample.fd_count == sample.root.subtree_fd_count
        with prock.TreeSampler(accounting="ledger") as sampler:
            sample = sampler.sample()
            assert sample.fd_count is None and {row.subtree_fd_count for row in sample.members} == {None}
        child.communicate()


@pytest.mark.usefixtures("engine")
def test_the_calling_process_is_exact() -> None:
    before = prock.snapshot_process(fds=True)
    with open(os.devnull):
        after = prock.snapshot_process(fds=True)
    assert before is not None and after is not None and before.fd_count is not None
    assert after.fd_count == before.fd_count + 1


@pytest.mark.usefixtures("engine")
def test_a_zombie_has_none_and_a_process_that_is_gone_is_none() -> None:
    child = subprocess.Popen(["true"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    stats = prock.snapshot_process(child.pid, fds=True)
    assert stats is not None and (stats.state, stats.fd_count, stats.refused) == ("Z", 0, ())
    child.wait()
    assert prock.snapshot_process(child.pid, fds=True) is None
    assert prock.engine.active.number("fd_count", child.pid) is None


@pytest.mark.usefixtures("engine")
def test_a_member_that_closes_and_ends_between_samples() -> None:
    with opener(50) as child, prock.TreeSampler(fds=True, accounting="ledger") as sampler:
        before = sampler.sample()
        child.communicate()
        after = sampler.sample()
    assert before.fd_count is not None and after.fd_count is not None
    assert child.pid not in {row.pid for row in after.members}
    assert before.fd_count - after.fd_count >= 53


@needs_root
def test_processes_of_another_user(engine_name: str) -> None:
    """Since Linux 6.2 the number is the size of a directory that any user may stat; else it is denied, not 0."""
    with opener(10) as child:
        expected = os.stat(f"/proc/{child.pid}/fd").st_size if engine_name in LINUX_ENGINES else 0

        def look() -> tuple[int | None, tuple[str, ...]]:
            become_nobody()
            stats, refused = read_numbers(open_engine(engine_name), child.pid, WANT, ())
            return stats.get("fd_count"), refused

        assert in_child(look) == ((expected, ()) if expected else (None, ("fd",)))
        child.communicate()


@needs_root
@pytest.mark.skipif("native" not in ENGINES, reason="there is no native engine to compare")
def test_denied_lists_are_none_on_both_engines(tmp_path: Path) -> None:
    """A proc that is not the kernel's own, as of a kernel before 6.2."""
    fake_process(tmp_path, 5, vsize=4096)
    (tmp_path / "5/fd").mkdir(mode=0)
    tmp_path.chmod(0o755)

    def look() -> list[object]:
        become_nobody()
        return [read_numbers(open_engine(name, str(tmp_path)), 5, WANT, ()) for name in ("native", "pure")]

    assert in_child(look) == [({}, ("fd",))] * 2


@pytest.mark.skipif("native" not in ENGINES, reason="there is no native engine to compare")
@settings(max_examples=50, deadline=None)
@given(entries=st.sets(st.integers(0, 10**6), max_size=200), processes=st.integers(1, 3))
def test_both_engines_count_the_same(entries: set[int], processes: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        for pid in range(5, 5 + processes):
            child = b"%d " % (pid + 1) if pid + 1 < 5 + processes else b""
            fake_process(root, pid, ppid=pid - 1, children=child)
            (root / f"{pid}/fd").mkdir()
            for entry in entries:
                (root / f"{pid}/fd/{entry}").touch()
        totals = []
        for name in ("native", "pure"):
            with prock.TreeSampler(5, fds=True, accounting="ledger", engine=open_engine(name, directory)) as sampler:
                sample = sampler.sample()
            totals.append((sample.fd_count, [(row.pid, row.fd_count, row.subtree_fd_count) for row in sample.members]))
            with prock.engine.using(open_engine(name, directory)):
                tree = prock.snapshot_tree(5, fds=True)
                assert tree is not None and tree.fd_count == sample.fd_count
        assert totals[0] == totals[1] and totals[0][0] == processes * len(entries)


def test_the_table_names_fields_of_all_rows() -> None:
    for metric in NUMBERS:
        for row in (prock.ProcessStats, prock.TreeStats, prock.TreeTotals, prock.MemberSample):
            assert metric.name in row._fields
        assert f"subtree_{metric.name}" in prock.MemberSample._fields
        assert metric.option in prock.SamplingOptions._fields

"""``prock scan``: on this machine, and on made-up ones whose processes are known."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import processes
from support.command_line import Watch, prock, prock_json
from support.made_up import row
from support.run_engines import on_both
from support.subjects import HOSTILE_NAME, Family

from prock.cli import main
from prock.cli.scan import VALUES
from prock.cli.scan_groups import Tree, divide
from prock.engine import open_engine, using
from prock.model import ProcessInfo

pytestmark = on_both

TTY = 34816
TREE_KEYS = {
    "root_pid", "root_comm", "root_cmdline", "is_kernel", "process_count", "thread_count", "rss_bytes", "cpu_time_ns",
    "cpu_time_with_children_ns", "cpu_percent", "pids",
}  # fmt: skip


def pids_by_root(rows: list[ProcessInfo]) -> dict[int, set[int]]:
    trees = divide(rows)
    assert sum(len(tree.rows) for tree in trees) == len(rows)
    return {tree.root.pid: {row.pid for row in tree.rows} for tree in trees}


def leader(pid: int, ppid: int) -> ProcessInfo:
    return row(pid, ppid, session=pid, tty_nr=TTY)


def test_every_child_of_pid_1_is_a_tree() -> None:
    assert pids_by_root([row(1, 0), row(5, 1), row(6, 5), row(7, 1)]) == {1: {1}, 5: {5, 6}, 7: {7}}


def test_every_child_of_a_users_systemd_is_a_tree() -> None:
    rows = [row(1, 0, comm="systemd"), row(5, 1, comm="systemd"), row(6, 5), row(7, 6), row(8, 5)]
    assert pids_by_root(rows) == {1: {1}, 5: {5}, 6: {6, 7}, 8: {8}}


def test_every_login_is_a_tree_but_not_the_sessions_inside() -> None:
    """A server, two logins; in one of them sudo has made a session of its own."""
    rows = [
        row(1, 0),
        row(5, 1),
        row(6, 5),
        leader(7, 6),
        row(8, 7, session=7, tty_nr=TTY),
        leader(9, 8),
        leader(10, 5),
    ]
    assert pids_by_root(rows) == {1: {1}, 5: {5, 6}, 7: {7, 8, 9}, 10: {10}}


def test_a_session_without_a_terminal_is_no_login() -> None:
    assert pids_by_root([row(1, 0), row(5, 1), row(6, 5, session=6)]) == {1: {1}, 5: {5, 6}}


def test_kernel_threads_are_one_tree() -> None:
    rows = [row(1, 0), row(2, 0, vsize_bytes=0), row(3, 2, vsize_bytes=0), row(4, 3, vsize_bytes=0)]
    assert pids_by_root(rows) == {1: {1}, 2: {2, 3, 4}}
    assert [tree.is_kernel for tree in divide(rows)] == [False, True]


def test_pid_2_of_a_container_is_no_kernel_thread() -> None:
    assert [tree.is_kernel for tree in divide([row(1, 0), row(2, 1)])] == [False, False]
    assert [tree.is_kernel for tree in divide([row(1, 0), row(2, 0)])] == [False, False]


def test_who_came_from_outside_is_a_tree() -> None:
    assert pids_by_root([row(1, 0), row(20, 0), row(21, 20), row(30, 29)]) == {1: {1}, 20: {20, 21}, 30: {30}}


def test_a_machine_whose_pid_1_is_hidden() -> None:
    assert pids_by_root([row(5, 1), row(6, 5)]) == {5: {5, 6}}


@settings(deadline=None)
@given(st.dictionaries(st.integers(1, 15), st.tuples(st.integers(0, 15), st.booleans())))
def test_every_process_is_in_exactly_one_tree(shape: dict[int, tuple[int, bool]]) -> None:
    """Whatever a scan that is not atomic makes of the parents: cycles, strangers, oneself."""
    rows = [row(pid, ppid, session=pid, tty_nr=TTY * is_leader) for pid, (ppid, is_leader) in shape.items()]
    found = [pid for pids in pids_by_root(rows).values() for pid in pids]
    assert sorted(found) == sorted(shape)


def test_a_deep_chain_is_one_tree() -> None:
    rows = [row(1, 0), row(5, 1), *(row(pid, pid - 1) for pid in range(6, 5000))]
    assert len(pids_by_root(rows)[5]) == 4995


def test_what_a_tree_mostly_is() -> None:
    rows = [
        row(1, 0),
        row(5, 1),
        *(row(pid, 5, comm="cc1", user_ns=10) for pid in (6, 7)),
        row(8, 5, comm="ld", user_ns=19),
    ]

    def mostly(tree: Tree) -> object:
        return tree.main_command(VALUES["cpu"])

    assert [mostly(tree) for tree in divide(rows)] == [None, ("cc1", 2)]
    assert [mostly(tree) for tree in divide([*rows, row(9, 5, comm="ld", user_ns=1)])] == [None, None]


def test_table_of_a_made_up_machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    processes.fake_process(tmp_path, 1, ppid=0, comm=b"init", utime=100)
    processes.fake_process(tmp_path, 2, ppid=0, comm=b"kthreadd", vsize=0, stime=300)
    processes.fake_process(tmp_path, 3, ppid=2, comm=b"kworker/0:0", vsize=0, stime=100)
    processes.fake_process(tmp_path, 7, ppid=1, comm=HOSTILE_NAME, utime=200, cutime=50, vsize=1, thread_count=3)
    processes.fake_process(tmp_path, 8, ppid=7, comm=b"worker", utime=900, vsize=1)
    with using(open_engine("pure", str(tmp_path))):
        assert main(["scan", "-n", "2"]) == 0
    text = capsys.readouterr().out
    table, footer = text.split("\n\n")
    assert table.split("\n") == [
        "PID  PROCS  THR      CPU     CPU+  RSS  TREE",
        r"  7      2    4  11.000s  11.500s   0B  a) b\n\x1b[31m\xe9\xff, mostly worker",
        "         2    2   4.000s   4.000s   0B  [kernel threads]",
        "         1    1   1.000s   1.000s   0B  … 1 more tree",
    ]
    assert footer.startswith(
        "total     5 processes in 3 trees, 7 threads\ncoverage  0 vanished, 0 denied; a scan took "
    )


@pytest.mark.parametrize(("init_is_visible", "percent"), [(True, 200.0), (False, 100.0)])
def test_only_own_times_count_where_processes_are_hidden(
    init_is_visible: bool,
    percent: float,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A process that waits for a hidden child, an hour of sudo perhaps, gets all the child's time at once."""

    def work(_: float) -> None:
        (tmp_path / "7" / "stat").write_bytes(processes.stat_line(7, utime=100, cutime=100))

    processes.fake_process(tmp_path, 7)
    if init_is_visible:
        processes.fake_process(tmp_path, 1, ppid=0)
    with using(open_engine("pure", str(tmp_path))):
        monkeypatch.setattr("time.sleep", work)
        assert main(["scan", "--interval", "1", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    used = {tree["root_pid"]: tree["cpu_percent"] * answer["interval_s"] for tree in answer["trees"]}
    assert used[7] == pytest.approx(percent, rel=0.1)


def test_shape_of_json(family: Family) -> None:
    answer = prock_json("scan", "-n", "0")
    assert set(answer) == {"schema", "interval_s", "cpus", "totals", "coverage", "trees"}
    assert (answer["schema"], answer["interval_s"], answer["cpus"]) == ("prock.scan/1", None, os.cpu_count())
    assert set(answer["coverage"]) == {"vanished", "denied", "ended_in_interval", "scan_ns"}
    assert all(set(tree) == TREE_KEYS for tree in answer["trees"])
    assert len(answer["trees"]) == answer["totals"]["tree_count"]
    found = [pid for tree in answer["trees"] for pid in tree["pids"]]
    assert len(found) == len(set(found)) == answer["totals"]["process_count"]
    assert family.pids < set(found)
    assert sum(tree["cpu_time_ns"] for tree in answer["trees"]) == answer["totals"]["cpu_time_ns"]


@pytest.mark.parametrize(
    ("key", "field"),
    [
        ("cpu", "cpu_time_with_children_ns"),
        ("rss", "rss_bytes"),
        ("threads", "thread_count"),
        ("processes", "process_count"),
    ],
)
def test_largest_first(key: str, field: str, family: Family) -> None:
    values = [tree[field] for tree in prock_json("scan", "-n", "0", "--sort", key)["trees"]]
    assert len(values) >= 2
    assert values == sorted(values, reverse=True)


def test_limit() -> None:
    whole = prock_json("scan", "-n", "0")["totals"]["tree_count"]
    assert len(prock_json("scan", "-n", "1")["trees"]) == 1
    assert whole > 1
    assert " more tree" in prock("scan", "-n", "1").stdout
    assert " more tree" not in prock("scan", "-n", "0").stdout


def test_interval(spawn: processes.Spawn) -> None:
    program = spawn(
        "say(); sys.stdin.readline()\n"
        "pid = os.fork()\n"
        "if pid == 0: burn(0.3); os._exit(0)\n"
        "os.waitpid(pid, 0); say('done'); wait()\n"
    )
    program.hears()
    watch = Watch("scan", "--json", "-n", "0")
    program.tell()
    assert program.hears() == ["done"]
    code, out, _ = watch.end()
    answer = json.loads(out)
    (tree,) = (tree for tree in answer["trees"] if program.pid in tree["pids"])
    assert code == 0
    assert tree["cpu_percent"] * answer["interval_s"] / 100 >= 0.27
    assert tree["cpu_time_ns"] is None
    assert answer["coverage"]["ended_in_interval"] is not None

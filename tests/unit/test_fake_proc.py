"""Both engines on proc file systems that no kernel here provides."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.engines import LINUX_ENGINES
from support.processes import fake_process, stat_line

import prock
from prock.engine import open_engine, using

TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
U64_MAX = 2**64 - 1


@pytest.fixture(params=LINUX_ENGINES)
def engine_name(request: pytest.FixtureRequest) -> str:
    """Those that can be told where proc is."""
    return str(request.param)


@pytest.fixture
def root(tmp_path: Path, engine_name: str) -> Iterator[Path]:
    with using(open_engine(engine_name, str(tmp_path))):
        yield tmp_path


def test_every_question(root: Path) -> None:
    fake_process(root, 5, comm=b"five", ppid=1, utime=3, stime=4, cutime=5, cstime=6, tty_nr=136 << 8 | 2, starttime=99)
    assert prock.get_cpu_time(5) == (3 * TICK_NS, 4 * TICK_NS)
    assert prock.get_cpu_time_with_children(5) == (8 * TICK_NS, 10 * TICK_NS)
    assert prock.get_memory(5) == 100 * PAGE and prock.get_memory_virtual(5) == 300 * PAGE
    assert prock.get_disk_io(5) == prock.DiskIo(5, 6, 7, 1, 2, 3, 4)
    assert prock.get_all_stats(5) == ((3 * TICK_NS, 4 * TICK_NS), 100 * PAGE, 300 * PAGE, prock.get_disk_io(5))
    assert prock.get_ppid(5) == 1 and prock.get_tty(5) == "pts/2" and prock.get_process_comm(5) == "name"
    assert prock.get_process_environ(5) == {"A": "1", "B": "x=y"}
    assert prock.get_children(5) == [] and prock.collect_tree_pids(5) == [5]
    assert prock.list_all_pids() == [5] and [row.comm for row in prock.scan_all_processes()] == ["five"]
    liveness = prock.get_liveness_info(5)
    assert liveness is not None and liveness.identity == (5, 99) and liveness.comm == "five"


def test_numbers_up_to_64_bits_saturate_where_units_multiply_them(root: Path) -> None:
    fake_process(root, 5, utime=U64_MAX, cutime=U64_MAX, vsize=U64_MAX, rss=U64_MAX, starttime=U64_MAX, minflt=U64_MAX)
    row = prock.scan_all_processes()[0]
    assert {row.user_ns, row.children_user_ns, row.vsize_bytes, row.rss_bytes, row.start_ticks} == {U64_MAX}
    assert row.minor_faults == U64_MAX


@pytest.mark.parametrize("stat", [b"", b"garbage", stat_line(5)[:40], stat_line(5, utime=2**64)])
def test_a_malformed_stat_is_said_and_does_not_sink_a_scan(root: Path, stat: bytes) -> None:
    fake_process(root, 5, stat=stat)
    fake_process(root, 6)
    with pytest.raises(prock.MalformedProcFile, match="stat of process 5"):
        prock.get_ppid(5)
    scan = prock.scan_all_processes()
    assert [row.pid for row in scan] == [6] and scan.denied == 1


def test_a_kernel_without_io_accounting(root: Path) -> None:
    (fake_process(root, 5) / "io").unlink()
    with pytest.raises(prock.NotSupported, match="PID/io"):
        prock.get_disk_io(5)
    stats = prock.get_all_stats(5)
    assert stats is not None and stats.disk_io is None and stats.memory_bytes == 100 * PAGE
    tree = prock.snapshot_tree(5, io=True)
    assert tree is not None and tree.disk_io is None and tree.members[0].refused == ("io",) and tree.denied == 1


def test_a_kernel_without_children_files_is_scanned_instead(root: Path) -> None:
    for pid, parent in [(2, 9), (5, 1), (7, 5), (8, 7), (9, 8)]:
        fake_process(root, pid, children=None, ppid=parent)
    assert prock.get_children(7) == [8] and prock.get_children(2) == [] and prock.get_children(4) is None
    assert prock.collect_tree_pids(5) == [5, 7, 8, 9, 2]
    tree = prock.snapshot_tree(7, io=True)
    assert tree is not None and tree.pids == (7, 8, 9, 2) and tree.disk_io is not None
    assert tree.disk_io.write_bytes == 4 * 6
    assert prock.snapshot_tree(4) is None and prock.collect_tree_pids(4) is None


def test_children_lists_that_form_a_cycle(root: Path) -> None:
    fake_process(root, 5, children=b"6 ")
    fake_process(root, 6, children=b"5 6 7 ")
    fake_process(root, 7, children=b"6 5 ")
    assert prock.collect_tree_pids(5) == [5, 6, 7]


def test_children_of_every_thread(root: Path) -> None:
    task = fake_process(root, 5, children=b"6 ", thread_count=3) / "task"
    for tid, children in ((50, b"7 8 "), (51, b"")):
        (task / str(tid)).mkdir()
        (task / str(tid) / "children").write_bytes(children)
    for pid in (6, 7, 8):
        fake_process(root, pid, ppid=5)
    assert sorted(prock.get_children(5) or []) == [6, 7, 8]
    assert sorted(prock.collect_tree_pids(5) or []) == [5, 6, 7, 8]
    tree = prock.snapshot_tree(5)
    assert tree is not None and sorted(tree.pids) == [5, 6, 7, 8]


def test_a_listed_child_that_is_gone_is_counted_as_vanished(root: Path) -> None:
    fake_process(root, 5, children=b"6 7 ")
    fake_process(root, 7, ppid=5)
    tree = prock.snapshot_tree(5)
    assert tree is not None and tree.pids == (5, 7) and tree.vanished == 1
    assert prock.collect_tree_pids(5) == [5, 7]


@pytest.mark.parametrize("children", [b"6", b"6 x ", b"99999999999 "])
def test_a_malformed_list_of_children(root: Path, children: bytes) -> None:
    fake_process(root, 5, children=children)
    with pytest.raises(prock.MalformedProcFile, match="children"):
        prock.get_children(5)
    tree = prock.snapshot_tree(5)
    assert tree is not None and tree.pids == (5,) and tree.members[0].refused == ("children",)


def test_a_list_of_children_longer_than_a_page(root: Path) -> None:
    pids = list(range(100_000, 104_000))
    fake_process(root, 5, children=b"".join(b"%d " % pid for pid in pids))
    assert prock.get_children(5) == pids


def test_a_malformed_root_is_said_and_a_malformed_member_noted(root: Path) -> None:
    fake_process(root, 5, children=b"6 ")
    fake_process(root, 6, stat=b"garbage")
    tree = prock.snapshot_tree(5, io=True)
    assert tree is not None and tree.members[1].refused == ("stat",) and tree.denied == 1
    assert tree.members[1].ppid == 5 and tree.members[1].disk_io is not None and tree.rss_bytes == 0
    with pytest.raises(prock.MalformedProcFile):
        prock.snapshot_tree(6)


def test_a_wide_tree_is_scanned_and_gives_the_same_members(root: Path) -> None:
    """From 64 waiting members on, the pass changes to a scan, as the fake machine has no one else."""
    pids = range(10, 310)
    fake_process(root, 5, children=b"".join(b"%d " % pid for pid in pids))
    for pid in pids:
        fake_process(root, pid, ppid=5, children=None)  # a walk would have to ask them
    fake_process(root, 400, ppid=20)
    (root / "loadavg").write_text("0.1 0.1 0.1 1/302 400\n")
    tree = prock.snapshot_tree(5)
    assert tree is not None and tree.pids == (5, *pids, 400)


def test_entries_that_are_no_processes_are_not_listed(root: Path) -> None:
    for name in ("self", "05", "5x", "99999999999", "²", "-3"):
        (root / name).mkdir()
    fake_process(root, 12)
    fake_process(root, 5)
    assert prock.list_all_pids() == [5, 12]


def test_a_proc_that_is_not_there(tmp_path: Path, engine_name: str) -> None:
    with using(open_engine(engine_name, str(tmp_path / "nothing"))):
        assert prock.get_cpu_time(5) is None
        with pytest.raises(FileNotFoundError):
            prock.list_all_pids()
        with pytest.raises(FileNotFoundError):
            prock.snapshot_tree()


def test_environment_entries_without_equals_and_names_that_stand_twice(root: Path) -> None:
    (fake_process(root, 5) / "environ").write_bytes(b"A=1\0junk\0A=2\0\xff=\xfe\0=x\0")
    assert prock.get_process_environ(5) == {"A": "1", "\udcff": "\udcfe", "": "x"}


@pytest.mark.parametrize("link", ["/nowhere/gone (deleted)", "/nowhere/gone"])
def test_path_of_a_deleted_executable(root: Path, link: str) -> None:
    (fake_process(root, 5) / "exe").symlink_to(link)
    assert prock.get_process_path(5) == "/nowhere/gone"


def test_path_of_a_file_whose_name_ends_like_that(root: Path, tmp_path: Path) -> None:
    named = tmp_path / "tool (deleted)"
    named.touch()
    (fake_process(root, 5) / "exe").symlink_to(named)
    assert prock.get_process_path(5) == str(named)

"""Where the kernel refuses, hides or numbers otherwise: other users, hidepid, namespaces, no descriptors left."""

from __future__ import annotations

import errno
import os
import resource
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.elsewhere import CLONE_NEWNS, CLONE_NEWPID, become_nobody, in_child, mount_proc, needs_root, unshare
from support.engines import on_linux_engines
from support.processes import Spawn

import prock
from prock.engine import open_engine, using

if TYPE_CHECKING:
    from support.engines import Knows

    from prock.engine.protocol import Engine

pytestmark = pytest.mark.usefixtures("engine")


def refused(ask: Callable[..., object], *arguments: object) -> str:
    with pytest.raises(prock.AccessDenied) as caught:
        ask(*arguments)
    assert isinstance(caught.value, PermissionError)
    return caught.value.what


@needs_root
def test_an_ordinary_user_and_roots_processes(spawn: Spawn) -> None:
    program = spawn("say(sleeper()); wait()")
    (child,) = program.pids()

    def check() -> None:
        become_nobody()
        assert refused(prock.get_disk_io, child) == "io"
        assert refused(prock.get_process_path, child) == "exe"
        assert refused(prock.get_process_environ, child) == "environ"
        spent, stats, snapshot = (
            prock.get_cpu_time(child),
            prock.get_all_stats(child),
            prock.snapshot_process(child, io=True),
        )
        assert spent is not None and stats is not None and snapshot is not None
        assert stats.disk_io is None and stats.memory_bytes > 0 and stats.cpu_time == spent
        assert snapshot.refused == ("io",) and snapshot.rss_bytes
        assert prock.get_children(program.pid) == [child]
        tree = prock.snapshot_tree(program.pid, io=True)
        assert tree is not None and tree.pids == (program.pid, child)
        assert tree.denied == 2 and tree.disk_io is None and tree.rss_bytes
        assert prock.scan_all_processes().denied == 0
        assert prock.get_disk_io() is not None

    in_child(check)


@needs_root
def test_a_tree_of_two_users_is_not_sunk(spawn: Spawn) -> None:
    program = spawn("""
pid = os.fork()
if pid == 0:
    os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534); libc.prctl(4, 1)
    root = os.fork()
    say(os.getpid(), root) if root else None
    signal.pause()
wait()""")
    own, grandchild = program.pids()

    def check() -> None:
        become_nobody()
        tree = prock.snapshot_tree(program.pid, io=True)
        assert tree is not None and tree.pids == (program.pid, own, grandchild)
        assert tree.members[0].refused == ("io",) and tree.members[1].refused == ()
        assert tree.denied == 1 and tree.disk_io is not None

    in_child(check)


@needs_root
@on_linux_engines
@pytest.mark.parametrize("hidepid", [1, 2])
def test_hidepid(spawn: Spawn, tmp_path: Path, engine: Engine, dead_pid: int, hidepid: int) -> None:
    """What exists and is hidden is refused, not gone; its CPU time is still told."""
    program = spawn("sleeper(); say(1); wait()")
    program.rests()
    tmp_path.chmod(0o755)
    for parent in list(tmp_path.parents)[:2]:
        parent.chmod(0o755)

    def check() -> None:
        unshare(CLONE_NEWNS)
        mount_proc(str(tmp_path), f"hidepid={hidepid}")
        become_nobody()
        with using(open_engine(engine.name, str(tmp_path))) as hiding:
            assert hiding.clocks_usable
            for ask in (
                prock.get_memory,
                prock.get_ppid,
                prock.get_process_comm,
                prock.get_disk_io,
                prock.get_children,
            ):
                refused(ask, program.pid)
                assert ask(dead_pid) is None
            refused(prock.get_process_environ, program.pid)
            refused(prock.snapshot_tree, program.pid)
            spent = prock.get_cpu_time(program.pid)
            assert spent is not None and spent.total_ns > 0
            snapshot = prock.snapshot_process(program.pid)
            assert snapshot is not None and snapshot.refused == ("stat",) and snapshot.cpu_time == spent
            assert prock.get_ppid() == os.getppid() and prock.get_ppid(os.getpid()) == os.getppid()
            listed, scan = prock.list_all_pids(), prock.scan_all_processes()
            assert os.getpid() in listed and (program.pid in listed) is (hidepid == 1)
            assert os.getpid() in {row.pid for row in scan} and program.pid not in {row.pid for row in scan}
            assert scan.denied >= 2 if hidepid == 1 else scan.denied == 0  # the program and its child

    in_child(check)


@needs_root
@on_linux_engines
def test_a_pid_namespace_without_a_proc_of_its_own(spawn: Spawn) -> None:
    """Our pids are not proc's there: CPU clocks would answer for another process of that number."""
    program = spawn("burn(0.3); say(1); wait()")
    program.rests()
    outer = prock.get_cpu_time(program.pid)

    def check() -> None:
        unshare(CLONE_NEWPID)
        in_child(inside)

    def inside() -> None:
        assert os.getpid() == 1
        engine = prock.engine.active
        assert not engine.clocks_usable
        while time.process_time_ns() < 200_000_000:
            pass
        spent = prock.get_cpu_time()
        assert spent is not None and abs(spent.total_ns - time.process_time_ns()) < 50_000_000
        assert outer is not None
        seen = prock.get_cpu_time(program.pid)
        assert seen is not None and 0 <= outer.total_ns - seen.total_ns <= 20_000_000
        pids = prock.collect_tree_pids()
        assert pids == [int(os.readlink("/proc/self"))] != [1]

    in_child(check)


def test_a_forked_child_asks_for_itself(engine: Engine) -> None:
    def check() -> None:
        assert prock.engine.active.clocks_usable is was_live
        stats = prock.snapshot_process()
        assert stats is not None and (stats.pid, stats.ppid) == (os.getpid(), parent)

    was_live = engine.clocks_usable
    parent = os.getpid()
    in_child(check)


def test_no_descriptor_left_is_not_taken_for_gone(spawn: Spawn, knows: Knows) -> None:
    program = spawn("sleeper(); say(1); wait()")
    program.rests()

    def check() -> None:
        limit = len(os.listdir("/proc/self/fd"))
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
        while True:
            try:
                os.dup(0)
            except OSError:
                break
        for ask in (
            prock.get_memory, prock.get_ppid, prock.get_disk_io, prock.get_process_comm, prock.get_children,
            prock.snapshot_tree, prock.snapshot_process, prock.get_process_environ,
        ):  # fmt: skip
            with pytest.raises(OSError, match="Too many open files") as caught:
                ask(program.pid)
            assert caught.value.errno == errno.EMFILE
        for ask_all in (prock.list_all_pids, prock.scan_all_processes):
            with pytest.raises(OSError, match="Too many open files"):
                ask_all()
        if knows.without_files:
            assert prock.get_cpu_time(program.pid) is not None
        else:
            with pytest.raises(OSError, match="Too many open files"):
                prock.get_cpu_time(program.pid)

    in_child(check)


def test_all_descriptors_closed_behind_its_back(spawn: Spawn) -> None:
    """As a program that turns itself into a daemon does."""
    program = spawn("sleeper(); say(1); wait()")
    program.rests()
    expected = prock.collect_tree_pids(program.pid)

    def check() -> None:
        closed = os.open("/proc", os.O_RDONLY)
        for descriptor in map(int, os.listdir("/proc/self/fd")):
            try:
                if descriptor > 2 and not stat.S_ISFIFO(os.fstat(descriptor).st_mode):  # our answer leaves by a pipe
                    os.close(descriptor)
            except OSError:  # the one that listed them
                continue
        assert not os.path.exists(f"/proc/self/fd/{closed}")
        assert prock.collect_tree_pids(program.pid) == expected
        assert prock.get_ppid(program.pid) == os.getppid()

    in_child(check)

"""Where processes are hidden, numbered otherwise or another user's: hidepid, namespaces, cgroups, no proc at all."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from support.chaos import invariants
from support.chaos.cli_commands import every_command, here, is_borne
from support.chaos.pid_namespace import crowd, in_cell
from support.elsewhere import CLONE_NEWNS, CLONE_NEWPID, become_nobody, in_child, libc, mount_proc, unshare
from support.runs import is_public

import prock
from prock.engine import open_engine, using
from prock.engine.linux.mountinfo import mounts

CLONE_NEWUSER = 0x10000000
CAN_RUN = is_public(sys.executable)
"""Whether an ordinary user may read this installation."""

PORTABLE_LACKS = {"all": "what is hidden there, or numbered otherwise, is told by the engines of Linux"}


def import_all() -> None:
    """What a user who may not read the installation would miss."""
    import prock.cli.doctor
    import prock.cli.run.attach
    import prock.cli.run.command
    import prock.cli.scan
    import prock.cli.stat
    import prock.cli.top  # noqa: F401

    for words in every_command(os.getpid()):
        here(*words)


def look(root: int, processes: int) -> prock.TreeSample:
    following = invariants.Following()
    with prock.TreeSampler(root, io=True, accounting="ledger") as sampler:
        for _ in range(4):
            sample = following.take(sampler.sample())
    assert sample.process_count == processes
    snapshot = invariants.tree(prock.snapshot_tree(root, io=True), root)
    assert snapshot is not None and snapshot.process_count == processes
    return sample


def all_commands_bear(pid: int) -> None:
    for words in every_command(pid):
        if words[0] != "run" or CAN_RUN:
            is_borne(*here(*words), said=(0, 1, 124, 126))


def test_an_ordinary_user_and_roots_processes(engine_name: str) -> None:
    """What he may not read is refused, and that is said."""

    def check() -> None:
        import_all()
        with using(open_engine(engine_name)), crowd("wide", 50) as wide:

            def as_nobody() -> None:
                become_nobody()
                sample = look(wide.pid, 51)
                assert sample.denied == 51 and sample.disk_io is None and sample.rss_bytes
                with prock.Monitor(0.01, wide.pid, io=True, accounting="ledger", series=True) as monitor:
                    pass
                assert invariants.monitored(monitor.result).denied == 51
                assert invariants.scan(prock.scan_all_processes()).denied == 0
                all_commands_bear(wide.pid)

            in_child(as_nobody)

    in_cell(check)


@pytest.mark.parametrize("hidepid", [1, 2])
def test_hidden_processes(engine_name: str, hidepid: int) -> None:
    """For every command and every function; of one's own processes everything is told."""

    def check() -> None:
        import_all()
        with crowd("wide", 20) as wide:
            libc.umount2(b"/proc", 2)
            mount_proc("/proc", f"hidepid={hidepid}")

            def as_nobody() -> None:
                become_nobody()
                with using(open_engine(engine_name)):
                    for ask in (prock.get_memory, prock.get_disk_io, prock.get_children, prock.snapshot_tree):
                        with pytest.raises(prock.AccessDenied):
                            ask(wide.pid)
                    with pytest.raises(prock.AccessDenied):
                        prock.TreeSampler(wide.pid)
                    with pytest.raises(prock.AccessDenied):
                        prock.Monitor(0.01, wide.pid).__enter__()
                    spent = prock.get_cpu_time(wide.pid)
                    assert spent is not None and spent.total_ns > 0
                    scan = invariants.scan(prock.scan_all_processes())
                    assert {row.pid for row in scan} & {wide.pid, 1} == set()
                    assert scan.denied >= 21 if hidepid == 1 else scan.denied == 0
                    assert look(os.getpid(), 1).denied == 0
                    all_commands_bear(wide.pid)
                    code, _, said = here("stat", wide.pid)
                    assert code == 1 and said.count("\n") == 1
                    assert here("stat", os.getpid())[0] == 0

            in_child(as_nobody)

    in_cell(check)


def test_a_user_namespace(engine_name: str) -> None:
    """Root of his own house, and nobody outside of it."""

    def check() -> None:
        import_all()
        with crowd("wide", 20) as wide:

            def inside() -> None:
                unshare(CLONE_NEWUSER)
                with using(open_engine(engine_name)):
                    sample = look(wide.pid, 21)
                    assert sample.denied == 21 and sample.disk_io is None
                    assert look(os.getpid(), 1).denied == 0
                    invariants.scan(prock.scan_all_processes())
                    invariants.account(prock.run(["sh", "-c", "true & wait"]))
                    all_commands_bear(wide.pid)

            in_child(inside)

    in_cell(check)


@pytest.mark.parametrize("own_proc", [False, True])
def test_a_pid_namespace(engine_name: str, own_proc: bool) -> None:
    """With a proc of its own it is a machine of its own. With that of the outside its pids are the outside's, and CPU
    time is counted in ticks."""

    def check() -> None:
        unshare(CLONE_NEWPID | CLONE_NEWNS)
        in_child(inside)

    def inside() -> None:
        assert os.getpid() == 1
        if own_proc:
            mount_proc("/proc", "")
        with using(open_engine(engine_name)) as engine, crowd("wide", 20) as wide:
            assert engine.clocks_usable == own_proc
            me = int(os.readlink("/proc/self"))
            children = prock.get_children(me) or []
            root = wide.pid if own_proc else next(pid for pid in children if prock.get_process_comm(pid) == "crowd")
            sample = look(root, 21)
            assert sample.denied == 0
            assert look(me, 22).denied == 0
            invariants.scan(prock.scan_all_processes())
            invariants.account(prock.run(["sh", "-c", "true & wait"]))
            for words in every_command(root):
                code, out, err = here(*words)
                if words[0] == "doctor" and not own_proc:
                    assert code == 1 and "another PID namespace" in out
                else:
                    is_borne(code, out, err, said=(0, 1, 124))

    in_cell(check)


@pytest.mark.parametrize("left", ["version 1", "nothing"])
def test_no_cgroups_of_version_2(engine_name: str, left: str) -> None:
    """Then other sources account for a command, and what may be missing is said."""

    def check() -> None:
        for kind in ("cgroup2", *(("cgroup",) if left == "nothing" else ())):
            for mount in reversed(mounts("/proc", kind)):
                assert libc.umount2(mount.point.encode(), 2) == 0
        assert not mounts("/proc", "cgroup2") and (left == "version 1" or not mounts("/proc", "cgroup"))
        with using(open_engine(engine_name)), crowd("wide", 20) as wide:
            result = invariants.account(prock.run(["sh", "-c", "(: & :) & exit 7"], wait_all=True))
            assert (
                result.returncode == 7 and result.accounting != "cgroup" and "cgroup" not in dict(result.cpu_by_source)
            )
            waited = invariants.account(prock.run(["sh", "-c", ":"], accounting="waited", reap_orphans=False))
            assert waited.missing
            with pytest.raises(prock.NotSupported):
                prock.run(["true"], accounting="cgroup")
            look(wide.pid, 21)
            for words in every_command(wide.pid):
                is_borne(*here(*words), said=(0, 1, 124))
            assert "cgroup" in here("doctor")[1]

    in_cell(check)


def test_no_proc_at_all(engine_name: str) -> None:
    """Every command says it in a line; no function answers with a zero."""

    def check() -> None:
        import_all()
        with using(open_engine(engine_name)):
            assert libc.mount(b"none", b"/proc", b"tmpfs", 0, None) == 0
            for words in every_command(1):
                code, out, err = here(*words)
                assert "Traceback" not in err and (code == 0 or err.strip() or out), (words, code, out, err)
            for ask in (prock.get_memory, prock.get_disk_io, prock.get_ppid, prock.snapshot_tree):
                try:
                    assert ask(1) is None
                except (prock.ProckError, OSError):
                    continue
            assert Path("/proc").exists()

    in_cell(check)

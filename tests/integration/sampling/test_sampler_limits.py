"""Trees that are followed where descriptors are scarce, in other namespaces, across forks, and by many threads."""

from __future__ import annotations

import gc
import os
import resource
import signal
import stat
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.elsewhere import CLONE_NEWNS, CLONE_NEWPID, become_nobody, in_child, mount_proc, needs_root, unshare
from support.engines import on_linux_engines
from support.processes import Program, fake_process, stat_line, wait_for_rest
from support.sampling import MS, SLACK_NS, TICK_NS, WORKERS, Time, members, open_descriptors

import prock
from prock.engine import open_engine, using

if TYPE_CHECKING:
    from support.engines import Knows

    from prock.engine.protocol import Engine

pytestmark = pytest.mark.usefixtures("engine")


def close_all(but: str = "nothing") -> dict[int, tuple[int, int]]:
    """As a program does that turns itself into a daemon; but for pipes, by which our answer leaves."""
    closed = {}
    for descriptor in sorted(open_descriptors()):
        try:
            status = os.fstat(descriptor)
            name = os.readlink(f"/proc/self/fd/{descriptor}")
            if descriptor > 2 and not stat.S_ISFIFO(status.st_mode) and not name.endswith(but):
                os.close(descriptor)
                closed[descriptor] = (status.st_dev, status.st_ino)
        except OSError:  # the one that listed them
            continue
    return closed


# ---- descriptors ----


@pytest.mark.parametrize("limit", [32, 64])
def test_few_descriptors(puppet: Program, limit: int) -> None:
    puppet.does(WORKERS)

    def check() -> None:
        before = open_descriptors()
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
        with prock.TreeSampler(puppet.pid, accounting="ledger", io=True) as sampler:
            for _ in range(40):
                puppet.does("all_work()")
                sample = sampler.sample()
                assert sample.process_count == 21 and sample.denied == 0
                assert len(open_descriptors() - before) <= limit // 2
            hosts = [os.dup(0) for _ in range(limit // 2 - len(before))]
            sampler.sample()
            for host in hosts:
                os.close(host)
        assert open_descriptors() == before

    in_child(check)


def test_no_descriptor_left(puppet: Program, knows: Knows) -> None:
    """That is said, and what came and went meanwhile is told by the next sample that succeeds."""
    puppet.does(WORKERS)

    def check() -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with prock.TreeSampler(puppet.pid, accounting="ledger", io=True) as sampler:
            for _ in range(4):
                puppet.does("all_work()")
                sampler.sample()
            (seen,) = puppet.does("one = child(lambda: (burn(0.1), stay())); say(one)")
            before = sampler.sample()
            own = members(before)[seen].cpu_ns
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
            puppet.tell(
                repr("""
os.kill(one, 9); os.waitpid(one, 0)
for _ in range(10): child(lambda: (burn(0.05), tells(1), stay()))
told(10); say(0)""")
            )
            puppet.hears()
            for _ in range(2):
                with pytest.raises(OSError, match="Too many open files"):
                    sampler.sample()
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            after = sampler.sample()
        assert after.process_count == 31 and seen not in members(after) and (after.appeared, after.ended) == (10, 1)
        assert own <= after.ended_cpu_ns < own + TICK_NS
        grown = sum(row.cpu_ns for row in after.members) + own - sum(row.cpu_ns for row in before.members)
        assert grown >= 500 * MS - 10 * knows.cpu_lag_ns and grown <= after.cpu_ns - before.cpu_ns < grown + SLACK_NS
        assert after.root is not None and after.root.cpu_percent is not None and before.root is not None
        used = after.root.cpu_ns - before.root.cpu_ns
        assert after.root.cpu_percent == pytest.approx(100 * used / after.interval_ns)

    in_child(check)


def test_what_is_kept_makes_room(puppet: Program, engine: Engine) -> None:
    """Where the host has taken all other descriptors."""
    puppet.does(WORKERS)

    def check() -> None:
        with prock.TreeSampler(puppet.pid, accounting="ledger", io=True) as sampler:
            for _ in range(4):
                puppet.does("all_work()")
                sampler.sample()
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(open_descriptors()) + 20,) * 2)
            while True:
                try:
                    os.dup(0)
                except OSError:
                    break
            puppet.tell(repr("child(lambda: (tells(1), stay())); told(); say(0)"))
            puppet.hears()
            if engine.name == "native":
                assert sampler.sample().process_count == 22
            else:
                with pytest.raises(OSError, match="Too many open files"):
                    sampler.sample()

    in_child(check)


@pytest.mark.parametrize("taken_by", ["numbers", "nothing written", "proc", "another's stat", "gone"])
def test_all_descriptors_closed_behind_its_back(puppet: Program, tmp_path: Path, taken_by: str) -> None:
    """Their numbers may be the host's own files by now: they are neither read nor closed."""
    puppet.does(WORKERS)
    file = tmp_path / "file"
    file.write_text("" if taken_by == "nothing written" else "77 66 55 44 33 22 11\n")
    file.chmod(0o444)
    path = {"proc": "/proc/self/statm", "another's stat": "/proc/1/stat"}.get(taken_by, str(file))

    def check() -> None:
        sampler = prock.TreeSampler(puppet.pid, accounting="ledger", io=True)
        for _ in range(4):
            puppet.does("all_work()")
            expected = sampler.sample()
        closed = close_all(but="_pid" if taken_by == "another's stat" else "nothing")
        hosts: dict[int, int] = {}
        while taken_by != "gone" and len(hosts) < len(closed) + 5:
            host = os.open(path, os.O_RDONLY)
            hosts[host] = os.fstat(host).st_ino
        for _ in range(3):
            puppet.does("all_work()")
            sample = sampler.sample()
            assert set(members(sample)) == set(members(expected)) and sample.denied == 0 and sample.ended == 0
            for row in sample.members:
                assert row.vsize_bytes == members(expected)[row.pid].vsize_bytes
                assert row.comm == members(expected)[row.pid].comm and row.disk_io is not None
                assert (row.disk_io.write_chars or 0) < 1 << 20
            assert sample.cpu_ns >= expected.cpu_ns
        sampler.close()
        assert {host: os.fstat(host).st_ino for host in hosts} == hosts

    in_child(check)


def test_descriptors_closed_before_a_leaf_alone_runs(puppet: Program, tmp_path: Path, knows: Knows) -> None:
    """Then of its files only those are read that can't say whose they are."""
    (pid,) = puppet.does("one = child(work_when_signalled); told(); say(one)")
    file = tmp_path / "file"
    file.write_text("77 66 55 44 33 22 11\n")

    def works() -> None:
        before = time_of(pid)
        os.kill(pid, signal.SIGUSR1)
        while time_of(pid) < before + 50 * MS - knows.cpu_lag_ns:
            pass
        wait_for_rest(pid)

    def time_of(pid: int) -> int:
        spent = prock.get_cpu_time(pid)
        assert spent is not None
        return spent.total_ns

    def check() -> None:
        sampler = prock.TreeSampler(puppet.pid, accounting="ledger", io=True)
        for _ in range(4):
            works()
            expected = members(sampler.sample())[pid]
        for _ in close_all():
            os.open(file, os.O_RDONLY)
        works()
        row = members(sampler.sample())[pid]
        assert row.vsize_bytes == expected.vsize_bytes and row.refused == () and row.disk_io is not None
        assert row.disk_io.write_count == ((expected.disk_io or row.disk_io).write_count or 0) + 1
        sampler.close()

    in_child(check)


def test_nothing_leaks(puppet: Program) -> None:
    puppet.does("grow(3, 1); told(3)")
    sampler = prock.TreeSampler(puppet.pid, accounting="ledger", io=True)

    def ask(times: int) -> tuple[int, int]:
        for number in range(times):
            sample = sampler.sample()
            if number % 100 == 0:
                assert len(sample.members) == 4
                with pytest.raises(TypeError):
                    prock.TreeSampler("no pid")  # type: ignore[arg-type]
                with prock.TreeSampler(puppet.pid, accounting="ledger") as other:
                    other.sample()
        gc.collect()
        return sys.getallocatedblocks(), len(open_descriptors()) - sampler._forest._tracker.descriptors

    ask(200)
    before = ask(200)
    blocks, descriptors = ask(20_000 if sampler._forest._engine.name == "native" else 500)
    sampler.close()
    assert descriptors == before[1] and blocks - before[0] < 150


def test_close_gives_all_back(puppet: Program) -> None:
    puppet.does(WORKERS)
    before = open_descriptors()
    for close in (True, False):
        sampler = prock.TreeSampler(puppet.pid, accounting="ledger", io=True)
        for _ in range(4):
            puppet.does("all_work()")
            sample = sampler.sample()
        kept = len(open_descriptors() - before)
        assert kept > 20 or sampler._forest._engine.name != "native"
        if close:
            sampler.close()
        else:
            del sampler
            gc.collect()
        assert open_descriptors() == before and len(sample.members) == 21


# ---- who refuses, and where pids mean something else ----


@needs_root
def test_members_of_another_user(puppet: Program) -> None:
    (own,) = puppet.does(
        "def become():\n"
        "    os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)\n"
        "    libc.prctl(4, 1); tells(child()); stay()\n"
        "one = child(become); told(); say(one)"
    )

    def check() -> None:
        become_nobody()
        clock = Time()
        with prock.TreeSampler(puppet.pid, accounting="ledger", io=True, pss=True, clock=clock) as sampler:
            for _ in range(5):
                clock.passes(1)
                sample = sampler.sample()
        assert [row.refused for row in sample.members] == [("io",), (), ()] and sample.denied == 1
        assert sample.members[1].pid == own and sample.members[0].disk_io is None and sample.disk_io is not None
        assert sample.members[0].rss_bytes and sample.members[0].pss_bytes is None and sample.members[1].pss_bytes

    in_child(check)


@needs_root
@on_linux_engines
@pytest.mark.parametrize("hidepid", [1, 2])
def test_hidepid(puppet: Program, engine: Engine, tmp_path: Path, hidepid: int) -> None:
    (pid,) = puppet.does("one = child(); say(one)")
    tmp_path.chmod(0o755)
    for parent in list(tmp_path.parents)[:2]:
        parent.chmod(0o755)

    def check() -> None:
        unshare(CLONE_NEWNS)
        mount_proc(str(tmp_path), f"hidepid={hidepid}")
        become_nobody()
        with pytest.raises(prock.AccessDenied):
            prock.TreeSampler(pid, engine=open_engine(engine.name, str(tmp_path)))

    in_child(check)


@needs_root
@on_linux_engines
def test_one_that_is_hidden_and_then_tells(puppet: Program, engine: Engine, tmp_path: Path) -> None:
    """It is no other, and what it had used before is taken off once."""
    (root, pid, younger) = puppet.does("""
def becomes():
    def drop(*_): os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534); libc.prctl(4, 1); tells(1)
    signal.signal(signal.SIGUSR1, drop)
    def work(*_): burn(time.process_time() + 0.05); tells(1)
    signal.signal(signal.SIGUSR2, work)
    burn(0.1)
    tells(os.getpid())
    while True: signal.pause()
def be_root():
    one = child(becomes)
    os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534); libc.prctl(4, 1)
    time.sleep(0.03)
    tells(os.getpid())
    tells(child())
    stay()
child(be_root)
say(*sorted(told(3)))""")
    tmp_path.chmod(0o755)
    for parent in list(tmp_path.parents)[:2]:
        parent.chmod(0o755)
    (behind, before), (told, done) = os.pipe(), os.pipe()

    def check() -> None:
        unshare(CLONE_NEWNS)
        mount_proc(str(tmp_path), "hidepid=2")
        become_nobody()
        with prock.TreeSampler(root, accounting="ledger", engine=open_engine(engine.name, str(tmp_path))) as sampler:
            assert [row.refused for row in sampler.sample().members] == [(), ("stat", "children"), ()]
            for _ in range(2):
                os.write(done, b"x")
                os.read(behind, 1)
                in_child(bool)  # where no pid was given away only time makes it read again
                sample = sampler.sample()
            assert set(members(sample)) == {root, pid, younger} and sample.denied == 0 and sample.appeared == 0
            assert 50 * MS <= sample.cpu_ns < 90 * MS and sample.unseen_cpu_ns == 0

    def act() -> None:
        for number in (signal.SIGUSR1, signal.SIGUSR2):
            os.read(told, 1)
            os.kill(pid, number)
            puppet.does("say(told()[0])")
            os.write(before, b"x")

    thread = threading.Thread(target=act)
    thread.start()
    try:
        in_child(check)
    finally:
        os.write(done, b"xx")
        thread.join()


@needs_root
def test_a_pid_that_is_given_away_again(engine: Engine, tmp_path: Path, knows: Knows) -> None:
    """In a PID namespace of its own, where the next pid can be said."""

    (behind, before), (told, done), (never, _) = os.pipe(), os.pipe(), os.pipe()

    def check() -> None:
        unshare(CLONE_NEWPID | CLONE_NEWNS)
        in_child(inside)

    def fork(pid: int | None = None) -> int:
        if pid is not None:
            Path("/proc/sys/kernel/ns_last_pid").write_text(str(pid - 1))
        born = os.fork()
        if born == 0:
            while True:
                os.read(behind, 1)
                for _ in range(10**5):
                    pass
                os.write(done, b"x")
        return born

    def inside() -> None:
        root_of_proc = str(tmp_path) if knows.files else "/proc"  # psutil knows no other place; this is hidden by it
        mount_proc(root_of_proc, "")
        with using(open_engine(engine.name, root_of_proc)) as inner:
            assert inner.clocks_usable is knows.without_files
            root = os.fork()
            if root == 0:
                os.write(done, b"%3d" % fork(100))
                os.wait()
                os.write(done, b"w")
                os.read(never, 1)
            member = int(os.read(told, 3))
            with prock.TreeSampler(root, accounting="ledger") as sampler:
                seen = sampler.sample()
                assert set(members(seen)) == {root, member}
                os.kill(member, 9)
                os.read(told, 1)
                start = members(seen)[member].start_ticks
                while time.clock_gettime(time.CLOCK_BOOTTIME) * 100 < start + 2:  # or it would be as old
                    pass
                stranger = fork(member)
                other = fork()
                os.write(before, b"xx")
                os.read(told, 1), os.read(told, 1)
                sample = sampler.sample()
                assert stranger == member and set(members(sample)) == {root} and sample.ended == 1
                assert sample.ended_cpu_ns >= 0 and sampler.sample().process_count == 1
            for pid in (stranger, other, root):
                os.kill(pid, 9)
                os.waitpid(pid, 0)

    in_child(check)
    for pipe in (behind, before, told, done, never, _):
        os.close(pipe)


@needs_root
@on_linux_engines
def test_another_namespaces_proc(puppet: Program, engine: Engine) -> None:
    """Our pids are not proc's there: CPU time is counted in ticks."""
    (pid,) = puppet.does("one = child(lambda: (burn(0.1), work_when_signalled())); told(); say(one)")

    def inside() -> None:
        assert not prock.engine.active.clocks_usable
        with prock.TreeSampler(puppet.pid, accounting="ledger", io=True) as sampler:
            first = sampler.sample()
            assert set(members(first)) == {puppet.pid, pid} and first.cpu_ns == 0
            assert members(first)[pid].cpu_ns % (10 * MS) == 0 and 70 * MS <= members(first)[pid].cpu_ns <= 130 * MS
            assert members(first)[pid].rss_bytes and members(first)[pid].disk_io
            puppet.does(f"os.kill({pid}, signal.SIGUSR1); told(); child()")
            second = sampler.sample()
            assert second.process_count == 3 and 20 * MS <= second.cpu_ns <= 90 * MS
            puppet.does(f"os.kill({pid}, 9); os.waitpid({pid}, 0)")
            assert sampler.sample().process_count == 2 and sampler.sample().cpu_ns >= second.cpu_ns

    def check() -> None:
        unshare(CLONE_NEWPID)
        in_child(inside)

    in_child(check)


@on_linux_engines
def test_a_fake_proc(engine: Engine, tmp_path: Path) -> None:
    fake_process(tmp_path, 7, children=b"8 9 ", utime=5, starttime=100, vsize=4096, rss=1)
    fake_process(tmp_path, 8, ppid=7, utime=3, starttime=200)
    fake_process(tmp_path, 9, ppid=7, stat=b"nonsense", starttime=200)
    with prock.TreeSampler(7, accounting="ledger", io=True, engine=open_engine(engine.name, str(tmp_path))) as sampler:
        assert sampler.sample().cpu_ns == 0
        (tmp_path / "8/stat").write_bytes(stat_line(8, ppid=7, utime=9, starttime=200, state=b"R"))
        sample = sampler.sample()
    rows = members(sample)
    assert sample.cpu_ns == 60 * MS and rows[8].cpu_ns == 90 * MS and rows[8].state == "R"
    assert rows[9].refused == ("stat",) and sample.denied == 1 and rows[9].rss_bytes is None

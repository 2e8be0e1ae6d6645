"""One real process: every question, held against psutil, the os module and what the process says of itself."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from support.engines import on_linux_engines
from support.processes import Spawn

import prock

if TYPE_CHECKING:
    from support.engines import Knows

    from prock.engine.protocol import Engine

pytestmark = pytest.mark.usefixtures("engine")

Ask = Callable[[Any], object]
QUESTIONS: list[Ask] = [
    prock.get_cpu_time,
    prock.get_cpu_time_with_children,
    prock.get_memory,
    prock.get_memory_virtual,
    prock.get_disk_io,
    prock.get_all_stats,
    prock.get_ppid,
    prock.get_start_time,
    prock.get_tty,
    prock.get_process_comm,
    prock.get_process_path,
    prock.get_process_environ,
    prock.get_process_cmdline,
    prock.get_liveness_info,
    prock.get_children,
    prock.collect_tree_pids,
    prock.snapshot_process,
    prock.snapshot_tree,
    prock.snapshot_tree_from_scan,
]


@pytest.mark.parametrize("ask", QUESTIONS, ids=lambda ask: str(ask.__name__))
def test_gone_is_none(ask: Ask, dead_pid: int) -> None:
    assert ask(dead_pid) is None


@pytest.mark.parametrize("ask", QUESTIONS, ids=lambda ask: str(ask.__name__))
def test_what_cannot_be_a_pid_is_said(ask: Ask) -> None:
    for pid in (0, -1, 2**31, 2**70):
        with pytest.raises(ValueError, match=f"^{pid} can't be a pid"):
            ask(pid)
    for other in ("1", 1.0, b"1"):
        with pytest.raises(TypeError, match="a pid is an int or None, not"):
            ask(other)


@pytest.mark.parametrize("ask", QUESTIONS, ids=lambda ask: str(ask.__name__))
def test_the_id_of_a_thread_is_no_process(ask: Ask, spawn: Spawn) -> None:
    if ask is prock.snapshot_tree_from_scan:
        pytest.skip("a scan lists no threads")
    program = spawn("threading.Thread(target=wait).start(); say(*os.listdir('/proc/self/task'))")
    (tid,) = set(program.pids()) - {program.pid}
    assert ask(tid) is None
    assert prock.get_ppid(program.pid) == os.getpid()


def test_none_is_the_calling_process(engine: Engine) -> None:
    stats = prock.snapshot_process(io=True)
    assert stats is not None and stats.info is not None and stats.refused == ()
    assert (stats.pid, stats.ppid) == (os.getpid(), os.getppid())
    assert stats.info.session == os.getsid(0) and stats.info.pgrp == os.getpgid(0)
    assert prock.get_ppid() == os.getppid()
    assert prock.get_process_path() == os.readlink("/proc/self/exe")
    assert prock.get_children() == prock.get_children(os.getpid())


@on_linux_engines
def test_cpu_time_is_the_kernels_own_to_the_nanosecond(spawn: Spawn) -> None:
    program = spawn("burn(0.3); say(1); wait()")
    program.rests()
    first, second = prock.get_cpu_time(program.pid), prock.get_cpu_time(program.pid)
    assert first is not None and first == second  # it sleeps: its clock stands still
    assert first.total_ns % 10_000_000 != 0
    assert first.total_ns >= 300_000_000
    ticked = psutil.Process(program.pid).cpu_times()
    assert 0 <= first.total_ns - (ticked.user + ticked.system) * 1e9 < 20_000_000
    with_children = prock.get_cpu_time_with_children(program.pid)
    assert with_children is not None and with_children.total_ns == first.total_ns


def test_cpu_time_of_a_process_that_sleeps(spawn: Spawn, knows: Knows) -> None:
    program = spawn("burn(0.3); say(time.process_time_ns()); wait()")
    used = int(program.rests()[0])
    first, second = prock.get_cpu_time(program.pid), prock.get_cpu_time(program.pid)
    assert first is not None and first == second and used - knows.cpu_lag_ns <= first.total_ns
    with_children = prock.get_cpu_time_with_children(program.pid)
    assert with_children is not None and with_children.total_ns == first.total_ns


def test_cpu_time_of_the_caller_is_between_two_readings_of_its_clock(knows: Knows) -> None:
    before = time.process_time_ns()
    spent = prock.get_cpu_time()
    assert spent is not None and before - knows.cpu_lag_ns <= spent.total_ns <= time.process_time_ns()


def test_children_that_were_waited_for(spawn: Spawn) -> None:
    program = spawn("""
pid = os.fork()
if pid == 0:
    burn(0.2); os._exit(0)
os.waitpid(pid, 0)
say(1); wait()""")
    program.rests()
    own, both = prock.get_cpu_time(program.pid), prock.get_cpu_time_with_children(program.pid)
    assert own is not None and both is not None
    assert (both - own).total_ns >= 200_000_000 - 20_000_000


def test_memory_as_psutil_says(spawn: Spawn) -> None:
    program = spawn("block = bytearray(50 << 20); say(1); wait()")
    program.rests()
    expected = psutil.Process(program.pid).memory_info()
    assert prock.get_memory(program.pid) == expected.rss > 50 << 20
    assert prock.get_memory_virtual(program.pid) == expected.vms
    stats = prock.snapshot_process(program.pid)
    assert stats is not None and stats.rss_bytes is not None
    assert abs(stats.rss_bytes - expected.rss) < 1 << 20  # stat's counter is the less exact of the two
    everything = prock.get_all_stats(program.pid)
    assert everything is not None and everything.memory_bytes == expected.rss
    assert everything.memory_virtual_bytes == expected.vms
    assert everything.cpu_time == prock.get_cpu_time(program.pid)
    assert everything.disk_io == prock.get_disk_io(program.pid)


def test_disk_io_holds_what_was_written_and_what_reaped_children_wrote(spawn: Spawn, tmp_path: Path) -> None:
    program = spawn(f"""
def write(name, size):
    with open({str(tmp_path)!r} + name, 'wb', buffering=0) as file: file.write(bytes(size))
write('/own', 1 << 20)
say(1)
sys.stdin.readline()
pid = os.fork()
if pid == 0: write('/child', 3 << 20); os._exit(0)
os.waitpid(pid, 0)
say(2); wait()""")
    program.rests()
    before = prock.get_disk_io(program.pid)
    program.tell()
    program.rests()
    after = prock.get_disk_io(program.pid)
    assert before is not None and after is not None
    assert before.write_chars is not None and before.write_chars >= 1 << 20 and before.write_count
    assert ((after - before).write_chars or 0) >= 3 << 20


def test_start_time_and_liveness(spawn: Spawn) -> None:
    program = spawn("say(1); wait()")
    program.rests()
    info = prock.get_liveness_info(program.pid)
    assert info is not None and info.is_alive and info.state == "S"
    assert (info.pid, info.ppid, info.session, info.pgrp) == (program.pid, os.getpid(), program.pid, program.pid)
    assert info.identity == (program.pid, info.start_ticks)
    assert abs(info.start_time - psutil.Process(program.pid).create_time()) < 1.1  # psutil's boot time is whole seconds
    assert info.start_time == pytest.approx(prock.get_start_time(program.pid), abs=0.011)
    assert time.time() - 60 < info.start_time < time.time()


def test_a_zombie_answers_with_its_last_figures_until_it_is_reaped(spawn: Spawn, knows: Knows) -> None:
    program = spawn("""
pid = os.fork()
if pid == 0: burn(0.1); os._exit(0)
os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
say(pid)
sys.stdin.readline()
os.waitpid(pid, 0)
say(1); wait()""")
    (zombie,) = program.pids()
    cpu, info = prock.get_cpu_time(zombie), prock.get_liveness_info(zombie)
    assert cpu is not None and cpu.total_ns >= 100_000_000 - knows.cpu_lag_ns
    assert info is not None and info.state == "Z" and not info.is_alive
    assert prock.get_memory(zombie) == 0 and prock.get_children(zombie) == []
    assert prock.get_process_path(zombie) is None and prock.get_process_environ(zombie) == {}
    assert prock.collect_tree_pids(program.pid) == [program.pid, zombie]
    program.tell()
    program.rests()
    assert prock.get_cpu_time(zombie) is None and prock.get_liveness_info(zombie) is None


def test_a_process_whose_main_thread_has_ended_is_alive(spawn: Spawn) -> None:
    program = spawn("""
def work():
    while open(f'/proc/self/task/{os.getpid()}/stat').read().rsplit(')')[1].split()[0] != 'Z': pass
    child = sleeper(); data = bytearray(os.urandom(30 << 20)); say(child); wait()
threading.Thread(target=work).start()
libc.syscall(60, 0)""")  # 60: exit of this thread alone, on x86-64
    (child,) = program.pids()
    info = prock.get_liveness_info(program.pid)
    assert info is not None and info.state == "Z" and info.is_alive
    assert prock.get_children(program.pid) == [child]
    tree = prock.snapshot_tree(program.pid)
    assert tree is not None and tree.pids == (program.pid, child)
    row = {row.pid: row for row in prock.scan_all_processes()}[program.pid]
    for memory in (prock.get_memory(program.pid), tree.rss_bytes, row.rss_bytes):
        assert memory is not None and memory > 30 << 20
    virtual = prock.get_memory_virtual(program.pid)
    assert virtual is not None and virtual == row.vsize_bytes > 30 << 20


NAMES = [b"a b", b") R 1", b"((", b"x\ny", b"\xff\xfe", "ü€😀".encode(), b"\x1b[31m", b"", b"123456789012345"]


@pytest.mark.parametrize("name", NAMES)
def test_names(spawn: Spawn, name: bytes) -> None:
    program = spawn(f"libc.prctl(15, {name!r}); say(1); wait()")
    program.rests()
    expected = name.decode("utf-8", "surrogateescape")
    info, row = prock.get_liveness_info(program.pid), {row.pid: row for row in prock.scan_all_processes()}[program.pid]
    assert prock.get_process_comm(program.pid) == expected
    assert info is not None and info.comm == row.comm == expected and info.ppid == os.getpid()


def test_exec_keeps_the_identity_and_changes_the_name(spawn: Spawn) -> None:
    program = spawn("say(1); sys.stdin.readline(); os.execlp('sleep', 'sleep', '100')")
    program.rests()
    before = prock.get_liveness_info(program.pid)
    program.tell()
    while prock.get_process_comm(program.pid) != "sleep":
        pass
    after = prock.get_liveness_info(program.pid)
    assert before is not None and after is not None and before.identity == after.identity
    path = prock.get_process_path(program.pid)
    assert path is not None and os.path.samefile(path, f"/proc/{program.pid}/exe")


def test_what_a_closed_terminal_leaves_behind_is_orphaned() -> None:
    def info(**changed: Any) -> prock.LivenessInfo:
        own = prock.get_liveness_info()
        assert own is not None
        return own._replace(**changed)

    orphan = info(ppid=1, tty=None)
    assert orphan.is_orphaned and not orphan.has_tty
    for other in (info(ppid=1, tty="pts/3"), info(ppid=2, tty=None)):
        assert not other.is_orphaned and other.has_tty == (other.ppid == 1)


def test_existence(spawn: Spawn, dead_pid: int) -> None:
    program = spawn("""
pid = os.fork()
if pid == 0: os._exit(0)
os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
say(pid, *os.listdir('/proc/self/task')); wait()""")
    (zombie, *_) = program.pids()
    assert all(map(prock.process_exists, (None, 1, os.getpid(), program.pid, zombie)))
    assert not prock.process_exists(dead_pid) and not prock.process_exists(2**31 - 1)
    with pytest.raises(ValueError, match="can't be a pid"):
        prock.process_exists(0)


def test_environ(spawn: Spawn) -> None:
    odd = {"PLAIN": "1", "EQUALS": "a=b", "EMPTY": "", "LINES": "a\nb"}
    program = spawn("say(1); wait()", env=os.environ | odd)
    program.rests()
    environment = prock.get_process_environ(program.pid)
    assert environment is not None and {name: environment[name] for name in odd} == odd


ARGUMENTS = ["sleep", "100", "", "a b", "line\nbreak", "\udcff\udcfe"]


def test_cmdline(spawn: Spawn) -> None:
    arguments = ["sh", "-c", "echo; read line", "sh", *ARGUMENTS]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as popen:
        assert popen.stdout is not None and popen.stdout.readline() == b"\n"
        assert prock.get_process_cmdline(popen.pid) == tuple(arguments)
        popen.communicate(b"\n")
    own = prock.get_process_cmdline()
    assert own is not None and own[0] == psutil.Process().cmdline()[0] and own == prock.get_process_cmdline(os.getpid())


def test_the_title_that_a_process_has_set_is_its_cmdline(spawn: Spawn) -> None:
    program = spawn("""
with open("/proc/self/stat") as file: field = file.read().rpartition(")")[2].split()
start, end = int(field[45]), int(field[46])  # arg_start, arg_end
ctypes.memset(start, 0, end - start)
ctypes.memmove(start, b"a title", 7)
say(1); wait()""")
    program.rests()
    assert prock.get_process_cmdline(program.pid) == ("a title",)


def test_zombies_and_kernel_threads_have_no_cmdline(spawn: Spawn) -> None:
    program = spawn("""
pid = os.fork()
if pid == 0: os._exit(0)
os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
say(pid); wait()""")
    (zombie,) = program.pids()
    kernel_threads = [row.pid for row in prock.scan_all_processes() if row.ppid == 2 and not row.vsize_bytes]
    for pid in (zombie, *kernel_threads):
        assert prock.get_process_cmdline(pid) is None and prock.get_liveness_info(pid) is not None


def test_tty_of_a_process_on_a_terminal() -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.write(1, b"ready")
        signal.pause()
        os._exit(0)
    try:
        os.read(terminal, 5)
        assert prock.get_tty(pid) == os.readlink(f"/proc/{pid}/fd/0").removeprefix("/dev/")
        info = prock.get_liveness_info(pid)
        assert info is not None and info.tty == prock.get_tty(pid)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)


def test_no_tty(spawn: Spawn) -> None:
    program = spawn("say(1); wait()")
    program.rests()
    assert prock.get_tty(program.pid) is None


def test_a_scan_lists_what_list_all_pids_and_psutil_list(spawn: Spawn) -> None:
    program = spawn("say(1); wait()")
    program.rests()
    scan = prock.scan_all_processes()
    pids = [row.pid for row in scan]
    assert pids == sorted(pids) and scan.denied == 0
    for present in (1, os.getpid(), program.pid):
        assert present in pids and present in prock.list_all_pids() and present in psutil.pids()
    row = scan[pids.index(program.pid)]
    assert row.thread_count == 1 and row.ppid == os.getpid()
    spent = prock.get_cpu_time(program.pid)
    assert spent is not None and row.cpu_time.total_ns == spent.total_ns


def test_a_kernel_thread_answers() -> None:
    kernel_threads = [row for row in prock.scan_all_processes() if row.ppid == 2]
    if not kernel_threads:
        pytest.skip("no kernel threads are visible in this PID namespace")
    for row in kernel_threads:
        assert row.rss_bytes == 0 and prock.get_process_path(row.pid) is None
        assert prock.get_cpu_time(row.pid) is not None

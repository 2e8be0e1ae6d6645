"""Records by eBPF: every process that ends, with its arguments, costs and ending. As root, where it is allowed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import prock

if sys.platform != "linux":
    pytest.skip("eBPF needs Linux", allow_module_level=True)

from support.bpf import needs_bpf

from prock import engine
from prock.engine.bpf.records import EndedProcess, ProcessRecords
from prock.model import ProcessInfo

pytestmark = needs_bpf
DEADLINE_S = 20


@pytest.fixture
def everything() -> Iterator[ProcessRecords]:
    with ProcessRecords(everything=True) as records:
        yield records


def row_of(pid: int) -> ProcessInfo:
    row = engine.active.info(pid)
    assert row is not None
    return row


def records_of(records: ProcessRecords, pids: set[int]) -> dict[int, EndedProcess]:
    """Of these processes, once they have all been freed."""
    found: dict[int, EndedProcess] = {}
    deadline = time.monotonic() + DEADLINE_S
    while not pids <= set(found) and time.monotonic() < deadline:
        records.wait(0.02)
        found.update((ended.pid, ended) for ended in records.read() if ended.pid in pids)
    return found


def test_arguments_costs_and_exit_code(everything: ProcessRecords, tmp_path: Path) -> None:
    program = (
        "import os, sys, time\n"
        "end = time.process_time() + 0.1\n"
        "while time.process_time() < end: pass\n"
        "held = b'x' * 100_000_000\n"
        "open(sys.argv[1], 'wb').write(b'y' * 1_000_000)\n"
        "os._exit(7)\n"
    )
    command = [sys.executable, "-S", "-c", program, str(tmp_path / "file")]
    popen = subprocess.Popen(command)
    _, status, usage = os.wait4(popen.pid, 0)
    popen.returncode = os.waitstatus_to_exitcode(status)
    ended = records_of(everything, {popen.pid})[popen.pid]
    assert (ended.cmdline, ended.ppid, ended.exit_code, ended.signal) == (tuple(command), os.getpid(), 7, None)
    waited_ns = round((usage.ru_utime + usage.ru_stime) * 1e9)
    assert ended.cpu_ns is not None and 100_000_000 <= waited_ns <= ended.cpu_ns <= waited_ns + 50_000_000
    assert ended.user_ns is not None and ended.user_ns + (ended.system_ns or 0) == ended.cpu_ns
    assert ended.peak_rss_bytes is not None and 100_000_000 <= ended.peak_rss_bytes <= usage.ru_maxrss * 1024
    assert ended.disk_io is not None and 1_000_000 <= (ended.disk_io.write_chars or 0) < 1_100_000
    assert ended.minor_faults == usage.ru_minflt
    assert ended.wall_ns >= 100_000_000 and ended.reaped and ended.uid == os.getuid()


def test_a_signal(everything: ProcessRecords) -> None:
    popen = subprocess.Popen(["sleep", "1000"])
    popen.kill()
    popen.wait()
    ended = records_of(everything, {popen.pid})[popen.pid]
    assert (ended.exit_code, ended.signal) == (None, signal.SIGKILL)


def test_a_fork_without_exec_has_the_arguments_of_its_parent(everything: ProcessRecords) -> None:
    command = ["sh", "-c", "(:) & echo $!; wait"]
    done = subprocess.run(command, capture_output=True, check=True)
    child = int(done.stdout)
    assert records_of(everything, {child})[child].cmdline == tuple(command)


def test_the_io_of_children_is_not_that_of_their_parent(everything: ProcessRecords, tmp_path: Path) -> None:
    """`/proc/PID/io` of the parent has it."""
    file = tmp_path / "file"
    script = f"echo $$; head -c 5000000 /dev/zero >{file}; :"
    parent = int(subprocess.run(["sh", "-c", script], capture_output=True, check=True).stdout)
    ended = records_of(everything, {parent})[parent]
    assert ended.disk_io is not None and 0 < (ended.disk_io.write_chars or 0) < 1000


def test_the_io_and_cpu_of_all_threads(everything: ProcessRecords, tmp_path: Path) -> None:
    program = (
        "import sys, threading, time\n"
        "def work(number):\n"
        "    end = time.thread_time() + 0.05\n"
        "    while time.thread_time() < end: pass\n"
        "    open(f'{sys.argv[1]}/{number}', 'wb').write(bytes(1_000_000))\n"
        "for thread in [threading.Thread(target=work, args=(number,)) for number in range(4)]: thread.start()\n"
    )
    popen = subprocess.Popen([sys.executable, "-S", "-c", program, tmp_path])
    popen.wait()
    ended = records_of(everything, {popen.pid})[popen.pid]
    assert ended.disk_io is not None and 4_000_000 <= (ended.disk_io.write_chars or 0) < 4_100_000
    assert ended.cpu_ns is not None and ended.cpu_ns >= 200_000_000


def test_the_environment_behind_the_arguments_is_not_read(everything: ProcessRecords) -> None:
    long = "a" * 10_000
    environment = {"PATH": os.environ["PATH"], "PROCK_TEST_SECRET": "hunter2"}
    plain = subprocess.Popen(["true", "x"], env=environment)
    cut = subprocess.Popen(["true", long], env=environment)
    plain.wait()
    cut.wait()
    found = records_of(everything, {plain.pid, cut.pid})
    assert found[plain.pid].cmdline == ("true", "x")
    assert found[cut.pid].cmdline == ("true", "a" * (4096 - len("true\0")))


def test_a_zombie_is_reported_with_the_cpu_time_of_its_clock(everything: ProcessRecords) -> None:
    popen = subprocess.Popen(["true"])
    os.waitid(os.P_PID, popen.pid, os.WEXITED | os.WNOWAIT)
    deadline = time.monotonic() + DEADLINE_S
    found: list[EndedProcess] = []
    while not found and time.monotonic() < deadline:
        found = [ended for ended in everything.read(unreaped_ns=0) if ended.pid == popen.pid]
    clock = prock.get_cpu_time(popen.pid)
    assert clock is not None and [(ended.reaped, ended.cpu_ns) for ended in found] == [(False, clock.total_ns)]
    popen.wait()
    later = subprocess.Popen(["true"])
    later.wait()
    assert set(records_of(everything, {later.pid})) == {later.pid}  # not a second time


def test_members_and_all_that_they_start_and_nothing_else() -> None:
    script = "read line; sh -c '/bin/true a; /bin/true b; :'; (/bin/true c &); :"
    parent = subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE)
    with ProcessRecords(everything=False) as records:
        assert records.add(row_of(parent.pid), ("sh", "-c", script), 5)
        subprocess.run(["/bin/true", "foreign"], check=True)
        parent.communicate(b"\n")
        found: list[EndedProcess] = []
        deadline = time.monotonic() + DEADLINE_S
        while len(found) < 6 and time.monotonic() < deadline:
            records.wait(0.02)
            found += records.read()
        assert {ended.tree for ended in found} == {5} and not records.running
        assert {ended.cmdline for ended in found if ended.comm == "true"} == {("/bin/true", name) for name in "abc"}
        assert [ended.cmdline for ended in found if ended.pid == parent.pid] == [("sh", "-c", script)]


def test_an_ended_process_is_no_member() -> None:
    popen = subprocess.Popen(["true"])
    row = row_of(popen.pid)
    popen.wait()
    with ProcessRecords(everything=False) as records:
        assert not records.add(row, None, 1) and not records.running


def test_every_process_of_a_storm() -> None:
    script = "for i in $(seq 500); do /bin/true $i; done"
    with ProcessRecords(everything=True) as records:
        subprocess.run(["sh", "-c", script], check=True)
        wanted = {("/bin/true", str(number)) for number in range(1, 501)}
        found: list[tuple[str, ...] | None] = []
        deadline = time.monotonic() + DEADLINE_S
        while not wanted <= set(found) and time.monotonic() < deadline:
            records.wait(0.02)
            found += [ended.cmdline for ended in records.read()]
        assert records.losses() == (0, 0)
    assert wanted <= set(found)
    assert sum(args in wanted for args in found) == 500


def test_lost_events_are_counted() -> None:
    with ProcessRecords(everything=True, ring_bytes=4096) as records:
        for _ in range(50):
            subprocess.run(["true", "x" * 1000], check=True)
        lost, _ = records.losses()
        assert lost > 0
        records.read()


def test_a_full_map_is_counted() -> None:
    parent = subprocess.Popen(["sh", "-c", "read line; true & true & wait; :"], stdin=subprocess.PIPE)
    row = row_of(parent.pid)
    with ProcessRecords(everything=False, most_members=1) as records:
        assert records.add(row, None, 1)
        parent.communicate(b"\n")
        assert records.losses()[1] == 2

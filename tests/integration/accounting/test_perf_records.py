"""Trees that are launched, by the kernel's records: every process, whoever waits for it and however short its life."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.elsewhere import become_nobody, in_child, needs_root
from support.engines import COMPILED, core
from support.launching import launch_with_events, launched, why_refused
from support.processes import WORKER

import prock
from prock.accounting import perf_clock as events
from prock.accounting import perf_records as module
from prock.accounting.open_sources import CpuSources
from prock.accounting.perf_clock import online_cpus
from prock.accounting.perf_records import TaskRecords
from prock.engine import open_engine

if TYPE_CHECKING:
    from prock.engine.protocol import Engine

REFUSED = why_refused(open_engine())
pytestmark = pytest.mark.skipif(REFUSED is not None, reason=f"no records of perf events here: {REFUSED}")

SHELL = "/bin/sh"
TRUE = shutil.which("true") or "/bin/true"
PYTHON = [WORKER, "-S", "-c"]


@pytest.fixture(params=COMPILED)
def engine_name(request: pytest.FixtureRequest) -> str:
    """Only the C core opens perf events."""
    return str(request.param)


def copy_of_true(directory: Path, name: bytes) -> bytes:
    path = bytes(directory) + b"/" + name
    shutil.copy(os.fsencode(TRUE), path)
    os.chmod(path, 0o755)
    return path


def test_a_storm_on_all_cpus_is_counted_to_the_last_process(engine: Engine) -> None:
    program = (
        "import os\n"
        "for _ in range(4):\n"
        "    if os.fork() == 0:\n"
        "        for _ in range(100):\n"
        "            pid = os.fork()\n"
        "            if pid == 0: os._exit(0)\n"
        "            os.waitpid(pid, 0)\n"
        "        os._exit(0)\n"
        "for _ in range(4): os.wait()"
    )
    with launched(engine, *PYTHON, program) as tree:
        records = tree.finish()
        assert (records.started, records.threads_started, records.lost) == (405, 0, 0)
        assert 3 <= records.peak_process_count <= 9
        assert records.living() == [] and len(records.ended()) == 405
        assert {ppid for _, ppid, *_ in records.ended()} >= {0, tree.pid}
        (command,) = records.commands()
        processes, cpu_ns = records.commands()[command]
        assert processes == 405 and cpu_ns is not None
        assert cpu_ns == sum(process[3] or 0 for process in records.ended())
        # The event counts from a little before who runs is recorded to a little after: some microseconds each time.
        assert 0.8 * records.total_ns() < cpu_ns <= 1.05 * records.total_ns()


def test_nobody_need_wait(engine: Engine) -> None:
    program = (
        "import os, signal\n"
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        "for _ in range(50):\n"
        "    if os.fork() == 0: os._exit(0)\n"
        "try: os.wait()\n"
        "except ChildProcessError: pass"
    )
    with launched(engine, *PYTHON, program) as tree:
        records = tree.finish()
        assert (records.started, records.living(), records.lost) == (51, [], 0)


def test_orphans_stay_members(engine: Engine) -> None:
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    program = (
        "import os, sys\n"
        "for _ in range(10):\n"
        "    pid = os.fork()\n"
        "    if pid == 0:\n"
        "        if os.fork(): os._exit(0)\n"
        f"        os.read(0, 1); os.write({writer}, b'x'); os._exit(0)\n"
        "    os.waitpid(pid, 0)"
    )
    held, stdin = os.pipe()
    with launched(engine, *PYTHON, program, stdin=held) as tree:
        os.close(writer)
        records = tree.finish()
        assert records.started == 21 and records.peak_process_count >= 11
        assert len(records.living()) == 10 and records.commands().popitem()[1][0] == 11
        os.write(stdin, b"x" * 10)
        while os.read(reader, 100):  # until the last has closed it, by its exit
            pass
        while records.living():  # files are closed, then the events end
            records.drain()
        assert records.commands().popitem()[1][0] == 21
    for descriptor in (reader, held, stdin):
        os.close(descriptor)


def test_threads_are_no_processes(engine: Engine) -> None:
    program = (
        "import threading\n"
        "barrier = threading.Barrier(9)\n"
        "threads = [threading.Thread(target=barrier.wait) for _ in range(8)]\n"
        "for thread in threads: thread.start()\n"
        "barrier.wait()\n"
        "for thread in threads: thread.join()"
    )
    with launched(engine, *PYTHON, program) as tree:
        records = tree.finish()
        assert (records.started, records.threads_started) == (1, 8)
        assert (records.peak_process_count, records.peak_thread_count, records.living()) == (1, 9, [])


def test_an_exec_by_another_than_the_first_thread(engine: Engine) -> None:
    program = (
        "import os, threading, time\n"
        "threading.Thread(target=time.sleep, args=(100,), daemon=True).start()\n"
        f"threading.Thread(target=os.execv, args=({TRUE!r}, ['true'])).start()\n"
        "time.sleep(100)"
    )
    with launched(engine, *PYTHON, program) as tree:
        records = tree.finish()
        assert (records.started, records.threads_started, records.peak_thread_count) == (1, 2, 3)
        assert records.living() == [] and len(records.ended()) == 1
        assert records.commands()["true"][0] == 1


def test_a_process_that_outlives_its_first_thread(engine: Engine) -> None:
    program = (
        "import ctypes, threading, time\n"
        "main = threading.current_thread()\n"
        "threading.Thread(target=time.sleep, args=(0.05,)).start()\n"
        "ctypes.CDLL(None).pthread_exit(None)"
    )
    with launched(engine, *PYTHON, program) as tree:
        records = tree.finish()
        assert (records.started, records.peak_thread_count, records.living()) == (1, 2, [])


def test_time_before_an_exec_goes_to_the_name_before(engine: Engine) -> None:
    script = f"i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done; exec {TRUE}"
    with launched(engine, SHELL, "-c", script) as tree:
        records = tree.finish()
        (shell, (processes, shell_ns)), (true, (_, true_ns)) = sorted(
            records.commands().items(), key=lambda item: item[1][0]
        )
        assert true == "true" and shell != "true" and processes == 0
        assert shell_ns is not None and true_ns is not None and shell_ns > true_ns > 0
        assert records.ended()[0][:3] == (tree.pid, 0, "true") and records.ended()[0][3] == shell_ns + true_ns
        assert records.started == 1


@pytest.mark.parametrize("name", [b"a) b (c", b"new\nline", b"\xff\xfe", "ÜÄÖ".encode(), b"0123456789abcdefgh"])
def test_names_of_any_bytes(engine: Engine, name: bytes, tmp_path: Path) -> None:
    with launched(engine, copy_of_true(tmp_path, name)) as tree:
        records = tree.finish()
        assert [os.fsencode(comm) for comm in records.commands()] == [name[:15]]


def test_a_rename_is_the_processes_name_where_its_first_thread_has_it(engine: Engine) -> None:
    program = (
        "import ctypes, os, threading\n"
        "def rename(name): ctypes.CDLL(None).prctl(15, name)\n"
        "def fork():\n"
        "    rename(b'worker')\n"
        "    pid = os.fork()\n"
        "    if pid == 0: os._exit(0)\n"
        "    os.waitpid(pid, 0)\n"
        "rename(b'first')\n"
        "thread = threading.Thread(target=fork)\n"
        "thread.start()\n"
        "thread.join()"
    )
    with launched(engine, *PYTHON, program) as tree:
        commands = tree.finish().commands()
        assert {name: commands[name][0] for name in commands} == {"first": 1, "worker": 1}


def test_what_a_process_used_is_unknown_where_nothing_tells(engine: Engine) -> None:
    with launched(engine, SHELL, "-c", f"{TRUE}; {TRUE}; exit", switches=False) as tree:
        records = tree.finish()
        assert records.commands()["true"] == (2, None) and not records.has_switches
        assert {process[3] for process in records.ended()} == {None}
        assert records.total_ns() > 0


def test_too_many_switches_end_their_recording(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_SWITCHES_PER_S", 0)
    with launched(engine, SHELL, "-c", f"{TRUE}; {TRUE}; exit") as tree:
        records = tree.finish()
        assert not records.has_switches and records.started == 3 and records.lost == 0


def test_what_finds_no_room_is_told(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SIZES", (os.sysconf("SC_PAGESIZE"),))
    program = (
        "import os\nfor _ in range(400):\n    pid = os.fork()\n    if pid == 0: os._exit(0)\n    os.waitpid(pid, 0)"
    )
    with launched(engine, *PYTHON, program) as tree:
        os.waitid(os.P_PID, tree.pid, os.WEXITED | os.WNOWAIT)  # without looking meanwhile
        records = tree.finish()
        assert 0 < records.started < 401 and not records.has_switches
        assert records.lost > 0 and records.peak_process_count <= 2
        assert records.total_ns() > 0


@needs_root
def test_an_ordinary_user_has_them_too(engine: Engine) -> None:
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        launcher = shutil.copy(str(engine.launcher), directory)

        def as_nobody() -> tuple[int, int, dict[str, tuple[int, int | None]]]:
            become_nobody()
            with launched(engine, SHELL, "-c", f"{TRUE}; {TRUE}; exit", launcher=launcher) as tree:
                records = tree.finish()
                return records.started, records.lost, records.commands()

        why_refused(engine)  # and import what a nobody may not read
        started, lost, commands = in_child(as_nobody)
    assert (started, lost, commands["true"][0]) == (3, 0, 2)
    assert commands["true"][1]


def test_one_event_for_any_cpu_has_the_total_alone(engine: Engine) -> None:
    opened: list[int] = []

    def record(events: list[int]) -> None:
        opened.extend(events)
        with pytest.raises(OSError, match="perf events"):
            TaskRecords(events, engine)
        assert os.fstat(*events)  # still ours

    os.waitpid(launch_with_events(engine, "any", (TRUE,), record), 0)
    assert core().read_task_clocks(opened) > 0
    os.close(*opened)


def test_closed_they_keep_what_was_counted(engine: Engine) -> None:
    with launched(engine, TRUE) as tree:
        records = tree.finish()
        before = set(os.listdir("/proc/self/fd"))
        records.close()
        records.close()
        assert len(before - set(os.listdir("/proc/self/fd"))) >= len(online_cpus())
        assert (records.started, records.lost, records.commands()["true"][0]) == (1, 0, 1)
        with pytest.raises(ValueError, match="closed"):
            records.drain()
        with pytest.raises(ValueError, match="closed"):
            records.total_ns()


def test_a_forked_child_has_no_part_in_them(engine: Engine) -> None:
    with launched(engine, TRUE) as tree:

        def asks() -> str:
            with pytest.raises(ValueError, match="forked"):
                tree.records.drain()
            return "refused"

        assert in_child(asks) == "refused"
        assert tree.finish().started == 1


def test_the_limit_of_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(online_cpus()) == os.sysconf("SC_NPROCESSORS_ONLN")
    monkeypatch.setattr(events, "MOST_CPUS", 0)
    sources = CpuSources(prock.engine.active, "auto")
    assert sources.choose_events() == ("any", False)

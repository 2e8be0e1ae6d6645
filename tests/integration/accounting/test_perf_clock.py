"""Trees followed by perf events, held against the account that a cgroup keeps of them."""

from __future__ import annotations

import gc
import os
import resource
import select
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.accounts import CpuReference, open_account, stolen_ns
from support.elsewhere import become_nobody, in_child, needs_root
from support.engines import COMPILED, core
from support.processes import PRELUDE, Program, Spawn

import prock
from prock.accounting.perf_attach import TaskClocks
from prock.engine import open_engine
from prock.errors import OutOfDescriptors

if TYPE_CHECKING:
    from prock.engine.protocol import Engine

LIMIT = 500
TICK_NS = 10_000_000
"""A running thread is in a cgroup's account as of the last tick only, and the account of what is stolen is in ticks."""


@pytest.fixture(params=COMPILED)
def engine_name(request: pytest.FixtureRequest) -> str:
    """Only the C core opens perf events."""
    return str(request.param)


def why_refused() -> str | None:
    try:
        compiled = open_engine().core
        event = None if compiled is None else compiled.open_task_clock(None)
    except OSError as error:
        return str(error)
    if event is None:
        return "the C core was not compiled"
    os.close(event)
    return None


REFUSED = why_refused()
pytestmark = pytest.mark.skipif(REFUSED is not None, reason=f"no perf events here: {REFUSED}")


@pytest.fixture
def account(tmp_path: Path, spawn: Spawn) -> Iterator[CpuReference]:
    with open_account(tmp_path / "log") as account:
        yield account
        spawn.end()


def open_descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def events() -> set[str]:
    """Their descriptors: of the whole process, and so of what earlier tests may have left to the garbage collector."""
    links = [Path("/proc/self/fd", str(name)) for name in open_descriptors()]
    return {link.name for link in links if link.is_symlink() and os.readlink(link) == "anon_inode:[perf_event]"}


FORK_STORM = """
for _ in range(100):
    pid = os.fork()
    if pid == 0: burn(0.01); ends()
    os.waitpid(pid, 0)
"""
NOBODY_WAITS = """
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for _ in range(100):
    if os.fork() == 0: burn(0.01); ends()
try: os.wait()
except ChildProcessError: pass
"""
ORPHANS = """
reader, writer = os.pipe()
for _ in range(70):
    pid = os.fork()
    if pid == 0:
        if os.fork(): os._exit(0)
        os.setsid(); burn(0.02); ends()
    os.waitpid(pid, 0)
os.close(writer); os.read(reader, 1)
"""
THREADS = """
def work():
    while time.thread_time() < 0.02: pass
threads = [threading.Thread(target=work) for _ in range(40)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
THREADS_THAT_FORK = """
def work():
    for _ in range(15):
        pid = os.fork()
        if pid == 0: burn(0.01); ends()
        os.waitpid(pid, 0)
threads = [threading.Thread(target=work) for _ in range(6)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
GENERATIONS = """
pids = []
for _ in range(6):
    pid = os.fork()
    if pid == 0:
        for _ in range(15):
            pid = os.fork()
            if pid == 0: burn(0.01); ends()
            os.waitpid(pid, 0)
        ends()
    pids.append(pid)
for pid in pids: os.waitpid(pid, 0)
"""
LARGE_AND_FORKING = """
ballast = bytearray(100_000_000)
for _ in range(3):
    pid = os.fork()
    if pid == 0: burn(0.2); ends()
    burn(time.process_time() + 0.02)
    os.waitpid(pid, 0)
"""
WORKLOADS = {
    "children": FORK_STORM,
    "nobody waits": NOBODY_WAITS,
    "orphans": ORPHANS,
    "threads": THREADS,
    "threads that fork": THREADS_THAT_FORK,
    "generations": GENERATIONS,
    "large and forking": LARGE_AND_FORKING,
}
each_workload = pytest.mark.parametrize("workload", WORKLOADS.values(), ids=WORKLOADS)


def begin(spawn: Spawn, account: CpuReference, workload: str) -> Program:
    """A program that begins with the workload when it is told to."""
    program = spawn(f"{account.join}\nsay(1); sys.stdin.readline()\nlog(); say(2)\n{workload}\nlog(); say(3); wait()")
    program.rests()
    return program


@each_workload
def test_a_tree_that_rests_when_it_is_attached_to(
    engine: Engine, spawn: Spawn, account: CpuReference, workload: str
) -> None:
    program = begin(spawn, account, workload)
    before, stolen = account.used_ns(), stolen_ns()
    with closing(TaskClocks([program.pid], engine, LIMIT)) as clocks:
        assert (clocks.descriptors, clocks.missed, clocks.total_ns()) == (1, 0, 0)
        program.tell()
        program.hears()
        program.rests()
        counted, truth = clocks.total_ns(), account.used_ns() - before
    assert counted >= 0.9 * truth - TICK_NS
    if account.exact:
        assert counted <= 1.005 * truth + TICK_NS + 3 * (stolen_ns() - stolen + TICK_NS)


@each_workload
def test_a_tree_that_runs_while_it_is_attached_to(
    engine: Engine, spawn: Spawn, account: CpuReference, workload: str
) -> None:
    """Held against an event that was there when the tree still rested: with the same clock, it has to be the same."""
    program = begin(spawn, account, workload)
    with closing(TaskClocks([program.pid], engine, LIMIT)) as witness:
        program.tell()
        program.hears()
        before = witness.total_ns()
        with closing(TaskClocks([program.pid], engine, LIMIT)) as clocks:
            attached = witness.total_ns()
            total = 0
            assert program.popen.stdout is not None
            while not select.select([program.popen.stdout], [], [], 0.01)[0]:
                now = clocks.total_ns()
                assert total <= now <= 1.005 * (witness.total_ns() - before)
                total = now
            program.rests()
            counted, truth = clocks.total_ns(), witness.total_ns()
            assert counted <= 1.005 * (truth - before)
            assert clocks.missed or counted >= 0.9 * (truth - attached) - TICK_NS


def test_every_thread_of_every_member_has_an_event(engine: Engine, spawn: Spawn) -> None:
    program = spawn("""
for _ in range(3): threading.Thread(target=signal.pause, daemon=True).start()
if os.fork() == 0:
    for _ in range(2): sleeper()
    say(1); signal.pause()
wait()""")
    program.rests()
    before = open_descriptors()
    with closing(TaskClocks([program.pid], engine, LIMIT)) as clocks:
        assert clocks.descriptors == 4 + 1 + 2 and clocks.missed == 0
        assert len(open_descriptors() - before) == 7
        assert clocks.total_ns() == 0
    assert clocks.descriptors == 0 and open_descriptors() == before
    clocks.close()


def test_what_existed_is_counted_too(engine: Engine, spawn: Spawn, account: CpuReference) -> None:
    """A worker, a thread and an orphan that were there before, and what they start."""
    program = spawn(f"""{account.join}
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
reader, writer = os.pipe()
def work():
    pid = os.fork()
    if pid == 0: burn(0.1); ends()
    while time.thread_time() < 0.1: pass
def thread(): os.read(reader, 1); work()
threading.Thread(target=thread).start()
if os.fork() == 0: os.read(reader, 1); work(); signal.pause()
say(1); sys.stdin.readline()
os.write(writer, b'12'); wait()""")
    program.rests()
    before, stolen = account.used_ns(), stolen_ns()
    with closing(TaskClocks([program.pid], engine, LIMIT)) as clocks:
        program.tell()
        total = 0
        while total < 360_000_000:
            total = clocks.total_ns()
        used = account.used_ns() - before
    assert not account.exact or total <= 1.005 * used + 5 * TICK_NS + 3 * (stolen_ns() - stolen + TICK_NS)


def test_a_leader_that_ended_before_its_threads(engine: Engine, spawn: Spawn) -> None:
    program = spawn("""
def work():
    sys.stdin.readline()
    while time.thread_time() < 0.1: pass
    say(2); signal.pause()
threading.Thread(target=work).start()
say(1)
libc.syscall(60 if os.uname().machine == 'x86_64' else 93, 0)  # exit of this thread only""")
    program.hears()
    while (info := prock.get_liveness_info(program.pid)) is None or info.state != "Z":
        pass
    with closing(TaskClocks([program.pid], engine, LIMIT)) as clocks:
        assert clocks.descriptors == 1
        program.tell()
        program.hears()
        assert clocks.total_ns() >= 90_000_000


def test_trees_that_overlap_count_once(engine: Engine, spawn: Spawn, dead_pid: int) -> None:
    program = spawn("say(sleeper()); wait()")
    (child,) = map(int, program.rests())
    with closing(TaskClocks([program.pid, child, dead_pid, program.pid], engine, LIMIT)) as clocks:
        assert clocks.descriptors == 2
    with closing(TaskClocks([dead_pid], engine, LIMIT)) as clocks:
        assert (clocks.descriptors, clocks.total_ns()) == (0, 0)


@needs_root
def test_an_ordinary_user(engine: Engine) -> None:
    def check() -> None:
        become_nobody()
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(writer)
            os.read(reader, 1)
            program = compile(
                PRELUDE
                + """
for _ in range(10):
    pid = os.fork()
    if pid == 0: burn(0.2); os._exit(0)  # long against the end of so large a process, which no event sees
    os.waitpid(pid, 0)""",
                "storm",
                "exec",
            )
            exec(program, {})
            os._exit(0)
        with closing(TaskClocks([pid], engine, LIMIT)) as clocks:
            os.close(writer)
            _, _, used = os.wait4(pid, 0)
            assert clocks.total_ns() >= 0.9 * (used.ru_utime + used.ru_stime) * 1e9 - TICK_NS

    in_child(check)


@needs_root
def test_another_users_process_refuses_the_whole_tree(engine: Engine, spawn: Spawn) -> None:
    program = spawn("sleeper(); say(1); wait()")
    program.rests()

    def check() -> None:
        become_nobody()
        before = open_descriptors()
        with pytest.raises(prock.AccessDenied) as caught:
            TaskClocks([program.pid], engine, LIMIT)
        assert (caught.value.pid, caught.value.what) == (program.pid, "perf events")
        assert open_descriptors() == before

    in_child(check)


def test_too_few_descriptors(engine: Engine, spawn: Spawn) -> None:
    program = spawn("for _ in range(20): sleeper()\nsay(1); wait()")
    program.rests()
    before = open_descriptors()
    with pytest.raises(OutOfDescriptors) as caught:
        TaskClocks([program.pid], engine, 20)
    assert caught.value.count == 20 and open_descriptors() == before
    with closing(TaskClocks([program.pid], engine, 21)) as clocks:
        assert clocks.descriptors == 21

    def check() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (len(open_descriptors()) + 12, 100))
        before = open_descriptors()
        with pytest.raises(OutOfDescriptors):
            TaskClocks([program.pid], engine, LIMIT)
        assert open_descriptors() == before

    in_child(check)


def test_another_namespaces_proc(tmp_path: Path, engine_name: str) -> None:
    with pytest.raises(prock.NotSupported):
        TaskClocks([1], open_engine(engine_name, str(tmp_path)), LIMIT)


def test_closed_events_and_a_forked_child(engine: Engine, spawn: Spawn) -> None:
    program = spawn("say(1); wait()")
    program.rests()
    gc.collect()
    others = events()
    with closing(TaskClocks([program.pid], engine, LIMIT)) as clocks:

        def check() -> None:
            assert clocks.descriptors == 0
            with pytest.raises(ValueError, match="forked"):
                clocks.total_ns()
            assert not mine & events()

        mine = events() - others
        assert len(mine) == 1
        in_child(check)
        assert clocks.descriptors == 1 and clocks.total_ns() == 0
    with pytest.raises(ValueError, match="closed"):
        clocks.total_ns()


def test_descriptors_of_events_that_are_none(dead_pid: int) -> None:
    engine = core()
    assert engine.open_task_clock(dead_pid) is None
    assert engine.read_task_clocks([]) == 0
    with pytest.raises(OSError, match="Bad file descriptor"):
        engine.read_task_clocks([2**30])
    for wrong in (0, -1, 2**31):
        with pytest.raises(ValueError, match="can't be a pid"):
            engine.open_task_clock(wrong)


def test_what_attaching_asks(spawn: Spawn, dead_pid: int) -> None:
    engine = core()
    program = spawn("""
def work():
    sleeper(); say(threading.get_native_id()); signal.pause()
threading.Thread(target=work, daemon=True).start()
wait()""")
    thread = int(program.rests()[0])
    children_by_thread = engine.children_by_thread(program.pid)
    assert (
        children_by_thread is not None
        and children_by_thread[0] == (program.pid, [])
        and children_by_thread[1][0] == thread
    )
    assert children_by_thread[1][1] == engine.children(program.pid)
    assert engine.children_by_thread(thread) is None and engine.children_by_thread(dead_pid) is None
    assert [engine.thread_state(program.pid, tid) for tid in (program.pid, thread, dead_pid)] == ["S", "S", None]
    assert engine.thread_state(dead_pid, dead_pid) is None
    assert os.getpid() in [tid for tid, _ in engine.children_by_thread(None) or ()]
    assert 0 < engine.last_pid() < engine.pid_limit()

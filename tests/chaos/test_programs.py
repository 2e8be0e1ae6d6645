"""In whatever program it is: many threads, forks among them, sub-interpreters, and every warning an error."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable

import pytest
from support.chaos import invariants, subinterpreters
from support.chaos.cgroup_limits import pen
from support.chaos.cli_commands import every_command, is_borne, program
from support.chaos.pid_namespace import Crowd, crowd, in_cell
from support.elsewhere import in_child

import prock
from prock.engine import open_engine, using

MS = 1_000_000


def together(works: list[Callable[[], object]]) -> None:
    """Each in a thread of its own; the first failure of all."""
    failures: list[BaseException] = []

    def run(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


@pytest.mark.parametrize("shared", [True, False])
def test_8_threads_sample_a_fork_bomb(engine_name: str, shared: bool) -> None:
    """The same tree at once, by one forest of them all, or each by its own."""
    with pen(120, 0.5) as cage:
        if not cage.is_limited:
            pytest.skip("no control group to hold a bomb")

        def check() -> None:
            with using(open_engine(engine_name)):
                bomb = Crowd("bomb", groups=cage.groups)
                common = prock.Forest([bomb.pid], accounting="ledger", io=True)
                taken: list[int] = []

                def work() -> None:
                    forest = common if shared else prock.Forest([bomb.pid], accounting="ledger", io=True)
                    following, least = invariants.Following(), 0
                    for _ in range(8):
                        sample = forest.sample()[bomb.pid]
                        assert sample.cpu_ns >= least
                        least = sample.cpu_ns
                        invariants.totals(sample)
                        invariants.each_once(row.identity for row in sample.members)
                        if not shared:
                            following.take(sample)
                        invariants.tree(prock.snapshot_tree(bomb.pid, io=True), bomb.pid)
                        taken.append(sample.cpu_ns)
                    if not shared:
                        forest.close()

                before = sys.getswitchinterval()
                sys.setswitchinterval(1e-5)
                try:
                    together([work] * 8)
                finally:
                    sys.setswitchinterval(before)
                common.close()
                assert len(taken) == 64
                if cage.is_accounted:
                    invariants.not_above(max(taken), cage.used_ns())
                bomb.close()

        in_cell(check)


def test_forks_of_a_program_whose_threads_sample(engine_name: str) -> None:
    """A child makes a sampler of its own; the parent's goes on; and nobody waits for a thread that is not there."""

    def check() -> None:
        with using(open_engine(engine_name)), crowd("wide", 100) as wide:
            common = prock.TreeSampler(wide.pid, accounting="ledger", io=True)
            stop = threading.Event()
            following = invariants.Following()
            lock = threading.Lock()

            def sample() -> None:
                while not stop.is_set():
                    with prock.TreeSampler(wide.pid, accounting="ledger") as own:
                        own.sample()
                    with lock:
                        following.take(common.sample())

            def fork() -> None:
                try:
                    for _ in range(25):
                        in_child(child)
                finally:
                    stop.set()

            def child() -> None:
                with pytest.raises(ValueError, match="fork"):
                    common.sample()
                with prock.TreeSampler(wide.pid, accounting="ledger", io=True) as own:
                    assert invariants.Following().take(own.sample()).process_count == 101
                with prock.Monitor(0.01) as monitor:
                    time.sleep(0.02)
                invariants.monitored(monitor.result)
                assert invariants.account(prock.run(["true"])).returncode == 0
                assert invariants.tree(prock.snapshot_tree(wide.pid), wide.pid)

            with prock.Monitor(0.005, wide.pid, accounting="ledger", series=True) as watched:
                together([sample, sample, sample, fork])
            invariants.monitored(watched.result)
            assert following.take(common.sample()).process_count == 101
            common.close()

    in_cell(check)


INTERPRETER = """
import sys
sys.path[:0] = {path!r}
import prock
from prock.engine import open_engine, using
with using(open_engine({engine!r})):
    for _ in range(3):
        tree = prock.snapshot_tree({pid})
        assert tree is not None and tree.process_count == 51, tree
        with prock.TreeSampler({pid}, io=True, accounting="ledger") as sampler:
            sample = sampler.sample()
            assert sample.process_count == 51 == len(sample.members)
        assert prock.get_memory() > 0 and len(prock.scan_all_processes()) > 50
        try:
            prock.get_memory(-1)
        except ValueError:
            pass
        else:
            raise AssertionError
"""


@pytest.mark.skipif(subinterpreters.module() is None, reason="this Python has no sub-interpreters")
def test_sub_interpreters(engine_name: str) -> None:
    """One after the other, several at once, and each in a thread; what one has made another does not share."""

    def check() -> None:
        known = subinterpreters.module()
        with crowd("wide", 50) as wide:
            source = INTERPRETER.format(path=sys.path, engine=engine_name, pid=wide.pid)
            for _ in range(3):
                one = known.create()
                subinterpreters.run(one, source)
                known.destroy(one)
            several = [known.create() for _ in range(4)]
            for one in several:
                subinterpreters.run(one, source)
            works: list[Callable[[], object]] = [lambda one=one: subinterpreters.run(one, source) for one in several]  # type: ignore[misc]
            together(works)
            for one in several:
                known.destroy(one)
            with using(open_engine(engine_name)):
                assert invariants.tree(prock.snapshot_tree(wide.pid), wide.pid)

    in_cell(check)


LIBRARY = """
import asyncio, os, sys
import prock
from prock.engine import open_engine, using
with using(open_engine(sys.argv[1])):
    pid = int(sys.argv[2])
    for name in sorted(prock.__all__):
        value = getattr(prock, name)
        if name.startswith(("get_", "snapshot_", "collect_tree")):
            value(), value(pid)
    prock.list_all_pids(), prock.scan_all_processes(), prock.build_parent_map(), prock.build_children_map()
    with prock.TreeSampler(pid, io=True, pss=True) as sampler:
        sampler.sample().members
    with prock.Monitor(0.01, pid, series=True) as monitor:
        prock.run(["sh", "-c", "true & wait"], capture_output=True)
    tracker = prock.CumulativeTracker()
    tracker.get_tree_cpu_ns(pid), tracker.get_cpu_percent(pid), tracker.prune_dead(), tracker.reset()
    for number, sample in enumerate(prock.watch(pid, 0.01)):
        if number == 2:
            break
    async def look():
        # Development mode reports steps that take longer than 0.1 s, as on a busy machine.
        asyncio.get_running_loop().slow_callback_duration = 60
        await prock.arun(["true"])
        async for sample in prock.awatch(pid, 0.01):
            break
    asyncio.run(look())
"""


def run_python(*words: str) -> tuple[int, str, str]:
    import subprocess

    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


def test_every_warning_an_error(engine_name: str) -> None:
    """Of the library; with the checks of Python's development mode, that tell of files left open."""

    def check() -> None:
        with crowd("wide", 10) as wide:
            words = ("-X", "dev", "-W", "error", "-c", LIBRARY, engine_name, str(wide.pid))
            code, out, err = run_python(*words)
            assert (code, out, err) == (0, "", "")

    in_cell(check)


def test_every_warning_an_error_for_every_command() -> None:
    def check() -> None:
        with crowd("wide", 10) as wide:
            for words in every_command(wide.pid):
                done = program(*words, python=("-X", "dev", "-W", "error"))
                assert is_borne(done.returncode, done.stdout, done.stderr), words
                assert words[0] == "run" or not done.stderr, (words, done.stderr)
            for number in range(3):
                short = Crowd("wide", number)
                killer = threading.Timer(0.3, short.close)
                killer.start()
                done = program("attach", str(short.pid), python=("-X", "dev", "-W", "error"))
                killer.join()
                is_borne(done.returncode, done.stdout, done.stderr)

    in_cell(check)


def test_the_time_of_every_import(engine_name: str) -> None:
    """`-X importtime`: all modules are told, none twice, and a command does what it does."""

    def check() -> None:
        with crowd("wide", 10) as wide:
            for words in [
                ("-c", "import prock; prock.snapshot_tree()"),
                *(("-m", "prock", *one) for one in every_command(wide.pid)),
            ]:
                code, _, err = run_python("-X", "importtime", *words)
                lines = [line for line in err.splitlines() if line.startswith("import time:")][1:]
                names = [line.rpartition("|")[2].strip() for line in lines]
                assert code == 0 and "Traceback" not in err, (words, err)
                assert any(name.startswith("prock") for name in names)
                invariants.each_once(name for name in names if name.startswith("prock"))
                assert not {"psutil", "ctypes"} & set(names) or words[-1] == "--json" or words[1] != "-c", names

    os.environ["PROCK_ENGINE"] = engine_name
    try:
        in_cell(check)
    finally:
        del os.environ["PROCK_ENGINE"]

"""The objects of the C core in the hands of who gives them anything, and of several threads: no crash, no wrong memory.

prock itself never asks so; `make check-sanitize` runs these where each wrong step is seen."""

from __future__ import annotations

import importlib
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.engines import COMPILED, HAS_GIL
from support.processes import fake_process

from prock import errors, model
from prock.engine import open_engine, tuples
from prock.engine.protocol import WANT_CPU, WANT_IO, WANT_STAT

pytestmark = pytest.mark.skipif(not COMPILED, reason="there is no native engine")

WANT = WANT_CPU | WANT_STAT | WANT_IO
FOREVER = 2**64 - 1


def native(root: str = "/proc") -> Any:
    return open_engine("native", root)


class Meddler:
    """A number whose value is found out by code that does something else besides."""

    def __init__(self, value: int, meddle: Any) -> None:
        self._value = value
        self._meddle = meddle

    def __index__(self) -> int:
        self._meddle()
        return self._value


def test_a_member_of_a_tree_that_was_never_added() -> None:
    engine = native()
    keep = engine.track(WANT, 0)
    keep.adopt(os.getpid(), engine.info(None).start_ticks, 7)
    _, sums, _, _ = keep.sample([], -1, False)
    assert len(sums) == 8 and keep.pids(7) == [os.getpid()]
    keep.close()


@pytest.mark.parametrize("tree", [-1, 2**31 - 1, 10**6, 2**32 + 1])
def test_numbers_that_no_tree_has(tree: int) -> None:
    keep = native().track(WANT, 0)
    asks: tuple[Callable[[], Any], ...] = (
        lambda: keep.add(os.getpid(), tree),
        lambda: keep.adopt(os.getpid(), 0, tree),
        lambda: keep.remove(tree),
        lambda: keep.pids(tree),
    )
    for ask in asks:
        with pytest.raises((ValueError, OverflowError)):
            ask()
    assert keep.sample([], -1, False)[1] == []
    keep.close()


@pytest.mark.parametrize("pid", [0, -1, 2**31, None, "1", 1.0])
def test_what_can_be_no_member(pid: Any) -> None:
    keep = native().track(WANT, 0)
    asks: tuple[Callable[[], Any], ...] = (lambda: keep.add(pid, 0), lambda: keep.adopt(pid, 0, 0))
    for ask in asks:
        with pytest.raises((ValueError, TypeError)):
            ask()
    keep.close()


def test_descriptors_of_more_than_32_bits_are_nobody_elses() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"\1\0\0\0\0\0\0\0")
    ask: Any = native()
    with pytest.raises(OverflowError):
        ask.read_task_clocks([2**32 + reader])
    with pytest.raises((OverflowError, OSError)):
        ask.map_records([2**32 + reader], [], 4096)
    assert ask.read_task_clocks([reader]) == int.from_bytes(b"\1\0\0\0\0\0\0\0", sys.byteorder)
    os.close(reader)
    os.close(writer)


def test_lists_that_change_while_they_are_read() -> None:
    engine = native()
    for length in (1, 3):
        pids: list[Any] = [Meddler(os.getpid(), lambda: pids.clear()) for _ in range(length)]  # noqa: B023
        assert len(engine.pss(pids, FOREVER)) == 1
        keep = engine.track(WANT, 0)
        reread: list[Any] = [Meddler(os.getpid(), lambda: reread.clear()) for _ in range(length)]  # noqa: B023
        keep.sample(reread, -1, False)
        keep.close()
        fds: list[Any] = [Meddler(0, lambda: fds.clear()) for _ in range(length)]  # noqa: B023
        with pytest.raises((OSError, IndexError)):
            engine.map_records(fds, [], 4096)
        longer: list[Any] = [Meddler(0, lambda: longer.extend([0] * 100)) for _ in range(length)]  # noqa: B023
        with pytest.raises(OSError, match=r"perf|descriptor|Invalid"):
            engine.map_records(longer, [], 4096)


def test_a_keep_that_is_closed_while_its_arguments_are_read() -> None:
    engine = native()
    asks: tuple[Callable[[Any, Any], Any], ...] = (
        lambda keep, meddler: keep.add(meddler, 0),
        lambda keep, meddler: keep.add(os.getpid(), meddler),
        lambda keep, meddler: keep.adopt(os.getpid(), meddler, 0),
        lambda keep, meddler: keep.remove(meddler),
        lambda keep, meddler: keep.pids(meddler),
        lambda keep, meddler: keep.sample([meddler], -1, False),
        lambda keep, meddler: keep.sample([], meddler, False),
        lambda keep, meddler: keep.limit(meddler),
    )
    for ask in asks:
        keep = engine.track(WANT, 100)
        keep.add(os.getpid(), 0)
        keep.sample([], -1, False)
        with pytest.raises((ValueError, TypeError)):  # the latter where no object but an int is taken
            ask(keep, Meddler(1, keep.close))
        keep.close()


def test_rows_of_a_frame_whose_keep_goes_on_while_they_are_made() -> None:
    keep = native().track(WANT, 0)
    keep.add(os.getpid(), 0)
    frame = keep.sample([], -1, False)[0]
    meddler: Any = Meddler(1, lambda: [keep.adopt(pid, 0, 0) for pid in range(1, 500)])
    rows = frame.rows(0, 1, [(meddler, 5)], {})
    assert [row.pid for row in rows] == [os.getpid()] == [row.pid for row in frame.rows(0, 1, [], {})]
    with pytest.raises(TypeError):
        frame.rows(0, 1, [None], {})
    keep.close()


def wide(root: Path, members: int) -> Any:
    """A keep of a process with so many children that a pass over them lets go of the GIL."""
    fake_process(root, 1, children=b"".join(b"%d " % pid for pid in range(2, 2 + members)))
    for pid in range(2, 2 + members):
        fake_process(root, pid, ppid=1)
    keep = native(str(root)).track(WANT, 0)
    keep.add(1, 0)
    return keep


@pytest.mark.skipif(not HAS_GIL, reason="there a pass may end between two questions")
def test_whoever_comes_while_another_thread_takes_a_sample_is_told(tmp_path: Path) -> None:
    keep = wide(tmp_path, 1500)
    others: tuple[Callable[[], Any], ...] = (
        lambda: keep.pids(0),
        lambda: keep.sample([], 5, False),
        lambda: keep.add(1, 1),
        lambda: keep.adopt(1, 0, 0),
        lambda: keep.remove(9),
        lambda: keep.close(),
    )
    found: list[int] = []

    def sample() -> None:
        while not ended.is_set():
            found.append(keep.sample([], -1, False)[1][0][0])

    ended, refused = threading.Event(), 0
    thread = threading.Thread(target=sample)
    before = sys.getswitchinterval()
    sys.setswitchinterval(100)  # so the pass can't come to its end while the others are asked
    try:
        thread.start()
        while refused < 3:
            try:
                keep.limit(0)
            except RuntimeError:
                refused += 1
                for ask in others:
                    with pytest.raises(RuntimeError, match="another thread"):
                        ask()
            time.sleep(0.001)
    finally:
        ended.set()
        sys.setswitchinterval(before)
        thread.join()
    assert set(found) == {1501}
    keep.close()


def test_many_threads_with_the_same_objects() -> None:
    """With the GIL they take turns. Without it the objects see to that: none may crash, and all answers are whole."""
    engine = native()
    keep = engine.track(WANT, 8)
    keep.add(os.getpid(), 0)
    failures: list[BaseException] = []
    together = threading.Barrier(4)

    def ask(number: int) -> None:
        together.wait()
        try:
            for turn in range(100):
                try:
                    frame, sums, _, _ = keep.sample([os.getpid()], -1, turn % 7 == 0)
                    assert sums[0][0] >= 1
                    assert frame.rows(0, 1000, [], {})[0].pid == os.getpid()
                    assert os.getpid() in keep.pids(0)
                    keep.limit(turn % 9)
                    keep.adopt(1 + turn % 50, 0, 0)
                    if number == 0 and turn % 40 == 0:
                        keep.remove(1)
                except RuntimeError:  # another thread is taking a sample
                    pass
                assert engine.info(None).pid == os.getpid() and engine.tree(None, 7)[0][0].pid == os.getpid()
                assert keep.descriptors >= 0 and keep.no_children_lists in (True, False)
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    keep.close()
    assert failures == []


@pytest.mark.skipif(HAS_GIL, reason="for Pythons without it")
def test_the_core_leaves_an_interpreter_without_the_gil() -> None:
    assert not sys._is_gil_enabled()  # type: ignore[attr-defined]  # importing the core would have brought it back


def test_an_interpreter_of_its_own() -> None:
    """With a GIL of its own where Pythons have that, from 3.12 on."""
    code = """
import prock, prock.engine
assert prock.engine.active.name == "native"
assert prock.snapshot_tree(io=True).process_count >= 1
with prock.TreeSampler(accounting="ledger") as sampler:
    assert sampler.sample().members
"""
    try:
        interpreters: Any = importlib.import_module("_interpreters")
    except ImportError:
        interpreters = importlib.import_module("_xxsubinterpreters")
    number = interpreters.create()  # isolated, by default
    try:
        failure = interpreters.run_string(number, code)  # before 3.13 it raises by itself
    finally:
        interpreters.destroy(number)
    assert failure is None


def test_a_core_that_was_built_for_other_fields_is_refused() -> None:
    changed = SimpleNamespace(**vars(model))
    changed.CpuTime = SimpleNamespace(_fields=("system_ns", "user_ns"))
    with pytest.raises(ImportError, match=r"other fields of CpuTime: install prock again"):
        importlib.import_module("prock._core").Proc("/proc", 1, 1, changed, errors, tuples)

"""Every entry of the C core, with its answers and its refusals, for `leaking`."""

from __future__ import annotations

import mmap
import os
import signal
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import prock
from prock import errors, model
from prock.engine import open_engine, tuples
from support.leaking import Case
from support.processes import fake_process

WANT = 7
FOREVER = 2**64 - 1
BAD_PID = (ValueError, TypeError)


class Refuses:
    """Neither true nor false, nor a number."""

    def __bool__(self) -> bool:
        raise LookupError

    __index__ = __bool__

    def __repr__(self) -> str:
        return "an object"


class Roots:
    """Fakes of proc for what a real one doesn't say."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory()
        root = Path(self._directory.name, "proc")
        broken = fake_process(root, 5, stat=b"x", children=b"x")
        for name in ("statm", "io", "smaps_rollup"):
            (broken / name).write_bytes(b"x")
        odd = Path(self._directory.name, "odd")
        unreadable = odd / "6"
        for name in ("stat", "statm", "io", "comm", "smaps_rollup", "task/6/children", "task/6/stat"):
            (unreadable / name).mkdir(parents=True)
        (odd / "7" / "task" / "7").mkdir(parents=True)
        self.odd: Any = open_engine("native", str(odd))
        (root / "loadavg").write_bytes(b"x")
        self.broken: Any = open_engine("native", str(root))
        empty = Path(self._directory.name, "empty")
        empty.mkdir()
        self.hidden: Any = open_engine("native", str(empty))
        self.hidden.clocks_usable = True
        self.nowhere: Any = open_engine("native", str(empty / "none"))

    def close(self) -> None:
        self._directory.cleanup()


def proc_cases(pid: int, gone: int, roots: Roots) -> list[Case]:
    """Methods of `Proc`. Each name begins with the method's."""
    native: Any = open_engine("native")
    core: Any = type(native).__mro__[1]
    assert core.__name__ == "Proc"
    cases = []
    for name in "cpu_time info memory disk_io comm children children_by_thread".split():
        ask = getattr(core, name)
        for argument, about in ((None, "itself"), (pid, "a child"), (gone, "gone")):
            cases.append(Case(f"{name}: {about}", lambda ask=ask, argument=argument: ask(native, argument)))  # type: ignore[misc]
        cases += [
            Case(f"{name}: {bad}", lambda ask=ask, bad=bad: ask(native, bad), (*BAD_PID, LookupError))  # type: ignore[misc]
            for bad in (0, -1, 2**31, 2**70, "1", 1.5, Refuses())
        ]
    for name in "info memory disk_io children children_by_thread".split():
        ask = getattr(core, name)
        cases += [
            Case(f"{name}: malformed", lambda ask=ask: ask(roots.broken, 5), errors.MalformedProcFile),  # type: ignore[misc]
            Case(f"{name}: a directory", lambda ask=ask: ask(roots.odd, 6), OSError),  # type: ignore[misc]
            Case(f"{name}: no such file", lambda ask=ask: ask(roots.odd, 7), errors.NotSupported),  # type: ignore[misc]
            Case(f"{name}: hidden", lambda ask=ask: ask(roots.hidden, pid), errors.AccessDenied),  # type: ignore[misc]
        ]
    no_arguments: Any = (model, errors, tuples)

    def clocks_usable() -> None:
        roots.hidden.clocks_usable = False
        roots.hidden.clocks_usable = True

    def raised(name: str, ask: Callable[[], object], *classes: type[BaseException]) -> Case:
        return Case(name, ask, classes or (TypeError,))

    cases += [
        Case("pids", lambda: core.pids(native)),
        raised("pids: nowhere", lambda: core.pids(roots.nowhere), errors.ProckError, OSError),
        Case("scan", lambda: core.scan(native)),
        Case("scan: broken", lambda: core.scan(roots.broken)),
        Case("tree", lambda: core.tree(native, pid, WANT)),
        Case("tree: gone", lambda: core.tree(native, gone, WANT)),
        raised("tree: malformed", lambda: core.tree(roots.broken, 5, WANT), errors.MalformedProcFile),
        raised("tree: no pid", lambda: core.tree(native, 0, WANT), ValueError),
        raised("tree: nothing wanted", lambda: core.tree(native, pid), TypeError),
        Case("last_pid", lambda: core.last_pid(native)),
        raised("last_pid: malformed", lambda: core.last_pid(roots.broken), errors.NotSupported),
        Case("thread_state", lambda: core.thread_state(native, pid, pid)),
        Case("thread_state: gone", lambda: core.thread_state(native, gone, gone)),
        raised("thread_state: a directory", lambda: core.thread_state(roots.odd, 6, 6), OSError),
        raised("thread_state: one", lambda: core.thread_state(native, pid)),
        Case("subreaper", lambda: core.subreaper(native, None)),
        raised("subreaper: neither", lambda: core.subreaper(native, Refuses()), LookupError),
        Case("read_task_clocks: none", lambda: core.read_task_clocks(native, ())),
        raised("read_task_clocks: closed", lambda: core.read_task_clocks(native, [-1]), OSError),
        raised("read_task_clocks: large", lambda: core.read_task_clocks(native, [2**32]), OverflowError),
        raised("read_task_clocks: text", lambda: core.read_task_clocks(native, ["x"])),
        raised("read_task_clocks: no list", lambda: core.read_task_clocks(native, 5)),
        raised("open_task_clock: text", lambda: core.open_task_clock(native, "x")),
        Case("pss", lambda: core.pss(native, [pid, gone], FOREVER)),
        Case("pss: malformed", lambda: core.pss(roots.broken, [5, 6], FOREVER)),
        raised("pss: text", lambda: core.pss(native, [pid, "x"], FOREVER)),
        raised("pss: no list", lambda: core.pss(native, (pid,), FOREVER)),
        Case("clocks_usable", clocks_usable),
        Case("Proc", lambda: core("/proc", 1, 1, *no_arguments)),
        raised("Proc: nothing", lambda: core()),
        raised("Proc: a long path", lambda: core("x" * 5000, 1, 1, *no_arguments), ValueError),
        raised("Proc: a NUL", lambda: core("a\0b", 1, 1, *no_arguments), ValueError),
        raised("Proc: no models", lambda: core("/proc", 1, 1, errors, errors, errors), AttributeError),
    ]
    try:
        os.close(native.open_task_clock(None))
    except (errors.NotSupported, errors.AccessDenied):
        return cases

    clocks = [native.open_task_clock(None), native.open_task_clock(pid)]
    return [
        *cases,
        Case("open_task_clock", lambda: os.close(core.open_task_clock(native, pid))),
        Case("open_task_clock: gone", lambda: core.open_task_clock(native, gone)),
        Case("read_task_clocks", lambda: core.read_task_clocks(native, clocks)),
    ]


def keep_cases(pid: int, gone: int) -> list[Case]:
    """`MemberTracker` and `TrackerSnapshot`."""
    native: Any = open_engine("native")
    start_ticks = native.info(pid).start_ticks
    keep = native.track(WANT, 100)
    keep.add(pid, 0)
    closed = native.track(WANT, 0)
    closed.close()
    frame = keep.sample([], -1, True)[0]

    def life() -> None:
        short = native.track(WANT, 10)
        short.add(pid, 0)
        short.adopt(os.getpid(), 0, 1)
        kept = short.sample([pid], -1, True)
        short.sample([], 0, False)
        short.remove(1)
        assert kept[0].rows(0, 1, [(pid, 5)], {pid: 7})

    def adopt_and_remove() -> None:
        keep.adopt(pid, start_ticks, 3)
        keep.remove(3)

    def reported() -> None:
        keep.sample([pid], -1, True)

    def one_ends() -> None:
        other = os.posix_spawn("/bin/sleep", ["sleep", "100"], {})
        watching.add(other, 0)
        watching.sample([], -1, True)
        os.kill(other, signal.SIGKILL)
        os.waitpid(other, 0)
        ((_, (ended, *_), *_),) = watching.sample([], -1, False)[3]
        assert ended == other
        watching.remove(0)

    watching = native.track(WANT, 10)
    bad: Any = Refuses()
    return [
        Case("sample: one ends", one_ends),
        Case("track", lambda: native.track(WANT, 10)),
        Case("track: text", lambda: native.track("x", 10), TypeError),
        Case("track: its life", life),
        Case("add: gone", lambda: keep.add(gone, 0)),
        Case("add: known", lambda: keep.add(pid, 0)),
        Case("add: text", lambda: keep.add("x", 0), TypeError),
        Case("add: no tree", lambda: keep.add(pid, -1), ValueError),
        Case("add: closed", lambda: closed.add(pid, 0), ValueError),
        Case("adopt", adopt_and_remove),
        Case("adopt: no tree", lambda: keep.adopt(pid, 0, 2**40), OverflowError),
        Case("adopt: closed", lambda: closed.adopt(pid, 0, 0), ValueError),
        Case("remove: nobody", lambda: keep.remove(9)),
        Case("remove: text", lambda: keep.remove("x"), TypeError),
        Case("remove: closed", lambda: closed.remove(0), ValueError),
        Case("pids", lambda: keep.pids(0)),
        Case("pids: large", lambda: keep.pids(2**40), OverflowError),
        Case("pids: closed", lambda: closed.pids(0), ValueError),
        Case("limit", lambda: keep.limit(100)),
        Case("limit: negative", lambda: keep.limit(-1), OverflowError),
        Case("limit: closed", lambda: closed.limit(1), ValueError),
        Case("sample", lambda: keep.sample([], -1, False)),
        Case("sample: everything", reported),
        Case("sample: text", lambda: keep.sample(["x"], -1, False), TypeError),
        Case("sample: an object", lambda: keep.sample([bad], -1, False), (LookupError, TypeError)),
        Case("sample: neither", lambda: keep.sample([], -1, bad), LookupError),
        Case("sample: closed", lambda: closed.sample([], -1, False), ValueError),
        Case("close: again", closed.close),
        Case("descriptors", lambda: keep.descriptors),
        Case("no_children_lists", lambda: keep.no_children_lists),
        Case("rows", lambda: frame.rows(0, 1000, [(pid, 5)], {pid: 7})),
        Case("rows: none", lambda: frame.rows(1, 0, [], {})),
        Case("rows: no tuple", lambda: frame.rows(0, 1, [5], {}), TypeError),
        Case("rows: no dictionary", lambda: frame.rows(0, 1, [], []), TypeError),
    ]


def record_cases() -> list[Case]:
    """`Records`, of files that look like the buffers of events."""
    native: Any = open_engine("native")
    size = mmap.PAGESIZE
    name = struct.pack("=IHHii8siiQ", 3, 1 << 13, 40, 5, 5, b"sh", 5, 5, 1)
    exit_ = struct.pack("=IHHiiiiQiiQ", 4, 0, 48, 5, 1, 5, 1, 9, 5, 5, 2)
    data = name + exit_
    file = os.memfd_create("buffer")
    os.ftruncate(file, 2 * size)
    records = native.map_records([file], [], size)
    shut = native.map_records([file], [], size)
    shut.close()
    written = 0

    def drain() -> None:
        nonlocal written
        for byte in (data,):
            start = written % size
            os.pwrite(file, byte[: size - start], size + start)
            os.pwrite(file, byte[size - start :], size)
        written += len(data)
        os.pwrite(file, struct.pack("=Q", written), 1024)
        assert len(records.drain(FOREVER)[0]) == 2

    return [
        Case("map_records", lambda: native.map_records([file], [file], size).close()),
        Case("map_records: none", lambda: native.map_records([], [], size), prock.NotSupported),
        Case("map_records: not as many", lambda: native.map_records([file], [file, file], size), ValueError),
        Case("map_records: text", lambda: native.map_records([file], ["x"], size), TypeError),
        Case("map_records: closed", lambda: native.map_records([-1], [], size), OSError),
        Case("map_records: no lists", lambda: native.map_records(5, 6, size), TypeError),
        Case("drain", drain),
        Case("drain: text", lambda: records.drain("x"), TypeError),
        Case("drain: closed", lambda: shut.drain(1), ValueError),
        Case("totals: closed", shut.totals, ValueError),
        Case("totals", lambda: (os.lseek(file, 0, os.SEEK_SET), records.totals())),
        Case("stop_switches", records.stop_switches),
        Case("stop_switches: closed", shut.stop_switches, ValueError),
        Case("close: once more", shut.close),
    ]

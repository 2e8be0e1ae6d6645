"""Asks everything about the processes on a stage, again and again: the n-th question goes wrong, for every n.

Run by fault_driver.py, with the library of fault_shim.c preloaded.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import io
import os
import struct
import sys
import traceback
from collections.abc import Callable
from typing import Any, NamedTuple

import prock
from prock.cli import main
from prock.engine import open_engine, using
from support.chaos import invariants
from support.chaos.fault_driver import KILLS, NEW_STAGE, REPLACES, STRANGER_NS, cpu_ns

MOST = 2000
"""Questions of one answer: more than any has."""
ERRORS = ("ENOENT", "ESRCH", "EACCES", "EMFILE", "ENFILE", "ENOMEM", "EIO", "EINTR", "short")
NO_MEMORY = 4096
"""For fault_shim.c: not a question fails, but the core's n-th wish for memory."""
LIES = ("ENOENT", "ESRCH")
"""Then the process is not there, says the kernel, though it is."""


class Stage(NamedTuple):
    root: int
    middle: int
    leaf: int
    other: int


class Asked(NamedTuple):
    """One way to ask. `ready` is called with the stage before anything goes wrong, and answers with what to call, which
    may have a `goes_on` to be called when all is well again, and a `close`; `holds` is called with the answer."""

    name: str
    ready: Callable[[Stage], Callable[[], Any]]
    holds: Callable[[Any, Stage], object]
    of_one: bool = False
    """Only about the one in the middle."""
    knows_identities: bool = False


class Asker:
    def __init__(self, tells: int, listens: int, scenario: str) -> None:
        self.tells, self.listens = tells, listens
        self.shim = ctypes.CDLL(None)
        self.shim.shim_arm.argtypes = [ctypes.c_long, ctypes.c_int]
        self.shim.shim_disarm.restype = ctypes.c_bool
        self.shim.shim_where.restype = ctypes.c_char_p
        self.shim.shim_director(tells, listens)
        kind, _, what = scenario.partition("-")
        self.kind, self.what = kind, what
        if kind == "error":
            self.action = {"short": 0, "memory": NO_MEMORY}.get(what) or int(getattr(errno, what, 0))
        else:
            self.action = -ord({"kill": KILLS, "zombie": KILLS, "replace": REPLACES}[kind][what])
        self.questions = 0
        self.identities: set[Any] = set()
        """Of those on the stage."""
        self.used_ns = 0
        """By all of them, before anything happened: a busy machine can make it much."""

    def new_stage(self) -> Stage:
        os.write(self.tells, NEW_STAGE)
        stage = Stage(*struct.unpack("4i", os.read(self.listens, 16)))
        infos = [prock.get_liveness_info(pid) for pid in stage]
        self.identities = {info.identity for info in infos if info is not None}
        self.used_ns = sum(map(cpu_ns, stage))
        return stage

    def ask(self, asked: Asked) -> None:
        stage = self.new_stage()
        for n in range(1, MOST):
            call = asked.ready(stage)
            self.shim.shim_arm(n, self.action)
            try:
                answer: Any = call()
            except BaseException as error:
                answer = error
            struck, where = self.shim.shim_disarm(), self.shim.shim_where().decode(errors="replace")
            try:
                if isinstance(answer, BaseException):
                    self.check_error(answer)
                else:
                    asked.holds(answer, stage)
                self.check_pids(answer, stage, struck)
                if hasattr(call, "goes_on"):
                    call.goes_on(self, stage, struck)
            except BaseException as error:
                frame = traceback.extract_tb(error.__traceback__)[-1]
                at = f"{os.path.basename(frame.filename)}:{frame.lineno}: {frame.line}"
                what = f"{asked.name}: question {n}, {where}, {self.kind} {self.what}, {stage}"
                raise AssertionError(f"{what}\n  {at}: {error!r}\n  {str(answer)[:1500]}") from error
            finally:
                if hasattr(call, "close"):
                    call.close()
            if not struck:
                break
            if self.kind != "error":
                stage = self.new_stage()
        self.questions += n - 1

    def check_error(self, error: BaseException) -> None:
        if self.kind != "error":
            assert isinstance(error, prock.NoSuchProcess), "an exception, though somebody only ended"
            return
        is_memory = self.what in ("ENOMEM", "memory") and isinstance(error, MemoryError)
        is_it = isinstance(error, OSError) and error.errno == self.action
        if not (isinstance(error, prock.ProckError) or is_it or is_memory):
            raise error

    def check_pids(self, answer: Any, stage: Stage, struck: bool) -> None:
        """Who can't have ended is there, or it is said that somebody is missing; and nobody else is."""
        if not isinstance(answer, prock.TreeStats):
            return
        pids = set(answer.pids)
        assert pids <= set(stage)
        if not struck:
            assert pids == set(stage)
        elif self.kind == "error":
            if self.what not in LIES:
                assert pids == set(stage) or answer.denied or answer.vanished, "less than all, and nobody says so"
        else:
            assert pids >= self.must_stay(stage)
        foreign = stage.root if self.what == "root" else 0  # who has the pid now is whom it was asked for
        self.check_no_stranger([member for member in answer.members if member.pid != foreign or not struck])
        for member in answer.members:
            if member.identity in self.identities:
                self.check_no_stranger([member])

    def must_stay(self, stage: Stage) -> set[int]:
        """Of a snapshot: who still is a descendant, or the root."""
        if self.kind == "zombie":
            return {stage.root} if self.what in ("root", "all") else {stage.root, stage.middle, stage.other}
        return {"middle": {stage.root, stage.other}, "leaf": {stage.root, stage.middle, stage.other}}.get(
            self.what, set()
        )

    def check_no_stranger(self, members: Any) -> None:
        if self.kind != "replace":
            return
        for member in members:
            assert member.identity is None or member.identity in self.identities, member
            ns = member.cpu_ns if hasattr(member, "cpu_ns") else member.cpu_time and member.cpu_time.total_ns
            assert ns is None or ns < self.used_ns + STRANGER_NS // 2, f"a stranger's time: {member}"


def simply(name: str, ask: Callable[[int], Any]) -> Asked:
    def holds(answer: Any, stage: Stage) -> None:
        invariants.non_negative(answer)

    return Asked(name, lambda stage: lambda: ask(stage.middle), holds, of_one=True)


class Sampling:
    """A sampler that goes wrong in the middle of a sample, and goes on afterwards."""

    def __init__(self, stage: Stage, looks: int, **options: Any) -> None:
        self.now_ns = 10**15
        self.following = invariants.Following()
        options = {"io": True, "accounting": "ledger", **options}
        self.sampler = prock.TreeSampler(stage.root, clock=lambda: self.now_ns, **options)
        for _ in range(looks):
            self.now_ns += 10**8
            self.following.take(self.sampler.sample())
        self.now_ns += 10**8

    def __call__(self) -> Any:
        return self.following.take(self.sampler.sample())

    def goes_on(self, asker: Asker, stage: Stage, struck: bool) -> None:
        for _ in range(2):
            self.now_ns += 10**8
            sample = self.following.take(self.sampler.sample())
        asker.check_no_stranger(sample.members)
        pids = {member.pid for member in sample.members}
        invariants.not_above(sample.cpu_ns, 0, STRANGER_NS // 2)
        if asker.kind == "error":
            if asker.what not in LIES:
                assert pids == set(stage), pids
        else:
            gone = {"all": set(stage)}.get(asker.what, {getattr(stage, asker.what, 0)} if struck else set())
            assert set(stage) - gone <= pids <= set(stage), pids
            if asker.kind == "kill" and struck:
                assert not pids & gone

    def close(self) -> None:
        self.sampler.close()


class LaterSampling(Sampling):
    """When it is time to look through the whole machine."""

    def __init__(self, stage: Stage, looks: int, **options: Any) -> None:
        super().__init__(stage, looks, **options)
        self.now_ns += 40 * 10**9


class Tracking:
    def __init__(self, stage: Stage) -> None:
        self.tracker, self.delta = prock.CumulativeTracker(), prock.DeltaTracker()
        self.root = stage.root
        self.delta.get_cpu_percent(stage.middle)
        self.total = self.tracker.get_tree_cpu_ns(stage.root) or 0
        self.middle = stage.middle

    def __call__(self) -> Any:
        used = self.tracker.get_tree_cpu_ns(self.root)
        assert used is None or used >= self.total
        return used, self.delta.get_cpu_percent(self.middle), self.tracker.prune_dead()

    def goes_on(self, asker: Asker, stage: Stage, struck: bool) -> None:
        used = self.tracker.get_tree_cpu_ns(self.root)
        assert used is None or 0 <= used < STRANGER_NS // 2, used

    def close(self) -> None:
        self.tracker.reset()
        self.delta.prune_dead()


def a_sample(answer: Any, stage: Stage) -> None:
    invariants.totals(answer)
    invariants.non_negative(answer.members)
    invariants.subtrees(answer.members)


def begin(stage: Stage) -> Callable[[], Any]:
    def call() -> Any:
        with prock.TreeSampler(stage.root, io=True, pss=True, accounting="ledger") as sampler:
            return sampler.sample()

    return call


def monitor(stage: Stage) -> Callable[[], Any]:
    def call() -> Any:
        with prock.Monitor(100, stage.root, io=True, accounting="ledger", series=True) as watched:
            pass
        return watched.result

    return call


def command(*words: str) -> Callable[[Stage], Callable[[], Any]]:
    """In this process; what it says, and its exit code."""

    def ready(stage: Stage) -> Callable[[], Any]:
        arguments = [word.format(**stage._asdict()) for word in words]

        def call() -> Any:
            out, err = io.StringIO(), io.StringIO()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                try:
                    code = main(arguments)
                except SystemExit as end:
                    code = int(end.code or 0)
            return code, out.getvalue(), err.getvalue()

        return call

    return ready


def a_command(answer: Any, stage: Stage) -> None:
    code, out, err = answer
    assert code in (0, 1), answer
    assert "Traceback" not in err and "Error(" not in err
    assert bool(err) == (code != 0) or err.startswith("prock"), answer
    assert out or code != 0, answer


ASKED = [
    *(
        simply(ask.__name__, ask)
        for ask in (
            prock.get_cpu_time, prock.get_cpu_time_with_children, prock.get_memory, prock.get_disk_io,
            prock.get_all_stats, prock.get_ppid, prock.get_start_time, prock.get_tty, prock.get_process_comm,
            prock.get_process_path, prock.get_process_cmdline, prock.get_process_environ, prock.get_children,
            prock.collect_tree_pids,
        )
    ),
    simply("get_liveness_info", prock.get_liveness_info),
    simply("list_all_pids", lambda _: prock.list_all_pids()),
    simply("build_parent_map", lambda _: prock.build_parent_map()),
    Asked("snapshot_process", lambda stage: lambda: prock.snapshot_process(stage.middle, io=True),
          lambda answer, stage: invariants.process(answer, asked=("stat", "io")), knows_identities=True),
    Asked("scan_all_processes", lambda stage: prock.scan_all_processes, lambda answer, stage: invariants.scan(answer)),
    Asked("snapshot_tree_from_scan", lambda stage: lambda: prock.snapshot_tree_from_scan(stage.root),
          lambda answer, stage: invariants.tree(answer, stage.root, from_scan=True)),
    Asked("snapshot_tree", lambda stage: lambda: prock.snapshot_tree(stage.root, io=True),
          lambda answer, stage: invariants.tree(answer, stage.root), knows_identities=True),
    Asked("begin", begin, a_sample),
    Asked("sample", lambda stage: Sampling(stage, 1), a_sample, knows_identities=True),
    Asked("sample with kept files", lambda stage: Sampling(stage, 4, pss=True), a_sample, knows_identities=True),
    Asked("sample with a scan", lambda stage: LaterSampling(stage, 2), a_sample, knows_identities=True),
    Asked("sample with perf", lambda stage: Sampling(stage, 2, io=False, accounting="auto"), a_sample),
    Asked("trackers", Tracking, lambda answer, stage: invariants.non_negative(answer), knows_identities=True),
    Asked("monitor", monitor, lambda answer, stage: invariants.monitored(answer)),
    Asked("prock stat", command("stat", "{middle}", "--json"), a_command),
    Asked("prock tree", command("tree", "{root}"), a_command),
    Asked("prock scan", command("scan"), a_command),
]  # fmt: skip


def ask_all(tells: str, listens: str, engine: str, scenario: str, *names: str) -> None:
    asker = Asker(int(tells), int(listens), scenario)
    failures = []
    with using(open_engine(engine)):
        for asked in ASKED:
            if asked.of_one and asker.what in ("root", "leaf"):
                continue
            if asker.kind == "replace" and not asked.knows_identities:
                continue
            if not names or asked.name in names:
                try:
                    asker.ask(asked)
                except AssertionError as failure:
                    failures.append(str(failure))
    assert asker.questions > 10 or names, "hardly a question that the shim saw"
    if failures:
        sys.exit("\n".join(failures))


if __name__ == "__main__":
    ask_all(*sys.argv[1:])

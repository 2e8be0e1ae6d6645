"""Both engines give the same rows, or the same refusals, for the same generated files."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.engines import ENGINES
from support.examples import examples
from support.processes import IO_LINES, STAT_FIELDS, fake_process, stat_line

from prock.engine import open_engine

pytestmark = pytest.mark.skipif("native" not in ENGINES, reason="there is no native engine to compare")

EDGES = [0, 1, 9, 10, 2**31 - 1, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 10**20, -1, -(2**31), -(2**31) - 1]
NUMBERS = st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 100), st.sampled_from(EDGES))
WORDS = st.one_of(NUMBERS, st.binary(max_size=4), st.sampled_from([b"", b"-", b"007", b"1 2", b"1\n", b"0" * 21]))
NAMES = st.one_of(
    st.binary(max_size=80),
    st.lists(st.sampled_from([b")", b"(", b" ", b") ", b" (", b"\n", b"S", b"1", b"\xff"]), max_size=12).map(b"".join),
)
STATES = st.one_of(st.just(b"S"), st.binary(max_size=2))


def outcome(ask: Callable[[], Any]) -> object:
    try:
        return ask()
    except Exception as error:  # whichever it is, the other engine must raise it too
        return type(error), str(error)


def same_on_both(build: Callable[[Path], object], *asks: Callable[[Any], Any]) -> None:
    root = Path(tempfile.mkdtemp())
    try:
        build(root)
        native, pure = open_engine("native", str(root)), open_engine("pure", str(root))
        for ask in asks:
            assert outcome(lambda: ask(native)) == outcome(lambda: ask(pure))  # noqa: B023  # called at once
    finally:
        shutil.rmtree(root)


def info(engine: Any) -> object:
    return engine.info(5)


@settings(max_examples=examples(300), deadline=None)
@given(fields=st.dictionaries(st.sampled_from(STAT_FIELDS[3:]), WORDS, max_size=6), comm=NAMES, state=STATES, pid=WORDS)
def test_stat(fields: dict[str, object], comm: bytes, state: bytes, pid: object) -> None:
    line = stat_line(pid, **(fields | {"comm": comm, "state": state}))
    same_on_both(lambda root: fake_process(root, 5, stat=line), info, lambda engine: engine.cpu_time(5))


@settings(max_examples=examples(100), deadline=None)
@given(comm=NAMES, cut=st.integers(0, 300), extra=st.sampled_from([b"", b"\n", b" ", b" 1", b"\n ", b"\nx", b"x"]))
def test_stat_cut_anywhere(comm: bytes, cut: int, extra: bytes) -> None:
    line = stat_line(5, comm=comm)[:cut] + extra
    same_on_both(lambda root: fake_process(root, 5, stat=line), info)


@settings(max_examples=examples(100), deadline=None)
@given(lines=st.permutations(IO_LINES.splitlines(keepends=True)), word=WORDS, cut=st.integers(0, 120))
def test_io(lines: list[bytes], word: object, cut: int) -> None:
    text = b"".join(lines)
    replacement = word if isinstance(word, bytes) else str(word).encode()

    for data in (text[:cut], text.replace(b"4", replacement), text + b"syscr: " + replacement + b"\n"):
        same_on_both(lambda root: write(fake_process(root, 5) / "io", data), lambda engine: engine.disk_io(5))  # noqa: B023


@settings(max_examples=examples(100), deadline=None)
@given(words=st.lists(WORDS, max_size=4), comm=NAMES)
def test_statm_and_comm(words: list[object], comm: bytes) -> None:
    data = b" ".join(word if isinstance(word, bytes) else str(word).encode() for word in words)

    def build(root: Path) -> None:
        directory = fake_process(root, 5)
        write(directory / "statm", data)
        write(directory / "comm", comm + b"\n")

    same_on_both(build, lambda engine: engine.memory(5), lambda engine: engine.comm(5))


@settings(max_examples=examples(100), deadline=None)
@given(words=st.lists(WORDS, max_size=5), end=st.sampled_from([b" ", b"", b"  ", b"\n"]))
def test_children(words: list[object], end: bytes) -> None:
    data = b" ".join(word if isinstance(word, bytes) else str(word).encode() for word in words) + end
    same_on_both(lambda root: fake_process(root, 5, children=data), lambda engine: engine.children(5))


ROLLUPS = st.lists(
    st.one_of(
        st.builds(
            lambda name, space, word, unit: name + space + str(word).encode() + unit + b"\n",
            st.sampled_from([b"Pss:", b"Pss: ", b"Rss:", b"Pss_Anon:", b" Pss:"]),
            st.sampled_from([b"", b"   "]),
            NUMBERS,
            st.sampled_from([b" kB", b"", b"  kB", b" kB ", b"kB"]),
        ),
        st.sampled_from([b"Pss:\n", b"\n", b"Pss: kB\n", b"Pss: 1 kB", b"00400000-7fff ---p [rollup]\n"]),
        st.binary(max_size=8),
    ),
    max_size=5,
).map(b"".join)


@settings(max_examples=examples(200), deadline=None)
@given(rollup=ROLLUPS)
def test_shares(rollup: bytes) -> None:
    same_on_both(
        lambda root: write(fake_process(root, 5) / "smaps_rollup", rollup),
        lambda engine: engine.pss([5, 6], 2**64 - 1),
    )


@settings(max_examples=examples(200), deadline=None)
@given(words=st.lists(WORDS, max_size=5), end=st.sampled_from([b"\n", b"", b"\t7\n", b"\n\n"]), name=st.booleans())
def test_last_pid(words: list[object], end: bytes, name: bool) -> None:
    data = b" ".join(word if isinstance(word, bytes) else str(word).encode() for word in words) + end

    def build(root: Path) -> None:
        (root / "sys/kernel").mkdir(parents=True)
        write(root / ("loadavg" if name else "sys/kernel/ns_last_pid"), data)

    same_on_both(build, lambda engine: engine.last_pid())


FORESTS = st.dictionaries(
    st.integers(2, 40),
    st.tuples(st.integers(0, 40), st.booleans(), st.lists(st.integers(2, 45), max_size=5)),
    min_size=1,
    max_size=25,
)


@settings(max_examples=examples(150), deadline=None)
@given(forest=FORESTS, has_children_files=st.booleans(), wide=st.sampled_from([0, 0, 0, 5, 70]), want=st.integers(0, 7))
def test_trees_with_cycles_strangers_and_the_unreadable(
    forest: dict[int, tuple[int, bool, list[int]]], has_children_files: bool, wide: int, want: int
) -> None:
    leaves = range(1000, 1000 + wide)
    root_pid = next(iter(forest))

    def build(root: Path) -> None:
        write(root / "loadavg", b"0 0 0 1/%d 1\n" % (len(forest) + wide))
        for pid, (ppid, malformed, children) in forest.items():
            listed = [*children, *leaves] if pid == root_pid else children
            data = b"".join(b"%d " % child for child in listed) if has_children_files else None
            stat = b"x" if malformed else stat_line(pid, ppid=ppid, utime=pid, rss=pid)
            fake_process(root, pid, stat=stat, children=data)
        for pid in leaves:
            fake_process(root, pid, ppid=root_pid, children=b"" if has_children_files else None)

    def tree(engine: Any) -> object:
        found = engine.tree(root_pid, want)
        return found and ([member._replace(taken_ns=0) for member in found[0]], found[1])

    same_on_both(build, tree, lambda engine: engine.scan(), lambda engine: engine.pids())


def write(path: Path, data: bytes) -> None:
    path.write_bytes(data)

"""The C core reads the same from ring buffers, whole or torn, as a reader in plain Python, and frees the same room."""

from __future__ import annotations

import mmap
import os
import struct
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.engines import COMPILED, core
from support.examples import examples
from support.records_oracle import PureRecords

from prock.engine.protocol import RECORD_EXEC, RECORD_EXIT, RECORD_FORK, RECORD_RENAME, RECORD_STOPPED

if TYPE_CHECKING:
    from collections.abc import Callable

    from prock.engine.protocol import Records

pytestmark = pytest.mark.skipif(not COMPILED, reason="there is no native engine to compare")

READERS = pytest.mark.parametrize("map_records", [core().map_records, PureRecords] if COMPILED else [])
SIZE = mmap.PAGESIZE
HEAD, TAIL = 1024, 1032
MMAP, FORK, EXIT, COMM, LOST, SWITCH = 1, 7, 4, 3, 2, 14
EXEC = OUT = 1 << 13
FOREVER = 2**64 - 1


def record(kind: int, misc: int, body: bytes, pid: int, tid: int, time_ns: int) -> bytes:
    return struct.pack("=IHH", kind, misc, 8 + len(body) + 16) + body + struct.pack("=iiQ", pid, tid, time_ns)


def task(kind: int, time_ns: int, pid: int, ppid: int) -> bytes:
    return record(kind, 0, struct.pack("=iiiiQ", pid, ppid, pid, ppid, time_ns), ppid, ppid, time_ns)


def name(misc: int, time_ns: int, pid: int, comm: bytes) -> bytes:
    padded = comm + b"\0" * (8 - len(comm) % 8)
    return record(COMM, misc, struct.pack("=ii", pid, pid) + padded, pid, pid, time_ns)


class Buffer:
    """A file that looks like the buffer of an event."""

    def __init__(self, data: bytes, head: int | None = None) -> None:
        """The records may be said to end at another position than they do."""
        self.descriptor = os.memfd_create("buffer")
        ring = data[:SIZE].ljust(SIZE, b"\0")
        page = bytearray(mmap.PAGESIZE)
        struct.pack_into("=Q", page, HEAD, len(data) if head is None else head)
        os.write(self.descriptor, page + ring)

    def tail(self) -> int:
        return int(struct.unpack("=Q", os.pread(self.descriptor, 8, TAIL))[0])


def read(
    map_records: Callable[[list[int], list[int], int], Records],
    buffers: list[bytes],
    heads: list[int | None],
    switches: int,
    until: list[int],
) -> tuple[list[object], list[int]]:
    files = [Buffer(data, head) for data, head in zip(buffers, heads, strict=True)]
    fds = [file.descriptor for file in files]
    of_tasks = len(fds) - switches
    records = map_records(fds[:of_tasks], fds[of_tasks:], SIZE)
    try:
        answers: list[object] = [records.drain(until_ns) for until_ns in until]
    finally:
        records.close()
    tails = [file.tail() for file in files]
    for fd in fds:
        os.close(fd)
    return answers, tails


def same(buffers: list[bytes], heads: list[int | None], switches: int, until: list[int]) -> None:
    read_by_c = read(core().map_records, buffers, heads, switches, until)
    assert read_by_c == read(PureRecords, buffers, heads, switches, until)


TIMES = st.one_of(st.integers(0, 50), st.integers(0, 2**64 - 1))
PIDS = st.one_of(st.integers(0, 5), st.integers(-(2**31), 2**31 - 1))
RECORDS = st.one_of(
    st.builds(task, st.sampled_from([FORK, EXIT]), TIMES, PIDS, PIDS),
    st.builds(name, st.sampled_from([0, EXEC]), TIMES, PIDS, st.binary(max_size=20)),
    st.builds(
        lambda misc, pid, time_ns: record(SWITCH, misc, b"", pid, pid, time_ns), st.sampled_from([0, OUT]), PIDS, TIMES
    ),
    st.builds(lambda lost, time_ns: record(LOST, 0, struct.pack("=QQ", 1, lost), 0, 0, time_ns), TIMES, TIMES),
    st.builds(lambda kind, body: record(kind, 0, body, 1, 1, 1), st.integers(0, 20), st.binary(max_size=160)),
)
STREAMS = st.lists(RECORDS, max_size=30).map(b"".join)


@settings(max_examples=examples(300), deadline=None)
@given(st.lists(STREAMS, min_size=1, max_size=4), st.booleans(), st.lists(TIMES, max_size=3))
def test_records_of_several_cpus(buffers: list[bytes], with_switches: bool, until: list[int]) -> None:
    switches = len(buffers) // 2 if with_switches and len(buffers) % 2 == 0 else 0
    same([data[:SIZE] for data in buffers], [None] * len(buffers), switches, [*until, FOREVER])


@settings(max_examples=examples(300), deadline=None)
@given(st.one_of(STREAMS, st.binary(max_size=300)), st.integers(0, 2**64 - 1), st.data())
def test_any_bytes(data: bytes, head: int, choose: st.DataObject) -> None:
    torn = bytearray(data)
    for at in choose.draw(st.lists(st.integers(0, max(0, len(torn) - 1)), max_size=4)) if torn else ():
        torn[at] = choose.draw(st.integers(0, 255))
    near = choose.draw(st.one_of(st.just(None), st.just(head), st.integers(0, len(torn))))
    same([bytes(torn[:SIZE])], [near], 0, [FOREVER])


@READERS
def test_what_is_read(map_records: Any) -> None:
    mapped = record(MMAP, 0, struct.pack("=ii24x", 5, 5) + b"[vdso]\0\0", 5, 5, 15)
    first = name(EXEC, 10, 5, b"sh") + mapped + task(FORK, 20, 6, 5) + task(EXIT, 50, 5, 1)
    second = name(0, 30, 6, b"\xff)") + task(EXIT, 40, 6, 5) + record(LOST, 0, struct.pack("=QQ", 1, 3), 0, 0, 60)
    on_first = record(SWITCH, OUT, b"", 5, 5, 25) + record(SWITCH, 0, b"", 5, 5, 45)
    on_second = record(SWITCH, 0, b"", 6, 6, 28)
    answers, tails = read(map_records, [first, second, on_first, on_second], [None] * 4, 2, [29, FOREVER])
    expected: list[list[tuple[object, ...]]] = [
        [(RECORD_EXEC, 10, 5, 5, 0, 0, "sh", 0), (RECORD_FORK, 20, 6, 6, 5, 5, None, 0)],
        [
            (RECORD_RENAME, 30, 6, 6, 0, 0, "\udcff)", 0),
            (RECORD_EXIT, 40, 6, 6, 5, 5, None, 12),
            (RECORD_EXIT, 50, 5, 5, 1, 1, None, 15 + 5),
        ],
    ]
    assert answers == [(expected[0], 0, 2, 0), (expected[1], 3, 3, 0)]
    assert tails == [len(first), len(second), len(on_first), len(on_second)]


@READERS
def test_an_exit_before_the_program_is_mapped_is_not_an_exit(map_records: Any) -> None:
    first = name(EXEC, 10, 5, b"su") + task(EXIT, 11, 5, 1) + task(EXIT, 12, 6, 5)
    answers, _ = read(map_records, [first], [None], 0, [FOREVER])
    assert [event[0] for event in answers[0][0]] == [RECORD_EXEC, RECORD_STOPPED, RECORD_EXIT]  # type: ignore[index]


@READERS
def test_a_record_across_the_end_of_the_buffer(map_records: Any) -> None:
    buffer = Buffer(b"")
    records = map_records([buffer.descriptor], [], SIZE)
    at = 0
    for pid in range(1, 400):
        data = task(FORK, pid, pid, 1)
        for byte in data:
            os.pwrite(buffer.descriptor, bytes([byte]), mmap.PAGESIZE + at % SIZE)
            at += 1
        os.pwrite(buffer.descriptor, struct.pack("=Q", at), HEAD)
        assert records.drain(FOREVER)[0] == [(RECORD_FORK, pid, pid, pid, 1, 1, None, 0)]
        assert buffer.tail() == at
    records.close()
    os.close(buffer.descriptor)


@READERS
def test_what_cannot_be_mapped(map_records: Any) -> None:
    reader, writer = os.pipe()
    with pytest.raises(OSError, match="perf events"):
        map_records([reader], [], SIZE)
    with pytest.raises(OSError, match="perf events"):
        map_records([], [], SIZE)
    with pytest.raises(OSError, match="perf events"):
        map_records([reader], [], SIZE - 1)
    with pytest.raises(ValueError, match="events"):
        map_records([reader], [reader, reader], SIZE)
    for end in (reader, writer):
        os.close(end)

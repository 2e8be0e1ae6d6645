"""The plain-Python parsers: what is accepted, and that everything else is refused."""

from __future__ import annotations

import pytest
from support.processes import IO_LINES, stat_line

from prock.engine.pure import parse


def test_stat_fields_are_where_proc5_says() -> None:
    line = stat_line(
        7, comm=b"x", ppid=1, pgrp=2, session=3, tty_nr=4, minflt=5, majflt=6, utime=7, stime=8, cutime=9, cstime=10,
        thread_count=11, starttime=12, vsize=13, rss=14,
    )  # fmt: skip
    pid, comm, state, number = parse.stat(line)
    assert (pid, comm, state) == (7, b"x", b"S")
    places = [
        parse.PPID, parse.PGRP, parse.SESSION, parse.TTY_NR, parse.MINFLT, parse.MAJFLT, parse.UTIME, parse.STIME,
        parse.CUTIME, parse.CSTIME, parse.NUM_THREADS, parse.STARTTIME, parse.VSIZE, parse.RSS,
    ]  # fmt: skip
    assert [number[place] for place in places] == list(range(1, 15))


@pytest.mark.parametrize("comm", [b"", b"a b", b")", b") R 1 1", b"(((", b"\n", b"\xff\xfe", b"x) S 1 (y", b"a\n) Z"])
def test_stat_name_ends_at_the_last_bracket(comm: bytes) -> None:
    assert parse.stat(stat_line(7, comm=comm, utime=5))[1] == comm


def test_stat_counters_that_went_negative_are_zero() -> None:
    assert parse.stat(stat_line(7, cutime=-3))[3][parse.CUTIME] == 0


def test_stat_of_an_older_kernel_ends_with_rss() -> None:
    words = stat_line(7, rss=9).split(b" ")
    assert parse.stat(b" ".join(words[:24]) + b"\n")[3][parse.RSS] == 9


CUT = stat_line(7, rss=123456)
UP_TO_RSS = len(b" ".join(CUT.split(b" ")[:24]))


@pytest.mark.parametrize("length", range(UP_TO_RSS + 1))
def test_stat_cut_anywhere_before_the_end_of_rss_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse.stat(CUT[:length])


@pytest.mark.parametrize(
    "line",
    [
        stat_line(7, utime=2**64),
        stat_line(7, ppid=2**31),
        stat_line(7, utime=b"1_0"),
        stat_line(7, utime=b"+1"),
        stat_line(7, utime=b""),
        stat_line(7, utime=b"0" * 30),
        stat_line(7, state=b"SS"),
        stat_line(7, state=b""),
        b"x" + stat_line(7),
    ],
)
def test_stat_that_is_not_the_form_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse.stat(line)


def test_io_in_any_order_with_lines_of_later_kernels() -> None:
    lines = IO_LINES.splitlines(keepends=True)
    assert parse.io(b"new_counter: 9\n" + b"".join(reversed(lines))) == [5, 6, 7, 1, 2, 3, 4]


@pytest.mark.parametrize(
    "data", [b"", IO_LINES[:-1], IO_LINES.replace(b"syscr: 3\n", b""), IO_LINES.replace(b"3", b"x")]
)
def test_io_that_is_not_the_form_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse.io(data)


@pytest.mark.parametrize(("data", "pids"), [(b"", []), (b"5 ", [5]), (b"5 6 2147483647 ", [5, 6, 2147483647])])
def test_children(data: bytes, pids: list[int]) -> None:
    assert parse.children(data) == pids


@pytest.mark.parametrize("data", [b"5", b" 5 ", b"5  6 ", b"0 ", b"2147483648 ", b"5 x ", b"-5 "])
def test_children_that_are_not_the_form_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse.children(data)


@pytest.mark.parametrize(
    ("ticks", "parts"),
    [((0, 0), (1000, 0)), ((3, 0), (1000, 0)), ((0, 3), (0, 1000)), ((1, 3), (250, 750)), ((1, 2), (333, 667))],
)
def test_split_follows_the_ticks_and_adds_up(ticks: tuple[int, int], parts: tuple[int, int]) -> None:
    assert parse.split(1000, *ticks) == parts

"""What ``prock top`` makes of samples: places, order, folds, filter, rates."""

from __future__ import annotations

import pytest
from support.made_up_samples import NO_IO, member, picture, sample, with_io

from prock.cli.output import Screen
from prock.cli.top import page
from prock.cli.top.model import SORTS, Picture, Rates, all_nodes, lead, lines
from prock.cli.top.render import ASCII_BLOCKS, SAMPLE_COLUMNS, UNICODE_BLOCKS, UNICODE_BRANCHES, Pen

FAMILY = (member(1, 0), member(2, 1), member(3, 1), member(4, 2), member(5, 2))


def pids(made: Picture, **options: object) -> list[int]:
    return [line.node.member.pid for line in lines(made.tops, **{"sort": "pid", **options})]  # type: ignore[arg-type]


def leads(made: Picture, room: int = 300) -> list[str]:
    return [lead(line, UNICODE_BRANCHES, room) for line in lines(made.tops, sort="pid")]


def test_children_stand_below_their_parents() -> None:
    made = picture(*FAMILY)
    assert pids(made) == [1, 2, 4, 5, 3]
    assert leads(made) == ["", "├─ ", "│  ├─ ", "│  └─ ", "└─ "]
    assert [node.is_orphan for node in made.tops] == [False]


def test_branches_keep_those_next_to_the_name() -> None:
    made = picture(*(member(pid, pid - 1) for pid in range(1, 8)))
    assert [len(text) for text in leads(made, 9)] == [0, 3, 6, 9, 9, 9, 9]
    assert all(text.endswith("└─ ") for text in leads(made, 9)[1:])


def test_a_process_whose_main_thread_has_ended_is_no_zombie() -> None:
    now = picture(member(1, 0), member(2, 1, state="Z"), member(3, 1, state="Z", thread_count=2))
    text = "\n".join(page(now, "1 init", "cpu", Pen(Screen(), with_io=False)))
    assert "p2 (zombie)" in text and "p3 (main thread has ended)" in text


def test_orphans_stand_at_the_top() -> None:
    """The root lives; what an adopter outside has taken has no parent here. Then the root has ended, too."""
    made = picture(*FAMILY[:3], member(7, 99), member(8, 7))
    assert pids(made) == [1, 2, 3, 7, 8]
    assert [(top.member.pid, top.is_orphan) for top in made.tops] == [(1, False), (7, True)]
    made = picture(member(2, 77), member(3, 77), root_pid=1)
    assert [(top.member.pid, top.is_orphan) for top in made.tops] == [(2, True), (3, True)]


def test_a_torn_sample_shows_everyone_once() -> None:
    made = picture(member(1, 0), member(3, 4), member(4, 3), member(5, 5))
    assert sorted(pids(made)) == [1, 3, 4, 5]


def test_a_very_deep_tree_needs_no_recursion() -> None:
    made = picture(*(member(pid, pid - 1) for pid in range(1, 5001)))
    assert len(lines(made.tops)) == 5000
    assert len(lines(made.tops, wanted="5000")) == 5000
    assert len(list(all_nodes(made.tops))) == 5000


@pytest.mark.parametrize(
    ("sort", "field", "values"),
    [
        ("cpu", "subtree_cpu_percent", (1.0, 30.0, None)),
        ("rss", "subtree_rss_bytes", (1, 30, None)),
        ("time", "subtree_cpu_ns", (2, 30, 1)),
        ("threads", "subtree_thread_count", (2, 30, 1)),
        ("processes", "subtree_process_count", (2, 30, 1)),
        ("name", "comm", ("b", "A", "c")),
    ],
)
def test_siblings_are_ordered_and_the_unknown_come_last(sort: str, field: str, values: tuple[object, ...]) -> None:
    children = [member(pid, 1, **{field: value}) for pid, value in zip((2, 3, 4), values, strict=True)]
    assert pids(picture(member(1, 0), *children), sort=sort) == [1, 3, 2, 4]


@pytest.mark.parametrize("sort", SORTS)
def test_equals_are_ordered_by_pid(sort: str) -> None:
    made = picture(member(1, 0), *(member(pid, 1, comm="same") for pid in (4, 2, 3)))
    assert pids(made, sort=sort) == [1, 2, 3, 4]


def test_what_is_folded_is_counted() -> None:
    made = picture(*FAMILY)
    shown = lines(made.tops, sort="pid", folded={(2, 2)})
    assert [(line.node.member.pid, line.hidden) for line in shown] == [(1, 0), (2, 2), (3, 0)]
    assert pids(made, folded={(3, 3), (2, 999)}) == [1, 2, 4, 5, 3]  # one without children; another process's pid


@pytest.mark.parametrize(
    ("wanted", "shown"),
    [("p4", [1, 2, 4]), ("P4", [1, 2, 4]), ("5", [1, 2, 5]), ("p", [1, 2, 4, 5, 3]), ("nobody", [])],
)
def test_a_filter_keeps_hits_and_the_way_there(wanted: str, shown: list[int]) -> None:
    assert pids(picture(*FAMILY), wanted=wanted) == shown
    assert pids(picture(*FAMILY), wanted=wanted, folded={(1, 1), (2, 2)}) == shown


def test_a_filter_sees_names_as_they_are_shown() -> None:
    made = picture(member(1, 0, comm="a\x1b[31m"), member(2, 1, comm="b\udcff"))
    assert pids(made, wanted=r"\x1b") == [1]
    assert pids(made, wanted=r"\xff") == [1, 2]


def test_rates_are_of_the_interval() -> None:
    root, old = with_io(member(1, 0), 100, 10), with_io(member(2, 1), 50, 0)
    first = picture(root, old, disk_io=NO_IO._replace(read_bytes=1000))
    assert first.totals.rates == Rates(1000.0, 0.0)
    assert [node.rates for node in all_nodes(first.tops)] == [None, None]
    born, adopted = with_io(member(3, 1), 8, 0), with_io(member(4, 1, cpu_percent=None), 9, 0)
    second = picture(
        with_io(root, 300, 5),
        with_io(old, 50, 6),
        born,
        adopted,
        before=first,
        disk_io=NO_IO._replace(read_bytes=5000),
        interval_ns=2 * 10**9,
    )
    assert second.totals.rates == Rates(2000.0, 0.0)
    rates = {node.member.pid: node.rates for node in all_nodes(second.tops)}
    assert rates == {1: Rates(100.0, 0.0), 2: Rates(0.0, 3.0), 3: Rates(4.0, 0.0), 4: None}


def test_refused_io_makes_rates_too_low_or_unknown() -> None:
    """The sums of what is known are there; whether that is all of them, or none, is for us to find out."""
    refused = member(3, 2, subtree_disk_io=NO_IO, refused=("io",))
    members = (
        with_io(member(1, 0, subtree_process_count=3), 5, 5),
        with_io(member(2, 1, subtree_process_count=2), 5, 5),
        refused,
    )
    first = picture(*members, disk_io=NO_IO)
    made = picture(*members, before=first, disk_io=NO_IO)
    shown = {
        node.member.pid: Pen(Screen(), with_io=True).cells(node, SAMPLE_COLUMNS)[8] for node in all_nodes(made.tops)
    }
    assert shown == {1: "≥0B", 2: "≥0B", 3: "-"}
    assert (made.totals.with_io, made.totals.processes) == (2, 3)
    first = picture(refused, disk_io=NO_IO)
    assert picture(refused, before=first, disk_io=NO_IO).totals.rates is None


def test_totals_of_several_trees() -> None:
    trees = [
        sample(member(1, 0), cpu_ns=5, cpu_percent=10.0, rss_bytes=7, ended_cpu_ns=1, denied=1),
        sample(member(9, 0), cpu_ns=6, cpu_percent=20.0, rss_bytes=None, unseen_cpu_ns=2),
    ]
    totals = Picture(trees).totals
    assert (totals.processes, totals.cpu_ns, totals.cpu_percent, totals.rss_bytes) == (2, 11, 30.0, 7)
    assert (totals.ended_cpu_ns, totals.unseen_cpu_ns, totals.denied) == (1, 2, 1)
    assert len(totals.accuracy) == 1  # said once, as it is the same for both
    assert not totals.is_over


def test_nothing_known_is_not_zero() -> None:
    totals = picture(member(1, 0), cpu_percent=None, rss_bytes=None).totals
    assert (totals.cpu_percent, totals.rss_bytes, totals.rates) == (None, None, None)


def test_blocks_of_both_kinds_have_the_same_steps() -> None:
    assert len(UNICODE_BLOCKS) == len(ASCII_BLOCKS) == 8
    assert ASCII_BLOCKS.isascii()


def test_the_total_names_the_time_of_its_percentage() -> None:
    """That of the ledger is over more than a short interval."""
    now = picture(member(1, 0), interval_ns=2 * 10**8, cpu_percent_over_ns=9 * 10**8, cpu_percent=50.0)
    text = "\n".join(page(now, "1 init", "cpu", Pen(Screen(), with_io=False)))
    assert "%CPU 50.0 over 0.90 s" in text

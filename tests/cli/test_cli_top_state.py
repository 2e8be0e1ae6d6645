"""What keys do to the view of ``prock top``, and what it draws; no terminal is needed for that."""

from __future__ import annotations

import pytest
from support.made_up_samples import Desk, member, picture

from prock.cli.output import Screen
from prock.cli.top.panes import wrap
from prock.cli.top.render import ASCII_BLOCKS, Pen
from prock.cli.top.view import INTERVALS_S
from prock.report.layout import width

FAMILY = (member(1, 0), member(2, 1), member(3, 1), member(4, 2), member(5, 2))
SIZES = [(200, 60), (80, 24), (40, 10), (25, 5), (10, 3), (3, 2), (1, 1)]


def test_folding() -> None:
    desk = Desk(*FAMILY)
    desk.press("down", "enter")
    assert desk.pids == [1, 2, 3]
    assert any("[+2] p2" in line for line in desk.text())
    desk.press("enter")
    assert desk.pids == [1, 2, 4, 5, 3]
    desk.press("left")
    assert desk.pids == [1, 2, 3]
    desk.press("left")  # is folded already: to its parent
    assert desk.state.selected == FAMILY[0]
    desk.press("down", "right", "right")  # unfold, then to the first child
    assert desk.pids == [1, 2, 4, 5, 3]
    assert desk.state.selected == FAMILY[3]
    desk.press("enter")  # nothing below it
    assert desk.pids == [1, 2, 4, 5, 3]


def test_folding_all() -> None:
    desk = Desk(*FAMILY)
    desk.press("a")
    assert desk.pids == [1, 2, 3]
    desk.press("a")
    assert desk.pids == [1, 2, 4, 5, 3]


def test_moving_stays_within() -> None:
    desk = Desk(*(member(pid, 1 if pid > 1 else 0) for pid in range(1, 101)))
    desk.press("up")
    assert desk.state.cursor == 0
    desk.press("end", "down")
    assert desk.state.cursor == 99
    assert any(line.endswith("p100") for line in desk.text())
    desk.press("pageup")
    assert 0 < desk.state.cursor < 99
    desk.press("home", "pagedown", "pageup")
    assert desk.state.cursor == 0
    assert any(line.endswith(" p1") for line in desk.text())


def test_the_cursor_stays_with_its_process() -> None:
    desk = Desk(*FAMILY)
    desk.press("down", "down")
    assert desk.state.selected == FAMILY[3]
    desk.state.take(picture(FAMILY[0], *(member(pid, 1) for pid in (6, 7)), FAMILY[1], FAMILY[3]))
    assert desk.state.selected == FAMILY[3]
    desk.state.take(picture(FAMILY[0]))  # it has ended
    assert desk.state.selected == FAMILY[0]


def test_ordering() -> None:
    desk = Desk(member(1, 0), member(2, 1, subtree_cpu_percent=1.0), member(3, 1, subtree_rss_bytes=10**6, comm="a"))
    orders = {}
    for key in "cmtpn":
        desk.press(key)
        orders[desk.state.sort] = desk.pids[1:]
    assert orders == {"cpu": [2, 3], "rss": [3, 2], "time": [2, 3], "pid": [2, 3], "name": [3, 2]}
    desk.press("c", "greater_than_sign")
    assert desk.state.sort == "rss"
    desk.press("less_than_sign", "less_than_sign")
    assert desk.state.sort == "name"


def test_filtering() -> None:
    desk = Desk(*FAMILY)
    desk.press("slash", "p", "q", "backspace", "4")
    assert desk.pids == [1, 2, 4]  # while it is typed; a q does not quit
    assert desk.text()[-1].startswith("/p4")
    desk.press("enter")
    assert "only *p4*" in desk.text()[-1]
    desk.press("escape")
    assert len(desk.pids) == 5
    desk.press("slash", "x", "ctrl+u", "5", "escape")
    assert len(desk.pids) == 5
    desk.press("slash")
    desk.state.paste("p\x1b5\n")
    assert desk.state.filter == "p5"
    assert not desk.state.is_done


def test_a_filter_without_a_hit_leaves_nothing_to_choose() -> None:
    desk = Desk(*FAMILY)
    desk.press("slash", "x", "enter")
    desk.press("up", "down", "end", "enter", "left", "right", "d", "k", "a")
    assert (desk.pids, desk.state.selected, desk.state.pane, desk.details) == ([], None, None, [])
    desk.text()


def test_a_pause_holds_all_that_is_shown() -> None:
    desk = Desk(*FAMILY, cpu_percent=1.0)
    desk.press("space")
    before = desk.text()
    assert before[0].startswith("PAUSED")
    desk.state.take(picture(FAMILY[0], cpu_percent=99.0))
    desk.state.take(picture(FAMILY[0], cpu_percent=50.0))
    assert desk.text() == before
    desk.press("space")
    assert desk.pids == [1]
    after = desk.text()
    assert "50.0%" in after[1] and "peak 99.0%" in after[1]  # the history has what came meanwhile


def test_the_interval() -> None:
    desk = Desk(*FAMILY)
    desk.press("plus", "plus", "minus")
    assert desk.intervals == [2.0, 5.0, 2.0]
    assert "every 2 s" in desk.text()[0]
    desk.press(*["minus"] * 20)
    assert desk.intervals[-1] == INTERVALS_S[0]
    desk.press(*["plus"] * 20)
    assert desk.intervals[-1] == INTERVALS_S[-1]


def test_details_are_asked_of_the_selected() -> None:
    desk = Desk(*FAMILY)
    desk.press("down", "d", "i")
    assert desk.details == [FAMILY[1], FAMILY[1]]


def test_help_is_read_page_by_page_and_left() -> None:
    desk = Desk(*FAMILY)
    desk.press("question_mark")
    assert any("sort by" in line for line in desk.text())
    assert "down" in desk.text(40, 12)[-4]
    desk.press("end")
    desk.text(40, 12)
    desk.press("end")
    assert any("Esc: back" in line for line in desk.text(40, 12))
    desk.press("q")
    assert desk.state.pane is None and not desk.state.is_done


def test_only_a_yes_sends_a_signal() -> None:
    desk = Desk(*FAMILY)
    for keys in (("k", "escape"), ("k", "q"), ("k", "enter", "enter"), ("k", "enter", "n"), ("k", "enter", "escape")):
        desk.press(*keys)
        assert (desk.state.pane, desk.state.message) == (None, "")
    desk.press("k", "down", "enter")
    assert any("Send SIGINT to 1 p1?" in line for line in desk.text())


def test_an_identity_of_long_ago_is_not_signalled() -> None:
    desk = Desk(member(1, 0, start_ticks=-1))  # pid 1 lives, and did not start before the machine
    desk.press("k", "enter", "y")
    assert desk.state.message == "process 1 has ended"


def test_over() -> None:
    desk = Desk(*FAMILY)
    desk.state.take(picture())
    text = desk.text()
    assert text[0].startswith("OVER")
    assert desk.pids == [1, 2, 4, 5, 3]  # the last picture
    assert "all processes have ended" in text[-1]
    desk.press("q")
    assert desk.state.is_done


def test_over_before_anything_was_seen() -> None:
    desk = Desk()
    desk.state.take(picture())
    assert desk.text()[0].startswith("OVER")


@pytest.mark.parametrize(("columns", "rows"), SIZES)
@pytest.mark.parametrize("keys", [(), ("question_mark",), ("k",), ("k", "enter"), ("slash",), ("space",)])
def test_every_size_is_filled_and_kept(columns: int, rows: int, keys: tuple[str, ...]) -> None:
    hostile = "\x1b[31m\n\u202e\udcff漢字" * 5
    desk = Desk(*FAMILY, member(6, 5, comm=hostile, state="Z"), *(member(pid, 6) for pid in range(7, 90)), denied=3)
    desk.press("end", "up", "left", *keys)
    text = desk.text(columns, rows)
    assert len(text) == rows
    assert all(width(line) <= columns for line in text)
    assert all(line.isprintable() for line in text)


@pytest.mark.parametrize(("columns", "rows"), SIZES[:-2])
def test_what_the_totals_miss_is_never_hidden(columns: int, rows: int) -> None:
    desk = Desk(*FAMILY, ended_cpu_ns=10**9, unseen_cpu_ns=2 * 10**9, cpu_ns=5 * 10**9, denied=2)
    for keys in ((), ("question_mark",), ("k",)):
        desk.press(*keys)
        text = "\n".join(desk.text(columns, rows))
        assert "ended" in text and "accuracy" in text
    assert "ended     sampled 1.000s, never sampled 2.000s, of 5.000s" in desk.text(60, 10)
    assert "2 denied" in "\n".join(desk.text(40, 10))


def test_nothing_is_drawn_before_the_first_sample_but_that() -> None:
    desk = Desk()
    assert any("waiting for the first sample" in line for line in desk.text())
    desk.press("down", "enter", "left", "d", "k", "a", "space", "space", "question_mark", "escape")
    assert len(desk.text()) == 24


def test_a_click_on_a_title_orders_and_one_on_a_row_selects() -> None:
    desk = Desk(*FAMILY)
    text = desk.text()
    titles = next(y for y, line in enumerate(text) if "COMMAND" in line)
    desk.state.click(text[titles].index("RSS+") + 1, titles)
    assert desk.state.sort == "rss"
    desk.state.click(text[titles].index("COMMAND") + 3, titles)
    assert desk.state.sort == "name"
    desk.state.click(0, titles + 2)
    assert desk.state.cursor == 1
    desk.state.click(0, titles + 9)  # below the last row
    assert desk.state.cursor == 1


def test_narrow_terminals_lose_columns_and_keep_names() -> None:
    pen = Pen(Screen(), with_io=True)
    for columns in range(120, 20, -5):
        chosen = pen.fitting_columns(columns)
        assert sum(column.width + 1 for column in chosen) + 24 <= columns or len(chosen) == 1
    assert [column.title for column in pen.fitting_columns(44)] == ["PID", "%CPU+", "RSS+"]


def test_history() -> None:
    pen = Pen(Screen(), with_io=False, poor=True)
    assert pen.sparkline([0.0, 50.0, None, 100.0], 80) == ASCII_BLOCKS[0] + ASCII_BLOCKS[4] + " " + ASCII_BLOCKS[7]
    assert pen.sparkline([0.0, 50.0, 100.0], 2) == ASCII_BLOCKS[4] + ASCII_BLOCKS[7]
    assert pen.sparkline([0.0, 0.0], 80) == ASCII_BLOCKS[0] * 2
    assert pen.sparkline([1.0], 0) == ""


def test_long_lines_are_wrapped_by_their_width() -> None:
    assert wrap("漢字漢字", 5) == ["漢字", "漢字"]
    assert wrap("abc", 2) == ["ab", "c"]
    assert wrap("漢字", 1) == ["漢", "字"]
    assert wrap("", 5) == [""]

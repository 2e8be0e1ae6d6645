"""Names of strangers on a screen."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from support.hostile import is_harmless

from prock.cli.output import describe
from prock.report.layout import (
    COLOURS,
    MOST_MARKS,
    count,
    cut,
    decode_bytes,
    escape,
    format_age,
    harmless,
    table,
    width,
)

ODD = "\x00\t\n\r\x1b[1;31m\x7f\x85\x9b\xa0\u0300\u0301\u0489\u061c\u115f\u200d\u202e\u2028\u2066\u3164\ufe0f\ufeff"
ODD += "\udcff\\\ud800"
NAMES = st.one_of(
    st.binary(max_size=15).map(lambda name: name.decode("utf-8", "surrogateescape")),
    st.text(st.sampled_from(ODD + "ab\u6f22\u00e9\u05d0"), max_size=15),
    st.text(st.characters(exclude_categories=()), max_size=15),
)


def test_no_character_reaches_the_terminal_that_could_move_it() -> None:
    every = list(map(chr, range(sys.maxunicode + 1)))
    assert all(escape(character).isprintable() for character in every)
    is_harmless("\n".join(escape(f"a{character}") for character in every).encode())


@settings(deadline=None)
@given(NAMES)
def test_what_is_escaped_is_harmless_and_stays_as_it_is(name: str) -> None:
    shown = escape(name)
    assert is_harmless(shown.encode()) == shown
    assert escape(shown) == shown == harmless(shown)


@settings(deadline=None)
@given(st.text(st.sampled_from(ODD + "ab \u6f22\uff46\u00e9\u05d0\u03bb\u20ac\u2026\U0001f600"), max_size=15))
def test_as_wide_as_a_terminal_draws_it(name: str) -> None:
    assert width(escape(name)) == cell_len(escape(name))


@settings(deadline=None)
@given(st.lists(st.one_of(NAMES, st.sampled_from([f"\x1b[{code}m" for code in COLOURS.values()]))))
def test_the_last_look_lets_nothing_through_but_colours(parts: list[str]) -> None:
    line = harmless("".join(parts))
    assert harmless(line) == line
    for code in COLOURS.values():
        line = line.replace(f"\x1b[{code}m", "")
    assert line.isprintable()


def test_accents_pile_up_only_so_far() -> None:
    for marks in range(9):
        kept, written_out = min(marks, MOST_MARKS), max(0, marks - MOST_MARKS)
        assert escape("e" + "\u0301" * marks) == "e" + "\u0301" * kept + r"\u0301" * written_out
    assert escape("\u0301e") == r"\u0301e"
    assert escape("\n\u0301e") == r"\n\u0301e"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("bash", "bash"),
        ("(sd-pam)", "(sd-pam)"),
        ("a\nb\r\tc", r"a\nb\r\tc"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("\x7f\x9b1m", r"\x7f\x9b1m"),
        ("\u202eexe.txt", r"\u202eexe.txt"),
        ("a\u200bb\u00a0c", r"a\u200bb\xa0c"),
        ("caf\udce9", r"caf\xe9"),
        ("漢字", "漢字"),
        ("\ufe0f\u3164x\u034f", r"\ufe0f\u3164x\u034f"),
        ("\ud800", r"\ud800"),
    ],
)
def test_escape(text: str, shown: str) -> None:
    assert escape(text) == shown


@settings(deadline=None)
@given(NAMES)
def test_names_fit_into_every_encoding_and_one_line(name: str) -> None:
    for encoding in ("utf-8", "ascii", "iso8859-1", "koi8-r"):
        shown = escape(name, encoding)
        assert shown.isprintable()
        assert shown.encode(encoding).decode(encoding) == shown


@settings(deadline=None)
@given(NAMES)
def test_decoded_names_are_what_strict_readers_take(name: str) -> None:
    told = decode_bytes(name)
    assert told.encode("utf-8").decode("utf-8") == told


@settings(deadline=None)
@given(NAMES, st.integers(0, 30))
def test_cut_is_never_wider_than_asked(name: str, columns: int) -> None:
    shown = escape(name)
    short = cut(shown, columns)
    assert width(short) <= columns
    assert short == shown if width(shown) <= columns else short == "" or short.endswith("…")


def test_wide_and_combining_characters() -> None:
    assert [width(text) for text in ("漢字", "e\u0301", "ｆ", "a")] == [4, 1, 2, 1]
    assert cut("漢字進程", 5) == "漢字…"
    assert cut("漢字進程", 4) == "漢…"


def test_columns_stand_below_each_other() -> None:
    lines = table([("漢", "x", "NAME"), ("1", "-", "a long one"), ("200", "≥4.0K", "")])
    assert (
        len({width(line[: line.index(last)]) for line, last in zip(lines, ("NAME", "a long one"), strict=False)}) == 1
    )
    assert all(width(line) >= width("200  ≥4.0K  ") for line in lines)


@pytest.mark.parametrize(
    ("seconds", "said"), [(-3.0, "0s"), (59.9, "59s"), (60, "1m 0s"), (3_600, "1h 0m"), (90_000, "1d 1h")]
)
def test_age(seconds: float, said: str) -> None:
    assert format_age(seconds) == said


def test_counts() -> None:
    assert [count(number, "process", "processes") for number in (0, 1, 2)] == [
        "0 processes",
        "1 process",
        "2 processes",
    ]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(24, "Too many open files", "/proc/1/stat"), "Too many open files: /proc/1/stat"),
        (OSError(24, "Too many open files", b"/proc/\xff\n"), r"Too many open files: /proc/\xff\n"),
        (OSError(12, "Cannot allocate memory"), "Cannot allocate memory"),
        (OSError("odd"), "odd"),
        (OSError(), "OSError"),
    ],
)
def test_errors_in_words(error: OSError, said: str) -> None:
    assert describe(error) == said

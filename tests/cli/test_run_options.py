"""The two readers of the options of ``prock run``: the quick one understands nothing that argparse does not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prock.cli.argtypes import count_argument, duration_argument, size_argument
from prock.cli.output import Failure
from prock.cli.run.options import ATTACH, RUN, NotPlain, Settings, build_parser, parse, read

HELP = {"name": "run", "usage": "prock run", "summary": "run", "epilog": "end"}
OPTIONS = [option for group in RUN.values() for option in group]
FLAGS = [flag for option in OPTIONS for flag in option.flags]
SHORT = "".join(flag[1] for flag in FLAGS if len(flag) == 2)
VALUES = ["1", "0.5", "2m", "auto", "cgroup", "a=b", "-", "", "file", "-1", "--", "-q", "100M", "nan", "ls", "=", "a b"]

words = st.one_of(
    st.sampled_from(FLAGS),
    st.sampled_from(VALUES),
    st.builds("{}={}".format, st.sampled_from(FLAGS), st.sampled_from(VALUES)),
    st.builds("{}{}".format, st.sampled_from(FLAGS), st.sampled_from(VALUES)),
    st.builds("-{}".format, st.text(SHORT + "hx5=", min_size=1, max_size=4)),
)


@given(st.lists(words, max_size=8))
def test_both_readers_agree(arguments: list[str]) -> None:
    try:
        settings, command = read(iter(arguments), RUN)
    except (NotPlain, Failure):
        return
    options = arguments[: len(arguments) - len(command)]
    if options and options[-1] == "--":
        options.pop()
    theirs = build_parser(RUN, **HELP).parse_args(options)
    assert vars(settings) == vars(theirs)


@given(st.lists(words, max_size=8))
def test_whatever_is_said_is_understood_or_refused_in_one_line(arguments: list[str]) -> None:
    failure: BaseException | None = None
    try:
        parse(arguments, RUN, **HELP)
    except (Failure, SystemExit) as caught:
        failure = caught
    if isinstance(failure, SystemExit):
        assert failure.code == 0
    if isinstance(failure, Failure):
        assert failure.exit_code == 2
        assert str(failure).isprintable()


def given_words(*arguments: str) -> tuple[dict[str, Any], list[str]]:
    settings, command = parse(arguments, RUN, **HELP)
    usual = vars(Settings(RUN))
    return {name: value for name, value in vars(settings).items() if value != usual[name]}, command


@pytest.mark.parametrize(
    ("line", "changed", "command"),
    [
        ("ls -q", {}, ["ls", "-q"]),
        ("-q ls -v", {"quiet": True}, ["ls", "-v"]),
        ("-- -q", {}, ["-q"]),
        ("-q -- --json", {"quiet": True}, ["--json"]),
        ("-vvr5 ls", {"verbose": 2, "repeat": 5}, ["ls"]),
        ("-r5 ls", {"repeat": 5}, ["ls"]),
        ("-vr 5 ls", {"verbose": 1, "repeat": 5}, ["ls"]),
        ("--json - ls", {"json": "-"}, ["ls"]),
        ("--json=a=b ls", {"json": "a=b"}, ["ls"]),
        ("--label a=b --label c=d ls", {"labels": [("a", "b"), ("c", "d")]}, ["ls"]),
        ("-t 2m --max-memory 1.5G ls", {"timeout": 120.0, "max_memory": 3 * 2**29}, ["ls"]),
        ("--no-progress ls", {"progress": False}, ["ls"]),
        ("ls -- x", {}, ["ls", "--", "x"]),
        ("-", {}, ["-"]),
        ("--accounting perf ls", {"accounting": "perf"}, ["ls"]),
    ],
)
def test_lines(line: str, changed: dict[str, Any], command: list[str]) -> None:
    assert given_words(*line.split()) == (changed, command)


@pytest.mark.parametrize(
    "line",
    [
        "--nonsense ls",
        "--js x ls",
        "-x ls",
        "--json",
        "--quiet=1 ls",
        "--timeout soon ls",
        "--timeout -1 ls",
        "--timeout 1_0 ls",
        "--max-memory 1X ls",
        "--label novalue ls",
        "--accounting guess ls",
        "--repeat -1 ls",
        "--interval 0 ls",
        "-o -q ls",
    ],
)
def test_what_is_refused(line: str) -> None:
    with pytest.raises(Failure) as caught:
        given_words(*line.split())
    assert caught.value.exit_code == 2


def test_what_follows_a_mistake_is_not_judged() -> None:
    with pytest.raises(Failure, match=r"^unrecognized arguments: --nonsense \(see"):
        given_words("--nonsense", "ls", "-l")


def test_attaching_ends_nothing() -> None:
    flags = {flag for group in ATTACH.values() for option in group for flag in option.flags}
    assert not flags & {"--timeout", "--kill-tree", "--repeat", "--max-cpu"}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("1.5", 1.5),
        ("500ms", 0.5),
        ("90s", 90),
        ("10m", 600),
        ("1h30m", 5400),
        ("1d", 86_400),
        ("1m500ms", 60.5),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert duration_argument(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["abc", "", "-1", "1x", "m", "1m1h", "1m1m", "30m10", "1_0s", "nan", "inf", "1e3s", "1.5.2s", " 1s", "1 s"]
)
def test_what_is_not_a_duration(text: str) -> None:
    with pytest.raises(Failure) as caught:
        duration_argument(text)
    expected = f"invalid duration {text!r}: use seconds or a unit, such as 500ms, 30s, 10m, 1h30m"
    assert str(caught.value) == expected


def test_a_value_that_is_too_large_is_refused_with_the_limit() -> None:
    for convert, text, limit in (
        (duration_argument, "99999d", "use at most 3660d"),
        (size_argument, "8388608T", "use less than 8388608T"),
        (count_argument, "1" * 10, "use at most 999999999"),
    ):
        with pytest.raises(Failure, match=limit):
            convert(text)


@pytest.mark.parametrize(
    ("options", "pair"),
    [
        (["-q", "-o", "x"], "-q and -o"),
        (["-qf", "%x"], "-q and -f"),
        (["-qp"], "-q and -p"),
        (["-p", "-f", "gnu"], "-f and -p"),
        (["-qv"], "-q and -v"),
        (["-vf", "gnu"], "-f and -v"),
        (["-pv"], "-p and -v"),
    ],
)
def test_options_of_which_one_would_be_ignored_are_refused(options: list[str], pair: str) -> None:
    with pytest.raises(Failure, match=f"^{pair} contradict each other: leave one out") as caught:
        parse([*options, "ls"], RUN, **HELP)
    assert caught.value.exit_code == 2
    with pytest.raises(Failure, match=f"^{pair} contradict"):
        parse([*options, "1"], ATTACH, **HELP)


def test_rows_for_a_document_do_not_contradict_a_quiet_report() -> None:
    assert given_words("-qv", "--json", "x", "ls")[0] == {"quiet": True, "verbose": 1, "json": "x"}


def test_appending_needs_a_file() -> None:
    with pytest.raises(Failure, match=r"^-a needs a file to append to: add -o FILE"):
        parse(["-a", "ls"], RUN, **HELP)


@pytest.mark.parametrize("zero", ["0", "0.0", "0s", "0ms"])
def test_a_timeout_of_nothing_is_refused(zero: str) -> None:
    with pytest.raises(Failure, match=rf"^invalid timeout '{zero}': use more than 0$"):
        parse(["-t", zero, "ls"], RUN, **HELP)

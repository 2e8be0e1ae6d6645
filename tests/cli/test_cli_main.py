"""What every subcommand owes its caller: exit codes, one line for an error, a clean end."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys

import pytest
from support.command_line import (
    COLOUR,
    NO_PID,
    TIMEOUT_S,
    Watch,
    command,
    environment,
    is_one_line,
    on_terminal,
    prock,
)
from support.run_engines import on_both

import prock as package
from prock.cli import COMMANDS, main
from prock.cli.argtypes import pid_argument
from prock.cli.output import Failure
from prock.cli.parser import GROUPS

pytestmark = on_both

ENDLESS = {"top": ("--plain", "--count", "1", "--interval", "0.01")}
"""What makes those come to an end that would follow a tree to its own."""
NEED_ARGUMENTS = ("run", "attach", "trace", "report", "diff", "export", "mark", "serve")
ALL_PLAIN = [(name, *ENDLESS.get(name, ())) for name in COMMANDS if name not in NEED_ARGUMENTS]
ALL_JSON = [(*called, "--json") for called in ALL_PLAIN]
NOT_PIDS = ["abc", "0", "-5", "1_000", "１２", "1.5", "+3", " 7", "", "2147483648", "9" * 5000, "1\n2", "\x1b[31m"]
UNWANTED = (
    "rich",
    "textual",
    "asyncio",
    "threading",
    "typing",
    "subprocess",
    "dataclasses",
    "json",
    "shutil",
    "ctypes",
)


def test_alone_it_prints_help_as_an_error() -> None:
    done = prock()
    assert (done.returncode, done.stdout) == (2, "")
    assert all(name in done.stderr for name in COMMANDS)


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_lists_the_commands(option: str) -> None:
    done = prock(option)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(name for names in GROUPS.values() for name in names) == sorted(COMMANDS)
    assert re.findall(r"^  ([a-z]+) ", done.stdout.partition("\nmeasure:")[2], re.M) == list(COMMANDS)
    assert re.findall(r"^([a-z ]+):$", done.stdout, re.M) == ["options", *GROUPS]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_has_an_example_and_fits_80_columns(name: str) -> None:
    done = prock(name, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"  prock {name}" in done.stdout.partition("example")[2]
    assert max(map(len, on_terminal(name, "--help").split("\n"))) <= 80


def test_version() -> None:
    done = prock("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"prock {package.__version__}\n", "")


@pytest.mark.parametrize("arguments", [["nonsense"], ["--nonsense"], ["nonsense", "stat"], ["\x1b[31m\n"]])
def test_what_is_no_command_is_a_usage_error(arguments: list[str]) -> None:
    done = prock(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert is_one_line(done.stderr, "prock: ")


@pytest.mark.parametrize(
    ("word", "advice"),
    [
        ("rnu", "did you mean run? (see prock --help)"),
        ("stats", "did you mean stat? (see prock --help)"),
        ("env", "to measure it, use prock run env"),
        ("nonsense", f"use one of {', '.join(COMMANDS)}"),
    ],
)
def test_an_unknown_command_gets_the_nearest(word: str, advice: str) -> None:
    done = prock(word)
    assert (done.returncode, done.stderr) == (2, f"prock: unknown command '{word}': {advice}\n")


@pytest.mark.parametrize("text", NOT_PIDS)
def test_garbage_is_no_pid(text: str) -> None:
    with pytest.raises(Failure, match=r"^invalid PID ") as caught:
        pid_argument(text)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("name", ["stat", "tree", "top"])
@pytest.mark.parametrize("text", ["abc", "-5", "\x1b[31m\n"])
def test_garbage_is_a_usage_error(name: str, text: str) -> None:
    done = prock(name, text)
    assert (done.returncode, done.stdout) == (2, "")
    assert is_one_line(done.stderr, f"prock {name}: invalid PID {text!r}: ")


@pytest.mark.parametrize(
    "arguments",
    [
        ["stat", "1", "2"],
        ["stat", "--js"],
        ["tree", "--sort", "colour"],
        ["tree", "--depth", "-1"],
        ["tree", "--interval", "nan"],
        ["tree", "--interval", "0"],
        ["tree", "--interval", "soon"],
        ["tree", "--sort", "io", "--no-io"],
        ["scan", "--interval", "inf"],
        ["scan", "-n", "few"],
        ["scan", "--sort", "pid"],
        ["scan", "\x1b[31m\n"],
        ["doctor", "1"],
        ["top", "1", "--name", "x"],
        ["top", "--full"],
        ["top", "--name", "("],
        ["top", "--sort", "io"],
        ["top", "--interval", "0"],
        ["top", "--count", "-1"],
        ["top", "--name"],
    ],
)
def test_wrong_arguments_are_usage_errors(arguments: list[str]) -> None:
    done = prock(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert is_one_line(done.stderr, f"prock {arguments[0]}: ")


@pytest.mark.parametrize("name", ["stat", "tree", "top"])
@pytest.mark.parametrize("option", [[], ["--json"]])
def test_a_pid_that_never_was(name: str, option: list[str]) -> None:
    done = prock(name, NO_PID, *option)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"prock {name}: no process {NO_PID}\n")


@pytest.mark.parametrize("name", ["stat", "tree", "top"])
def test_a_process_that_ended(name: str, dead_pid: int) -> None:
    done = prock(name, dead_pid)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"prock {name}: no process {dead_pid}\n")


@pytest.mark.parametrize("arguments", [*ALL_PLAIN, *ALL_JSON, ("--help",), ("stat", "--help")])
def test_a_reader_that_went_away_ends_it_quietly(arguments: tuple[str, ...]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        command(*arguments), stdout=writer, stderr=subprocess.PIPE, env=environment(), timeout=TIMEOUT_S, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("arguments", [*ALL_PLAIN, *ALL_JSON, ("--help",), ("--version",)])
def test_a_full_disk_is_said_in_one_line(arguments: tuple[str, ...]) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            command(*arguments),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
            timeout=TIMEOUT_S,
            check=False,
        )
    assert done.returncode == 1
    assert is_one_line(done.stderr, "prock")
    assert "cannot write the output: No space left on device" in done.stderr


@pytest.mark.parametrize("arguments", [("stat",), ("stat", "--json"), ("scan", "--json"), ("--help",)])
def test_a_closed_output_is_said_in_one_line(arguments: tuple[str, ...]) -> None:
    closing = ["sh", "-c", 'exec "$@" >&-', "sh", *command(*arguments)]
    done = subprocess.run(closing, stderr=subprocess.PIPE, text=True, env=environment(), timeout=TIMEOUT_S, check=False)
    assert done.returncode == 1
    assert is_one_line(done.stderr, "prock")
    assert "standard output is closed" in done.stderr


@pytest.mark.parametrize(("arguments", "code"), [(("stat", "abc"), 2), (("stat", str(NO_PID)), 1), ((), 2)])
def test_nobody_to_complain_to(arguments: tuple[str, ...], code: int) -> None:
    closing = ["sh", "-c", 'exec "$@" 2>&-', "sh", *command(*arguments)]
    done = subprocess.run(closing, stdout=subprocess.PIPE, env=environment(), timeout=TIMEOUT_S, check=False)
    assert (done.returncode, done.stdout) == (code, b"")


@pytest.mark.parametrize("name", ["tree", "scan", "top"])
def test_ctrl_c_in_an_interval_ends_it_as_a_shell_expects(name: str) -> None:
    watch = Watch(name)
    watch.popen.send_signal(signal.SIGINT)
    out, errors = watch.popen.communicate(timeout=TIMEOUT_S)
    assert (watch.popen.returncode, out, errors) == (-signal.SIGINT, "", "")


def test_ctrl_c_is_130_for_those_who_call_main(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", interrupt)
    assert main(["tree", "--interval", "1"]) == 130


def test_no_descriptor_left_is_said_in_one_line() -> None:
    program = (
        "import os, resource, sys\n"
        "import prock.cli.parser, prock.cli.tree\n"
        "from prock.cli import main\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))\n"
        "sys.exit(main(['tree']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=TIMEOUT_S,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert is_one_line(done.stderr, "prock tree: ")
    assert "Too many open files" in done.stderr


@pytest.mark.parametrize("called", ALL_PLAIN)
def test_colours_are_for_terminals(called: tuple[str, ...]) -> None:
    assert "\x1b[" in on_terminal(*called)
    assert "\x1b" not in on_terminal(*called, env=environment(NO_COLOR="1"))
    assert "\x1b" not in on_terminal(*called, env=environment(TERM="dumb"))
    assert "\x1b" not in prock(*called).stdout


@pytest.mark.parametrize("columns", [70, 72])  # whole it takes 75 or more
def test_rows_are_cut_for_a_terminal_and_for_nothing_else(columns: int, hostile: int) -> None:
    name = r"a) b\n\x1b[31m\xe9\xff"
    header, row = COLOUR.sub("", on_terminal("tree", hostile, columns=columns)).split("\n")[:2]
    assert header.endswith("COMMAND")
    assert len(row) == columns
    assert row.endswith("…")
    assert f"  {name}: python" in prock("tree", hostile).stdout.split("\n")[1]


@pytest.mark.parametrize("name", ["stat", "tree", "top"])
def test_a_hostile_name_breaks_nothing(name: str, hostile: int) -> None:
    text = prock(name, *ENDLESS.get(name, ()), hostile).stdout
    assert r"a) b\n\x1b[31m\xe9\xff" in text
    assert all(line.isprintable() for line in text.split("\n"))


@pytest.mark.parametrize("name", ["stat", "tree", "top"])
def test_a_hostile_name_in_json(name: str, hostile: int) -> None:
    done = prock(name, *ENDLESS.get(name, ()), hostile, "--json")
    assert done.stdout.isascii()
    assert all(line.isprintable() for line in done.stdout.split("\n"))
    assert r"\ud" not in done.stdout.lower()  # half of a surrogate pair, which strict readers refuse
    assert "a) b\n\x1b[31m\\xe9\\xff" in _strings(json.loads(done.stdout))


def test_what_the_encoding_cannot_carry_is_escaped(hostile: int, family: object) -> None:
    for arguments in (("stat", hostile), ("tree", os.getpid(), "--depth", "1"), ("scan",), ("doctor",)):
        done = prock(*arguments, env=environment(PYTHONIOENCODING="ascii:strict"))
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.isascii()


@pytest.mark.parametrize("called", [called for called in ALL_PLAIN if called[0] != "doctor"])
def test_start_imports_nothing_dear(called: tuple[str, ...]) -> None:
    imported = _imported("-m", "prock", *called) - _imported("-c", "pass")
    assert "argparse" in imported
    assert not [module for module in imported if module.partition(".")[0] in UNWANTED]


def _imported(*arguments: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=TIMEOUT_S,
        check=True,
    )
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip() for line in lines}


def _strings(value: object) -> set[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return set().union(*map(_strings, value))
    return {value} if isinstance(value, str) else set()


@pytest.mark.parametrize("arguments", [(), *((name,) for name in COMMANDS)])
def test_help_fits_80_columns(arguments: tuple[str, ...]) -> None:
    assert [line for line in prock(*arguments, "--help").stdout.splitlines() if len(line) > 80] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("attach", "-1"), "invalid PID '-1': use a number from 1 to "),
        (("run", "-o", "", "true"), "invalid --output '': give the name of a file"),
        (("run", "-r", "0", "true"), "invalid --repeat 0: use a whole number, 1 or more"),
    ],
)
def test_refused_values(arguments: tuple[str, ...], message: str) -> None:
    done = prock(*arguments)
    assert done.returncode == 2 and message in done.stderr

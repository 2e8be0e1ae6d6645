"""``prock top`` as a command: tables, JSON, and what can't be followed."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import termios
from pathlib import Path
from typing import Any

import pytest
from support import processes
from support.command_line import TIMEOUT_S, Watch, command, environment, is_one_line, on_terminal, prock, prock_json
from support.made_up import row
from support.run_engines import on_both
from support.subjects import Family

import prock as package
from prock.cli.selectors import by_name, outermost
from prock.cli.top import trees as sources
from prock.model import MemberSample, TreeTotals

pytestmark = on_both

QUICK = ("--interval", "0.05")


def tables(text: str) -> list[list[list[str]]]:
    """Words of each line of each table, without what is said below."""
    blocks = [[line.split() for line in block.split("\n")] for block in text.rstrip("\n").split("\n\n")]
    return [[line for line in block if line[0] not in ("total", "ended", "accuracy", "over")] for block in blocks]


def test_a_table_for_each_sample(family: Family) -> None:
    done = prock("top", family.head, *QUICK, "-n", 3)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(tables(done.stdout)) == 3
    for header, *lines in tables(done.stdout):
        assert header == ["PID", "S", "THR", "%CPU", "%CPU+", "RSS", "RSS+", "PROCS", "TIME+", "COMMAND"]
        assert {int(line[0]) for line in lines} == family.pids
        assert [line[7] for line in lines] == ["4", "3", "1", "1"]
        assert lines[1][9:11] == ["└─", "middle:"]


def test_what_the_total_misses_is_below_each_table(family: Family) -> None:
    lines = prock("top", family.head, *QUICK, "-n", 1).stdout.split("\n")
    assert [line.split()[0] for line in lines[-4:-1]] == ["total", "ended", "accuracy"]
    assert "4 processes, 4 threads" in lines[-4]
    assert "ended     sampled before 0.000s, never sampled 0.000s" in lines[-3]
    assert lines[-2].startswith("accuracy  CPU by ") and "lower bound" in lines[-2]


def test_one_document_a_line(family: Family) -> None:
    done = prock("top", family.head, "--json", *QUICK, "-n", 2)
    documents = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.returncode, done.stderr, len(documents)) == (0, "", 2)
    for document in documents:
        assert set(document) == {"schema", "trees"}
        assert document["schema"] == "prock.top/1"
        (tree,) = document["trees"]
        assert set(tree) == {*TreeTotals._fields, "cpu_bias", "is_over", "members"}
        assert all(set(member) == {*MemberSample._fields, "cmdline"} for member in tree["members"])
        assert [member["pid"] for member in tree["members"]] == [family.head, family.middle, *family.grandchildren]
        assert tree["disk_io"] is None  # not asked for
    assert documents[0]["trees"][0]["wall_ns"] < documents[1]["trees"][0]["wall_ns"]


def test_a_document_is_a_line_on_a_terminal_too(family: Family) -> None:
    (line,) = on_terminal("top", family.head, "--json", *QUICK, "-n", 1).splitlines()
    assert json.loads(line)["schema"] == "prock.top/1"


def test_io_is_there_when_asked_for(family: Family) -> None:
    first, second = tables(prock("top", family.head, "--io", *QUICK, "-n", 2).stdout)
    assert first[0][8:10] == ["READ+/s", "WRITE+/s"]
    assert all(line[8:10] == ["0B", "0B"] for line in second[1:])
    (tree,) = prock_json("top", family.head, "--io", *QUICK, "-n", 1)["trees"]
    assert set(tree["disk_io"]) == set(tree["members"][0]["subtree_disk_io"])


def test_refused_io_is_neither_zero_nor_hidden(family: Family, as_other_user: dict[str, Any]) -> None:
    done = prock("top", family.head, "--io", *QUICK, "-n", 2, **as_other_user)
    assert (done.returncode, done.stderr) == (0, "")
    assert all(line[8:10] == ["-", "-"] for line in tables(done.stdout)[1][1:])
    assert "accuracy  4 denied" in done.stdout


def test_who_works_comes_first(spawn: processes.Spawn) -> None:
    program = spawn(
        "first, second = sleeper(), os.fork()\n"
        "if second == 0:\n"
        "    libc.prctl(1, 9)\n"
        "    while True: pass\n"
        "say(first, second); wait()\n"
    )
    idle, busy = program.pids()
    (table,) = tables(prock("top", program.pid, "--interval", "0.3", "-n", 1).stdout)
    assert [int(line[0]) for line in table[1:]] == [program.pid, busy, idle]
    (table,) = tables(prock("top", program.pid, *QUICK, "-n", 1, "--sort", "pid").stdout)
    assert [int(line[0]) for line in table[1:]] == [program.pid, idle, busy]


def test_it_ends_with_the_tree(spawn: processes.Spawn) -> None:
    program = spawn("libc.prctl(15, b'subject'); say(); wait()")
    program.hears()
    popen = subprocess.Popen(
        command("top", program.pid, *QUICK),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        text=True,
    )
    assert popen.stdout is not None
    assert popen.stdout.readline()  # the head of the first table
    program.finish()
    out, errors = popen.communicate(timeout=TIMEOUT_S)
    assert (popen.returncode, errors) == (0, "")
    assert out.endswith(f"over      all processes of {program.pid} subject have ended\n")


def test_ctrl_c_between_two_samples_ends_it_as_a_shell_expects(family: Family) -> None:
    watch = Watch("top", family.head)
    assert watch.popen.stdin is not None and watch.popen.stderr is not None
    watch.popen.stdin.write("go on\n")
    watch.popen.stdin.flush()
    assert watch.popen.stderr.readline() == "asleep\n"  # the first table is out
    watch.popen.send_signal(signal.SIGINT)
    out, errors = watch.popen.communicate(timeout=TIMEOUT_S)
    assert (watch.popen.returncode, errors) == (-signal.SIGINT, "")
    assert len(tables(out)) == 1


def test_a_reader_that_goes_away_after_some_samples_ends_it_quietly(family: Family) -> None:
    popen = subprocess.Popen(
        command("top", family.head, *QUICK), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    )
    assert popen.stdout is not None
    assert popen.stdout.readline()
    popen.stdout.close()
    popen.stdout = None
    _, errors = popen.communicate(timeout=TIMEOUT_S)
    assert (popen.returncode, errors) == (141, b"")


def test_trees_by_name(spawn: processes.Spawn, command_engine: str) -> None:
    """Two of that name below each other, and one beside them; the outermost are followed."""
    name = f"top{os.getpid()}{command_engine[0]}"  # zombies of the test before may be left
    programs = [
        spawn(f"libc.prctl(15, b'{name}x'); child = sleeper(); libc.prctl(15, b'{name}'); say(child); wait()")
        for _ in range(2)
    ]
    children = [program.pids()[0] for program in programs]
    trees = prock_json("top", "--name", f"^{name}", *QUICK, "-n", 1)["trees"]
    found = {tree["root_pid"]: [member["pid"] for member in tree["members"]] for tree in trees}
    assert found == {program.pid: [program.pid, child] for program, child in zip(programs, children, strict=True)}
    trees = prock_json("top", "--name", f"{name}x$", *QUICK, "-n", 1)["trees"]
    assert {tree["root_pid"] for tree in trees} == set(children)
    shown = prock("top", "--name", f"^{name}", *QUICK, "-n", 1).stdout
    assert "total     4 processes" in shown


def test_trees_by_command_line(spawn: processes.Spawn) -> None:
    word = f"word-of-{os.getpid()}"
    program = spawn(f"say() # {word}\nwait()")
    program.hears()
    (tree,) = prock_json("top", "--name", word, "--full", *QUICK, "-n", 1)["trees"]  # not itself, which has it too
    assert tree["root_pid"] == program.pid


def test_names_that_the_kernel_has_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a script with an interpreter, and of a program, which is found in the sample after its exec."""
    monkeypatch.setattr(sources, "SEARCH_SHARE", 0)
    name = f"n{os.getpid()}-of-more-than-15-bytes"
    script, program = tmp_path / f"{name}.sh", tmp_path / name
    script.write_text("#!/bin/sh\nread line\n")
    script.chmod(0o755)
    shutil.copy("/bin/sleep", program)
    late = ["sh", "-c", 'echo; read line; exec "$0" 100', str(program)]
    with (
        subprocess.Popen([script], stdin=subprocess.PIPE) as first,
        subprocess.Popen(late, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as second,
    ):
        assert second.stdout is not None and second.stdout.readline() == b"\n"
        while package.get_process_comm(first.pid) != name[:15]:
            pass
        source = sources.of(by_name("-bytes", False))
        assert [sample.root_pid for sample in source.look().samples] == [first.pid]
        assert second.stdin is not None
        second.stdin.write(b"\n")
        second.stdin.flush()
        while package.get_process_comm(second.pid) != name[:15]:
            pass
        assert {sample.root_pid for sample in source.look().samples} == {first.pid, second.pid}
        source.close()
        first.kill()
        second.kill()


def test_newcomers_are_found_and_the_total_never_falls(spawn: processes.Spawn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "SEARCH_SHARE", 0)
    name = f"new{os.getpid()}"
    busy = f"libc.prctl(15, b'{name}'); say(); sys.stdin.readline(); burn(0.2); say(); wait()"
    first = spawn(busy)
    first.hears()
    source = sources.of(by_name(f"^{name}$", False), io=False)
    assert [sample.root_pid for sample in source.look().samples] == [first.pid]
    first.tell()
    first.hears()
    used = source.look().totals.cpu_ns
    assert used > 0
    second = spawn(busy)
    second.hears()
    assert {sample.root_pid for sample in source.look().samples} == {first.pid, second.pid}
    first.finish()
    told = source.look()
    assert [sample.root_pid for sample in told.samples if sample.is_over] == [first.pid]
    left = source.look()
    assert [sample.root_pid for sample in left.samples] == [second.pid]
    assert left.totals.cpu_ns >= told.totals.cpu_ns >= used
    assert not left.totals.is_over
    second.finish()
    assert source.look().totals.is_over
    source.close()


@pytest.mark.parametrize("option", [[], ["--full"]])
def test_no_match(option: list[str]) -> None:
    pattern = f"[n]obody-{os.getpid()}"
    done = prock("top", "--name", pattern, *option)
    assert (done.returncode, done.stdout) == (1, "")
    assert is_one_line(done.stderr, "prock top: no process has a ")


def test_hostile_patterns_are_said_in_one_line() -> None:
    for pattern in ("\x1b[31m\n(", "*", "(?P<\n>"):
        done = prock("top", "--name", pattern)
        assert (done.returncode, done.stdout) == (2, "")
        assert is_one_line(done.stderr, "prock top: ")


def test_outermost_survives_cycles() -> None:
    """A scan is not atomic: 3 and 4 are each other's parents."""
    rows = [row(1, 0, comm="init"), row(2, 1), row(5, 2), row(3, 4), row(4, 3), row(6, 6)]
    assert outermost(rows, lambda row: row.comm.startswith("p")) == [2, 6]


def test_without_textual_there_are_tables_and_a_word_about_it(family: Family) -> None:
    program = (
        "import sys\n"
        "sys.modules['textual'] = sys.modules['textual.app'] = None\n"
        "from prock.cli import main\n"
        f"sys.exit(main(['top', '{family.head}', '-n', '1', '-i', '0.01']))\n"
    )
    terminal = Terminal([command()[0], "-c", program])
    out = terminal.read().decode()
    assert terminal.ended() == 0
    assert "install prock[top]" in out.split("\n")[0]
    assert "middle" in out


def test_a_whole_terminal_is_filled_and_given_back(family: Family) -> None:
    terminal = Terminal(command("top", family.head, *QUICK))
    assert FILLED in terminal.read(until=b"middle")
    terminal.type(b"q")
    assert GIVEN_BACK in terminal.read()
    assert terminal.ended() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_gives_the_terminal_back_and_ends_it(family: Family, number: signal.Signals) -> None:
    terminal = Terminal(command("top", family.head, *QUICK))
    terminal.read(until=b"middle")
    terminal.popen.send_signal(number)
    assert GIVEN_BACK in terminal.read()
    assert terminal.ended() == -number


def test_no_colours_where_none_are_wanted(family: Family) -> None:
    for env, is_coloured in ((environment(), True), (environment(NO_COLOR="1"), False)):
        terminal = Terminal(command("top", family.head, *QUICK), env)
        written = terminal.read(until=b"middle")
        terminal.type(b"q")
        written += terminal.read()
        assert terminal.ended() == 0
        assert bool(re.search(rb"\x1b\[[0-9;]*3[0-7]m", written)) == is_coloured


def test_a_terminal_that_can_not_be_filled_gets_tables(family: Family) -> None:
    terminal = Terminal(command("top", family.head, *QUICK, "-n", 1), environment(TERM="dumb"))
    assert b"\x1b" not in terminal.read()
    assert terminal.ended() == 0


FILLED, GIVEN_BACK = b"\x1b[?1049h", b"\x1b[?1049l"


class Terminal:
    """A program that has a terminal for its input, output and errors."""

    def __init__(self, arguments: list[str], env: dict[str, str] | None = None) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.popen = subprocess.Popen(arguments, stdin=theirs, stdout=theirs, stderr=theirs, env=env or environment())
        os.close(theirs)

    def read(self, until: bytes | None = None) -> bytes:
        """What it has written when that comes, or at its end."""
        written = b""
        try:
            while until is None or until not in written:
                written += os.read(self._ours, 65536)
        except OSError:  # EIO: the last one who had it open as its terminal is gone
            pass
        return written

    def type(self, keys: bytes) -> None:
        os.write(self._ours, keys)

    def ended(self) -> int:
        os.close(self._ours)
        return self.popen.wait(TIMEOUT_S)

"""Whatever strangers call themselves, it breaks no table, no document and no terminal, in any command."""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import shutil
import signal
import struct
import subprocess
import termios
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from support import processes
from support.command_line import TIMEOUT_S, command, environment, is_followed_by
from support.hostile import NAMES, Strangers, fits, in_json, is_harmless, is_strict_json, programs, strings
from support.terminal import Session

from prock.cli.output import Screen
from prock.cli.selectors import by_pid
from prock.cli.top import trees as sources
from prock.cli.top.app import TopApp, View
from prock.cli.top.details import describe
from prock.report.layout import escape

COLUMNS = 100
by_name = pytest.mark.parametrize("name", NAMES, ids=[ascii(name)[2:-1] for name in NAMES])


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Any:
    spawn = processes.Spawn()
    yield Strangers(spawn, tmp_path_factory.mktemp("foreign"))
    spawn.end()


def written(*arguments: object, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """As bytes: what is wrong in them is what this is about."""
    words = [argument if isinstance(argument, bytes) else str(argument) for argument in arguments]
    env = options.pop("env", None) or environment()
    return subprocess.run([*command(), *words], capture_output=True, env=env, timeout=TIMEOUT_S, check=False, **options)


def on_wide_terminal(*arguments: object) -> bytes:
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
    words = [*command(), *(argument if isinstance(argument, bytes) else str(argument) for argument in arguments)]
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env=environment()) as popen:
        os.close(theirs)
        out = b""
        try:
            while part := os.read(ours, 65536):
                out += part
        except OSError:  # EIO: the end
            pass
        popen.wait(TIMEOUT_S)
    os.close(ours)
    return out


@by_name
def test_stat(name: bytes, foreign: Strangers) -> None:
    pid = foreign.pids[name]
    text = is_harmless(on_wide_terminal("stat", pid), terminal=True)
    assert text.startswith(f"process     {pid} {escape(os.fsdecode(name[:15]))}\npath        ")
    (document,) = is_strict_json(written("stat", pid, "--json").stdout)
    assert document["comm"] == in_json(name)


@by_name
def test_details(name: bytes, foreign: Strangers) -> None:
    """Of the view: the command line and the working directory are there, too."""
    from support.made_up_samples import member

    import prock

    pid = foreign.pids[name]
    liveness = prock.get_liveness_info(pid)
    assert liveness is not None
    lines = describe(member(pid, 0, start_ticks=liveness.start_ticks), Screen())
    text = is_harmless("\n".join(lines).encode())
    assert (
        rf"directory   {escape(os.fspath(Path(os.fsdecode(foreign.programs[0])).parent))}/\x1b[35m\n\xff\u202e" in text
    )


TABLES = [("tree",), ("tree", "-i", "0.05", "-s", "name"), ("top", "--plain", "-n", "1", "--io")]


@pytest.mark.parametrize("called", TABLES, ids=" ".join)
def test_tables_have_a_line_for_each_process(called: tuple[str, ...], foreign: Strangers) -> None:
    text = is_harmless(written(*called, foreign.root.pid).stdout)
    header, _, *rows = text.split("\n")
    names = rows[: len(NAMES)]
    place = header.index("COMMAND")
    assert all(re.fullmatch(r"[ \d.,:%BKMGTsmhRSDZ≥-]*", row[:place]) for row in names), names
    shown = [row[place + 3 :] for row in names]
    for name in NAMES:
        text = escape(os.fsdecode(name[:15]))
        assert len([line for line in shown if line.startswith((f"{text}: sh '/", f"{text}: sh /"))]) == 1, text
    assert all(row[place : place + 3] in ("├─ ", "└─ ") for row in names)


@pytest.mark.parametrize("called", [*TABLES, ("scan", "-n", "0")], ids=" ".join)
def test_on_a_terminal_no_line_is_wider_than_it(called: tuple[str, ...], foreign: Strangers) -> None:
    root = () if called[0] == "scan" else (foreign.root.pid,)
    text = is_harmless(on_wide_terminal(*called, *root), terminal=True)
    fits(text, COLUMNS)
    assert escape(os.fsdecode(NAMES[2])) in text


@pytest.mark.parametrize(
    "called", [("tree",), ("tree", "-i", "0.05"), ("top", "-n", "2", "-i", "0.05"), ("scan", "-n", "0")], ids=" ".join
)
def test_documents(called: tuple[str, ...], foreign: Strangers) -> None:
    root = () if called[0] == "scan" else (foreign.root.pid,)
    documents = is_strict_json(written(*called, *root, "--json").stdout)
    assert len(documents) == (2 if called[0] == "top" else 1)
    for document in documents:
        assert {in_json(name) for name in NAMES} <= set(strings(document))


def test_scan(foreign: Strangers) -> None:
    text = is_harmless(written("scan", "-n", "0", "-s", "processes").stdout)
    assert all(escape(os.fsdecode(name[:15])) in text for name in NAMES)


def test_trees_that_are_told_by_hostile_names(foreign: Strangers) -> None:
    for name in NAMES[1:12:5]:
        pattern = re.escape(name[:15].decode("utf-8", "surrogateescape"))
        done = written("top", "--name", os.fsencode(pattern), "--plain", "-n", "1")
        assert escape(os.fsdecode(name[:15])) in is_harmless(done.stdout)
        is_harmless(done.stderr)
    done = written("top", "--full", "--name", os.fsencode(foreign.programs[0]).partition(b")")[0], "--json", "-n", "1")
    assert {in_json(name) for name in NAMES} & set(strings(is_strict_json(done.stdout)))


def test_the_view(foreign: Strangers) -> None:
    async def visit() -> None:
        source = sources.of(by_pid(foreign.root.pid), io=True)
        app = TopApp(source, interval_s=0.05, sort="pid", with_io=True)
        try:
            async with asyncio.timeout(TIMEOUT_S), app.run_test(size=(COLUMNS, 50)) as pilot:
                view = app.query_one(View)
                pids = [foreign.root.pid, *sorted(foreign.pids.values())]
                while [line.node.member.pid for line in app.state.shown] != pids:
                    await pilot.pause(0.01)
                for keys in ((), ("end",), ("d",), ("escape", "k"), ("enter",)):
                    await pilot.press(*keys)
                    if "d" in keys:
                        while app.state.pane is None:
                            await pilot.pause(0.01)
                    lines = [view.render_line(y) for y in range(view.size.height)]
                    is_harmless("\n".join(line.text for line in lines).encode())
                    assert {cell_len(line.text) for line in lines} == {COLUMNS}
                    assert all(not segment.style.meta for line in lines for segment in line if segment.style)
        finally:
            source.close()

    asyncio.run(visit())


OF_THE_VIEW = re.compile(rb"\x1b\[[0-9;:?<=>]*[ $]?[@-~]|\x1bP\+q[0-9a-f;]*\x1b\\\\|\x1b]22;[a-z]*\x07|\x1b[=>78]|\r")
"""Colours, places, modes, questions and the pointer: nothing of strangers looks like one, but for colours."""


def test_the_view_on_a_terminal(foreign: Strangers) -> None:
    session = Session(command("top", "--io", foreign.root.pid))
    session.shows(str(foreign.pids[NAMES[-10]]))
    session.type(b"q")
    assert session.end() == 0
    assert b"\x1b[35m" not in session.written and b"\x1b]0;" not in session.written
    is_harmless(OF_THE_VIEW.sub(b"", session.written))


STARTS_ALL = """
exec 3<>"$0"
for program; do "$program" "$program" <&3 & done
sleep 0.1
for program; do echo; done >&3
wait
"""
"""Each ends when it has read a line."""


@pytest.fixture
def started(tmp_path: Path) -> list[bytes]:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    (tmp_path / "names").mkdir()
    return [b"sh", b"-c", STARTS_ALL.encode(), os.fsencode(fifo), *programs(tmp_path / "names")]


def without_spaces(text: str) -> str:
    return "".join(text.split())


@pytest.mark.parametrize("verbose", ["-q", "-v", "-vv"])
@pytest.mark.parametrize("accounting", ["auto", "ledger"])
def test_run(verbose: str, accounting: str, started: list[bytes]) -> None:
    options = ["--accounting", accounting, "--interval", "0.01", verbose, "--json", "-"]
    keys = [b"k" + name.replace(b"=", b"") for name in NAMES]
    labels = [part for key, name in zip(keys, NAMES, strict=True) for part in (b"--label", key + b"=" + name)]
    done = written("run", *options, *labels, *started)
    assert done.returncode == 0, done.stderr
    text = is_harmless(done.stderr)
    (document,) = is_strict_json(done.stdout)
    assert document["args"][4:] == [path.decode("utf-8", "backslashreplace") for path in started[4:]]
    assert list(document["labels"].values()) == [name.decode("utf-8", "backslashreplace") for name in NAMES]
    if verbose != "-q":
        said = [
            f"[{escape(os.fsdecode(key))}={escape(os.fsdecode(name))}]" for key, name in zip(keys, NAMES, strict=True)
        ]
        assert all(without_spaces(label) in without_spaces(text) for label in said)  # lines are wrapped
    if verbose == "-vv":
        table = text.partition("by command")[2]
        assert all(escape(usage["comm"]) in table for usage in document["commands"] + document["processes"])
    if any("perf" in source["source"] for source in document["sources"] if source["figure"] == "processes"):
        assert {in_json(name) for name in NAMES} <= {usage["comm"] for usage in document["commands"]}


@pytest.mark.parametrize(
    "options", [("-vv",), ("-v", "-r", "2"), ("-f", "%C %{command} %{args} %{labels.x} %{labels}")]
)
def test_run_on_a_terminal_and_in_a_file(options: tuple[str, ...], started: list[bytes], tmp_path: Path) -> None:
    called = ("run", *options, "--label", b"x=" + b"".join(NAMES), "--interval", "0.01")
    is_harmless(on_wide_terminal(*called, *started), terminal=True)
    file = os.fsencode(tmp_path) + b"/\x1b[35m\n\xff"
    done = written(*called, "-o", file, *started)
    assert (done.stderr, done.stdout) == (b"", b"")
    with open(file, "rb") as report:
        text = is_harmless(report.read())
    assert ("-r" in options) or escape(os.fsdecode(NAMES[2])) in text  # several runs have no rows


def test_the_users_own_words_go_out_as_they_are() -> None:
    done = written("run", "-f", "\x1b[35m\t%x\\t%{command}", b"true", b"\x1b[35m")
    assert done.stderr == b"\x1b[35m\t0\ttrue \\x1b[35m\n"


OF_THE_LINE = re.compile(rb"\r|\x1b7|\x1b8|\x1bD|\x1b\[A|\x1b\[K|\x1b\[r|\x1b\[1;\d+r|\x1b\[\d+;1H")


def test_progress(started: list[bytes]) -> None:
    started[2] = started[2].replace(b"0.1", b"1.3")
    session = Session(command("run", "-q", "--progress", *map(os.fsdecode, started)))
    session.shows("CPU ")
    assert session.end() == 0
    is_harmless(OF_THE_LINE.sub(b"", session.written))


@pytest.mark.parametrize("options", [(), ("-vv", "--json", "-")])
def test_attach(options: tuple[str, ...], foreign: Strangers) -> None:
    words = command("attach", *options, "--interval", "0.01", foreign.root.pid)
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as attached:
        is_followed_by(attached.pid)
        attached.send_signal(signal.SIGINT)
        out, errors = attached.communicate(timeout=TIMEOUT_S)
    text = is_harmless(errors)
    assert "process" in text.partition("\n")[0]
    if options:
        assert {in_json(name) for name in NAMES} <= set(strings(is_strict_json(out)))
        assert all(escape(os.fsdecode(name[:15])) in text for name in NAMES)


def test_attach_to_a_hostile_process(foreign: Strangers) -> None:
    for name in (NAMES[1], NAMES[2], NAMES[11]):
        words = command("attach", foreign.pids[name])
        with subprocess.Popen(words, stderr=subprocess.PIPE, env=environment()) as attached:
            is_followed_by(attached.pid)
            attached.send_signal(signal.SIGINT)
            _, errors = attached.communicate(timeout=TIMEOUT_S)
        text = is_harmless(errors).replace("\n  ", " ")  # a long line is wrapped
        shown = escape(os.fsdecode(name[:15]))
        assert text.startswith(f"prock: process {foreign.pids[name]} ({shown}) since prock attached: still running")


ERRORS: list[tuple[str | bytes, ...]] = [
    (b"%s",),
    ("stat", b"%s"),
    ("stat", b"--%s"),
    ("tree", "-s", b"%s"),
    ("top", "--name", b"(%s"),
    ("top", "--name", b"^%s$%s"),
    ("scan", "-i", b"%s"),
    ("doctor", b"%s"),
    ("attach", b"%s"),
    ("run", b"/nowhere/%s"),
    ("run", b"--no%s", "true"),
    ("run", "--label", b"%s", "true"),
    ("run", "--accounting", b"%s", "true"),
    ("run", "-t", b"%s", "true"),
    ("run", "-f", b"%{%s", "true"),
    ("run", "-o", b"/nowhere/%s", "true"),
    ("run", "--json", b"/nowhere/%s", "true"),
]


@pytest.mark.parametrize("called", ERRORS, ids=lambda called: b" ".join(map(os.fsencode, called)).decode())
def test_complaints(called: tuple[str | bytes, ...]) -> None:
    everything = b"".join(NAMES).replace(b"=", b"").replace(b"^", b"")
    words = [part.replace(b"%s", everything) if isinstance(part, bytes) else part for part in called]
    for env in (environment(), environment(LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")):
        done = written(*words, env=env)
        assert done.returncode in (1, 2, 125, 127)
        assert done.stdout == b""
        assert is_harmless(done.stderr).count("\n") == 1
        assert is_harmless(done.stderr).startswith("prock")


@pytest.mark.parametrize("variable", ["PROCK_ENGINE", "TERM", "COLUMNS", "LC_ALL", "NO_COLOR", "TZ", "LINES", "PATH"])
def test_the_environment(variable: str) -> None:
    for called in (("doctor",), ("stat",)):
        done = written(*called, env=environment(**{variable: "\x1b[35m\n\udcff\u202e"}))
        is_harmless(done.stdout)
        assert is_harmless(done.stderr).count("\n") == (1 if variable == "PROCK_ENGINE" else 0)


def test_the_path_of_a_program(spawn: processes.Spawn, tmp_path: Path) -> None:
    program = shutil.which("sleep")
    assert program is not None
    for name in (b"".join(NAMES), NAMES[11]):
        path = os.path.join(os.fsencode(tmp_path), name[:255])
        shutil.copy(os.fsencode(program), path)
        with subprocess.Popen([path, "60"], stderr=subprocess.DEVNULL) as popen:
            try:
                if os.path.basename(os.path.realpath(program)) != "sleep":
                    pytest.skip("sleep is a program of many names")
                text = is_harmless(written("stat", popen.pid).stdout)
                (document,) = is_strict_json(written("stat", popen.pid, "--json").stdout)
            finally:
                popen.kill()
        assert f"path        {escape(os.fsdecode(path))}\n" in text
        assert document["path"] == path.decode("utf-8", "backslashreplace")

"""``prock run`` as a command in front of commands: what it passes on, its exit codes, and where its account goes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.command_line import TIMEOUT_S, command, environment, is_one_line, prock
from support.made_up_runs import result
from support.run_engines import on_both
from support.runs import has_ended

from prock.cli.run.repeat import as_document
from prock.runner.result import RunResult

pytestmark = on_both

NO_ROOM = "/dev/full"


def run_json(*words: str, **options: Any) -> Any:
    done = prock("run", "-q", "--json", "-", *words, **options)
    assert done.stderr == ""
    return json.loads(done.stdout)


@pytest.mark.parametrize("code", [0, 1, 3, 255])
def test_the_exit_code_is_the_commands(code: int) -> None:
    done = prock("run", "sh", "-c", f"exit {code}")
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(f"prock: sh -c 'exit {code}': exit code {code}\n")


def test_a_signal_is_128_more() -> None:
    done = prock("run", "-q", "sh", "-c", "kill -SEGV $$")
    assert (done.returncode, done.stderr) == (139, "")


@pytest.mark.parametrize(
    ("word", "code", "message"),
    [
        ("no-such-command", 127, "no-such-command: command not found"),
        ("/no/such/command", 127, "cannot execute /no/such/command: No such file or directory"),
        ("./\x1b[31m\n", 127, r"cannot execute ./\x1b[31m\n: No such file or directory"),
        ("/etc", 126, "cannot execute /etc: Is a directory"),
        ("/dev/null", 126, "cannot execute /dev/null: Permission denied"),
        ("", 127, "'': command not found"),
    ],
)
def test_what_can_not_be_executed(word: str, code: int, message: str) -> None:
    done = prock("run", word)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", f"prock run: {message}\n")


def test_an_interpreter_that_is_missing(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    done = prock("run", script)
    assert (done.returncode, done.stderr) == (
        127,
        f"prock run: cannot execute {script}: its interpreter was not found\n",
    )


@pytest.mark.parametrize("by_path", [False, True])
def test_a_script_without_an_interpreter_is_the_shells(by_path: bool, tmp_path: Path) -> None:
    script = tmp_path / "tested-script"
    script.write_text('echo "$0" "$@"\n')
    script.chmod(0o755)
    env = environment(PATH=f"{tmp_path}:{os.environ['PATH']}")
    done = prock("run", "-q", "tested-script" if by_path else script, "a b", env=env)
    assert (done.returncode, done.stdout) == (0, f"{script} a b\n")


@pytest.mark.parametrize("name", ["-c", "-c/x"])
@pytest.mark.parametrize("launcher", ["", "pure"])
def test_the_name_of_a_script_is_no_option_of_the_shell(launcher: str, name: str, tmp_path: Path) -> None:
    script = tmp_path / name
    script.parent.mkdir(exist_ok=True)
    script.write_text('echo script "$@"\n')
    script.chmod(0o755)
    done = prock("run", "--", name, "echo option", cwd=tmp_path, env=environment(PATH="", PROCK_ENGINE=launcher))
    assert (done.returncode, done.stdout) == (0, "script echo option\n")


def test_arguments_are_passed_on_as_they_are() -> None:
    words = [b"printf", b"%s|", b"-q", b"--json", b"a b", b"", b"\xff\xe9", "€".encode(), b"\x1b[31m"]
    done = subprocess.run(
        [*command("run", "-q", "--"), *words],
        capture_output=True,
        env=environment(),
        timeout=TIMEOUT_S,
        check=True,
    )
    assert done.stdout == b"-q|--json|a b||\xff\xe9|\xe2\x82\xac|\x1b[31m|"


PROBES = {
    "environment": ["cat", "/proc/self/environ"],
    "signals": ["grep", "-E", "^Sig(Blk|Ign|Cgt)|^Umask|^NoNewPrivs|^Seccomp:|^Groups", "/proc/self/status"],
    "descriptors": ["ls", "/proc/self/fd"],
    "targets of the standard ones": ["readlink", "/proc/self/fd/0", "/proc/self/fd/1", "/proc/self/cwd"],
    "limits": ["cat", "/proc/self/limits"],
    "group and session": [sys.executable, "-Sc", "import os; print(os.getpgrp(), os.getsid(0), os.nice(0))"],
}
SETTINGS = [{}, {"LC_ALL": "C"}, {"LC_CTYPE": "POSIX", "LANG": ""}]


def _without_libc_signals(line: re.Match[bytes]) -> bytes:
    """32 and 33, which glibc keeps for itself: posix_spawn leaves them ignored, and so does make that calls it."""
    return b"SigIgn:\t%016x" % (int(line[1], 16) & ~0x180000000)


@pytest.mark.parametrize("name", PROBES)
@pytest.mark.parametrize("setting", SETTINGS)
def test_the_command_finds_what_it_would_find_without(name: str, setting: dict[str, str], tmp_path: Path) -> None:
    """Python adds LC_CTYPE to its environment in the C locale, ignores SIGPIPE, and opens files of its own."""
    env = {name: value for name, value in environment(**setting).items() if name != "PYTHONUTF8"}
    answers = []
    with open(tmp_path / "input", "w+") as given, open(tmp_path / "extra", "w+") as extra:
        for before in ([], command("run", "-q")):
            out = tmp_path / "output"
            with out.open("wb") as taken:
                subprocess.run(
                    [*before, *PROBES[name]], stdin=given, stdout=taken, pass_fds=[extra.fileno()], cwd=tmp_path,
                    env=env, timeout=TIMEOUT_S, check=True, umask=0o27,
                )  # fmt: skip
            answers.append(re.sub(rb"SigIgn:\t(.*)", _without_libc_signals, out.read_bytes()))
    assert answers[0] == answers[1] != b""


ODD_ENVIRONMENT = """
import ctypes, sys
def texts(words):
    return (ctypes.c_char_p * (len(words) + 1))(*words, None)
entries = [b"PATH=/usr/bin:/bin", b"A=1", b"A=2", b"PATH=/nowhere", b"NOEQUALS", b"=", b"=x", b"=x=y", b"B=\\xff\\xfe",
           b"", b"\\xe9=", b"C=a=b\\n", b"7=x"]
words = [word.encode() for word in sys.argv[1:]]
ctypes.CDLL(None).execve(words[0], texts(words), texts(entries))
"""


def test_the_environment_is_passed_on_byte_for_byte() -> None:
    """Entries without "=" or a name, with the same name, or none at all, in their order."""
    seen = []
    for before in ([], command("run", "-q")):
        words = [sys.executable, "-c", ODD_ENVIRONMENT, *before, "/bin/cat", "/proc/self/environ"]
        seen.append(subprocess.run(words, capture_output=True, timeout=TIMEOUT_S, check=True).stdout)
    assert seen[0] == seen[1] and seen[0].startswith(b"PATH=/usr/bin:/bin\0A=1\0A=2\0PATH=/nowhere\0NOEQUALS\0=\0=x\0")


def test_the_first_path_of_the_environment_counts() -> None:
    """Without the launcher, too, where an entry that Python cannot pass on is left out."""
    for engine in ("", "pure"):
        words = [sys.executable, "-c", ODD_ENVIRONMENT.replace('b"7=x"', f'b"PROCK_ENGINE={engine}"')]
        words += command("run", "-q", "env")
        done = subprocess.run(words, capture_output=True, timeout=TIMEOUT_S, check=True)
        assert b"PATH=/usr/bin:/bin\n" in done.stdout and done.stderr == b""


def test_an_empty_environment_stays_empty() -> None:
    words = ["env", "-i", *command("run", "-q"), "/bin/cat", "/proc/self/environ"]
    done = subprocess.run(words, capture_output=True, timeout=TIMEOUT_S, check=True)
    assert (done.stdout, done.stderr) == (b"", b"")


def test_bytes_pass_through() -> None:
    data = os.urandom(300_000)
    done = subprocess.run(
        command("run", "cat"), input=data, capture_output=True, env=environment(), timeout=TIMEOUT_S, check=True
    )
    assert done.stdout == data


def test_a_reader_that_goes_away_ends_the_command_as_it_would() -> None:
    done = subprocess.run(
        ["sh", "-c", '"$@" | head -n 1', "sh", *command("run", "-f", "%x", "yes")],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=TIMEOUT_S,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("y\n", "Command terminated by signal 13\n141\n")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", "<&- 2>&-"])
def test_closed_descriptors_stay_closed(closed: str, tmp_path: Path) -> None:
    """And nothing of prock's own is where the command, or prock itself, would write."""
    answers = []
    for before in ("", " ".join(command("run"))):
        file = tmp_path / "found"
        probe = f"sh -c 'ls -l /proc/$$/fd >{file} 2>/dev/null; ls /proc/$$/fd >{file}; exit 3'"
        program = f"exec {before} {probe} {closed}"
        done = subprocess.run(
            ["sh", "-c", program], capture_output=True, text=True, env=environment(), timeout=TIMEOUT_S, check=False
        )
        answers.append((done.returncode, done.stdout, file.read_text()))
    assert answers[0] == answers[1]


def test_json_is_all_that_is_on_standard_output() -> None:
    document = run_json("--label", "job=\x1b7", "--label", "x=y", "true", "a\n\x1b[31m")
    assert document["schema"] == "prock.run/1"
    assert document["args"] == ["true", "a\n\x1b[31m"]
    assert document["labels"] == {"job": "\x1b7", "x": "y"}
    assert (document["returncode"], document["exit_code"], document["signal"]) == (0, 0, None)
    assert set(RunResult._fields) - {"stdout", "stderr"} <= set(document)


def test_json_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "cost.json"
    file.write_text("x" * 100_000)
    file.chmod(0o640)
    link = tmp_path / "link"
    link.symlink_to(file)
    done = prock("run", "-q", "--json", link, "echo", "out")
    assert (done.returncode, done.stdout, done.stderr) == (0, "out\n", "")
    assert json.loads(file.read_text())["args"] == ["echo", "out"]
    assert link.is_symlink() and file.stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cost.json", "link"]


def test_a_file_that_standard_output_is_keeps_what_the_command_wrote(tmp_path: Path) -> None:
    file = tmp_path / "both"
    with file.open("w") as out:
        words = command("run", "-q", "--json", "/dev/stdout", "echo", "first")
        subprocess.run(words, stdout=out, env=environment(), timeout=TIMEOUT_S, check=True)
    first, document = file.read_text().splitlines()
    assert first == "first" and json.loads(document)


def test_json_through_a_descriptor_and_a_fifo(tmp_path: Path) -> None:
    program = 'exec 5>"$0"; "$@" --json /dev/fd/5 true'
    file = tmp_path / "by-number"
    words = ["sh", "-c", program, str(file), *command("run", "-q")]
    subprocess.run(words, env=environment(), timeout=TIMEOUT_S, check=True)
    assert json.loads(file.read_text())
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with subprocess.Popen(["cat", str(fifo)], stdout=subprocess.PIPE) as reader:
        descriptor = os.open(fifo, os.O_WRONLY)  # returns when the reader is there
        assert prock("run", "-q", "--json", fifo, "true").returncode == 0
        os.close(descriptor)
        out, _ = reader.communicate(timeout=TIMEOUT_S)
    assert json.loads(out)


@pytest.mark.parametrize("option", ["--json", "-o"])
@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("/no/such/directory/file", "No such file or directory"),
        ("/tmp", "Is a directory"),
        ("/dev/fd/77", "Bad file descriptor"),
        ("x" * 300, "File name too long"),
    ],
)
def test_what_can_not_be_written_is_said_before_the_command_runs(
    option: str, place: str, reason: str, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    done = prock("run", option, place, "touch", ran)
    assert (done.returncode, done.stderr) == (125, f"prock run: cannot write {place}: {reason}\n")
    assert not ran.exists()


def test_a_closed_output_is_said_before_the_command_runs() -> None:
    words = ["sh", "-c", '"$@" >&-', "sh", *command("run", "--json", "-", "true")]
    done = subprocess.run(words, capture_output=True, text=True, env=environment(), timeout=TIMEOUT_S, check=False)
    assert (done.returncode, done.stderr) == (125, "prock run: cannot write standard output: Bad file descriptor\n")


@pytest.mark.parametrize(("code", "seen"), [(0, 125), (3, 3)])
@pytest.mark.parametrize("option", ["--json", "-o"])
def test_a_full_disk_is_said_and_counts_where_the_command_succeeded(option: str, code: int, seen: int) -> None:
    done = prock("run", "-f", "%x", option, NO_ROOM, "sh", "-c", f"exit {code}")
    assert done.returncode == seen
    assert f"prock run: cannot write {NO_ROOM}: No space left on device\n" in done.stderr


@pytest.mark.parametrize(
    ("redirection", "code", "seen"), [("2>/dev/full", 0, 125), ("2>/dev/full", 3, 3), ("2>&-", 0, 0)]
)
def test_a_report_that_standard_error_does_not_take(redirection: str, code: int, seen: int) -> None:
    shell = ["sh", "-c", f'exec "$@" {redirection}', "sh", *command("run", "sh", "-c", f"exit {code}")]
    done = subprocess.run(shell, capture_output=True, env=environment(), timeout=TIMEOUT_S, check=False)
    assert (done.returncode, done.stdout) == (seen, b"")


def test_nobody_reads_the_fifo(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    done = prock("run", "-q", "--json", fifo, "true")
    assert done.returncode == 125
    assert is_one_line(done.stderr, f"prock run: cannot write {fifo}: ")


def test_a_report_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "report"
    file.write_text("x" * 10_000)
    done = prock("run", "-o", file, "true")
    assert (done.returncode, done.stderr) == (0, "")
    assert file.read_text().startswith("prock: true: exit code 0\n")
    prock("run", "-a", "-o", file, "false")
    assert file.read_text().count("prock: ") == 2


def test_a_time_limit() -> None:
    done = prock("run", "--timeout", "0.1", "sleep", "60")
    assert done.returncode == 124
    assert done.stderr.startswith("prock: sleep 60: timed out, killed by SIGTERM\n")


def test_a_time_limit_ends_orphans_too(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    program = f"setsid sh -c 'trap \"\" TERM; echo $$ >{pids}; while :; do sleep 0.05; done' & sleep 60"
    done = prock("run", "-t", "0.3", "-k", "0.1", "sh", "-c", program)
    assert done.returncode == 124
    assert "still running" not in done.stderr
    assert has_ended(int(pids.read_text()))


def test_what_is_left_is_named_and_lives(tmp_path: Path) -> None:
    done = prock("run", "sh", "-c", f"sleep 60 >/dev/null 2>&1 & echo $! >{tmp_path}/pid")
    pid = int((tmp_path / "pid").read_text())
    assert "still running: 1 process" in done.stderr and f"{pid} s" in done.stderr
    os.kill(pid, 9)


def test_kill_tree_ends_what_is_left() -> None:
    done = prock("run", "--kill-tree", "sh", "-c", "setsid sleep 60 >/dev/null 2>&1 & exit 3")
    assert done.returncode == 3
    assert "still running" not in done.stderr


def test_wait_all_waits() -> None:
    done = prock("run", "--wait-all", "sh", "-c", "{ sleep 0.2; echo late; } & exit 3")
    assert (done.returncode, done.stdout) == (3, "late\n")
    assert "still running" not in done.stderr


def test_repeat() -> None:
    done = prock("run", "-r", "3", "--json", "-", "sh", "-c", "exit 5")
    assert done.returncode == 5
    document = json.loads(done.stdout)
    assert document["schema"] == "prock.run-repeat/1"
    assert [one["returncode"] for one in document["runs"]] == [5, 5, 5]
    assert set(document["summary"]["wall_ns"]) == {"runs", "mean", "stdev", "min", "max"}
    assert "3 runs, 3 failed (the first, number 1, with exit code 5)" in done.stderr


def test_the_first_failure_counts(tmp_path: Path) -> None:
    program = f"echo x >>{tmp_path}/n; exit $(($(wc -l <{tmp_path}/n) - 1))"
    done = prock("run", "-r", "3", "sh", "-c", program)
    assert done.returncode == 1
    assert "2 failed (the first, number 2, with exit code 1)" in done.stderr


def test_a_budget() -> None:
    done = prock("run", "-q", "--max-wall", "0", "true")
    assert done.returncode == 123
    assert is_one_line(done.stderr, "prock run: budget exceeded: elapsed time ")
    assert prock("run", "-q", "--max-wall", "1h", "--max-memory", "100G", "--max-cpu", "1h", "true").returncode == 0
    assert prock("run", "-q", "--max-wall", "0", "false").returncode == 1


def test_an_accounting_that_can_not_be_had_is_said() -> None:
    done = prock("run", "-q", "--accounting", "cgroup", "true")
    assert done.returncode == 0 or is_one_line(done.stderr, "prock run: not available here: ")


def test_start_imports_nothing_dear() -> None:
    words = [sys.executable, "-X", "importtime", "-m", "prock", "run", "true"]
    done = subprocess.run(words, capture_output=True, text=True, env=environment(), timeout=TIMEOUT_S, check=True)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    dear = {
        "argparse",
        "json",
        "re",
        "enum",
        "typing",
        "subprocess",
        "signal",
        "socket",
        "threading",
        "prock.cli.parser",
    }
    assert not imported & dear


def test_every_key_of_the_documents_is_described() -> None:
    text = (Path(__file__).parents[2] / "docs" / "formats.md").read_text()
    single = result().as_document()
    repeated = as_document([result()])
    for key in keys_of(single) | keys_of({name: repeated[name] for name in repeated if name != "runs"}):
        assert f"`{key}`" in text, key


def keys_of(value: object) -> set[str]:
    """Of all objects, but for those whose keys are names of something."""
    if isinstance(value, list):
        return set().union(*map(keys_of, value))
    if not isinstance(value, dict):
        return set()
    inner = [part for name, part in value.items() if name not in ("labels", "cpu_by_source", "summary")]
    summary = value.get("summary")
    if isinstance(summary, dict):
        inner += summary.values()
    return set(value).union(*map(keys_of, inner))

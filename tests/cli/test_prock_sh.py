"""The program ``prock-sh``: a shell that logs what each command used, and changes nothing for it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from support.command_line import environment, is_one_line, prock

from prock.redaction import redact

SHELL = str(Path(sys.executable).parent / "prock-sh")
pytestmark = pytest.mark.skipif(not os.access(SHELL, os.X_OK), reason="prock-sh is not installed: no compiler")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


def shell(log: Path, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    env = environment(PROCK_LOG=str(log), **options.pop("env", {}))
    return subprocess.run([SHELL, *arguments], capture_output=True, text=True, env=env, check=False, **options)


def lines(log: Path) -> list[dict[str, Any]]:
    text = log.read_text(encoding="ascii")
    assert text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def test_a_command_is_one_line(log: Path) -> None:
    done = shell(log, "-c", "read x; echo $x $1; exit 3", "name", "one", input="in\n")
    assert (done.returncode, done.stdout, done.stderr) == (3, "in one\n", "")
    (line,) = lines(log)
    assert line["schema"] == "prock.sh/1"
    assert line["command"] == "read x; echo $x $1; exit 3 name one"
    assert (line["exit_code"], line["outer"], line["left_running"]) == (3, None, False)
    assert line["cpu_ns"] == line["user_ns"] + line["system_ns"]
    assert log.stat().st_mode & 0o777 == 0o600


def test_figures_are_those_of_the_whole_tree(log: Path, tmp_path: Path) -> None:
    program = "s = b'x' * 60_000_000; import time\nwhile time.process_time() < 0.4: pass"
    # Its parent has ended, and does not wait for it: prock-sh does.
    pid = tmp_path / "pid"
    start = f'({sys.executable} -c "{program}" & echo $! >{pid})'
    shell(log, "-c", f"{start}; while kill -0 $(cat {pid}) 2>/dev/null; do sleep 0.01; done")
    (line,) = lines(log)
    assert line["cpu_ns"] >= 400_000_000
    assert line["largest_process_bytes"] >= 60_000_000


def test_bytes_of_processes_that_have_ended_count(log: Path, tmp_path: Path) -> None:
    shell(log, "-c", f"dd if=/dev/zero of={tmp_path}/file bs=1M count=4 2>/dev/null")
    (line,) = lines(log)
    assert line["write_bytes"] is None or line["write_bytes"] >= 4 << 20 or _is_memory(tmp_path)


def _is_memory(path: Path) -> bool:
    kind = subprocess.run(["stat", "-f", "-c", "%T", path], capture_output=True, text=True, check=True).stdout
    return kind.strip() in ("tmpfs", "ramfs", "overlayfs")


def test_a_nested_command_names_the_outer_one(log: Path) -> None:
    shell(log, "-c", f"{SHELL} -c 'exit 4'; {SHELL} -c 'true; true'")
    first, second, outer = lines(log)
    assert first["outer"] == second["outer"] == outer["id"]
    assert outer["outer"] is None
    assert outer["cpu_ns"] >= first["cpu_ns"] + second["cpu_ns"]


def test_a_command_of_another_log_is_an_outermost_one(log: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shell(log, "-c", f"PROCK_LOG={other} {SHELL} -c true; :")
    assert lines(other)[0]["outer"] is None


def test_without_a_log_it_is_the_shell() -> None:
    env = {name: value for name, value in environment().items() if name != "PROCK_LOG"}
    done = subprocess.run([SHELL, "-c", "echo $PPID; echo $0"], capture_output=True, text=True, env=env, check=True)
    assert done.stdout == f"{os.getpid()}\nsh\n"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_a_shell_that_a_signal_ended(log: Path, number: int) -> None:
    assert shell(log, "-c", f"kill -{int(number)} $$").returncode == -number
    assert lines(log)[0]["exit_code"] == 128 + number


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_signals_reach_the_command(log: Path, tmp_path: Path, number: int) -> None:
    name = signal.Signals(number).name.removeprefix("SIG")
    ready = tmp_path / "ready"
    script = f"trap 'exit 9' {name}; : > {ready}; while :; do sleep 0.01; done"
    env = environment(PROCK_LOG=str(log))
    with subprocess.Popen([SHELL, "-c", script], env=env) as popen:
        while not ready.exists():
            time.sleep(0.005)
        popen.send_signal(number)
        assert popen.wait(20) == 9


def test_signal_dispositions_are_inherited(log: Path) -> None:
    show = "grep -E 'SigBlk|SigIgn' /proc/self/status"
    plain = subprocess.run(["sh", "-c", show], capture_output=True, text=True, check=True)
    assert shell(log, "-c", show).stdout == plain.stdout


def test_a_background_process_is_not_waited_for(log: Path) -> None:
    began = time.monotonic()
    done = shell(log, "-c", "sleep 30 >/dev/null 2>&1 & echo $!")
    os.kill(int(done.stdout), signal.SIGKILL)
    assert time.monotonic() - began < 20
    assert lines(log)[0]["left_running"] is True


def test_a_script(log: Path, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("echo $0; false; echo not reached\n")
    done = shell(log, "-e", str(script))
    assert (done.returncode, done.stdout) == (1, f"{script}\n")
    assert lines(log)[0]["command"] == f"-e {script}"


def test_another_shell(log: Path) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash")
    assert shell(log, "-c", "echo ${BASH_VERSION:+bash}", env={"PROCK_SHELL": bash}).stdout == "bash\n"
    assert shell(log, "-c", "echo ok", env={"PROCK_SHELL": SHELL}).stdout == "ok\n"  # not itself again
    missing = shell(log, "-c", "true", env={"PROCK_SHELL": "/no/sh"})
    assert missing.returncode == 127
    assert is_one_line(missing.stderr, "prock-sh: cannot execute /no/sh: ")


SECRETS = [
    "mysql --password x-1 -e 'API_KEY=x-1'",
    "curl -H 'Authorization: Bearer x-1' https://user:x-1@host/a?b",
    "DB_PASSWORD=x-1 GITHUB_TOKEN='x-1' run",
    'run --secret-key=x-1 --data \'{"token": "x-1"}\'',
    "login -token x-1; passphrase=x-1",
]


@pytest.mark.parametrize("command", SECRETS)
def test_secrets_are_not_logged(log: Path, command: str) -> None:
    assert "x-1" not in redact([command])[0]
    shell(log, "-c", f": <<'E'\n{command}\nE")
    text = lines(log)[0]["command"]
    assert "x-1" not in text and "***" in text


@pytest.mark.parametrize(
    "command", ["make -j4 keys", "ls key monkey", "a=b; ./key: x", "git clone https://host/a:b@c", "a\tb"]
)
def test_other_commands_are_logged_as_they_are(log: Path, command: str) -> None:
    shell(log, "-c", f": <<'E'\n{command}\nE")
    expected = command.replace("./key: x", "./key: ***")
    assert lines(log)[0]["command"] == f": <<'E'\n{expected}\nE"


@pytest.mark.parametrize(
    "name", [b"\xff\xc3", "é\u20ac\U0001f600".encode(), b'\x01\x7f"\\', b"\xed\xa0\x80", b"x" * 100_000]
)
def test_any_bytes_are_json(log: Path, name: bytes) -> None:
    env = {**os.environb, b"PROCK_LOG": os.fsencode(log)}
    subprocess.run([SHELL.encode(), b"-c", b": '" + name + b"'"], env=env, check=True)
    (line,) = lines(log)
    assert len(line["command"]) <= 4096
    assert line["command"][3:-1] == name.decode("utf-8", "backslashreplace") or len(name) > 4096


def test_lines_of_commands_at_once_are_whole(log: Path) -> None:
    env = environment(PROCK_LOG=str(log))
    long = f": {'y' * 3000}"
    many = [subprocess.Popen([SHELL, "-c", long], env=env) for _ in range(50)]
    assert [popen.wait(20) for popen in many] == [0] * 50
    assert len({line["id"] for line in lines(log)}) == 50


def test_no_entry_of_others_is_written(log: Path, tmp_path: Path) -> None:
    target, link, pipe = tmp_path / "target", tmp_path / "link", tmp_path / "pipe"
    target.write_bytes(b"")
    link.symlink_to(target)
    os.mkfifo(pipe)
    places = [link, pipe]
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    if os.geteuid() == 0:
        log.write_bytes(b"")
        os.chown(log, 65534, 65534)
        places.append(log)
    for place in places:
        done = shell(place, "-c", "exit 5")
        assert done.returncode == 5 and is_one_line(done.stderr, "prock-sh: cannot write to PROCK_LOG: ")
    assert target.read_bytes() == b"" == os.read(reader, 1)
    os.close(reader)
    assert os.geteuid() != 0 or log.read_bytes() == b""


@pytest.mark.parametrize("place", ["/no/such/directory/log", "/"])
def test_a_log_that_cannot_be_written_does_not_hurt(place: str) -> None:
    done = shell(Path(place), "-c", "echo ok; exit 5")
    assert (done.returncode, done.stdout) == (5, "ok\n")
    assert is_one_line(done.stderr, "prock-sh: cannot write to PROCK_LOG: ")


def test_make_and_its_report(log: Path, tmp_path: Path) -> None:
    if shutil.which("make") is None:
        pytest.skip("no make")
    (tmp_path / "Makefile").write_text("all: a b\na:\n\t@sleep 0.01; :\nb:\n\t@echo built; :\n")
    env = environment(PROCK_LOG=str(log))
    make = ["make", "-j2", f"SHELL={SHELL}"]
    made = subprocess.run(make, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert (made.returncode, made.stdout) == (0, "built\n")
    with log.open("a") as file:
        file.write('{"schema":"pro')
    shown = prock("report", log)
    assert shown.stdout.startswith("prock-sh: 2 commands, 0 failed\n")
    assert "1 line could not be read" in shown.stdout
    assert "echo built; :" in shown.stdout
    for option in (["--json"], ["-o", "x.html"]):
        refused = prock("report", log, *option)
        assert refused.returncode == 2
        assert is_one_line(refused.stderr, f"prock report: {log} is a log of prock-sh")

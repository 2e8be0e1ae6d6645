"""What SECURITY.md promises of secrets, of what is inherited, and of rights; the rest has tests of its own."""

from __future__ import annotations

import ctypes
import json
import os
import pickle
import re
import resource
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support import processes
from support.command_line import NOBODY, TIMEOUT_S, command, environment, is_followed_by, on_terminal, prock, prock_json
from support.elsewhere import become_nobody, in_child, libc, needs_root

import prock as library
from prock.accounting.wait_linux import LinuxWaiter
from prock.runner.spawn_linux import SpawnOptions

SECRET = "S3cr3t-V4lue"
WITH_SECRET = environment(TOKEN=SECRET, AWS_SECRET_ACCESS_KEY=SECRET)


@pytest.fixture
def keeper(spawn: processes.Spawn) -> int:
    """A process with a secret in its environment."""
    program = spawn("child = sleeper(); say(child); wait()", env={**os.environ, **WITH_SECRET})
    program.hears()
    return program.pid


def test_values_of_the_environment_are_printed_by_no_command(keeper: int, tmp_path: Path) -> None:
    calls: list[tuple[object, ...]] = [
        ("stat", keeper),
        ("stat", keeper, "--json"),
        ("tree", keeper),
        ("tree", keeper, "--json"),
        ("tree", keeper, "-i", "0.01"),
        ("scan", "-n", "0", "--json"),
        ("top", keeper, "--plain", "-n", "1"),
        ("top", keeper, "--json", "-n", "1", "--io"),
        ("doctor",),
        ("doctor", "--json"),
        ("run", "-vv", "--json", "-", "--label", "a=b", "sh", "-c", "sleep 0.05"),
        ("run", "-f", "%C %{args} %{labels} %{sources} %{missing} %{commands}", "true"),
        ("run", "-r", "2", "true"),
        ("run", "/no/such/program"),
        ("run", tmp_path),
        ("run", "--json", "/no/such/directory/x", "true"),
        ("run", "--accounting", "nonsense", "true"),
        ("--nonsense",),
    ]
    for called in calls:
        done = prock(*called, env=WITH_SECRET)
        assert done.stdout + done.stderr and SECRET not in done.stdout + done.stderr, called
    assert SECRET not in on_terminal("stat", keeper, env=WITH_SECRET)
    words = command("attach", "-vv", "--json", "-", keeper)
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=WITH_SECRET) as attached:
        is_followed_by(attached.pid)
        attached.send_signal(signal.SIGINT)
        out, _ = attached.communicate(timeout=TIMEOUT_S)
    assert b"prock.run/1" in out and SECRET.encode() not in out
    done = prock("stat", env={**WITH_SECRET, "PROCK_ENGINE": "pure"})  # a variable that is prock's own is told
    assert done.returncode == 0 and SECRET not in done.stdout


def test_values_of_the_environment_are_in_nothing_that_is_shown(keeper: int) -> None:
    """Of results, errors and what is kept in between: reprs end up in logs."""
    env = {**os.environ, "TOKEN": SECRET}
    with library.Popen(["sh", "-c", "exit 3"], env=env) as process:
        process.wait()
        result = process.finish()
    with pytest.raises(FileNotFoundError) as missing:
        library.run(["/no/such/program"], env=env)
    with pytest.raises(subprocess.CalledProcessError) as failed:
        library.run(["false"], env=env, check=True)
    with pytest.raises(ValueError, match="environment") as illegal:
        library.run(["true"], env={"A=B": SECRET})
    setup = SpawnOptions([b"TOKEN=" + SECRET.encode()])
    shown = [process, result, missing.value, failed.value, illegal.value, setup, process.__dict__]
    shown += [library.snapshot_tree(keeper), library.snapshot_process(keeper), library.get_liveness_info(keeper)]
    shown += [str(error.value) for error in (missing, failed, illegal)]
    for thing in shown:
        assert SECRET not in repr(thing)
    assert SECRET.encode() not in pickle.dumps(result)
    assert SECRET not in json.dumps(result.as_document())
    assert library.get_process_environ(keeper) is not None
    assert (library.get_process_environ(keeper) or {})["TOKEN"] == SECRET  # asked for


@needs_root
def test_what_is_told_is_what_the_caller_could_read(spawn: processes.Spawn) -> None:
    """An ordinary user, of root's process: all that differs from what root is told is what the kernel refuses."""
    program = spawn("say(); wait()", env={**os.environ, "TOKEN": SECRET})
    program.hears()
    pid = program.pid

    def ask() -> dict[str, Any]:
        become_nobody()
        for file, question in (("environ", library.get_process_environ), ("exe", library.get_process_path)):
            with pytest.raises(PermissionError):
                os.close(os.open(f"/proc/{pid}/{file}", os.O_RDONLY))
            with pytest.raises(library.AccessDenied):
                question(pid)
        with pytest.raises(library.AccessDenied):
            library.get_disk_io(pid)
        stats = library.snapshot_process(pid, io=True)
        assert stats is not None and stats.disk_io is None and "io" in stats.refused
        return {"comm": library.get_process_comm(pid), "rss": library.get_memory(pid)}

    told = in_child(ask)
    assert told["comm"] == library.get_process_comm(pid) and told["rss"] is not None


def test_nothing_that_is_installed_has_rights_of_its_own() -> None:
    """No set-id bits, no file capabilities, and nothing that others may write to."""
    for path in Path(library.__file__).parent.rglob("*"):
        status = path.lstat()
        assert not status.st_mode & (stat.S_ISUID | stat.S_ISGID) or stat.S_ISDIR(status.st_mode), path
        assert stat.S_ISLNK(status.st_mode) or not status.st_mode & stat.S_IWOTH, path
        if stat.S_ISREG(status.st_mode):
            assert "security.capability" not in os.listxattr(path), path


def test_no_command_leaves_a_file_behind(keeper: int, tmp_path: Path) -> None:
    """No cache, no lock, no socket: nowhere that it could have made one by itself."""
    places = {name: str(tmp_path) for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR")}
    for called in (("stat", keeper), ("tree", keeper), ("scan",), ("doctor",), ("run", "-vv", "true")):
        assert prock(*called, env=environment(**places, PYTHONDONTWRITEBYTECODE="1"), cwd=tmp_path).returncode == 0
    assert list(tmp_path.iterdir()) == []


FILES = "import os; print(sorted(int(name) for name in os.listdir('/proc/self/fd')))"
"""With the one that it lists them by."""


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("-vv", "--interval", "0.01", "--pss"),
        ("--json", "FILE"),
        ("-o", "FILE", "--json", "/dev/stderr"),
        ("--accounting", "ledger"),
        ("--verify", "--progress"),
        ("-r", "3"),
    ],
)
def test_a_command_inherits_no_descriptor_of_procks(options: tuple[str, ...], tmp_path: Path) -> None:
    words = [sys.executable, "-I", "-S", "-c", FILES]
    given = os.open(tmp_path, os.O_RDONLY)
    try:
        plain = subprocess.run(words, capture_output=True, text=True, pass_fds=[given], check=True).stdout
        options = tuple(option.replace("FILE", str(tmp_path / "file")) for option in options)
        done = prock("run", *options, *words, pass_fds=[given])
    finally:
        os.close(given)
    assert done.returncode == 0
    assert set(done.stdout.splitlines()) == set(plain.splitlines())


@pytest.mark.parametrize("accounting", ["auto", "ledger"])
def test_a_command_of_the_library_inherits_what_it_is_given(engine_name: str, accounting: str, tmp_path: Path) -> None:
    from prock.engine import open_engine, using

    words = [sys.executable, "-I", "-S", "-c", FILES]
    first, second = os.pipe()
    os.set_inheritable(second, True)
    try:
        with using(open_engine(engine_name)):
            for keep in ((), (first,)):
                result = library.run(words, capture_output=True, text=True, pass_fds=keep, accounting=accounting)
                plain = subprocess.run(words, capture_output=True, text=True, pass_fds=keep, check=True)
                assert result.stdout == plain.stdout
    finally:
        os.close(first)
        os.close(second)


OF_STATUS = "CapInh CapPrm CapEff CapBnd CapAmb NoNewPrivs Seccomp SigBlk SigIgn SigCgt Uid Gid Groups".split()
STATE = f"""
import ctypes, os, resource
subreaper = ctypes.c_int()
ctypes.CDLL(None).prctl(37, ctypes.byref(subreaper), 0, 0, 0)
status = [line for line in open("/proc/self/status") if line.split(":")[0] in {OF_STATUS!r}]
limits = [resource.getrlimit(number) for number in range(16)]
mask = os.umask(0)
print(status, limits, subreaper.value, oct(mask), os.getpriority(0, 0), os.sched_getaffinity(0), os.getcwd())
"""


@pytest.mark.parametrize("setting", ["", "umask 027; ulimit -n 300; trap '' HUP USR1; exec nice -n 5"])
def test_a_command_has_the_rights_and_limits_that_it_had_without(setting: str) -> None:
    words = [sys.executable, "-I", "-S", "-c", STATE]
    answers = []
    for called in (words, command("run", "-q", *words)):
        shell = ["sh", "-c", f'{setting or "exec"} "$@"', "sh", *called]
        answers.append(subprocess.run(shell, capture_output=True, text=True, check=True, env=environment()).stdout)
    # Those below SIGRTMIN are the C library's own; posix_spawn leaves them ignored, and Python can't change that.
    plain, counted = (re.sub(r"(?<=SigIgn:.t)\w+", _without_those_of_libc, answer) for answer in answers)
    assert plain == counted and "CapEff" in plain


def _without_those_of_libc(found: re.Match[str]) -> str:
    return f"{int(found[0], 16) & ~sum(1 << number - 1 for number in range(32, signal.SIGRTMIN)):x}"


def state_of_this_process() -> list[object]:
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        status = [line for line in file if line.partition(":")[0] in OF_STATUS]
    mask = os.umask(0)
    os.umask(mask)
    flag = ctypes.c_int(-1)
    libc.prctl(37, ctypes.byref(flag), 0, 0, 0)  # PR_GET_CHILD_SUBREAPER
    return [status, resource.getrlimit(resource.RLIMIT_NOFILE), mask, flag.value, sorted(os.listdir("/proc/self/fd"))]


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("accounting", ["auto", "waited", "ledger"])
@pytest.mark.parametrize("fails", [False, True])
def test_the_caller_is_as_it_was(accounting: str, fails: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """No capability, no subreaper, no handler, no descriptor is left, whatever happens."""

    def check() -> None:
        library.run(["true"], accounting=accounting)  # imports, once
        before = state_of_this_process()
        if fails:
            with pytest.raises(FileNotFoundError):
                library.run(["/no/such/program"], accounting=accounting)
            monkeypatch.setattr(LinuxWaiter, "set_root", interrupt)
            with pytest.raises(KeyboardInterrupt):
                library.run(["true"], accounting=accounting)
        else:
            library.run(["sh", "-c", "true & exec true"], accounting=accounting, reap_orphans=True)
            with library.Monitor(), library.TreeSampler(os.getpid()) as sampler:
                sampler.sample()
        assert state_of_this_process() == before

    in_child(check)


def test_a_directory_with_modules_of_its_own(tmp_path: Path) -> None:
    """``python -m prock`` where somebody has left a ``json.py``."""
    for name in ("argparse", "json", "textwrap", "unicodedata", "resource", "pwd", "select", "termios", "prock_evil"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('hijacked')")
    assert prock_json("stat", os.getpid(), cwd=tmp_path)["pid"] == os.getpid()
    for called in (("doctor",), ("tree",), ("run", "-vv", "true"), ("--help",)):
        done = prock(*called, cwd=tmp_path)
        assert done.returncode == 0 and "hijacked" not in done.stdout + done.stderr


@needs_root
def test_another_users_run_can_read_its_report_alone(tmp_path: Path) -> None:
    """With a umask that keeps files to oneself the account is kept to oneself as well."""
    report = tmp_path / "cost.json"
    assert prock("run", "-q", "--json", report, "true", umask=0o077).returncode == 0

    def ask() -> None:
        become_nobody()
        assert os.geteuid() == NOBODY
        with pytest.raises(PermissionError):
            report.read_bytes()

    in_child(ask)

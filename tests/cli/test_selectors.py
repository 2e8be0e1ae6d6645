"""The selectors of trees: which roots each of them finds among real processes."""

from __future__ import annotations

import os
import pwd
import sys
from pathlib import Path
from typing import Any

import pytest
from support import processes
from support.command_line import is_one_line, prock, prock_json

from prock.cli import selectors
from prock.cli.output import Failure

QUICK = ("--plain", "--interval", "0.01", "-n", 1)


def selector(**options: object) -> selectors.Selector:
    found = selectors.chosen(options)
    assert found is not None
    return found


def test_nothing_is_chosen() -> None:
    assert selectors.chosen({"name": None, "all": False, "full": False}) is None


def test_pidfile(spawn: processes.Spawn, tmp_path: Path) -> None:
    file = tmp_path / "server.pid"
    found = selector(pidfile=str(file))
    assert found.find() == [] and found.successors
    file.write_text("")
    assert found.find() == []
    for text in ("{}\n", "{}", " {}\n5432\n/data\n"):  # the last as PostgreSQL writes it
        program = spawn("say(); wait()")
        file.write_text(text.format(program.pid))
        assert found.find() == [program.pid]
    (tree,) = prock_json("top", "--pidfile", file, *QUICK)["trees"]
    assert tree["root_pid"] == program.pid
    file.write_text("no pid\n")
    with pytest.raises(Failure, match=r"no pid in the first line of .*server\.pid: "):
        found.find()
    file.unlink()
    os.mkfifo(file)
    assert found.find() == []  # and does not block


def test_user(spawn: processes.Spawn) -> None:
    program = spawn("child = sleeper(); say(child); wait()")
    program.hears()
    uid = os.geteuid()
    by_name, by_number = selector(user=pwd.getpwuid(uid).pw_name), selector(user=str(uid))
    assert by_name.find() == by_number.find()
    assert os.getpid() not in by_name.find()
    with pytest.raises(Failure, match="no user 'no-such-user': "):
        selector(user="no-such-user")


@pytest.mark.skipif(os.geteuid() != 0, reason="starts a process of another user")
def test_another_user(spawn: processes.Spawn) -> None:
    program = spawn("os.setuid(64123); child = sleeper(); say(child); wait()")
    program.hears()
    assert selector(user="64123").find() == [program.pid]


def test_cgroup(spawn: processes.Spawn) -> None:
    from prock.engine.linux.mountinfo import mounts

    program = spawn("child = sleeper(); say(child); wait()")
    program.hears()
    group: Path | None = None
    for mount in mounts("/proc", "cgroup2") + mounts("/proc", "cgroup"):
        try:
            group = Path(mount.point, f"prock-selector-{os.getpid()}.service")
            (group / "below").mkdir(parents=True)
            (group / "below" / "cgroup.procs").write_text(str(program.pid))
            break
        except OSError:
            if group is not None and group.exists():
                remove(group)
            group = None
    if group is None:
        pytest.skip("no cgroup can be created here")
    try:
        name = group.name
        for given in (str(group), f"/{name}", name, name.removesuffix(".service")):
            assert selector(cgroup=given).find() == [program.pid], given
        assert selector(cgroup="/../..").find() == []
    finally:
        program.popen.kill()
        program.popen.wait()
        for pid in (group / "below" / "cgroup.procs").read_text().split():
            os.kill(int(pid), 9)
        while (group / "below" / "cgroup.procs").read_text():
            pass
        remove(group)


def remove(group: Path) -> None:
    for directory in (group / "below", group):
        if directory.exists():
            directory.rmdir()


def test_all() -> None:
    """Every process is below one of the roots, kernel threads excepted."""
    roots = selector(all=True).find()
    assert (roots and 2 not in roots) or Path("/proc/2/cmdline").read_bytes()
    parents = {int(path.name): parent_of(path) for path in Path("/proc").iterdir() if path.name.isdigit()}
    above = [os.getpid()]
    while parents.get(above[-1]):
        above.append(parents[above[-1]])
    assert set(above) & set(roots)


def parent_of(path: Path) -> int:
    try:
        return int((path / "stat").read_text(errors="replace").rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


BAD: list[tuple[tuple[str, ...], int, str]] = [
    (("--pidfile", "/nowhere.pid"), 1, "no process by the pidfile /nowhere.pid: is the server running?"),
    (("--cgroup", "no-such-unit"), 1, "no process in a cgroup 'no-such-unit': "),
    (("--cgroup", "/"), 2, "--cgroup without a name: "),
    (("--user", "no-such-user"), 2, "no user 'no-such-user': "),
    (("--user", "root", "--all"), 2, "both --user and --all: give only one"),
    (("--all", "--full"), 2, "--full without --name: add --name PATTERN"),
    (("1", "--all"), 2, "both PID and another selection of trees: give only one"),
]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have neither cgroups nor pidfiles")
@pytest.mark.parametrize(("options", "code", "message"), BAD)
def test_bad_input(options: tuple[Any, ...], code: int, message: str) -> None:
    done = prock("top", *options, *QUICK)
    assert (done.returncode, done.stdout) == (code, "")
    assert is_one_line(done.stderr, f"prock top: {message}"), done.stderr

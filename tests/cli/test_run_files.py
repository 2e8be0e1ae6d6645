"""Where ``prock run`` puts its account: whole or not at all, where it was told to, not where a stranger chose."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support.command_line import NOBODY, TIMEOUT_S, command, environment, prock
from support.elsewhere import become_nobody, in_child, needs_root

from prock.files import CannotWrite, OutputFile

OTHER = 12345
WAYS = pytest.mark.parametrize("option", ["--json", "-o"])


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A directory like /tmp."""
    directory = tmp_path / "shared"
    directory.mkdir()
    directory.chmod(0o1777)
    for above in (tmp_path, *tmp_path.parents[:3]):
        if above.stat().st_uid == os.geteuid():
            above.chmod(above.stat().st_mode | 0o055)
    return directory


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    file = tmp_path / "victim"
    file.write_text("precious")
    return file


def is_document(file: Path) -> bool:
    return not file.is_symlink() and json.loads(file.read_text())["schema"] == "prock.run/1"


@needs_root
@WAYS
@pytest.mark.parametrize("exists", [True, False])
def test_a_link_that_a_stranger_has_put_there_is_not_followed(
    option: str, exists: bool, shared: Path, victim: Path
) -> None:
    target = victim if exists else victim.with_name("new")
    link = shared / "cost"
    link.symlink_to(target)
    os.lchown(link, OTHER, OTHER)
    done = prock("run", option, link, "echo", "ran")
    assert (done.returncode, done.stdout) == (125, "")
    assert done.stderr == f"prock run: cannot write {link}: Permission denied\n"
    assert victim.read_text() == "precious" and not victim.with_name("new").exists()


def test_a_link_that_comes_while_the_command_runs_is_not_followed(shared: Path, victim: Path) -> None:
    place = shared / "cost"
    assert prock("run", "-q", "--json", place, "ln", "-s", victim, place).returncode == 0
    assert victim.read_text() == "precious" and is_document(place)


@WAYS
def test_links_of_ones_own_are_followed(option: str, shared: Path) -> None:
    home = shared.parent / "home"
    home.mkdir()
    (home / "second").symlink_to("../home/./third")
    first = shared / "first"
    first.symlink_to("../home/second")
    for _ in range(2):  # there is none yet; there is one
        assert prock("run", option, first, "true").returncode == 0
        assert first.is_symlink() and (home / "second").is_symlink() and (home / "third").stat().st_size > 0
    (home / "third").unlink()
    (home / "third").symlink_to("second")
    done = prock("run", option, first, "echo", "ran")
    assert (done.returncode, done.stdout) == (125, "")
    assert "Too many levels of symbolic links" in done.stderr


@needs_root
@WAYS
@pytest.mark.parametrize("mode", [0o1777, 0o777])
@pytest.mark.parametrize("kind", ["device", "fifo", "directory", "file", "below"])
def test_no_entry_of_another_user_is_used(kind: str, mode: int, option: str, shared: Path, victim: Path) -> None:
    """With and without the sticky bit: a link to a device, a pipe, a link to a directory, a file, and a link in a
    directory that the other user created there."""
    shared.chmod(mode)
    secret = shared.parent / "secret"
    secret.mkdir(0o700)
    place = shared / "cost"
    if kind == "device":
        place.symlink_to("/dev/full")
    elif kind == "fifo":
        os.mkfifo(place)
    elif kind == "directory":
        place.symlink_to(secret)
    elif kind == "file":
        place.write_text("theirs")
    else:
        place.mkdir()
        (place / "cost").symlink_to(victim)
        os.lchown(place / "cost", OTHER, OTHER)
    os.lchown(place, OTHER, OTHER)
    path = place / "cost" if kind in ("directory", "below") else place
    done = prock("run", option, path, "echo", "ran")
    if kind == "file" and option == "--json":  # replaced, not written into
        assert done.returncode == 0 and is_document(place) and place.stat().st_uid == 0
        return
    assert (done.returncode, done.stdout) == (125, "")
    assert done.stderr == f"prock run: cannot write {path}: Permission denied\n"
    assert victim.read_text() == "precious" and list(secret.iterdir()) == []


def test_a_second_name_of_a_file_is_not_written_into(shared: Path, victim: Path) -> None:
    """Another user can create one, where ``fs.protected_hardlinks`` is off."""
    place = shared / "cost"
    place.hardlink_to(victim)
    done = prock("run", "-o", place, "echo", "ran")
    assert (done.returncode, done.stdout, victim.read_text()) == (125, "", "precious")
    assert prock("run", "-q", "--json", place, "true").returncode == 0
    assert victim.read_text() == "precious" and is_document(place)


def test_no_name_is_to_be_guessed(shared: Path) -> None:
    """Who takes it first would have the report refused."""
    place = shared / "cost"
    program = f'cd {shared} && touch .prock.tmp .prock-$PPID.tmp .cost.tmp cost.tmp "cost.$PPID"'
    assert prock("run", "-q", "--json", place, "sh", "-c", program).returncode == 0
    assert is_document(place)
    assert {file.name for file in shared.iterdir() if file.stat().st_size} == {"cost"}


def test_what_lies_there_is_not_written_into(shared: Path, victim: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "urandom", lambda size: b"7" * size)
    (shared / f".prock-{'37' * 8}.tmp").symlink_to(victim)
    place = OutputFile(str(shared / "cost"), whole=True)
    with pytest.raises(CannotWrite, match="File exists"):
        place.write("text")
    place.close()
    assert victim.read_text() == "precious" and not (shared / "cost").exists()


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
@WAYS
def test_a_new_file_is_as_open_as_the_umask_says(option: str, mask: int, mode: int, shared: Path) -> None:
    assert prock("run", option, shared / "cost", "true", umask=mask).returncode == 0
    assert (shared / "cost").stat().st_mode & 0o7777 == mode


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666, 0o400, 0o4755])
def test_a_file_of_ones_own_stays_as_open_as_it_was(mode: int, shared: Path) -> None:
    place = shared / "cost"
    place.touch()
    place.chmod(mode)
    assert prock("run", "--json", place, "true", umask=0o022).returncode == 0
    assert is_document(place) and place.stat().st_mode & 0o7777 == mode & 0o777


@needs_root
@pytest.mark.parametrize(
    ("theirs", "umask", "ours"), [(0o666, 0o022, 0o644), (0o666, 0o077, 0o600), (0o600, 0o022, 0o600)]
)
def test_a_strangers_file_is_replaced_by_ones_own(theirs: int, umask: int, ours: int, shared: Path) -> None:
    """By root; and it is no more open than one where there was none."""
    place = shared / "cost"
    place.touch()
    place.chmod(theirs)
    os.chown(place, OTHER, OTHER)
    with place.open() as before:
        assert prock("run", "--json", place, "true", umask=umask).returncode == 0
        assert before.read() == ""
    status = place.stat()
    assert is_document(place) and (status.st_uid, status.st_mode & 0o7777) == (0, ours)


@needs_root
def test_the_group_of_a_file_is_kept_or_loses_its_rights(shared: Path) -> None:
    def replaced(place: Path) -> tuple[int, int]:
        file = OutputFile(str(place), whole=True)
        file.write("text")
        file.close()
        return place.stat().st_gid, place.stat().st_mode & 0o777

    place = shared / "cost"
    place.touch()
    place.chmod(0o660)
    os.chown(place, 0, OTHER)
    assert replaced(place) == (OTHER, 0o660)
    os.chown(place, NOBODY, OTHER)

    def check() -> tuple[int, int]:
        become_nobody()
        return replaced(place)

    assert in_child(check) == (NOBODY, 0o600)


@needs_root
def test_what_can_not_be_replaced_is_said_before_the_command_runs(shared: Path) -> None:
    place = shared / "cost"
    place.write_text("theirs")
    os.chown(place, OTHER, OTHER)

    def check() -> str:
        become_nobody()
        with pytest.raises(CannotWrite) as caught:
            OutputFile(str(place), whole=True)
        return str(caught.value)

    assert in_child(check) == f"cannot write {place}: Operation not permitted"


def test_it_goes_where_it_was_told_to(shared: Path) -> None:
    """To that directory, whatever becomes of its name meanwhile."""
    (shared / "one").mkdir()
    program = "mv one two && mkdir one"
    done = prock("run", "-q", "--json", "one/cost", "sh", "-c", program, cwd=shared)
    assert done.returncode == 0
    assert is_document(shared / "two" / "cost") and list((shared / "one").iterdir()) == []


def test_a_file_in_the_place_of_a_fifo_is_not_written_over(shared: Path) -> None:
    fifo = shared / "fifo"
    os.mkfifo(fifo)
    done = prock("run", "-q", "--json", fifo, "sh", "-c", f"rm {fifo}; echo precious >{fifo}")
    assert (done.returncode, fifo.read_text()) == (125, "precious\n")
    assert done.stderr == f"prock run: cannot write {fifo}: something else has taken its place\n"


def test_all_of_it_or_nothing(shared: Path) -> None:
    place = shared / "cost"
    place.write_text("before")
    words = ["sh", "-c", 'ulimit -f 0; exec "$@"', "sh", *command("run", "-q", "--json", str(place), "true")]
    done = subprocess.run(words, capture_output=True, text=True, env=environment(), timeout=TIMEOUT_S, check=False)
    assert (done.returncode, done.stderr) == (125, f"prock run: cannot write {place}: File too large\n")
    assert place.read_text() == "before" and list(shared.iterdir()) == [place]


@pytest.mark.parametrize("name", ["", ".", "..", "a/..", "/", "no/such", "a/b", "a/"])
def test_what_is_no_file(name: str, shared: Path) -> None:
    (shared / "a").touch()
    with pytest.raises(CannotWrite):
        OutputFile(f"{shared}/{name}" if name else "", whole=True)


def test_no_descriptor_stays_open(shared: Path) -> None:
    def look(act: Callable[[], object]) -> None:
        before = os.listdir("/proc/self/fd")
        act()
        assert os.listdir("/proc/self/fd") == before

    def write() -> None:
        place = OutputFile(str(shared / "cost"), whole=True)
        place.write("text")
        place.close()

    def fail() -> None:
        for name in ("no/such", "loop", "..", "cost/x"):
            with pytest.raises(CannotWrite):
                OutputFile(str(shared / name), whole=True)

    (shared / "loop").symlink_to("loop")
    look(write)
    look(fail)

"""Recordings of real runs: complete, readable while written, whole after SIGKILL, and safe where others can write."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.elsewhere import needs_root
from support.runs import has_perf

import prock
from prock.recording.writer import CannotRecord

PROCK = [sys.executable, "-m", "prock"]
LOOP = "i=0; while [ $i -lt 20000 ]; do i=$((i + 1)); done"


def record(path: Path, *command: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    words = [*PROCK, "run", "-q", "--record", str(path), *options, "--", *command]
    return subprocess.run(words, capture_output=True, text=True, timeout=60)


def test_a_recording_has_the_processes_samples_marks_and_the_result_of_a_run(tmp_path: Path) -> None:
    file = tmp_path / "a.prock"
    mark = f"{sys.executable} -m prock mark 'phase \\'two\\''"
    done = record(file, "sh", "-c", f"{LOOP}; /bin/true; {LOOP}; {mark}; exit 3".replace("\\'", ""))
    assert done.returncode == 3, done.stderr
    assert stat.S_IMODE(file.stat().st_mode) == 0o600 and [path.name for path in tmp_path.iterdir()] == ["a.prock"]
    recording = prock.load(str(file))
    (result,) = recording.results
    assert result.returncode == 3 and result.args[0] == "sh" and recording.meta["command"][0] == "sh"
    assert len(recording.samples) == result.samples and [text for _, text in recording.marks] == ["phase two"]
    shell = recording.processes[0]
    assert shell.pid == result.pid and shell.args is not None and shell.args[0] == "sh"
    assert all(process.ended_ns is not None for process in recording.processes)
    if has_perf() and result.processes_started is not None:
        assert len(recording.processes) == result.processes_started
        assert "true" in {process.comm for process in recording.processes}
        assert result.cpu_ns is not None
        used_ns = sum(map(sum, recording.timeline().cpu_ns.values()))
        assert 0.9 * result.cpu_ns - 20_000_000 <= used_ns <= 1.02 * result.cpu_ns + 20_000_000


def test_views_have_a_row_for_each_process_in_each_sample(tmp_path: Path) -> None:
    file = tmp_path / "a.prock"
    with prock.Recorder(str(file)) as recorder, prock.TreeSampler() as sampler:
        child = subprocess.Popen(["sleep", "60"])
        try:
            for _ in range(5):
                recorder.add(sampler.sample())
                time.sleep(0.02)
        finally:
            child.kill()
            child.wait()
    db = sqlite3.connect(file)
    sleeping = db.execute("SELECT count(*), count(DISTINCT sample) FROM process_sample WHERE pid = ?", (child.pid,))
    assert sleeping.fetchone() == (5, 5)
    changes = db.execute(
        "SELECT count(*) FROM row JOIN process ON process.id = row.process WHERE pid = ?", (child.pid,)
    )
    assert changes.fetchone()[0] < 5  # what has not changed is not written again
    (seconds,) = db.execute("SELECT max(seconds) FROM sample_time").fetchone()
    assert 0.07 <= seconds <= 60
    (epoch_ns,) = db.execute("SELECT max(epoch_ns) FROM sample_time").fetchone()
    assert abs(epoch_ns / 1e9 - time.time()) < 60


def test_every_committed_sample_survives_sigkill(tmp_path: Path) -> None:
    generator = random.Random(7)
    for number in range(8):
        file = tmp_path / f"{number}.prock"
        words = [
            *PROCK,
            "run",
            "-q",
            "-i",
            "0.005",
            "--record",
            str(file),
            "--",
            "sh",
            "-c",
            f"while :; do {LOOP}; done",
        ]
        running = subprocess.Popen(words, start_new_session=True)
        try:
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline:
                time.sleep(0.02)
                if file.exists() and len(prock.load(str(file)).samples) > 3:
                    break
            time.sleep(generator.random() * 0.2)
            committed = len(prock.load(str(file)).samples)
        finally:
            os.kill(running.pid, signal.SIGKILL)
            running.wait()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)
        recording = prock.load(str(file))
        assert len(recording.samples) >= committed > 3 and recording.results == ()
        assert sqlite3.connect(file).execute("PRAGMA integrity_check").fetchone() == ("ok",)
        done = subprocess.run([*PROCK, "report", str(file)], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0 and "ended early" in done.stdout


def test_an_existing_file_is_refused_and_only_a_recording_is_replaced(tmp_path: Path) -> None:
    file, other = tmp_path / "a.prock", tmp_path / "letter"
    assert record(file, "true").returncode == 0
    other.write_text("dear")
    done = record(file, "touch", str(tmp_path / "ran"))
    assert done.returncode == 125 and "it exists" in done.stderr and len(done.stderr.splitlines()) == 1
    done = record(other, "touch", str(tmp_path / "ran"), options=("--force",))
    assert done.returncode == 125 and "not a recording" in done.stderr and other.read_text() == "dear"
    assert not (tmp_path / "ran").exists()
    assert record(file, "true", options=("--force",)).returncode == 0


@needs_root
@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
@pytest.mark.parametrize("force", [False, True])
def test_a_link_of_a_stranger_is_not_followed(suffix: str, force: bool, tmp_path: Path) -> None:
    shared, target = tmp_path / "shared", tmp_path / "target"
    shared.mkdir()
    shared.chmod(0o1777)
    link = shared / f"b.prock{suffix}"
    link.symlink_to(target)
    os.lchown(link, 65534, 65534)
    if suffix and force:  # root may remove it
        prock.Recorder(str(shared / "b.prock"), force=True).close()
    else:
        with pytest.raises(CannotRecord):
            prock.Recorder(str(shared / "b.prock"), force=force)
        assert not (shared / "b.prock").exists()
    assert not target.exists()


def test_a_directory_in_which_others_can_replace_files_is_refused(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    with pytest.raises(prock.ProckError, match="others may replace files"):
        prock.Recorder(str(shared / "a.prock"))
    shared.chmod(0o1777)
    prock.Recorder(str(shared / "a.prock")).close()


@pytest.mark.parametrize("path", ["", "no/such/directory/a", "."])
def test_a_path_that_cannot_be_written_is_an_error_of_one_line(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = record(path, "touch", "ran")  # type: ignore[arg-type]
    assert done.returncode == 125 and done.stderr.startswith("prock run: cannot record to ")
    assert len(done.stderr.splitlines()) == 1 and list(tmp_path.iterdir()) == []


def test_a_full_disk_ends_the_recording_and_not_the_run(tmp_path: Path) -> None:
    words = [*PROCK, "run", "-i", "0.002", "--record", str(tmp_path / "a.prock"), "sh", "-c", "sleep 0.6; exit 5"]
    done = subprocess.run(
        words,
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000)),
    )
    assert done.returncode == 5, done.stderr
    assert "ended early" in " ".join(done.stderr.split())
    assert prock.load(str(tmp_path / "a.prock")).samples


def test_a_forked_child_does_not_write(tmp_path: Path) -> None:
    with prock.Recorder(str(tmp_path / "a.prock")) as recorder, prock.TreeSampler() as sampler:
        recorder.add(sampler.sample())
        pid = os.fork()
        if pid == 0:
            recorder.mark("child")
            recorder.close()
            os._exit(0)
        os.waitpid(pid, 0)
        recorder.mark("parent")
        recorder.add(sampler.sample())
    recording = prock.load(str(tmp_path / "a.prock"))
    assert [text for _, text in recording.marks] == ["parent"] and len(recording.samples) == 2


def test_only_record_adds_to_the_environment(tmp_path: Path) -> None:
    def seen(*options: str) -> set[str]:
        words = [*PROCK, "run", "-q", *options, "env"]
        output = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        return set(output.splitlines())

    file = tmp_path / "a.prock"
    assert seen("--record", str(file)) - seen() == {f"PROCK_RECORDING={file}"}


def test_a_mark_outside_a_recording_does_nothing(tmp_path: Path) -> None:
    env = {**os.environ, "PROCK_RECORDING": str(tmp_path / "gone")}
    done = subprocess.run([*PROCK, "mark", "x"], capture_output=True, env=env, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"") and list(tmp_path.iterdir()) == []


def test_a_running_tree_can_be_recorded(tmp_path: Path) -> None:
    file = tmp_path / "a.prock"
    child = subprocess.Popen(["sh", "-c", f"{LOOP}{LOOP} sleep 0.5".replace("done", "done;")])
    words = [*PROCK, "attach", "-q", "--record", str(file), str(child.pid)]
    assert subprocess.run(words, timeout=60).returncode == 0
    child.wait()
    recording = prock.load(str(file))
    assert recording.processes[0].pid == child.pid and recording.results[0].args == ()


def test_what_is_no_recording_is_said(tmp_path: Path) -> None:
    text, newer, empty = tmp_path / "text", tmp_path / "newer", tmp_path / "empty"
    text.write_text("hello")
    prock.Recorder(str(newer)).close()
    prock.Recorder(str(empty)).close()
    db = sqlite3.connect(newer)
    db.execute("PRAGMA user_version = 99")
    db.close()
    for path, message in (
        (text, "is not a recording"),
        (newer, "use a newer prock"),
        (empty, "has no samples"),
        (tmp_path, "cannot read"),
        (tmp_path / "none", "cannot read"),
    ):
        done = subprocess.run([*PROCK, "report", str(path)], capture_output=True, text=True, timeout=60)
        assert done.returncode == 1 and message in done.stderr and len(done.stderr.splitlines()) == 1


def test_secrets_are_not_recorded(tmp_path: Path) -> None:
    file = tmp_path / "a.prock"
    assert record(file, "sh", "-c", "sleep 0.1; : $0 $1", "--password", "hunter2").returncode == 0
    data = file.read_bytes()
    assert b"hunter2" not in data and b"--password" in data


def test_the_library_records_runs_and_blocks(tmp_path: Path) -> None:
    mark = f"{sys.executable} -m prock mark here"
    result = prock.run(["sh", "-c", f"{LOOP}; {mark}"], record=str(tmp_path / "run"), labels={"of": "test"})
    recording = prock.load(str(tmp_path / "run"))
    assert [text for _, text in recording.marks] == ["here"] and recording.meta["labels"] == {"of": "test"}
    assert recording.results[0].cpu_ns == result.cpu_ns and recording.processes[0].pid == result.pid
    with prock.Monitor(0.01, record=str(tmp_path / "block")) as monitor:
        time.sleep(0.1)
    assert monitor.result is not None
    assert len(prock.load(str(tmp_path / "block")).samples) == monitor.result.samples
    with pytest.raises(prock.ProckError, match="exists"), prock.Monitor(record=str(tmp_path / "block")):
        pass
    with pytest.raises(prock.ProckError, match="exists"):
        prock.run(["touch", str(tmp_path / "ran")], record=str(tmp_path / "run"))
    assert not (tmp_path / "ran").exists()


def test_what_cannot_be_started_leaves_no_recording(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        prock.run(["no-such-command"], record=str(tmp_path / "a"))
    assert record(tmp_path / "a", "no-such-command").returncode == 127
    done = subprocess.run(
        [*PROCK, "attach", "--record", str(tmp_path / "a"), "4194303"], capture_output=True, timeout=60
    )
    assert done.returncode != 0 and list(tmp_path.iterdir()) == []


def test_a_damaged_recording_is_said(tmp_path: Path) -> None:
    assert record(tmp_path / "a", "sleep", "0.1").returncode == 0
    data = (tmp_path / "a").read_bytes()
    (tmp_path / "half").write_bytes(data[: len(data) // 2])
    (tmp_path / "odd").write_bytes(data)
    with contextlib.closing(sqlite3.connect(tmp_path / "odd", isolation_level=None)) as db:
        db.execute("UPDATE process SET started_ns = NULL")
        db.execute("UPDATE meta SET value = '{' WHERE key = 'labels'")
    for name in ("half", "odd"):
        done = subprocess.run([*PROCK, "report", str(tmp_path / name)], capture_output=True, text=True, timeout=60)
        assert done.returncode == 1 and "cannot read" in done.stderr and len(done.stderr.splitlines()) == 1


def test_names_that_are_not_utf_8_are_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = tmp_path / os.fsdecode(b"\xff")
    odd.mkdir()
    monkeypatch.chdir(odd)
    assert record(Path("a.prock"), "sh", "-c", "sleep 0.1; :", os.fsdecode(b"\xfe")).returncode == 0
    assert r"\xff" in str(prock.load("a.prock").meta["directory"])

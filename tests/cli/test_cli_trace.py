"""``prock trace``: as root where the kernel allows it, and refused clearly elsewhere."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.command_line import NO_PID, TIMEOUT_S, command, environment, is_one_line, prock

if sys.platform != "linux":
    pytest.skip("eBPF needs Linux", allow_module_level=True)

from support.bpf import needs_bpf, why_unavailable


class Traced:
    """A shell that waits for a line, with ``prock trace`` on its tree."""

    def __init__(self, script: str, *options: object) -> None:
        self.shell = subprocess.Popen(["sh", "-c", f"read line; {script}"], stdin=subprocess.PIPE)
        self.trace = subprocess.Popen(
            command("trace", "--pid", self.shell.pid, *options),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            env=environment(),
        )

    def lines(self) -> list[str]:
        """Of the whole output, below the header, which is written when the tree is recorded."""
        assert self.trace.stdout is not None and self.trace.stderr is not None
        assert self.trace.stdout.readline().split()[:3] == ["TIME", "PID", "PARENT"]
        self.shell.communicate(b"\n")
        out, errors = self.trace.communicate(timeout=TIMEOUT_S)
        assert (self.trace.returncode, errors) == (0, "")
        return out.splitlines()


@needs_bpf
def test_each_process_of_a_tree_with_its_ending() -> None:
    traced = Traced("/bin/true one; sh -c 'exit 3'; sh -c 'kill -9 $$'; :")
    rows = [line.split(None, 8) for line in traced.lines()]
    shell = str(traced.shell.pid)  # between two reads, the kernel frees processes in any order
    assert {(row[2], row[7], row[8]) for row in rows if row[1] != shell} == {
        (shell, "0", "true one"),
        (shell, "3", "sh -c 'exit 3'"),
        (shell, "KILL", "sh -c 'kill -9 $$'"),
    }
    assert len(rows) == 4 and [row[2] for row in rows if row[1] == shell] == [str(os.getpid())]
    assert all(re.fullmatch(r"\d\d:\d\d:\d\d", row[0]) and row[5].endswith(("K", "M")) for row in rows)


@needs_bpf
def test_trees_by_name(tmp_path: Path) -> None:
    """What already runs below a process of that name, and what is started from then on."""
    name = f"t{os.getpid()}"
    script = tmp_path / name
    script.write_text("#!/bin/sh\n(read line; /bin/true inner) & read line; kill $!; wait; /bin/true outer\n")
    script.chmod(0o755)
    shell = subprocess.Popen([script], stdin=subprocess.PIPE)
    trace = subprocess.Popen(command("trace", "--name", f"^{name}$"), stdout=subprocess.PIPE, encoding="utf-8")
    assert trace.stdout is not None and trace.stdout.readline()
    shell.communicate(b"\n")
    out, _ = trace.communicate(timeout=TIMEOUT_S)
    rows = [line.split(None, 8) for line in out.splitlines()]
    assert ("0", "true outer") in [(row[7], row[8]) for row in rows]
    assert {row[2] for row in rows} == {str(os.getpid()), str(shell.pid)}


@needs_bpf
def test_passwords_names_and_arguments(tmp_path: Path) -> None:
    program = tmp_path / "na\x1b[31mme"
    shutil.copy("/bin/true", program)
    script = f"'{program}' --password hunter2"
    lines = Traced(f"{script}; :").lines()
    assert any(line.endswith("na\\x1b[31mme --password ***") for line in lines)
    lines = Traced(f"{script}; :", "--no-args").lines()
    assert any(line.endswith(" na\\x1b[31mme") for line in lines)


@needs_bpf
def test_filters() -> None:
    busy = f"{sys.executable} -S -c 'import time\nwhile time.process_time() < 0.2: pass'"
    assert [line.split()[8] for line in Traced(f"/bin/true; {busy}; :", "--min-cpu", "150ms").lines()] == [
        os.path.basename(sys.executable)
    ]
    lines = Traced("/bin/true; sleep 0.2; :", "--min-life", "150ms", "--command", "sl*").lines()
    assert [line.split(None, 8)[8] for line in lines] == ["sleep 0.2"]


@pytest.fixture
def documents() -> Iterator[Any]:
    """A trace of the machine, as JSON, and a reader of its next document of a command."""
    trace = subprocess.Popen(command("trace", "--all", "--json"), stdout=subprocess.PIPE, encoding="utf-8")
    assert trace.stdout is not None
    others = subprocess.Popen(["sh", "-c", "while sleep 0.05; do :; done"])  # so that there is always a next document

    def read(*arguments: str) -> Any:
        while True:  # until prock records, and has written it
            subprocess.run(arguments, check=False)
            for _ in range(20):
                document = json.loads(trace.stdout.readline())  # type: ignore[union-attr]
                if document["cmdline"] == list(arguments):
                    return document

    yield read
    others.kill()
    others.wait()
    trace.send_signal(signal.SIGINT)
    trace.communicate(timeout=TIMEOUT_S)
    assert trace.returncode == -signal.SIGINT


@needs_bpf
def test_json(documents: Any) -> None:
    document = documents("false", "a sentinel")
    assert set(document) == {
        "schema", "pid", "ppid", "comm", "cmdline", "start_time", "end_time", "wall_ns", "cpu_ns", "user_ns",
        "system_ns", "peak_rss_bytes", "disk_io", "minor_faults", "major_faults", "exit_code", "signal", "uid",
        "cgroup", "reaped",
    }  # fmt: skip
    assert (document["schema"], document["comm"], document["ppid"]) == ("prock.trace/1", "false", os.getpid())
    assert (document["exit_code"], document["signal"], document["reaped"]) == (1, None, True)
    assert 0 < document["cpu_ns"] < 1e9 and document["start_time"] < document["end_time"]


@needs_bpf
def test_summary_when_interrupted() -> None:
    trace = subprocess.Popen(
        command("trace", "--all", "--summary"), stdout=subprocess.PIPE, encoding="utf-8", env=environment()
    )
    for _ in range(20):  # the programs are loaded by then
        subprocess.run(["sleep", "0.05"], check=True)
    trace.send_signal(signal.SIGINT)
    out, _ = trace.communicate(timeout=TIMEOUT_S)
    assert trace.returncode == -signal.SIGINT
    header, *rows = out.splitlines()
    assert header.split() == ["CPU", "LIFE", "PROCESSES", "FAILED", "LARGEST", "WRITTEN", "COMMAND"]
    assert any(row.endswith("  sleep") for row in rows)


@needs_bpf
def test_nothing_is_left_after_sigkill() -> None:
    if shutil.which("bpftool") is None:
        pytest.skip("no bpftool")

    def programs() -> set[int]:
        done = subprocess.run(["bpftool", "-j", "prog", "show"], capture_output=True, check=True)
        return {program["id"] for program in json.loads(done.stdout) if program["name"] in ("on_free", "on_exit")}

    before = programs()
    trace = subprocess.Popen(command("trace", "--all"), stdout=subprocess.PIPE, encoding="utf-8")
    assert trace.stdout is not None and trace.stdout.readline()
    loaded = programs() - before
    assert len(loaded) >= 2
    trace.kill()
    trace.wait()
    trace.stdout.close()
    for _ in range(200):  # the kernel frees them after a grace period
        if not loaded & programs():
            return
        subprocess.run(["sleep", "0.05"], check=True)
    pytest.fail(f"{loaded} are still loaded")


@needs_bpf
def test_a_process_that_is_gone() -> None:
    done = prock("trace", "--pid", NO_PID)
    assert (done.returncode, done.stdout) == (1, "") and is_one_line(done.stderr, f"prock trace: no process {NO_PID}")


@pytest.mark.parametrize(
    "arguments",
    [[], ["--all", "--pid", "1"], ["--full", "--all"], ["--pid", "x"], ["--all", "--min-cpu", "x"], ["--all", "extra"]],
)
def test_options_that_make_no_sense(arguments: list[str]) -> None:
    done = prock("trace", *arguments)
    assert (done.returncode, done.stdout) == (2, "") and is_one_line(done.stderr, "prock trace: ")


def test_another_user_is_refused_in_one_line(as_other_user: dict[str, Any]) -> None:
    done = prock("trace", "--all", **as_other_user)
    assert (done.returncode, done.stdout) == (1, "")
    assert is_one_line(done.stderr, "prock trace: not available here: records by eBPF (")


WITHHELD = {
    "capabilities": (
        ["setpriv", "--bounding-set=-bpf,-perfmon,-sys_admin", "--inh-caps=-bpf,-perfmon,-sys_admin"],
        "bpf(2): ",
    ),
    "BTF": (
        ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none /sys/kernel/btf && exec "$@"', "sh"],
        "no /sys/kernel/btf",
    ),
    "PID namespace": (["unshare", "-p", "-f", "--mount-proc"], "PID namespace"),
}


@needs_bpf
@pytest.mark.parametrize("what", WITHHELD)
def test_what_is_withheld_is_named_with_a_remedy(what: str) -> None:
    wrapper, reason = WITHHELD[what]
    if shutil.which(wrapper[0]) is None:
        pytest.skip(f"no {wrapper[0]}")
    if subprocess.run([*wrapper, "true"], capture_output=True, check=False).returncode:
        pytest.skip(f"{wrapper[0]} is not allowed here")
    done = subprocess.run([*wrapper, *command("trace", "--all")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert is_one_line(done.stderr, "prock trace: not available here: records by eBPF (") and reason in done.stderr
    doctor = subprocess.run([*wrapper, *command("doctor", "--json")], capture_output=True, check=False)
    (check,) = (check for check in json.loads(doctor.stdout)["checks"] if check["name"] == "ebpf")
    assert check["status"] == "no" and reason in check["finding"] and check["remedy"]


def test_doctor_agrees() -> None:
    (check,) = (check for check in json.loads(prock("doctor", "--json").stdout)["checks"] if check["name"] == "ebpf")
    assert check["status"] == ("ok" if why_unavailable() is None else "no")

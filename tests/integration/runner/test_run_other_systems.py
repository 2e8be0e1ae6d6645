"""Commands are run, ended and accounted for, and ``prock`` is called, as on another system: see `other_systems`.

On Windows no process can be started that way: there what its handle would tell is made up, and only that.
"""

from __future__ import annotations

import configparser
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.other_systems import SYSTEMS, run_on

TYPES = configparser.ConfigParser()
TYPES.read(Path(__file__).parents[3] / "tools" / "mypy-elsewhere.ini")
LINUX_ALONE = {name for part in TYPES.sections() if "-" in part for name in part.removeprefix("mypy-").split(",")}
"""Modules whose types are not checked for other systems."""
POSIX = [system for system in SYSTEMS if system != "win32"]

MODULES = """
import importlib, pkgutil, sys
import prock

only_linux = set(sys.argv[1:])
others = {"prock.__main__", "prock._core"}
if sys.platform == "win32":  # two that take Windows to import them, the second as textual does
    others |= {"prock.accounting.wait_windows", "prock.cli.top.app"}
for module in pkgutil.walk_packages(prock.__path__, "prock."):
    if module.name not in only_linux | others:
        importlib.import_module(module.name)
answer = sorted(only_linux & set(sys.modules))
"""

RUN = """
import os, signal, subprocess, sys, time
import prock

SLEEP = [sys.executable, "-S", "-c", "import time; time.sleep(60)"]
TREE = [sys.executable, "-S", "-c",
    "import subprocess, sys, time\\n"
    "child = subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(60)'])\\n"
    "print(child.pid, flush=True); time.sleep(60)"]
BUSY = [sys.executable, "-S", "-c",
    "import time, sys; until = time.process_time() + 0.2\\n"
    "while time.process_time() < until: pass\\n"
    "time.sleep(0.1); sys.exit(3)"]


def is_left(pid):
    info = prock.get_liveness_info(pid)
    return info is not None and info.is_alive
"""

FIGURES = """
result = prock.run(BUSY, labels={"job": "a"}, processes=True)
failed = prock.run(["sh", "-c", "cat; echo $X >&2; exit 4"], input="in", text=True, capture_output=True,
    env={**os.environ, "X": "err"}, cwd="/")
answer = [result.as_document(), failed.returncode, failed.stdout, failed.stderr]
"""


def sources(document: Any) -> dict[str, Any]:
    return {source["figure"]: source for source in document["sources"]}


@pytest.mark.parametrize("system", SYSTEMS)
def test_what_only_linux_has_is_imported_on_linux_alone(system: str) -> None:
    assert run_on(system, MODULES, *sorted(LINUX_ALONE)) == []


@pytest.mark.parametrize("system", POSIX)
def test_figures(system: str) -> None:
    document, *failed = run_on(system, RUN + FIGURES)
    assert failed == [4, "in", "err\n"]
    assert (document["returncode"], document["labels"], document["accounting"]) == (3, {"job": "a"}, "waited")
    assert document["cpu_ns"] == max(document["cpu_by_source"].values()) >= 190_000_000
    assert document["user_ns"] + document["system_ns"] == document["cpu_ns"]
    assert document["minor_faults"] > 0 and document["voluntary_switches"] > 0
    assert document["samples"] > 0 and document["peak_rss_bytes"] > 1_000_000
    assert [row["pid"] for row in document["processes"]] == [document["pid"]]
    assert (document["disk_io"], document["processes_started"], document["cgroup_peak_bytes"]) == (None, None, None)
    assert set(sources(document)) >= {"cpu", "user_system", "root_cpu", "memory", "largest_process", "faults"}
    missing = " ".join(document["missing"])
    assert "Not used: cgroup, perf: only Linux has them" in missing and "I/O is unknown: " in missing


def test_macos_tells_resident_sets_in_bytes() -> None:
    """Which this kernel does not: so they are made bytes of."""
    program = """
wait4 = os.wait4
def in_bytes(pid, options):
    found, status, usage = wait4(pid, options)
    fields = list(usage)
    fields[2] *= 1024
    return found, status, type(usage)(fields)
os.wait4 = in_bytes
answer = prock.run(BUSY).largest_process_bytes
"""
    assert 1_000_000 < run_on("darwin", RUN + program) < 10**9


@pytest.mark.parametrize("system", POSIX)
def test_how_trees_end(system: str) -> None:
    program = """
answer = []
try:
    prock.run(TREE, stdout=subprocess.PIPE, timeout=1.0, kill_after=10)
except subprocess.TimeoutExpired as expired:
    child = int(expired.stdout)
    answer += [expired.result.timed_out, expired.result.returncode == -signal.SIGTERM, is_left(child)]
with prock.Popen(TREE, stdout=subprocess.PIPE) as process:
    child = int(process.stdout.readline())
    process.send_signal(signal.SIGSTOP)
    while prock.get_liveness_info(process.pid).state != "T": pass
    answer += [process.poll(), process.send_tree_signal(0), process.kill_tree(10), is_left(child), process.wait()]
with prock.Popen(SLEEP) as process:
    process.kill()
    answer += [process.wait(), process.finish().signal]
    process.send_signal(signal.SIGTERM)
"""
    assert run_on(system, RUN + program) == [True, True, False, None, 2, True, False, -15, -9, 9]


@pytest.mark.parametrize("system", POSIX)
def test_cancelling_ends_the_tree(system: str, tmp_path: Path) -> None:
    program = """
import asyncio

async def cancel():
    task = asyncio.create_task(prock.arun(TREE, stdout=open(sys.argv[1], "w"), kill_after=10))
    while not open(sys.argv[1]).read().endswith("\\n"):
        await asyncio.sleep(0.01)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        return [prock.get_children(), is_left(int(open(sys.argv[1]).read()))]

answer = asyncio.run(cancel())
"""
    assert run_on(system, RUN + program, tmp_path / "told") == [[], False]


@pytest.mark.parametrize("system", SYSTEMS)
def test_what_can_not_be_had_is_refused_before_anything_is_started(system: str, tmp_path: Path) -> None:
    program = """
answer = []
asked = [{"accounting": "cgroup"}, {"accounting": "perf"}, {"reap_orphans": True}]
for options in asked + ([{"accounting": "waited"}] if sys.platform == "win32" else []):
    try:
        prock.run(["touch", sys.argv[1]], **options)
        answer.append(None)
    except prock.NotSupported as error:
        answer.append(str(error))
"""
    told = run_on(system, RUN + program, tmp_path / "started")
    assert len(told) == 3 + (system == "win32") and all("not available here: " in reason for reason in told)
    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize("system", POSIX)
def test_a_signal_goes_to_that_process_or_to_nobody(system: str) -> None:
    program = """
from prock.runner.send_signal import NotSent, send

def told(identity):
    try:
        send(identity, signal.SIGTERM)
    except NotSent as reason:
        return str(reason)

with prock.Popen(SLEEP) as process:
    identity = prock.get_liveness_info(process.pid).identity
    other = told((identity[0], identity[1] + 1))
    alive = process.poll()
    sent = told(identity)
    answer = [other == f"process {process.pid} has ended", alive, sent, process.wait()]
"""
    assert run_on(system, RUN + program) == [True, None, None, -15]


WINDOWS = """
import posix, types
from prock.accounting.protocol import ExitedChild, RootWaiter

class WindowsWaiter(RootWaiter):
    "Made up: of the root alone."
    includes_children = False
    holds_root = True

    def __init__(self, process):
        super().__init__(process.pid)

    def reap(self):
        if self.root is None and posix.waitpid(self.root_pid, posix.WNOHANG)[0]:
            self.user_ns, self.system_ns, self.largest_bytes = 500_000_000, 100_000_000, 7 * 2**20
            self.root = ExitedChild(self.root_pid, 3, 600_000_000)

sys.modules["prock.accounting.wait_windows"] = types.SimpleNamespace(WindowsWaiter=WindowsWaiter)
"""


def test_figures_on_windows() -> None:
    """The whole is not less than its part, and nothing is made of what nobody tells."""
    document = run_on("win32", RUN + WINDOWS + "answer = prock.run(BUSY).as_document()")
    assert (document["returncode"], document["accounting"]) == (3, "ledger")
    assert document["cpu_ns"] == document["root_cpu_ns"] == 600_000_000
    unknown = ("user_ns", "system_ns", "minor_faults", "major_faults", "voluntary_switches", "peak_pss_bytes")
    assert [document[name] for name in unknown] == [None] * len(unknown)
    assert document["largest_process_bytes"] >= 7 * 2**20
    assert document["disk_io"]["read_bytes"] is None and document["disk_io"]["read_chars"] > 0
    assert sources(document)["root_cpu"]["source"] == "process handle"
    missing = " ".join(document["missing"])
    for reason in ("has no record of them", "User and system time", "Page faults", "Not used: cgroup, perf"):
        assert reason in missing


def test_a_time_limit_on_windows() -> None:
    program = """
try:
    prock.run(SLEEP, timeout=0.5, kill_after=10)
except subprocess.TimeoutExpired as expired:
    answer = [expired.result.timed_out, list(expired.result.survivors), expired.result.signal]
"""
    assert run_on("win32", RUN + WINDOWS + program) == [True, [], None]


CALL = """
import contextlib, io, sys
from prock.cli import main


def call(*words):
    said, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(errors):
        code = main([str(word) for word in words])
    return [code, said.getvalue(), errors.getvalue()]
"""
CALLS = CALL + "answer = [call(*words.split()) for words in sys.argv[1:]]"


@pytest.mark.parametrize("system", SYSTEMS)
def test_what_only_looks(system: str) -> None:
    words = (
        "stat", "stat --json", "tree", "tree --json", "tree -i 0.05", "scan", "scan --json -i 0.05",
        "top --plain -n 1 -i 0.05", "top --json -n 1 -i 0.05", "top --plain --name . -n 1 -i 0.05 --full",
        "run --help", "attach --help", "doctor --help", "--version",
    )  # fmt: skip
    for code, said, errors in run_on(system, CALLS, *words):
        assert (code, errors) == (0, "") and said


@pytest.mark.parametrize("system", SYSTEMS)
def test_what_can_not_be_asked_is_one_line(system: str) -> None:
    words = ("run", "run --nonsense true", "run --accounting cgroup true", "attach x", "stat x", "top --sort io")
    answers = run_on(system, CALLS, *words)
    assert [answer[0] for answer in answers] == [2, 2, 125, 2, 2, 2]
    for _, said, errors in answers:
        assert (said, errors.count("\n"), errors[:6]) == ("", 1, "prock ")


@pytest.mark.parametrize(("system", "name"), [("darwin", "macOS"), ("win32", "Windows"), ("freebsd14", "FreeBSD")])
def test_the_doctor_tells_which_engine_and_why(system: str, name: str) -> None:
    ((code, said, errors),) = run_on(system, CALLS, "doctor")
    assert (code, errors) == (0, "")
    assert f"portable ({name}): psutil\n" in said
    lines = (re.split(" {2,}", line) for line in said.splitlines()[1:-2] if line[:1] != " ")
    statuses = {name: status for status, name, *_ in lines}
    assert statuses["perf task-clock"] == statuses["cgroup v2"] == "no"
    assert statuses["signals"] == statuses["prock run"] == statuses["PSS"] == "limited"
    assert (statuses["I/O counters"] == "no") is (system != "win32")
    assert statuses["ended children"] == ("ok" if system == "freebsd14" else "limited")


@pytest.mark.parametrize("system", POSIX)
def test_a_command_in_front_of_commands(system: str, tmp_path: Path) -> None:
    document, script = tmp_path / "document", tmp_path / "script"
    script.write_text("exit 5\n")
    script.chmod(0o755)
    program = """
document, script, none = sys.argv[1:]
answer = [
    call("run", "--json", document, "sh", "-c", "sleep 0.1; kill -9 $$"),
    call("run", "-q", script),
    call("run", "-q", "-t", "0.2", "sleep", "60"),
    call("run", none),
]
"""
    killed, as_script, timed_out, nothing = run_on(system, CALL + program, document, script, tmp_path / "none")
    assert killed[:2] == [137, ""]
    assert killed[2].startswith("prock: sh -c 'sleep 0.1; kill -9 $$': killed by SIGKILL\n")
    assert json.loads(document.read_text())["returncode"] == -9
    assert as_script[0] == 5  # no program, so a script of the shell
    assert timed_out[0] == 124
    assert nothing == [127, "", f"prock run: cannot execute {tmp_path}/none: No such file or directory\n"]


@pytest.mark.parametrize("system", SYSTEMS)
def test_attach_until_ctrl_c(system: str) -> None:
    program = """
import _thread, os, threading
threading.Timer(0.5, _thread.interrupt_main).start()
answer = call("attach", "-i", "0.05", os.getpid())
"""
    code, _, errors = run_on(system, CALL + program)
    assert (
        code == 0
        and ") since prock attached: still running\n" in errors
        and "CPU: lower bound: lacks processes that ended" in errors
    )


def test_without_psutil_it_says_how_to_get_it() -> None:
    program = (
        "import sys; sys.modules['psutil'] = None; sys.platform = 'darwin'\n"
        "from prock.cli import main; sys.exit(main(['stat']))"
    )
    env = {**os.environ, "PROCK_ENGINE": ""}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=env, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith("prock stat: not available here: ") and "pip install psutil" in done.stderr
    assert "PROCK_ENGINE" not in done.stderr

"""What trees cost by `prock.run`, beside the account of a cgroup in another hierarchy that they join by themselves."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.accounts import CpuReference, open_account
from support.elsewhere import become_nobody, in_child
from support.engines import on_linux_engines
from support.runs import JOINING_NS, MS, TICK_NS, Cost, has_cgroups, has_perf, measure, python

import prock
from prock.accounting.cgroup import UNLESS_LEFT

if TYPE_CHECKING:
    from prock.engine.protocol import Engine

NAMES = {
    "steady": "use(0.15)",
    "threads": """
def work():
    until = time.thread_time() + 0.04
    while time.thread_time() < until: pass
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()""",
    "many short children": "for _ in range(40): os.waitpid(child(lambda: use(0.004)), 0)",
    "sleepers": """
reader, writer = os.pipe()
def sleep(): os.close(writer); os.read(reader, 1)
for _ in range(40): child(sleep)
use(0.1)
os.close(writer)
for _ in range(40): os.wait()""",
    "orphans that outlive the root": "for _ in range(5): orphan(lambda: use(0.03))",
    "orphans that the root outlives": """
for _ in range(5): orphan(lambda: use(0.02))
use(0.05)""",
    "children that nobody waits for": """
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
pids = [child(lambda: use(0.02)) for _ in range(8)]
while any(os.path.exists(f'/proc/{pid}') for pid in pids): time.sleep(0.001)""",
    "a killed parent": """
def parent():
    child(lambda: (time.sleep(0.01), use(0.1)))
    os.kill(os.getpid(), signal.SIGKILL)
os.waitpid(child(parent), 0)""",
    "programs one after the other": """
use(0.05); log()
os.execv(sys.executable, [sys.executable, '-I', '-S', '-c', '''
import os, time
while time.process_time() < 0.12: pass
os.execv("/bin/true", ["true"])'''])""",
    "another thread executes": """
def work():
    use(0.06); log()
    os.execv(sys.executable, [sys.executable, '-I', '-S', '-c', '''
import time
while time.process_time() < 0.15: pass'''])
threading.Thread(target=work).start()
time.sleep(60)""",
    "one without descriptors": """
log(); os.closerange(0, 1 << 16)
child(lambda: use(0.05)); os.wait()
use(0.05); os._exit(0)""",
    "leaders of sessions": """
def lead(): os.setsid(); use(0.03); child(lambda: (os.setpgid(0, 0), use(0.03))); os.wait()
for _ in range(2): child(lead)
for _ in range(2): os.wait()""",
}
"""Each uses 100 ms or more."""
LATE_NS = 30 * MS
"""What a command uses at most before it joins its cgroup where the launcher was not compiled."""
EXIT_NS = MS
"""What perf events miss of the end of a process, at most: to take down the memory of a Python."""
UNWAITED = ("children that nobody waits for", "a killed parent")
LOGS_LESS = ("programs one after the other", "another thread executes", "one without descriptors")


@pytest.fixture
def account(tmp_path: Path) -> Iterator[CpuReference]:
    with open_account(tmp_path / "log", apart=True) as account:
        yield account


def check_sources(cost: Cost, name: str) -> None:
    """Each by itself: a lower bound is never above the truth, and not far below what it claims to hold."""
    truth_ns, by_source = cost.truth_ns, cost.by_source
    most_ns = truth_ns * 1.005 + cost.start_ns
    if "cgroup" in by_source:
        late_ns = JOINING_NS if prock.engine.active.launcher else LATE_NS
        assert 0.995 * truth_ns - late_ns <= by_source["cgroup"] <= most_ns
    if "perf" in by_source:
        ends_ns = EXIT_NS * (cost.result.processes_started or 50)
        assert by_source["perf"] <= most_ns + cost.stolen_ns
        # The part that the host stole from the machine is taken off, and may have been stolen from others.
        assert by_source["perf"] >= 0.97 * truth_ns - ends_ns - cost.stolen_ns or cost.is_guessed
    assert by_source["waited"] <= most_ns
    if name not in UNWAITED:
        assert by_source["waited"] >= 0.98 * truth_ns
    if "ledger" in by_source:
        assert by_source["ledger"] <= most_ns + 2 * TICK_NS


@pytest.mark.parametrize("name", NAMES)
def test_all_sources(account: CpuReference, name: str) -> None:
    cost = measure(account, python(NAMES[name], account))
    result = cost.result
    assert (result.returncode, result.survivors, result.timed_out) == (0, (), False)
    if account.exact:
        assert cost.truth_ns >= 100 * MS
        check_sources(cost, name)
    elif name not in LOGS_LESS:
        assert all(ns >= 0.9 * cost.truth_ns for source, ns in cost.by_source.items() if source in ("cgroup", "perf"))
    if has_cgroups():
        source = result.source("cpu")
        assert (result.accounting, result.missing) == ("cgroup", ())
        assert source is not None and (source.source, source.bias) == ("cgroup", UNLESS_LEFT)
        assert result.cpu_ns == cost.by_source["cgroup"]
    assert result.user_ns is not None and result.system_ns is not None
    assert result.user_ns + result.system_ns == result.cpu_ns


@pytest.mark.parametrize("accounting", ["cgroup", "perf", "waited", "ledger"])
@pytest.mark.parametrize("name", ["orphans that the root outlives", "children that nobody waits for"])
def test_one_source(account: CpuReference, name: str, accounting: str) -> None:
    if not {"cgroup": has_cgroups, "perf": has_perf}.get(accounting, lambda: True)():
        pytest.skip(f"no {accounting} here")
    cost = measure(account, python(NAMES[name], account), accounting=accounting)
    result = cost.result
    largest = max(cost.by_source, key=lambda name: cost.by_source[name])
    assert result.accounting == (largest if accounting == "perf" else accounting) and result.cpu_ns is not None
    assert accounting in cost.by_source and not {"cgroup", "perf"} - {accounting} & set(cost.by_source)
    if account.exact:
        check_sources(cost, name)
        if accounting in ("cgroup", "perf"):
            assert result.cpu_ns >= 0.9 * cost.truth_ns or cost.is_guessed
    source = result.source("cpu")
    assert source is not None
    assert source.bias == UNLESS_LEFT if accounting == "cgroup" else source.bias.startswith(("lower bound", "estimate"))
    assert bool(result.missing) is (accounting in ("waited", "ledger"))
    assert all("SIGCHLD" in sentence for sentence in result.missing)


@on_linux_engines
@pytest.mark.parametrize("name", ["orphans that outlive the root", "many short children", "another thread executes"])
def test_engines(account: CpuReference, engine: Engine, name: str) -> None:
    cost = measure(account, python(NAMES[name], account))
    assert cost.result.returncode == 0
    if account.exact:
        check_sources(cost, name)


@pytest.mark.parametrize(
    ("source", "returncode"),
    [
        ("sys.exit(3)", 3),
        ("os.abort()", -signal.SIGABRT),
        ("import resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); ctypes.string_at(0)", -signal.SIGSEGV),
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("os.kill(os.getpid(), signal.SIGRTMIN + 1)", -(signal.SIGRTMIN + 1)),
    ],
)
def test_how_it_ends(account: CpuReference, source: str, returncode: int) -> None:
    cost = measure(account, python(f"import resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n{source}"))
    result = cost.result
    assert result.returncode == returncode
    assert result.exit_code == (returncode if returncode >= 0 else 128 - returncode)
    assert result.signal == (None if returncode >= 0 else -returncode)
    if account.exact:
        check_sources(cost, "")


def test_a_command_of_some_milliseconds(account: CpuReference) -> None:
    """What the launcher used before is not in it, nor what this process did."""
    cost = measure(account, ["/bin/sh", "-c", "i=0; while [ $i -lt 3000 ]; do i=$((i + 1)); done"])
    assert cost.result.cpu_ns is not None and 0 < cost.result.cpu_ns <= 60 * MS
    if account.exact:
        for source in ("cgroup", "waited"):
            assert abs(cost.by_source.get(source, cost.truth_ns) - cost.truth_ns) <= cost.start_ns
    root = cost.result.root_cpu_ns
    assert root is not None and 0 < root <= cost.by_source["waited"] + 5000  # whole microseconds


@pytest.mark.skipif(not has_perf(), reason="no perf events here")
def test_a_command_that_disables_its_perf_events() -> None:
    """PR_TASK_PERF_EVENTS_DISABLE: it disables events that the command opened, but those are not its own."""
    source = """
import ctypes
ctypes.CDLL(None).prctl(31, 0, 0, 0, 0)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for _ in range(5):
    pid = child(lambda: use(0.06))
    while os.path.exists(f'/proc/{pid}'): time.sleep(0.001)"""
    result = prock.run(python(source), check=True, accounting="perf")
    assert result.cpu_ns is not None and result.cpu_ns >= 300 * MS - 2 * TICK_NS
    assert (result.processes_started, bias_of_count(result)) == (6, "exact")


CPU_COMES_ONLINE = """
import os, subprocess, sys
import prock
work = sys.argv[1]
online = "/sys/devices/system/cpu/online"
first, last = min(os.sched_getaffinity(0)), max(os.sched_getaffinity(0))
with open(f"{work}/online", "w") as file: file.write(f"{first}\\n")
subprocess.run(["mount", "--bind", f"{work}/online", online], check=True)
script = f"echo {first},{last} > {work}/online; for i in 1 2 3; do taskset -c {last} sh -c '/bin/true; /bin/true'; done"
os.sched_setaffinity(0, {first})
for script in "/bin/true; /bin/true", script:
    result = prock.run(["sh", "-c", script], accounting="perf")
    print(result.processes_started, *(result.source(figure).bias for figure in ("processes", "cpu")), sep="|")
"""


@pytest.mark.skipif(os.geteuid() != 0 or not has_perf(), reason="needs root and perf events")
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two CPUs")
def test_a_cpu_that_comes_online_during_a_run(tmp_path: Path) -> None:
    """It has no event. A file stands for that of the online CPUs, in a mount namespace."""
    unshare = ["unshare", "--mount", "--propagation", "private"]
    if subprocess.run([*unshare, "true"], check=False, stderr=subprocess.DEVNULL).returncode != 0:
        pytest.skip("no mount namespace can be made")
    command = [*unshare, sys.executable, "-c", CPU_COMES_ONLINE, str(tmp_path)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    before, during = (line.split("|") for line in done.stdout.splitlines())
    assert before[1] == "exact" and before[2].startswith(("lower bound, by", "estimate"))
    assert int(during[0]) < 10 and "came online" in during[1] and during[2].startswith("lower bound: lacks")


@pytest.mark.skipif(os.geteuid() != 0 or not has_cgroups(), reason="needs root and a cgroup")
def test_too_little_leaves_the_cgroup_to_be_noticed() -> None:
    """Less than the sources differ by anyway: nothing is called exact, and the total is no more than what was used."""
    program = """
group = '/sys/fs/cgroup' if os.path.exists('/sys/fs/cgroup/cgroup.procs') else '/sys/fs/cgroup/unified'
def leave():
    with open(group + '/cgroup.procs', 'w') as file: file.write('0')
    use(0.015)
os.waitpid(child(leave), 0)"""
    result = prock.run(python(program), check=True, accounting="cgroup")
    source = result.source("cpu")
    assert source is not None and source.bias == UNLESS_LEFT and UNLESS_LEFT.startswith("lower bound")
    by_source = dict(prock.run(python(program), check=True).cpu_by_source)
    assert by_source["waited"] - by_source["cgroup"] >= 10 * MS


def bias_of_count(result: prock.RunResult) -> str:
    source = result.source("processes")
    assert source is not None and source.source == "perf records"
    return source.bias


@pytest.mark.skipif(os.geteuid() != 0 or not has_perf(), reason="needs root and perf events")
def test_a_program_of_another_user_ends_the_events_of_its_process(tmp_path: Path) -> None:
    """Set-user-id: the kernel drops its events, and writes a record as if it had exited."""
    shell = shutil.copy(os.path.realpath("/bin/sh"), tmp_path / "other")
    os.chown(shell, 65534, -1)
    os.chmod(shell, 0o4755)
    result = prock.run(["sh", "-c", f"/bin/true; {shell} -p -c '/bin/true; /bin/true'; /bin/true"], check=True)
    assert bias_of_count(result).startswith("lower bound")
    assert result.processes_started is not None and 4 <= result.processes_started <= 6
    by_perf = prock.run([shell, "-p", "-c", "/bin/true & sleep 0.1"], check=True, accounting="perf").source("cpu")
    assert by_perf is not None and "about 0.1 ms" not in by_perf.bias
    quick = prock.run(["sh", "-c", "for i in 1 2 3 4 5 6 7 8 9; do /bin/true & done; wait"], check=True)
    assert (quick.processes_started, bias_of_count(quick)) == (10, "exact")


@pytest.mark.skipif(os.geteuid() != 0 or not has_perf(), reason="needs root and perf events")
@pytest.mark.parametrize("reaped", [True, False])
def test_what_set_id_programs_start_is_unknown_by_command(reaped: bool) -> None:
    """Short processes, which samples lack: no wrong number, and `missing` names them if nothing else counts them."""
    loop = "i=0; while [ $i -lt 5000 ]; do i=$((i+1)); done"
    each = "for j in 1 2 3 4 5 6 7 8 9 10; do"

    def run() -> dict[str, Any]:
        become_nobody()
        return prock.run(command, cwd="/").as_document()

    with tempfile.TemporaryDirectory() as directory:  # not tmp_path: only its owner may enter the directories above
        os.chmod(directory, 0o755)
        shell = shutil.copy(os.path.realpath("/bin/sh"), f"{directory}/other")
        os.chown(shell, 65533, -1)
        os.chmod(shell, 0o4755)
        command = [shell, "-p", "-c", f"{each} /bin/sh -c '{loop}'; done"]
        if not reaped:
            command = ["/bin/sh", "-c", f"trap '' CHLD; {each} {shell} -p -c '{loop}'; done"]
        document = in_child(run)
    assert [source["bias"][:11] for source in document["sources"] if source["figure"] == "processes"] == ["lower bound"]
    assert document["commands"] and all(row["process_count"] is None for row in document["commands"])
    samples_count = sum(row["cpu_ns"] or 0 for row in document["commands"]) >= 0.9 * document["cpu_ns"]
    assert samples_count or all(row["cpu_ns"] is None for row in document["commands"])
    assert any("other privileges" in sentence for sentence in document["missing"])


@pytest.mark.skipif(not has_perf(), reason="no perf events here")
def test_records_in_a_time_namespace() -> None:
    """Their times are of the initial one."""
    unshare = ["unshare", "--time", "--monotonic=-900", "--boottime=-900", "--fork"]
    if subprocess.run([*unshare, "true"], check=False, stderr=subprocess.DEVNULL).returncode != 0:
        pytest.skip("no time namespace can be made")
    program = "import prock; print(prock.run(['sh', '-c', 'for i in 1 2 3; do /bin/true; done']).processes_started)"
    done = subprocess.run([*unshare, sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout == "4\n"

"""Commands that are started without the compiled launcher: by the pure engine, as where nothing was compiled."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest
from support.elsewhere import in_child
from support.runs import MS, PYTHON, TREES, groups, has_cgroups, opened, python

import prock
from prock.engine import open_engine, using


@pytest.fixture(autouse=True)
def pure() -> Iterator[None]:
    with using(open_engine("pure")):
        yield


def test_what_is_known_and_what_is_not() -> None:
    result = prock.run(python("use(0.1); os.waitpid(child(lambda: use(0.1)), 0)"), reap_orphans=True)
    assert result.returncode == 0 and result.cpu_ns is not None and result.cpu_ns >= 190 * MS
    assert set(dict(result.cpu_by_source)) == {"waited", "ledger", *(["cgroup"] if has_cgroups() else [])}
    assert (result.processes_started, result.threads_started) == (None, None)
    largest, cpu = result.source("largest_process"), result.source("cpu")
    assert largest is not None and "never less than the process that started it" in largest.bias
    assert cpu is not None and cpu.bias.startswith("lower bound: ")
    assert any("perf events: only the compiled launcher" in sentence for sentence in result.missing)


def test_the_cgroup_counts_what_nothing_waits_for() -> None:
    if not has_cgroups():
        pytest.skip("no cgroup can be made here")
    program = """
time.sleep(0.1)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
pids = [child(lambda: use(0.02)) for _ in range(8)]
while any(os.path.exists(f'/proc/{pid}') for pid in pids): time.sleep(0.001)"""
    result = prock.run(python(program))
    source = result.source("cpu")
    assert (result.accounting, result.cpu_ns is not None and result.cpu_ns >= 160 * MS) == ("cgroup", True)
    assert source is not None and source.bias == "lower bound: lacks what was used before the command joined the cgroup"
    assert groups() == []


def test_a_cgroup_that_was_asked_for_counts_a_command_that_ends_before_it_joins() -> None:
    if not has_cgroups():
        pytest.skip("no cgroup can be made here")
    result = prock.run(["true"], accounting="cgroup")
    assert result.returncode == 0 and result.cpu_ns is not None and groups() == []
    assert result.cpu_ns == max(dict(result.cpu_by_source).values())


def test_orphans_come_to_this_process() -> None:
    def check() -> None:
        result = prock.run(python("for _ in range(3): orphan(lambda: use(0.03))"), wait_all=True)
        assert dict(result.cpu_by_source)["waited"] >= 90 * MS

    in_child(check)


def test_a_group_that_cannot_be_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    from prock.accounting.cgroup import RunCgroup

    if not has_cgroups():
        pytest.skip("no cgroup can be made here")

    def refuse(_: RunCgroup, __: int) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(RunCgroup, "add", refuse)
    result = prock.run(["true"])
    assert "cgroup" not in dict(result.cpu_by_source)
    assert any("cgroup v2: it cannot be entered (Permission denied)" in sentence for sentence in result.missing)
    with pytest.raises(prock.NotSupported, match="it cannot be entered"):
        prock.run(["sleep", "1000"], accounting="cgroup")
    assert groups() == []


def test_perf_events_are_refused_before_the_start() -> None:
    with pytest.raises(prock.NotSupported, match="only the compiled launcher"):
        prock.run(["true"], accounting="perf")


def test_a_whole_tree_is_ended() -> None:
    program = f"{TREES}\nchild(lambda: (say('up'), time.sleep(60))); time.sleep(60)"
    with opened([*PYTHON, program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"up\n"
        assert process.send_tree_signal(0) == 2
        assert process.kill_tree(60)
        assert process.finish().survivors == ()

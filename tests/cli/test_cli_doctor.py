"""``prock doctor``: it looks, it says what would help, and it never fails where prock works."""

from __future__ import annotations

import errno
import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.command_line import TIMEOUT_S, command, environment, on_terminal, prock, prock_json
from support.engines import core

import prock as package
from prock.cli import main
from prock.cli.doctor import doctor_checks
from prock.cli.doctor.checks import LIMITED, NO, OK
from prock.cli.doctor.linux import cgroup_v2, perf_task_clock, proc_mount
from prock.engine import NAMES, open_engine, using

if TYPE_CHECKING:
    pass

CHECKS = [
    "engine", "launcher", "python", "kernel", "proc", "cpu_clocks", "children_files", "task_io", "perf_task_clock",
    "ebpf", "cgroup_v2", "descriptors",
]  # fmt: skip


ELSEWHERE = [
    "engine", "psutil", "python", "kernel", "cpu_times", "waited_children", "task_io", "shares", "run_accounting",
    "signals", "perf_task_clock", "cgroup_v2", "descriptors",
]  # fmt: skip


def by_name(answer: Any) -> dict[str, Any]:
    return {check["name"]: check for check in answer["checks"]}


def mountinfo(root: Path, *lines: str) -> None:
    """What the proc at `root` says of the caller's mounts."""
    (root / "self").mkdir(parents=True)
    (root / "self" / "mountinfo").write_text("".join(f"{line}\n" for line in lines))


def test_shape_of_json() -> None:
    answer = prock_json("doctor")
    assert set(answer) == {"schema", "version", "works", "checks"}
    assert (answer["schema"], answer["version"], answer["works"]) == ("prock.doctor/1", package.__version__, True)
    assert [check["name"] for check in answer["checks"]] == CHECKS
    for check in answer["checks"]:
        assert set(check) == {"name", "status", "finding", "remedy"}
        assert check["status"] in (OK, LIMITED, NO)
        assert (check["remedy"] is None) == (check["status"] == OK)


def test_the_portable_engine_has_checks_of_its_own() -> None:
    answer = prock_json("doctor", env=environment(PROCK_ENGINE="portable"))
    assert answer["works"] and [check["name"] for check in answer["checks"]] == ELSEWHERE
    assert all((check["remedy"] is None) == (check["status"] == OK) for check in answer["checks"])
    checks = by_name(answer)
    assert checks["engine"]["finding"].startswith("portable (PROCK_ENGINE=portable): ")
    assert (checks["perf_task_clock"]["status"], checks["cgroup_v2"]["status"]) == (NO, NO)


def test_every_check_has_its_line() -> None:
    text = prock("doctor").stdout
    lines = text.split("\n")
    assert lines[0] == f"prock {package.__version__}"
    assert sum(line.startswith(("ok ", "limited ", "no ")) for line in lines) == len(CHECKS)
    assert sum("to enable: " in line for line in lines) == len(CHECKS) - text.count("\nok ")
    assert lines[-2].startswith(f"{len(CHECKS)} checks: {text.count(chr(10) + 'ok ')} ok, ")


def test_colours_tell_the_statuses_apart() -> None:
    text = on_terminal("doctor", env=environment(PROCK_ENGINE="pure"))
    assert "\x1b[32mok     \x1b[0m" in text
    assert "\x1b[33mlimited\x1b[0m" in text


def test_engine_that_was_asked_for() -> None:
    check = by_name(prock_json("doctor", env=environment(PROCK_ENGINE="pure")))["engine"]
    assert check["status"] == LIMITED
    assert check["finding"].startswith("pure (PROCK_ENGINE=pure): ")


def test_engine_of_this_installation() -> None:
    env = environment()
    env.pop("PROCK_ENGINE", None)
    check = by_name(prock_json("doctor", env=env))["engine"]
    assert check["finding"].startswith(NAMES)
    assert check["status"] == (OK if check["finding"].startswith("native") else LIMITED)


def test_few_descriptors() -> None:
    limited = ["sh", "-c", 'ulimit -S -n 64; exec "$@"', "sh", *command("doctor", "--json")]
    done = subprocess.run(limited, capture_output=True, env=environment(), timeout=TIMEOUT_S, check=True)
    check = by_name(json.loads(done.stdout))["descriptors"]
    assert check["status"] == LIMITED
    assert check["finding"].startswith("soft limit 64, ")


def test_an_ordinary_user(as_other_user: dict[str, Any]) -> None:
    checks = by_name(prock_json("doctor", **as_other_user))
    assert checks["engine"]["status"] != NO
    assert checks["task_io"]["status"] == LIMITED
    assert checks["cgroup_v2"]["status"] != OK


def test_an_engine_that_does_not_work_is_the_one_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with using(open_engine("pure", str(tmp_path))):
        assert main(["doctor", "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert not answer["works"]
    assert {name for name, check in by_name(answer).items() if check["status"] == NO} >= {"engine", "proc", "task_io"}


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ("rw", OK),
        ("rw,hidepid=0", OK),
        ("rw,hidepid=off", OK),
        ("rw,hidepid=2", LIMITED),
        ("rw,hidepid=invisible,gid=4", LIMITED),
    ],
)
def test_hidepid(tmp_path: Path, options: str, status: str) -> None:
    mountinfo(tmp_path, f"22 1 0:21 / {tmp_path} rw,nosuid shared:5 - proc proc {options}")
    with using(open_engine("pure", str(tmp_path))):
        assert proc_mount().status == status


def test_a_mount_below_a_name_with_a_space(tmp_path: Path) -> None:
    root = tmp_path / "a proc"
    mountinfo(root, f"22 1 0:21 / {str(root).replace(' ', chr(92) + '040')} rw - proc proc rw")
    with using(open_engine("pure", str(root))):
        assert proc_mount().status == OK


def test_no_cgroup_v2(tmp_path: Path) -> None:
    mountinfo(tmp_path, "22 1 0:21 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu")
    with using(open_engine("pure", str(tmp_path))):
        assert cgroup_v2().status == NO


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (package.AccessDenied(1, "perf events"), "permission denied"),
        (package.NotSupported("perf events"), "operation not supported"),
        (OSError(errno.EMFILE, "Too many open files"), "too many open files"),
    ],
)
def test_perf_that_is_refused_names_the_setting(monkeypatch: pytest.MonkeyPatch, error: OSError, reason: str) -> None:
    def refuse(_: int | None) -> None:
        raise error

    compiled = core()
    monkeypatch.setattr(compiled, "open_task_clock", refuse)
    with using(compiled):
        check = perf_task_clock()
    assert (check.status, check.finding.startswith(f"{reason}, kernel.perf_event_paranoid = ")) == (NO, True)
    assert check.remedy


def test_looking_leaves_no_descriptor_open() -> None:
    before = set(Path("/proc/self/fd").iterdir())
    assert [check().name for check in doctor_checks()] == CHECKS
    assert {path for path in Path("/proc/self/fd").iterdir() if path.exists()} <= before

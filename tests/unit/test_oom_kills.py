"""Which cgroup's count of killed processes is read: on made-up mounts."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from prock.accounting.oom_kills import OomKills

if TYPE_CHECKING:
    from pathlib import Path

    from prock.accounting.cgroup import RunCgroup


class Own:
    def __init__(self, path: Path) -> None:
        self.path = str(path)


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """With cgroup v2 and v1 side by side. This process is in /a/b of v2, and in /a of v1."""
    proc = tmp_path / "self"
    proc.mkdir()
    for path in ("v2/a/b", "v1/a"):
        (tmp_path / path).mkdir(parents=True)
    mounts = [
        f"31 1 0:1 / {tmp_path}/v2 rw - cgroup2 cgroup2 rw",
        f"32 1 0:2 / {tmp_path}/cpu rw - cgroup cgroup rw,cpu",
        f"33 1 0:3 / {tmp_path}/v1 rw - cgroup cgroup rw,memory",
    ]
    (proc / "mountinfo").write_text("\n".join(mounts) + "\n")
    (proc / "cgroup").write_text("5:cpu:/other\n4:memory:/a\n0::/a/b\n")
    return tmp_path


def write(path: Path, kills: int) -> None:
    path.write_text(f"low 0\noom 9\noom_kill {kills}\n")


def test_the_nearest_group_counts(machine: Path) -> None:
    assert OomKills(str(machine), None, None).count() is None
    write(machine / "v1/a/memory.oom_control", 3)
    found = OomKills(str(machine), None, None)
    assert found.count() == 0 and found.group == f"{machine}/v1/a" and not found.is_own
    write(machine / "v1/a/memory.oom_control", 5)
    assert found.count() == 2
    write(machine / "v2/a/memory.events", 1)
    assert OomKills(str(machine), None, None).group == f"{machine}/v2/a"
    write(machine / "v2/a/b/memory.events", 1)
    assert OomKills(str(machine), None, None).group == f"{machine}/v2/a/b"


def test_the_own_group_comes_first(machine: Path) -> None:
    own = machine / "v2/a/b/run"
    own.mkdir()
    write(machine / "v2/a/memory.events", 7)
    assert not OomKills(str(machine), None, cast("RunCgroup", Own(own))).is_own
    write(own / "memory.events", 0)
    found = OomKills(str(machine), None, cast("RunCgroup", Own(own)))
    write(own / "memory.events", 1)
    assert found.is_own and found.count() == 1
    (own / "memory.events").unlink()
    assert found.count() is None

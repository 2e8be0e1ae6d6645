"""The footprint of real trees, beside what is known of them and what their shares say at leisure."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.elsewhere import become_nobody, in_child, needs_root
from support.engines import on_linux_engines
from support.processes import Program, descendants, fake_process
from support.runs import needs_filters, refuse
from support.sampling import Time

import prock
from prock import tree
from prock.engine import open_engine
from prock.engine.protocol import WANT_CPU, WANT_STAT
from prock.sampling.footprint import Footprint

if TYPE_CHECKING:
    from support.engines import Knows

    from prock.engine.protocol import Engine

pytestmark = pytest.mark.usefixtures("engine")

MIB = 1 << 20
SOURCE = Path(__file__).resolve().parents[3] / "benchmarks" / "workloads" / "memory.c"

MEMORY = """
import mmap
def block(mib, flags=mmap.MAP_PRIVATE):
    return mmap.mmap(-1, mib << 20, flags=flags | mmap.MAP_ANONYMOUS)
def fill(block, mib):
    for at in range(0, mib << 20, 4096): block[at] = 1
def holder(work=lambda: None):
    started = child(lambda: (work(), tells(os.getpid()), stay()))
    told()
    return started
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("gcc") is None:
        pytest.skip("no gcc")
    into = tmp_path_factory.mktemp("memory") / "memory"
    subprocess.run(["gcc", "-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", SOURCE, "-o", into], check=True)
    return into


class Watch:
    """A tree, sampled every tenth of a second of its own clock."""

    def __init__(self, root: int, engine: Engine, **options: bool) -> None:
        self.clock = Time()
        self.sampler = prock.TreeSampler(root, accounting="ledger", engine=engine, clock=self.clock)
        self.footprint = Footprint(engine, **options)  # type: ignore[arg-type]  # each has its own type

    def take(self, times: int = 1) -> Footprint:
        for _ in range(times):
            self.clock.passes(0.1)
            self.footprint.add_sample(self.sampler.sample())
        return self.footprint


@pytest.fixture
def watch(puppet: Program, engine: Engine) -> Iterator[Watch]:
    puppet.does(MEMORY)
    watch = Watch(puppet.pid, engine)
    yield watch
    watch.sampler.close()


def shares_of(pids: list[int]) -> int:
    """At leisure: they must be at rest."""
    lines = [line for pid in pids for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()]
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:"))


def shares_of_tree(root: int) -> int:
    return shares_of([root, *descendants(root)])


@pytest.mark.parametrize(
    ("kind", "count", "mib", "expected_mib"),
    [
        ("private", 4, 25, 100),
        ("shared", 4, 50, 50),
        ("cow", 4, 50, 50),
        ("cowbreak", 4, 48, 96),
        ("private", 1, 80, 80),
    ],
)
def test_the_ways_to_hold_memory(
    program: Path, engine: Engine, kind: str, count: int, mib: int, expected_mib: int
) -> None:
    with subprocess.Popen([program, kind, str(count), str(mib), "60000"], stdout=subprocess.PIPE) as root:
        assert root.stdout is not None
        try:
            assert root.stdout.readline() == b"held\n"
            watch = Watch(root.pid, engine)
            footprint = watch.take(5)
            watch.sampler.close()
            shares = shares_of_tree(root.pid)
        finally:
            root.kill()
    assert footprint.peak_bytes is not None and footprint.peak_rss_bytes is not None
    assert footprint.peak_bytes == pytest.approx(expected_mib * MIB, rel=0.05)
    assert footprint.peak_bytes == pytest.approx(shares, rel=0.05)
    assert footprint.source == ("rss" if count == 1 else "pss")
    assert footprint.peak_rss_bytes > (count - 0.1) * mib * MIB
    assert footprint.readings <= 2 * (count + 1)


@pytest.mark.parametrize("kind", ["vm", "vmsibling", "vfork"])
def test_one_address_space_counts_once(program: Path, engine: Engine, knows: Knows, kind: str) -> None:
    """Pages of processes that share all of them, as between vfork(2) or clone(2) and exec, in every sum."""
    mib, count = 40, 3
    if not knows.threads or (kind == "vmsibling" and engine.core is None):
        pytest.skip("this engine cannot compare address spaces")
    command: list[str | Path] = [program, kind, str(count), str(mib), "60000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as root:
        assert root.stdout is not None
        try:
            assert root.stdout.readline() == b"held\n"
            watch = Watch(root.pid, engine)
            footprint = watch.take(5)
            sample = watch.sampler.sample()
            members, sharing = sample.members, sample.sharing
            watch.sampler.close()
            found = engine.tree(root.pid, WANT_CPU | WANT_STAT)
        finally:
            os.killpg(root.pid, signal.SIGKILL)
    assert found is not None and sample.rss_bytes is not None
    assert len(members) == len(found[0]) == count + 1
    assert sorted(sharing) == sorted(found[2]) and len(sharing) == count - (kind == "vmsibling")
    assert mib * MIB < sample.rss_bytes < (mib + 5) * MIB
    assert members[0].subtree_rss_bytes == sample.rss_bytes
    assert members[0].subtree_vsize_bytes == sample.vsize_bytes
    total = tree.total(found[0], vanished=0, denied=0, sharing=found[2])
    assert total.rss_bytes is not None and mib * MIB < total.rss_bytes < (mib + 5) * MIB
    assert footprint.peak_bytes == pytest.approx(mib * MIB, rel=0.05)
    assert footprint.peak_rss_bytes == sample.rss_bytes


@needs_filters
@on_linux_engines
def test_one_address_space_without_kcmp(program: Path, engine: Engine) -> None:
    """As in containers: then only the state of a parent in vfork(2) shows it."""

    def check(root: int, sharing: int) -> None:
        refuse("kcmp", errno.EPERM)
        with prock.TreeSampler(root, accounting="ledger", engine=engine) as sampler:
            assert len(sampler.sample().sharing) == sharing
        found = engine.tree(root, WANT_CPU | WANT_STAT)
        assert found is not None and len(found[2]) == sharing

    for kind, sharing in (("vfork", 3), ("vm", 0), ("cow", 0)):
        command: list[str | Path] = [program, kind, "3", "10", "60000"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as root:
            assert root.stdout is not None
            assert root.stdout.readline() == b"held\n"
            try:
                in_child(partial(check, root.pid, sharing))
            finally:
                os.killpg(root.pid, signal.SIGKILL)


@on_linux_engines
@pytest.mark.parametrize("kind", ["vm", "vmsibling"])
def test_address_spaces_that_part(program: Path, engine: Engine, kind: str) -> None:
    """A member that executes a program counts from then on; the others share on when the first of them has ended."""
    if kind == "vmsibling" and engine.core is None:
        pytest.skip("this engine cannot compare address spaces")
    with subprocess.Popen([program, kind, "4", "40", "60000"], stdout=subprocess.PIPE, start_new_session=True) as root:
        assert root.stdout is not None
        try:
            assert root.stdout.readline() == b"held\n"
            with prock.TreeSampler(root.pid, accounting="ledger", engine=engine) as sampler:
                before = sampler.sample()
                first, *others = [row.pid for row in before.members if kind == "vm" or row.pid != root.pid]
                os.kill(others[1], signal.SIGUSR1)
                while not Path(f"/proc/{others[1]}/stat").read_text().startswith(f"{others[1]} (sleep) S"):
                    pass
                parted = sampler.sample()
                if kind == "vmsibling":
                    os.kill(first, signal.SIGKILL)
                    while Path(f"/proc/{first}/stat").read_text().split(") ")[1][0] != "Z":
                        pass
                after = sampler.sample()
        finally:
            os.killpg(root.pid, signal.SIGKILL)
    assert before.sharing == tuple(others)
    assert parted.sharing == tuple(pid for pid in others if pid != others[1])
    sizes = {row.pid: row.rss_bytes or 0 for row in parted.members}
    assert 0 < sizes[others[1]] < 10 * MIB
    assert parted.rss_bytes == sum(size for pid, size in sizes.items() if pid not in parted.sharing)
    assert after.sharing == (parted.sharing if kind == "vm" else parted.sharing[1:])


def test_memory_that_comes_to_be_shared_and_copied(puppet: Program, watch: Watch) -> None:
    """Copies show in no resident set: that the children have run has to do."""
    puppet.does("data = block(80); fill(data, 80)")
    alone = watch.take(3).peak_bytes
    assert alone is not None and alone == pytest.approx(80 * MIB, rel=0.15) and watch.footprint.source == "rss"
    puppet.does("for _ in range(3): holder()")
    forked = watch.take(3).peak_bytes
    assert forked is not None and forked < alone + 10 * MIB
    puppet.does("holder(lambda: fill(data, 80))")
    copied = watch.take(40).peak_bytes
    assert copied == pytest.approx(shares_of_tree(puppet.pid), rel=0.05)
    assert copied is not None and copied > 150 * MIB and watch.footprint.source == "pss"
    puppet.does("data.close(); data = None")
    assert watch.take(3).peak_bytes == pytest.approx(copied, rel=0.01)


def test_nobody_who_rests_is_read_again(puppet: Program, watch: Watch) -> None:
    puppet.does("data = block(20); fill(data, 20)\nfor _ in range(5): holder()")
    footprint = watch.take(10)
    readings = footprint.readings
    assert footprint.source == "pss"
    watch.take(50)
    assert footprint.readings == readings


def test_members_that_end(puppet: Program, watch: Watch) -> None:
    """Before they are read, and before anybody has waited for them."""
    pids = puppet.does(
        "data = block(20); fill(data, 20)\npids = [holder(lambda: fill(block(10), 10)) for _ in range(4)]\nsay(*pids)"
    )
    sample = watch.sampler.sample()
    assert sample.process_count == 5
    for pid in pids[:2]:
        os.kill(pid, signal.SIGKILL)
    puppet.does("os.waitpid(pids[0], 0); has_ended(pids[1])")  # one is gone, one a zombie
    footprint = watch.footprint
    footprint.add_sample(sample)
    lost = sum(row.rss_bytes or 0 for row in sample.members if row.pid in pids[:2])
    assert footprint.source == "mixed" and "ended" in footprint.bias
    assert footprint.peak_bytes == pytest.approx(shares_of([puppet.pid, *pids[2:]]) + lost / 2, rel=0.05)


def test_a_process_whose_main_thread_has_ended(puppet: Program, watch: Watch, knows: Knows) -> None:
    """Its memory and, on Linux's own engines, its shares are those of another thread."""
    puppet.does(
        "def worker():\n"
        "    global own\n    own = block(20); fill(own, 20)\n"
        "    threading.Thread(target=lambda: (tells(1), os.read(life, 1))).start()\n"
        "    libc.pthread_exit(None)\n"
        "data = block(20); fill(data, 20); child(worker); told()"
    )
    footprint = watch.take(3)
    assert footprint.peak_bytes is not None
    assert footprint.source == ("pss" if knows.threads else "mixed")
    assert 40 * MIB < footprint.peak_bytes < 75 * MIB


@needs_root
def test_members_of_another_user(puppet: Program, engine: Engine) -> None:
    puppet.does(MEMORY)
    puppet.does("data = block(20); fill(data, 20)\nfor _ in range(3): holder()")

    def check() -> None:
        become_nobody()
        watch = Watch(puppet.pid, engine)
        footprint = watch.take(3)
        watch.sampler.close()
        assert footprint.source == "rss" and "upper bound" in footprint.bias
        assert footprint.peak_bytes == footprint.peak_rss_bytes and footprint.peak_pss_bytes is None

    in_child(check)


@needs_root
def test_some_members_of_another_user(puppet: Program, engine: Engine) -> None:
    puppet.does(MEMORY)
    puppet.does(
        "data = block(20); fill(data, 20); holder()\n"
        "def become():\n"
        "    os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)\n"
        "    libc.prctl(4, 1)\n"
        "holder(become)"
    )

    def check() -> None:
        become_nobody()
        watch = Watch(puppet.pid, engine)
        footprint = watch.take(3)
        watch.sampler.close()
        assert footprint.source == "mixed" and "deny access" in footprint.bias and footprint.peak_pss_bytes is None
        assert footprint.peak_bytes is not None and footprint.peak_rss_bytes is not None
        assert 40 * MIB < footprint.peak_bytes < footprint.peak_rss_bytes

    in_child(check)


@on_linux_engines
def test_a_kernel_without_shares(engine: Engine, tmp_path: Path) -> None:
    """Before Linux 4.14."""
    fake_process(tmp_path, 10, children=b"11 12 ", rss=1000)
    fake_process(tmp_path, 11, ppid=10, rss=1000)
    fake_process(tmp_path, 12, ppid=10, rss=1000)
    watch = Watch(10, open_engine(engine.name, str(tmp_path)))
    footprint = watch.take(3)
    assert footprint.source == "rss" and "upper bound" in footprint.bias
    assert footprint.peak_bytes == footprint.peak_rss_bytes and footprint.peak_bytes


def test_a_tree_that_is_over(puppet: Program, watch: Watch) -> None:
    puppet.does("data = block(20); fill(data, 20); holder()")
    peak = watch.take(3).peak_bytes
    puppet.does("signal.signal(signal.SIGCHLD, signal.SIG_IGN)")
    os.kill(puppet.pid, signal.SIGKILL)
    puppet.popen.wait()
    footprint = watch.take(3)
    assert footprint.peak_bytes == peak and footprint.current_bytes is not None and footprint.current_bytes < 50 * MIB

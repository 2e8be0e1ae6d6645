"""When shares of memory are read, and of whom: on a machine whose memory, clocks and prices are made up."""

from __future__ import annotations

from typing import Any

import pytest
from support.made_up_samples import member, sample

from prock.errors import AccessDenied
from prock.model import ProcessInfo
from prock.sampling.footprint import Footprint
from prock.sampling.sample import TreeSample

MIB = 1 << 20
MS = 1_000_000


class Machine:
    """Processes with a resident set and a share of it in MiB; a share of None is refused."""

    clocks_usable = True

    def __init__(self, price_ns: int = 17_000) -> None:
        self.processes: dict[int, tuple[float, float | None]] = {}
        self.asked: list[list[int]] = []
        self.ended_since: set[int] = set()
        """After they were read."""
        self.grown_since: dict[int, float] = {}
        """By so many MiB while others were read."""
        self.ending: set[int] = set()
        """By the time that they are asked they have no memory any more, but are no zombies yet."""
        self.gone: set[int] = set()
        """By the time that they are asked."""
        self.now_ns = self.cpu_ns = self.used_ns = 0
        self.price_ns = price_ns
        self.blocked_ns = 0

    def pss(self, pids: list[int], until_ns: int, /) -> list[int | None]:
        self.asked.append(pids)
        shares: list[int | None] = []
        for pid in pids:
            if shares and self.now_ns > until_ns:
                break
            rss, share = self.processes[pid]
            self.now_ns += int(rss * self.price_ns) + 20_000 + self.blocked_ns
            self.cpu_ns += int(rss * self.price_ns) + 20_000
            shares.append(None if share is None or pid in self.gone else int(share * MIB))
        return shares

    def info(self, pid: int | None, /) -> ProcessInfo | None:
        assert pid is not None
        rss = 0 if pid in self.ending else int(MIB * self.processes[pid][0])
        row = ProcessInfo(pid, 1, 0, 0, 0, "S", "", 1, *[0] * 11)
        return None if pid in self.gone else row._replace(rss_bytes=rss)

    def memory(self, pid: int | None, /) -> tuple[int, int] | None:
        assert pid is not None
        rss = int(MIB * (self.processes[pid][0] + self.grown_since.get(pid, 0)))
        return None if pid in self.gone or pid in self.ended_since else (rss, rss)

    def footprint(self, **options: Any) -> Footprint:
        clocks = {"clock": lambda: self.now_ns, "cpu_clock": lambda: self.cpu_ns}
        return Footprint(self, **clocks | options)  # type: ignore[arg-type]  # it asks an engine no more than this

    def sample(self, used_ms: float = 0, after_s: float = 0.1, **changed: Any) -> TreeSample:
        self.now_ns += int(after_s * 1000) * MS
        self.used_ns += int(used_ms * MS)
        rows = [member(pid, 1, rss_bytes=int(rss * MIB)) for pid, (rss, _) in self.processes.items()]
        rss = sum(row.rss_bytes or 0 for row in rows)
        return sample(*rows, **{"taken_ns": self.now_ns, "rss_bytes": rss, "cpu_ns": self.used_ns} | changed)

    def take(self, footprint: Footprint, times: int = 1, used_ms: float = 0) -> None:
        for _ in range(times):
            footprint.add_sample(self.sample(used_ms))


@pytest.fixture
def machine() -> Machine:
    return Machine()


def mib(amount: int | None) -> float | None:
    return None if amount is None else round(amount / MIB, 1)


def test_nothing_is_known_before_the_first_sample(machine: Machine) -> None:
    footprint = machine.footprint()
    assert (
        footprint.peak_bytes is footprint.current_bytes is footprint.peak_rss_bytes is footprint.peak_pss_bytes is None
    )
    footprint.add_sample(machine.sample(rss_bytes=None))
    assert footprint.peak_bytes is None and machine.asked == []


def test_shared_memory_counts_once(machine: Machine) -> None:
    machine.processes = dict.fromkeys(range(2, 6), (200, 50))
    machine.processes[1] = (1.5, 0.2)
    footprint = machine.footprint()
    machine.take(footprint, 2)
    assert mib(footprint.peak_bytes) == pytest.approx(200.7, abs=0.2) and footprint.source == "pss"
    assert footprint.peak_pss_bytes == footprint.peak_bytes == footprint.current_bytes
    assert mib(footprint.peak_rss_bytes) == 801.5
    assert footprint.cost_ns == machine.cpu_ns and footprint.readings == 4 and footprint.passes == 1
    assert "estimate" in footprint.bias


def test_the_peak_has_a_width(machine: Machine) -> None:
    """What changed during a reading is not certain; what was never read may all be private."""
    machine.processes = dict.fromkeys(range(1, 5), (20, 5))
    machine.ended_since = {4}
    footprint = machine.footprint()
    footprint.add_sample(machine.sample())
    assert mib(footprint.low_bytes) == 0 and mib(footprint.high_bytes) == 40
    machine.ended_since = set()
    machine.take(footprint, used_ms=100)
    assert mib(footprint.low_bytes) == mib(footprint.peak_bytes) == 20
    machine.processes = dict.fromkeys(range(1, 5), (40, 5))
    machine.price_ns = 10**9
    footprint.add_sample(machine.sample())
    assert mib(footprint.low_bytes) == 20 and mib(footprint.high_bytes) == 100


def test_huge_pages_count(machine: Machine) -> None:
    machine.processes = {1: (2, 0.5), 2: (10, 5)}
    footprint = machine.footprint()
    footprint.add_sample(machine.sample(hugetlb_bytes=100 * MIB))
    assert mib(footprint.peak_rss_bytes) == 12 and mib(footprint.peak_bytes) == pytest.approx(106, abs=1)


def test_one_large_process_is_not_read(machine: Machine) -> None:
    machine.processes = {1: (2, 0.3), 2: (100, 98)}
    footprint = machine.footprint()
    machine.take(footprint, 2)
    assert machine.asked == [] and mib(footprint.peak_bytes) == 101
    assert footprint.source == "rss" and "outside" in footprint.bias and footprint.peak_pss_bytes is None
    machine.processes[2] = (150, 148)
    machine.take(footprint)
    assert machine.asked == [] and mib(footprint.peak_bytes) == 151


def test_one_small_process_is_read(machine: Machine) -> None:
    """Half of it are libraries that it shares with the machine."""
    machine.processes = {1: (8, 4)}
    footprint = machine.footprint()
    machine.take(footprint, 10, used_ms=100)
    assert mib(footprint.peak_bytes) == 4 and machine.asked == [[1]]


def test_the_small_ones_are_not_read(machine: Machine) -> None:
    """And count with half of what they have: at most that is the error."""
    machine.processes = dict.fromkeys((1, 2), (200, 200))
    machine.processes.update(dict.fromkeys(range(3, 9), (2, 0.5)))
    footprint = machine.footprint()
    machine.take(footprint, 2)
    assert [set(pids) for pids in machine.asked] == [{1, 2}] and mib(footprint.peak_bytes) == 406
    assert footprint.source == "pss"


def test_the_small_ones_are_read_where_the_large_share_all(machine: Machine) -> None:
    machine.processes = dict.fromkeys(range(1, 9), (200, 25))
    machine.processes.update(dict.fromkeys(range(9, 15), (8, 8)))
    footprint = machine.footprint()
    machine.take(footprint, 2)
    assert [len(pids) for pids in machine.asked] == [8, 5]
    assert mib(footprint.peak_bytes) == pytest.approx(248, rel=0.02)


def test_nothing_is_read_again_while_nobody_runs(machine: Machine) -> None:
    machine.processes = dict.fromkeys(range(1, 6), (200, 40))
    footprint = machine.footprint()
    machine.take(footprint, 1000)
    assert footprint.passes == 1
    before = machine.cpu_ns
    footprint.add_sample(machine.sample())
    assert machine.cpu_ns == before


def test_nor_what_cannot_be_a_new_peak(machine: Machine) -> None:
    machine.processes = dict.fromkeys(range(1, 5), (200, 200))
    footprint = machine.footprint()
    machine.take(footprint, 2)
    for size in (100, 150, 10, 190, 200):
        machine.processes = dict.fromkeys(range(1, 5), (size, size))
        machine.take(footprint, 2, used_ms=100)
        assert mib(footprint.current_bytes) == 4 * size and mib(footprint.peak_bytes) == 800
    assert footprint.passes == 1


def test_copies_on_write_do_not_show_in_rss(machine: Machine) -> None:
    """But in CPU time: who runs may have broken shares."""
    machine.processes = dict.fromkeys(range(1, 6), (200, 40))
    footprint = machine.footprint()
    machine.take(footprint, 2)
    machine.processes = dict.fromkeys(range(1, 6), (200, 80))
    machine.take(footprint, 2, used_ms=0.1)
    assert mib(footprint.peak_bytes) == 200  # no time to fill more than 4 MiB
    machine.take(footprint, 20, used_ms=10)
    assert mib(footprint.peak_bytes) == 400 and footprint.source == "pss"


def test_what_one_frees_and_another_takes(machine: Machine) -> None:
    machine.processes = dict.fromkeys(range(1, 5), (200, 50))
    footprint = machine.footprint()
    machine.take(footprint, 2)
    machine.processes = {1: (200, 100), 2: (200, 100), 3: (400, 400)}
    machine.take(footprint, 20, used_ms=10)
    assert mib(footprint.peak_bytes) == 600


def test_passes_without_news_come_ever_more_seldom(machine: Machine) -> None:
    """300 processes that work, and share their libraries."""
    machine.processes = dict.fromkeys(range(1, 301), (1.5, 0.1))
    footprint = machine.footprint()
    machine.take(footprint, 100, used_ms=50)
    assert mib(footprint.peak_bytes) == pytest.approx(30, abs=1)
    early = footprint.passes
    assert early <= 6
    spent = footprint.cost_ns
    machine.take(footprint, 500, used_ms=50)
    assert footprint.passes - early <= 3 and footprint.cost_ns - spent < 50 * MS


def test_the_share_of_the_time_holds(machine: Machine) -> None:
    """Whatever memory does: here it grows by leaps and bounds, and falls."""
    machine.processes = dict.fromkeys(range(1, 9), (100, 100))
    footprint = machine.footprint(always_pss=True)
    for i in range(3000):
        machine.processes = dict.fromkeys(range(1, 9), (100 + i % 7 * 50, 100 + i % 7 * 40))
        machine.take(footprint, used_ms=100)
    assert machine.now_ns // 400 < footprint.cost_ns < machine.now_ns // 200 + 150 * MS
    assert mib(footprint.peak_bytes) == pytest.approx(8 * 340, rel=0.05)


def test_a_pass_that_is_too_dear_waits(machine: Machine) -> None:
    """4 x 10 GiB take 700 ms to read: not before they are earned."""
    machine.processes = dict.fromkeys(range(1, 5), (10240, 2560))
    footprint = machine.footprint()
    machine.take(footprint, 900)
    assert footprint.passes == 0 and footprint.source == "rss" and mib(footprint.peak_bytes) == 40960
    assert "upper bound" in footprint.bias
    machine.take(footprint, 400)
    assert footprint.passes == 1 and footprint.source == "pss" and mib(footprint.peak_bytes) == 10240
    machine.take(footprint, 200, used_ms=100)
    assert footprint.passes == 1


def test_what_a_pass_really_costs_is_learned() -> None:
    machine = Machine(price_ns=170_000)
    machine.processes = dict.fromkeys(range(1, 5), (100, 25))
    footprint = machine.footprint()
    for size in range(100, 400):
        machine.processes = dict.fromkeys(range(1, 5), (size, size / 4))
        machine.take(footprint, 10)
    assert footprint.cost_ns < machine.now_ns // 200 + 200 * MS
    assert mib(footprint.peak_bytes) == pytest.approx(399, rel=0.02)


def test_who_waits_for_a_lock_pays_for_it(machine: Machine) -> None:
    machine.processes = dict.fromkeys(range(1, 4), (10, 5))
    machine.blocked_ns = 1000 * MS
    footprint = machine.footprint()
    machine.take(footprint, 10, used_ms=10)
    assert footprint.passes == 1
    machine.blocked_ns = 0
    machine.take(footprint, 2000, used_ms=10)
    assert mib(footprint.peak_bytes) == 15 and footprint.source == "pss"


def test_growth_is_guessed_until_it_is_read(machine: Machine) -> None:
    machine.processes = dict.fromkeys(range(1, 5), (100, 25))
    footprint = machine.footprint()
    machine.take(footprint, 2)
    for size in range(200, 3200, 300):
        machine.processes = dict.fromkeys(range(1, 5), (size, size / 4))
        machine.take(footprint, used_ms=100)
    assert footprint.source == "mixed" and "changed faster" in footprint.bias and footprint.peak_pss_bytes is None
    assert mib(footprint.peak_bytes) == pytest.approx(2900, rel=0.01)
    assert footprint.current_bytes == footprint.peak_bytes
    machine.take(footprint, 1500)
    assert footprint.source == "pss" and mib(footprint.peak_bytes) == pytest.approx(2900, rel=0.01)


def test_a_guess_that_was_wrong_is_dropped(machine: Machine) -> None:
    machine.processes = dict.fromkeys(range(1, 5), (100, 100))
    footprint = machine.footprint()
    machine.take(footprint, 2)
    machine.processes = dict.fromkeys(range(1, 5), (1000, 325))
    machine.take(footprint, used_ms=100)
    assert footprint.source == "mixed" and mib(footprint.peak_bytes) == pytest.approx(4000, rel=0.01)
    machine.take(footprint)
    assert footprint.source == "pss" and mib(footprint.peak_bytes) == 1300


def test_a_guess_fades_where_shares_turn_out_small(machine: Machine) -> None:
    """Not read at first, as memory moved; and the sum of RSS is never as high again."""
    machine.processes = dict.fromkeys(range(1, 301), (2, 0.1))
    footprint = machine.footprint()
    machine.take(footprint)
    assert machine.asked == [] and mib(footprint.peak_bytes) == 600 and footprint.source == "rss"
    machine.processes = dict.fromkeys(range(1, 301), (1.5, 0.1))
    machine.take(footprint, 3)
    assert footprint.source == "mixed" and 30 <= (mib(footprint.peak_bytes) or 0) <= 45
    machine.processes = dict.fromkeys(range(1, 301), (2, 0.1))
    machine.take(footprint, 3)
    assert footprint.source == "pss" and mib(footprint.peak_bytes) == pytest.approx(30, abs=1)


def test_noise_of_rss_is_no_record(machine: Machine) -> None:
    machine.processes = dict.fromkeys(range(1, 301), (0.6, 0.1))
    footprint = machine.footprint()
    for i in range(300):
        machine.processes = dict.fromkeys(range(1, 301), (0.6 + i % 7 * 0.02, 0.1))
        machine.take(footprint)
    assert footprint.passes <= 5 and mib(footprint.peak_bytes) == pytest.approx(30, rel=0.05)


def test_members_that_end_while_they_are_read(machine: Machine) -> None:
    """They were there when the sample was taken, and nobody can tell any more what they shared."""
    machine.processes = {1: (100, 100), 2: (90, 90), 3: (80, 80)}
    machine.gone = {2}
    footprint = machine.footprint()
    machine.take(footprint, 2)
    assert mib(footprint.peak_bytes) == 225 and footprint.source == "mixed" and "ended" in footprint.bias
    assert footprint.peak_pss_bytes is None
    machine.gone = {4}
    machine.processes = dict.fromkeys((1, 2, 3), (100, 100))
    machine.processes[4] = (1, 1)
    machine.take(footprint, 2)
    assert mib(footprint.peak_bytes) == pytest.approx(300, abs=1) and footprint.source == "pss"


def test_members_that_end_after_they_were_read(machine: Machine) -> None:
    """What they shared is all in those that were read later: such a pass is no new peak, and none for good."""
    machine.processes = {1: (30, 10), 2: (30, 15), 3: (30, 30)}
    machine.ended_since = {1, 2}
    footprint = machine.footprint()
    machine.take(footprint, 2)
    assert mib(footprint.peak_bytes) == 55 and footprint.peak_pss_bytes is None
    machine.ended_since = set()
    machine.processes = dict.fromkeys((1, 2, 3), (31.5, 10.5))
    machine.take(footprint, 2, used_ms=50)
    assert mib(footprint.peak_bytes) == pytest.approx(31.5, abs=0.1) and footprint.source == "pss"
    machine.ended_since = {1, 2}
    machine.processes = {1: (31.5, 10.5), 2: (31.5, 15.75), 3: (31.5, 31.5)}
    machine.take(footprint, 3, used_ms=50)
    assert mib(footprint.peak_bytes) == pytest.approx(31.5, abs=0.1) and footprint.source == "pss"


def test_members_that_come_to_share_while_they_are_read(machine: Machine) -> None:
    """One was read when what he had was his alone, the next when it was theirs: no new peak, and none for good."""
    machine.processes = {1: (30, 30), 2: (15, 15), 3: (10, 10)}
    machine.grown_since = {2: 15, 3: 20}
    footprint = machine.footprint()
    machine.take(footprint)
    assert mib(footprint.peak_bytes) == 55 and footprint.peak_pss_bytes is None
    machine.grown_since = {}
    machine.processes = dict.fromkeys((1, 2, 3), (30, 10))
    machine.take(footprint, 2, used_ms=50)
    assert mib(footprint.peak_bytes) == pytest.approx(30, abs=0.1) and footprint.source == "pss"


def test_a_little_that_moves_meanwhile(machine: Machine) -> None:
    """The kernel's own counts do so all the time: many small members are known at the first pass."""
    machine.processes = dict.fromkeys(range(1, 31), (1.5, 0.3))
    machine.grown_since = dict.fromkeys(range(1, 31), 0.12)
    footprint = machine.footprint()
    machine.take(footprint)
    assert mib(footprint.peak_bytes) == pytest.approx(9, abs=0.5) and footprint.peak_pss_bytes is not None


def test_members_that_are_about_to_end(machine: Machine) -> None:
    """They do not refuse to tell what they have."""
    machine.processes = dict.fromkeys((1, 2, 3), (30, 10))
    footprint = machine.footprint()
    machine.take(footprint, 2)
    assert mib(footprint.peak_bytes) == 30
    machine.ending = {2}
    machine.processes = {1: (30, 15), 2: (30, None)}
    machine.take(footprint, 3, used_ms=50)
    assert mib(footprint.peak_bytes) == 30 and footprint.source == "pss"


def test_a_tree_that_ends_while_it_is_read(machine: Machine) -> None:
    """Its RSS is all that is known of it."""
    machine.processes = {1: (8, 4)}
    machine.gone = {1}
    footprint = machine.footprint()
    machine.take(footprint, 2)
    assert mib(footprint.peak_bytes) == 8 and footprint.source == "rss" and footprint.peak_pss_bytes is None
    machine.processes = {}
    machine.take(footprint, 2)
    assert mib(footprint.peak_bytes) == 8 and footprint.current_bytes == 0


def test_members_that_refuse_count_with_their_rss(machine: Machine) -> None:
    machine.processes = {1: (100, 50), 2: (90, None), 3: (80, 40)}
    footprint = machine.footprint()
    machine.take(footprint, 2)
    assert mib(footprint.peak_bytes) == 180 and footprint.source == "mixed" and "deny access" in footprint.bias
    assert footprint.peak_pss_bytes is None


def test_where_all_refuse_it_is_rss(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.processes = {1: (100, None), 2: (90, None), 3: (80, None)}

    def refused(pid: int | None) -> ProcessInfo | None:
        raise AccessDenied(pid or 1, "stat")

    monkeypatch.setattr(machine, "info", refused)
    footprint = machine.footprint()
    machine.take(footprint, 2)
    assert mib(footprint.peak_bytes) == 270 and footprint.source == "rss" and "upper bound" in footprint.bias
    assert footprint.peak_pss_bytes is None


def test_always(machine: Machine) -> None:
    """Whenever something has changed."""
    machine.processes = dict.fromkeys(range(1, 5), (20, 20))
    footprint = machine.footprint(always_pss=True)
    machine.take(footprint, 10)
    assert footprint.passes == 1
    machine.processes = dict.fromkeys(range(1, 5), (20, 15))
    machine.take(footprint, used_ms=1)
    assert mib(footprint.current_bytes) == 60 and mib(footprint.peak_bytes) == 80

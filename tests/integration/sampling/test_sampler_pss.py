"""Proportional shares of memory of a tree that is followed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.processes import Program
from support.sampling import Time, members

import prock

if TYPE_CHECKING:
    from prock.engine.protocol import Engine

pytestmark = pytest.mark.usefixtures("engine")


def test_proportional_shares(puppet: Program) -> None:
    (pid,) = puppet.does("block = bytearray(20 << 20); one = child(); say(one)")
    clock = Time()
    with prock.TreeSampler(puppet.pid, pss=True, clock=clock) as sampler:
        first = sampler.sample()
        for _ in range(20):
            clock.passes(1)
            sample = sampler.sample()
            assert sample.pss_age_ns is not None and sample.pss_age_ns <= 12_000_000_000
        rows = members(sample)
        for one in (puppet.pid, pid):
            lines = Path(f"/proc/{one}/smaps_rollup").read_text().split("\n")
            (expected,) = (int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:"))
            share = rows[one].pss_bytes
            assert share is not None and abs(share - expected) < 1 << 20 and share > 10 << 20
        assert sample.pss_bytes == sum(row.pss_bytes or 0 for row in sample.members)
        assert first.pss_age_ns in (0, None) and sample.rss_bytes is not None and sample.pss_bytes < sample.rss_bytes
        puppet.does("os.kill(one, 9); has_ended(one); os.waitpid(child(lambda: None), 0)")
        sample = sampler.sample()
        assert members(sample)[pid].pss_bytes is None and sample.pss_bytes == rows[puppet.pid].pss_bytes


def test_shares_are_read_as_the_time_allows(puppet: Program, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each ten seconds at most, all together a 50th of the time; one at least."""
    puppet.does("grow(5, 1); told(5)")
    clock = Time()
    asked: list[tuple[int, int]] = []

    class Slow:
        def __getattr__(self, name: str) -> object:
            return getattr(engine, name)

        def pss(self, pids: list[int], until_ns: int) -> list[int | None]:
            asked.append((len(pids), until_ns))
            return [1 << 20] * min(2, len(pids))

    with prock.TreeSampler(puppet.pid, pss=True, clock=clock, engine=Slow()) as sampler:  # type: ignore[arg-type]
        known = []
        for _ in range(6):
            known.append(sampler.sample().pss_bytes)
            clock.passes(1)
        assert known == [2 << 20, 4 << 20, 6 << 20, 6 << 20, 6 << 20, 6 << 20]
        assert [number for number, _ in asked if number] == [6, 4, 2]
        clock.passes(10)
        assert sampler.sample().pss_age_ns is not None

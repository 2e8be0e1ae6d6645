"""`estimate_cpu`: whatever the sources report, the total includes all that is known, and its bias fits."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from hypothesis import given
from hypothesis import strategies as st
from support.made_up_runs import result

from prock.accounting.cgroup import JOINED_LATE, UNLESS_LEFT
from prock.accounting.estimate_cpu import AGREE, AGREE_NS, CpuEstimate, estimate_cpu
from prock.accounting.protocol import CGROUP, LEDGER, NOT_ADOPTED, NOT_REAPED, PERF, WAITED, CpuReading
from prock.model import CpuTime
from prock.results import CommandUsage, ProcessUsage, Source, Survivor
from prock.runner.result import RunResult

times = st.integers(0, 2**62)
spans = st.builds(CpuTime, times, times)


class Case(NamedTuple):
    wanted: str
    readings: tuple[CpuReading, ...]

    @property
    def by_source(self) -> dict[str, int]:
        return {reading.source: reading.lower_ns for reading in self.readings}

    @property
    def estimate(self) -> CpuEstimate:
        return estimate_cpu(self.wanted, self.readings)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """What a run can know. A source that was chosen by name has a reading, or the run had failed."""
    wanted = draw(st.sampled_from(["auto", CGROUP, PERF, WAITED, LEDGER]))
    lacks = (NOT_REAPED,) if draw(st.booleans()) else (NOT_REAPED, NOT_ADOPTED)
    readings = []
    if wanted == CGROUP or (wanted == "auto" and draw(st.booleans())):
        user, system = draw(spans)
        joined_late = draw(st.booleans())
        total = user + system
        bias = JOINED_LATE if joined_late else UNLESS_LEFT
        reading = CpuReading(CGROUP, total, bias, is_complete=not joined_late, user_ns=user, system_ns=system)
        readings.append(reading)
    if wanted == PERF or (wanted == "auto" and draw(st.booleans())):
        total, bias = draw(times), draw(st.sampled_from(["lower bound: ends", "estimate: stolen"]))
        readings.append(CpuReading(PERF, total, bias, proven_ns=draw(st.integers(0, total))))
    if draw(st.booleans()):
        user, system = draw(spans)
        readings.append(CpuReading(WAITED, user + system, "lower bound: reaped", lacks, user_ns=user, system_ns=system))
    if draw(st.booleans()):
        readings.append(CpuReading(LEDGER, draw(times), "lower bound: sampled", lacks))
    return Case(wanted, tuple(readings))


@given(cases(), st.randoms())
def test_every_source_is_listed_in_whatever_order_they_come(case: Case, random: Any) -> None:
    shuffled = list(case.readings)
    random.shuffle(shuffled)
    assert dict(case.estimate.by_source) == case.by_source
    assert estimate_cpu(case.wanted, shuffled) == case.estimate


@given(cases(), st.integers(1, 2**62))
def test_of_two_readings_of_one_source_the_larger_counts(case: Case, more_ns: int) -> None:
    larger = [reading._replace(lower_ns=reading.lower_ns + more_ns, is_complete=False) for reading in case.readings]
    assert estimate_cpu(case.wanted, [*case.readings, *larger]).total_ns == estimate_cpu(case.wanted, larger).total_ns


@given(cases())
def test_the_total_holds_all_that_is_known(case: Case) -> None:
    """Except where one source was chosen alone, and for what two clocks of the same thing may differ by."""
    estimate, by_source = case.estimate, case.by_source
    group = next((reading for reading in case.readings if reading.is_complete), None)
    if case.wanted in (WAITED, LEDGER):
        assert estimate.total_ns == by_source.get(case.wanted)
    elif group is not None:
        perf = next((reading.proven_ns for reading in case.readings if reading.source == PERF), None)
        least = max(by_source.get(WAITED, 0), by_source.get(LEDGER, 0), perf or 0)
        assert estimate.total_ns is not None and estimate.total_ns >= group.lower_ns
        assert estimate.total_ns * (1 + AGREE) + AGREE_NS + 1 >= least
        assert (estimate.sources[0].bias == UNLESS_LEFT) is (estimate.total_ns == group.lower_ns)
    else:
        assert estimate.total_ns == max(by_source.values(), default=None)


@given(cases())
def test_user_and_system_make_the_total(case: Case) -> None:
    estimate = case.estimate
    figures = [source.figure for source in estimate.sources]
    if estimate.user_ns is None or estimate.system_ns is None:
        assert estimate.user_ns is None and estimate.system_ns is None and figures == ["cpu"]
    else:
        assert estimate.user_ns + estimate.system_ns == estimate.total_ns and figures == ["cpu", "user_system"]
        assert estimate.user_ns >= 0 and estimate.system_ns >= 0


@given(cases())
def test_the_accounting_is_the_source_of_the_total(case: Case) -> None:
    estimate, by_source = case.estimate, case.by_source
    source = estimate.sources[0]
    if estimate.total_ns is None:
        assert (estimate.accounting, source.source) == ("ledger" if case.wanted == "auto" else case.wanted, "none")
    else:
        assert estimate.accounting == source.source and by_source[source.source] == estimate.total_ns
    if case.wanted in (WAITED, LEDGER):
        assert estimate.accounting == case.wanted
    assert source.bias.startswith(("lower bound", "estimate", "unknown"))


@given(cases())
def test_what_no_source_counts_is_named(case: Case) -> None:
    """A cgroup and perf events count orphans and children of parents that ignore SIGCHLD."""
    lacking = [set(reading.missing) for reading in case.readings]
    has_candidate = case.wanted not in (WAITED, LEDGER) or case.wanted in case.by_source
    expected = set.intersection(*lacking) if lacking and has_candidate else set()
    assert set(case.estimate.missing) == expected


text = st.text(st.characters() | st.characters(categories=["Cs"]), max_size=8)
maybe = st.none() | st.integers(0, 2**63)


@given(
    st.builds(
        result,
        args=st.lists(text).map(tuple),
        labels=st.dictionaries(text, text, max_size=3).map(lambda labels: tuple(labels.items())),
        returncode=st.none() | st.integers(-64, 255),
        cpu_ns=maybe,
        wall_ns=st.integers(0, 2**63),
        commands=st.lists(st.builds(CommandUsage, text, times, maybe, maybe), max_size=2).map(tuple),
        processes=st.lists(st.builds(ProcessUsage, times, maybe, text, maybe, maybe, maybe, maybe), max_size=2).map(
            tuple
        ),
        survivors=st.lists(st.builds(Survivor, times, text, times, maybe), max_size=2).map(tuple),
        sources=st.lists(st.builds(Source, text, text, text), max_size=2).map(tuple),
        missing=st.lists(text, max_size=2).map(tuple),
        disk_io=st.none(),
    )
)
def test_every_result_can_be_written_as_json(one: RunResult) -> None:
    document = one.as_document()
    encoded = json.dumps(document, ensure_ascii=False, allow_nan=False).encode()
    assert json.loads(encoded) == document
    assert document["exit_code"] == one.exit_code and document["signal"] == one.signal
    assert "stdout" not in document and {*RunResult._fields} - {"stdout", "stderr"} <= {*document}

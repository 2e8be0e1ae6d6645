"""`estimate_cpu`: whatever the sources say, the total holds what is known, and says of itself what it is."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from support.made_up_runs import result

from prock.accounting.estimate import AGREE, CGROUP, LEDGER, PERF, WAITED, CpuReadings, estimate_cpu
from prock.model import CpuTime
from prock.results import CommandUsage, ProcessUsage, Source, Survivor
from prock.runner.result import RunResult

times = st.integers(0, 2**62)
spans = st.builds(CpuTime, times, times)
TOLERANCE_NS = 20_000_000


@st.composite
def evidence(draw: st.DrawFn) -> CpuReadings:
    """What a run can know: a source that was asked for by name is there, or the run had failed."""
    asked = draw(st.sampled_from(["auto", CGROUP, PERF, WAITED, LEDGER]))
    return CpuReadings(
        asked=asked,
        cgroup=draw(st.none() | spans) if asked == "auto" else draw(spans) if asked == CGROUP else None,
        perf_ns=draw(st.none() | times) if asked == "auto" else draw(times) if asked == PERF else None,
        stolen=draw(st.floats(0, 1)),
        waited=draw(st.none() | spans),
        adopts=draw(st.booleans()),
        ledger_ns=draw(st.none() | times),
    )


def known(given: CpuReadings) -> dict[str, int]:
    return {
        name: ns
        for name, ns in (
            (CGROUP, given.cgroup and given.cgroup.total_ns),
            (PERF, None if given.perf_ns is None else round(given.perf_ns * (1 - given.stolen))),
            (WAITED, given.waited and given.waited.total_ns),
            (LEDGER, given.ledger_ns),
        )
        if ns is not None
    }


@given(evidence())
def test_every_source_is_told(given: CpuReadings) -> None:
    assert dict(estimate_cpu(given).by_source) == known(given)


@given(evidence())
def test_the_total_holds_all_that_is_known(given: CpuReadings) -> None:
    """But for one source that was asked for alone, and what two clocks of the same thing may differ by."""
    verdict, by_source = estimate_cpu(given), known(given)
    if given.asked in (WAITED, LEDGER):
        assert verdict.total_ns == by_source.get(given.asked)
    elif CGROUP in by_source:
        least = max(by_source.get(WAITED, 0), by_source.get(LEDGER, 0))
        assert verdict.total_ns is not None and verdict.total_ns >= by_source[CGROUP]
        assert verdict.total_ns * (1 + AGREE) + TOLERANCE_NS + 1 >= least
        assert (verdict.sources[0].bias == "exact") is (verdict.total_ns == by_source[CGROUP])
    else:
        assert verdict.total_ns == max(by_source.values(), default=None)


@given(evidence())
def test_user_and_system_make_the_total(given: CpuReadings) -> None:
    verdict = estimate_cpu(given)
    figures = [source.figure for source in verdict.sources]
    if verdict.user_ns is None or verdict.system_ns is None:
        assert verdict.user_ns is None and verdict.system_ns is None and figures == ["cpu"]
    else:
        assert verdict.user_ns + verdict.system_ns == verdict.total_ns and figures == ["cpu", "user_system"]
        assert verdict.user_ns >= 0 and verdict.system_ns >= 0


@given(evidence())
def test_what_it_calls_itself(given: CpuReadings) -> None:
    verdict, by_source = estimate_cpu(given), known(given)
    assert verdict.accounting == (given.asked if given.asked != "auto" else next(iter(by_source), LEDGER))
    words = verdict.sources[0]
    assert all(name in by_source or name in ("none", given.asked) for name in words.source.split(", "))
    assert words.bias.startswith(("exact", "lower bound", "estimate", "unknown"))


@given(evidence())
def test_what_is_missing_is_said_exactly_where_it_is(given: CpuReadings) -> None:
    """Children of who ignores SIGCHLD are in a cgroup's and perf's account; orphans also where they are waited for."""
    sees_all = given.cgroup is not None or given.perf_ns is not None
    sentences = estimate_cpu(given).missing
    assert any("SIGCHLD" in sentence for sentence in sentences) is not sees_all
    assert any("outlived" in sentence for sentence in sentences) is (not sees_all and not given.adopts)


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
        commands=st.lists(st.builds(CommandUsage, text, times, times, maybe), max_size=2).map(tuple),
        processes=st.lists(st.builds(ProcessUsage, times, maybe, text, times, maybe, maybe, maybe), max_size=2).map(
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

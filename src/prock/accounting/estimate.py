"""From what several sources know of one run to the figures of its result, each with its source and its bias.

Pure arithmetic. Every source of CPU time but the cgroup is a lower bound, each of something else: what nobody waits for
is missing in one, the ends of short lives in another. So the largest of them is the best lower bound.
"""

from __future__ import annotations

from prock._compat.namedtuple import NamedTuple
from prock.results import Source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from prock.model import CpuTime

CGROUP, PERF, WAITED, LEDGER = "cgroup", "perf", "waited", "ledger"
AGREE = 0.005
"""Sources closer to each other than that say the same."""


class CpuReadings(NamedTuple):
    """The CPU time of a tree in nanoseconds, by all who know of it; None: not asked, or no answer."""

    asked: str
    """``auto``, or the one source that was asked for."""
    cgroup: CpuTime | None
    perf_ns: int | None
    """As counted, stolen time included."""
    stolen: float
    """The part of it that the host stole, 0 to 1."""
    waited: CpuTime | None
    """Of all that were waited for, and of the survivors what they and those they waited for have used."""
    adopts: bool
    """Whether orphans are waited for, too."""
    ledger_ns: int | None
    """As the samples saw it."""
    joined_late: bool = False
    """Whether the command ran already when it joined the cgroup, whose account is a lower bound then."""
    hands_on: bool = True
    """Whether running processes tell what those have used that they have waited for."""


class CpuEstimate(NamedTuple):
    total_ns: int | None
    user_ns: int | None
    system_ns: int | None
    accounting: str
    by_source: tuple[tuple[str, int], ...]
    sources: tuple[Source, ...]
    missing: tuple[str, ...]


def estimate_cpu(evidence: CpuReadings) -> CpuEstimate:
    """The best total that can be had, and how far it can be trusted."""
    known = _by_source(evidence)
    accounting, total_ns, source = _best(evidence, known)
    user_ns = system_ns = None
    split = evidence.cgroup if accounting == CGROUP else evidence.waited
    if split is None or (evidence.joined_late and split.total_ns != total_ns):
        split = evidence.waited
    if total_ns is not None and split is not None and split.total_ns:
        user_ns = min(total_ns, total_ns * split.user_ns // split.total_ns)
        system_ns = total_ns - user_ns
    sources = [Source("cpu", *source)]
    if user_ns is not None:
        how = (
            "as scheduler ticks fell" if split is evidence.cgroup else "in the proportion of those that were waited for"
        )
        sources.append(Source("user_system", CGROUP if split is evidence.cgroup else WAITED, f"estimate: {how}"))
    return CpuEstimate(
        total_ns, user_ns, system_ns, accounting, tuple(known.items()), tuple(sources), tuple(_missing(evidence, known))
    )


def _by_source(evidence: CpuReadings) -> dict[str, int]:
    known: dict[str, int] = {}
    if evidence.cgroup is not None:
        known[CGROUP] = evidence.cgroup.total_ns
    if evidence.perf_ns is not None:
        known[PERF] = round(evidence.perf_ns * (1 - evidence.stolen))
    if evidence.waited is not None:
        known[WAITED] = evidence.waited.total_ns
    if evidence.ledger_ns is not None:
        known[LEDGER] = evidence.ledger_ns
    return known


def _best(evidence: CpuReadings, known: dict[str, int]) -> tuple[str, int | None, tuple[str, str]]:
    """Accounting, total, and source and bias in words."""
    if evidence.asked in (WAITED, LEDGER):
        return evidence.asked, known.get(evidence.asked), (evidence.asked, _bias(evidence.asked, evidence))
    if CGROUP in known and evidence.asked != PERF and not evidence.joined_late:
        least, name = max((known.get(name, 0), name) for name in (LEDGER, WAITED))
        if least > known[CGROUP] * (1 + AGREE) + 20_000_000:
            return CGROUP, least, (f"{CGROUP}, {name}", "lower bound: processes have left the command's cgroup")
        return CGROUP, known[CGROUP], (CGROUP, "exact")
    others = [name for name in (CGROUP, PERF, WAITED, LEDGER) if name in known]
    if not others:
        return LEDGER, None, ("none", "unknown")
    largest = max(others, key=lambda name: known[name])
    return others[0], known[largest], (", ".join(others), _bias(largest, evidence))


def _bias(source: str, evidence: CpuReadings) -> str:
    if source == CGROUP:
        return "lower bound: lacks what was used before the command joined the cgroup"
    if source == PERF:
        if evidence.stolen >= AGREE:
            return f"estimate: {100 * evidence.stolen:.1f} % were stolen by the host, and are taken off"
        return "lower bound, by some 0.1 ms for each process that ended"
    if source == WAITED:
        if evidence.perf_ns is not None:
            return "lower bound: all that was waited for; perf events saw no more"
        lacks = "children of parents that ignore SIGCHLD" + ("" if evidence.adopts else ", and orphans")
        return f"lower bound: lacks {lacks}"
    lacks = "what ended unseen between two samples"
    return f"lower bound: lacks {lacks} and was not waited for" if evidence.hands_on else f"lower bound: lacks {lacks}"


def _missing(evidence: CpuReadings, known: dict[str, int]) -> list[str]:
    if CGROUP in known or (PERF in known and evidence.asked not in (WAITED, LEDGER)):
        return []
    if WAITED not in known and not evidence.hands_on:
        return [
            "CPU time and I/O of processes that ended between two samples are missing: nobody is told of them here."
        ]
    sentences = [
        "CPU time and I/O of processes whose parent ignores SIGCHLD are missing, but for what samples saw of them."
    ]
    if not evidence.adopts:
        sentences.append("Processes that outlived their parent are missing, but for what samples saw of them.")
    return sentences

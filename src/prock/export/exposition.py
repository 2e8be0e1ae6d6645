"""The figures of named trees as Prometheus reads them: its text format, or OpenMetrics."""

from __future__ import annotations

from prock._compat.namedtuple import NamedTuple
from prock.results import plain_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from prock.sampling.named_trees import NamedTotals

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


class Family(NamedTuple):
    """A metric: its name (without ``_total``), ``counter`` or ``gauge``, its help, and values by labels."""

    name: str
    kind: str
    text: str
    rows: list[tuple[dict[str, str], float]]


# fmt: off
TREE = (
    ("cpu_seconds", "counter", "CPU time of the trees, ended processes included", "cpu_ns", 1e9),
    ("disk_read_bytes", "counter", "Bytes fetched from storage", "read_bytes", 1),
    ("disk_written_bytes", "counter", "Bytes sent to storage", "write_bytes", 1),
    ("processes_started", "counter", "Processes that began in the trees; lacks those between two samples",
     "processes_started", 1),
    ("resident_memory_bytes", "gauge", "Sum of resident sets; shared pages count in each process", "rss_bytes", 1),
    ("proportional_memory_bytes", "gauge", "Sum of proportional set sizes, as last read", "pss_bytes", 1),
    ("proportional_memory_age_seconds", "gauge", "Age of the oldest reading of proportional memory", "pss_age_ns", 1e9),
    ("virtual_memory_bytes", "gauge", "Address space in use", "vsize_bytes", 1),
    ("processes", "gauge", "Number of processes, zombies included", "process_count", 1),
    ("threads", "gauge", "Number of threads", "thread_count", 1),
    ("open_file_descriptors", "gauge", "Number of open file descriptors", "fd_count", 1),
    ("denied_processes", "gauge", "Number of processes that prock may not read in full", "denied", 1),
    ("start_time_seconds", "gauge", "Start of the oldest root since the epoch", "start_time", 1),
)
# fmt: on
"""Name after ``prock_tree_``, kind, help, field of `NamedTotals`, and its units in one of the metric."""


def tree_families(trees: Mapping[str, NamedTotals]) -> list[Family]:
    """One family for each figure that is known of a tree."""
    families = []
    for name, kind, text, field, divisor in TREE:
        values = [(tree, getattr(totals, field)) for tree, totals in trees.items()]
        rows = [
            ({"tree": tree}, value / divisor if divisor != 1 else value) for tree, value in values if value is not None
        ]
        if rows:
            families.append(Family(f"prock_tree_{name}", kind, text, rows))
    return families


def render(families: Iterable[Family], *, openmetrics: bool) -> bytes:
    """The text of a scrape."""
    lines = []
    for family in families:
        total = "_total" if family.kind == "counter" else ""
        name = family.name if openmetrics else family.name + total
        lines += [f"# HELP {name} {family.text}", f"# TYPE {name} {family.kind}"]
        if openmetrics and (unit := family.name.rpartition("_")[2]) in ("seconds", "bytes"):
            lines.append(f"# UNIT {name} {unit}")
        for labels, value in family.rows:
            inside = ",".join(f'{label}="{escaped(text)}"' for label, text in labels.items())
            lines.append(f"{family.name}{total}{f'{{{inside}}}' if inside else ''} {value}")
    if openmetrics:
        lines.append("# EOF")
    return "".join(f"{line}\n" for line in lines).encode()


def escaped(text: str) -> str:
    """The value of a label."""
    return plain_text(text).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

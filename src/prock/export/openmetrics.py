"""OpenMetrics text with a time for each value, as ``promtool tsdb create-blocks-from openmetrics`` reads it."""

from __future__ import annotations

from prock.export.exposition import escaped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prock.recording.reader import Recording
    from prock.recording.rows import RecordedSample

METRICS: tuple[tuple[str, str, str, Callable[[RecordedSample], float | None]], ...] = (
    ("prock_tree_cpu_seconds", "counter", "CPU time of the tree", lambda sample: sample.cpu_ns / 1e9),
    ("prock_tree_resident_memory_bytes", "gauge", "sum of resident sets", lambda sample: sample.rss_bytes),
    ("prock_tree_proportional_memory_bytes", "gauge", "sum of PSS", lambda sample: sample.pss_bytes),
    ("prock_tree_disk_read_bytes", "counter", "bytes read from storage", lambda sample: sample.read_bytes),
    ("prock_tree_disk_written_bytes", "counter", "bytes written to storage", lambda sample: sample.write_bytes),
    ("prock_tree_processes", "gauge", "number of processes", lambda sample: sample.process_count),
    ("prock_tree_threads", "gauge", "number of threads", lambda sample: sample.thread_count),
)


def chunks(recording: Recording) -> Iterator[bytes]:
    label = escaped(recording.title)
    for name, kind, text, value_of in METRICS:
        rows = [(sample, value) for sample in recording.samples if (value := value_of(sample)) is not None]
        if not rows:
            continue
        unit = next((f"# UNIT {name} {unit}\n" for unit in ("seconds", "bytes") if name.endswith(unit)), "")
        yield f"# TYPE {name} {kind}\n{unit}# HELP {name} {text}\n".encode()
        suffix = "_total" if kind == "counter" else ""
        for tree in sorted({sample.tree for sample, _ in rows}):
            for sample, value in rows:
                if sample.tree == tree:
                    labels = f'tree="{label}",number="{tree}"'
                    yield f"{name}{suffix}{{{labels}}} {value} {sample.time:.6f}\n".encode()
    yield b"# EOF\n"

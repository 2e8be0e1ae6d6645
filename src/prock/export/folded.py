"""Folded stacks, as flamegraph.pl reads them: CPU time in microseconds by the path of commands."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from prock.recording.reader import Recording


def chunks(recording: Recording) -> Iterator[bytes]:
    for path, cpu_ns in cpu_by_path(recording).items():
        if cpu_ns >= 1000:
            names = ";".join(name.replace(";", ":").replace("\n", " ") for name in path)
            yield f"{names} {cpu_ns // 1000}\n".encode()


def cpu_by_path(recording: Recording) -> dict[tuple[str, ...], int]:
    """CPU time of all processes whose ancestors and name are the path, the root first."""
    paths: dict[int, tuple[str, ...]] = {}
    sums: dict[tuple[str, ...], int] = {}
    for process, parent in recording.family():
        path = paths[process.id] = (*(() if parent is None else paths[parent.id]), process.comm)
        sums[path] = sums.get(path, 0) + (process.cpu_ns or 0)
    return sums

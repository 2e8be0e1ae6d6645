"""`load`, `Recording`: what a recording holds, as rows and as series over time."""

from __future__ import annotations

import json
import os
import sqlite3

from prock.errors import ProckError
from prock.recording.rows import ProcessSample, RecordedProcess, RecordedSample
from prock.recording.schema import COUNTERS, READ_ROWS, READ_SAMPLES, VERSION
from prock.recording.writer import is_recording
from prock.report.layout import quote
from prock.results import RunFigures, Timeline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

MOST_BUCKETS = 600
"""Points of a timeline at most."""


class NotARecording(ProckError):
    """A file is not a recording that this version can read."""


class Recording:
    """A recording, read from its file, which is not changed. `load` creates it."""

    def __init__(self, path: str) -> None:
        self.path = os.fspath(path)
        """Name of the file."""
        try:
            with open(self.path, "rb"):
                pass
        except OSError as error:
            raise NotARecording(f"cannot read {self.path}: {error.strerror}") from None
        if not is_recording(self.path):
            raise NotARecording(f"{self.path} is not a recording: give a file that prock run --record wrote")
        try:
            self._read()
        except (sqlite3.Error, ValueError, TypeError) as error:
            raise NotARecording(f"cannot read {self.path}: {error}; a copy needs its -wal file too") from None

    def _read(self) -> None:
        uri = f"file:{_quoted(os.path.abspath(self.path))}?mode=ro"
        db = sqlite3.connect(uri, uri=True, timeout=5.0)
        try:
            (version,) = db.execute("PRAGMA user_version").fetchone()
            if version > VERSION:
                raise NotARecording(f"{self.path} has schema {version}, newer than {VERSION}: use a newer prock")
            db.execute("BEGIN")  # one state of a file that is being written
            self.meta: dict[str, Any] = dict(db.execute("SELECT key, value FROM meta"))
            """Facts on the measurement: ``command``, ``host``, ``cpu_count`` ..."""
            began_ns = self.meta.pop("began_ns", 0)
            for key in ("command", "labels"):
                self.meta[key] = json.loads(self.meta.get(key) or "null")
            clocks = db.execute("SELECT monotonic_ns, epoch_ns FROM clock ORDER BY monotonic_ns").fetchall()
            self.processes = tuple(
                RecordedProcess(
                    number, tree, pid, ppid, comm or "", None if args is None else tuple(json.loads(args)),
                    started - began_ns, None if ended is None else ended - began_ns, cpu, peak,
                )
                for number, tree, pid, ppid, comm, args, started, ended, cpu, peak in db.execute(
                    "SELECT id, tree, pid, ppid, comm, args, started_ns, ended_ns, cpu_ns, peak_rss_bytes "
                    "FROM process ORDER BY started_ns, id"
                )
            )  # fmt: skip
            """All processes, in the order of their start, as `RecordedProcess`."""
            self.samples = tuple(
                RecordedSample(number, tree, at - began_ns, _wall(clocks, at), *rest)
                for number, tree, at, *rest in db.execute(READ_SAMPLES)
            )
            """All samples, in their order, as `RecordedSample`."""
            self._rows: list[tuple[Any, ...]] = db.execute(READ_ROWS).fetchall()
            self.marks = tuple(
                (at - began_ns, text)
                for at, text in db.execute("SELECT monotonic_ns, text FROM event WHERE kind = 'mark' ORDER BY 1")
            )
            """Marks as pairs: nanoseconds since the start of the recording, and the text."""
            self.documents: tuple[dict[str, Any], ...] = tuple(
                json.loads(text) for (text,) in db.execute("SELECT document FROM result ORDER BY tree")
            )
            """The JSON documents of its runs; none where a run did not end in order."""
        finally:
            db.close()

    @property
    def results(self) -> tuple[RunFigures, ...]:
        """The results of its runs."""
        return tuple(map(RunFigures.from_document, self.documents))

    @property
    def wall_ns(self) -> int:
        """Time from the start of the recording to its last sample or event, in nanoseconds."""
        ends = [process.ended_ns or 0 for process in self.processes]
        return max([0, *ends, *(sample.at_ns for sample in self.samples[-1:])])

    def rows(self) -> Iterator[dict[str, Any]]:
        """A row for each process and sample in which something of it had changed: counters as in the samples."""
        for sample, process, *values in self._rows:
            yield {"sample": sample, "process": process, **dict(zip(COUNTERS, values, strict=True))}

    def process_samples(self) -> Iterator[ProcessSample]:
        """A row for each process in each sample, in the order of the samples."""
        by_tree: dict[int, list[RecordedProcess]] = {}
        for process in self.processes:
            by_tree.setdefault(process.tree, []).append(process)
        ids = {process.id: process for process in self.processes}
        latest: dict[int, dict[int, tuple[Any, ...]]] = {tree: {} for tree in by_tree}
        place = 0
        for sample in self.samples:
            now = latest.setdefault(sample.tree, {})
            while place < len(self._rows) and self._rows[place][0] <= sample.id:
                now[self._rows[place][1]] = self._rows[place][2:]
                place += 1
            for number, values in list(now.items()):
                process = ids[number]
                if process.ended_ns is not None and process.ended_ns < sample.at_ns:
                    del now[number]
                    continue
                fields = process.tree, number, process.pid, process.ppid, process.comm, *values
                yield ProcessSample(sample.id, sample.at_ns / 1e9, sample.time, *fields)

    def family(self) -> Iterator[tuple[RecordedProcess, RecordedProcess | None]]:
        """All processes in the order of the tree, each with its parent where that is recorded, parents first."""
        by_pid: dict[int, list[RecordedProcess]] = {}
        children: dict[int | None, list[tuple[RecordedProcess, RecordedProcess | None]]] = {}
        for process in self.processes:  # in the order of their start
            before = by_pid.get(process.ppid or 0)
            parent = before[-1] if before else None
            children.setdefault(None if parent is None else parent.id, []).append((process, parent))
            by_pid.setdefault(process.pid, []).append(process)
        waiting = children.get(None, [])[::-1]
        while waiting:
            pair = waiting.pop()
            yield pair
            waiting += children.get(pair[0].id, [])[::-1]

    @property
    def title(self) -> str:
        """The command, or the name of the file."""
        command = self.meta.get("command")
        return quote(command) if command else os.path.basename(self.path)

    def timeline(self, most: int = MOST_BUCKETS) -> Timeline:
        """CPU and memory by command over time, in at most so many steps; peaks of memory and of processes stay."""
        from prock.recording.timeline import timeline

        return timeline(self.processes, self.samples, self._rows, self.marks, self.wall_ns, most)

    def to_pandas(self) -> Any:
        """The samples as a `pandas.DataFrame`, one row each. Raises `ImportError` without pandas."""
        import pandas  # type: ignore[import-not-found,import-untyped,unused-ignore]

        return pandas.DataFrame(self.samples, columns=RecordedSample._fields)

    def __repr__(self) -> str:
        return f"<Recording {self.path}: {len(self.samples)} samples, {len(self.processes)} processes>"


def load(path: str) -> Recording:
    """The recording in that file, also while it is written.

    Raises `ProckError` where it cannot be read or is none. Cost: about a second for a million changes.

    >>> with prock.Recorder("/tmp/prock-example.prock", force=True) as recorder, prock.TreeSampler() as sampler:
    ...     recorder.add(sampler.sample())
    >>> recording = prock.load("/tmp/prock-example.prock")
    >>> recording.samples[0].process_count >= 1, recording.processes[0].comm != ""
    (True, True)
    """
    return Recording(path)


def read_results(path: str) -> tuple[RunFigures, ...]:
    """The results in a recording, or in a JSON document of ``prock run``. Raises `NotARecording` without one."""
    if os.path.isfile(path) and not is_recording(path):
        try:
            with open(path, "rb") as file:
                document = json.load(file)
            schema = document["schema"]
        except OSError as error:
            raise NotARecording(f"cannot read {path}: {error.strerror}") from None
        except (ValueError, KeyError, TypeError, RecursionError):
            schema = None
        if schema not in ("prock.run/1", "prock.run-repeat/1"):
            raise NotARecording(f"{path} is neither a recording nor a document of prock run: give one of them")
        try:
            documents = document["runs"] if schema == "prock.run-repeat/1" else [document]
            return tuple(map(RunFigures.from_document, documents))
        except (AttributeError, KeyError, TypeError, ValueError):
            raise NotARecording(f"{path} is a damaged document: write it again by prock run --json") from None
    results = load(path).results
    if not results:
        raise NotARecording(f"{path} has no result, as its run did not end in order: record it again")
    return results


def _wall(clocks: list[tuple[int, int]], at_ns: int) -> float:
    """By the latest pair of clocks before."""
    best = (0, 0)
    for pair in clocks:
        if pair[0] > at_ns and best != (0, 0):
            break
        best = pair
    return (best[1] + at_ns - best[0]) / 1e9


def _quoted(path: str) -> str:
    import urllib.parse

    return urllib.parse.quote(path, errors="surrogateescape")

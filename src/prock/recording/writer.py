"""`RecordingWriter`: writes samples of trees into a recording while they are taken."""

from __future__ import annotations

import json
import os
import sqlite3
import time

from prock._compat import fork
from prock.errors import ProckError
from prock.files import create_private
from prock.recording.schema import APPLICATION_ID, TABLES, VERSION, VIEWS
from prock.redaction import redact

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from prock.model import Identity, MemberSample, TreeTotals

CLOCK_EVERY_NS = 60_000_000_000
BUSY_S = 1.0
"""How long a transaction waits for another program that writes, as ``prock mark`` does."""
SIDE_FILES = ("-wal", "-shm")
"""What SQLite puts beside a file that is being written."""
WAL_BYTES = 4 << 20
MATCH_NS = 30_000_000
"""A record of a process that begins this long after its first sample is still that process: the root's record begins
with its exec. A zombie is first sampled after its end; records are read long before a pid is used again."""


class CannotRecord(ProckError):
    """The file of a recording cannot be created or written."""


class _Process:
    __slots__ = ("args", "comm", "ended_ns", "id", "peak_rss", "seen_ns", "values")

    def __init__(self, number: int, comm: str, seen_ns: int) -> None:
        self.id = number
        self.comm = comm
        self.args: tuple[str, ...] | None = None
        self.seen_ns = seen_ns
        self.ended_ns: int | None = None
        self.peak_rss: int | None = None
        self.values: tuple[int | None, ...] = ()


class _Tree:
    def __init__(self, number: int) -> None:
        self.id = number
        self.living: dict[Identity, _Process] = {}
        self.by_pid: dict[int, list[_Process]] = {}


class RecordingWriter:
    """One transaction a sample: what was added is in the file whatever happens to this process.

    `path` must not exist, unless `force`: then an earlier recording is replaced. `meta`: facts on the measurement.
    `args_of`: the command lines of members, as they are known now. The mode of the file is 0600.

    Raises `CannotRecord`. Later errors, such as a full disk, end the recording: `failure` is the reason then, and
    nothing is raised. A forked child does not write.
    """

    def __init__(
        self,
        path: str,
        meta: Mapping[str, object],
        *,
        force: bool = False,
        args_of: Callable[[Sequence[MemberSample]], Iterable[tuple[str, ...] | None]],
    ) -> None:
        self.path = os.fspath(path)
        self.failure: str | None = None
        self._args_of = args_of
        self._trees: dict[Identity, _Tree] = {}
        self._processes = self._samples = self._clock_ns = 0
        self._db: sqlite3.Connection | None = None
        self._abandoned: sqlite3.Connection | None = None
        try:
            is_replaceable = is_recording(self.path) or not os.path.exists(self.path)
            if force and not is_replaceable:
                raise FileExistsError(0, "it is not a recording, and is not replaced: choose another name")
            create_private(self.path, _empty_recording(meta), SIDE_FILES, replace=force)
            self._db = sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode = WAL")  # where it is not possible the journal remains
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
            self._clock_ns = time.monotonic_ns() + CLOCK_EVERY_NS
        except FileExistsError as error:
            reason = error.strerror if not error.errno else "it exists: choose another name, or replace it with --force"
            raise CannotRecord(f"cannot record to {self.path}: {reason}") from None
        except (OSError, ValueError) as error:
            raise CannotRecord(f"cannot record to {self.path}: {getattr(error, 'strerror', None) or error}") from None
        except sqlite3.Error as error:
            self.close()
            raise CannotRecord(f"cannot record to {self.path}: {error}") from None
        fork.register(self)

    @property
    def is_empty(self) -> bool:
        """Whether nothing was recorded."""
        return not self._trees

    def after_fork(self) -> None:
        # Not closed: to close it here could remove the journal of the parent. So it is kept for ever.
        self._abandoned, self._db = self._db, None

    def add_sample(
        self,
        root: Identity,
        totals: TreeTotals,
        members: Sequence[MemberSample],
        footprint_bytes: int | None = None,
    ) -> None:
        """A sample of the tree with that root. `footprint_bytes`: its memory, shared pages counted once."""
        rows = list(zip(members, self._args_of(members), strict=True))
        self._transaction(lambda db: self._add_sample(db, root, totals, rows, footprint_bytes))

    def add_ended(self, root: Identity, ended: Iterable[tuple[int, int, str, int | None, int, int]]) -> None:
        """Processes of which the end is known: pid, ppid, comm, CPU in ns, start and end on the monotonic clock."""
        rows = list(ended)
        if rows:
            self._transaction(lambda db: self._add_ended(db, root, rows))

    def add_result(self, root: Identity, document: Mapping[str, object]) -> None:
        """The document of a run or a monitor. Its peak bounds what samples guessed before the peak was measured."""
        self._transaction(lambda db: self._add_result(db, root, document))

    def mark(self, text: str) -> None:
        """A mark at this instant, for example the beginning of a phase."""
        self._transaction(lambda db: add_event(db, "mark", text))

    def close(self) -> None:
        """Complete the file. Idempotent."""
        db, self._db = self._db, None
        if db is None:
            return
        try:
            living = [known for tree in self._trees.values() for known in tree.living.values() if known.values]
            last = [(known.values[0], known.peak_rss, known.id) for known in living]
            db.executemany("UPDATE process SET cpu_ns = coalesce(cpu_ns, ?), peak_rss_bytes = ? WHERE id = ?", last)
            # One file, that can be copied; another program that reads it keeps the journal.
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            db.execute("PRAGMA journal_mode = DELETE")
        except sqlite3.Error:
            pass
        db.close()

    def discard(self) -> None:
        """Remove the file: what was to be recorded has not begun."""
        self.close()
        os.unlink(self.path)

    def _transaction(self, work: Callable[[sqlite3.Connection], object]) -> None:
        db = self._db
        if db is None:
            return
        try:
            db.execute("BEGIN IMMEDIATE")
            work(db)
            db.execute("COMMIT")
        except sqlite3.Error as error:
            self.failure = f"The recording {self.path} ended early: {error}."
            self.close()

    def _tree(self, db: sqlite3.Connection, root: Identity) -> _Tree:
        tree = self._trees.get(root)
        if tree is None:
            tree = self._trees[root] = _Tree(len(self._trees) + 1)
            db.execute("INSERT INTO tree VALUES (?, ?, ?)", (tree.id, root[0], root[1] or None))
        return tree

    def _add_sample(
        self,
        db: sqlite3.Connection,
        root: Identity,
        totals: TreeTotals,
        rows: Iterable[tuple[MemberSample, tuple[str, ...] | None]],
        footprint_bytes: int | None,
    ) -> None:
        tree, now_ns = self._tree(db, root), totals.taken_ns
        if now_ns >= self._clock_ns:
            self._clock_ns = now_ns + CLOCK_EVERY_NS
            add_clock(db)
        self._samples += 1
        io = totals.disk_io
        db.execute(
            "INSERT INTO sample VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
            (
                self._samples, tree.id, now_ns, totals.interval_ns, totals.late_ns, totals.skipped,
                totals.suspended_ns, totals.cost_ns, totals.denied, totals.process_count, totals.cpu_ns,
                totals.rss_bytes, totals.pss_bytes, totals.thread_count,
                None if io is None else io.read_bytes, None if io is None else io.write_bytes, footprint_bytes,
            ),
        )  # fmt: skip
        before, tree.living = tree.living, {}
        changed = []
        for member, args in rows:
            identity = (member.pid, member.start_ticks)
            known = before.pop(identity, None)
            if known is None:
                known = self._begin(db, tree, member, now_ns)
            if known.comm != member.comm or (args is not None and args is not known.args):
                known.comm, known.args = member.comm, args
                text = None if args is None else json.dumps([*map(_text, redact(args))], ensure_ascii=False)
                db.execute("UPDATE process SET comm = ?, args = ? WHERE id = ?", (_text(member.comm), text, known.id))
            tree.living[identity] = known
            io = member.disk_io
            read, written = (None, None) if io is None else (io.read_bytes, io.write_bytes)
            rss = member.rss_bytes
            values = (member.cpu_ns, rss, member.pss_bytes, member.thread_count, read, written)
            if values != known.values:
                known.values = values
                changed.append((known.id, self._samples, *values))
                if rss is not None and rss > (known.peak_rss or 0):
                    known.peak_rss = rss
        db.executemany("INSERT INTO row VALUES (?,?,?,?,?,?,?,?)", changed)
        for known in before.values():
            self._end(db, known, totals.taken_ns - totals.interval_ns)

    def _begin(self, db: sqlite3.Connection, tree: _Tree, member: MemberSample, now_ns: int) -> _Process:
        self._processes += 1
        process = _Process(self._processes, member.comm, now_ns)
        tree.by_pid.setdefault(member.pid, []).append(process)
        db.execute(
            "INSERT INTO process (id, tree, pid, start_ticks, ppid, comm, started_ns) VALUES (?,?,?,?,?,?,?)",
            (
                process.id, tree.id, member.pid, member.start_ticks, member.ppid, _text(member.comm), now_ns,
            ),
        )  # fmt: skip
        return process

    def _end(self, db: sqlite3.Connection, process: _Process, last_ns: int) -> None:
        """It was in the last but one sample, and is not in the last one."""
        if process.ended_ns is None:
            cpu_ns = process.values[0] if process.values else None
            db.execute(
                "UPDATE process SET ended_ns = ?, cpu_ns = coalesce(cpu_ns, ?), peak_rss_bytes = ? WHERE id = ?",
                (last_ns, cpu_ns, process.peak_rss, process.id),
            )

    def _add_ended(
        self, db: sqlite3.Connection, root: Identity, ended: list[tuple[int, int, str, int | None, int, int]]
    ) -> None:
        tree = self._tree(db, root)
        for pid, ppid, comm, cpu_ns, start_ns, end_ns in ended:
            sampled = [process for process in tree.by_pid.get(pid, ()) if process.seen_ns >= start_ns - MATCH_NS]
            if sampled:
                process = sampled[-1]
                tree.by_pid[pid].remove(process)
                process.ended_ns = end_ns
                db.execute(
                    "UPDATE process SET comm = ?, started_ns = ?, ended_ns = ?, cpu_ns = coalesce(?, cpu_ns), "
                    "peak_rss_bytes = ? WHERE id = ?",
                    (_text(comm), min(start_ns, process.seen_ns), end_ns, cpu_ns, process.peak_rss, process.id),
                )
                continue
            self._processes += 1
            db.execute(
                "INSERT INTO process (id, tree, pid, ppid, comm, started_ns, ended_ns, cpu_ns) "
                "VALUES (?,?,?,?,?,?,?,?)",
                (self._processes, tree.id, pid, ppid or None, _text(comm), start_ns, end_ns, cpu_ns),
            )

    def _add_result(self, db: sqlite3.Connection, root: Identity, document: Mapping[str, object]) -> None:
        tree = self._tree(db, root).id
        db.execute("INSERT OR REPLACE INTO result VALUES (?, ?)", (tree, json.dumps(document, allow_nan=False)))
        peak = document.get("peak_footprint_bytes")
        if peak is not None:
            db.execute(
                "UPDATE sample SET footprint_bytes = ? WHERE tree = ? AND footprint_bytes > ?", (peak, tree, peak)
            )


def add_event(db: sqlite3.Connection, kind: str, text: str) -> None:
    db.execute("INSERT INTO event VALUES (?, ?, ?)", (time.monotonic_ns(), kind, _text(text)))


def add_clock(db: sqlite3.Connection) -> None:
    db.execute("INSERT OR IGNORE INTO clock VALUES (?, ?)", (time.monotonic_ns(), time.time_ns()))


def _empty_recording(meta: Mapping[str, object]) -> bytes:
    """The bytes of a file without samples."""
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {VERSION}")
    db.executescript(TABLES + VIEWS)
    rows = [("began_ns", time.monotonic_ns()), *((key, _value(value)) for key, value in meta.items())]
    db.executemany("INSERT INTO meta VALUES (?, ?)", rows)
    add_clock(db)
    data = db.serialize()
    db.close()
    return data


def is_recording(path: str) -> bool:
    """By the application id in the header of an SQLite file."""
    try:
        with open(path, "rb") as file:
            header = file.read(72)
    except OSError:
        return False
    return header[:16] == b"SQLite format 3\0" and int.from_bytes(header[68:72], "big") == APPLICATION_ID


def _value(value: object) -> object:
    if isinstance(value, str):
        return _text(value)
    return value if value is None or isinstance(value, (int, float)) else json.dumps(value)


def _text(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()

"""The tables and views of a recording. docs/recording.md describes them; the version is `VERSION`."""

from __future__ import annotations

APPLICATION_ID = 0x70726F63
"""``proc``: ``PRAGMA application_id`` of a recording."""
VERSION = 1
"""``PRAGMA user_version``."""

COUNTERS = ("cpu_ns", "rss_bytes", "pss_bytes", "thread_count", "read_bytes", "write_bytes")
"""Columns of a process and of a tree's totals, as the metrics of the same names."""

TABLES = """\
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE clock (monotonic_ns INTEGER PRIMARY KEY, epoch_ns INTEGER NOT NULL);
CREATE TABLE tree (id INTEGER PRIMARY KEY, root_pid INTEGER NOT NULL, root_start_ticks INTEGER);
CREATE TABLE process (
    id INTEGER PRIMARY KEY, tree INTEGER NOT NULL, pid INTEGER NOT NULL, start_ticks INTEGER, ppid INTEGER, comm TEXT,
    args TEXT, started_ns INTEGER, ended_ns INTEGER, cpu_ns INTEGER, peak_rss_bytes INTEGER
);
CREATE TABLE sample (
    id INTEGER PRIMARY KEY, tree INTEGER NOT NULL, monotonic_ns INTEGER NOT NULL, interval_ns INTEGER,
    late_ns INTEGER, skipped INTEGER, suspended_ns INTEGER, cost_ns INTEGER, denied INTEGER,
    process_count INTEGER, cpu_ns INTEGER, rss_bytes INTEGER, pss_bytes INTEGER, thread_count INTEGER,
    read_bytes INTEGER, write_bytes INTEGER, footprint_bytes INTEGER
);
CREATE TABLE row (
    process INTEGER NOT NULL, sample INTEGER NOT NULL, cpu_ns INTEGER, rss_bytes INTEGER, pss_bytes INTEGER,
    thread_count INTEGER, read_bytes INTEGER, write_bytes INTEGER,
    PRIMARY KEY (process, sample)
) WITHOUT ROWID;
CREATE TABLE event (monotonic_ns INTEGER NOT NULL, kind TEXT NOT NULL, text TEXT);
CREATE TABLE result (tree INTEGER PRIMARY KEY, document TEXT NOT NULL);
"""

VIEWS = """\
CREATE VIEW sample_time AS
SELECT s.id AS sample, s.tree,
       (s.monotonic_ns - (SELECT value FROM meta WHERE key = 'began_ns')) / 1e9 AS seconds,
       s.monotonic_ns + (SELECT c.epoch_ns - c.monotonic_ns FROM clock c WHERE c.monotonic_ns <= s.monotonic_ns
                         ORDER BY c.monotonic_ns DESC LIMIT 1) AS epoch_ns
FROM sample s;
CREATE VIEW process_sample AS
SELECT s.id AS sample, s.tree, s.monotonic_ns, p.id AS process, p.pid, p.ppid, p.comm,
       r.cpu_ns, r.rss_bytes, r.pss_bytes, r.thread_count, r.read_bytes, r.write_bytes
FROM sample s
JOIN process p ON p.tree = s.tree AND p.started_ns <= s.monotonic_ns
     AND (p.ended_ns IS NULL OR p.ended_ns >= s.monotonic_ns)
JOIN row r ON r.process = p.id
     AND r.sample = (SELECT max(sample) FROM row WHERE process = p.id AND sample <= s.id);
"""

READ_SAMPLES = """\
SELECT id, tree, monotonic_ns, interval_ns, late_ns, skipped, suspended_ns, cost_ns, denied, process_count,
       cpu_ns, rss_bytes, pss_bytes, thread_count, read_bytes, write_bytes, footprint_bytes
FROM sample ORDER BY id
"""
READ_ROWS = """\
SELECT sample, process, cpu_ns, rss_bytes, pss_bytes, thread_count, read_bytes, write_bytes
FROM row ORDER BY sample, process
"""

"""Rows of a recording."""

from __future__ import annotations

from prock._compat.namedtuple import NamedTuple


class RecordedProcess(NamedTuple):
    """A process of a recorded tree. Times are nanoseconds since the start of the recording.

    - `id`: Number of the process in the recording.
    - `tree`: Number of its tree.
    - `pid`: Process id.
    - `ppid`: Pid of the parent that started it, or of its parent when it was first sampled.
    - `comm`: Name, the last one that it had.
    - `args`: Command line, without passwords; None where it was not read.
    - `started_ns`: Its start in nanoseconds; the time of its first sample where no record of its fork exists.
    - `ended_ns`: Its end in nanoseconds; the time of its last sample where no record of its exit exists. None: it ran.
    - `cpu_ns`: Own CPU time in nanoseconds. Lower bound where it is as sampled. None: unknown.
    - `peak_rss_bytes`: Largest resident set in a sample, in bytes; None where no sample saw it.
    """

    id: int
    tree: int
    pid: int
    ppid: int | None
    comm: str
    args: tuple[str, ...] | None
    started_ns: int
    ended_ns: int | None
    cpu_ns: int | None
    peak_rss_bytes: int | None


class RecordedSample(NamedTuple):
    """The totals of a tree in one sample.

    - `id`: Number of the sample in the recording.
    - `tree`: Number of the tree.
    - `at_ns`: Nanoseconds since the start of the recording.
    - `time`: The wall clock, in seconds since the epoch.
    - `interval_ns`: Nanoseconds since the sample before.
    - `late_ns`: How many nanoseconds after its deadline it was taken.
    - `skipped`: Number of samples left out before it.
    - `suspended_ns`: Nanoseconds for which the machine was suspended since the sample before; None: unknown.
    - `cost_ns`: CPU time in nanoseconds of taking it.
    - `denied`: Number of members that could not be read in full.
    - `footprint_bytes`: Memory of the tree in bytes, shared pages counted once; None where it was not measured.
    """

    id: int
    tree: int
    at_ns: int
    time: float
    interval_ns: int
    late_ns: int
    skipped: int
    suspended_ns: int | None
    cost_ns: int
    denied: int
    process_count: int
    cpu_ns: int
    rss_bytes: int | None
    pss_bytes: int | None
    thread_count: int
    read_bytes: int | None
    write_bytes: int | None
    footprint_bytes: int | None


class ProcessSample(NamedTuple):
    """A process in one sample.

    - `sample`: Number of the sample in the recording.
    - `seconds`: Seconds since the start of the recording.
    - `time`: The wall clock, in seconds since the epoch.
    - `tree`: Number of the tree.
    - `process`: Number of the process in the recording.
    - `cpu_ns`: Own CPU time so far, in nanoseconds.
    """

    sample: int
    seconds: float
    time: float
    tree: int
    process: int
    pid: int
    ppid: int | None
    comm: str
    cpu_ns: int
    rss_bytes: int | None
    pss_bytes: int | None
    thread_count: int
    read_bytes: int | None
    write_bytes: int | None

"""Perfetto's trace in protobuf: a track for each process below that of its parent, with its life as a slice, and CPU
time and resident set as counters.

Field numbers are those of perfetto_trace.proto: TracePacket, TrackDescriptor, TrackEvent.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from prock.recording.reader import Recording

BEGIN, END, INSTANT, COUNTER = 1, 2, 3, 4
SEQUENCE = 1
TIME_NS, SIZE_BYTES = 1, 3
COUNTERS = (("cpu_ns", "CPU time", TIME_NS), ("rss_bytes", "resident set", SIZE_BYTES))


def _varint(number: int) -> bytes:
    data = bytearray()
    number &= (1 << 64) - 1
    while number > 127:
        data.append(number & 127 | 128)
        number >>= 7
    data.append(number)
    return bytes(data)


def _number(field: int, number: int) -> bytes:
    return _varint(field << 3) + _varint(number)


def _bytes(field: int, data: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _packet(content: bytes, at_ns: int | None = None) -> bytes:
    time = b"" if at_ns is None else _number(8, max(0, at_ns))
    return _bytes(1, time + _number(10, SEQUENCE) + content)


def _track(uuid: int, name: str, parent: int | None = None, extra: bytes = b"") -> bytes:
    above = b"" if parent is None else _number(5, parent)
    return _packet(_bytes(60, _number(1, uuid) + _bytes(2, _encoded(name)) + above + extra))


def _event(kind: int, uuid: int, at_ns: int, name: str = "", value: int | None = None) -> bytes:
    named = _bytes(23, _encoded(name)) if name else b""
    counted = b"" if value is None else _number(30, value)
    return _packet(_bytes(11, _number(9, kind) + _number(11, uuid) + named + counted), at_ns)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")


def chunks(recording: Recording) -> Iterator[bytes]:
    uuids = {process.id: 4 * process.id for process, _ in recording.family()}
    tracked: set[tuple[int, int]] = set()
    for process, parent in recording.family():
        uuid = uuids[process.id]
        yield _track(uuid, f"{process.comm} {process.pid}", None if parent is None else uuids[parent.id])
        started_ns = max(0, process.started_ns)
        name = " ".join(process.args) if process.args else process.comm
        yield _event(BEGIN, uuid, started_ns, name)
        yield _event(END, uuid, recording.wall_ns if process.ended_ns is None else process.ended_ns)
    at_ns = {sample.id: sample.at_ns for sample in recording.samples}
    for row in recording.rows():
        for place, (key, name, unit) in enumerate(COUNTERS, 1):
            if row[key] is None:
                continue
            parent_uuid = uuids[row["process"]]
            uuid = parent_uuid + place
            if (row["process"], place) not in tracked:
                tracked.add((row["process"], place))
                yield _track(uuid, name, parent_uuid, _bytes(8, _number(3, unit)))
            yield _event(COUNTER, uuid, at_ns[row["sample"]], value=row[key])
    if recording.marks:
        uuid = 4 * (max(uuids, default=0) + 1)
        yield _track(uuid, "marks")
        for mark_ns, text in recording.marks:
            yield _event(INSTANT, uuid, mark_ns, text)

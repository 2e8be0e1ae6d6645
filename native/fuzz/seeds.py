"""Writes the initial corpus: ``python native/fuzz/seeds.py``. Some seeds are valid, some nearly."""

from __future__ import annotations

import struct
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"

STAT = (
    b"7 (a) b (c) S 1 2 3 4 -1 0 5 0 6 0 7 8 9 -10 20 0 11 0 12 13 14"
    b" 18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0\n"
)
IO = (
    b"rchar: 1\nwchar: 2\nsyscr: 3\nsyscw: 4\nread_bytes: 5\nwrite_bytes: 6\n"
    b"cancelled_write_bytes: 18446744073709551615\n"
)
ROLLUP = b"55d0-7ffe ---p 00000000 00:00 0   [rollup]\nRss:      9 kB\nPss:   1234 kB\nPss_Anon: 7 kB\n"
FORK, EXIT, COMM, LOST, SWITCH = 7, 4, 3, 2, 14
EXEC = OUT = 1 << 13


def record(kind: int, misc: int, body: bytes, pid: int, time_ns: int) -> bytes:
    return struct.pack("=IHH", kind, misc, 8 + len(body) + 16) + body + struct.pack("=iiQ", pid, pid, time_ns)


def task(kind: int, pid: int, time_ns: int) -> bytes:
    return record(kind, 0, struct.pack("=iiiiQ", pid, 1, pid, 1, time_ns), pid, time_ns)


def name(misc: int, pid: int, time_ns: int, comm: bytes) -> bytes:
    return record(COMM, misc, struct.pack("=ii", pid, pid) + comm.ljust(len(comm) // 8 * 8 + 8, b"\0"), pid, time_ns)


RECORDS = [
    task(FORK, 5, 1),
    task(EXIT, 5, 9),
    name(EXEC, 5, 2, b"sh"),
    name(0, 5, 3, b"a name of 15 by"),
    record(SWITCH, 0, b"", 5, 4),
    record(SWITCH, OUT, b"", 5, 6),
    record(LOST, 0, struct.pack("=QQ", 1, 3), 0, 7),
    record(9, 0, b"12345678", 1, 8),
]


def round_of(data: bytes, how: int = 0, until: int = 255) -> bytes:
    """Input of ring.c for one ring: how its position is written, the length, and the data."""
    return struct.pack(">BH", how, len(data)) + data + bytes([until])


def entry(text: bytes, size: int | None = None) -> bytes:
    length = (19 + len(text) + 1 + 7) // 8 * 8 if size is None else size
    return (struct.pack("=QqHB", 1, 2, length, 4) + text + b"\0").ljust(length, b"\0")


def arguments(*words: str) -> bytes:
    return "\0".join(words).encode()


SEEDS: dict[str, list[bytes]] = {
    "stat": [
        STAT,
        STAT.replace(b"a) b (c", b""),
        STAT.replace(b"a) b (c", b"x" * 80),
        STAT.replace(b"a) b (c", b"\xff\n\x1b[2J) R 1"),
        STAT.replace(b" 12 13 ", b" 18446744073709551616 -1 "),
        STAT[:100],
        b" ".join(STAT.split(b" ")[:26]) + b"\n",
    ],
    "statm": [b"3 2 1 1 0 1 0\n", b"18446744073709551615 18446744073709551616 0\n", b"3 2", b"0 0 "],
    "io": [IO, IO + b"later_bytes: 9\n", IO.replace(b": 4", b": -4"), IO[:-1], IO + IO],
    "pss": [ROLLUP, ROLLUP.replace(b"1234", b"18446744073709551615"), b"Pss: 1 kB", b"Pss:kB\nPss: 1 kB\n"],
    "status": [
        b"Name:\tsh\nVmHWM:\t    1234 kB\nVmRSS:\t 9 kB\nHugetlbPages:\t    2048 kB\nCpus:\t1\n",
        b"VmHWM:\t18446744073709551615 kB\n",
        b"VmHWM: 1 kB",
        b"Name:\tsh\nState:\tZ (zombie)\n",
        b"HugetlbPages: 1 MB\n",
    ],
    "children": [
        b"\0" + b"5 6 7 ",
        b"\1" + b"".join(b"%d " % pid for pid in range(900, 2400)),
        b"\0" + b"5",
        b"\2" + b"0 ",
    ],
    "comm": [b"sh\n", b"a)\nb\n", b"x" * 70, b"", b"\n"],
    "pid": [b"7", b"2147483647", b"2147483648", b"07", b"0.20 0.18 0.12 1/80 11206\n", b"11206\n", b"\t5"],
    "threads": [b"0.20 0.18 0.12 1/80 11206\n", b"0 0 0 1/18446744073709551616 1\n", b"0 0 0 /", b"1/2 3/4 5/6 7/8 "],
    "entries": [
        entry(b".") + entry(b"self") + entry(b"1") + entry(b"20") + entry(b"3"),
        entry(b"7", 0),
        entry(b"7", 65535),
        entry(b"7")[:-5],
        entry(b"7", 20) + entry(b"8", 24),
    ],
    "record": [*RECORDS, RECORDS[0][:20], RECORDS[2][:6] + b"\x18\0" + RECORDS[2][8:], b"\0" * 8],
    "ring": [
        bytes([shape]) + b"".join(round_of(data, how) for data in (b"".join(RECORDS), *RECORDS))
        for shape in (0, 3, 7, 15)
        for how in (0, 6, 7)
    ],
    "arguments": [
        arguments("3", "-1", "-", "-", "", "-", "-", "", "1", "/bin/true", "true"),
        arguments("3", "4", "0,1", "5,6", "20,21,22", "xsgw-", "22", "/", "2", "/a/b", "/c/b", "b", "-x"),
        arguments("3", "4", "any", "", "20", "-", "777", "/", "1", "a", "b"),
        arguments("2147483648", "-2", "1,,2", ",", "x", "", "8", "", "3", "a", "b"),
    ],
    "numbers": [
        struct.pack(">QQQ", *three) for three in ((1000, 1, 3), (2**64 - 1,) * 3, (5, 0, 0), (2**63, 2, 2**63))
    ],
    "pidmap": [bytes(range(256)), bytes(pid % 256 for pid in range(0, 2000, 3))],
    "subtrees": [
        bytes([4]) + b"".join(struct.pack(">BBHHQ", parent, 1, flags, 7, 2**63) for parent, flags in rows)
        for rows in (
            [(0, 16), (1, 0), (1, 256), (2, 0), (2, 8)],
            [(0, 16), (4, 0), (2, 0), (3, 0), (5, 0)],
            [(3, 16), (1, 0), (2, 0), (0, 1), (4, 2)],
        )
    ],
}

if __name__ == "__main__":
    for target, seeds in SEEDS.items():
        (CORPUS / target).mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(seeds, 1):
            (CORPUS / target / f"seed-{number:02}").write_bytes(seed)

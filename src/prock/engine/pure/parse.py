"""Parsers of proc(5) files in plain Python: bytes in, numbers out, `ValueError` for anything that is not the form.

They accept exactly what ``native/procfs/parse.c`` accepts; the tests hold the two against each other.
"""

from __future__ import annotations

U64_MAX = 2**64 - 1
I32_MAX = 2**31 - 1
COMM_MAX = 64  # kernel threads carry the longest names; a user's process has 15 bytes
_NUMBER_DIGITS_MAX = 20


def saturate(value: int) -> int:
    """Into 64 bits, as the native engine counts."""
    return min(value, U64_MAX)


def split(total: int, user: int, system: int) -> tuple[int, int]:
    """Divide an exact total as the ticks of user and system time fell; without any in the kernel, all is user time."""
    if system == 0:
        return total, 0
    user_ns = total * user // (user + system)
    return user_ns, total - user_ns


def stat(data: bytes) -> tuple[int, bytes, bytes, list[int]]:
    """``stat``: pid, comm, state, and fields 4 (ppid) to 24 (rss) as numbers.

    The name may hold brackets, spaces and newlines: it ends at the last ``)`` of the file.
    """
    opening, closing = data.find(b" ("), data.rfind(b") ")
    if opening < 0 or closing < opening + 2:
        raise ValueError("no name in brackets")
    fields = data[closing + 2 :].split(b" ")
    if len(fields[0]) != 1:
        raise ValueError("no state")
    if len(fields) == 22 and not fields[21].endswith(b"\n"):
        raise ValueError("cut off")
    if len(fields) < 22:
        raise ValueError("too few fields")
    numbers = [_signed(field) for field in fields[1:21]]
    numbers.append(_signed(fields[21].removesuffix(b"\n")))
    pid = _int32(_unsigned(data[:opening]))
    for position in _INT32_FIELDS:
        _int32(numbers[position])
    for position in _COUNTER_FIELDS:
        numbers[position] = max(0, numbers[position])
    return pid, data[opening + 2 : closing][:COMM_MAX], fields[0], numbers


# Positions in the numbers of `stat`: proc(5)'s field number less 4.
PPID, PGRP, SESSION, TTY_NR, FLAGS = 0, 1, 2, 3, 5
MINFLT, CMINFLT, MAJFLT, CMAJFLT = 6, 7, 8, 9
UTIME, STIME, CUTIME, CSTIME = 10, 11, 12, 13
NUM_THREADS, STARTTIME, VSIZE, RSS = 16, 18, 19, 20
_INT32_FIELDS = (PPID, PGRP, SESSION, TTY_NR, NUM_THREADS)
_COUNTER_FIELDS = (FLAGS, MINFLT, CMINFLT, MAJFLT, CMAJFLT, UTIME, STIME, CUTIME, CSTIME, STARTTIME, VSIZE, RSS)


def statm(data: bytes) -> tuple[int, int]:
    """``statm``: pages of address space and resident pages."""
    fields = data.split(b" ")
    if len(fields) < 3:
        raise ValueError("too few fields")
    return _unsigned(fields[0]), _unsigned(fields[1])


IO_FIELDS = (b"read_bytes", b"write_bytes", b"cancelled_write_bytes", b"rchar", b"wchar", b"syscr", b"syscw")


def io(data: bytes) -> list[int]:
    """``io``: its counters in the order of `IO_FIELDS`. Lines with other names are left to later kernels."""
    found = {}
    for line in data.split(b"\n")[:-1]:
        name, colon, number = line.partition(b": ")
        if colon and name in IO_FIELDS:
            found[name] = _unsigned(number)
    if len(found) < len(IO_FIELDS):
        raise ValueError("a counter is missing")
    return [found[name] for name in IO_FIELDS]


def pss(data: bytes) -> int:
    """``smaps_rollup``: the line ``Pss:``, in bytes."""
    for line in data.split(b"\n")[:-1]:
        if line.startswith(b"Pss:"):  # the first decides, as in parse.c
            return _kilobytes(line[4:])
    raise ValueError("no line Pss")


def status(data: bytes) -> tuple[int, int]:
    """``status``: peak RSS and huge pages of hugetlbfs, in bytes; 0 for a line that is not there."""
    found = {b"VmHWM": 0, b"HugetlbPages": 0}
    *lines, rest = data.split(b"\n")
    if rest:
        raise ValueError("cut off")
    for line in lines:
        name, _, value = line.partition(b":")
        if name in found:
            found[name] = _kilobytes(value)
    return found[b"VmHWM"], found[b"HugetlbPages"]


def _kilobytes(value: bytes) -> int:
    if not value.endswith(b" kB"):
        raise ValueError("not in kB")
    return saturate(_unsigned(value[:-3].lstrip(b" \t")) * 1024)


def children(data: bytes) -> list[int]:
    """``children``: pids, each followed by a space."""
    if data and not data.endswith(b" "):
        raise ValueError("cut off")
    return [_pid(field) for field in data.split(b" ")[:-1]]


def last_pid(data: bytes) -> int:
    """``ns_last_pid`` and ``loadavg``: the last word."""
    return pid(data.removesuffix(b"\n").replace(b"\t", b" ").rpartition(b" ")[2])


def thread_count(data: bytes) -> int:
    """``loadavg``: the second half of its fourth word, as of ``0.20 0.18 0.12 1/80 11206``."""
    words = data.split(b" ")
    if len(words) < 5:
        raise ValueError("too few words")
    running, slash, threads = words[3].partition(b"/")
    _unsigned(running)
    if not slash:
        raise ValueError("one number only")
    return _unsigned(threads)


def pid(field: bytes) -> int:
    """A pid as proc names its directories: without a leading zero."""
    if field.startswith(b"0"):
        raise ValueError("no pid begins so")
    return _pid(field)


def _unsigned(field: bytes) -> int:
    if not field.isdigit() or len(field) > _NUMBER_DIGITS_MAX:
        raise ValueError("not a number")
    number = int(field)
    if number > U64_MAX:
        raise ValueError("more than 64 bits")
    return number


def _signed(field: bytes) -> int:
    return -_unsigned(field[1:]) if field.startswith(b"-") else _unsigned(field)


def _int32(number: int) -> int:
    if not -I32_MAX - 1 <= number <= I32_MAX:
        raise ValueError("more than 32 bits")
    return number


def _pid(field: bytes) -> int:
    number = _int32(_unsigned(field))
    if number == 0:
        raise ValueError("no process has pid 0")
    return number

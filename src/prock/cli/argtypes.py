"""What the values of options may be: text in, value out, or a `Failure` that says in one line what is expected."""

from __future__ import annotations

from prock.cli.output import Failure
from prock.engine.pids import PID_MAX

LONGEST_INTERVAL_S = 86_400
"""A day: longer ones are typing errors, and far longer ones no sleep accepts."""
LONGEST_SPAN_S = 10 * 366 * 86_400
_SPANS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_SIZES = {"K": 1, "M": 2, "G": 3, "T": 4}


def pid_argument(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= 12 else 0
    if not 0 < number <= PID_MAX:
        raise Failure(f"{text!r} is not a pid: a pid is a number from 1 to {PID_MAX}", 2)
    return number


def count_argument(text: str) -> int:
    """A number that is not negative."""
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise Failure(f"{text!r} is not a number of 0 or more", 2)
    return int(text)


def seconds_argument(text: str) -> float:
    """An interval."""
    seconds = _number(text)
    if not 0 < seconds <= LONGEST_INTERVAL_S:  # false for nan, too
        raise Failure(f"{text!r} is no interval: give seconds, more than 0 and at most {LONGEST_INTERVAL_S}", 2)
    return seconds


def span_argument(text: str) -> float:
    """A span of time in seconds, also none.

    >>> span_argument("1.5"), span_argument("2m"), span_argument("1h")
    (1.5, 120.0, 3600.0)
    """
    unit = _SPANS.get(text[-1:])
    seconds = _number(text if unit is None else text[:-1]) * (unit or 1)
    if not 0 <= seconds <= LONGEST_SPAN_S:
        raise Failure(f"{text!r} is no span of time: give seconds, or a number with s, m, h or d", 2)
    return seconds


def size_argument(text: str) -> int:
    """Bytes.

    >>> size_argument("512"), size_argument("1.5G"), size_argument("100MiB"), size_argument("1k")
    (512, 1610612736, 104857600, 1024)
    """
    number = text.upper().removesuffix("B").removesuffix("I")
    power = _SIZES.get(number[-1:])
    size = _number(number if power is None else number[:-1]) * 1024.0 ** (power or 0)
    if not 0 <= size < 2**63:
        raise Failure(f"{text!r} is no size: give bytes, or a number with K, M, G or T", 2)
    return round(size)


def label_argument(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise Failure(f"{text!r} is no label: give KEY=VALUE", 2)
    return key, value


def _number(text: str) -> float:
    """NaN, which no comparison lets through, for what is none; ``1_000`` is a Python number, but nobody's here."""
    try:
        return float(text) if text.isascii() and "_" not in text else float("nan")
    except ValueError:
        return float("nan")

"""Types of option values: each takes the text and returns the value, or raises `Failure`."""

from __future__ import annotations

from prock.cli.output import Failure
from prock.engine.pids import PID_MAX

LONGEST_INTERVAL_S = 86_400
LONGEST_DURATION_S = 10 * 366 * 86_400
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_SIZES = {"K": 1, "M": 2, "G": 3, "T": 4}


def pid_argument(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= 12 else 0
    if not 0 < number <= PID_MAX:
        raise Failure(f"invalid PID {text!r}: use a number from 1 to {PID_MAX}", 2)
    return number


def count_argument(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise Failure(f"invalid number {text!r}: use a whole number", 2)
    if len(text) > 9:
        raise Failure(f"invalid number {text!r}: use at most 999999999", 2)
    return int(text)


def duration_argument(text: str) -> float:
    """Seconds; 0 is allowed.

    >>> duration_argument("1.5"), duration_argument("500ms"), duration_argument("1h30m")
    (1.5, 0.5, 5400.0)
    """
    seconds = _seconds(text)
    if seconds > LONGEST_DURATION_S:
        raise Failure(f"invalid duration {text!r}: use at most {LONGEST_DURATION_S // 86_400}d", 2)
    if not seconds >= 0:  # true for NaN
        raise Failure(f"invalid duration {text!r}: use seconds or a unit, such as 500ms, 30s, 10m, 1h30m", 2)
    return seconds


def timeout_argument(text: str) -> float:
    """Seconds, more than 0."""
    seconds = duration_argument(text)
    if not seconds:
        raise Failure(f"invalid timeout {text!r}: use more than 0", 2)
    return seconds


def interval_argument(text: str) -> float:
    """Seconds, more than 0."""
    seconds = duration_argument(text)
    if not 0 < seconds <= LONGEST_INTERVAL_S:
        raise Failure(f"invalid interval {text!r}: use more than 0 and at most 24h", 2)
    return seconds


def size_argument(text: str) -> int:
    """Bytes.

    >>> size_argument("512"), size_argument("1.5G"), size_argument("100MiB"), size_argument("1k")
    (512, 1610612736, 104857600, 1024)
    """
    number = text.upper().removesuffix("B").removesuffix("I")
    power = _SIZES.get(number[-1:])
    size = _number(number if power is None else number[:-1]) * 1024.0 ** (power or 0)
    if size >= 2**63:
        raise Failure(f"invalid size {text!r}: use less than 8388608T", 2)
    if not size >= 0:  # true for NaN
        raise Failure(f"invalid size {text!r}: use bytes or a unit, such as 512K, 100M, 1.5G", 2)
    return round(size)


def label_argument(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise Failure(f"invalid label {text!r}: use KEY=VALUE", 2)
    return key, value


def _seconds(text: str) -> float:
    """Plain seconds, or numbers with units, the largest unit first. NaN if it is neither."""
    if not text[-1:].isalpha():
        return _number(text)
    total, smallest = 0.0, float("inf")
    while text:
        digits = len(text) - len(text.lstrip("0123456789."))
        letters = len(text[digits:]) - len(text[digits:].lstrip("mshd"))
        unit = _UNITS.get(text[digits : digits + letters], float("nan"))
        if not unit < smallest:
            return float("nan")
        total += _number(text[:digits]) * unit
        smallest, text = unit, text[digits + letters :]
    return total


def _number(text: str) -> float:
    """NaN, which no comparison accepts, if it is not a number; ``1_000`` is one only in Python."""
    try:
        return float(text) if text.isascii() and "_" not in text else float("nan")
    except ValueError:
        return float("nan")

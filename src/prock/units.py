"""How numbers are written for people."""

from __future__ import annotations


def format_bytes(value: int | None) -> str:
    """Three figures and a binary unit: ``17.2M``; ``-`` for unknown.

    >>> format_bytes(0), format_bytes(1023), format_bytes(17 * 2**20), format_bytes(None)
    ('0B', '1023B', '17.0M', '-')
    """
    if value is None:
        return "-"
    if value < 1024:
        return f"{value}B"
    scaled = float(value)
    for unit in "KMGTPE":
        scaled /= 1024
        if scaled < 999.95:
            return f"{scaled:.1f}{unit}" if scaled < 99.95 else f"{scaled:.0f}{unit}"
    return f"{scaled:.0f}E"


def format_cpu(nanoseconds: int | None) -> str:
    """CPU time as people read it: milliseconds below a minute, then minutes, hours and days.

    >>> format_cpu(1_234_567), format_cpu(61_500_000_000), format_cpu(90_061_000_000_000), format_cpu(None)
    ('0.001s', '1:01.5', '1d01:01:01', '-')
    """
    if nanoseconds is None:
        return "-"
    milliseconds = nanoseconds // 1_000_000
    seconds = milliseconds // 1000
    if seconds < 60:
        return f"{seconds}.{milliseconds % 1000:03d}s"
    minutes, rest = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes}:{rest:02d}.{milliseconds % 1000 // 100}"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours}:{minutes:02d}:{rest:02d}"
    days, hours = divmod(hours, 24)
    return f"{days}d{hours:02d}:{minutes:02d}:{rest:02d}"

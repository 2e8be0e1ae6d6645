"""Numbers as people read them."""

from __future__ import annotations


def format_bytes(value: int | None) -> str:
    """Three digits and a binary unit: ``17.2M``; ``-`` for unknown.

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
    """CPU time: milliseconds below a minute, then minutes, hours and days.

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


def format_span(nanoseconds: int | None) -> str:
    """A duration: three digits in milliseconds below a second, then as `format_cpu`.

    >>> format_span(1_234_567), format_span(83_000), format_span(12_345_000_000), format_span(61_500_000_000)
    ('1.23ms', '0.08ms', '12.345s', '1:01.5')
    """
    if nanoseconds is None or nanoseconds >= 1_000_000_000:
        return format_cpu(nanoseconds)
    milliseconds = nanoseconds / 1e6
    digits = 2 if milliseconds < 9.995 else 1 if milliseconds < 99.95 else 0
    return f"{min(milliseconds, 999):.{digits}f}ms"

"""Names of terminals from their device numbers, as ps prints them."""

from __future__ import annotations

import os

_PTS_MAJORS = range(136, 144)  # each holds 256 pseudo-terminals; current kernels use the first one only
_CONSOLES = {(4, 0): "tty0", (5, 0): "tty", (5, 1): "console", (5, 2): "ptmx"}


def device_name(tty_nr: int) -> str | None:
    """``pts/3`` for device number 34819; None for 0 and for a device that has no name here.

    >>> device_name(136 << 8 | 3), device_name(4 << 8 | 1), device_name(4 << 8 | 64), device_name(0)
    ('pts/3', 'tty1', 'ttyS0', None)
    """
    if tty_nr <= 0:
        return None
    major = tty_nr >> 8 & 0xFFF
    minor = tty_nr & 0xFF | tty_nr >> 12 & 0xFFF00
    if major in _PTS_MAJORS:
        return f"pts/{(major - _PTS_MAJORS.start) * 256 + minor}"
    if (major, minor) in _CONSOLES:
        return _CONSOLES[major, minor]
    if major == 4:
        return f"tty{minor}" if minor < 64 else f"ttyS{minor - 64}"
    try:
        with open(f"/sys/dev/char/{major}:{minor}/uevent", encoding="utf-8") as uevent:
            names = [line.removeprefix("DEVNAME=").strip() for line in uevent if line.startswith("DEVNAME=")]
    except (OSError, UnicodeDecodeError):
        return None
    return os.path.normpath(names[0]) if names else None

"""How many examples a property is tested with."""

from __future__ import annotations

import os


def examples(number: int) -> int:
    """That many in ``make check-properties``; otherwise a fifth of them, but at least 100."""
    return number if os.environ.get("PROCK_ALL_EXAMPLES") else min(number, max(100, number // 5))

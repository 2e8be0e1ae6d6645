"""Sub-interpreters, by whichever name this Python has them."""

from __future__ import annotations

import importlib
from typing import Any


def module() -> Any:
    for name in ("_interpreters", "_xxsubinterpreters"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return None


def run(interpreter: Any, source: str) -> None:
    """Raises what it raised."""
    failed = module().run_string(interpreter, source)
    assert failed is None, failed  # since Python 3.13 it is handed back

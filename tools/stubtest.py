"""Hold the stub of the native module against the module; nothing to hold where it was not compiled."""

from __future__ import annotations

import importlib.util
import sys
from subprocess import run

if importlib.util.find_spec("prock._core") is None:
    print("stubtest: the native engine was not compiled, its stub is not checked")
    sys.exit(0)
sys.exit(run([sys.executable, "-m", "mypy.stubtest", "prock._core"], check=False).returncode)

"""``prock run``: its command lines and reports."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.harness.programs import BIN
from benchmarks.run.tool import Report, Tool, What

PROCK = str(BIN / "prock")
JSON = "prock.json"
QUIET = "prock run"


def ours() -> tuple[Tool, ...]:
    can_be_another = os.geteuid() == 0 and shutil.which("setpriv") is not None
    return (
        _tool(QUIET),
        _tool("prock run, perf", "--accounting", "perf"),
        _tool("prock run, waited", "--accounting", "waited"),
        _tool("prock run, ledger", "--accounting", "ledger"),
        _tool("prock run --wait-all", "--wait-all", only="orphans"),
        *([replace(_tool("prock run, ordinary user"), as_other_user=True)] if can_be_another else []),
    )


def loud() -> Tool:
    """With its report on standard error."""
    return _tool("prock run, with its report", quiet=False)


def why_missing() -> str | None:
    """Why ``prock run`` can't take part; None if it can."""
    with tempfile.TemporaryDirectory() as home:
        command = ours()[0].command(["true"], Path(home), What.CPU)
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
            document(Path(home))
        except FileNotFoundError:
            return next(iter(done.stderr.strip().splitlines()[-1:]), f"exit code {done.returncode}, and no document")
        except (subprocess.TimeoutExpired, ValueError) as error:
            return str(error)
    return None


def document(home: Path) -> dict[str, Any]:
    found = json.loads((home / JSON).read_text())
    if not isinstance(found, dict):
        raise ValueError("not one JSON object")
    return found


def _tool(name: str, *options: str, quiet: bool = True, only: str | None = None) -> Tool:
    def command(command: Sequence[str], home: Path, _: What) -> list[str]:
        return [PROCK, "run", *(["--quiet"] if quiet else []), "--json", str(home / JSON), *options, "--", *command]

    by_groups = frozenset({2}) if "--accounting" not in options else frozenset[int]()
    return Tool(name, "prock", command, _report, frozenset(What), is_variant=name != QUIET, groups=by_groups, only=only)


def _report(home: Path) -> Report:
    found = document(home)
    cpu_ns, io = found["cpu_ns"], found.get("disk_io")
    return Report(
        None if cpu_ns is None else cpu_ns / 1e9,
        # Unknown is null: then the next best.
        next(
            (found[key] for key in ("peak_footprint_bytes", "peak_pss_bytes", "peak_rss_bytes") if found.get(key)), None
        ),
        None if io is None else io["write_bytes"],
    )

"""Programs that are not Python: compiled when needed, and driven over pipes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from types import TracebackType
from typing import Self

HERE = Path(__file__).resolve().parents[1]
WORKLOADS = HERE / "workloads"
CRATE = HERE / "core" / "crate"
BIN = Path(sys.executable).parent


class Unavailable(Exception):
    """Why a contestant can't take part."""


def compile_c(name: str, into: Path) -> Path:
    """Path of the program that ``workloads/NAME.c`` is compiled to."""
    program = into / name
    compiler = os.environ.get("CC", "gcc")
    if shutil.which(compiler) is None:
        sys.exit(f"benchmarks: the C compiler {compiler} isn't installed")
    subprocess.run(
        [compiler, "-std=c11", "-O2", "-Wall", "-Wextra", WORKLOADS / f"{name}.c", "-o", program], check=True
    )
    return program


def build_crate() -> tuple[Path, str]:
    """The program that calls the Rust crate, and the crate's version."""
    if shutil.which("cargo") is None:
        raise Unavailable("cargo isn't installed")
    command = ["cargo", "build", "--release", "--quiet", "--locked", "--manifest-path", str(CRATE / "Cargo.toml")]
    env = (
        {"CARGO_NET_RETRY": "0", "CARGO_HTTP_TIMEOUT": "10"} | os.environ | {"CARGO_TARGET_DIR": str(CRATE / "target")}
    )
    try:
        subprocess.run(command, env=env, check=True, capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired:
        raise Unavailable("cargo took longer than two minutes to build it") from None
    except subprocess.CalledProcessError as failure:
        reason = failure.stderr.strip().splitlines() or [f"exit code {failure.returncode}"]
        raise Unavailable(f"cargo can't build it ({reason[-1]})") from None
    locked = tomllib.loads((CRATE / "Cargo.lock").read_text())
    version = next(package["version"] for package in locked["package"] if package["name"] == "prock")
    return CRATE / "target/release/ask-crate", version


def build_crate_or_reason() -> tuple[Path | None, str]:
    """The program and the crate's version; None and why where it can't be built."""
    try:
        return build_crate()
    except Unavailable as reason:
        return None, f"skipped: {reason}"


class PipeProgram:
    """A running program that replies to lines ``QUESTION PID TIMES`` with the nanoseconds of CPU time that it took."""

    def __init__(self, program: Path) -> None:
        self._process = subprocess.Popen(
            [program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )

    def cost_ns(self, question: str, pid: int, times: int) -> float:
        """CPU time of one call, in nanoseconds."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{question} {pid} {times}\n")
        self._process.stdin.flush()
        reply = self._process.stdout.readline()
        if not reply:
            raise RuntimeError(f"{self._process.args!r} did not reply to {question!r}")
        return int(reply) / times

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

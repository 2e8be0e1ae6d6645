"""Arguments, environment and signal mask of a command, from what `subprocess.Popen` accepts."""

from __future__ import annotations

import os
import signal
import sys

from prock.recording import ENVIRONMENT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any


def command_of(args: Any, shell: bool, executable: Any) -> list[Any]:
    """The argument list for exec, on POSIX systems."""
    if isinstance(args, (str, bytes)):
        args = [args]
    elif isinstance(args, os.PathLike):
        if shell:
            raise TypeError("path-like args is not allowed when shell is true")
        args = [args]
    return ["/bin/sh" if executable is None else executable, "-c", *args] if shell else list(args)


def labels_of(labels: Mapping[str, str] | None) -> tuple[tuple[str, str], ...]:
    """Raises `TypeError` unless it is a mapping of strings to strings, or None."""
    try:
        pairs = tuple((labels or {}).items())
    except AttributeError:
        pairs = ((None, None),)  # type: ignore[assignment]
    if not all(isinstance(word, str) for pair in pairs for word in pair):
        raise TypeError(f"invalid labels {labels!r}: use a mapping of strings to strings")
    return pairs


def words_of(args: Any, shell: bool, executable: Any) -> list[str]:
    """For `RunResult.args`. On Windows a command may be one string that is not split."""
    return [os.fsdecode(word) for word in command_of(args, shell and sys.platform != "win32", executable)]


def environment_of(env: Mapping[Any, Any] | None) -> list[bytes]:
    """For POSIX systems. Raises `ValueError` for names that contain ``=``."""
    encoded = {os.fsencode(name): os.fsencode(value) for name, value in (os.environ if env is None else env).items()}
    if env is not None and any(b"=" in name for name in encoded):
        raise ValueError("illegal environment variable name")
    return [b"%b=%b" % pair for pair in encoded.items()]


def with_recording(env: Mapping[Any, Any] | None, path: str) -> dict[Any, Any]:
    """The environment, by default this process's, with the variable by which ``prock mark`` finds a recording."""
    return {**(os.environ if env is None else env), ENVIRONMENT: os.path.abspath(path)}


def mask() -> Iterable[int]:
    """The signals that are blocked in the calling thread."""
    if sys.platform == "win32":
        return ()
    return signal.pthread_sigmask(signal.SIG_BLOCK, ())

"""Blocks ``{run}``: what follows ``$`` is run by a shell, and what it wrote stands below it.

A page has one folder for all its blocks, with the programs of ``docs/examples`` in it. A block with the option ``tree``
has processes to look at: their root is ``$TREE``, and where the command is shown its pid stands there. One with
``where`` is run where that command succeeds; elsewhere it is shown without an answer, and with a word of that.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

PATIENCE_S = 120
"""Longer than anything takes that a page shows; only for one that would hang."""
NOT_RUN = "(not possible where this manual was built)"
WORK = "while :; do sh -c 'i=0; while [ $i -lt 9000 ]; do i=$((i+1)); done'; sleep 0.05; done"
TREE = f"({WORK}) & (({WORK}) & sleep 60 & wait) & sleep 60"
"""A shell with two workers, one of them a floor further down, who start others that end soon."""


class Step(NamedTuple):
    command: str
    output: str
    exit_code: int


class Disagreement(Exception):
    """An example that did something else than the page says."""


def commands(text: str) -> list[str]:
    r"""What a block asks for; ``>`` goes on with the line above.

    >>> commands("$ echo a\n$ echo \\\n>   b\n")
    ['echo a', 'echo \\\n  b']
    """
    found: list[str] = []
    for line in text.rstrip("\n").split("\n"):
        if line.startswith("$ "):
            found.append(line[2:])
        elif line.startswith(">") and found:
            found[-1] += f"\n{line[2:]}"
        else:
            raise Disagreement(f"{line!r} is neither a command nor the next line of one")
    return found


def steps(text: str, folder: Path, *, options: dict[str, str]) -> list[Step]:
    """Run a block. The last command has to exit with ``exit`` (0), all others with 0."""
    if "where" in options and _run(options["where"], folder, None).exit_code:
        return [Step(command, NOT_RUN, 0) for command in commands(text)]
    with tree_at_work() if "tree" in options else _nothing() as tree:
        wanted = commands(text)
        done = [_run(command, folder, tree) for command in wanted]
    for step in done:
        expected = int(options.get("exit", "0")) if step is done[-1] else 0
        if step.exit_code != expected or "Traceback" in step.output:
            raise Disagreement(f"{step.command!r} exits with {step.exit_code}, not {expected}, and says\n{step.output}")
    return done


def shown(done: list[Step], *, options: dict[str, str]) -> str:
    """As on a terminal; ``lines`` of each output at most."""
    most = int(options.get("lines", "0"))
    lines: list[str] = []
    for step in done:
        first, *others = step.command.split("\n")
        lines += [f"$ {first}", *(f"> {other}" for other in others)]
        output = step.output.rstrip("\n").split("\n") if step.output.strip() else []
        lines += output if not most or len(output) <= most else [*output[:most], "…"]
    return "\n".join(lines)


def _run(command: str, folder: Path, tree: int | None) -> Step:
    asked = command if tree is None else command.replace("$TREE", str(tree))
    shell = subprocess.Popen(
        ["bash", "-c", asked],
        cwd=folder,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        start_new_session=True,
    )
    try:
        output, _ = shell.communicate(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        os.killpg(shell.pid, signal.SIGKILL)
        shell.communicate()
        raise Disagreement(f"{asked!r} does not come to an end") from None
    return Step(asked, output, shell.returncode)


def _environment() -> dict[str, str]:
    """The program that belongs to this Python comes first."""
    here = str(Path(sys.executable).parent)
    return {**os.environ, "PATH": f"{here}:{os.environ.get('PATH', os.defpath)}", "PYTHONUTF8": "1", "TERM": "dumb"}


@contextmanager
def tree_at_work() -> Iterator[int]:
    """The pid of their root."""
    root = subprocess.Popen(["sh", "-c", TREE], start_new_session=True)
    try:
        time.sleep(0.3)  # so that there is something to see; nothing is asserted of it
        yield root.pid
    finally:
        os.killpg(root.pid, signal.SIGKILL)
        root.wait()


@contextmanager
def _nothing() -> Iterator[int | None]:
    yield None

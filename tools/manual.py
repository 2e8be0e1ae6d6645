"""Runs the examples of README and manual. The tests call it; ``python tools/manual.py [PAGE ...]`` writes their output.

Each page gets a scratch directory with the files of ``docs/examples`` and the Makefile of `demo`. A ``console`` block
is one run of bash; below each ``$ command`` stands its output. A ``python`` block is executed; a ``text`` block
directly below it has its output. Blocks of a page share their names. A block with ``>>>`` is a doctest. Below a comment
``JSON of prock NAME`` stand the keys of that command's document.

Compared with sybil: it finds the blocks and executes Python, which is 20 lines here, but neither runs consoles nor
writes output, and is one more dependency of the tests.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import doctest
import importlib
import inspect
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import demo

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
FENCE = re.compile(r"^```(console|python)\n(.*?)^```\n(\n?```text\n.*?^```\n)?", re.MULTILINE | re.DOTALL)
KEYS = re.compile(r"^<!-- JSON of prock (\w+) -->\n.*?^<!-- /JSON -->\n", re.MULTILINE | re.DOTALL)
MARK = "\x1f"
"""Separates the outputs of commands; no output contains it."""
TIMEOUT_S = 120


class ExampleError(Exception):
    """An example that fails."""


def pages() -> list[Path]:
    return [ROOT / "README.md", *sorted(path for path in DOCS.rglob("*.md") if not path.parent.name.startswith("_"))]


def refreshed(page: Path) -> str:
    """Run all examples of a page. Returns its text with the output of this run; raises `ExampleError`."""
    names: dict[str, Any] = {"__name__": "__main__"}
    text = page.read_text(encoding="utf-8")

    def run(block: re.Match[str]) -> str:
        kind, body, output = block.groups()
        try:
            if kind == "console":
                return f"```console\n{run_console(body)}```\n" + (output or "")
            if ">>> " in body:
                run_doctest(body, names)
                return block[0]
            printed = run_python(body, names)
        except Exception as error:
            line = text.count("\n", 0, block.start()) + 1
            raise ExampleError(f"{page.relative_to(ROOT)}, line {line}: {error}") from error
        return f"```python\n{body}```\n" + (f"\n```text\n{printed}```\n" if output else "")

    with tempfile.TemporaryDirectory(prefix="prock-manual-") as folder, contextlib.chdir(folder):
        shutil.copytree(DOCS / "examples", folder, dirs_exist_ok=True)
        Path("Makefile").write_text(demo.MAKEFILE.replace("native -name '*.c'", "native/procfs -name '*.c'"))  # fast
        sys.path.insert(0, folder)
        try:
            return with_keys(FENCE.sub(run, text))
        finally:
            sys.path.remove(folder)


def with_keys(text: str) -> str:
    """A page with the keys of the commands' documents, which the docstrings of their modules list."""

    def keys(block: re.Match[str]) -> str:
        module = importlib.import_module(f"prock.cli.{block[1]}")
        described = inspect.cleandoc(module.__doc__ or "").partition("\n\n")[2].replace("``", "`")
        return f"<!-- JSON of prock {block[1]} -->\n\n{described}\n\n<!-- /JSON -->\n"

    return KEYS.sub(keys, text)


def commands(body: str) -> list[str]:
    r"""The commands of a console block; ``>`` continues one.

    >>> commands("$ echo a\nb\n$ echo \\\n>   c\nd\n")
    ['echo a', 'echo \\\n  c']
    """
    found = re.findall(r"^\$ (.*\n(?:> ?.*\n)*)", body, re.MULTILINE)
    return [re.sub(r"^> ", "", command, flags=re.MULTILINE).rstrip("\n") for command in found]


def run_console(body: str) -> str:
    """The block with the output of its commands. Each has to exit with 0; ``; echo $?`` shows another exit code."""
    steps = commands(body)
    script = "".join(f"{step}\nprintf '{MARK}%d\\n' $?\n" for step in steps)
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}",
        "PYTHONUTF8": "1",
        "TERM": "dumb",
    }
    with tempfile.TemporaryFile() as output:  # not a pipe: processes of the block may still run at its end
        shell = subprocess.Popen(
            ["bash", "-c", script],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            shell.wait(TIMEOUT_S)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)
            shell.wait()
        output.seek(0)
        printed = output.read().decode().replace(f"{ROOT}/", "")
        *outputs, _ = re.split(rf"{MARK}(\d+)\n", printed)
    shown = ""
    for step, printed, code in zip(steps, outputs[::2], outputs[1::2], strict=True):
        if code != "0" or "Traceback" in printed:
            raise ExampleError(f"{step!r} exits with {code} and prints\n{printed}")
        shown += "$ " + step.replace("\n", "\n> ") + "\n" + printed.rstrip("\n") + ("\n" if printed.strip() else "")
    return shown


def run_doctest(body: str, names: dict[str, Any]) -> None:
    example = doctest.DocTestParser().get_doctest(body, names, "example", None, 0)
    failures: list[str] = []
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example, out=failures.append, clear_globs=False)
    if failures:
        raise ExampleError("".join(failures))
    names.update(example.globs)  # the parser copies them


def run_python(body: str, names: dict[str, Any]) -> str:
    """Execute a block, with `await` anywhere, as a notebook does. Returns what it prints."""
    code = compile(body, "<example>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        result = eval(code, names)
        if inspect.iscoroutine(result):
            asyncio.run(result)
    return printed.getvalue()


if __name__ == "__main__":
    for page in map(Path.resolve, map(Path, sys.argv[1:])) if len(sys.argv) > 1 else pages():
        text = refreshed(page)
        page.write_text(text, encoding="utf-8")

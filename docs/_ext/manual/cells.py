"""Blocks of Python: ``{cell}`` as a notebook has it, with `await` wherever one likes, and ``>>>`` as doctest does."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import doctest
import inspect
import io
from typing import Any

from manual.consoles import Disagreement
from manual.pages import Block


def run_cell(text: str, names: dict[str, Any]) -> str:
    """Run a cell among the names of its page. What it wrote, and what its last line came to.

    >>> run_cell("import asyncio\\nprint(1)\\nawait asyncio.sleep(0, result=2)", {})
    '1\\n2'
    """
    body = ast.parse(text)
    last = body.body[-1]
    shown = ast.Expression(last.value) if isinstance(last, ast.Expr) else None
    if shown is not None:
        body.body.pop()
    said = io.StringIO()

    async def run() -> object:
        await _do(compile(body, "<cell>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
        if shown is None:
            return None
        return await _do(compile(shown, "<cell>", "eval", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)

    with contextlib.redirect_stdout(said):
        value = asyncio.run(run())
    return said.getvalue() + ("" if value is None else repr(value))


async def _do(code: Any, names: dict[str, Any]) -> object:
    value = eval(code, names)  # examples of our own
    return await value if inspect.iscoroutine(value) else value


def check_examples(name: str, page: list[Block]) -> int:
    """Run all ``>>>`` of a page, which share their names. How many there were; `Disagreement` tells the first wrong."""
    parser, names = doctest.DocTestParser(), dict[str, Any]()
    told: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE, verbose=False)
    for block in page:
        if block.kind in ("python", "pycon") and ">>> " in block.text:
            example = parser.get_doctest(block.text, names, name, f"{name}.md", block.line)
            runner.run(example, out=told.append, clear_globs=False)
            names.update(example.globs)  # the parser copies them
    if runner.failures:
        raise Disagreement("".join(told))
    return runner.tries

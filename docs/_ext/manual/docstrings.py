"""What Sphinx is told of docstrings that it does not know by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sphinx.errors import ExtensionError
from sphinx.pycode import ModuleAnalyzer

from manual.consoles import Disagreement
from manual.render import render

if TYPE_CHECKING:
    from docutils import nodes
    from sphinx.application import Sphinx

NO_DOC = "Alias for field number"
"""What Python says of every field of a named tuple."""


def setup(app: Sphinx) -> None:
    app.connect("source-read", make_page)
    app.connect("autodoc-process-docstring", mend)
    app.connect("autodoc-process-signature", leave_out_fields)
    app.connect("missing-reference", leave_as_it_is)


def make_page(app: Sphinx, name: str, content: list[str]) -> None:
    try:
        content[0] = render(name, content[0])
    except Disagreement as error:
        raise ExtensionError(f"an example of the manual: {error}") from error


def mend(app: Sphinx, kind: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """A field without a text of its own has none; `CpuPercent`, which is `float`, has the one of its module."""
    if lines and lines[0].startswith(NO_DOC):
        lines.clear()
    if name == "prock.CpuPercent":
        lines[:] = ModuleAnalyzer.for_module("prock.model").find_attr_docs()["", "CpuPercent"]


def leave_out_fields(
    app: Sphinx, kind: str, name: str, value: Any, options: Any, signature: str | None, answer: str | None
) -> tuple[str, None] | None:
    """Rows are made by prock alone, and their fields stand below."""
    return ("", None) if kind == "class" and issubclass(value, tuple) else None


def leave_as_it_is(app: Sphinx, env: Any, node: Any, content: nodes.TextElement) -> nodes.TextElement | None:
    """A word in backticks is a link where the manual has such a name, else just a word."""
    return content if node.get("reftype") == "obj" else None

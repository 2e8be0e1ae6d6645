"""Sphinx configuration of the manual (`make docs`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import prock

project = "prock"
author = copyright = "the authors of prock"
version = release = prock.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_*", "examples"]
if not (Path(__file__).parents[1] / "SECURITY.md").exists():  # the wheel's tests come without it
    exclude_patterns.append("security.md")
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3

smartquotes = False  # they would turn two hyphens into a dash
default_role = "py:obj"  # docstrings name objects in single backticks
nitpicky = True
nitpick_ignore_regex = [
    (r"py:class", r"collections\.abc\..*"),  # needs the inventory of the standard library, so a network
    (r"py:class", r"Engine|Identity|SamplingKeywords"),  # internal types
    (r"py:obj", r".*"),  # a name in backticks is a link where the manual has such a name
]
autodoc_preserve_defaults = True
autodoc_member_order = "bysource"
python_maximum_signature_line_length = 88

html_theme = "furo"
html_title = f"prock {release}"
html_static_path = ["_static"]
html_css_files = ["prock.css"]
html_show_sourcelink = False
html_copy_source = False
pygments_style = "friendly"
pygments_dark_style = "native"


def omit_constructor(
    app: Any, kind: str, name: str, value: Any, options: Any, signature: str | None, returns: str | None
) -> tuple[str, None] | None:
    """Named tuples are made by prock; their fields are listed below the class."""
    return ("", None) if kind == "class" and issubclass(value, tuple) else None


def setup(app: Any) -> None:
    app.connect("autodoc-process-signature", omit_constructor)

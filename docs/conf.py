"""The manual: `make docs`. What is ours alone is in ``_ext/manual``."""

import sys
from pathlib import Path

import prock

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "prock"
author = copyright = "the authors of prock"
version = release = prock.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "manual"]
exclude_patterns = ["_*", "examples"]
if not (Path(__file__).parents[1] / "SECURITY.md").exists():
    exclude_patterns.append("security.md")
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

smartquotes = False  # they make one dash of two
default_role = "py:obj"  # a name in backticks: see manual.docstrings
nitpicky = True
nitpick_ignore_regex = [
    # Of the standard library, which can't be looked up without a network.
    (r"py:class", r"collections\.abc\..*"),
    # What only few need: it is described in words.
    (r"py:class", r"Engine|Identity"),
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

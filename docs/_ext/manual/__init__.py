"""What the manual is made with, beside Sphinx: its examples are run, its tables come from the program itself.

A page is Markdown with some fences of ours, which `render` turns into plain Markdown before Sphinx sees it: `pages`
finds them; `consoles` and `cells` run what they say; `commands` reads the options of the command, `figures` the
library's own words on how true its figures are, `house` the floors, `readme` sections of the README. Only `docstrings`
knows Sphinx, so the tests use the rest as it is.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sphinx.application import Sphinx


def setup(app: Sphinx) -> dict[str, bool]:
    from manual import docstrings

    docstrings.setup(app)
    return {"parallel_read_safe": False, "parallel_write_safe": True}

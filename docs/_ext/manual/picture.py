"""Pictures, as SVG that stands in the page: drawn ones, and ``prock top`` itself, as it looks at processes at work."""

from __future__ import annotations

import asyncio
import re

from manual.consoles import tree_at_work
from manual.pages import DOCS

SAMPLES = 4
FONTS = re.compile(r"@font-face \{.*?\}", re.DOTALL)
"""They would be loaded from elsewhere."""


def of(view: str) -> str:
    """``top`` is drawn by textual, without a terminal; everything else is a file of ``docs/_pictures``."""
    if view != "top":
        return (DOCS / "_pictures" / f"{view}.svg").read_text(encoding="utf-8")
    with tree_at_work() as root:
        return FONTS.sub("", asyncio.run(_visit(root))).replace("Fira Code", "monospace")


async def _visit(root: int) -> str:
    from prock.cli.top import trees as sources
    from prock.cli.top.app import TopApp

    source = sources.one(root, io=True)
    try:
        app = TopApp(source, interval_s=0.4, sort="cpu", with_io=True)
        async with app.run_test(size=(96, 17)) as pilot:
            await pilot.pause(SAMPLES * 0.4)
            return app.export_screenshot(title=f"prock top {root} --io")
    finally:
        source.close()

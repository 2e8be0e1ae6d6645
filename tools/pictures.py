"""Draws the pictures of README and manual: what the program displays while it measures the build of `demo`.

``python tools/pictures.py [run] [top]`` writes ``docs/pictures/run.svg`` and ``top.svg``.
"""

from __future__ import annotations

import asyncio
import io
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import demo

PICTURES = demo.ROOT / "docs" / "pictures"
FONTS = re.compile(r"@font-face \{.*?\}", re.DOTALL)
"""rich refers to fonts of another site."""


@contextmanager
def build_directory() -> Iterator[None]:
    with tempfile.TemporaryDirectory(prefix="prock-pictures-") as folder:
        os.chdir(folder)
        Path("Makefile").write_text(demo.MAKEFILE)
        yield
        os.chdir(demo.ROOT)


def run() -> str:
    """The report of a build, as a terminal shows it."""
    from rich.console import Console
    from rich.text import Text

    prock = Path(sys.executable).with_name("prock")
    with build_directory():
        done = subprocess.run([prock, "run", "--", *demo.BUILD], capture_output=True, text=True, check=True)
    lines = [f"$ prock run -- {' '.join(demo.BUILD)}", *done.stderr.rstrip().split("\n")]
    console = Console(record=True, width=max(map(len, lines)), file=io.StringIO())
    console.print(Text("\n".join(lines)))
    return console.export_svg(title="prock run", unique_id="run")


def top() -> str:
    """The full-screen view of a build that is running."""
    with build_directory():
        build = subprocess.Popen(demo.BUILD_LOOP, start_new_session=True)
        try:
            time.sleep(0.5)
            return asyncio.run(_screenshot(build.pid))
        finally:
            os.killpg(build.pid, signal.SIGKILL)
            build.wait()


async def _screenshot(root: int) -> str:
    from prock.cli.selectors import by_pid
    from prock.cli.top import trees
    from prock.cli.top.app import TopApp

    source = trees.of(by_pid(root), io=True)
    try:
        app = TopApp(source, interval_s=0.5, sort="cpu", with_io=True)
        async with app.run_test(size=(100, 16)) as pilot:
            await pilot.pause(3)
            return app.export_screenshot(title=f"prock top {root} --io")
    finally:
        source.close()


def main() -> None:
    makers = {"run": run, "top": top}
    for name in sys.argv[1:] or makers:
        text = FONTS.sub("", makers[name]()).replace("Fira Code", "monospace")
        (PICTURES / f"{name}.svg").write_text(re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE), encoding="utf-8")


if __name__ == "__main__":
    main()

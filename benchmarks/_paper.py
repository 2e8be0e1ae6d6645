"""Where a benchmark tells what it found: on standard output, and with ``--save`` as a page of the manual, too."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

MEASURED = Path(__file__).parents[1] / "docs" / "_measured"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--markdown", action="store_true", help="print tables as Markdown")
    parser.add_argument(
        "--save", action="store_true", help="also keep them for the manual (docs/_measured); for a machine at rest"
    )


class Paper:
    """What is told is kept until `save`, so that a benchmark that is broken off leaves the last one as it was."""

    def __init__(self, name: str, options: argparse.Namespace) -> None:
        self._file = MEASURED / f"{name}.md"
        self._options = options
        arguments = " ".join(sys.argv[1:])
        self._kept = [f"`python benchmarks/{name}.py {arguments}`, {datetime.now(UTC):%Y-%m-%d}", ""]

    def tell(self, told: Callable[[bool], Iterable[str]]) -> None:
        """Paragraphs and tables; the argument is whether they are to be in Markdown."""
        print(*told(bool(self._options.markdown)), sep="\n", flush=True)
        if self._options.save:
            self._kept += told(True)

    def save(self) -> None:
        if self._options.save:
            MEASURED.mkdir(exist_ok=True)
            self._file.write_text("\n".join(self._kept).rstrip() + "\n", encoding="utf-8")
            print(f"kept in {self._file}", file=sys.stderr)


def conditions(values: dict[str, str], notes: Iterable[str] = ()) -> Callable[[bool], Iterable[str]]:
    """What was measured, on what."""
    lines = [*(f"{name}: {value}" for name, value in values.items()), *notes]
    return lambda markdown: [*(f"{'- ' if markdown else ''}{line}" for line in lines), ""]

"""Options, output and saved results of the benchmarks that consist of chapters."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import prock.engine
from benchmarks.harness.chapter import Chapter, progress, raw, render

MEASURED = Path(__file__).parents[2] / "docs" / "_measured"


def option_parser(
    name: str, description: str | None, quick: str, chapters: Iterable[str], by_default: Iterable[str] = ()
) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks {name}", description=description)
    parser.set_defaults(name=name)
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument("--markdown", action="store_true", help="print tables as Markdown")
    parser.add_argument(
        "--save",
        action="store_true",
        help="also write the tables to docs/_measured (use an idle machine)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single measurement to FILE")
    names, default = tuple(chapters), tuple(by_default)
    default_help = f"; default: {', '.join(default)}" if default else ""
    parser.add_argument(
        "--only", nargs="+", choices=names, metavar="CHAPTER", default=default or names,
        help=f"of {', '.join(names)}{default_help}",
    )  # fmt: skip
    return parser


def machine() -> dict[str, str]:
    """Versions, and the machine before the benchmark."""
    return {
        "prock": f"{prock.__version__}, engine {prock.engine.active.name}",
        "Python": platform.python_version(),
        "Linux": f"{platform.release()} on {os.cpu_count()} {platform.machine()} CPUs",
        "user": "root" if os.geteuid() == 0 else "ordinary",
        "load average": f"{os.getloadavg()[0]:.1f}",
    }


def measure_chapters(
    options: argparse.Namespace, conditions: dict[str, str], chapters: Mapping[str, Callable[[], Chapter]]
) -> None:
    """Measure and print the chosen chapters one by one. Saved results are replaced only when all are complete."""
    header = [f"{name}: {value}" for name, value in conditions.items()]
    print(*(f"{'- ' if options.markdown else ''}{line}" for line in header), "", sep="\n", flush=True)
    command = " ".join(["python -m benchmarks", options.name, *sys.argv[2:]])
    saved = [f"`{command}`, {datetime.now(UTC):%Y-%m-%d}", "", *(f"- {line}" for line in header), ""]
    measured: dict[str, object] = {"conditions": conditions}
    for name, measure in chapters.items():
        if name not in options.only:
            continue
        begin = time.monotonic()
        try:
            chapter = measure()
        finally:
            progress.clear()
        print(*render(chapter, options.markdown), sep="\n", flush=True)
        saved += render(chapter, True)
        measured[name] = {**raw(chapter), "notes": chapter.notes, "took_s": time.monotonic() - begin}
    if options.save:
        MEASURED.mkdir(exist_ok=True)
        file = MEASURED / f"{options.name}.md"
        file.write_text("\n".join(saved).rstrip() + "\n", encoding="utf-8")
        print(f"saved to {file}", file=sys.stderr)
    if options.json is not None:
        options.json.write_text(json.dumps(measured, indent=1, ensure_ascii=False) + "\n")

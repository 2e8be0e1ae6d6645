"""The document of `prock run` as a Markdown table, for the summary of a CI job."""

from __future__ import annotations

import json
import sys
from typing import Any


def mebibytes(size: int | None) -> str:
    return "unknown" if size is None else f"{size / 2**20:.1f} MiB"


def seconds(ns: int | None) -> str:
    return "unknown" if ns is None else f"{ns / 1e9:.2f} s"


def rows(cost: dict[str, Any]) -> list[tuple[str, str]]:
    bias = {source["figure"]: source["bias"] for source in cost["sources"]}
    return [
        ("exit code", str(cost["exit_code"])),
        ("elapsed", seconds(cost["wall_ns"])),
        (f"CPU, {bias.get('cpu', 'unknown')}", seconds(cost["cpu_ns"])),
        (
            f"peak memory, {bias.get('memory', 'unknown')}",
            mebibytes(cost["peak_footprint_bytes"]),
        ),
        *(
            (command["comm"], seconds(command["cpu_ns"]))
            for command in cost["commands"][:5]
        ),
    ]


def main() -> None:
    with open(sys.argv[1], encoding="utf-8") as file:
        cost = json.load(file)
    print("| figure | value |\n|---|---:|")
    for name, value in rows(cost):
        print(f"| {name} | {value} |")


if __name__ == "__main__":
    main()

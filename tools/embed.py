"""Writes a file as a C array: ``python tools/embed.py FILE OUTPUT NAME``."""

from __future__ import annotations

import sys
from pathlib import Path


def main(source: str, output: str, name: str) -> None:
    data = Path(source).read_bytes()
    rows = [", ".join(map(str, data[at : at + 24])) for at in range(0, len(data), 24)]
    lines = [f"_Alignas(8) static const unsigned char {name}[] = {{", *(f"    {row}," for row in rows), "};"]
    Path(output).write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])

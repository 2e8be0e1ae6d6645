"""The commands of a log of ``prock-sh``, as text."""

from __future__ import annotations

import json

from prock.errors import ProckError
from prock.redaction import redact
from prock.report.layout import count, cut, escape, format_bytes, format_cpu, format_span, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SCHEMA = "prock.sh/1"
START = b'{"schema":"' + SCHEMA.encode()
MOST_ROWS = 20


def is_log(path: str) -> bool:
    """Whether the file begins as a log of ``prock-sh``."""
    try:
        with open(path, "rb") as file:
            return file.read(len(START)) == START
    except OSError:
        return False


def log_report(path: str, columns: int) -> str:
    """Sums, and the commands with the most CPU time. A command within another one is part of that one's figures.

    Raises `ProckError` if the file cannot be read.
    """
    rows: list[dict[str, Any]] = []
    unreadable = 0
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                try:
                    row = json.loads(line)
                    if row["schema"] != SCHEMA:
                        raise ValueError
                    rows.append({**row, "command": str(row["command"]), "cpu_ns": int(row["cpu_ns"])})
                except (ValueError, KeyError, TypeError):
                    unreadable += 1
    except OSError as error:
        raise ProckError(f"cannot read {path}: {error.strerror}") from None
    outermost = [row for row in rows if row.get("outer") is None]
    nested = len(rows) - len(outermost)
    within = f", {count(nested, 'command')} within them" if nested else ""
    read, written = _sum(outermost, "read_bytes"), _sum(outermost, "write_bytes")
    failed = sum(row.get("exit_code") != 0 for row in outermost)
    lines = [
        f"prock-sh: {count(len(outermost), 'command')}{within}, {failed} failed",
        f"  CPU       {format_cpu(sum(row['cpu_ns'] for row in outermost))}",
        f"  largest   {format_bytes(max((row.get('largest_process_bytes') or 0 for row in outermost), default=None))}",
        f"  disk      {format_bytes(read)} read, {format_bytes(written)} written",
    ]
    if unreadable:
        lines.append(f"  {count(unreadable, 'line')} could not be read: written by something else, or cut off")
    heaviest = sorted(outermost, key=lambda row: -row["cpu_ns"])[:MOST_ROWS]
    cells = [["CPU", "elapsed", "largest", "exit", "command"]]
    for row in heaviest:
        command = escape(" ".join(redact([row["command"]])))
        cells.append(
            [
                format_cpu(row["cpu_ns"]),
                format_span(row.get("wall_ns")),
                format_bytes(row.get("largest_process_bytes")),
                str(row.get("exit_code")),
                command,
            ]
        )
    if len(outermost) > MOST_ROWS:
        lines.append(f"  the {MOST_ROWS} with the most CPU time:")
    return "\n".join([*lines, *(cut(f"  {line}", columns) for line in table(cells))])


def _sum(rows: list[dict[str, Any]], key: str) -> int | None:
    """None where one is unknown."""
    values = [row.get(key) for row in rows]
    return None if None in values else sum(value for value in values if value is not None)

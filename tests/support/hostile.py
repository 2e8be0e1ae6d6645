"""Names that strangers chose, and what nothing that is printed of them may hold."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import unicodedata
from pathlib import Path
from typing import Any

from rich.cells import cell_len

from support import processes

NAMES = [
    b") R 1 1 (",
    b"a\nb\r\n c",
    b"\x1b[35mred",
    b"\x1b]0;title\x07",
    b"\x9b35m\x90q\x9c",
    "\x9b35m\x9d0;t\x9c".encode(),
    b"\r\x08\x0b\x0c\x7f\t\x1c\x1e\x05",
    "\u202egpj.exe".encode(),
    "\u2066a\u2069\u061cb".encode(),
    "\u200b\u200f\u200d\ufeff".encode(),
    "\u2028a\u2029b\x85c".encode(),
    b"\xff\xfe\xed\xa0\x80\xc0\xaf\xf5",
    b"ab" + "\u0301".encode() * 6,
    "\u0301\u0489x".encode(),
    "\u6f22\u5b57\u6f22\u5b57\u6f22".encode(),
    "\u2764\ufe0f\u3164\u2800x".encode(),
    "\U000e0001\U000e0061\ue000x".encode(),
    b"[red]x[dim]",
    b"[@click=app.q]y",
    b'"},{"a":"\\u001b',
    b"%C%n%{args}{0}\\n",
    b"$(id)`id`;'\"",
    b"-rf --json",
    b"a,b;c\\x1b[35m|",
]
"""Each is a comm as it stands, of at most 15 bytes or cut there, and can be a file's name."""

_OURS = re.compile(r"\x1b\[(?:0|1|2|31|32|33)m")
_ALLOWED_CATEGORIES = frozenset("Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So".split())
_UNSEEN = set("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0") | {
    chr(code) for code in (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))
}


def is_harmless(written: bytes, *, terminal: bool = False) -> str:
    """The text, of which nothing but newlines, and on a terminal prock's own colours, speaks to one."""
    text = written.decode("utf-8")  # strictly
    if terminal:
        text = _OURS.sub("", text.replace("\r\n", "\n"))
    for line in text.split("\n"):
        marks = 9  # on what stands before the line
        for character in line:
            category = unicodedata.category(character)
            assert character == " " or category in _ALLOWED_CATEGORIES, (character, line)
            assert character not in _UNSEEN, (character, line)
            marks = marks + 1 if category in ("Mn", "Me") else 0
            assert marks <= 4, line
    return text


def is_strict_json(written: bytes) -> list[Any]:
    """A document a line, for the strictest of readers."""
    assert written.isascii() and written.endswith(b"\n")
    documents = []
    for line in written.decode().splitlines():
        assert line.isprintable()
        document = json.loads(line, parse_constant=_refuse, object_pairs_hook=_without_doubles)
        assert all(text.encode() is not None for text in strings(document))  # no half of a surrogate pair
        documents.append(document)
    jq = shutil.which("jq")
    if jq is not None:
        assert subprocess.run([jq, "-e", "."], input=written, stdout=subprocess.DEVNULL, check=False).returncode == 0
    return documents


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no number in JSON")


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len(dict(pairs)) == len(pairs), pairs
    return dict(pairs)


def strings(value: Any) -> list[str]:
    """All that stand in a document."""
    if isinstance(value, dict):
        return [text for key, part in value.items() for text in (key, *strings(part))]
    if isinstance(value, list):
        return [text for part in value for text in strings(part)]
    return [value] if isinstance(value, str) else []


def fits(text: str, columns: int) -> None:
    assert [line for line in text.split("\n") if cell_len(line) > columns] == []


def in_json(name: bytes) -> str:
    r"""As documents have it: what is no UTF-8 is written ``\xff``."""
    return name[:15].decode("utf-8", "backslashreplace")


def programs(directory: Path) -> list[bytes]:
    """A script for each name, that waits until its standard input is closed; its comm and arguments hold that name."""
    made = []
    for name in NAMES:
        path = os.path.join(os.fsencode(directory), name)
        with open(path, "wb") as file:
            file.write(b"#!/bin/sh\nread line\n")
        os.chmod(path, 0o755)
        made.append(path)
    return made


TREE = """
import pty
held = []
for path in {paths!r}:
    pid, terminal = pty.fork()
    if pid == 0:
        libc.prctl(1, 9)
        os.chdir({directory!r})
        os.execv(path, [path, os.path.basename(path)])
    held.append(terminal)
    while open(f"/proc/{{pid}}/comm", "rb").read()[:-1] != os.path.basename(path)[:15]: pass
    say(pid)
wait()
"""
"""Starts the scripts, each the leader of a session with a terminal of its own: a tree for ``prock scan``."""


class Strangers:
    """Processes with all of these names, children of one that has the first."""

    def __init__(self, spawn: processes.Spawn, directory: Path) -> None:
        self.programs = programs(directory)
        home = os.path.join(os.fsencode(directory), b"\x1b[35m\n\xff\xe2\x80\xae")
        os.mkdir(home)
        program = spawn(TREE.format(paths=self.programs, directory=home))
        self.root = program
        self.pids = dict(zip(NAMES, (program.pids()[0] for _ in NAMES), strict=True))
        processes.wait_for_rest(program.pid)

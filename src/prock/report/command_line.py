"""Command lines for people: quoted as for a shell, escaped, and shortened to a width."""

from __future__ import annotations

import re

from prock.redaction import redact
from prock.report.layout import cut, decode_bytes, escape, width

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_PLAIN = "@%+=:,./-_"
_DIRECTORIES = re.compile(r"(?<![\w.~/-])[~.]{0,2}/(?:[^/\s']+/)+(?=[^/\s'])")


def quote(args: Iterable[str], encoding: str = "utf-8") -> str:
    """The command as a shell takes it; for reading only.

    >>> quote(["sh", "-c", "echo hello; exit"]), quote(["a\\n", ""])
    ("sh -c 'echo hello; exit'", "a\\\\n ''")
    """
    return " ".join(_quote(argument, encoding) for argument in args)


def _quote(argument: str, encoding: str) -> str:
    text = escape(argument, encoding)
    if text != argument or (text and all(letter.isalnum() or letter in _PLAIN for letter in text)):
        return text
    return "'" + text.replace("'", "'\\''") + "'"


def describe(cmdline: Sequence[str] | None, comm: str, encoding: str = "utf-8") -> str:
    """A process in a table: its command line, without the directory of its program; its name where that is not the
    program's, or no command line is known.

    >>> describe(["/usr/bin/python3", "-m", "http.server"], "python3"), describe(["sh", "/bin/job"], "job")
    ('python3 -m http.server', 'job: sh /bin/job')
    """
    if not cmdline:
        return escape(comm, encoding)
    program, *arguments = cmdline
    if arguments or " " not in program:
        program = program.rpartition("/")[2] or program
        text = quote([program, *arguments], encoding)
    else:  # the title that the process has set
        text = escape(program, encoding)
    return text if program.removeprefix("-").startswith(comm) else f"{escape(comm, encoding)}: {text}"


def as_document(cmdline: Sequence[str] | None) -> list[str] | None:
    """For JSON: without passwords; bytes that are not UTF-8 as ``\\xff``."""
    return None if cmdline is None else [decode_bytes(argument) for argument in redact(cmdline)]


def shorten(text: str, columns: int, mark: str = "…") -> str:
    """The text, with the directories of paths left out if it is wider, and then cut.

    >>> shorten("python3 /home/me/worker.py --id 3", 30), shorten("python3 /home/me/worker.py --id 3", 20)
    ('python3 …/worker.py --id 3', 'python3 …/worker.py…')
    """
    if width(text) > columns:
        text = _DIRECTORIES.sub(f"{mark}/", text)
    return cut(text, columns, mark)

"""Command lines for people: quoted as for a shell, escaped, and shortened to a width."""

from __future__ import annotations

from prock.redaction import HIDDEN, redact
from prock.report.layout import cut, decode_bytes, escape, width

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from prock.results import LargeProcess, ProcessUsage, Survivor

_PLAIN = "@%+=:,./-_"


def quote(args: Iterable[str], encoding: str = "utf-8") -> str:
    """The command as a shell takes it; for reading only.

    >>> quote(["sh", "-c", "echo hello; exit"]), quote(["a\\n", ""])
    ("sh -c 'echo hello; exit'", "a\\\\n ''")
    """
    return " ".join(_quote(argument, encoding) for argument in args)


def _quote(argument: str, encoding: str) -> str:
    text = escape(argument, encoding)
    if text != argument or (text and all(letter.isalnum() or letter in _PLAIN for letter in text.replace(HIDDEN, ""))):
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


def command_of(process: ProcessUsage | Survivor | LargeProcess) -> str:
    """Without passwords."""
    return describe(None if process.cmdline is None else redact(process.cmdline), process.comm)


def as_document(cmdline: Sequence[str] | None) -> list[str] | None:
    """For JSON: without passwords; bytes that are not UTF-8 as ``\\xff``."""
    return None if cmdline is None else [decode_bytes(argument) for argument in redact(cmdline)]


def shorten(text: str, columns: int, mark: str = "…") -> str:
    """The text, with the directories of paths left out if it is wider, and then cut.

    >>> shorten("python3 /home/me/worker.py --id 3", 30), shorten("python3 /home/me/worker.py --id 3", 20)
    ('python3 …/worker.py --id 3', 'python3 …/worker.py…')
    """
    if width(text) > columns:
        text = " ".join(_without_directory(word, mark) for word in text.split(" "))
    return cut(text, columns, mark)


def _without_directory(word: str, mark: str) -> str:
    """Of a path, also behind ``--option=`` or a quote; not of an address."""
    start, _, rest = word.partition("/")
    directory, _, name = rest.rpartition("/")
    if not name or not (start or directory) or start.endswith(":"):
        return word
    before = start[: 1 + max(start.rfind("="), start.rfind("'"))]
    return f"{before}{mark}/{name}"

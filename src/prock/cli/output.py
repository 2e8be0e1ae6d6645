"""Output of the subcommands: standard output, standard error and error messages.

A terminal gets colours (unless NO_COLOR is set) and lines cut to its width; a pipe or a file gets neither. If standard
output is closed, full or broken, the error message is one line, never a traceback.
"""

from __future__ import annotations

import os
import sys

from prock.report.layout import COLOURS, escape, harmless

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import TextIO


class Failure(Exception):
    """An error message of one line and an exit code; ends the command."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Screen:
    """What standard output can show."""

    def __init__(self) -> None:
        self.encoding = getattr(sys.stdout, "encoding", None) or "ascii"
        self.width = terminal_width()
        """Columns of the terminal; None if there is no terminal or its size is unknown."""
        self.colour = has_colours(sys.stdout)
        self.ellipsis = "…" if self.can_show("…") else "..."

    def can_show(self, characters: str) -> bool:
        try:
            characters.encode(self.encoding)
        except UnicodeEncodeError:
            return False
        return True

    def clean(self, text: str) -> str:
        """Text from outside, escaped so that it neither breaks the line nor controls the terminal."""
        return escape(text, self.encoding)

    def paint(self, text: str, style: str) -> str:
        return f"\x1b[{COLOURS[style]}m{text}\x1b[0m" if self.colour else text


def columns_of(stream: TextIO | None) -> int | None:
    """Of the terminal that the stream is; None if it is none, or its size is unknown."""
    if stream is None or not is_terminal(stream):
        return None
    try:
        return os.get_terminal_size(stream.fileno()).columns or None
    except (OSError, ValueError):
        return None


def terminal_width() -> int | None:
    return columns_of(sys.stdout)


def write(lines: Iterable[str]) -> None:
    """Write all lines to standard output, or raise `Failure`; `BrokenPipeError` if the reader has closed the pipe.

    Here and in `write_error` every line passes `harmless`.
    """
    text = "".join(f"{harmless(line)}\n" for line in lines)

    def send(stream: TextIO) -> None:
        encoding = stream.encoding or "ascii"
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))

    _to_stdout(send)


def write_bytes(data: bytes) -> None:
    """As `write`, as they are: for the formats of other programs."""
    _to_stdout(lambda stream: stream.buffer.write(data))


def _to_stdout(send: Callable[[TextIO], object]) -> None:
    stream = sys.stdout
    if stream is None:
        raise Failure("cannot write the output: standard output is closed")
    try:
        send(stream)
        stream.flush()
    except OSError as error:
        _abandon(stream)
        if isinstance(error, BrokenPipeError):
            raise
        raise Failure(f"cannot write the output: {error.strerror}") from None


def write_json(document: Mapping[str, object], *, one_line: bool = False) -> None:
    """One document in ASCII, so that no name in it can control the terminal. Indented on a terminal.

    `one_line`: for a series of documents, one a line, on a terminal too; they have no key `measurement`.
    """
    import json

    if not one_line:
        from prock.measurement import measurement

        document = {**document, "measurement": measurement()}

    indent = 2 if is_terminal(sys.stdout) and not one_line else None
    write([json.dumps(document, ensure_ascii=True, allow_nan=False, indent=indent)])


def complain(called: str, message: str, exit_code: int = 1) -> int:
    """One line on standard error."""
    write_error(escape(f"{called}: {message}") + "\n")
    return exit_code


def write_error(text: str, *, as_it_is: bool = False) -> bool:
    """Lines to standard error. `as_it_is`: without `harmless`, for text that the user chose.

    Returns False if they could not be written. A descriptor or pipe that was closed wants none.
    """
    if sys.stderr is None:
        return True
    if not as_it_is:
        text = "\n".join(map(harmless, text.split("\n")))
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError as error:  # no place is left to report it but the exit code
        _abandon(sys.stderr)
        return isinstance(error, BrokenPipeError)
    return True


def describe(error: OSError) -> str:
    """``Too many open files: /proc/1/stat``."""
    reason = error.strerror or str(error) or type(error).__name__
    return f"{reason}: {escape(os.fsdecode(error.filename))}" if isinstance(error.filename, (str, bytes)) else reason


def has_colours(stream: TextIO | None) -> bool:
    return is_terminal(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # closed
        return False


def _abandon(stream: TextIO) -> None:
    """Redirect it to /dev/null: Python flushes the rest of its buffer at exit, and would report the error again."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    except (OSError, ValueError):
        pass

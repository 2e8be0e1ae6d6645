"""Text for people: numbers with units, command lines, escaping, colours, columns."""

from __future__ import annotations

from prock.redaction import HIDDEN, redact

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from prock.results import LargeProcess, ProcessUsage, Survivor

COLOURS = {"end": "0", "bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}
"""ECMA-48 codes by name; prock writes no other escape sequence."""
LABEL_WIDTH = 10
DEFAULT_WIDTH = 80
"""Columns where there is no terminal."""
_PLAIN = "@%+=:,./-_"
_SHORT_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
MOST_MARKS = 4
"""Combining marks on one letter: more than any language needs, few enough to stay near the line."""
_BLANK = "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0\U0001d159"
"""Invisible characters that Python calls printable; `_is_blank` adds the variation selectors."""
_FIRST_MARK = "\u0300"


def format_bytes(value: float | None) -> str:
    """Three digits and a binary unit: ``17.2M``; ``-`` for unknown.

    >>> format_bytes(0), format_bytes(1023), format_bytes(17 * 2**20), format_bytes(None)
    ('0B', '1023B', '17.0M', '-')
    """
    if value is None:
        return "-"
    scaled = float(round(value))
    if scaled < 1024:
        return f"{scaled:.0f}B"
    for unit in "KMGTPE":
        scaled /= 1024
        if scaled < 999.95:
            return f"{scaled:.1f}{unit}" if scaled < 99.95 else f"{scaled:.0f}{unit}"
    return f"{scaled:.0f}E"


def format_cpu(nanoseconds: int | None) -> str:
    """CPU time: milliseconds below a minute, then minutes, hours and days.

    >>> format_cpu(1_234_567), format_cpu(61_500_000_000), format_cpu(90_061_000_000_000), format_cpu(None)
    ('0.001s', '1:01.5', '1d01:01:01', '-')
    """
    if nanoseconds is None:
        return "-"
    milliseconds = nanoseconds // 1_000_000
    seconds = milliseconds // 1000
    if seconds < 60:
        return f"{seconds}.{milliseconds % 1000:03d}s"
    minutes, rest = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes}:{rest:02d}.{milliseconds % 1000 // 100}"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours}:{minutes:02d}:{rest:02d}"
    days, hours = divmod(hours, 24)
    return f"{days}d{hours:02d}:{minutes:02d}:{rest:02d}"


def format_span(nanoseconds: int | None) -> str:
    """A duration: three digits in milliseconds below a second, then as `format_cpu`.

    >>> format_span(1_234_567), format_span(83_000), format_span(12_345_000_000), format_span(61_500_000_000)
    ('1.23ms', '0.08ms', '12.345s', '1:01.5')
    """
    if nanoseconds is None or nanoseconds >= 1_000_000_000:
        return format_cpu(nanoseconds)
    milliseconds = nanoseconds / 1e6
    digits = 2 if milliseconds < 9.995 else 1 if milliseconds < 99.95 else 0
    return f"{min(milliseconds, 999):.{digits}f}ms"


class Style:
    """Colours and length of a report."""

    def __init__(
        self, *, colour: bool = False, verbose: int = 0, verify: bool = False, width: int = DEFAULT_WIDTH
    ) -> None:
        self.width = width
        """Columns of a line. Tables may be wider."""
        self.colour = colour
        self.verbose = verbose
        self.verify = verify

    def paint(self, text: str, style: str) -> str:
        return f"\x1b[{COLOURS[style]}m{text}\x1b[0m" if self.colour else text

    def lines(self, label: str, texts: Sequence[str]) -> list[str]:
        """Texts, wrapped; the label stands before the first line."""
        lines = [line for text in texts for line in wrap(text, self.width - 2 - LABEL_WIDTH)]
        return [
            f"  {self.paint(('' if number else label).ljust(LABEL_WIDTH), 'dim')}{line}"
            for number, line in enumerate(lines)
        ]


def wrap(text: str, columns: int, indent: str = "") -> list[str]:
    """Lines of at most that many columns, broken at spaces, or where a word is longer. `indent`: of all but the first.

    >>> wrap("user 1.0s, system 2.0s", 12), wrap("abcdef", 4, " ")
    (['user 1.0s,', 'system 2.0s'], ['abcd', ' ef'])
    """
    start = text[: len(text) - len(text.lstrip(" "))]
    lines, is_new = [start], True
    for word in text[len(start) :].split(" "):
        longer = f"{lines[-1]}{'' if is_new else ' '}{word}"
        if width(longer) <= columns:
            lines[-1] = longer
        else:
            if not is_new:
                lines.append(indent)
            for letter in word:
                if width(lines[-1] + letter) > columns:
                    lines.append(indent)
                lines[-1] += letter
        is_new = False
    return lines


def decode_bytes(text: str) -> str:
    r"""Text in which bytes that are not UTF-8 (surrogate escapes) are written ``\xff``, so that it can be encoded.

    >>> decode_bytes("caf\udce9")
    'caf\\xe9'
    """
    if text.isascii():
        return text
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # a surrogate that stands for no byte
        return text.encode("utf-8", "backslashreplace").decode()


def escape(text: str, encoding: str = "utf-8") -> str:
    r"""Text that can neither break a line nor control a terminal: what is not printable is written as an escape.

    That is: control characters, marks that change the direction of writing, unusual spaces, invisible characters,
    combining marks without a letter or in large numbers, bytes that are not UTF-8, and what the encoding cannot
    represent. Escaping the result again does not change it.

    >>> print(escape("a) b\n\x1b[31m\u202e\udcff"))
    a) b\n\x1b[31m\u202e\xff
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(decode_bytes(text))).encode(encoding, "backslashreplace").decode(encoding)


def harmless(line: str) -> str:
    r"""A line of prock's output, in which only prock's colours can control the terminal: the last check of each line.

    Text from outside has been escaped already; this catches what was forgotten.

    >>> print(repr(harmless("\x1b[1mPID\x1b[0m \x1b[5m\u202e")))
    '\x1b[1mPID\x1b[0m \\x1b[5m\\u202e'
    """
    if line.isprintable():
        return line
    first, *others = line.split("\x1b[")
    parts = [printable(first)]
    for part in others:
        code, end, rest = part.partition("m")
        is_ours = end and code in COLOURS.values()
        parts.append(f"\x1b[{code}m{printable(rest)}" if is_ours else printable(f"\x1b[{part}"))
    return "".join(parts)


def printable(text: str) -> str:
    """As `harmless`, for text without colours."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else _written_out(letter) for letter in decode_bytes(text))


def _escaped(text: str) -> Iterator[str]:
    marks = MOST_MARKS  # a mark at the beginning would combine with what stands before the text
    for character in text:
        if not character.isprintable() or _is_blank(character):
            marks = MOST_MARKS
            yield _written_out(character)
        elif not _is_mark(character):
            marks = 0
            yield character
        elif marks < MOST_MARKS:
            marks += 1
            yield character
        else:
            yield _written_out(character)


def _is_blank(character: str) -> bool:
    return character in _BLANK or "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef"


def _is_mark(character: str) -> bool:
    """Whether it combines with the letter before it."""
    if character < _FIRST_MARK:
        return False
    import unicodedata  # imported only where needed: 0.5 ms

    return unicodedata.category(character) in ("Mn", "Me")


def _written_out(character: str) -> str:
    if character in _SHORT_ESCAPES:
        return _SHORT_ESCAPES[character]
    if character.isascii():
        return f"\\x{ord(character):02x}"
    return character.encode("ascii", "backslashreplace").decode()


def width(text: str) -> int:
    """Columns that it takes on a terminal.

    >>> width("bash"), width("\u6f22\u5b57"), width("e\u0301")
    (4, 4, 1)
    """
    if text.isascii():
        return len(text)
    return sum(map(_character_width, text))


def _character_width(character: str) -> int:
    import unicodedata

    if _is_mark(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def cut(text: str, columns: int, mark: str = "…") -> str:
    """The text cut to that many columns, with a mark if something is missing.

    >>> cut("gnome-terminal", 8), cut("bash", 8)
    ('gnome-t…', 'bash')
    """
    if width(text) <= columns:
        return text
    left = columns - width(mark)
    start = ""
    for character in text:
        left -= width(character)
        if left < 0:
            break
        start += character
    return start + mark if columns >= width(mark) else ""


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines with all columns right-aligned except the last, which is text of any length.

    >>> table([("PID", "NAME"), ("1", "init"), ("4711", "sh")])
    [' PID  NAME', '   1  init', '4711  sh']
    """
    widths = [max(map(width, column)) for column in zip(*rows, strict=True)][:-1]
    return ["  ".join((*map(_to_the_right, row, widths), row[-1])) for row in rows]


def _to_the_right(text: str, columns: int) -> str:
    return " " * (columns - width(text)) + text


def format_age(seconds: float) -> str:
    """A duration in its two largest units.

    >>> format_age(7.9), format_age(185), format_age(11_580), format_age(450_000)
    ('7s', '3m 5s', '3h 13m', '5d 5h')
    """
    rest = max(0, int(seconds))
    parts: list[str] = []
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")):
        count, rest = divmod(rest, size)
        if count or parts or unit == "s":
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2])


def format_percent(percent: float | None) -> str:
    return "-" if percent is None else f"{percent:.1f}"


def format_number(value: float | None) -> str:
    return "-" if value is None else f"{value:,}"


def count(number: int, what: str, plural: str | None = None) -> str:
    """A number with its noun.

    >>> count(1, "process", "processes"), count(1200, "thread")
    ('1 process', '1,200 threads')
    """
    return f"{number:,} {what if number == 1 else plural or what + 's'}"


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


def distinct(lines: Sequence[str], mark: str = "…") -> list[str]:
    """Command lines without the words that all of those of the same program have, if they differ at all.

    >>> distinct(["cc1 -O2 a.c -o a.s", "cc1 -O2 b.c -o b.s", "cc1", "sh x"])
    ['cc1 … a.c … a.s', 'cc1 … b.c … b.s', 'cc1', 'sh x']
    """
    common: dict[str, set[str]] = {}
    every: dict[str, set[str]] = {}
    for line in lines:
        program, *words = line.split(" ")
        if words:  # else its arguments are unknown
            common[program] = common.get(program, set(words)) & set(words)
            every.setdefault(program, set()).update(words)
    shown = []
    for line in lines:
        program, *words = line.split(" ")
        kept = [program]
        for word in words:
            if word not in common[program] or common[program] == every[program]:
                kept.append(word)
            elif kept[-1] != mark:
                kept.append(mark)
        shown.append(" ".join(kept))
    return shown


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

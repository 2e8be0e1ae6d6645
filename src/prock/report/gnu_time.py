"""``--format``: the fields of GNU time, for the whole tree, and every figure of the result by its name.

The template is written unchanged; the values of fields, the command's arguments included, are escaped.
"""

from __future__ import annotations

from prock.redaction import redact
from prock.report.layout import escape, format_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from prock.results import RunFigures

UNKNOWN = "?"
FORMS = {
    "posix": "real %e\nuser %U\nsys %S",
    "gnu": "\n".join(
        f"\t{label}: {field}"
        for label, field in (
            ("Command being timed", '"%C"'),
            ("User time (seconds)", "%U"),
            ("System time (seconds)", "%S"),
            ("Percent of CPU this job got", "%P"),
            ("Elapsed (wall clock) time (h:mm:ss or m:ss)", "%E"),
            ("Average shared text size (kbytes)", "%X"),
            ("Average unshared data size (kbytes)", "%D"),
            ("Average stack size (kbytes)", "%p"),
            ("Average total size (kbytes)", "%K"),
            ("Maximum resident set size (kbytes)", "%M"),
            ("Average resident set size (kbytes)", "%t"),
            ("Major (requiring I/O) page faults", "%F"),
            ("Minor (reclaiming a frame) page faults", "%R"),
            ("Voluntary context switches", "%w"),
            ("Involuntary context switches", "%c"),
            ("Swaps", "%W"),
            ("File system inputs", "%I"),
            ("File system outputs", "%O"),
            ("Socket messages sent", "%s"),
            ("Socket messages received", "%r"),
            ("Signals delivered", "%k"),
            ("Page size (bytes)", "%Z"),
            ("Exit status", "%x"),
        )
    ),
}
"""Templates with a name: that of POSIX, and the block of ``time -v``, which many scripts parse."""
_ESCAPES = {"n": "\n", "t": "\t", "\\": "\\"}
_NEVER_COUNTED = "DKWXkprst"
"""Linux does not count these; as GNU time, prock prints 0."""


def _seconds(nanoseconds: int | None, digits: int = 2) -> str:
    """Truncated, not rounded, as in GNU time."""
    if nanoseconds is None:
        return UNKNOWN
    return f"{nanoseconds // 10**9}.{nanoseconds % 10**9 // 10 ** (9 - digits):0{digits}d}"


def _elapsed(nanoseconds: int) -> str:
    minutes, seconds = divmod(nanoseconds // 10**9, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02d}:{seconds:02d}"
    return f"{minutes}:{seconds:02d}.{nanoseconds // 10**7 % 100:02d}"


def _number(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value}"


def _blocks(size: int | None) -> int | None:
    return None if size is None else size // 512


def _percent(result: RunFigures) -> str:
    return f"{UNKNOWN if result.cpu_percent is None else int(result.cpu_percent)}%"


def _page_size() -> str:
    import mmap

    return str(mmap.PAGESIZE)


GNU: dict[str, Callable[[RunFigures], str]] = {
    "C": lambda result: escape(" ".join(redact(result.args))),
    "E": lambda result: _elapsed(result.wall_ns),
    "F": lambda result: _number(result.major_faults),
    "I": lambda result: _number(_blocks(result.disk_io and result.disk_io.read_bytes)),
    "M": lambda result: _number(result.largest_process_bytes and result.largest_process_bytes // 1024),
    "O": lambda result: _number(_blocks(result.disk_io and result.disk_io.write_bytes)),
    "P": _percent,
    "R": lambda result: _number(result.minor_faults),
    "S": lambda result: _seconds(result.system_ns),
    "U": lambda result: _seconds(result.user_ns),
    "Z": lambda _: _page_size(),
    "c": lambda result: _number(result.involuntary_switches),
    "e": lambda result: _seconds(result.wall_ns),
    "w": lambda result: _number(result.voluntary_switches),
    "x": lambda result: _number(result.exit_code),
}
OURS: dict[str, Callable[[RunFigures], str]] = {
    "cpu": lambda result: _seconds(result.cpu_ns, 3),
    "user": lambda result: _seconds(result.user_ns, 3),
    "system": lambda result: _seconds(result.system_ns, 3),
    "wall": lambda result: _seconds(result.wall_ns, 3),
    "cores": lambda result: UNKNOWN if result.cpu_percent is None else f"{result.cpu_percent / 100:.2f}",
    "peak": lambda result: (
        UNKNOWN if result.peak_footprint_bytes is None else format_bytes(result.peak_footprint_bytes)
    ),
    "processes": lambda result: _number(result.processes_started),
    "command": lambda result: escape(" ".join(redact(result.args))),
}
"""Short names of common figures; the other names are the keys of the JSON document."""


def template_of(text: str) -> str:
    """The template that the value of ``--format`` stands for.

    Raises `ValueError` for an unknown form or figure, so that it is reported before the command runs.
    """
    if "%" not in text and "\\" not in text:
        if text not in FORMS:
            raise ValueError(f"unknown format {text!r}: use gnu, posix, or a template with % or \\")
        return FORMS[text]
    _check(text)
    return text


def _check(template: str) -> None:
    from prock.results import RunFigures

    known = {*OURS, *RunFigures._fields, "cpu_percent", "exit_code", "signal"} - {"stdout", "stderr"}
    position = 0
    while (position := template.find("%", position)) >= 0:
        if template[position + 1 : position + 2] == "{":
            name = template[position + 2 :].partition("}")[0]
            if name.partition(".")[0] not in known:
                raise ValueError(f"unknown figure {name!r}: use a key of the JSON document, see docs/formats.md")
        position += 2


def fill(template: str, result: RunFigures) -> str:
    r"""The template with its fields and escapes replaced; an unknown one gets a ``?`` before it, as in GNU time."""
    done: list[str] = []
    position = 0
    while position < len(template):
        character, following = template[position], template[position + 1 : position + 2]
        position += 2
        if character == "\\":
            done.append(_ESCAPES.get(following, f"?\\{following}"))
        elif character != "%":
            done.append(character)
            position -= 1
        elif following == "{" and "}" in template[position:]:
            name, _, _ = template[position:].partition("}")
            done.append(_by_name(name, result))
            position += len(name) + 1
        else:
            done.append(_field(following, result))
    return "".join(done)


def _field(letter: str, result: RunFigures) -> str:
    if letter == "%":
        return "%"
    if letter in GNU:
        return GNU[letter](result)
    return "0" if letter and letter in _NEVER_COUNTED else f"?{letter}"


def _by_name(name: str, result: RunFigures) -> str:
    if name in OURS:
        return OURS[name](result)
    value: object = result.as_document()
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if value is None:
        return UNKNOWN
    if isinstance(value, (dict, list, bool)):
        import json

        return json.dumps(value)
    return escape(value) if isinstance(value, str) else str(value)


def ending(result: RunFigures) -> str | None:
    """The first line of GNU time for a failed command."""
    if result.signal is not None:
        return f"Command terminated by signal {result.signal}"
    if result.exit_code:
        return f"Command exited with non-zero status {result.exit_code}"
    return None

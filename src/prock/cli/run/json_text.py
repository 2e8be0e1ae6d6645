"""JSON as ``json.dumps`` writes it with its defaults, for documents of plain values.

``import json`` takes 8 ms, as its reader needs ``re``: more than all the rest that ``prock run --json`` does after a
short command. How texts are escaped is the library's own, in C.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from json.encoder import py_encode_basestring_ascii as encode_text
else:
    try:
        from _json import encode_basestring_ascii as encode_text
    except ImportError:  # another Python than CPython
        from json.encoder import encode_basestring_ascii as encode_text


def dumps(value: object) -> str:
    """One line of ASCII. Raises `ValueError` for numbers that JSON has not, `TypeError` for what is no plain value.

    >>> dumps({"comm": "caf\\xe9", "cpu_ns": 7, "load": [0.5, None, True]})
    '{"comm": "caf\\\\u00e9", "cpu_ns": 7, "load": [0.5, null, true]}'
    """
    if isinstance(value, str):
        return encode_text(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float):
        if value - value != 0:  # infinite, or not a number
            raise ValueError(f"{value!r} is no number in JSON")
        return float.__repr__(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{encode_text(key)}: {dumps(part)}" for key, part in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(dumps, value)) + "]"
    raise TypeError(f"{type(value).__name__} is no plain value")

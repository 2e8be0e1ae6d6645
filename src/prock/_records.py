"""`NamedTuple`, in the class form of `typing`, without importing `typing`.

``import typing`` costs about as long as starting Python does (9 ms of 9 ms), and prock is put in front of short
commands. Type checkers are told that this is `typing.NamedTuple`; at run time it is `collections.namedtuple` plus the
methods of the class body.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Mapping

TYPE_CHECKING = False  # type checkers take any variable of this name as true

if TYPE_CHECKING:
    from typing import NamedTuple as NamedTuple
else:

    class _RecordMeta(type):
        def __new__(mcls, name: str, bases: tuple[type, ...], body: Mapping[str, object]) -> type[tuple[object, ...]]:
            if not bases:
                return super().__new__(mcls, name, bases, body)
            fields = list(body.get("__annotations__", ()))
            defaults = [body[field] for field in fields if field in body]
            record = namedtuple(name, fields, defaults=defaults, module=body["__module__"])
            for key, value in body.items():
                if key not in fields and key != "__slots__":
                    setattr(record, key, value)
            return record

    class NamedTuple(metaclass=_RecordMeta):
        """See the module."""

"""`NamedTuple`, in the class form of `typing`, without importing `typing` or `collections`.

``import typing`` takes about as long as starting Python (9 ms of 9 ms) and `collections.namedtuple` 3 ms more, while
prock runs in front of short commands. Type checkers see `typing.NamedTuple`; at run time it behaves the same, but its
`repr` is short, and its fields have help: the entries ``- `NAME`: TEXT`` of the class docstring, or else `FIELD_TEXTS`.
They move to ``CLASS.NAME.__doc__`` when ``CLASS.__doc__`` is first read: to do that for all classes takes 1.5 ms.

`TYPE_CHECKING`, here and in all modules, saves the import of `typing`: type checkers take a variable of this name as
true. What stands below it is needed by annotations alone.
"""

from __future__ import annotations

import sys

FIELD_TEXTS: list[Callable[[], Iterable[tuple[str, str]]]] = []
"""Return names and texts of fields, for classes whose docstring has no entry ``- `NAME`: TEXT`` for them."""
TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import NamedTuple as NamedTuple
else:
    try:
        from _collections import _tuplegetter as _field
    except ImportError:  # another Python than CPython

        def _field(index, doc):
            return property(lambda self: tuple.__getitem__(self, index), doc=doc)

    LONGEST_REPR = 300

    def _abbreviated(value, longest):
        """`repr`, but a long tuple by its length, and any other long value by its beginning."""
        if type(value) is tuple and len(value) > 4:
            return f"<{len(value)} rows>"
        text = repr(value[:longest] if isinstance(value, (str, bytes)) else value)
        if len(text) <= longest:
            return text
        if type(value) is tuple:
            return f"<{len(value)} rows>"
        return f"{type(value).__name__}(...)" if isinstance(value, tuple) else f"{text[: longest - 3]}..."

    UNITS = {
        "_ns": "In nanoseconds.",
        "_bytes": "In bytes.",
        "_percent": "In percent of one core.",
        "_chars": "In bytes.",
    }

    def _split(doc, fields):
        """The docstring without the entries of its fields, and their texts by name."""
        rest, texts, names = [], {}, ()
        for line in doc.split("\n"):
            start, colon, text = line.strip().partition(": ")
            entry = [name.strip("`") for name in start[2:].split(", ")] if colon and start[:3] == "- `" else ()
            if entry and all(name in fields for name in entry):
                names = entry
                texts.update(dict.fromkeys(names, text))
            elif names and line.strip() and not start.startswith("- `"):
                texts.update({name: f"{texts[name]} {line.strip()}" for name in names})
            else:
                names = ()
                rest.append(line)
        return "\n".join(rest).replace("\n\n\n", "\n\n").rstrip(), texts

    class _Doc:
        """A class docstring that gives the fields theirs when it is read."""

        def __init__(self, text):
            self._text = text

        def __get__(self, record, cls):
            cls.__doc__, own = _split(self._text, cls._fields)
            for base in cls.__bases__:
                base.__doc__  # noqa: B018  # the subclass may be the first whose help is read
            texts = {name: text for source in FIELD_TEXTS for name, text in source()} | own
            for name in cls._fields:
                field = vars(cls).get(name)
                if field is not None:
                    text = texts.get(name, f"Field {name}.")
                    unit = UNITS.get(name[name.rfind("_") :], "")
                    field.__doc__ = f"{text} {unit}" if unit and unit[3:-1].split()[0] not in text else text
            return cls.__doc__

    class _Record(tuple):
        __slots__ = ()
        _fields = ()
        _field_defaults = {}

        def __init_subclass__(cls):
            cls.__doc__ = _Doc(vars(cls).get("__doc__") or f"{cls.__name__}({', '.join(cls._fields)})")

        @classmethod
        def _make(cls, iterable):
            """Make one of a sequence of values."""
            made = tuple.__new__(cls, iterable)
            if len(made) != len(cls._fields):
                raise TypeError(f"Expected {len(cls._fields)} arguments, got {len(made)}")
            return made

        def _replace(self, /, **changed):
            """Another one, with some of the fields changed."""
            made = self._make(map(changed.pop, self._fields, self))
            if changed:
                raise ValueError(f"Got unexpected field names: {list(changed)!r}")
            return made

        __replace__ = _replace

        def _asdict(self):
            """The values by their names."""
            return dict(zip(self._fields, self, strict=True))

        def __repr__(self):
            """As of `typing.NamedTuple`, but at most `LONGEST_REPR` characters, with long values abbreviated."""
            for longest in (LONGEST_REPR, 60):
                values = [
                    f"{name}={_abbreviated(value, longest)}" for name, value in zip(self._fields, self, strict=True)
                ]
                text = f"{type(self).__name__}({', '.join(values)})"
                if len(text) <= LONGEST_REPR:
                    return text
            return text[: text.rindex(", ", 0, LONGEST_REPR - 4)] + ", ...)"

        def __getnewargs__(self):
            """For copies and pickles."""
            return tuple(self)

    _codes = {}
    """Compiled `__new__` by number of fields: with other names it serves the next class, in a tenth of the time."""

    class _RecordMeta(type):
        def __new__(mcls, name, bases, body):
            if not bases:
                return super().__new__(mcls, name, bases, body)
            fields = tuple(map(sys.intern, body.get("__annotations__", ())))
            defaults = {field: body.pop(field) for field in fields if field in body}
            arguments = ", ".join(fields)
            code = _codes.get(len(fields))
            if code is None:
                # Compiled, as by namedtuple: the only way to names, defaults and errors of a function.
                # S307: the names are those of a class of this package.
                new = eval(f"lambda _cls, {arguments}: _new(_cls, ({arguments},))", {"_new": tuple.__new__})  # noqa: S307
                _codes[len(fields)] = new.__code__
            else:
                new = type(_split)(code.replace(co_varnames=("_cls", *fields)), {"_new": tuple.__new__})
            new.__defaults__ = tuple(defaults.values())
            new.__name__, new.__qualname__ = "__new__", f"{name}.__new__"
            new.__doc__ = f"Create new instance of {name}({arguments})"
            getters = {field: _field(index, None) for index, field in enumerate(fields)}
            record = {
                "__slots__": (),
                "_fields": fields,
                "_field_defaults": defaults,
                "__match_args__": fields,
                "__new__": new,
                **getters,
                **{key: value for key, value in body.items() if key != "__slots__"},
            }
            return type(name, (_Record,), record)

    class NamedTuple(metaclass=_RecordMeta):
        """See the module."""

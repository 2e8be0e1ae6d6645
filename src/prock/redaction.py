"""`redact`: a command line without its passwords, for what is kept: documents, reports, recordings."""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

HIDDEN = "***"
_NAME = r"(?:[\w.-]*(?:passwd|password|passphrase|token|secret)|(?:[\w.-]*[_.-])?(?:api|access|private|secret)?key)"
_VALUE = r"""(?:\*{3}|"[^"]*"|'[^']*'|[^\s'";&]+)"""
_OPTION = re.compile(rf"-{_NAME}", re.IGNORECASE)
_WHOLE = re.compile(rf"({_NAME}=|(?:(?:proxy-)?authorization|cookie|{_NAME})\s*:\s*).+", re.IGNORECASE | re.DOTALL)
_INSIDE = (
    re.compile(rf"""(?<![\w.-])(-{_NAME}\s+|{_NAME}=|["']{_NAME}["']\s*:\s*){_VALUE}""", re.IGNORECASE),
    re.compile(r"""(authorization\s*:\s*)[^'"\n]+""", re.IGNORECASE),
    re.compile(r"(://[^/\s:@]*:)[^/\s@]+(?=@)"),
)
"""In a part of an argument, such as the script of ``sh -c`` or an address."""


def redact(arguments: Iterable[str]) -> tuple[str, ...]:
    """The arguments with ``***`` in the place of what follows a name that ends in password, passwd, passphrase, token,
    secret or key: ``--password x``, ``--password=x``, ``API_KEY=x``, ``Authorization: Bearer x``; and of the password
    in an address: ``https://user:x@host``. A secret without such a name is not recognized.

    >>> redact(["mysql", "--password", "x", "-e", "API_KEY=y"]), redact(["curl", "-H", "Authorization: Bearer x"])
    (('mysql', '--password', '***', '-e', 'API_KEY=***'), ('curl', '-H', 'Authorization: ***'))
    """
    redacted = []
    hides_next = False
    for argument in arguments:
        is_value = hides_next and not argument.startswith("--")
        redacted.append(HIDDEN if is_value else _redacted(argument))
        hides_next = not is_value and _OPTION.fullmatch(argument) is not None
    return tuple(redacted)


def _redacted(argument: str) -> str:
    if whole := _WHOLE.fullmatch(argument):
        return whole[1] + HIDDEN
    for inside in _INSIDE:
        argument = inside.sub(rf"\g<1>{HIDDEN}", argument)
    return argument

"""`redact`: a command line without its passwords, for what is kept: documents, reports, recordings."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from re import Pattern

HIDDEN = "***"
_MARKS = ("passw", "passphrase", "token", "secret", "key", "authorization", "cookie", "://")
"""Without one of them nothing is hidden: importing re takes 5 ms, which most runs do without."""
_NAME = r"(?:[\w.-]*(?:passwd|password|passphrase|token|secret)|(?:[\w.-]*[_.-])?(?:api|access|private|secret)?key)"
_VALUE = r"""(?:\*{3}|"[^"]*"|'[^']*'|[^\s'";&]+)"""
_OPTION = rf"-{_NAME}"
_WHOLE = rf"({_NAME}=|(?:(?:proxy-)?authorization|cookie|{_NAME})\s*:\s*).+"
_INSIDE = (
    rf"""(?<![\w.-])(-{_NAME}\s+|{_NAME}=|["']{_NAME}["']\s*:\s*){_VALUE}""",
    r"""(authorization\s*:\s*)[^'"\n]+""",
    r"(://[^/\s:@]*:)[^/\s@]+(?=@)",
)
"""In a part of an argument, such as the script of ``sh -c`` or an address."""


def redact(arguments: Iterable[str]) -> tuple[str, ...]:
    """The arguments with ``***`` in the place of what follows a name that ends in password, passwd, passphrase, token,
    secret or key: ``--password x``, ``--password=x``, ``API_KEY=x``, ``Authorization: Bearer x``; and of the password
    in an address: ``https://user:x@host``. A secret without such a name is not recognized.

    >>> redact(["mysql", "--password", "x", "-e", "API_KEY=y"]), redact(["curl", "-H", "Authorization: Bearer x"])
    (('mysql', '--password', '***', '-e', 'API_KEY=***'), ('curl', '-H', 'Authorization: ***'))
    """
    arguments = tuple(arguments)
    text = "\n".join(arguments).lower()
    if not any(mark in text for mark in _MARKS):
        return arguments
    import re

    def compiled(pattern: str) -> Pattern[str]:
        return re.compile(pattern, re.IGNORECASE | re.DOTALL)  # which keeps it

    option, whole, inside = compiled(_OPTION), compiled(_WHOLE), list(map(compiled, _INSIDE))
    redacted = []
    hides_next = False
    for argument in arguments:
        is_value = hides_next and not argument.startswith("--")
        redacted.append(HIDDEN if is_value else _redacted(argument, whole, inside))
        hides_next = not is_value and option.fullmatch(argument) is not None
    return tuple(redacted)


def _redacted(argument: str, whole: Pattern[str], inside: Sequence[Pattern[str]]) -> str:
    if found := whole.fullmatch(argument):
        return found[1] + HIDDEN
    for pattern in inside:
        argument = pattern.sub(rf"\g<1>{HIDDEN}", argument)
    return argument

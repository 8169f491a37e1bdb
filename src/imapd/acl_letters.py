"""Rights as clients write and read them (RFC 4314 2.1, RFC 2086 3, Courier's ACL2).

On disk ``e``, ``t`` and ``x`` are letters of their own, and ``c`` is the right to create. Clients of RFC 2086
know ``d`` for the first three together; those of RFC 4314 know ``k`` for ``c``, and both forms
have to be told to them (2.1.1).
"""

from __future__ import annotations

from courier.maildir import acl
from courier.maildir.filename import Flag
from imapd.settings import Settings

_DELETE = frozenset("etx")
#: What RFC 4314 2.1 and 2.1.1 define.
_KNOWN = frozenset("acdeiklprstwx")


def is_extended(settings: Settings) -> bool:
    """Tell whether RFC 4314's rights are announced (RIGHTS=)."""
    return settings.acl and settings.extensions


class UnknownRight(ValueError):
    """A letter that is no right."""


def short(rights: str) -> str:
    """Give Courier's form: ``d`` in place of ``etx`` where all three are held."""
    if set(rights) >= _DELETE:
        return acl.in_order((set(rights) - _DELETE) | {"d"})
    return rights


def told(rights: str, *, extended: bool) -> str:
    """Give the form for MYRIGHTS and GETACL.

    Args:
        extended: RIGHTS= is announced: ``d`` stands beside any of ``etx``, and ``k`` beside ``c`` (RFC 4314
            2.1.1). If not, as Courier does it for clients of RFC 2086: ``d`` stands for all of ``etx``.
    """
    letters = set(rights)
    if extended:
        created = {"k"} if "c" in letters else set()
        virtual = {"d"} if letters & _DELETE else set()
        return acl.in_order(letters | virtual | created)
    virtual = {"d"} if letters >= _DELETE else set()
    return acl.in_order((letters - _DELETE) | virtual)


def given(text: str, *, extended: bool) -> str:
    """Read what a client gives, with a sign before it or not, into what is stored.

    Raises:
        UnknownRight: RFC 4314 3.1. Courier stores any letter.
    """
    sign, letters = (text[:1], text[1:]) if text[:1] in ("+", "-") else ("", text)
    wanted = set(letters)
    if extended:
        if not wanted <= _KNOWN:
            raise UnknownRight(text)
        if "k" in wanted:
            wanted = (wanted - {"k"}) | {"c"}
    if "d" in wanted:
        wanted = (wanted - {"d"}) | _DELETE
    return sign + acl.in_order(wanted)


def flags(rights: str) -> int:
    """Give the flags that these rights let somebody set and remove (RFC 4314 2.1)."""
    found = 0
    if "s" in rights:
        found |= Flag.SEEN
    if "t" in rights:
        found |= Flag.DELETED
    if "w" in rights:
        found |= ~(Flag.SEEN | Flag.DELETED)
    return found


def settable(rights: str, bits: int, keywords: tuple[str, ...]) -> tuple[int, tuple[str, ...]]:
    """Give, of a message's flags and keywords, what may be set in a mailbox."""
    return bits & flags(rights), keywords if "w" in rights else ()

"""Access control lists: their text, what they come to for somebody, what may be written.

    courierimapacl = *( identifier SP rights LF )

An identifier is ``owner``, ``anyone`` (or ``anonymous``), ``user=NAME``, ``group=NAME``,
``administrators`` (or ``group=administrators``); with ``-`` before it, it takes rights away. Rights are
letters, kept sorted. What somebody may do is all that the entries for him give, less all that
the negative entries for him take: the union, Courier's ACL2=UNION.

Administrators always have every right, and the owner always has ``a``: nobody locks himself out.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache

ALL = "aceilrstwx"
#: Courier: what the owner has where lists are switched off (account option disableshared).
WITHOUT_LISTS = "ceilrstwx"
OWNER = "owner"
ADMINISTRATORS = "administrators"
ADMINISTRATORS_GROUP = "group=administrators"
_ANYONE = frozenset(("anyone", "anonymous"))
_ADMINISTRATORS = frozenset((ADMINISTRATORS, ADMINISTRATORS_GROUP))
#: Octets of a line; Courier breaks longer ones up.
_LONGEST_LINE = 8191

Entry = tuple[str, str]


class InvalidAcl(OSError):
    """A list that can't be written: it takes from ``subject`` what must stay, or is malformed.

    EINVAL, as from a system call: it comes where a file could not be written, too.
    """

    def __init__(self, subject: str) -> None:
        super().__init__(errno.EINVAL, "Invalid argument")
        self.subject = subject


@dataclass(frozen=True, slots=True)
class Acl:
    """Identifiers with their rights, each identifier once, in the order in which they were set."""

    entries: tuple[Entry, ...] = ()

    def get(self, identifier: str) -> str | None:
        return dict(self.entries).get(identifier)

    def with_rights(self, identifier: str, rights: Iterable[str]) -> Acl:
        """Give the list in which ``identifier`` has exactly ``rights``."""
        entries = dict(self.entries)
        entries[identifier] = in_order(rights)
        return Acl(tuple(entries.items()))

    def without(self, identifier: str) -> Acl:
        return Acl(tuple(entry for entry in self.entries if entry[0] != identifier))


#: How a list becomes another one.
Change = Callable[[Acl], Acl]
#: Of an INBOX that has no file.
DEFAULT = Acl(((OWNER, ALL), (ADMINISTRATORS, ALL)))


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks: the name that is logged, and the groups of the account's options."""

    user: str
    groups: frozenset[str] = field(default_factory=frozenset)

    def names(self, *, is_owner: bool) -> frozenset[str]:
        """Give the identifiers that mean him."""
        own = {f"user={self.user}", *(f"group={group}" for group in self.groups), *_ANYONE}
        return frozenset({*own, OWNER} if is_owner else own)


@lru_cache(maxsize=256)
def parse(text: bytes) -> Acl:
    """Read a file. Courier: lines with a control character or without rights are no entries."""
    entries: dict[str, str] = {}
    for line in text.split(b"\n"):
        identifier, blank, rights = line.partition(b" ")
        rights = rights.lstrip(b" ")
        if blank and identifier and min(identifier + rights) > 0x20:
            entries[identifier.decode("utf-8", "surrogateescape")] = in_order(
                rights.decode("utf-8", "surrogateescape")
            )
    return _normalised(Acl(tuple(entries.items())))


def write(acl: Acl) -> bytes:
    """Give the file's text."""
    lines = (f"{identifier} {rights}\n" for identifier, rights in acl.entries)
    return "".join(lines).encode("utf-8", "surrogateescape")


def in_order(rights: Iterable[str]) -> str:
    """Sort letters, each once."""
    return "".join(sorted(set(rights)))


def changed(rights: str, change: str) -> str:
    """Apply ``+letters``, ``-letters`` or ``letters`` to what somebody has."""
    if change.startswith("+"):
        return in_order(rights + change[1:])
    if change.startswith("-"):
        return in_order(set(rights) - set(change[1:]))
    return in_order(change)


def compute(acl: Acl, names: Iterable[str]) -> str:
    """Give the rights that a list comes to for whom these identifiers mean."""
    wanted = set(names)
    if wanted & _ADMINISTRATORS:
        wanted |= _ADMINISTRATORS
    given: set[str] = set()
    taken: set[str] = set()
    for identifier, rights in acl.entries:
        if identifier in wanted:
            given.update(rights)
        elif identifier[:1] == "-" and identifier[1:] in wanted:
            taken.update(rights)
    return in_order(given - taken)


@lru_cache(maxsize=1024)
def rights(acl: Acl, identity: Identity, *, is_owner: bool) -> str:
    """Give what somebody may do."""
    found = compute(acl, identity.names(is_owner=is_owner))
    return in_order(found + "a") if is_owner else found


def check(acl: Acl, owner: str | None = None) -> None:
    """See to it that a list may be written.

    Args:
        owner: the owner's name, where it is known.

    Raises:
        InvalidAcl: the owner would lose ``a`` or ``l``, or administrators any right; or an entry
            would be read back as another one.
    """
    for identifier, letters in acl.entries:
        if not is_identifier(identifier) or not _is_text(letters):
            raise InvalidAcl(identifier)
        if len(f"{identifier} {letters}".encode("utf-8", "surrogateescape")) > _LONGEST_LINE:
            raise InvalidAcl(identifier)
    for names in ({OWNER}, {OWNER, f"user={owner}"} if owner else {OWNER}):
        if not set("al") <= set(compute(acl, names)):
            raise InvalidAcl(OWNER)
    given = [set(letters) for identifier, letters in acl.entries if identifier in _ADMINISTRATORS]
    if not all(set(ALL) <= one for one in (*given, set(compute(acl, _ADMINISTRATORS)))):
        raise InvalidAcl(ADMINISTRATORS)


def is_identifier(identifier: str) -> bool:
    """Tell whether a list can hold this identifier: a name, and nothing that ends it early."""
    name = identifier.removeprefix("-")
    kind, equals, value = name.partition("=")
    return _is_text(identifier) and bool(value if equals else kind)


def _is_text(text: str) -> bool:
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False  # half a character of UTF-16
    return all(char > " " and char != "\x7f" for char in text)


def _normalised(acl: Acl) -> Acl:
    """Courier: after every reading administrators have every right and can lose none."""
    return Acl(tuple(_with_administrators(acl)))


def _with_administrators(acl: Acl) -> Iterator[Entry]:
    own = ADMINISTRATORS if acl.get(ADMINISTRATORS_GROUP) is None else ADMINISTRATORS_GROUP
    for identifier, letters in acl.entries:
        if identifier == own:
            yield identifier, in_order(letters + ALL)
        elif identifier == ADMINISTRATORS:
            continue  # said by the group's entry (newer Courier does the same)
        elif identifier[:1] == "-" and identifier[1:] in _ADMINISTRATORS:
            yield identifier, in_order(set(letters) - set("la"))
        else:
            yield identifier, letters
    if acl.get(own) is None:
        yield own, ALL

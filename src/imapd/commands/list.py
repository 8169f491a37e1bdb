"""LIST and LSUB: which mailboxes there are. RFC 9051 6.3.9, RFC 3501 6.3.8 and 6.3.9, RFC 5258,
RFC 5819 (STATUS), RFC 6154 (SPECIAL-USE), RFC 8440 (MYRIGHTS), RFC 9590 (METADATA)."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from courier.maildir.annotations import Annotations
from courier.process.request import Work
from imapd import (
    acl_letters,
    annotation,
    list_request,
    listing,
    names,
    special_uses,
    status_items,
)
from imapd.commands import metadata
from imapd.commands.acl import rights_line
from imapd.completion import Ok
from imapd.list_request import ListRequest
from imapd.listing import Entry
from imapd.mailboxes import Mailbox
from imapd.pattern import Patterns, levels_above
from imapd.request import Handling, Step
from imapd.wire import writer
from imapd.wire.parser import Parser

if TYPE_CHECKING:
    from imapd.session import Session

#: The entry of METADATA that takes a look at all folders.
_USES = special_uses.ENTRY
#: Mailboxes listed, and mailboxes looked into, before others get their turn.
_PART = 500
_SLICE = 50
#: And with their annotations, which may be some megabytes of each.
_SLICE_ANNOTATED = 5
#: Octets of responses after which others get their turn.
_PIECE = 65_536


def list_(session: Session, arguments: Parser) -> Handling:
    request = list_request.read(session, arguments)
    if not request.is_extended and request.patterns == ("",):
        # RFC 9051 6.3.9: the root of the reference's name space.
        root = "#shared." if request.reference.startswith("#shared") else ""
        yield b'* LIST (\\Noselect) "." "%b"\r\n' % root.encode()
        return Ok("LIST completed")
    wanted = list_request.patterns(session, request)
    existing: dict[str, Mailbox] = {}
    found = session.mailboxes.listed(wanted)
    while part := (yield Work(lambda: list(islice(found, _PART)))):
        for one in part:
            existing.setdefault(one.name, one)
    uses: Mapping[str, special_uses.Uses] = {}
    if request.is_extended or session.rev2:  # RFC 9051 7.3.1: what does not exist is told as such
        there = yield Work(partial(_names, session, existing, wanted, request))
        entries, uses = listing.extended(session.settings, there, wanted, request), there.uses
    else:
        entries = listing.plain(session.settings, existing.values(), wanted)
    yield status_items.begin(session, request.status)
    size = _SLICE_ANNOTATED if request.metadata else _SLICE
    while slice_ := (yield Work(lambda: list(islice(entries, size)))):
        yield from _told(session, slice_, request, uses)
    return Ok("LIST completed")


def lsub(session: Session, arguments: Parser) -> Handling:
    request = list_request.read_plain(session, arguments)
    if request.patterns == ("",):
        yield b'* LSUB (\\Noselect) "." ""\r\n'
        return Ok("LSUB completed")
    wanted = list_request.patterns(session, request)
    for elsewhere in (False, True):
        if wanted.may_match(elsewhere=elsewhere):
            for entry in (yield Work(partial(_subscribed, session, wanted, elsewhere))):
                # RFC 3501 6.3.9: a level above what is subscribed to is told for a "%" alone.
                if entry.mailbox is not None or request.patterns[-1].endswith("%"):
                    yield line(session, entry, command="LSUB")
    return Ok("LSUB completed")


def _subscribed(session: Session, wanted: Patterns, elsewhere: bool) -> list[Entry]:
    found = listing.subscribed(session.mailboxes, session.tree.path, elsewhere=elsewhere)
    visible = [one for one in found if one.is_visible]
    return list(listing.plain(session.settings, visible, wanted))


def described(session: Session, one: Mailbox, union: frozenset[str]) -> Iterator[bytes]:
    """Give the line of one mailbox, with what Courier's options ask for."""
    others = session.mailboxes.listed(Patterns([one.name + ".*"]))
    levels = {level for other in others for level in levels_above(other.name)}
    entry = listing.described(session.settings, one, levels)
    yield line(session, entry, _union(session, entry, union))


def announced(session: Session, one: Mailbox, old: str | None = None) -> bytes:
    """Give the line of a mailbox that another command is about, of which it may say what costs nothing.

    Args:
        old: name by which the client called it (RFC 9051 6.3.9.7).
    """
    has_below = session.mailboxes.has_below(one)
    entry = listing.announced(session.settings, one, has_below=has_below)
    return line(session, entry, b"" if old is None else old_name(session, old))


def old_name(session: Session, old: str) -> bytes:
    """Write the item that says what a mailbox was called before (RFC 5465 8)."""
    return b' ("OLDNAME" (' + (names.encode(old, utf8=session.utf8) or b'""') + b"))"


def renamed(session: Session, given: str, name: str) -> bytes:
    """Tell a client by which name goes what it called ``given`` (RFC 9051 6.3.9.7)."""
    one = session.mailboxes.find(name)
    if given == name or one is None or not session.rev2:
        return b""
    return announced(session, one, given)


def line(session: Session, entry: Entry, more: bytes = b"", *, command: str = "LIST") -> bytes:
    """Write the response about one name; nothing if its name is no text: no client can be told of it."""
    encoded = names.encode(entry.name, utf8=session.utf8)
    if encoded is None:
        return b""
    attributes = " ".join(entry.attributes)
    return f'* {command} ({attributes}) "." '.encode() + encoded + more + b"\r\n"


def _names(
    session: Session, existing: dict[str, Mailbox], wanted: Patterns, request: ListRequest
) -> listing.Names:
    """Look up what the options ask about. Called in a thread."""
    subscribed: set[str] = set()
    if "SUBSCRIBED" in request.returns:
        for elsewhere in (False, True):
            if wanted.may_match(elsewhere=elsewhere):
                found = listing.subscribed(
                    session.mailboxes, session.tree.path, elsewhere=elsewhere
                )
                subscribed.update(one.name for one in found)
    uses: Mapping[str, special_uses.Uses] = {}
    if "SPECIAL-USE" in request.returns or _USES in map(str.lower, request.metadata):
        uses = special_uses.of_all(session.settings, session.tree)
    levels = frozenset(level for name in existing for level in levels_above(name))
    named = {names.mailbox(folder): used for folder, used in uses.items()}
    return listing.Names(existing, frozenset(subscribed), levels, named)


def _told(
    session: Session,
    entries: list[Entry],
    request: ListRequest,
    uses: Mapping[str, special_uses.Uses],
) -> Generator[Step, Any, None]:
    """Write responses about some names, each followed by what else was asked of it."""
    statuses: Mapping[str, bytes] = {}
    if request.status:
        counted = [one for entry in entries if (one := _counted(entry)) is not None]
        statuses = yield from status_items.of_several(session, counted, request.status)
    values: Mapping[str, Annotations] = {}
    if request.metadata:
        there = [one for entry in entries if (one := _there(entry)) is not None]
        readable = [one for one in there if annotation.is_readable(one)]
        values = yield Work(lambda: dict(annotation.of_several(session, readable, uses)))
    lines: list[bytes] = []
    for entry in entries:
        more = _union(session, entry, request.union) if request.union else _child_info(entry)
        if request.status and _counted(entry) is not None and entry.name not in statuses:
            entry = listing.unselectable(entry)  # RFC 5819 2
        told = line(session, entry, more)
        if told:
            lines += (told, statuses.get(entry.name, b""), *_rights(session, entry, request))
            if entry.name in values:
                valued = metadata.valued(values[entry.name], request.metadata)
                lines += metadata.responses(session, entry.name, valued)
        if sum(map(len, lines)) > _PIECE:
            yield b"".join(lines)
            lines = []
    yield b"".join(lines)


def _counted(entry: Entry) -> Mailbox | None:
    """Give the mailbox of which there is a STATUS: one that is selected, and may be read."""
    one = _there(entry)
    return one if one is not None and one.may("r") else None


def _there(entry: Entry) -> Mailbox | None:
    """Give the mailbox that is selected by the options, if it exists."""
    one = entry.mailbox
    return one if one is not None and one.exists and entry.is_selected else None


def _child_info(entry: Entry) -> bytes:
    return b' ("CHILDINFO" ("SUBSCRIBED"))' if entry.has_selected_below else b""


def _rights(session: Session, entry: Entry, request: ListRequest) -> Iterator[bytes]:
    """Give the response that RFC 8440 adds."""
    one = _there(entry)
    if "MYRIGHTS" in request.returns and one is not None:
        yield rights_line(session, one, one.name)


def _union(session: Session, entry: Entry, options: frozenset[str]) -> bytes:
    """Write what Courier's options ask for."""
    one = entry.mailbox or session.mailboxes.find(entry.name)
    if not options or one is None:
        return b""
    parts = []
    files = session.mailboxes.lists(one)
    if "ACL" in options and one.may("a") and files is not None:
        parts.append(b'("ACL" (' + b"".join(map(_entry, files.read(one.folder).entries)) + b"))")
    if "MYRIGHTS" in options and one.may("lrixcea"):
        parts.append(b'("MYRIGHTS" "' + acl_letters.short(one.rights).encode() + b'")')
    if "POSTADDRESS" in options:
        parts.append(b"(POSTADDRESS NIL)")
    return b" (" + b"".join(parts) + b")" if parts else b""


def _entry(entry: tuple[str, str]) -> bytes:
    identifier, rights = entry
    told = writer.string(identifier.encode("utf-8", "surrogateescape"))
    return b"(" + told + b' "' + acl_letters.short(rights).encode() + b'")'

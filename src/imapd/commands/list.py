"""LIST and LSUB: which mailboxes there are. RFC 9051 6.3.9, RFC 3501 6.3.8 and 6.3.9, RFC 5258,
RFC 5819 (STATUS), RFC 6154 (SPECIAL-USE), RFC 8440 (MYRIGHTS), RFC 9590 (METADATA)."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from functools import lru_cache, partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from courier import log
from courier.maildir.annotations import Annotations
from courier.maildir.roster import Look
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
from imapd.pattern import Patterns, levels_of
from imapd.request import Handling, Step
from imapd.wire import writer
from imapd.wire.parser import Parser

if TYPE_CHECKING:
    from imapd.session import Session

_OWN = Patterns(["INBOX", "INBOX.*"])
#: The entry of METADATA that takes a look at all folders.
_USES = special_uses.ENTRY
#: Mailboxes listed, and mailboxes told of, before others get their turn.
_PART = 1000
_SLICE = 500
#: And looked into: each may have to be opened.
_SLICE_COUNTED = 250
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
    look: Look | None = None
    uses: Mapping[str, special_uses.Uses] = {}
    if wanted.may_match(elsewhere=False):
        look, uses = yield Work(partial(_look, session, request, wanted))
    found = session.mailboxes.listed(wanted, look)
    is_more = True
    while is_more:  # each time another thread is woken, which takes longer than to list a few
        part = yield Work(lambda: list(islice(found, _PART)))
        is_more = len(part) == _PART
        for one in part:
            existing.setdefault(one.name, one)
    if request.is_extended or session.rev2:  # RFC 9051 7.3.1: what does not exist is told as such
        there = yield Work(partial(_names, session, existing, uses, wanted, request))
        entries = listing.extended(session.mailboxes, there, wanted, request)
    else:
        entries = listing.plain(session.mailboxes, existing.values(), wanted, uses)
    yield status_items.begin(session, request.status)
    size = _SLICE
    if request.status or session.settings.check_all_folders:
        size = _SLICE_COUNTED
    if request.metadata:
        size = _SLICE_ANNOTATED
    is_more = True
    while is_more:
        slice_ = yield Work(lambda: list(islice(entries, size)))
        is_more = len(slice_) == size
        yield from _told(session, slice_, request, uses)
    yield from session.mailboxes.store()
    return Ok("LIST completed")


def lsub(session: Session, arguments: Parser) -> Handling:
    request = list_request.read_plain(session, arguments)
    if request.patterns == ("",):
        yield b'* LSUB (\\Noselect) "." ""\r\n'
        return Ok("LSUB completed")
    wanted = list_request.patterns(session, request)
    for elsewhere in (False, True):
        if wanted.may_match(elsewhere=elsewhere):
            entries = yield Work(partial(_subscribed, session, wanted, elsewhere))
            # RFC 3501 6.3.9: a level above what is subscribed to is told for a "%" alone.
            has_levels = request.patterns[-1].endswith("%")
            told = [entry for entry in entries if has_levels or entry.mailbox is not None]
            for begin in range(0, len(told), _SLICE):
                some = told[begin : begin + _SLICE]
                yield b"".join([line(session, entry, command="LSUB") for entry in some])
    return Ok("LSUB completed")


def _subscribed(session: Session, wanted: Patterns, elsewhere: bool) -> list[Entry]:
    there: dict[str, Mailbox] = {}
    if not elsewhere:
        there = {one.name: one for one in session.mailboxes.listed(_OWN)}
    path = session.tree.path
    found = listing.subscribed(session.mailboxes, path, elsewhere=elsewhere, there=there)
    visible = [one for one in found if one.is_visible]
    return list(listing.plain(session.mailboxes, visible, wanted))


def described(session: Session, one: Mailbox, union: frozenset[str]) -> Iterator[bytes]:
    """Give the line of one mailbox, with what Courier's options ask for."""
    others = session.mailboxes.listed(Patterns([one.name + ".*"]))
    levels = levels_of(other.name for other in others)
    entry = listing.described(session.mailboxes, one, levels)
    yield line(session, entry, _union(session, entry, union))


def announced(session: Session, one: Mailbox, old: str | None = None) -> bytes:
    """Give the line of a mailbox that another command is about, of which it may say what costs nothing.

    Args:
        old: name by which the client called it (RFC 9051 6.3.9.7).
    """
    has_below = session.mailboxes.has_below(one)
    entry = listing.announced(session.mailboxes, one, has_below=has_below)
    return line(session, entry, b"" if old is None else old_name(session, old))


def old_name(session: Session, old: str) -> bytes:
    """Write the item that says what a mailbox was called before (RFC 5465 8)."""
    return b' ("OLDNAME" (' + (names.encode(old, utf8=session.utf8) or b'""') + b"))"


def renamed(session: Session, given: str, name: str) -> bytes:
    """Tell a client by which name goes what it called ``given`` (RFC 9051 6.3.9.7)."""
    if given == name or not session.rev2:
        return b""
    try:
        one = session.mailboxes.find(name)
    except OSError as error:  # what the command did is done, and its completion stands
        log.error("cannot look at", name, error)
        return b""
    return b"" if one is None else announced(session, one, given)


def line(session: Session, entry: Entry, more: bytes = b"", *, command: str = "LIST") -> bytes:
    """Write the response about one name; nothing if its name is no text: no client can be told of it."""
    encoded = names.encode(entry.name, utf8=session.utf8)
    if encoded is None:
        return b""
    return _beginning(command, entry.attributes) + encoded + more + b"\r\n"


@lru_cache(maxsize=256)
def _beginning(command: str, attributes: tuple[str, ...]) -> bytes:
    return f'* {command} ({" ".join(attributes)}) "." '.encode()


def _look(
    session: Session, request: ListRequest, wanted: Patterns
) -> tuple[Look, Mapping[str, special_uses.Uses]]:
    """Look at the account's own folders, and for special uses if they are told. Called in a thread."""
    asks_for_uses = "SPECIAL-USE" in request.returns or _USES in map(str.lower, request.metadata)
    # Whether a folder has the use that goes with its name depends on all others, and so does whether
    # something below it is subscribed to.
    usual = [names.mailbox(one.folder) for one in session.settings.special_uses]
    is_whole = asks_for_uses and any(map(wanted.matches, usual))
    is_whole |= "SUBSCRIBED" in request.returns
    look = session.mailboxes.look(None if is_whole else wanted)
    if not asks_for_uses:
        return look, {}
    uses = special_uses.of_all(session.settings, session.tree, look)
    return look, {names.mailbox(folder): used for folder, used in uses.items()}


def _names(
    session: Session,
    existing: dict[str, Mailbox],
    uses: Mapping[str, special_uses.Uses],
    wanted: Patterns,
    request: ListRequest,
) -> listing.Names:
    """Look up what the options ask about. Called in a thread."""
    subscribed: set[str] = set()
    if "SUBSCRIBED" in request.returns:
        for elsewhere in (False, True):
            if wanted.may_match(elsewhere=elsewhere):
                found = listing.subscribed(
                    session.mailboxes, session.tree.path, elsewhere=elsewhere, there=existing
                )
                subscribed.update(one.name for one in found)
    return listing.Names(existing, frozenset(subscribed), levels_of(existing), uses)


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
        there = {one.name for one in counted}
        # RFC 5819 2: what could not be counted can't be selected.
        entries = [
            listing.unselectable(entry)
            if entry.name in there and entry.name not in statuses
            else entry
            for entry in entries
        ]
    values: Mapping[str, Annotations] = {}
    if request.metadata:
        readable = [one for entry in entries if (one := _annotated(entry)) is not None]
        values = yield Work(lambda: dict(annotation.of_several(session, readable, uses)))
    lines: list[bytes] = []
    size = 0
    for entry in entries:
        more = _union(session, entry, request.union) if request.union else _child_info(entry)
        told = line(session, entry, more)
        if not told:
            continue
        lines.append(told)
        if entry.name in statuses:
            lines.append(statuses[entry.name])
        if "MYRIGHTS" in request.returns:
            lines += _rights(session, entry)
        if entry.name in values:
            valued = metadata.valued(values[entry.name], request.metadata)
            of_values = b"".join(metadata.responses(session, entry.name, valued))
            size += len(of_values)
            lines.append(of_values)
        size += len(told)
        if size > _PIECE:
            yield b"".join(lines)
            lines, size = [], 0
    yield b"".join(lines)


def _counted(entry: Entry) -> Mailbox | None:
    """Give the mailbox of which there is a STATUS: one that is selected, and may be read."""
    one = _there(entry)
    return one if one is not None and one.may("r") else None


def _there(entry: Entry) -> Mailbox | None:
    """Give the mailbox that is selected by the options, if it exists."""
    one = entry.mailbox
    return one if one is not None and one.exists and entry.is_selected else None


def _annotated(entry: Entry) -> Mailbox | None:
    """Give the mailbox of which annotations may be told."""
    one = _there(entry)
    return one if one is not None and annotation.is_readable(one) else None


def _child_info(entry: Entry) -> bytes:
    return b' ("CHILDINFO" ("SUBSCRIBED"))' if entry.has_selected_below else b""


def _rights(session: Session, entry: Entry) -> list[bytes]:
    """Give the response that RFC 8440 adds."""
    one = _there(entry)
    return [] if one is None else [rights_line(session, one, one.name)]


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

"""ESEARCH: search several mailboxes, whichever is selected. RFC 7377."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from courier import log
from courier.maildir.view import View
from courier.process.request import Work
from imapd import mailbox, matching, result, search_program, sources
from imapd.completion import Bad, CommandFailed, No, Ok
from imapd.contexts import Context
from imapd.criterion import Criterion
from imapd.mailboxes import Mailbox
from imapd.request import Handling, Step
from imapd.result import Wanted
from imapd.sources import Kind
from imapd.wire.parser import Parser

if TYPE_CHECKING:
    from imapd.session import Session

#: Mailboxes that one command may search.
_MOST = 10_000


def esearch(session: Session, arguments: Parser) -> Handling:
    arguments.sp()
    searched = sources.read(session, arguments) or sources.SELECTED
    wanted = result.wanted(arguments) or result.ALL
    of_selected = any(one.kind is Kind.SELECTED for one in searched)
    if of_selected and session.view is None:
        raise CommandFailed(Bad("No mailbox is selected."))
    if wanted.saves and searched != sources.SELECTED:
        raise CommandFailed(Bad("Only what is found in the selected mailbox can be saved."))
    if wanted.updates and session.view is None:
        raise CommandFailed(Bad("No mailbox is selected, of which updates could be told."))
    criterion = yield from search_program.read(session, arguments, wanted)
    if criterion.asks_modseq:
        yield session.changes.use_modseqs()

    found: list[Mailbox] = yield Work(partial(sources.mailboxes, session, searched))
    if len(found) > _MOST:
        return No("Too many mailboxes.", "LIMIT")
    others = [one for one in found if not session.is_selected(one)]
    if session.mailbox is not None and (of_selected or len(others) < len(found)):
        yield from _of_selected(session, criterion, wanted)
    for one in others:
        view = yield from _opened(session, one)
        if view is not None:
            yield from _told(session, one, view, criterion, wanted)
            if not view.folder.is_settled:
                yield Work(view.folder.settle)
    return Ok("ESEARCH completed.")


def _of_selected(
    session: Session, criterion: Criterion, wanted: Wanted
) -> Generator[Step, Any, None]:
    """Search the selected mailbox, as its client knows it; save and keep up to date what is found."""
    assert session.mailbox is not None
    session.changes.recheck_rights()
    view = session.selected
    uids = yield from _told(session, session.mailbox, view, criterion, wanted)
    if wanted.saves:
        view.saved = yield Work(partial(result.saved, wanted, uids))
    if wanted.updates:
        correlator = _correlator(session, session.mailbox, view)
        kept = partial(Context, session.tag, criterion, uids, by_uid=True, correlator=correlator)
        yield session.changes.begin_context((yield Work(kept)))


def _opened(session: Session, found: Mailbox) -> Generator[Step, Any, View | None]:
    """Look at a mailbox as it is now, leaving what is new to whoever selects it; None: it can't be."""
    try:
        view = View(mailbox.opened(session, found), read_only=True)
        yield Work(view.refresh)
        if view.folder.is_void:  # renumbered since it was last open
            view = View(mailbox.opened(session, found), read_only=True)
            yield Work(view.refresh)
        view.update(expunge=True)
    except OSError as error:
        log.error("cannot search folder", found.directory, error)
        return None
    return view


def _told(
    session: Session, found: Mailbox, view: View, criterion: Criterion, wanted: Wanted
) -> Generator[Step, Any, list[int]]:
    """Search one mailbox, and tell what is found, if there is something; give its UIDs."""
    if criterion.asks_modseq and not view.folder.keeps_modseqs:
        return []
    octets = yield from matching.find(criterion, view, wanted.enough)
    uids = list(result.numbers(view, octets, by_uid=True))
    if uids:  # RFC 7377 2.1: else the mailbox is passed over
        modseq = result.highest(view, wanted, octets, uids) if criterion.asks_modseq else 0
        correlator = _correlator(session, found, view)
        told = replace(wanted, options=wanted.options - {"UPDATE"})
        yield from result.extended(correlator, told, uids, modseq, by_uid=True)
    return uids


def _correlator(session: Session, found: Mailbox, view: View) -> bytes:
    name = mailbox.quoted(session, found.name).encode()
    tag = result.correlator(session.tag)
    return b"%b MAILBOX %b UIDVALIDITY %d" % (tag, name, view.folder.uidvalidity)

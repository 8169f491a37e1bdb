"""SEARCH and UID SEARCH. RFC 9051 6.4.4, RFC 3501 6.4.4, RFC 4731, RFC 5182, RFC 5267, RFC 7162, RFC 9738."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from courier.process.request import Work
from imapd import matching, result, search_program
from imapd.completion import Ok
from imapd.contexts import Context
from imapd.criterion import Cost
from imapd.request import Handling
from imapd.wire.parser import Parser

if TYPE_CHECKING:
    from imapd.session import Session


def search(session: Session, arguments: Parser) -> Handling:
    return _search(session, arguments, by_uid=False)


def uid_search(session: Session, arguments: Parser) -> Handling:
    return _search(session, arguments, by_uid=True)


def _search(session: Session, arguments: Parser, *, by_uid: bool) -> Handling:
    arguments.sp()
    wanted = result.wanted(arguments)
    if wanted is None and session.rev2:  # RFC 9051 6.4.4
        wanted = result.ALL
    criterion = yield from search_program.read(session, arguments, wanted)

    view = session.selected
    criterion = yield from session.message_limit.searched(criterion, view)
    enough = wanted.enough if wanted is not None else 0
    found = yield from matching.find(criterion, view, enough)
    numbers = result.numbers(view, found, by_uid=by_uid)
    uids = numbers if by_uid else result.numbers(view, found, by_uid=True)
    modseq = 0
    if criterion.asks_modseq:
        yield session.changes.need_modseqs()
        modseq = result.highest(view, wanted, found, uids)
    if wanted is not None and wanted.saves:
        view.saved = yield Work(partial(result.saved, wanted, uids))
    if wanted is None:
        backwards = session.message_limit.is_exceeded
        yield from result.listed(b"SEARCH", reversed(numbers) if backwards else numbers, modseq)
    else:
        correlator = result.correlator(session.tag)
        yield from result.extended(correlator, wanted, numbers, modseq, by_uid=by_uid)
    if wanted is not None and wanted.updates:
        kept = partial(Context, session.tag, criterion, uids, by_uid=by_uid, items=wanted.items)
        context = yield Work(kept)
        yield session.changes.begin_context(context)
    if criterion.cost is Cost.BODY and view.folder.options.fulltext:
        from courier.maildir import fulltext_builder  # which loads SQLite: few want it

        yield Work(partial(fulltext_builder.start_if_worth, view.folder))
    return Ok("SEARCH done.")

"""SORT and UID SORT. RFC 5256 3, RFC 5957, RFC 5267, RFC 7162 3.1.9."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from courier.process.request import Work
from imapd import keys, matching, order, result, search_program
from imapd.completion import CommandFailed, No, Ok
from imapd.contexts import Context
from imapd.request import Handling
from imapd.wire.parser import Parser

if TYPE_CHECKING:
    from imapd.session import Session

DISABLED = No("This command is disabled by the system administrator.")


def sort(session: Session, arguments: Parser) -> Handling:
    return _sort(session, arguments, by_uid=False)


def uid_sort(session: Session, arguments: Parser) -> Handling:
    return _sort(session, arguments, by_uid=True)


def _sort(session: Session, arguments: Parser, *, by_uid: bool) -> Handling:
    if session.settings.disable_thread_sort:
        raise CommandFailed(DISABLED)
    arguments.sp()
    wanted = result.wanted(arguments)
    program = order.read(arguments)
    arguments.sp()
    criterion = yield from search_program.read(session, arguments, wanted, charset_first=True)

    view = session.selected
    yield from session.message_limit.check_sorted(criterion, view, wanted)
    found = yield from matching.find(criterion, view)
    numbers = result.numbers(view, found, by_uid=by_uid)
    columns = yield from keys.columns(view, found, [key.name for key in program])
    places = yield Work(partial(order.sort, program, columns, len(numbers)))

    def uids_in_order() -> list[int]:
        uids = numbers if by_uid else result.numbers(view, found, by_uid=True)
        return [uids[place] for place in places]

    modseq = 0
    if criterion.asks_modseq:
        yield session.changes.need_modseqs()
        modseq = result.highest(view, wanted, found, uids_in_order())
    if wanted is None:
        yield from result.listed(b"SORT", map(numbers.__getitem__, places), modseq)
        return Ok("SORT done.")
    if wanted.saves:
        view.saved = yield Work(partial(result.saved, wanted, uids_in_order()))
    results = [numbers[place] for place in places]
    correlator = result.correlator(session.tag)
    yield from result.extended(correlator, wanted, results, modseq, by_uid=by_uid)
    if wanted.updates:
        kept = partial(
            Context,
            session.tag,
            criterion,
            uids_in_order(),
            program,
            by_uid=by_uid,
            items=wanted.items,
        )
        context = yield Work(kept)
        yield session.changes.begin_context(context)
    return Ok("SORT done.")

"""SEARCH and UID SEARCH. RFC 9051 6.4.4, RFC 3501 6.4.4."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from courier import log
from courier.maildir.view import View
from courier.process.request import Work
from imapd import criteria
from imapd.completion import Ok
from imapd.criteria import Cost, Criterion
from imapd.request import Handling
from imapd.wire.parser import Parser

if TYPE_CHECKING:
    from imapd.session import Session

#: Messages tested before others get their turn, by the cost of the search.
_SLICES = {Cost.COLUMNS: 5_000, Cost.FILE_TIMES: 200, Cost.HEADER: 20, Cost.BODY: 5}


def search(session: Session, arguments: Parser) -> Handling:
    return _search(session, arguments, by_uid=False)


def uid_search(session: Session, arguments: Parser) -> Handling:
    return _search(session, arguments, by_uid=True)


def _search(session: Session, arguments: Parser, *, by_uid: bool) -> Handling:
    arguments.sp()
    criterion = criteria.read(arguments, utf8=session.utf8)

    view = session.selected
    found: list[int] = []
    step = _SLICES[criterion.cost]
    for first in range(1, len(view.uids) + 1, step):
        last = min(first + step - 1, len(view.uids))
        found += yield Work(partial(_matching, criterion, view, first, last))
        yield b""
    numbers = (view.uids[seq - 1] for seq in found) if by_uid else found
    yield b"* SEARCH" + b"".join([b" %d" % number for number in numbers]) + b"\r\n"
    return Ok("SEARCH done.")


def _matching(criterion: Criterion, view: View, first: int, last: int) -> list[int]:
    """Give the matching sequence numbers from ``first`` to ``last``."""
    found = []
    for seq in range(first, last + 1):
        try:
            if criteria.matches(criterion, view, seq):
                found.append(seq)
        except OSError as error:
            log.error("cannot search message", view.folder.path, error)
    return found

"""A search program, read as this session has to: of SEARCH, SORT, THREAD and ESEARCH (RFC 9051 6.4.4)."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from typing import TYPE_CHECKING, Any

from courier.maildir.annotations import Annotations
from courier.maildir.numberset import NumberSet
from courier.process.request import Work
from imapd import annotation, criteria
from imapd.completion import CommandFailed, No
from imapd.criteria import Terms
from imapd.criterion import Criterion
from imapd.request import Step
from imapd.result import Wanted
from imapd.wire.parser import Parser

if TYPE_CHECKING:
    from imapd.session import Session


def read(
    session: Session,
    arguments: Parser,
    wanted: Wanted | None = None,
    *,
    charset_first: bool = False,
) -> Generator[Step, Any, Criterion]:
    """Read a search program to the command's end, and prepare the session for what it asks.

    Args:
        wanted: the result options.
        charset_first: a character set is named always, as in SORT and THREAD.

    Raises:
        ParseError: it is malformed.
        CommandFailed: it can't be searched for, or the tag is that of a context.
        OSError: the account's filters can't be read.
    """
    yield from session.changes.tell_known()
    updates = wanted is not None and wanted.updates
    if updates:
        session.changes.check_tag()
    filters: Annotations = {}
    if arguments.mentions(b"FILTER"):
        filters = yield Work(partial(annotation.read, session, None))
    terms = Terms(
        utf8=session.accepts_utf8,
        held=session.view if updates else None,
        uid_only=session.changes.enabled.uid_only,
        filters=filters,
    )
    try:
        found = criteria.read(arguments, terms, charset_first=charset_first)
    except CommandFailed as failure:
        saves = wanted is not None and wanted.saves
        if saves and session.view is not None and isinstance(failure.completion, No):
            session.view.saved = NumberSet()  # RFC 5182 2.1
        raise
    if found.names_numbers and session.view is not None:
        session.changes.keep_numbers()
    return found

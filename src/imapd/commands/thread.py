"""THREAD and UID THREAD. RFC 5256 3."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from imapd import keys, matching, result, search_program, threads
from imapd.commands.sort import DISABLED
from imapd.completion import CommandFailed, Ok
from imapd.request import Handling
from imapd.threads import Forest, Messages
from imapd.wire.parser import Parser

if TYPE_CHECKING:
    from imapd.session import Session

_ALGORITHMS: Mapping[str, Callable[[Messages], Forest]] = {
    "ORDEREDSUBJECT": threads.ordered_subject,
    "REFERENCES": threads.references,
    "REFS": threads.refs,
}


def thread(session: Session, arguments: Parser) -> Handling:
    return _thread(session, arguments, by_uid=False)


def uid_thread(session: Session, arguments: Parser) -> Handling:
    return _thread(session, arguments, by_uid=True)


def _thread(session: Session, arguments: Parser, *, by_uid: bool) -> Handling:
    if session.settings.disable_thread_sort:
        raise CommandFailed(DISABLED)
    arguments.sp()
    # Courier: the algorithm may be quoted.
    name = arguments.astring().decode("latin-1").upper()
    algorithm = _ALGORITHMS.get(name)
    if algorithm is None:
        raise arguments.fail("thread-alg")
    arguments.sp()
    criterion = yield from search_program.read(session, arguments, charset_first=True)

    view = session.selected
    yield from session.message_limit.check_sorted(criterion, view)
    if criterion.asks_modseq:
        yield session.changes.need_modseqs()
    found = yield from matching.find(criterion, view)
    numbers = result.numbers(view, found, by_uid=by_uid)
    template, order = yield from keys.threading(view, found, name, algorithm)
    yield from result.pieces(_written(template, order, numbers))
    return Ok("THREAD done.")


def _written(template: bytes, order: Sequence[int], numbers: Sequence[int]) -> Iterator[bytes]:
    yield b"* THREAD " if order else b"* THREAD"
    yield from threads.fill(template, order, numbers)
    yield b"\r\n"

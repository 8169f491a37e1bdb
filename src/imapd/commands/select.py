"""SELECT and EXAMINE: open a mailbox. RFC 9051 6.3.2 and 6.3.3, RFC 3501 6.3.1 and 6.3.2, RFC 7162."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from courier import log
from courier.maildir import mailbox_id
from courier.maildir.filename import Flag
from courier.maildir.numberset import NumberSet
from courier.maildir.view import View
from courier.process.request import Work
from imapd import mailbox, modseqs, names, updates
from imapd.commands.list import announced
from imapd.completion import No, Ok, code_of
from imapd.request import Handling, Step
from imapd.wire.parser import Parser, SequenceSet

if TYPE_CHECKING:
    from imapd.session import Session

_UNSEEN = re.compile(b"[" + re.escape(bytes(f for f in range(32) if not f & Flag.SEEN)) + b"]")


def select(session: Session, arguments: Parser) -> Handling:
    return _open(session, arguments, read_only=False)


def examine(session: Session, arguments: Parser) -> Handling:
    return _open(session, arguments, read_only=True)


def _open(session: Session, arguments: Parser, *, read_only: bool) -> Handling:
    try:
        given: str | None = mailbox.supplied(session, arguments)
    except names.InvalidName:
        given = None
    parameters = _parameters(session, arguments)
    arguments.end()

    if session.view is not None and session.settings.extensions:
        yield b"* OK [CLOSED] Ok\r\n"  # RFC 7162 3.2.11
    yield from session.leave()  # also if the other one can't be opened
    if given is None:
        raise names.InvalidName
    found = mailbox.existing(session, mailbox.settled(session, given), "SELECT/EXAMINE", "r")
    directory = found.directory
    read_only = read_only or not found.may("ieswt")
    try:
        view = View(mailbox.opened(session, found, subscribe=True), read_only=read_only)
        if not view.refresh_at_once():
            yield Work(view.refresh)
        if view.folder.is_void:  # renumbered since it was last open: this client was told nothing
            view = View(mailbox.opened(session, found, subscribe=True), read_only=read_only)
            yield Work(view.refresh)
    except OSError as error:
        log.error("cannot open folder", directory, error)
        return No("Unable to open this mailbox.", code_of(error))
    view.read_only = read_only or not view.folder.is_writable
    view.update(expunge=True)
    if parameters.modseqs:
        session.changes.use_modseqs()  # before the mailbox counts as selected: the number comes below
    session.select(found, view)

    identifier = ""
    if session.settings.extensions:
        identifier = mailbox_id.known(view.folder) or (
            yield Work(partial(mailbox_id.of, view.folder))
        )
    yield b"".join(_told(session, view, found.rights, identifier))
    if session.rev2:  # RFC 9051 6.3.2; OLDNAME also of INBOX in another spelling, as in 8
        old = None if given == found.name else given
        yield (yield Work(partial(announced, session, found, old)))
    if parameters.known is not None:
        yield from _resynchronise(session, parameters.known)
    return Ok("Ok", "READ-ONLY" if view.read_only else "READ-WRITE")


def _told(session: Session, view: View, rights: str, identifier: str) -> Iterator[bytes]:
    """Give what a client is told of a mailbox that it has selected."""
    yield updates.flags(view, session.settings, rights)
    yield updates.size(view)
    yield from _warnings(session, view)
    yield b"* OK [UIDVALIDITY %d] Ok\r\n" % view.folder.uidvalidity
    # Courier sends neither of these; RFC 3501 6.3.1 requires them.
    yield b"* OK [UIDNEXT %d] Ok\r\n" % view.folder.uidnext
    if session.settings.extensions:
        yield updates.highest(view)
        yield f"* OK [MAILBOXID ({identifier})] Ok\r\n".encode()  # RFC 8474 4.2
    unseen = _UNSEEN.search(view.flags)
    # RFC 9051 appendix E 11, RFC 9586 3.6: not for a client that does not go by such numbers
    if unseen is not None and not (session.rev2 or session.changes.enabled.uid_only):
        yield b"* OK [UNSEEN %d] Ok\r\n" % (unseen.start() + 1)
    yield updates.rights(rights)


def _warnings(session: Session, view: View) -> Iterator[bytes]:
    """Say what a full disk keeps from the client, who can make room (RFC 9051 7.1.2)."""
    if not view.folder.is_sticky:  # RFC 9051 7.1
        code = b"[UIDNOTSTICKY] " if session.settings.extensions else b""
        yield (b"* NO " + code + b"It cannot be written down which UIDs are given.\r\n")
    if view.folder.hides_messages and view.folder.is_writable:
        code = b"[OVERQUOTA] " if session.settings.extensions else b""
        yield (
            b"* NO " + code + b"There is no room on the disk to take new messages; remove some.\r\n"
        )


# -- resynchronisation (RFC 7162 3.2.5) ----------------------------------------------------------

#: FETCH responses that are written before others get their turn.
_SLICE = 500


@dataclass(frozen=True, slots=True)
class _Known:
    """What a client knows of the mailbox from an earlier session."""

    uidvalidity: int
    modseq: int
    uids: SequenceSet | None  # None: all there were
    sample: tuple[SequenceSet, SequenceSet] | None  # of messages: sequence numbers and UIDs


@dataclass(frozen=True, slots=True)
class _Parameters:
    modseqs: bool = False
    known: _Known | None = None


def _parameters(session: Session, arguments: Parser) -> _Parameters:
    """Read ``[SP "(" select-param *(SP select-param) ")"]`` (RFC 4466 2.1).

    Raises:
        ParseError: not one of ours, or QRESYNC before it was enabled.
    """
    if arguments.at_end():
        return _Parameters()
    arguments.sp()
    found: dict[str, _Known | None] = {}

    def parameter() -> None:
        word = arguments.word()
        if word in found or not (
            word == "CONDSTORE" or (word == "QRESYNC" and session.changes.enabled.vanished)
        ):
            raise arguments.fail("select-param")
        found[word] = None
        if word == "QRESYNC":
            arguments.sp()
            found[word] = known = _known(arguments)
            if known.sample is not None:
                session.changes.refuse_numbers()  # RFC 9586 3.7

    arguments.parenthesised(parameter)
    return _Parameters(True, found.get("QRESYNC"))


def _known(arguments: Parser) -> _Known:
    """Read ``"(" uidvalidity SP mod-sequence-value [SP known-uids] [SP seq-match-data] ")"``."""
    arguments.byte(b"(")
    uidvalidity = arguments.nz_number()
    arguments.sp()
    modseq = arguments.mod_sequence()
    uids = sample = None
    if not arguments.at(b")"):
        arguments.sp()
        if not arguments.at(b"("):
            uids = _numbers(arguments)
            if not arguments.at(b")"):
                arguments.sp()
        if arguments.at(b"("):
            arguments.byte(b"(")
            seqs = _numbers(arguments)
            arguments.sp()
            sample = (seqs, _numbers(arguments))
            arguments.byte(b")")
    arguments.byte(b")")
    return _Known(uidvalidity, modseq, uids, sample)


def _numbers(arguments: Parser) -> SequenceSet:
    """``sequence-set`` in which there is no ``*``."""
    found = arguments.sequence_set()
    if found.is_saved or any(None in pair for pair in found.ranges):
        raise arguments.fail("known-uids")
    return found


def _resynchronise(session: Session, known: _Known) -> Generator[Step, Any, None]:
    """Tell what is gone and what has other flags since then, if it was this mailbox."""
    view = session.selected
    if known.uidvalidity != view.folder.uidvalidity or not view.folder.keeps_modseqs:
        return
    among = NumberSet([(1, view.folder.uidnext - 1)] if view.folder.uidnext > 1 else ())
    if known.uids is not None:
        among = modseqs.uids(view, known.uids)
    # A number that was never given (the index was lost, and the clock set back) says nothing.
    since = known.modseq if known.modseq <= view.highest else 0
    gone = among
    if known.sample is not None:
        known_to: int = yield Work(partial(modseqs.in_step, view, *known.sample))
        gone = among.above(known_to)
    yield from modseqs.earlier((yield Work(partial(modseqs.vanished, view, gone, since))))
    seqs = NumberSet((begin + 1, end) for begin, end in among.slices(view.uids))
    changed = yield Work(partial(modseqs.changed, view, seqs, since))
    waiting: list[bytes] = []
    for seq in mailbox.sequence_numbers(changed):
        waiting.append(updates.fetch_flags(view, seq, session.changes.form))
        if len(waiting) >= _SLICE:
            yield b"".join(waiting)
            waiting = []
    yield b"".join(waiting)

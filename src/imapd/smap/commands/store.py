"""STORE: change flags, keywords and the internal date."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from courier import log
from courier.maildir import redating
from courier.maildir.folder import FlagChange, KeywordChange
from courier.maildir.view import View
from courier.message import date as message_date
from courier.process.request import Work
from imapd import acl_letters
from imapd.mailbox import sequence_numbers
from imapd.smap import reports
from imapd.smap.refusal import failed
from imapd.smap.words import InvalidSet, Words, within

if TYPE_CHECKING:
    from imapd.smap.session import Session

_FAILED = "Cannot update folder status"
#: Messages changed in one go; others get their turn in between.
_SLICE = 100
_UNSAFE = re.compile(r'[ (){%*"\\\]]')
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def store(session: Session, words: Words) -> Generator[Any, Any, str]:
    view = session.selected
    try:
        wanted = within(words.message_set(), len(view.uids))
    except InvalidSet as error:
        raise failed(_FAILED) from error
    for word in words.rest():
        name, equals, value = word.partition("=")
        sign, name = (name[0], name[1:]) if name[:1] in ("+", "-") else ("", name)
        change = _CHANGES.get(name.upper()) if equals else None
        if change is None:
            continue
        try:
            for seqs in _batches(sequence_numbers(wanted)):
                yield from change(session, seqs, sign, value)
        except OSError as error:
            log.error("cannot change messages", view.folder.path, error)
            raise failed(_FAILED, error) from error
    return "Folder status updated"


def _batches(seqs: Iterator[int]) -> Iterator[list[int]]:
    while batch := list(islice(seqs, _SLICE)):
        yield batch


def _change_flags(
    session: Session, seqs: Sequence[int], sign: str, value: str
) -> Generator[Any, Any, None]:
    """Change what there are rights for; the answer is what the flags have come to."""
    view = session.selected
    bits = flags(value.upper())
    wanted = FlagChange(add=bits if sign != "-" else 0, remove=bits if sign == "-" else 0)
    if not sign:
        wanted = FlagChange(add=bits, remove=~0)
    settable = 0 if view.read_only else acl_letters.flags(session.rights)
    permitted = FlagChange(wanted.add & settable, wanted.remove & settable)
    if permitted.add or permitted.remove:
        uids = [view.uids[seq - 1] for seq in seqs]
        done = yield Work(partial(session.charged(view.folder).change_flags, uids, permitted))
        before = view.flags
        view.told(done, {})
        if view.flags != before:
            session.note_change()
    yield b"".join(
        [b"* FETCH %d FLAGS=%b\n" % (seq, reports.FLAG_LISTS[view.flags[seq - 1]]) for seq in seqs]
    )


def _change_keywords(
    session: Session, seqs: Sequence[int], sign: str, value: str
) -> Generator[Any, Any, None]:
    if not session.settings.keywords:
        return
    view = session.selected
    words = keywords(value)
    if not sign:
        change = KeywordChange(add=words, clear=True)
    else:
        change = KeywordChange(add=words) if sign == "+" else KeywordChange(remove=words)
    if "w" in session.rights and not view.read_only:
        uids = [view.uids[seq - 1] for seq in seqs]
        numbers = yield Work(partial(view.folder.change_keywords, uids, change))
        before = view.keywords
        view.told({}, numbers)
        if view.keywords != before:
            session.note_change()
    yield b"".join(
        [b"* FETCH %d %b\n" % (seq, reports.keyword_list(view.keyword_words(seq))) for seq in seqs]
    )


def _change_date(
    session: Session, seqs: Sequence[int], sign: str, value: str
) -> Generator[Any, Any, None]:
    view = session.selected
    moment = date(value)
    if moment is not None and not sign and "w" in session.rights and not view.read_only:
        yield Work(partial(_set_dates, view, [view.uids[seq - 1] for seq in seqs], moment))


def _set_dates(view: View, uids: Sequence[int], moment: int) -> None:
    for uid in uids:
        redating.set_date(view.folder, uid, moment)


_CHANGES = {"FLAGS": _change_flags, "KEYWORDS": _change_keywords, "INTERNALDATE": _change_date}


# -- values, which ADD has too -------------------------------------------------------------------


def flags(value: str) -> int:
    """Read a list of flags. Courier: what is none is passed over."""
    bits = 0
    for name in value.split(","):
        bits |= reports.FLAGS.get(name, 0)
    return bits


def keywords(value: str) -> tuple[str, ...]:
    """Read a list of keywords.

    Courier takes any character but commas and controls, and its IMAP sessions read some as ``_``, which they write
    to the files, too. Here they are so from the beginning: both protocols know a keyword by one name.
    """
    words = (_UNSAFE.sub("_", _CONTROL.sub("", word)) for word in value.split(","))
    spelled: dict[str, str] = {}
    for word in filter(None, words):
        spelled.setdefault(word.lower(), word)
    return tuple(spelled.values())


def date(value: str) -> int | None:
    """Read an RFC 822 date, in seconds since 1970; None if it is none."""
    found = message_date.parse(value.encode("utf-8", "surrogateescape"))
    return None if found is None else found.timestamp

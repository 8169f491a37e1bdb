"""STORE and UID STORE: change flags and keywords. RFC 9051 6.4.6, RFC 3501 6.4.6, RFC 7162 3.1.3."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from courier.maildir import keywords as keyword_files
from courier.maildir.charged import Charged
from courier.maildir.filename import Flag
from courier.maildir.folder import FlagChange, KeywordChange
from courier.maildir.numberset import NumberSet
from courier.maildir.quota import OverQuota
from courier.maildir.view import View
from courier.process.request import Work
from imapd import acl_letters, mailbox, updates
from imapd.completion import No, Ok, Violation
from imapd.request import Handling, Step
from imapd.wire.parser import Parser

if TYPE_CHECKING:
    from imapd.session import Session

#: Messages changed under one lock; others get their turn in between. A keyword set is a file that may be synced.
_SLICE = 500
_SLICE_WITH_KEYWORDS = 100
_SYSTEM = {
    "\\draft": Flag.DRAFT,
    "\\flagged": Flag.FLAGGED,
    "\\answered": Flag.ANSWERED,
    "\\seen": Flag.SEEN,
    "\\deleted": Flag.DELETED,
}


@dataclass(frozen=True, slots=True)
class _Store:
    """``store-att-flags``, read."""

    flags: FlagChange
    keywords: KeywordChange | None  # None: they stay
    silent: bool
    expected: FlagChange  # what it would be if every right were held


def store(session: Session, arguments: Parser) -> Handling:
    return _store(session, arguments, by_uid=False)


def uid_store(session: Session, arguments: Parser) -> Handling:
    return _store(session, arguments, by_uid=True)


def _store(session: Session, arguments: Parser, *, by_uid: bool) -> Handling:
    arguments.sp()
    which = arguments.sequence_set()
    arguments.sp()
    until = _unchanged_since(arguments)
    change = _change(session, arguments, until)
    arguments.end()

    view = session.selected
    if view.read_only:
        return No("Current box is selected READ-ONLY.", "READ-ONLY")
    wanted = mailbox.messages(view, which, by_uid=by_uid)
    seqs = session.message_limit.in_order(session.message_limit.newest(view, wanted))
    if until is not None:
        yield session.changes.need_modseqs()
        yield from session.changes.refresh()
    gone = False
    modified: list[int] = []  # UIDs or sequence numbers
    size = _SLICE if change.keywords is None else _SLICE_WITH_KEYWORDS
    while batch := list(islice(seqs, size)):
        uids = [view.uids[seq - 1] for seq in batch]
        done, has_room = yield from _change_flags(session.charged(view.folder), uids, change.flags)
        numbers: dict[int, int] = {}
        if change.keywords is not None:
            numbers = yield Work(partial(view.folder.change_keywords, done, change.keywords))
            done = {uid: flags for uid, flags in done.items() if uid in numbers}
        left = [seq for seq in batch if view.uids[seq - 1] not in done]
        kept = [seq for seq in left if not view.is_gone(view.uids[seq - 1])]
        gone = gone or len(kept) < len(left)
        modified += [view.uids[seq - 1] if by_uid else seq for seq in kept if until is not None]
        yield _tell(session, batch, done, numbers, change, by_uid=by_uid)
        if not has_room:
            return session.over_quota()
    if modified:
        return Ok("STORE completed.", f"MODIFIED {NumberSet.of(modified)}")
    if gone:  # RFC 5530: the client will want to issue NOOP
        return Ok("STORE completed.", "EXPUNGEISSUED")
    return Ok("STORE completed.")


def _change_flags(
    charged: Charged, uids: Sequence[int], change: FlagChange
) -> Generator[Step, Any, tuple[dict[int, int], bool]]:
    """Change flags; tell which were changed, and False if the quota had no room for more."""
    try:
        return (yield Work(partial(charged.change_flags, uids, change))), True
    except OverQuota:
        pass
    # Courier: without \Deleted messages count again, and are taken as long as there is room.
    done: dict[int, int] = {}
    for uid in uids:
        try:
            done |= yield Work(partial(charged.change_flags, [uid], change))
        except OverQuota:
            return done, False
    return done, True


def _tell(
    session: Session,
    batch: Sequence[int],
    done: dict[int, int],
    numbers: dict[int, int],
    change: _Store,
    *,
    by_uid: bool,
) -> bytes:
    view = session.selected
    if change.silent:
        # What the client expects counts as told; where others interfered, an update tells more.
        expected = {
            uid: change.expected.apply(view.flags[seq - 1])
            for seq in batch
            if (uid := view.uids[seq - 1]) in done
        }
        view.told(expected, numbers)
        if not session.changes.form.modseqs:
            return b""
        return b"".join(
            updates.fetch_modseq(view, seq, session.changes.form)
            for seq in batch
            if view.uids[seq - 1] in done
        )
    view.told(done, numbers)
    news = updates.flags(view, session.settings, session.rights) if view.learn_keywords() else b""
    return news + b"".join(
        updates.fetch_flags(view, seq, session.changes.form, with_uid=by_uid)
        for seq in batch
        if view.uids[seq - 1] in done
    )


def _unchanged_since(arguments: Parser) -> int | None:
    """Read ``["(" "UNCHANGEDSINCE" SP mod-sequence-valzer ")" SP]``."""
    if not arguments.at(b"("):
        return None

    def modifier() -> int:
        if arguments.word() != "UNCHANGEDSINCE":
            raise arguments.fail("store-modifier")
        arguments.sp()
        return arguments.mod_sequence()

    found = arguments.parenthesised(modifier)
    if len(found) > 1:
        raise arguments.fail("store-modifier")
    arguments.sp()
    return found[0]


def _change(session: Session, arguments: Parser, until: int | None) -> _Store:
    """Read ``store-att-flags``. ``until``: what changed after this MODSEQ is to stay."""
    sign = arguments.one_of(b"+", b"-")
    word = arguments.word()
    if word not in ("FLAGS", "FLAGS.SILENT"):
        raise arguments.fail("store-att-flags")
    arguments.sp()
    words = arguments.flag_list() if arguments.at(b"(") else arguments.flags()
    bits, names = flags(words)
    if not session.settings.keywords:
        names = ()  # RFC 9051 7.1, PERMANENTFLAGS: passed over. Courier says NO.
    silent = word == "FLAGS.SILENT"
    keywords = None
    if sign == b"+":
        expected = FlagChange(add=bits)
        keywords = KeywordChange(add=names) if names else None
    elif sign == b"-":
        expected = FlagChange(remove=bits)
        keywords = KeywordChange(remove=names) if names else None
    else:
        expected = FlagChange(add=bits, remove=~0)
        keywords = KeywordChange(add=names, clear=True) if session.settings.keywords else None
    # RFC 4314 4: what no right is held for stays as it is, and the command succeeds.
    settable = acl_letters.flags(session.rights)
    permitted = FlagChange(expected.add & settable, expected.remove & settable, until)
    if keywords is not None and not bits and sign:
        # Nothing else changes: only here it is seen whether another session was first.
        keywords = replace(keywords, until=until)
    return _Store(permitted, keywords if "w" in session.rights else None, silent, expected)


def flags(words: Sequence[str]) -> tuple[int, tuple[str, ...]]:
    """Tell system flags from keywords.

    Raises:
        Violation: ``\\Recent``, which is no flag of clients, or a word that can be no keyword.
    """
    bits = 0
    names: dict[str, str] = {}
    for word in words:
        if word.startswith("\\"):
            if word.lower() == "\\recent":
                raise Violation
            # RFC 9051 7.1, PERMANENTFLAGS: a flag that is not known is passed over. Courier refuses it.
            bits |= _SYSTEM.get(word.lower(), 0)
        elif keyword_files.valid(word):
            names.setdefault(word.lower(), word)
        else:
            raise Violation
    return bits, tuple(names.values())


def mark_seen(view: View, uids: Sequence[int]) -> dict[int, int]:
    """Set ``\\Seen`` and return the flags, by UID, of the messages that did not have it."""
    unseen = [
        uid
        for uid in uids
        if (seq := view.seq(uid)) is not None and not view.flags[seq - 1] & Flag.SEEN
    ]
    done = view.folder.change_flags(unseen, FlagChange(add=Flag.SEEN)) if unseen else {}
    view.told(done, {})
    return done

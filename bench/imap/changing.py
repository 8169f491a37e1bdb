"""Steps that change the folder, by a session or from outside, and leave it as it was."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from bench.connection import NoAnswer
from bench.imap import rows
from bench.imap.contender import Contender
from bench.imap.maildirs import messages_to_append
from bench.imap.run import Run, settle
from bench.imap.session import Session

_COPIES = "INBOX.copies"
GROWTH = 10  # thousands of messages that are appended


def since(run: Run, number: int) -> None:
    """What a new process and NOOP have to do after flags were changed: by a session, from outside.

    The session before the one that changes flags has seen everything: what it would have to find out first
    would else be found out by that one, which Dovecot's next is then spared.
    """
    open_once(run, number)
    settle()
    for contender in run.in_turn(number):
        with run.session(contender) as session:
            run.prepare(session)
            _change_own_flag(run, session, 5, number)
    settle()
    for contender in run.in_turn(number):
        with run.session(contender) as session:
            run.select(session, contender, rows.SINCE, rows.AFTER_OWN)
    for foreigner in run.foreigners.values():
        foreigner.change_flags()
    settle()
    for contender in run.in_turn(number):
        with run.session(contender) as session:
            run.select(session, contender, rows.SINCE, rows.AFTER_FOREIGN)
    _noop(run, number)


def _change_own_flag(run: Run, session: Session, seq: int, number: int) -> None:
    """Set a flag or take it away, so that every round changes something."""
    sign = "-" if number % 2 else "+"
    session.timed(f"STORE {seq} {sign}FLAGS (\\Draft)", run.limit_s)


def _noop(run: Run, number: int) -> None:
    """NOOP in sessions that stay open while the folder changes, of all servers at once."""
    opened: list[tuple[Contender, Session]] = []
    try:
        for contender in run.in_turn(number):
            session = contender.open()
            opened.append((contender, session))
            with run.surviving(contender, session):
                run.prepare(session)
                _change_own_flag(run, session, 6, number)
                _take_noop(run, session, contender, rows.NOOP_OWN)
        settle()
        for foreigner in run.foreigners.values():
            foreigner.change_flags()
        for contender, session in opened:
            with run.surviving(contender, session):
                _take_noop(run, session, contender, rows.NOOP_FOREIGN, b" FETCH (")
    finally:
        for _, session in opened:
            session.close()


def _take_noop(
    run: Run, session: Session, contender: Contender, title: str, told: bytes = b""
) -> None:
    sample = run.command(rows.SINCE, title, contender, session, "NOOP")
    if sample and told not in sample.end:
        run.figures.cell(rows.SINCE, title, contender.name).outcome = "told nothing"


def open_once(run: Run, number: int = 0) -> None:
    """Let every server know all messages, before it is told to change some."""
    for contender in run.in_turn(number):
        with run.session(contender) as session:
            run.prepare(session)


def changes(run: Run, number: int, messages: Sequence[bytes], *, synced: bool) -> None:
    """APPEND, COPY, STORE and EXPUNGE of many messages, one after the other, in one process."""
    section = rows.CHANGED if synced else rows.UNSYNCED
    opener = Contender.open if synced else Contender.open_unsynced
    for contender in run.in_turn(number):
        if synced and not contender.can_sync:
            continue
        try:
            with run.session(contender, opener) as session:
                with contextlib.suppress(NoAnswer):
                    session.timed(f"CREATE {_COPIES}", run.limit_s)
                _append_and_expunge(run, session, contender, section, messages)
                _copy_and_store(run, session, contender, section)
        finally:
            run.yard.purge(contender.maildir)


def _append_and_expunge(
    run: Run, session: Session, contender: Contender, section: str, messages: Sequence[bytes]
) -> None:
    """APPEND to a folder that is not selected, as clients do; then select and expunge what was appended."""
    name, limit_s = contender.name, run.limit_s
    appended = run.take(
        section, rows.APPEND, name, lambda: session.append("INBOX", messages, limit_s)
    )
    run.prepare(session)
    if not appended:
        run.figures.give_up(section, rows.EXPUNGE, name, "not measured")
        return
    session.timed(f"STORE {run.size + 1}:* +FLAGS (\\Deleted)", limit_s)
    run.yard.keep_appended(contender.maildir)
    run.command(section, rows.EXPUNGE, contender, session, "EXPUNGE")


def _copy_and_store(run: Run, session: Session, contender: Contender, section: str) -> None:
    some = f"1:{rows.CHANGE}"
    run.command(section, rows.COPY, contender, session, f"COPY {some} {_COPIES}")
    run.command(section, rows.STORE, contender, session, f"STORE {some} +FLAGS (\\Draft)")
    session.timed(f"STORE {some} -FLAGS (\\Draft)", run.limit_s)


def growth(run: Run) -> None:
    """Append thousand after thousand to a large folder: does the last take as long as the first?"""
    messages = messages_to_append(1000)
    open_once(run)
    for contender in run.contenders:
        with run.session(contender) as session:
            for thousand in range(1, GROWTH + 1):
                if not _append(run, session, contender, f"thousand {thousand}", messages):
                    break
        run.yard.purge(contender.maildir)


def _append(
    run: Run, session: Session, contender: Contender, title: str, messages: Sequence[bytes]
) -> bool:
    return bool(
        run.take(
            rows.GROWTH,
            title,
            contender.name,
            lambda: session.append("INBOX", messages, run.limit_s),
        )
    )

"""IDLE: tell changes as they happen. RFC 9051 6.3.13, RFC 2177."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from courier import log
from courier.maildir.linked_folder import landing_directory
from courier.maildir.watcher import WatchGroup
from courier.process.request import Wake
from imapd.completion import Farewell, Ok, Violation
from imapd.request import Handling, Idle, Step
from imapd.wire.parser import Parser

if TYPE_CHECKING:
    from imapd.session import Session

_LIMIT_S = 1800.0


def idle(session: Session, arguments: Parser) -> Handling:
    arguments.end()
    deadline = time.monotonic() + _LIMIT_S
    watching = _watch(session)
    # Courier: by this word administrators see that changes are told as they happen, not now and then.
    is_watched = session.view is None or watching is not None or session.notifier.is_active
    enhanced = b"ENHANCED " if session.settings.enhanced_idle and is_watched else b""
    try:
        yield b"+ entering " + enhanced + b"idle mode\r\n"
        while True:
            if watching is not None:
                watching.take()
            yield from session.notifier.tell()
            if session.view is not None:  # after the watch was armed, so that nothing is missed
                yield from session.changes.refresh()
                yield from session.changes.tell_all()
            line = yield from _line(session, watching, deadline)
            if line is None:
                continue
            # Courier: whatever follows DONE on its line is ignored.
            if line.split(None, 1)[:1] and line.split(None, 1)[0].upper() == b"DONE":
                break
            raise Violation
    finally:
        if watching is not None:
            watching.close()
    if session.view is not None:
        yield from session.changes.refresh()
    return Ok("IDLE completed")


def _line(
    session: Session, watching: WatchGroup | None, deadline: float
) -> Generator[Step, Any, bytes | None]:
    """Wait for a line; None when it is time to look at the folder."""
    # Without a watch, which the system may refuse, the folder is looked at now and then.
    # So is one that is read through links, for one's own other sessions change these, and one on a
    # full disk, for nothing in it changes when there is room.
    notified = session.notifier.watch()
    is_blind = watching is None and notified is None
    polls = session.view is not None and (
        is_blind or session.is_linked or session.view.folder.hides_messages
    )
    poll_s = session.settings.idle_timeout if polls else _LIMIT_S
    poll_s = min(poll_s, session.notifier.timeout_s())
    if watching is not None and watching.changed:
        poll_s = 0.0  # it was noted while this session did not wait
    while True:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise Farewell("Disconnected for inactivity.", is_timeout=True)
        answer = yield Idle(min(poll_s, left_s), watching or notified)
        if isinstance(answer, Wake):
            return None
        if answer:
            return bytes(answer)


def _watch(session: Session) -> WatchGroup | None:
    # RFC 5465 4: what NOTIFY has asked for, and nothing else.
    if session.view is None or session.notifier.watch() is not None:
        return None
    watcher = session.store.watcher
    group = WatchGroup(watcher)
    try:
        group.add("selected", [watcher.watch(landing_directory(session.view.folder))])
        return group
    except OSError as error:
        log.recurring("cannot watch folder, polling instead", session.view.folder.path, error)
        return None

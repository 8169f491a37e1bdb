"""IDLE, and the RESUME that ends it."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from courier import log
from courier.maildir.watcher import WatchGroup
from courier.process.request import Wake
from imapd.completion import Farewell
from imapd.connection import INACTIVITY_S
from imapd.request import Idle
from imapd.smap.refusal import Refused
from imapd.smap.words import Words

if TYPE_CHECKING:
    from imapd.smap.session import Session


def idle(session: Session, words: Words) -> Generator[Any, Any, str]:
    deadline = time.monotonic() + INACTIVITY_S
    watching = _watch(session)
    try:
        if session.view is None:
            yield b"+OK Entering idle mode...\n"
        else:
            is_enhanced = session.settings.enhanced_idle and watching is not None
            yield b"+OK Entering " + (b"ENHANCED " if is_enhanced else b"") + b"idle mode\n"
        while True:
            if watching is not None:
                watching.take()
            yield from session.report()  # after the watch was armed, so that nothing is missed
            line = yield from _line(session, watching, deadline)
            if line is not None:
                break
    finally:
        if watching is not None:
            watching.close()
    if Words(line).take().upper() != "RESUME":
        raise Refused("RESUME is required to follow IDLE")
    return "Resumed..."


def _line(
    session: Session, watching: WatchGroup | None, deadline: float
) -> Generator[Any, Any, bytes | None]:
    """Wait for a line; None when it is time to look at the folder."""
    # Without a watch, which the system may refuse, the folder is looked at now and then.
    polls = session.view is not None and watching is None
    poll_s = session.settings.idle_timeout if polls else INACTIVITY_S
    if watching is not None and watching.changed:
        poll_s = 0.0  # it was noted while this session did not wait
    while True:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise Farewell("Disconnected for inactivity.", is_timeout=True)
        answer = yield Idle(min(poll_s, left_s), watching)
        if isinstance(answer, Wake):
            return None
        if answer:
            return bytes(answer)


def _watch(session: Session) -> WatchGroup | None:
    if session.view is None:
        return None
    path = session.view.folder.path
    group = WatchGroup(session.store.watcher)
    try:
        group.add("open", [session.store.watcher.watch(path)])
        return group
    except OSError as error:
        log.error("cannot watch folder, polling instead", path, error)
        return None

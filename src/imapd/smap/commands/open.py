"""OPEN, SOPEN, CLOSE: the folder that the other commands work on."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from typing import TYPE_CHECKING, Any

from courier import log
from courier.maildir.view import View
from courier.process.request import Work
from imapd import mailbox
from imapd.mailboxes import Mailbox
from imapd.smap import paths, reports, snapshots
from imapd.smap.paths import Path
from imapd.smap.refusal import failed, missing
from imapd.smap.snapshots import Snapshots
from imapd.smap.words import Words, quoted

if TYPE_CHECKING:
    from imapd.smap.session import Session

_FAILED = "Cannot open the folder"


def open_(session: Session, words: Words) -> Generator[Any, Any, str]:
    yield from session.leave()  # also if the other one can't be opened
    found = _found(session, words.list())
    view = yield from _opened(session, found)
    session.select(found, view)
    yield from _begin(view)
    return "Folder opened"


def sopen(session: Session, words: Words) -> Generator[Any, Any, str]:
    """Open a folder of which a client may know something, by a snapshot's ID."""
    yield from session.leave()
    name, path = words.take(), words.list()
    found = _found(session, path)
    view = yield from _opened(session, found)
    known = yield Work(partial(snapshots.restore, view, name))
    session.select(found, view)
    session.snapshots = known or Snapshots(view)
    if known is None:
        yield from _begin(view)
        return "Folder opened"
    yield b"* SNAPSHOTEXISTS %b\n" % quoted(name)
    yield from reports.changes(session)
    return "Folder updated"


def close(session: Session, words: Words) -> Generator[Any, Any, str]:
    yield from session.leave()
    return "Folder closed"


def _found(session: Session, path: Path) -> Mailbox:
    try:
        found = paths.find(session, path)
    except OSError as error:
        raise failed("Invalid folder", error) from error
    paths.require(found, "r")
    if not found.exists:
        raise failed(_FAILED, missing())
    return found


def _opened(session: Session, found: Mailbox) -> Generator[Any, Any, View]:
    """Open a folder and read it. Who can't change it leaves what lies in new/ where it is."""
    read_only = not found.may("ieswt")
    try:
        view = View(mailbox.opened(session, found), read_only=read_only)
        if not view.refresh_at_once():
            yield Work(view.refresh)
        if view.folder.is_void:  # renumbered since it was last open: this client was told nothing
            view = View(mailbox.opened(session, found), read_only=read_only)
            yield Work(view.refresh)
        yield Work(partial(snapshots.tidy, view.folder))
    except OSError as error:
        log.error("cannot open folder", found.directory, error)
        raise failed(_FAILED, error) from error
    return view


def _begin(view: View) -> Generator[Any, Any, None]:
    view.update(expunge=True)
    yield b"* EXISTS %d\n" % len(view.uids)

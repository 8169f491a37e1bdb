from __future__ import annotations

from pathlib import Path

import pytest

from courier.maildir.folder import FlagChange, Folder, KeywordChange, Options
from courier.maildir.view import Update, View
from imapd import settings, updates
from tests.imapd.conftest import Drive
from tests.imapd.responses import read
from tests.support.maildirs import deliver

SETTINGS = settings.from_environment({"IMAP_KEYWORDS": "1"})
FLAGGED, SEEN = 2, 8


@pytest.fixture
def view(maildir: Path) -> View:
    """Three messages that the client has been told of; the last came to new/, so it is recent."""
    deliver(maildir, b"one\n", number=1, flags="S")
    deliver(maildir, b"two\n", number=2, flags="")
    opened = View(Folder(str(maildir), Options(fsync=False)), read_only=False)
    opened.refresh()
    opened.recent = type(opened.recent)()
    deliver(maildir, b"three\n", number=3)
    opened.refresh()
    opened.update(expunge=True)
    return opened


def test_nothing_to_tell(view: View) -> None:
    assert updates.text(view, Update(), SETTINGS) == b""


def test_order(view: View, maildir: Path) -> None:
    """Courier's: EXPUNGE, FLAGS and PERMANENTFLAGS, EXISTS and RECENT, then changed flags."""
    folder = view.folder
    folder.remove([view.uids[0]], only_deleted=False)
    folder.change_flags([view.uids[1]], FlagChange(add=FLAGGED))
    folder.change_keywords([view.uids[2]], KeywordChange(add=("$New",)))
    deliver(maildir, b"four\n", number=4)
    view.refresh()

    told = updates.text(view, view.update(expunge=True), SETTINGS)

    assert told.decode().splitlines() == [
        "* 1 EXPUNGE",
        "* FLAGS ($New \\Draft \\Answered \\Flagged \\Deleted \\Seen \\Recent)",
        "* OK [PERMANENTFLAGS ($New \\* \\Draft \\Answered \\Flagged \\Deleted \\Seen)] Limited",
        "* 3 EXISTS",
        "* 2 RECENT",
        "* 1 FETCH (FLAGS (\\Flagged))",
        "* 2 FETCH (FLAGS (\\Recent $New))",
    ]
    read(told)


def test_expunges_are_told_one_after_the_other(view: View) -> None:
    """Each number is as it is after those before it (RFC 9051 7.5.1)."""
    view.folder.remove(list(view.uids), only_deleted=False)
    view.refresh()

    told = updates.text(view, view.update(expunge=True), SETTINGS)

    assert [r.number for r in read(told) if r.name == "EXPUNGE"] == [1, 1, 1]
    assert told.endswith(b"* 0 EXISTS\r\n* 0 RECENT\r\n")


def test_expunge_only_shows_when_it_may(view: View) -> None:
    """Until then numbers stay, and nothing is said of fewer messages."""
    view.folder.remove([view.uids[0]], only_deleted=False)
    view.refresh()

    assert updates.text(view, view.update(expunge=False), SETTINGS) == b""
    assert updates.text(view, view.update(expunge=True), SETTINGS) == (
        b"* 1 EXPUNGE\r\n* 2 EXISTS\r\n* 1 RECENT\r\n"
    )


def test_flags_where_keywords_are_off(view: View) -> None:
    """Then none can be added."""
    off = settings.from_environment({})

    assert b"\\*" not in updates.flags(view, off)


def test_flags_of_a_mailbox_that_is_read_only(view: View) -> None:
    """No flag can be changed for good."""
    view.read_only = True

    (flags, permanent) = read(updates.flags(view, SETTINGS))
    assert flags.name == "FLAGS"
    assert permanent.code == "PERMANENTFLAGS ()"


def test_keyword_of_another_program_that_is_no_flag(maildir: Path) -> None:
    """It is left out of every list; the mailbox can be used (no flag is beyond ASCII)."""
    base = deliver(maildir, b"one\n", number=1, flags="S")
    (maildir / "courierimapkeywords").mkdir()
    (maildir / "courierimapkeywords" / base).write_bytes(b"caf\xe9\n\xc3\xa9\nok\n")
    view = View(Folder(str(maildir)), read_only=False)
    view.refresh()
    view.update(expunge=True)

    (flags, _) = read(updates.flags(view, SETTINGS))
    assert flags.line.startswith("* FLAGS (ok \\Draft ")
    assert updates.fetch_flags(view, 1) == b"* 1 FETCH (FLAGS (\\Seen \\Recent ok))\r\n"


def test_fetch_flags_with_the_uid(view: View) -> None:
    uid = view.uids[2]

    assert updates.fetch_flags(view, 3, with_uid=True) == (
        b"* 3 FETCH (UID %d FLAGS (\\Recent))\r\n" % uid
    )


def test_message_that_becomes_recent_after_it_was_told(drive: Drive, maildir: Path) -> None:
    """Told as another session of the process has found it, then as this one claims it."""
    one, examining = drive(), drive()
    examining.session.store = one.session.store
    one.ask("s SELECT INBOX")
    examining.ask("s EXAMINE INBOX")
    deliver(maildir, b"x\n", number=1)
    assert b"* 1 EXISTS" in examining.send(b"n NOOP\r\n")
    one.session.changes._looked = float("inf")
    assert b"* 1 EXISTS\r\n* 0 RECENT\r\n" in one.send(b"a SEARCH ALL\r\n")

    lines = [response.line for response in one.ask("n NOOP")]

    assert lines[:-1] == ["* 1 RECENT", "* 1 FETCH (FLAGS (\\Recent))"]
    assert len(one.ask("n NOOP")) == 1

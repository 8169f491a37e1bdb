"""Several sessions, each a process of its own, on one maildir: what they tell each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Start
from tests.support.client import Client
from tests.support.courier_lock import awoken
from tests.support.maildirs import deliver
from tests.support.messages import PLAIN
from tests.support.servers import Implementation

pytestmark = pytest.mark.slow


@pytest.fixture
def pair(maildir: Path, start: Start) -> tuple[Client, Client]:
    """Two sessions of ours that have selected an INBOX of three messages, none of them recent."""
    for number in range(1, 4):
        deliver(maildir, PLAIN, number=number, flags="")
    start().client.command("SELECT INBOX")
    first, second = start().client, start().client
    for client in (first, second):
        client.command("SELECT INBOX")
    return first, second


def test_appended_message(pair: tuple[Client, Client]) -> None:
    """The other session learns of it at its next NOOP, and can fetch it."""
    first, second = pair

    appended = first.append("INBOX", b"Subject: new\r\n\r\nhello\r\n", "(\\Seen)")

    assert "* 4 EXISTS" in appended.lines
    assert second.command("NOOP").lines == ["* 4 EXISTS", "* 0 RECENT"]
    assert second.fetch("4", "(UID FLAGS)") == {4: {"UID": 4, "FLAGS": [b"\\Seen"]}}


def test_delivered_message_is_recent_for_one(maildir: Path, pair: tuple[Client, Client]) -> None:
    """A message from outside is recent for the first session that sees it (RFC 3501 2.3.2)."""
    first, second = pair
    deliver(maildir, PLAIN, number=9)

    assert first.command("NOOP").lines == ["* 4 EXISTS", "* 1 RECENT"]
    assert second.command("NOOP").lines == ["* 4 EXISTS", "* 0 RECENT"]


def test_changed_flags(pair: tuple[Client, Client]) -> None:
    """A flag set in one session is told in the other, once."""
    first, second = pair

    first.command("STORE 2 +FLAGS (\\Flagged)")

    assert second.command("NOOP").lines == ["* 2 FETCH (FLAGS (\\Flagged))"]
    assert second.command("NOOP").lines == []


def test_new_keyword(pair: tuple[Client, Client]) -> None:
    """A keyword that is new to the mailbox is announced before it is used."""
    first, second = pair

    first.command("STORE 3 +FLAGS ($Forwarded)")
    lines = second.command("NOOP").lines

    assert lines[0].startswith("* FLAGS ($Forwarded ")
    assert lines[1].startswith("* OK [PERMANENTFLAGS ($Forwarded ")
    assert lines[2:] == ["* 3 FETCH (FLAGS ($Forwarded))"]


def test_expunged_message(pair: tuple[Client, Client]) -> None:
    """FETCH, STORE and SEARCH keep their numbers; the next NOOP tells (RFC 3501 7.4.1)."""
    first, second = pair
    first.command("STORE 1 +FLAGS.SILENT (\\Deleted)")
    first.command("EXPUNGE")

    for command in ("FETCH 1:3 UID", "STORE 3 +FLAGS (\\Seen)", "SEARCH ALL", "FETCH 3 FLAGS"):
        assert not second.command(command).numbered("EXPUNGE"), command
    lines = second.command("NOOP").lines

    assert lines[:2] == ["* 1 EXPUNGE", "* 2 EXISTS"]
    assert second.fetch("1:*", "UID") == {1: {"UID": 2}, 2: {"UID": 3}}


def test_fetch_of_a_message_that_is_gone(pair: tuple[Client, Client]) -> None:
    """Its UID and flags are still known; its text is not, and the session goes on."""
    first, second = pair
    first.command("STORE 1 +FLAGS.SILENT (\\Deleted)")
    first.command("EXPUNGE")

    assert second.fetch("1", "(UID)") == {1: {"UID": 1}}
    second.try_command("FETCH 1 BODY.PEEK[]")
    second.command("FETCH 2 BODY.PEEK[]")
    second.command("NOOP")


def test_flag_set_by_both(pair: tuple[Client, Client]) -> None:
    """Two sessions that set different flags of one message lose neither."""
    first, second = pair

    first.command("STORE 1 +FLAGS (\\Seen)")
    second.command("STORE 1 +FLAGS (\\Flagged)")
    first.command("STORE 1 +FLAGS (kw1)")
    second.command("STORE 1 +FLAGS (kw2)")
    for client in pair:
        client.command("NOOP")

    for client in pair:
        flags = client.fetch("1", "FLAGS")[1]["FLAGS"]
        assert isinstance(flags, list)
        assert set(flags) == {b"\\Seen", b"\\Flagged", b"kw1", b"kw2"}  # type: ignore[type-var]


def test_uid_expunge_by_one_and_copy_by_another(pair: tuple[Client, Client]) -> None:
    """A COPY of messages of which some are gone copies the rest, or refuses; it never invents."""
    first, second = pair
    second.command("CREATE INBOX.copies")
    first.command("STORE 2 +FLAGS.SILENT (\\Deleted)")
    first.command("UID EXPUNGE 2")

    second.try_command("COPY 1:3 INBOX.copies")
    status = first.command("STATUS INBOX.copies (MESSAGES)")

    assert status.lines in (
        ['* STATUS "INBOX.copies" (MESSAGES 2)'],
        ['* STATUS "INBOX.copies" (MESSAGES 0)'],
    )


def test_read_only_session_sees_changes(pair: tuple[Client, Client], start: Start) -> None:
    """EXAMINE is told of changes as SELECT is."""
    first, _ = pair
    examining = start().client
    examining.command("EXAMINE INBOX")

    first.command("STORE 1 +FLAGS (\\Deleted)")
    assert examining.command("NOOP").lines == ["* 1 FETCH (FLAGS (\\Deleted))"]
    first.command("EXPUNGE")
    assert examining.command("NOOP").lines[0] == "* 1 EXPUNGE"


def test_deleted_folder(pair: tuple[Client, Client]) -> None:
    """A folder deleted under a session ends neither the process nor other mailboxes."""
    first, second = pair
    first.command("CREATE INBOX.gone")
    second.command("SELECT INBOX.gone")
    first.command("DELETE INBOX.gone")

    assert first.command("STATUS INBOX (MESSAGES)").lines == ['* STATUS "INBOX" (MESSAGES 3)']
    assert first.try_command("SELECT INBOX.gone").status == "NO"


@pytest.mark.parametrize("windows", [2, 3])
def test_manual_page_procedure(maildir: Path, start: Start, windows: int) -> None:
    """imapd(8), "Verifying realtime concurrent folder status updates", step by step."""
    for number in (1, 2):
        deliver(maildir, PLAIN, number=number, flags="")
    idling = [start().client for _ in range(windows)]
    tags = []
    for client in idling:
        client.command("SELECT INBOX")
        tag, text = client.start_idle()
        assert text == "+ entering ENHANCED idle mode"
        tags.append(tag)

    window = start().client
    window.command("SELECT INBOX")
    for _ in range(3):
        for sign, flags in (("+", rb"\\Deleted"), ("-", b"")):
            reply = window.command(f"STORE 1 {sign}FLAGS (\\Deleted)")
            assert reply.numbered("FETCH")
            for client in idling:
                client.await_response(rf"\* 1 FETCH \(FLAGS \((\\Recent)?{flags.decode()}")
    window.command("STORE 1 +FLAGS (\\Deleted)")
    assert window.command("EXPUNGE").lines[:2] == ["* 1 EXPUNGE", "* 1 EXISTS"]
    for client in idling:
        client.await_response(r"\* 1 EXPUNGE$")
        client.await_response(r"\* 1 EXISTS$")
        client.await_response(r"\* \d RECENT$")
    deliver(maildir, PLAIN, number=3)
    for client in idling:
        client.await_response(r"\* 2 EXISTS$")
        client.await_response(r"\* \d RECENT$")

    for client, tag in zip(idling, tags, strict=True):
        assert client.end_idle(tag).text == "OK IDLE completed"


@pytest.mark.courier
def test_windows_of_both_servers(courier: Implementation, maildir: Path, start: Start) -> None:
    """Ours idles while real Courier changes the mailbox, and the other way round."""
    deliver(maildir, PLAIN, number=1, flags="")
    ours, real = start().client, start(courier).client
    for client in (ours, real):
        client.command("SELECT INBOX")

    tag, _ = ours.start_idle()
    with awoken(maildir):
        real.command("STORE 1 +FLAGS (\\Flagged)")
        ours.await_response(r"\* 1 FETCH \(FLAGS \(\\Flagged")
        real.command("STORE 1 -FLAGS (\\Flagged)")
        ours.await_response(r"\* 1 FETCH \(FLAGS \((\\Recent)?\)")
    ours.end_idle(tag)

    # Gamin may lose an event, so only the end of IDLE is sure to tell.
    tag, _ = real.start_idle()
    ours.command("STORE 1 +FLAGS (\\Deleted)")
    real.connection.send(b"DONE\r\n")
    real.await_response(r"\* 1 FETCH \(FLAGS \((\\Recent )?\\Deleted")
    real.reply(tag)

"""SORT and THREAD as commands: what they say, to whom, and when."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.imapd.conftest import Drive
from tests.imapd.driver import Driven
from tests.support.maildirs import deliver


@pytest.fixture
def selected(maildir: Path, driven: Driven) -> Driven:
    """A session with messages that were sent in the reverse order of their arrival."""
    for number in range(40):
        refers = f"References: <{number - 1}@x>\n" if number % 4 else ""
        text = f"Subject: {number}\nMessage-ID: <{number}@x>\n{refers}Date: Fri, 13 Nov 2026 09:{59 - number}\n\n"
        deliver(maildir, text.encode(), number=number, flags="S")
    driven.ask("s SELECT INBOX")
    return driven


def test_sort(selected: Driven) -> None:
    assert selected.ask("a SORT (DATE) utf-8 ALL")[0].values == tuple(range(40, 0, -1))
    assert selected.ask("b UID SORT (DATE) utf-8 2:4")[0].values == (4, 3, 2)


def test_thread(selected: Driven) -> None:
    raw = selected.ask("a UID THREAD REFERENCES utf-8 1:9")[0].raw

    assert raw == b"* THREAD (9)(5 6 7 8)(1 2 3 4)\r\n"


def test_responses_come_in_pieces(selected: Driven, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long response is sent on as it is written, and is the same as a whole."""
    commands = ["SORT (DATE) utf-8 ALL", "THREAD REFERENCES utf-8 ALL", "SEARCH ALL"]
    commands += ["SEARCH RETURN (ALL) NOT 7", "SORT RETURN (ALL MAX COUNT) (DATE) utf-8 ALL"]
    whole = [selected.ask(f"a {command}")[0].raw for command in commands]
    monkeypatch.setattr("imapd.result._PIECE", 3)
    monkeypatch.setattr("imapd.result._SIZE", 10)
    monkeypatch.setattr("imapd.threads._PIECE", 7)
    selected.written.clear()

    assert [selected.ask(f"a {command}")[0].raw for command in commands] == whole
    assert len(selected.written) > 30


@pytest.mark.parametrize("command", ["SORT (DATE)", "THREAD REFERENCES", "THREAD ORDEREDSUBJECT"])
def test_nothing_found(selected: Driven, command: str) -> None:
    name = command.partition(" ")[0]

    assert selected.ask(f"a {command} utf-8 SUBJECT none")[0].raw == f"* {name}\r\n".encode()


@pytest.mark.parametrize("command", ["SORT (DATE)", "UID THREAD REFERENCES"])
def test_needs_a_mailbox(driven: Driven, command: str) -> None:
    assert driven.ask(f"a {command} utf-8 ALL")[-1].name == "BAD"


def test_disabled(maildir: Path, drive: Drive) -> None:
    """The administrator's word comes before the client's mistakes."""
    driven = drive(IMAP_DISABLETHREADSORT="1")
    driven.ask("s SELECT INBOX")

    for command in ("SORT (DATE) utf-8 ALL", "UID THREAD REFERENCES utf-8 ALL"):
        (completion,) = driven.ask(f"a {command}")
        assert completion.line == "a NO This command is disabled by the system administrator."


def test_text_that_is_none_in_its_charset(selected: Driven) -> None:
    """NO [BADCHARSET]."""
    sent = selected.send(b"a SORT (DATE) utf-8 TEXT ~{1+}\r\n\xff\r\n")

    assert sent.startswith(b"a NO [BADCHARSET] ")


def test_hostile_messages(maildir: Path, driven: Driven) -> None:
    """Circles, references without end, one id everywhere, headers of a megabyte: all are answered."""
    many = b"".join(b"\n <%d@x>" % number for number in range(10_000))
    messages = [
        b"Message-ID: <a@x>\nReferences: <b@x>\n\n",
        b"Message-ID: <b@x>\nReferences: <a@x>\n\n",
        b"Message-ID: <c@x>\nReferences: <c@x> <c@x>\n\n",
        *[b"Message-ID: <same@x>\nReferences: <same@x>\n\n"] * 3,
        b"Message-ID: <d@x>\nReferences:" + many + b"\n\n",
        b"Message-ID: <9999@x>\n\n",
        b"Message-ID:\nReferences: <<<\nIn-Reply-To: >\n\n",
        b"Subject: " + b"Re: [x] " * 130_000 + b"\nFrom: " + b"(" * 100_000 + b"\n\n",
        b"Subject: \x00\xff\nTo: =?x?b?" + b"!" * 100_000 + b"?=\nDate: " + b"9" * 9_999 + b"\n\n",
        b"",
    ]
    for number, message in enumerate(messages):
        deliver(maildir, message, number=number, flags="S")
    driven.ask("s SELECT INBOX")

    threads = driven.ask("t THREAD REFERENCES utf-8 ALL")[0].raw.decode()
    assert "(2 1)" in threads and "(8 7)" in threads and "(4 (5)(6))" in threads
    for key in (
        "ARRIVAL",
        "CC",
        "DATE",
        "DISPLAYFROM",
        "DISPLAYTO",
        "FROM",
        "SIZE",
        "SUBJECT",
        "TO",
    ):
        found = driven.ask(f"s SORT (REVERSE {key}) utf-8 ALL")[0].values
        assert sorted(found) == list(range(1, len(messages) + 1))  # type: ignore[type-var]

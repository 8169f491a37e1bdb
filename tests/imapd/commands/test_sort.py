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
    """It is nowhere, and so its absence is everywhere."""
    needle = b"~{1+}\r\n\xff\r\n"

    assert selected.send(b"a SORT (DATE) utf-8 TEXT " + needle).startswith(b"* SORT\r\n")
    assert selected.send(b"a SORT (DATE) utf-8 1 NOT TEXT " + needle).startswith(b"* SORT 1\r\n")

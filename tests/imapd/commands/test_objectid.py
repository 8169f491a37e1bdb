"""EMAILID and THREADID (RFC 8474 5 and 6)."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from courier.maildir import enriching
from courier.message import facts
from tests.imapd.conftest import Drive
from tests.imapd.driver import Driven
from tests.support.maildirs import deliver, make_folder

pytestmark = pytest.mark.usefixtures("logged")

FIRST = b"Message-ID: <1@x>\nSubject: A\n\nfirst\n"
REPLY = b"Message-ID: <2@x>\nReferences: <1@x>\nSubject: Re: A\n\nreply\n"
OTHER = b"Message-ID: <3@x>\nSubject: B\n\nother\n"


@pytest.fixture
def ready(maildir: Path, driven: Driven) -> Driven:
    for number, data in enumerate((FIRST, REPLY, OTHER), 1):
        deliver(maildir, data, number=number, flags="")
    make_folder(maildir, "INBOX.d")
    driven.send(b"s SELECT INBOX\r\n")
    return driven


def ids(driven: Driven, which: str = "1:*", more: str = "") -> list[tuple[bytes, bytes]]:
    found = driven.ask(f"f FETCH {which} ({more}EMAILID THREADID)")
    assert found[-1].name == "OK"
    pairs = [dict(one.values) for one in found if one.name == "FETCH"]  # type: ignore[arg-type]
    return [(pair[b"EMAILID"], pair[b"THREADID"]) for pair in pairs]


def numbers(driven: Driven, criteria: str) -> tuple[object, ...]:
    (told, done) = driven.ask(f"a SEARCH {criteria}")
    assert done.name == "OK"
    return told.values


def test_fetch(ready: Driven) -> None:
    """Each message has its own identifier, replies share their thread's, and none is of both kinds."""
    found = ids(ready)

    emails, threads = zip(*found, strict=True)
    assert len(set(emails)) == 3
    assert threads[0] == threads[1] != threads[2]
    assert not set(emails) & set(threads)
    assert all(email[:1] == b"M" for email in emails)
    assert all(thread[:1] == b"T" for thread in threads)


def test_stays(ready: Driven, maildir: Path, drive: Drive) -> None:
    """With the index and without, by whichever way it is found, with flags and under another name."""
    before = ids(ready)
    ready.send(b"t STORE 1:* +FLAGS (\\Seen kw)\r\n")

    assert ids(ready) == ids(ready, more="BODY[] ") == before
    for path in maildir.glob("pycourier-*"):
        path.unlink()
    again = drive()
    again.send(b"s SELECT INBOX\r\n")
    assert ids(again) == before


@pytest.mark.parametrize("command", ["COPY", "MOVE"])
def test_of_copies(ready: Driven, command: str) -> None:
    """COPY and MOVE take both along (RFC 8474 5.1)."""
    before = ids(ready)
    assert ready.ask(f"c {command} 1:* INBOX.d")[-1].name == "OK"
    ready.send(b"s SELECT INBOX.d\r\n")

    assert ids(ready) == before


def test_moved_by_others(ready: Driven, maildir: Path) -> None:
    """A file that another program gave another name and folder keeps them."""
    before = ids(ready, "1")
    path = next(p for p in (maildir / "cur").iterdir() if p.read_bytes() == FIRST)
    shutil.move(path, maildir / ".d" / "cur" / "1700000001.other.host:2,S")
    ready.send(b"s SELECT INBOX.d\r\n")

    assert ids(ready) == before


def test_same_content_of_another_date(ready: Driven) -> None:
    """What can't change of one message is the same of all with its identifier: the internal date, too."""
    for day in ("10", "10", "11"):
        text = FIRST.replace(b"\n", b"\r\n")
        size = len(text)
        ready.send(
            b'a APPEND INBOX.d "%b-Jan-2020 12:00:00 +0000" {%d+}\r\n%b\r\n'
            % (day.encode(), size, text)
        )
    ready.send(b"s SELECT INBOX.d\r\n")

    first, second, third = ids(ready)

    assert first == second
    assert first[0] != third[0]
    assert first[1] == third[1]


def test_search(ready: Driven) -> None:
    """Identifiers are case-sensitive and whole; messages that are not known yet are found, too."""
    (first, thread), _, (other, _) = ids(ready)

    assert numbers(ready, f"EMAILID {first.decode()}") == (1,)
    assert numbers(ready, f"OR EMAILID {first.decode()} EMAILID {other.decode()}") == (1, 3)
    assert numbers(ready, f"THREADID {thread.decode()}") == (1, 2)
    assert numbers(ready, f"NOT THREADID {thread.decode()}") == (3,)
    for text in (first.decode().upper(), first.decode()[:-1], "M1", "x", thread.decode()):
        assert numbers(ready, f"EMAILID {text}") == ()
    assert numbers(ready, f"THREADID {first.decode()}") == ()


def test_search_of_unknown_messages(ready: Driven, maildir: Path, drive: Drive) -> None:
    (first, thread), _, _ = ids(ready)
    for path in maildir.glob("pycourier-*"):
        path.unlink()

    for criteria, found in (
        (f"EMAILID {first.decode()}", (1,)),
        (f"THREADID {thread.decode()}", (1, 2)),
    ):
        again = drive()
        again.send(b"s SELECT INBOX\r\n")
        assert numbers(again, criteria) == found


@pytest.mark.parametrize(
    "criteria", ["EMAILID", 'EMAILID "x"', "THREADID a.b", "EMAILID " + "a" * 256]
)
def test_syntax(ready: Driven, criteria: str) -> None:
    assert ready.ask(f"a SEARCH {criteria}")[-1].name == "BAD"


def test_read_once(ready: Driven, drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was found is kept, and ordinary items cost no digest."""
    described = []
    original = facts.describe

    def counted(data: bytes, *, more: bool = False) -> facts.Facts:
        described.append(more)
        return original(data, more=more)

    monkeypatch.setattr(facts, "describe", counted)
    ready.ask("f FETCH 1:* (ENVELOPE)")
    assert described == [False] * 3
    before = ids(ready)
    assert described[3:] == [True] * 3

    again = drive()
    again.send(b"s SELECT INBOX\r\n")
    assert ids(again) == before
    assert ids(again, "2:3", "ENVELOPE BODYSTRUCTURE ") == before[1:]
    assert len(described) == 6


def test_many(maildir: Path, driven: Driven, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are read in slices, between which others have their turn; a missing one holds up nobody."""
    monkeypatch.setattr(enriching, "_SLICE_MESSAGES", 3)
    for number in range(1, 21):
        deliver(maildir, b"Message-ID: <%d@x>\n\nx\n" % number, number=number, flags="")
    driven.send(b"s SELECT INBOX\r\n")
    (path, *_) = (maildir / "cur").iterdir()
    os.unlink(path)
    driven.written.clear()

    found = driven.ask("f FETCH 1:* EMAILID")

    assert len([one for one in found if one.name == "FETCH"]) == 19
    assert found[-1].code == "EXPUNGEISSUED"
    assert driven.written.count(b"") >= 6

"""SAVEDATE (RFC 8514): when messages came to the mailbox that they are in."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.imapd.conftest import Drive
from tests.imapd.driver import Driven
from tests.imapd.responses import read
from tests.support.maildirs import make_folder

pytestmark = pytest.mark.usefixtures("logged")

DAY = 86_400
#: 2020-01-10, 12:00 UTC.
THEN = 1_578_657_600


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def put(maildir: Path, name: str, mtime: int) -> Path:
    path = maildir / "cur" / f"{name}:2,"
    path.write_bytes(b"Subject: x\n\ny\n")
    os.utime(path, (mtime, mtime))
    return path


def save_dates(driven: Driven, which: str = "1:*") -> list[bytes]:
    found = driven.ask(f"f FETCH {which} (SAVEDATE)")
    return [dict(one.values)[b"SAVEDATE"] for one in found if one.name == "FETCH"]  # type: ignore[arg-type, misc]


def test_name_of_the_file(maildir: Path, driven: Driven) -> None:
    """It is what the name says, whatever the internal date is; without a time there it is that."""
    put(maildir, f"{THEN}.M1P2.host,S=14", THEN - 400 * DAY)
    put(maildir, f"{THEN + DAY}_0.77.host,U=1", THEN - 300 * DAY)
    put(maildir, "oddly-named", THEN + 2 * DAY)
    put(maildir, "12345.old", THEN + 3 * DAY)
    put(maildir, "15786576001234.too-long", THEN + 4 * DAY)
    driven.send(b"s SELECT INBOX\r\n")

    assert sorted(save_dates(driven)) == [
        b'"%d-Jan-2020 12:00:00 +0000"' % day for day in range(10, 15)
    ]


def test_stays(maildir: Path, driven: Driven) -> None:
    """When flags change, and when the internal date does (RFC 8514 3)."""
    put(maildir, f"{THEN}.M1P2.host,S=14", THEN)
    driven.send(b"s SELECT INBOX\r\n")
    before = save_dates(driven)

    driven.send(b"a STORE 1 +FLAGS (\\Seen kw)\r\n")
    (path,) = (maildir / "cur").iterdir()
    os.utime(path, (1, 1))

    assert save_dates(driven) == before == [b'"10-Jan-2020 12:00:00 +0000"']


@pytest.mark.parametrize("command", ["COPY", "MOVE"])
def test_of_a_copy(maildir: Path, driven: Driven, command: str) -> None:
    """COPY and MOVE give the present time, and the internal date stays (RFC 8514 3)."""
    make_folder(maildir, "INBOX.d")
    put(maildir, f"{THEN}.M1P2.host,S=14", THEN)
    driven.send(b"s SELECT INBOX\r\n")
    began = int(time.time())
    driven.send(f"a {command} 1 INBOX.d\r\ns SELECT INBOX.d\r\n".encode())

    (fetched, _) = driven.ask("f FETCH 1 (INTERNALDATE SAVEDATE)")

    found = dict(fetched.values)  # type: ignore[arg-type]
    assert found[b"INTERNALDATE"] == b'"10-Jan-2020 12:00:00 +0000"'
    saved = time.strptime(found[b"SAVEDATE"].decode(), '"%d-%b-%Y %H:%M:%S +0000"')
    assert began <= time.mktime(saved) <= time.time() + 1


def test_append_sets_no_save_date(driven: Driven) -> None:
    """A client that gives a date gives the internal one."""
    driven.send(b's SELECT INBOX\r\na APPEND INBOX "10-Jan-2020 12:00:00 +0000" {1+}\r\nx\r\n')

    (date,) = save_dates(driven)

    assert b"-2020 " not in date


@pytest.mark.parametrize(
    ("criteria", "found"),
    [
        ("SAVEDON 10-Jan-2020", {1}),
        ("SAVEDBEFORE 11-Jan-2020", {1}),
        ("SAVEDSINCE 11-Jan-2020", {2, 3}),
        ("SAVEDBEFORE 10-Jan-2020", set()),
        ("NOT SAVEDSINCE 11-Jan-2020", {1}),
        ("OR SAVEDON 10-Jan-2020 SAVEDON 12-Jan-2020", {1, 3}),
        ("SAVEDATESUPPORTED", {1, 2, 3}),
        ("NOT SAVEDATESUPPORTED", set()),
        ("ON 10-Jan-2020", set()),
    ],
)
def test_search(maildir: Path, driven: Driven, criteria: str, found: set[int]) -> None:
    """Time and zone count no more than with BEFORE (RFC 8514 4.3)."""
    put(maildir, f"{THEN}.M1P2.host", THEN - 400 * DAY)
    put(maildir, f"{THEN + DAY}.M1P2.host", THEN - 400 * DAY)
    driven.send(b"s SELECT INBOX\r\n")
    put(maildir, "odd", THEN + 2 * DAY)
    driven.send(b"s SELECT INBOX\r\n")

    (told, done) = driven.ask(f"a SEARCH {criteria}")

    assert done.name == "OK"
    assert set(told.values) == found


@pytest.mark.parametrize("criteria", ["SAVEDON", "SAVEDBEFORE x", "SAVEDSINCE 1", "SAVEDATE"])
def test_syntax(driven: Driven, criteria: str) -> None:
    driven.send(b"s SELECT INBOX\r\n")

    assert driven.ask(f"a SEARCH {criteria}")[-1].name == "BAD"


def test_of_a_message_that_is_gone(maildir: Path, driven: Driven) -> None:
    """It keeps its number, and has no date that could be told."""
    path = put(maildir, f"{THEN}.M1P2.host", THEN)
    put(maildir, f"{THEN + 1}.M1P2.host", THEN)
    driven.send(b"s SELECT INBOX\r\n")
    path.unlink()
    other = Driven(maildir)
    other.send(b"s SELECT INBOX\r\n")

    assert read(driven.send(b"f FETCH 1:* SAVEDATE\r\n"))[-1].name == "OK"


def test_announced(drive: Drive) -> None:
    assert b"SAVEDATE" in drive().ask("a CAPABILITY")[0].values

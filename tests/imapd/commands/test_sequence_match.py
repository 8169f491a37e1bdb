"""QRESYNC's message sequence match data (RFC 7162 3.2.5.2): where a client knows that it is in step."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.imapd.driver import Driven
from tests.support.maildirs import deliver

pytestmark = pytest.mark.usefixtures("logged")

#: A MODSEQ that is older than any log: all UIDs without a message count as removed.
LONG_AGO = 1


@pytest.fixture
def thirds(maildir: Path, driven: Driven) -> Driven:
    """UIDs 3, 6, … 30 are left of thirty messages, as numbers 1 to 10."""
    for number in range(1, 31):
        deliver(maildir, b"Subject: x\n\n", number=number, flags="")
    driven.ask("e ENABLE QRESYNC")
    driven.ask("s SELECT INBOX")
    gone = ",".join(str(uid) for uid in range(1, 31) if uid % 3)
    driven.ask(f"d UID STORE {gone} +FLAGS.SILENT (\\Deleted)")
    assert driven.ask("x EXPUNGE")[-1].name == "OK"
    return driven


def earlier(session: Driven, known: str, modseq: int = LONG_AGO) -> list[int]:
    """The UIDs that a client is told are gone."""
    uidvalidity = session.session.selected.folder.uidvalidity
    responses = session.ask(f"s SELECT INBOX (QRESYNC ({uidvalidity} {modseq}{known}))")
    assert responses[-1].name == "OK"
    gone = [one.values for one in responses if one.name == "VANISHED"]
    assert all(is_earlier for is_earlier, _ in gone)
    parts = [part.split(b":") for _, uids in gone for part in uids.split(b",")]  # type: ignore[attr-defined]
    return [uid for part in parts for uid in range(int(part[0]), int(part[-1]) + 1)]


def lacking(first: int, last: int = 30) -> list[int]:
    return [uid for uid in range(first, last + 1) if uid % 3]


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ("", lacking(1)),
        (" 1:30", lacking(1)),
        (" 1:30 (1 3)", lacking(4)),
        (" 1:30 (4 12)", lacking(13)),
        (" 1:30 (1,4,10 3,12,30)", []),
        (" (1,4,10 3,12,30)", []),
        (" (4 12)", lacking(13)),
        (" 10:20 (4 12)", lacking(13, 20)),
        # one that is not right any more: nothing behind it counts
        (" 1:30 (4,5 12,14)", lacking(13)),
        (" 1:30 (4,5,10 12,14,30)", lacking(13)),
        (" 1:30 (1 1)", lacking(1)),
        (" 1:30 (11 33)", lacking(1)),
        # ranges; other counts; not ascending
        (" 1:30 (1:3 3,6,9)", lacking(10)),
        (" 1:30 (1:3 1:3)", lacking(1)),
        (" 1:30 (1,2 3)", lacking(4)),
        (" 1:30 (1 3,6,9)", lacking(4)),
        (" 1:30 (4,1 12,3)", lacking(13)),
        (" 1:30 (1:4294967295 1:4294967295)", lacking(1)),
    ],
)
def test_tells_nothing_of_what_is_known(thirds: Driven, known: str, expected: list[int]) -> None:
    assert earlier(thirds, known) == expected


def test_with_a_log_that_reaches_back(thirds: Driven) -> None:
    """RFC 7162 3.2.5.2: also then no UID up to the match is told."""
    modseq = thirds.session.selected.highest
    thirds.ask("d UID STORE 6,24 +FLAGS.SILENT (\\Deleted)")
    thirds.ask("x EXPUNGE")

    assert earlier(thirds, "", modseq) == [6, 24]
    assert earlier(thirds, " 1:30 (1 3)", modseq) == [6, 24]
    assert earlier(thirds, " 1:30 (2 9)", modseq) == [24]


def test_flags_are_told_all_the_same(thirds: Driven) -> None:
    """The sample is of what is gone, not of what has changed."""
    modseq = thirds.session.selected.highest
    thirds.ask("f UID STORE 3 +FLAGS (\\Flagged)")
    uidvalidity = thirds.session.selected.folder.uidvalidity

    responses = thirds.ask(f"s SELECT INBOX (QRESYNC ({uidvalidity} {modseq} 1:30 (10 30)))")

    assert [one.number for one in responses if one.name == "FETCH"] == [1]


@pytest.mark.parametrize("known", [" 1:30 ()", " 1:30 (1)", " 1:30 (1 3) ", " (1:* 1:3)", " (1 $)"])
def test_malformed(thirds: Driven, known: str) -> None:
    responses = thirds.ask(f"s SELECT INBOX (QRESYNC (1 {LONG_AGO}{known}))")

    assert [one.name for one in responses] == ["BAD"]

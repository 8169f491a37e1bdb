"""Criteria on whole columns, held against a look at each message."""

from __future__ import annotations

import datetime
import email
import os
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from courier.maildir import folder as folder_module
from courier.maildir.items import Table
from courier.maildir.numberset import NumberSet
from courier.maildir.view import View
from imapd import known as keeping
from imapd import matching
from imapd.message_limit import MessageLimit
from imapd.request import Step
from tests.imapd.conftest import Drive
from tests.imapd.driver import Driven
from tests.support.maildirs import deliver

COUNT = 24
DAY = 86_400
FLAGS = {"D": "DRAFT", "F": "FLAGGED", "R": "ANSWERED", "S": "SEEN", "T": "DELETED"}


@dataclass(frozen=True)
class Known:
    """What the test knows of a message."""

    seq: int
    uid: int
    letters: str
    keywords: tuple[str, ...]
    arrived: datetime.date
    sent: datetime.date | None
    date: str | None
    subject: str
    body: str
    size: int


Predicate = Callable[[Known], bool]


def fill(maildir: Path) -> list[Known]:
    """Deliver messages that differ in everything that can be asked for."""
    known = []
    for number in range(COUNT):
        arrived = 1_600_000_000 + number % 5 * DAY
        sent = datetime.date(2020, 9, 10 + number % 4)
        subject = f"Käse {number % 3}"
        body = ["alpha\nbeta", "Gamma", "alpha   beta"][number % 3] * (1 + number % 2)
        date = f"{sent:%d %b %Y} 23:30:00 -0800" if number % 6 else None
        header = f"Subject: {subject}\nX-Number: {number + 1}\n"
        text = header + (f"Date: {date}\n" if date else "") + f"\n{body}\n"
        letters = "".join(letter for bit, letter in enumerate("DFRST") if number * 7 >> bit & 1)
        deliver(maildir, text.encode(), number=number, flags=letters, date=arrived)
        words = ("one", "two")[: number % 3]
        day = datetime.date.fromtimestamp(arrived)
        known.append(
            Known(
                *(number + 1, number + 1, letters, words, day, sent if date else None),
                *(date and date.lower(), subject, body, len(text.encode()) + text.count("\n")),
            )
        )
    return known


def files(maildir: Path) -> list[Path]:
    """The message files in the order of their UIDs."""
    return sorted((maildir / "cur").iterdir(), key=lambda path: int(path.name.partition(".")[0]))


def opened(driven: Driven, known: list[Known]) -> None:
    driven.ask("s SELECT INBOX")
    for word in ("one", "two"):
        having = ",".join(str(one.seq) for one in known if word in one.keywords)
        driven.ask(f"k STORE {having} +FLAGS.SILENT ({word})")


def leaf() -> st.SearchStrategy[tuple[str, Predicate]]:
    day = st.dates(datetime.date(2020, 9, 9), datetime.date(2020, 9, 19))
    number = st.integers(1, COUNT + 2)
    return st.one_of(
        st.just(("ALL", lambda one: True)),
        st.sampled_from(sorted(FLAGS)).map(lambda f: (FLAGS[f], lambda one: f in one.letters)),
        st.sampled_from(sorted(FLAGS)).map(
            lambda f: (f"UN{FLAGS[f]}", lambda one: f not in one.letters)
        ),
        st.sampled_from(["one", "TWO", "none"]).map(
            lambda w: (f"KEYWORD {w}", lambda one: w.lower() in one.keywords)
        ),
        st.sampled_from(["one", "TWO", "none"]).map(
            lambda w: (f"UNKEYWORD {w}", lambda one: w.lower() not in one.keywords)
        ),
        st.tuples(number, number).map(
            lambda p: (f"{p[0]}:{p[1]}", lambda one: min(p) <= one.seq <= max(p))
        ),
        number.map(lambda n: (f"UID {n}:*", lambda one: one.uid >= min(n, COUNT))),
        number.map(lambda n: (f"UIDAFTER {n}", lambda one: one.uid > n)),
        number.map(lambda n: (f"UIDBEFORE {n}", lambda one: one.uid < n)),
        day.map(lambda d: (f"BEFORE {d:%d-%b-%Y}", lambda one: one.arrived < d)),
        day.map(lambda d: (f"ON {d:%d-%b-%Y}", lambda one: one.arrived == d)),
        day.map(lambda d: (f"SINCE {d:%d-%b-%Y}", lambda one: one.arrived >= d)),
        day.map(
            lambda d: (
                f"SENTBEFORE {d:%d-%b-%Y}",
                lambda one: one.sent is not None and one.sent < d,
            )
        ),
        day.map(lambda d: (f"SENTON {d:%d-%b-%Y}", lambda one: one.sent == d)),
        day.map(
            lambda d: (
                f"SENTSINCE {d:%d-%b-%Y}",
                lambda one: one.sent is not None and one.sent >= d,
            )
        ),
        st.integers(50, 130).map(lambda n: (f"LARGER {n}", lambda one: one.size > n)),
        st.integers(50, 130).map(lambda n: (f"SMALLER {n}", lambda one: one.size < n)),
        st.sampled_from(["0", "KÄSE", "se 1", "x"]).map(
            lambda w: (f'SUBJECT "{w}"', lambda one: w.lower() in one.subject.lower())
        ),
        st.sampled_from(["", "KÄSE 2", "x"]).map(
            lambda w: (f'HEADER Subject "{w}"', lambda one: w.lower() in one.subject.lower())
        ),
        st.sampled_from(["", "20 23:30:00", "sep", "=?"]).map(
            lambda w: (f'HEADER dAtE "{w}"', lambda one: one.date is not None and w in one.date)
        ),
        st.sampled_from(["", "3", "x"]).map(
            lambda w: (f'HEADER X-Number "{w}"', lambda one: w in str(one.seq))
        ),
        st.sampled_from(["alpha beta", "GAMMA", "ha be", "x"]).map(
            lambda w: (f'BODY "{w}"', lambda one: w.lower() in " ".join(one.body.lower().split()))
        ),
    )


def combined(
    inner: st.SearchStrategy[tuple[str, Predicate]],
) -> st.SearchStrategy[tuple[str, Predicate]]:
    pairs = st.tuples(inner, inner)
    return st.one_of(
        inner.map(lambda key: (f"NOT {key[0]}", lambda one: not key[1](one))),
        pairs.map(lambda p: (f"OR {p[0][0]} {p[1][0]}", lambda one: p[0][1](one) or p[1][1](one))),
        pairs.map(lambda p: (f"({p[0][0]} {p[1][0]})", lambda one: p[0][1](one) and p[1][1](one))),
    )


criteria = st.recursive(leaf(), combined, max_leaves=6)


def read_no_more(view: View, wanted: NumberSet | None = None) -> Generator[Step, Any, Table]:
    """Give what is kept already, in place of `known.ready`."""
    yield b""
    return keeping.current(view)


@pytest.mark.slow
@pytest.mark.parametrize("kept", ["everything", "half", "nothing"])
def test_columns_tell_what_messages_tell(
    maildir: Path, drive: Drive, monkeypatch: pytest.MonkeyPatch, kept: str
) -> None:
    """Any combination of keys finds what a look at each message finds, in runs of any length.

    So it is whether something is kept of all messages, of some, or of none.
    """
    monkeypatch.setattr(matching, "_RUN", 7)
    monkeypatch.setattr(matching, "_TURN_S", 0.0)
    known = fill(maildir)
    driven = drive()
    opened(driven, known)
    if kept != "everything":
        driven.ask("f FETCH 5:16 ENVELOPE" if kept == "half" else "f NOOP")
        monkeypatch.setattr("imapd.known.ready", read_no_more)

    @settings(max_examples=120, suppress_health_check=list(HealthCheck), deadline=None)
    @given(criteria)
    def compare(key: tuple[str, Predicate]) -> None:
        text, predicate = key
        sent = driven.send(f"a SEARCH {text}\r\n".encode())
        expected = "".join(f" {one.seq}" for one in known if predicate(one))
        assert sent.decode() == f"* SEARCH{expected}\r\na OK SEARCH done.\r\n"

    compare()


@pytest.mark.slow
def test_parts_together_are_the_whole(
    maildir: Path, drive: Drive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 9738: where a search leaves messages out, one below the UID that it tells finds the rest.

    No part looks at more messages than it may, whatever the criteria.
    """
    monkeypatch.setattr(matching, "_RUN", 7)
    known = fill(maildir)
    driven = drive()
    opened(driven, known)

    @settings(max_examples=120, suppress_health_check=list(HealthCheck), deadline=None)
    @given(criteria, st.integers(1, COUNT))
    def compare(key: tuple[str, Predicate], limit: int) -> None:
        text, predicate = key
        driven.session.message_limit = MessageLimit(limit)
        expected = [one.uid for one in known if predicate(one)]
        found: list[object] = []
        below = COUNT + 1
        while below:
            untagged, completion = driven.ask(f"a UID SEARCH ({text}) UIDBEFORE {below}")
            assert len(untagged.values) <= limit
            found += untagged.values
            lowest = int(completion.code.split()[-1]) if completion.code else 0
            assert lowest < below and (
                not lowest or completion.code == f"MESSAGELIMIT {limit} {lowest}"
            )
            below = lowest
        assert sorted(found) == expected  # type: ignore[type-var]

    compare()


@pytest.mark.parametrize(
    ("keys", "opened_files"),
    [
        ("SEEN", 0),
        ("KEYWORD one NOT 3", 0),
        ("BODY alpha SEEN 1:4", 1),
        ("NOT (OR BODY alpha UNSEEN) 1:4", 1),
        ("OR BODY alpha 1:24", 0),
        ("BODY alpha 30", 0),
        ("OR SUBJECT x BODY alpha 1:3", 3),
        ("HEADER Date x FROM x SENTON 1-Jan-2020 LARGER 5 1:3", 0),
        ("HEADER X-Number 2 1:3", 3),
        ("BODY alpha BODY beta TEXT alpha 1:3", 3),
    ],
)
def test_files_opened(
    maildir: Path, driven: Driven, monkeypatch: pytest.MonkeyPatch, keys: str, opened_files: int
) -> None:
    """A message file is read only where nothing cheaper decides, and once for all keys."""
    known = fill(maildir)
    opened(driven, known)
    driven.ask("f FETCH 1:* ENVELOPE")
    read = folder_module.Folder.read
    uids = []

    def counted(self: folder_module.Folder, uid: int) -> tuple[bytes, os.stat_result]:
        uids.append(uid)
        return read(self, uid)

    monkeypatch.setattr(folder_module.Folder, "read", counted)
    driven.ask(f"a SEARCH {keys}")

    assert len(uids) == opened_files == len(set(uids))


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ('SEARCH SUBJECT "Käse" 1:3', (1, 2, 3)),
        ('SEARCH SUBJECT " 1" 1:6', (2, 5)),
        ("SEARCH HEADER Date 2020 1:3", (2, 3)),
        ("SORT (SUBJECT) utf-8 1:6", (1, 4, 2, 5, 3, 6)),
    ],
)
def test_what_is_kept_is_damaged(
    maildir: Path, drive: Drive, command: str, expected: tuple[int, ...]
) -> None:
    """It is thrown away, and found anew."""
    known = fill(maildir)
    opened(drive(), known)
    drive().send(b"s SELECT INBOX\r\nf FETCH 1:* ENVELOPE\r\n")
    cache = maildir / "pycourier-cache"
    octets = bytearray(cache.read_bytes())
    for at in range(100, len(octets), 50):
        octets[at] ^= 1
    with cache.open("r+b") as file:
        file.write(octets)

    driven = drive()
    driven.ask("s SELECT INBOX")

    assert driven.ask(f"a {command}")[0].values == expected


def test_messages_that_are_gone(maildir: Path, driven: Driven) -> None:
    """What can't be read any more matches no key that needs it, negated or not."""
    opened(driven, fill(maildir))
    for path in files(maildir)[:3]:
        path.unlink()

    assert driven.ask("a SEARCH 1:5 BODY a")[0].values == (4, 5)
    assert driven.ask("a SEARCH 1:5 NOT BODY zzz")[0].values == (4, 5)
    assert driven.ask("a SEARCH 1:5 NOT 5")[0].values == (1, 2, 3, 4)
    assert sorted(driven.ask("a SORT (SUBJECT) utf-8 1:5")[0].values) == [1, 2, 3, 4, 5]  # type: ignore[type-var]
    assert driven.ask("a THREAD REFERENCES utf-8 1:2")[0].raw.startswith(b"* THREAD (")


def test_another_reader_agrees_on_sizes(maildir: Path, driven: Driven) -> None:
    """The test's own idea of the messages is right."""
    known = fill(maildir)
    opened(driven, known)
    message = email.message_from_bytes(files(maildir)[1].read_bytes())

    assert driven.ask("a FETCH 2 RFC822.SIZE")[0].values == ((b"RFC822.SIZE", known[1].size),)
    assert message["Date"].startswith(f"{known[1].sent:%d %b %Y}")

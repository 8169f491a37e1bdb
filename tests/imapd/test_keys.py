"""What SORT and THREAD go by, and what is kept of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from imapd import folded, keys, matching, order, threads
from tests.imapd.conftest import Drive
from tests.imapd.driver import Driven
from tests.imapd.test_criteria import read_no_more
from tests.support.maildirs import deliver
from tests.support.messages import generate

COMMANDS = [
    *(f"SORT ({key}) utf-8 ALL" for key in sorted(order.KEYS)),
    "SORT (REVERSE SUBJECT FROM) utf-8 UNSEEN",
    "UID SORT (SUBJECT) utf-8 3,9",
    "THREAD REFERENCES utf-8 ALL",
    "THREAD ORDEREDSUBJECT utf-8 ALL",
    "THREAD REFS utf-8 ALL",
    "UID THREAD REFERENCES utf-8 SEEN",
    *(f"SEARCH {key}" for key in ("SUBJECT 3", "FROM john", "TO demo", "CC x", 'SUBJECT ""')),
    'SEARCH OR SUBJECT "subject 3" FROM "john smith" UNSEEN',
]


@pytest.fixture
def filled(maildir: Path) -> Path:
    for number, message in enumerate(generate(40, mean_size=400)):
        reply = f"Re: subject {number % 7}".encode()
        message = message.replace(
            b"\n\n", b"\nReferences: <m%d@example.com>\n\n" % (number // 2), 1
        )
        lines = [b"Subject: " + reply if b"Subject:" in x else x for x in message.split(b"\n")]
        deliver(maildir, b"\n".join(lines), number=number, flags="S" * (number % 2))
    return maildir


def answers(driven: Driven) -> list[bytes]:
    driven.ask("s SELECT INBOX")
    return [driven.send(f"a {command}\r\n".encode()) for command in COMMANDS]


@pytest.fixture
def expected(filled: Path, drive: Drive) -> list[bytes]:
    """What is answered where nothing is kept."""
    found = answers(drive())
    assert not list(filled.glob("pycourier-order-*"))
    return found


def test_memos(
    filled: Path, drive: Drive, expected: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first session makes them, the next does without texts; the answers are the same."""
    monkeypatch.setattr(keys, "_WORTH", 1)
    monkeypatch.setattr(folded, "_WORTH", 1)
    assert answers(drive()) == expected
    assert len(list(filled.glob("pycourier-order-*"))) == 6
    assert len(list(filled.glob("pycourier-threads-*"))) == 3
    assert len(list(filled.glob("pycourier-text-*"))) == 4

    def unused(*_: object) -> None:
        raise AssertionError("there is a memo")

    monkeypatch.setattr(order, "ranks", unused)
    monkeypatch.setattr("courier.maildir.items.Table.pieces", unused)
    monkeypatch.setattr(threads, "_by_date", lambda messages: list(range(len(messages.sent))))
    driven = drive()
    driven.ask("s SELECT INBOX")
    for command, answer in zip(COMMANDS, expected, strict=True):
        if command.endswith(("SEEN", "3,9")):
            continue  # of a part of the folder there are no memos
        assert driven.send(f"a {command}\r\n".encode()) == answer, command


def test_memos_of_another_folder(
    filled: Path, drive: Drive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a message came, or one went, they are made anew."""
    monkeypatch.setattr(keys, "_WORTH", 1)
    monkeypatch.setattr(folded, "_WORTH", 1)
    answers(drive())

    for change in ("deliver", "expunge"):
        if change == "deliver":
            deliver(filled, b"Subject: aaa\nFrom: zzz@x\n\n", number=50, flags="")
        else:
            other = drive()
            other.ask("s SELECT INBOX")
            other.ask("t STORE 5 +FLAGS (\\Deleted)")
            other.ask("e EXPUNGE")
        kept = answers(drive())
        with monkeypatch.context() as patch:
            patch.setattr(keys, "_WORTH", 10_000)
            patch.setattr(folded, "_WORTH", 10_000)
            assert answers(drive()) == kept


@pytest.mark.parametrize("octets", [b"", b"PCmo", b"x" * 500])
def test_damaged_memos(
    filled: Path,
    drive: Drive,
    expected: list[bytes],
    monkeypatch: pytest.MonkeyPatch,
    octets: bytes,
) -> None:
    monkeypatch.setattr(keys, "_WORTH", 1)
    monkeypatch.setattr(folded, "_WORTH", 1)
    answers(drive())
    for kind in ("order", "threads", "text"):
        for path in filled.glob(f"pycourier-{kind}-*"):
            path.write_bytes(octets)

    assert answers(drive()) == expected


@pytest.mark.parametrize("kept", [0, 15])
def test_what_is_not_kept(
    filled: Path,
    drive: Drive,
    expected: list[bytes],
    monkeypatch: pytest.MonkeyPatch,
    kept: int,
) -> None:
    """Nothing could be kept, or of some messages alone: they are read for each command."""
    for path in filled.glob("pycourier-*"):
        path.unlink()
    driven = drive()
    driven.ask("s SELECT INBOX")
    if kept:
        driven.ask(f"f FETCH 1:{kept} ENVELOPE")
    monkeypatch.setattr("imapd.known.ready", read_no_more)

    assert answers(driven) == expected


def test_in_small_runs(
    filled: Path, drive: Drive, expected: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading and sorting in runs changes nothing."""
    monkeypatch.setattr(keys, "_RUN", 7)
    monkeypatch.setattr(folded, "_RUN", 7)
    monkeypatch.setattr(folded, "_WORTH", 1)
    monkeypatch.setattr(matching, "_RUN", 9)
    monkeypatch.setattr(order, "_RUN", 5)

    assert answers(drive()) == expected

"""SEARCH BODY and TEXT with a full-text index: the same answers, and few files opened."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from courier.maildir import folder as folder_module
from courier.maildir import fulltext_builder
from courier.message.collation import Needle
from tests.imapd.conftest import Drive
from tests.imapd.driver import Driven
from tests.support.maildirs import deliver
from tests.support.messages import CATALOGUE, generate

KEYS = [
    *('BODY "the"', "BODY budget", 'BODY "budget figures"', "TEXT example", 'TEXT "subject: "'),
    *("BODY zzqq", "NOT BODY meeting", "OR BODY zzqq TEXT shipping", 'BODY ""', "TEXT ab"),
    *("BODY grüße", "TEXT 月曜日", 'BODY "status: 5"', "NOT TEXT re", "BODY thanks UNSEEN 5:20"),
]


@pytest.fixture
def filled(maildir: Path) -> Path:
    for number, message in enumerate([*generate(30, mean_size=900), *CATALOGUE.values()]):
        deliver(maildir, message, number=number, flags="S" * (number % 2))
    return maildir


def answers(driven: Driven) -> list[bytes]:
    driven.ask("s SELECT INBOX")
    return [driven.send(f"a SEARCH {key}\r\n".encode()) for key in KEYS]


def build(driven: Driven) -> None:
    folder = driven.session.selected.folder
    assert folder.fulltext is not None
    fulltext_builder.build(folder, folder.fulltext)


def test_same_answers(filled: Path, drive: Drive) -> None:
    """With no index, a whole one, and one that is behind."""
    expected = answers(drive())
    driven = drive(IMAP_FULLTEXT="1")
    assert answers(driven) == expected

    build(driven)
    assert answers(driven) == expected

    deliver(filled, b"Subject: late\n\nbudget figures zzqq\n", number=90, flags="")
    assert answers(drive(IMAP_FULLTEXT="1")) == answers(drive())


def test_few_files_are_opened(filled: Path, drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those in which the text may be, and those that came since."""
    deliver(filled, b"Subject: x\n\nzanzibar\n", number=80, flags="")
    driven = drive(IMAP_FULLTEXT="1")
    driven.ask("s SELECT INBOX")
    build(driven)
    deliver(filled, b"Subject: late\n\nlate\n", number=90, flags="")
    driven.ask("n NOOP")
    opened = []
    read = folder_module.Folder.read

    def counted(self: folder_module.Folder, uid: int) -> tuple[bytes, os.stat_result]:
        opened.append(uid)
        return read(self, uid)

    monkeypatch.setattr(folder_module.Folder, "read", counted)
    (response, _) = driven.ask("a UID SEARCH BODY ZanZibar")

    assert len(response.values) == 1
    assert len(opened) == 2


def test_builder_is_started(filled: Path, drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a search in texts, where the setting is on and much is missing."""
    started: list[str] = []
    monkeypatch.setattr(fulltext_builder, "start", lambda folder: started.append(folder.path))
    monkeypatch.setattr(fulltext_builder, "_WORTH", 10)
    for value in ("0", "1"):
        driven = drive(IMAP_FULLTEXT=value)
        driven.ask("s SELECT INBOX")
        driven.ask("a SEARCH SUBJECT x")
        assert started == []
        driven.ask("a SEARCH BODY xyz")
        assert bool(started) == (value == "1")
    build(driven)
    started.clear()
    driven.ask("a SEARCH BODY xyz")
    assert started == []


def test_needles_are_folded_once() -> None:
    """What the index is asked is what a look looks for."""
    assert Needle(" A  b ").text == "a b"

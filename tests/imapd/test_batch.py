"""FETCH from what is known: the same octets as from the message files, which are not opened again."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from courier.maildir import items as maildir_items
from courier.maildir import own_file
from courier.maildir.itemfile import CACHE, ITEMS
from courier.message import facts
from imapd import batch, dates
from imapd.wire import writer
from tests.conftest import NewDirectory
from tests.courier.message.strategies import rubbish
from tests.imapd.driver import Driven
from tests.support.maildirs import deliver, make_maildir
from tests.support.messages import CATALOGUE, generate

pytestmark = pytest.mark.usefixtures("logged")

Drive = Callable[..., Driven]

THUNDERBIRD = (
    "BODY.PEEK[HEADER.FIELDS (From To Cc Bcc Subject Date Message-ID Priority X-Priority References "
    "Newsgroups In-Reply-To Content-Type Reply-To)]"
)
ITEM_LISTS = (
    "ALL",
    "FULL",
    "(UID FLAGS)",
    "(BODYSTRUCTURE RFC822.SIZE)",
    f"(UID RFC822.SIZE FLAGS {THUNDERBIRD})",
    "(BODY.PEEK[HEADER.FIELDS (date)] BODY.PEEK[HEADER.FIELDS (SUBJECT X-Tuid)])",
    "BODY.PEEK[HEADER.FIELDS (List-Id)]",
)


def from_known_and_files(driven: Driven, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compare both ways of answering, twice: while it becomes known, and when it is."""
    for items in ITEM_LISTS:
        for command in ("FETCH", "UID FETCH"):
            line = f"a {command} 1:* {items}\r\n".encode()
            first, second = driven.send(line), driven.send(line)
            with monkeypatch.context() as patch:
                patch.setattr(batch, "batch", lambda *_, **__: None)
                from_files = driven.send(line)
            assert first == second == from_files


def test_catalogue(drive: Drive, maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, message in enumerate([*CATALOGUE.values(), *generate(20)]):
        deliver(maildir, message, number=number, flags="S" * (number % 2))
    driven = drive()
    driven.send(b"s SELECT INBOX\r\n")

    from_known_and_files(driven, monkeypatch)


def test_catalogue_with_utf8(drive: Drive, maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that has enabled UTF8=ACCEPT is told the other form, another one still the first."""
    for number, message in enumerate(CATALOGUE.values()):
        deliver(maildir, message, number=number)
    driven = drive(IMAP_CAPABILITY="IMAP4rev1 UTF8=ACCEPT ENABLE")
    assert b"ENABLED" in driven.send(b"e ENABLE UTF8=ACCEPT\r\n")
    driven.send(b"s SELECT INBOX\r\n")

    from_known_and_files(driven, monkeypatch)
    other = drive()
    other.send(b"s SELECT INBOX\r\n")
    from_known_and_files(other, monkeypatch)


@pytest.mark.slow
@hypothesis_settings(
    max_examples=30,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(rubbish, min_size=1, max_size=6))
def test_any_messages(
    new_directory: NewDirectory, monkeypatch: pytest.MonkeyPatch, data: list[bytes]
) -> None:
    maildir = make_maildir(new_directory("any") / "Maildir")
    for number, message in enumerate(data):
        deliver(maildir, message, number=number)
    driven = Driven(maildir)
    driven.send(b"s SELECT INBOX\r\n")

    from_known_and_files(driven, monkeypatch)


def test_no_file_is_opened_again(drive: Drive, maildir: Path, opened: list[str]) -> None:
    """By this session or a later one, whatever is asked that is known."""
    for number, message in enumerate(generate(5)):
        deliver(maildir, message, number=number)
    first = drive()
    first.send(b"s SELECT INBOX\r\n", b"a FETCH 1:* ENVELOPE\r\n")
    assert len(opened) == 5
    second = drive()
    second.send(b"s SELECT INBOX\r\n")

    for items in ITEM_LISTS:
        second.send(f"a FETCH 1:* {items}\r\n".encode())

    assert len(opened) == 5


def test_only_what_is_asked_for_is_read(drive: Drive, maildir: Path, opened: list[str]) -> None:
    """A client that starts with the newest messages does not wait for all the others."""
    for number, message in enumerate(generate(20)):
        deliver(maildir, message, number=number)
    driven = drive()
    driven.send(b"s SELECT INBOX\r\n", b"a FETCH 18:* ENVELOPE\r\n")
    assert len(opened) == 3

    driven.send(b"a FETCH 5,17:19 ENVELOPE\r\n")

    assert len(opened) == 5


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_random_changes(
    drive: Drive, maildir: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Two sessions, a delivering program, one that removes, damages or restores the files: all agree."""
    chance = random.Random(seed)
    messages = list(generate(60, mean_size=800, seed=seed))
    sessions = [drive(), drive()]
    monkeypatch.setattr(maildir_items, "_UNSORTED_LEAST", 3)
    monkeypatch.setattr(maildir_items, "_COMPACT_LEAST", 0)
    saved: dict[str, bytes] = {}
    number = 0
    for _ in range(120):
        match chance.randrange(8):
            case 0 | 1 | 2:
                for _ in range(chance.randint(1, 4)):
                    deliver(maildir, messages[number % 60], number=number)
                    number += 1
            case 3:
                for path in chance.sample(there := [*(maildir / "cur").iterdir()], len(there) // 4):
                    path.unlink()
            case 4:
                for name in (ITEMS, CACHE):
                    if chance.randrange(2) and (maildir / name).exists():
                        (maildir / name).unlink()
            case 5:
                saved = {n: (maildir / n).read_bytes() for n in _kept(maildir)}
            case 6:
                for name, data in saved.items():
                    (maildir / "tmp" / name).write_bytes(data)
                    (maildir / "tmp" / name).chmod(0o600)
                    (maildir / "tmp" / name).rename(maildir / name)
            case 7:
                sessions[chance.randrange(2)] = drive()
        driven = chance.choice(sessions)
        driven.send(b"s SELECT INBOX\r\n" if chance.randrange(3) else b"n NOOP\r\n")
        line = b"a FETCH 1:* (ENVELOPE RFC822.SIZE BODYSTRUCTURE)\r\n"
        with monkeypatch.context() as patch:
            patch.setattr(batch, "batch", lambda *_, **__: None)
            from_files = driven.send(line)
        assert driven.send(line) == from_files


def _kept(maildir: Path) -> list[str]:
    return [name for name in (ITEMS, CACHE) if (maildir / name).exists()]


def test_dates_alone(drive: Drive, maildir: Path, opened: list[str]) -> None:
    """They are no reason to read messages, known or not."""
    for number in range(6):
        path = maildir / "cur" / deliver(maildir, b"x\n", number=number)
        os.utime(next((maildir).glob(f"*/{path.name}*")), (0, 1_700_000_000 + number))
    driven = drive()
    driven.send(b"s SELECT INBOX\r\n")
    expected = driven.send(b"a FETCH 1:* (UID INTERNALDATE FLAGS)\r\n")
    assert opened == []
    assert b"2023 22:13:25 +0000" in expected

    driven.send(b"b FETCH 2:3,5 ENVELOPE\r\n")

    assert driven.send(b"a FETCH 1:* (UID INTERNALDATE FLAGS)\r\n") == expected
    assert len(opened) == 3


def test_text_too_large_to_keep(drive: Drive, maildir: Path, opened: list[str]) -> None:
    """It is read from the file each time."""
    deliver(maildir, b"Subject: a\n\nb\n", number=1)
    deliver(maildir, b"To: " + b"a@example.com, " * 20_000 + b"\n\nx\n", number=2)
    driven = drive()
    driven.send(b"s SELECT INBOX\r\n")

    lines = [driven.ask("a FETCH 1:* ENVELOPE") for _ in range(2)]

    assert [r.name for r in lines[0]] == ["FETCH", "FETCH", "OK"]
    assert lines[0] == lines[1]
    assert len(opened) == 2  # it is not learnt again


def test_message_that_is_gone(drive: Drive, maildir: Path) -> None:
    """Known or not, it is told until the client may hear that it is gone; never what is not known."""
    for number in range(3):
        deliver(maildir, b"Subject: %d\n\nx\n" % number, number=number)
    driven = drive()
    driven.send(b"s SELECT INBOX\r\n", b"a FETCH 1 ENVELOPE\r\n")
    for path in sorted((maildir / "cur").iterdir())[:2]:
        path.unlink()

    responses = driven.ask("b FETCH 1:3 ENVELOPE")

    assert [r.number for r in responses if r.name == "FETCH"] == [1, 3]
    assert responses[-1].code == "EXPUNGEISSUED"


@pytest.mark.parametrize("name", [ITEMS, CACHE])
def test_files_damaged_in_use(drive: Drive, maildir: Path, name: str) -> None:
    """The answers are right, and the next session's too."""
    for number, message in enumerate(generate(10)):
        deliver(maildir, message, number=number)
    first = drive()
    first.send(b"s SELECT INBOX\r\n")
    right = first.send(b"a FETCH 1:* (ENVELOPE BODYSTRUCTURE)\r\n")
    data = bytearray((maildir / name).read_bytes())
    for at in range(len(data) // 2, len(data), 100):
        data[at] ^= 1
    (maildir / name).write_bytes(data)

    for _ in range(2):
        driven = drive()
        driven.send(b"s SELECT INBOX\r\n")
        assert driven.send(b"a FETCH 1:* (ENVELOPE BODYSTRUCTURE)\r\n") == right


def test_full_disk(drive: Drive, maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Costs a line in the log, and the time to find everything again in the next process."""
    for number, message in enumerate(generate(3)):
        deliver(maildir, message, number=number)
    write = own_file.write

    def full(fd: int, data: bytes, at: int) -> None:
        if not os.readlink(f"/proc/self/fd/{fd}").startswith("/memfd:"):
            raise OSError(errno.ENOSPC, "No space left on device")
        write(fd, data, at)

    driven = drive()
    driven.send(b"s SELECT INBOX\r\n", b"a FETCH 1 ENVELOPE\r\n")
    monkeypatch.setattr(own_file, "write", full)
    other = drive()
    other.send(b"s SELECT INBOX\r\n")

    both = [each.send(b"a FETCH 1:* (ENVELOPE BODY)\r\n") for each in (driven, other) * 2]

    assert both[0].count(b"ENVELOPE (") == 3
    assert len(set(both)) == 1


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/New_York"])
def test_dates(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each as it would be written on its own, also on days when clocks are changed."""
    monkeypatch.setenv("TZ", zone)
    dates.time.tzset()
    moments = [*range(1_774_000_000, 1_777_000_000, 1801), -1, 0, 1, -(1 << 40), 1 << 40, 1 << 62]

    written = dates.date_times(moments)
    alone = [writer.date_time(moment) for moment in moments]

    monkeypatch.undo()
    dates.time.tzset()
    assert written == alone


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The messages that were read, as they come."""
    read: list[str] = []
    describe = facts.describe

    def noted(data: bytes) -> facts.Facts:
        read.append("described")
        return describe(data)

    monkeypatch.setattr(facts, "describe", noted)
    return read

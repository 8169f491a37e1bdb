"""Several messages in one APPEND (RFC 3502), literals that don't wait (RFC 7888), limits (RFC 7889)."""

from __future__ import annotations

import errno
import itertools
import os
import re
from pathlib import Path

import pytest

from tests.imapd.conftest import Drive
from tests.imapd.driver import Driven
from tests.imapd.failing import failing_call
from tests.imapd.responses import Response, read
from tests.support.maildirs import make_folder, message_files

pytestmark = pytest.mark.usefixtures("logged")

INVALID = b"BAD Error in IMAP command received by server."


def fetched(driven: Driven, items: str) -> list[tuple[object, ...]]:
    """The items of each message of INBOX, in their order."""
    driven.send(b"s SELECT INBOX\r\n")
    found = driven.ask(f"f FETCH 1:* ({items})")
    return [
        tuple(value for _, value in response.values)  # type: ignore[misc, attr-defined]
        for response in found
        if response.name == "FETCH"
    ]


def completion(sent: bytes) -> Response:
    return read(sent)[-1]


@pytest.mark.parametrize("plus", [b"", b"+"])
def test_each_with_what_is_its_own(driven: Driven, plus: bytes) -> None:
    """Flags and date stand before each message; their UIDs are told as a set, in their order."""
    sent = driven.send(
        b'a APPEND INBOX (\\Seen) "05-Jan-2020 10:20:30 +0000" {3%b}\r\n' % plus,
        b"one (kw \\Draft) {3%b}\r\n" % plus,
        b'two "06-Jan-2020 10:20:30 +0000" {5%b}\r\n' % plus,
        b"three\r\n",
    )

    code = completion(sent).code
    assert sent.count(b"+ OK\r\n") == (0 if plus else 3)
    assert re.fullmatch(r"APPENDUID \d+ 1:3", code), sent
    assert fetched(driven, "UID FLAGS BODY.PEEK[]") == [
        (1, [b"\\Seen", b"\\Recent"], b"one\r\n"),
        (2, [b"\\Draft", b"\\Recent", b"kw"], b"two\r\n"),
        (3, [b"\\Recent"], b"three\r\n"),
    ]
    dates = [date for (date,) in fetched(driven, "INTERNALDATE")]
    assert [dates[0], dates[2]] == [
        b'"05-Jan-2020 10:20:30 +0000"',
        b'"06-Jan-2020 10:20:30 +0000"',
    ]


def test_one_exists_for_all(driven: Driven) -> None:
    """The selected mailbox grows once; nobody sees a part of them before."""
    driven.send(b"s SELECT INBOX\r\n")

    sent = driven.send(b"a APPEND INBOX {1+}\r\nx {1+}\r\ny {1+}\r\nz\r\n")

    assert [one.number for one in read(sent) if one.name == "EXISTS"] == [3]


@pytest.mark.parametrize(
    ("second", "refusal"),
    [
        (b" {0}\r\n", b"NO Message is empty, nothing is appended."),
        (b" (\\Recent) {1}\r\n", INVALID),
        (b" (\\Seen {1}\r\n", INVALID),
        (b" x {1}\r\n", INVALID),
        (b"{1}\r\n", INVALID),
        (b" UTF8 (~{1}\r\n", INVALID),
        (b" {2000}\r\n", b"NO [TOOBIG] Message is too large."),
        (b" INBOX {1}\r\n", INVALID),
    ],
)
@pytest.mark.parametrize("plus", [b"", b"+"])
def test_one_that_is_refused(
    drive: Drive, maildir: Path, second: bytes, refusal: bytes, plus: bytes
) -> None:
    """None of them is stored, what was sent of the rest is passed over, and the next command is served.

    A message of no octets cancels the command (RFC 3502).
    """
    driven = drive(IMAP_MAX_APPEND="1000")
    second = second.replace(b"}", plus + b"}")
    size = re.search(rb"\{(\d+)\+", second)
    sent = driven.send(b"a APPEND INBOX {1%b}\r\n" % plus, b"x" + second)
    if size is not None:
        sent += driven.send(b"x" * int(size[1]) + b" {12+}\r\nx LOGOUT\r\n\r\n\r\n")
    sent += driven.send(b"b NOOP\r\n")

    expected = b"a %b\r\nb OK NOOP completed\r\n" % refusal
    assert sent.removeprefix(b"+ OK\r\n") == expected
    assert message_files(maildir) == {}
    assert os.listdir(maildir / "tmp") == []


def test_utf8_among_others(driven: Driven, maildir: Path) -> None:
    """RFC 6855 4: its literal is in parentheses, the next one's is not."""
    driven.send(b"e ENABLE UTF8=ACCEPT\r\n")

    sent = driven.send(b"a APPEND INBOX UTF8 (~{2+}\r\n\xc3\xa9) {1+}\r\nx UTF8 (~{1+}\r\ny)\r\n")

    assert completion(sent).code.endswith(" 1:3")
    assert fetched(driven, "BODY.PEEK[]") == [(b"\xc3\xa9\r\n",), (b"x\r\n",), (b"y\r\n",)]


def test_quota_for_all(driven: Driven, maildir: Path) -> None:
    """Where all together exceed it, there is none of them."""
    (maildir / "maildirsize").write_bytes(b"0S,2C\n%12d %12d\n" % (0, 0))

    sent = driven.send(b"a APPEND INBOX {1+}\r\nx {1+}\r\ny {1+}\r\nz\r\n")

    assert completion(sent).code == "OVERQUOTA"
    assert message_files(maildir) == {}
    assert completion(driven.send(b"b APPEND INBOX {1+}\r\nx {1+}\r\ny\r\n")).name == "OK"


def test_quota_before_all_have_come(
    driven: Driven, maildir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What can't land any more is not asked for: nobody fills the disk by way of tmp/."""
    monkeypatch.setattr("imapd.commands.append._UNCHECKED", 8)
    (maildir / "maildirsize").write_bytes(b"10S\n%12d %12d\n" % (0, 0))

    sent = driven.send(b"a APPEND INBOX {6+}\r\nxxxxxx {6+}\r\nyyyyyy {6}\r\n")

    assert completion(sent).code == "OVERQUOTA"
    assert b"+ OK" not in sent
    assert message_files(maildir) == {}
    assert os.listdir(maildir / "tmp") == []
    assert b"+ OK" in driven.send(b"b APPEND INBOX {3+}\r\nxxx {3}\r\n")
    assert completion(driven.send(b"yyy\r\n")).name == "OK"


def test_message_limit(driven: Driven, maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody fills tmp/ with files without end."""
    monkeypatch.setattr("imapd.commands.append._MAX_MESSAGES", 3)

    sent = driven.send(b"a APPEND INBOX {1+}\r\nx" + b" {1+}\r\nx" * 3 + b"\r\n")

    assert sent == b"a NO [LIMIT] Too many messages in one command.\r\n"
    assert completion(driven.send(b"a APPEND INBOX {1+}\r\nx" + b" {1+}\r\nx" * 2 + b"\r\n"))
    assert len(message_files(maildir)) == 3
    assert os.listdir(maildir / "tmp") == []


@pytest.mark.parametrize(("multiple", "stored"), [("0", 0), ("1", 2)])
def test_outbox(drive: Drive, maildir: Path, multiple: str, stored: int) -> None:
    """Several are sent at once only where OUTBOX_MULTIPLE_SEND lets COPY do the same."""
    folder = make_folder(maildir, "INBOX.Out")
    driven = drive(OUTBOX=".Out", SENDMAIL="/bin/true", OUTBOX_MULTIPLE_SEND=multiple)

    sent = driven.send(b"a APPEND INBOX.Out {1+}\r\nx {1+}\r\ny\r\n")

    assert completion(sent).name == ("OK" if stored else "NO")
    assert len(message_files(folder)) == stored


def test_client_gone_between(driven: Driven, maildir: Path) -> None:
    """Whoever leaves before the end has appended nothing."""
    driven.send(b"a APPEND INBOX {1+}\r\nx {1000}\r\n", b"y")

    driven.close()

    assert message_files(maildir) == {}
    assert os.listdir(maildir / "tmp") == []


@pytest.mark.slow
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_every_system_call_failing(tmp_path: Path, code: int) -> None:
    """OK and all of them, or NO and none; never anything in tmp/."""
    refused = stored = 0
    for number in itertools.count():
        maildir = tmp_path / f"M{number}"
        for name in ("tmp", "new", "cur"):
            (maildir / name).mkdir(parents=True)
        driven = Driven(maildir, {"IMAP_FSYNC": "1"})
        driven.send(b"s SELECT INBOX\r\n")

        with failing_call(number, code) as calls:
            sent = driven.send(b"a APPEND INBOX {1+}\r\nx (kw) {1+}\r\ny (\\Seen) {1+}\r\nz\r\n")
        if calls.failed is None:
            break

        there = len(message_files(maildir))
        assert there == (3 if completion(sent).name == "OK" else 0), (calls.failed, number, sent)
        assert os.listdir(maildir / "tmp") == [], (calls.failed, number)
        refused += not there
        stored += bool(there)
    assert refused > 15
    assert stored > 0


# -- literals that don't wait ---------------------------------------------------------------------

MINUS = "IMAP4rev1 LITERAL+ LITERAL-"


def test_literal_minus_is_announced_alone(drive: Drive) -> None:
    """RFC 7888 5: never both. LITERAL+ is what there is if the administrator says nothing."""
    (told, _) = drive(IMAP_CAPABILITY=MINUS).ask("a CAPABILITY")
    assert b"LITERAL-" in told.values
    assert b"LITERAL+" not in told.values

    (told, _) = drive(IMAP_CAPABILITY=None).ask("a CAPABILITY")
    assert b"LITERAL+" in told.values
    assert b"LITERAL-" not in told.values


@pytest.mark.parametrize(
    ("size", "plus", "name"),
    [(4096, b"+", "OK"), (4097, b"+", "BAD"), (4097, b"", "OK")],
)
@pytest.mark.parametrize("command", [b"APPEND INBOX", b"APPEND INBOX {1+}\r\nx"])
def test_literal_minus(
    drive: Drive, maildir: Path, command: bytes, size: int, plus: bytes, name: str
) -> None:
    """What is larger than 4096 octets has to wait; what comes all the same is no command."""
    driven = drive(IMAP_CAPABILITY=MINUS)
    sent = driven.send(b"a %b {%d%b}\r\n" % (command, size, plus))
    sent += driven.send(b"x" * size + b"\r\n")
    sent += driven.send(b"b NOOP\r\n")

    (done, after) = [one for one in read(sent) if one.is_tagged]
    assert (done.tag, done.name) == (b"a", name)
    assert done.code == "TOOBIG" if name == "BAD" else done.code.startswith("APPENDUID")
    assert (after.tag, after.name) == (b"b", "OK")
    assert bool(message_files(maildir)) == (name == "OK")


def test_literal_minus_of_an_argument(drive: Drive) -> None:
    """Any command's."""
    driven = drive(IMAP_CAPABILITY=MINUS)

    sent = driven.send(b"a STATUS {5000+}\r\n" + b"x" * 5000 + b" (MESSAGES)\r\nb NOOP\r\n")

    assert [(one.name, one.code) for one in read(sent)] == [("BAD", "TOOBIG"), ("OK", "")]


# -- limits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "word", "value"),
    [
        ("0", b"APPENDLIMIT", None),
        ("257890", b"APPENDLIMIT=257890", 257890),
        ("4294967295", b"APPENDLIMIT=4294967295", 4294967295),
        ("4294967296", b"APPENDLIMIT", None),
    ],
)
def test_appendlimit(drive: Drive, setting: str, word: bytes, value: int | None) -> None:
    """RFC 7889 2 and 3: one limit for all mailboxes, or NIL; nothing is counted for it."""
    driven = drive(IMAP_MAX_APPEND=setting)

    assert word in driven.ask("a CAPABILITY")[0].values
    assert driven.ask("b STATUS INBOX (APPENDLIMIT MESSAGES)")[0].values == (
        b"INBOX",
        {"MESSAGES": 0, "APPENDLIMIT": value},
    )
    assert not [
        one
        for one in drive(IMAP_EXTENSIONS="0").ask("a CAPABILITY")[0].values
        if str(one).startswith("APPENDLIMIT")
    ]


def test_more_than_a_size_can_say(driven: Driven) -> None:
    """RFC822.SIZE is a number of 32 bits (RFC 3501 9)."""
    sent = driven.send(b"a APPEND INBOX {4294967296}\r\n")

    assert sent == b"a NO [TOOBIG] Message is too large.\r\n"

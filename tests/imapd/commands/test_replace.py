"""REPLACE and UID REPLACE (RFC 8508): a new message in the place of an old one."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest

from tests.imapd.conftest import Drive
from tests.imapd.driver import Driven
from tests.imapd.failing import failing_call
from tests.imapd.responses import read
from tests.support.maildirs import deliver, make_folder

pytestmark = pytest.mark.usefixtures("logged")

INVALID = b"BAD Error in IMAP command received by server."


def contents(folder: Path) -> set[bytes]:
    return {path.read_bytes() for where in ("cur", "new") for path in (folder / where).iterdir()}


@pytest.fixture
def ready(maildir: Path, driven: Driven) -> Driven:
    """Three messages, UIDs 1 to 3, in the selected INBOX; an empty INBOX.d."""
    for number in range(1, 4):
        deliver(maildir, b"old %d\n" % number, number=number, flags="S")
    make_folder(maildir, "INBOX.d")
    driven.send(b"s SELECT INBOX\r\n")
    return driven


@pytest.mark.parametrize(
    ("command", "replaced"),
    [("REPLACE 2", 2), ("UID REPLACE 2", 2), ("REPLACE *", 3), ("UID REPLACE *", 3)],
)
@pytest.mark.parametrize("plus", [b"", b"+"])
def test_in_the_same_mailbox(
    ready: Driven, maildir: Path, command: str, replaced: int, plus: bytes
) -> None:
    """APPENDUID is told before EXPUNGE (RFC 8508 4.3), and nothing is inherited from the old one."""
    sent = ready.send(b"a %b INBOX (\\Draft) {3%b}\r\n" % (command.encode(), plus), b"new\r\n")

    told = [one for one in read(sent) if one.tag != b"+" and one.name != "RECENT"]
    assert [(one.name, one.number) for one in told] == [
        ("OK", 0),
        ("EXPUNGE", replaced),
        ("EXISTS", 3),
        ("OK", 0),
    ]
    assert told[0].code.startswith("APPENDUID ")
    assert told[0].code.endswith(" 4")
    assert contents(maildir) == {b"new\n"} | {
        b"old %d\n" % number for number in {1, 2, 3} - {replaced}
    }
    (fetched, _) = ready.ask("f FETCH 3 (UID FLAGS)")
    assert dict(fetched.values) == {b"UID": 4, b"FLAGS": [b"\\Draft", b"\\Recent"]}  # type: ignore[arg-type]


def test_in_another_mailbox(ready: Driven, maildir: Path) -> None:
    """The old one goes from the selected mailbox, wherever the new one comes to."""
    told = read(ready.send(b"a UID REPLACE 1 INBOX.d {3+}\r\nnew\r\n"))

    assert [one.name for one in told if one.name != "RECENT"] == ["OK", "EXPUNGE", "EXISTS", "OK"]
    assert [one.number for one in told if one.name == "EXISTS"] == [2]
    assert contents(maildir) == {b"old 2\n", b"old 3\n"}
    assert contents(maildir / ".d") == {b"new\n"}


def test_catenated(ready: Driven, maildir: Path) -> None:
    """From the very message that it replaces (RFC 8508 4.2)."""
    sent = ready.send(b'a UID REPLACE 2 INBOX CATENATE (TEXT {4+}\r\nx: y URL "/INBOX/;UID=2")\r\n')

    assert read(sent)[-1].name == "OK"
    assert contents(maildir) == {b"x: yold 2\n", b"old 1\n", b"old 3\n"}


def test_with_qresync(ready: Driven) -> None:
    """As with UID EXPUNGE: VANISHED, and HIGHESTMODSEQ in the completion (RFC 8508 4.5)."""
    ready.send(b"e ENABLE QRESYNC\r\n")

    told = read(ready.send(b"a UID REPLACE 2 INBOX {3+}\r\nnew\r\n"))

    assert "VANISHED" in [one.name for one in told]
    assert told[-1].code.startswith("HIGHESTMODSEQ ")


@pytest.mark.parametrize(
    ("command", "completion"),
    [
        (b"UID REPLACE 9 INBOX", b"NO [NONEXISTENT] There is no such message to be replaced."),
        (b"REPLACE 4 INBOX", b"BAD Invalid message sequence number: 4"),
        (b"REPLACE 0 INBOX", INVALID),
        (b"REPLACE 1:2 INBOX", INVALID),
        (b"REPLACE 1,2 INBOX", INVALID),
        (b"REPLACE $ INBOX", INVALID),
        (b"REPLACE 1 INBOX (\\Recent)", INVALID),
        (b"REPLACE 1 INBOX.none", b"NO [TRYCREATE] Must create mailbox before append"),
        (b"REPLACE 1 elsewhere", None),
    ],
)
@pytest.mark.parametrize("plus", [b"", b"+"])
def test_refused(
    ready: Driven, maildir: Path, command: bytes, completion: bytes | None, plus: bytes
) -> None:
    """Before the message is asked for; the old one stays."""
    sent = ready.send(b"a " + command + b" {10%b}\r\n" % plus)
    if plus:
        sent += ready.send(b"x LOGOUT\r\n\r\n")
    sent += ready.send(b"b NOOP\r\n")

    if completion is None:
        assert sent.startswith(b"a NO ")
        assert sent.endswith(b"\r\nb OK NOOP completed\r\n")
    else:
        assert sent == b"a " + completion + b"\r\nb OK NOOP completed\r\n"
    assert len(contents(maildir)) == 3


@pytest.mark.parametrize(
    "message",
    [b"{0+}\r\n", b"{3+}\r\nnew {3+}\r\nnew", b"{3+}\r\nnew x", b'CATENATE (URL "/INBOX/;UID=9")'],
)
def test_message_that_is_none(ready: Driven, maildir: Path, message: bytes) -> None:
    """There is one message and no more (RFC 8508 4.7)."""
    sent = ready.send(b"a REPLACE 1 INBOX " + message + b"\r\n")

    assert read(sent)[-1].name in ("NO", "BAD")
    assert len(contents(maildir)) == 3
    assert read(ready.send(b"b NOOP\r\n"))[-1].name == "OK"


def test_state(driven: Driven, maildir: Path) -> None:
    """Only of a selected mailbox (RFC 8508 3.5), and of none that is read-only."""
    deliver(maildir, b"old\n", number=1)
    assert driven.send(b"a REPLACE 1 INBOX {3}\r\n") == b"a " + INVALID + b"\r\n"
    driven.send(b"s EXAMINE INBOX\r\n")

    assert driven.send(b"a REPLACE 1 INBOX {3}\r\n") == (
        b"a NO [READ-ONLY] Current box is selected READ-ONLY.\r\n"
    )


@pytest.mark.parametrize("right", ["t", "e"])
def test_rights(ready: Driven, maildir: Path, right: str) -> None:
    """Those of STORE and EXPUNGE, beside that of APPEND (RFC 8508 4.1)."""
    folder = make_folder(maildir, "INBOX.shared")
    deliver(folder, b"old\n", number=9)
    rights = "lrswipkxtea".replace(right, "")
    ready.send(f"s SETACL INBOX.shared owner {rights}\r\ns SELECT INBOX.shared\r\n".encode())

    (refused,) = ready.ask("a REPLACE 1 INBOX.shared {3}")

    assert (refused.name, refused.code) == ("NO", "NOPERM")
    assert f'"{right}" required' in refused.line
    assert len(contents(folder)) == 1


def test_quota(ready: Driven, maildir: Path) -> None:
    """Only the difference counts: a full account can still be edited (RFC 8508 3.4)."""
    (maildir / "maildirsize").write_bytes(b"21S,3C\n%12d %12d\n" % (18, 3))

    assert read(ready.send(b"a REPLACE 1 INBOX {8+}\r\nsmaller.\r\n"))[-1].name == "OK"
    assert read(ready.send(b"b REPLACE 1 INBOX {30+}\r\n%b\r\n" % (b"x" * 30)))[-1].code == (
        "OVERQUOTA"
    )
    assert len(contents(maildir)) == 3


def test_by_way_of_the_trash(drive: Drive, ready: Driven, maildir: Path) -> None:
    """As with UID EXPUNGE, whose effect it has (RFC 8508 3.4)."""
    driven = drive(IMAP_MOVE_EXPUNGE_TO_TRASH="1")
    driven.send(b"s SELECT INBOX\r\n")

    assert read(driven.send(b"a REPLACE 1 INBOX {3+}\r\nnew\r\n"))[-1].name == "OK"
    assert contents(maildir / ".Trash") == {b"old 1\n"}
    assert contents(maildir) == {b"old 2\n", b"old 3\n", b"new\n"}


def test_removed_meanwhile(ready: Driven, maildir: Path) -> None:
    """By somebody else, while the client was sending: NO, and the new one is not stored."""
    ready.send(b"a REPLACE 1 INBOX {3}\r\n")
    next(path for path in (maildir / "cur").iterdir() if path.read_bytes() == b"old 1\n").unlink()

    sent = ready.send(b"new\r\n")

    assert (read(sent)[-1].name, read(sent)[-1].code) == ("NO", "NONEXISTENT")
    assert contents(maildir) == {b"old 2\n", b"old 3\n"}
    assert os.listdir(maildir / "tmp") == []


@pytest.mark.slow
def test_every_system_call_failing(tmp_path: Path) -> None:
    """OK and the new one alone, or NO and the old one: never both lost, nothing in tmp/.

    Both are there only where what was landed can't be taken back.
    """
    refused = 0
    for number in itertools.count():
        maildir = tmp_path / f"M{number}"
        for name in ("tmp", "new", "cur"):
            (maildir / name).mkdir(parents=True)
        deliver(maildir, b"old\n", number=1, flags="S")
        driven = Driven(maildir, {"IMAP_FSYNC": "1"})
        driven.send(b"s SELECT INBOX\r\n")

        with failing_call(number) as calls:
            sent = driven.send(b"a REPLACE 1 INBOX (kw) {3+}\r\nnew\r\n")
        if calls.failed is None:
            break

        there = contents(maildir)
        if read(sent)[-1].name == "OK":
            assert there == {b"new\n"}, (calls.failed, number)
        else:
            assert there == {b"old\n"}, (calls.failed, number, sent)
            assert b"EXPUNGE" not in sent
            refused += 1
        assert os.listdir(maildir / "tmp") == [], (calls.failed, number)
        assert read(driven.send(b"b SELECT INBOX\r\n"))[-1].name == "OK"
    assert refused > 10


def test_message_that_cannot_be_removed(
    ready: Driven, maildir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NO, the old one stays, and the new one is taken back: the quota is what it was."""
    (maildir / "maildirsize").write_bytes(b"1000S\n%12d %12d\n" % (18, 3))

    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied", "x")

    monkeypatch.setattr("imapd.removal.remove", refuse)
    told = read(ready.send(b"a REPLACE 1 INBOX {3+}\r\nnew\r\n"))

    assert (told[-1].name, len(told)) == ("NO", 1)
    assert contents(maildir) == {b"old 1\n", b"old 2\n", b"old 3\n"}
    lines = [line.split() for line in (maildir / "maildirsize").read_bytes().splitlines()[1:]]
    assert [sum(int(line[column]) for line in lines) for column in (0, 1)] == [18, 3]

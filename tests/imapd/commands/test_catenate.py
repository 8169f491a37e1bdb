"""CATENATE (RFC 4469): messages made of literals and of parts of other messages."""

from __future__ import annotations

import os
import socket
import tracemalloc
from pathlib import Path

import pytest

from tests.imapd.conftest import Drive
from tests.imapd.driver import Driven
from tests.imapd.responses import Response, read
from tests.support.maildirs import deliver, make_folder, message_files

pytestmark = pytest.mark.usefixtures("logged")

MESSAGE = b"""\
Subject: one
To: x@y
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: text/plain

first
part
--b
Content-Type: application/zip

second
--b--
"""
INVALID = b"BAD Error in IMAP command received by server."


@pytest.fixture
def ready(maildir: Path, driven: Driven) -> Driven:
    """A message with UID 1 in INBOX, an empty INBOX.d; nothing is selected."""
    deliver(maildir, MESSAGE, number=1)
    make_folder(maildir, "INBOX.d")
    driven.send(b"s STATUS INBOX (UIDNEXT)\r\ns EXAMINE INBOX\r\ns UNSELECT\r\n")
    return driven


def appended(driven: Driven, parts: bytes, *, to: bytes = b"INBOX.d") -> Response:
    return read(driven.send(b"a APPEND " + to + b" CATENATE (" + parts + b")\r\n"))[-1]


def only(maildir: Path) -> bytes:
    (path,) = (maildir / ".d" / "cur").iterdir()
    return path.read_bytes()


HEADER = b"Subject: one\nTo: x@y\nContent-Type: multipart/mixed; boundary=b\n\n"


@pytest.mark.parametrize(
    ("parts", "content"),
    [
        (b'URL "/INBOX/;UID=1"', MESSAGE),
        (b"URL {13+}\r\n/INBOX/;UID=1", MESSAGE),
        (b'URL "/INBOX/;UID=1/;SECTION=HEADER" TEXT {7+}\r\nnew\r\nxy', HEADER + b"new\nxy"),
        (b'TEXT {6+}\r\na: b\r\n TEXT {2+}\r\n\r\n URL "/INBOX/;UID=1/;SECTION=1"', None),
        (
            b'URL "/INBOX/;UID=1/;SECTION=1.MIME" URL "/INBOX/;UID=1/;SECTION=1"',
            b"Content-Type: text/plain\n\nfirst\npart",
        ),
        (b'URL "/INBOX/;UID=1/;SECTION=2" URL "/INBOX/;UID=1/;SECTION=2"', b"secondsecond"),
        (b'URL "/INBOX/;UID=1/;SECTION=TEXT/;PARTIAL=0.3"', b"--b"),
        (b'URL "/INBOX/;UID=1/;PARTIAL=9.3"', b"one"),
        (b'URL "/inbox/;UID=1/;SECTION=HEADER.FIELDS%20(To)"', b"To: x@y\n\n"),
        (b"TEXT {0+}\r\n TEXT {1+}\r\nx", b"x"),
        (b"TEXT {4+}\r\nx\ry\n", b"x\ry\n"),
        (b"TEXT {2+}\r\nx\r TEXT {2+}\r\n\ny", b"x\ny"),
    ],
)
def test_content(ready: Driven, maildir: Path, parts: bytes, content: bytes | None) -> None:
    """Octets are copied as they are, one part after the other, and nothing is put between them."""
    completion = appended(ready, parts)

    assert completion.name == "OK", completion
    assert completion.code.startswith("APPENDUID ")
    assert only(maildir) == (content or b"a: b\n\nfirst\npart")
    assert not any("S" in flags for flags in message_files(maildir).values())
    assert os.listdir(maildir / ".d" / "tmp") == []


def test_waiting_client(ready: Driven, maildir: Path) -> None:
    """Each literal is asked for when its turn comes, URLs before it have been looked at."""
    sent = ready.send(
        b'a APPEND INBOX.d (\\Draft) CATENATE (URL "/INBOX/;UID=1/;SECTION=2" TEXT {3}\r\n'
    )
    assert sent == b"+ OK\r\n"
    assert ready.send(b"abc URL {24}\r\n") == b"+ OK\r\n"
    sent = ready.send(b"/INBOX/;UID=1/;SECTION=1 TEXT {1}\r\n")
    assert sent == b"+ OK\r\n"
    assert b"a OK [APPENDUID " in ready.send(b"d)\r\n")
    assert only(maildir) == b"secondabcfirst\npartd"


@pytest.mark.parametrize(
    "url",
    [
        *("/INBOX/;UID=2", "/INBOX.none/;UID=1", "/elsewhere/;UID=1", "/;UID=1", ";UID=1"),
        *("/INBOX;UIDVALIDITY=1/;UID=1", "/INBOX/;UID=1/;SECTION=3", "/INBOX/;UID=1/;SECTION=1.1"),
        *("nonsense", "", "imap://user@elsewhere.example/INBOX/;UID=1", "http://x/"),
        *("/INBOX/;UID=1/;SECTION=a]b", "/#shared.x/;UID=1", "/INBOX/;UID=1;URLAUTH=anonymous"),
    ],
)
def test_bad_url(ready: Driven, maildir: Path, url: str) -> None:
    """NO with BADURL and the first such URL, before the next literal is asked for; nothing is stored."""
    text = b'TEXT {1+}\r\nx URL "%b" TEXT {1}\r\n' % url.encode()
    sent = ready.send(b"a APPEND INBOX.d CATENATE (" + text + b"b NOOP\r\n")

    (first, second) = read(sent)
    told = url.replace("]", "%5D") or '""'
    assert (first.name, first.code) == ("NO", f"BADURL {told}")
    assert second.name == "OK"
    assert message_files(maildir / ".d") == {}
    assert os.listdir(maildir / ".d" / "tmp") == []


def test_bad_url_is_written_so_that_it_ends_no_line(ready: Driven) -> None:
    """A literal can hold any octet."""
    sent = ready.send(b"a APPEND INBOX.d CATENATE (URL {10+}\r\n\r\n* BYE ]\xff)\r\n")
    assert sent == (b"a NO [BADURL %0D%0A* BYE %5D%FF] Cannot read a part of the message.\r\n")


def test_selected_mailbox(ready: Driven, maildir: Path) -> None:
    """It is meant by a URL that names none; the client sees a message appended to it at once."""
    ready.send(b"s SELECT INBOX\r\n")

    assert appended(ready, b'URL "/;UID=1/;SECTION=2" URL ";UID=1/;SECTION=2"').name == "OK"
    assert only(maildir) == b"secondsecond"
    responses = read(ready.send(b'a APPEND INBOX CATENATE (URL ";UID=1")\r\n'))
    assert [one.number for one in responses if one.name == "EXISTS"] == [2]


def test_uidvalidity(ready: Driven, maildir: Path) -> None:
    (told, _) = ready.ask("s STATUS INBOX (UIDVALIDITY)")
    uidvalidity = told.values[1]["UIDVALIDITY"]  # type: ignore[index]

    assert appended(ready, b'URL "/INBOX;UIDVALIDITY=%d/;UID=1"' % uidvalidity).name == "OK"


@pytest.mark.parametrize(("user", "name"), [("user@", "OK"), ("", "OK"), ("other@", "NO")])
def test_absolute_url(ready: Driven, user: str, name: str) -> None:
    """One of this machine and of one's own account is as good as a relative one."""
    url = f"imap://{user}{socket.gethostname()}/INBOX/;UID=1"

    assert appended(ready, b'URL "' + url.encode() + b'"').name == name


def test_several_messages(ready: Driven, maildir: Path) -> None:
    """Any of them may be catenated (RFC 4469 3)."""
    sent = ready.send(
        b'a APPEND INBOX.d (\\Seen) CATENATE (URL "/INBOX/;UID=1") {1+}\r\nx (kw) '
        b'CATENATE (TEXT {1+}\r\ny URL "/INBOX/;UID=1/;SECTION=2")\r\n'
    )

    assert read(sent)[-1].code.endswith(" 1:3")
    files = {path.read_bytes() for path in (maildir / ".d" / "cur").iterdir()}
    assert files == {MESSAGE, b"x\n", b"ysecond"}


def test_utf8(ready: Driven, maildir: Path) -> None:
    """RFC 6855 4: a part of it can be sent as UTF8, once that is enabled."""
    parts = b"UTF8 (~{3+}\r\n\xc3\xa9\n) TEXT {1+}\r\nx"
    assert appended(ready, parts).name == "BAD"
    ready.send(b"e ENABLE UTF8=ACCEPT\r\n")

    assert appended(ready, parts).name == "OK"
    assert only(maildir) == b"\xc3\xa9\nx"


@pytest.mark.parametrize(
    ("parts", "name", "code"),
    [
        (b"TEXT {60+}\r\n" + b"x" * 60 + b" TEXT {41+}\r\n" + b"x" * 41, "NO", "TOOBIG"),
        (b"TEXT {60+}\r\n" + b"x" * 60 + b' URL "/INBOX/;UID=1"', "NO", "TOOBIG"),
        (b"TEXT {60+}\r\n" + b"x" * 60 + b" TEXT {40+}\r\n" + b"x" * 40, "OK", None),
        (b"TEXT {0+}\r\n", "NO", ""),
    ],
)
def test_size(
    drive: Drive, ready: Driven, maildir: Path, parts: bytes, name: str, code: str | None
) -> None:
    """What all parts have together counts (RFC 4469 4.2, RFC 7889); nothing is not a message."""
    driven = drive(IMAP_MAX_APPEND="100")

    completion = appended(driven, parts)

    assert completion.name == name
    assert code is None or completion.code == code
    assert len(message_files(maildir / ".d")) == (name == "OK")


@pytest.mark.parametrize(
    "parts",
    [
        *(b"", b"x", b'"x"', b"URL", b"TEXT", b'TEXT "x"', b"TEXT ~{1+}\r\nx", b"FOO {1+}\r\nx"),
        *(b"TEXT {1+}\r\nx{1+}\r\nx", b'URL "/INBOX/;UID=1"TEXT {1+}\r\nx', b"UTF8 ({1+}\r\nx)"),
        b'URL "/INBOX/;UID=1" ',
    ],
)
def test_syntax(ready: Driven, maildir: Path, parts: bytes) -> None:
    assert appended(ready, parts).name == "BAD"
    assert read(ready.send(b"b NOOP\r\n"))[-1].name == "OK"
    assert message_files(maildir / ".d") == {}


def test_no_end_of_the_list(ready: Driven, maildir: Path) -> None:
    sent = ready.send(b'a APPEND INBOX.d CATENATE (URL "/INBOX/;UID=1"\r\nb NOOP\r\n')

    assert sent == b"a " + INVALID + b"\r\nb OK NOOP completed\r\n"
    assert message_files(maildir / ".d") == {}


def test_right_to_read(ready: Driven, maildir: Path) -> None:
    """A mailbox that may not be read is no source, and nobody learns whether it exists."""
    folder = make_folder(maildir, "INBOX.closed")
    deliver(folder, MESSAGE, number=2)
    ready.send(b"s STATUS INBOX.closed (UIDNEXT)\r\n")
    assert ready.ask("s SETACL INBOX.closed owner la")[-1].name == "OK"

    assert appended(ready, b'URL "/INBOX.closed/;UID=1"').code == "BADURL /INBOX.closed/;UID=1"


def test_read_once(ready: Driven, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message of which many parts are wanted is read once."""
    from courier.maildir import delivery

    reads = []
    original = delivery.read_regular

    def counted(path: bytes, *arguments: object, **options: object) -> object:
        reads.append(path)
        return original(path, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(delivery, "read_regular", counted)

    assert appended(ready, b" ".join([b'URL "/INBOX/;UID=1/;SECTION=2"'] * 100)).name == "OK"
    assert len([path for path in reads if b"/new/" in os.fsencode(path)]) == 1


def test_memory(maildir: Path, drive: Drive) -> None:
    """A large part is not in memory a second time beside its message."""
    size = 8_000_000
    deliver(maildir, HEADER + b"body\n" * (size // 5), number=1)
    make_folder(maildir, "INBOX.d")
    driven = drive()
    driven.send(b"s EXAMINE INBOX\r\ns UNSELECT\r\n")
    tracemalloc.start()
    try:
        completion = appended(driven, b'TEXT {6+}\r\na: b\r\n URL "/INBOX/;UID=1/;SECTION=TEXT"')
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert completion.name == "OK"
    assert len(only(maildir)) == len(b"a: b\n") + size
    assert peak < 1.5 * size

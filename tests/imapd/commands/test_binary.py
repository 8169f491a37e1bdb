"""BINARY (RFC 3516, RFC 9051 6.4.5): parts without their encoding, messages with binary content."""

from __future__ import annotations

import os
from base64 import encodebytes
from pathlib import Path

import pytest

from courier.process.request import Unfinished, Work
from imapd import binary, incoming
from tests.imapd.driver import Driven
from tests.imapd.responses import Response, read
from tests.support.maildirs import deliver

pytestmark = pytest.mark.usefixtures("logged")

MESSAGE = b"""\
Subject: x
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: quoted-printable

h=C3=A9llo =
there
--b
Content-Type: application/octet-stream
Content-Transfer-Encoding: base64

AAECAw==
--b
Content-Type: text/plain

plain
text
--b
Content-Transfer-Encoding: x-other

secret
--b
Content-Type: message/rfc822

Content-Transfer-Encoding: base64
Subject: inner

aW5uZXI=

--b--
"""
NUL = bytes(range(256)) * 3
INVALID = b"BAD Error in IMAP command received by server."


def items(response: Response) -> dict[bytes, object]:
    return dict(response.values)  # type: ignore[arg-type]


@pytest.fixture
def opened(maildir: Path, driven: Driven) -> Driven:
    deliver(maildir, MESSAGE, number=1)
    driven.send(b"s SELECT INBOX\r\n")
    return driven


@pytest.mark.parametrize(
    ("section", "content"),
    [
        ("1", "héllo there".encode()),
        ("2", b"\0\1\2\3"),
        ("3", b"plain\r\ntext"),
        ("5.1", b"inner"),
        (
            "5",
            b"Subject: inner\r\nContent-Transfer-Encoding: binary\r\n\r\ninner",
        ),
        ("6", None),
        ("3.1", None),
        ("5.2", None),
    ],
)
def test_decoded(opened: Driven, section: str, content: bytes | None) -> None:
    """The size is that of what would be sent; a NUL makes it a literal8; NIL is what is not there."""
    (fetched, done) = opened.ask(f"a FETCH 1 (BINARY.SIZE[{section}] BINARY.PEEK[{section}])")

    name = section.encode()
    assert items(fetched) == {
        b"BINARY.SIZE[%b]" % name: len(content or b""),
        b"BINARY[%b]" % name: content,
    }
    assert done.name == "OK"


def test_counted(opened: Driven) -> None:
    """The log's count of what was fetched of bodies has it."""
    opened.ask("a FETCH 1 BINARY.PEEK[3]")

    assert opened.session.counts.body >= len(b"plain\r\ntext")


@pytest.mark.parametrize("section", ["1", "2"])
def test_every_slice(opened: Driven, section: str) -> None:
    """Octets are counted in what is decoded (RFC 3516 4.2)."""
    name = b"BINARY[%b]" % section.encode()
    whole = items(opened.ask(f"a FETCH 1 BINARY.PEEK[{section}]")[0])[name]
    assert isinstance(whole, bytes)

    for start in range(len(whole) + 2):
        for count in (1, 3, 1000):
            (fetched, _) = opened.ask(f"a FETCH 1 BINARY.PEEK[{section}]<{start}.{count}>")
            assert items(fetched) == {name + b"<%d>" % start: whole[start : start + count]}


@pytest.mark.parametrize("item", ["BINARY.PEEK[4]", "BINARY.SIZE[4]", "BINARY[4]", "BINARY.PEEK[]"])
def test_unknown_encoding(maildir: Path, opened: Driven, item: str) -> None:
    """NO with UNKNOWN-CTE (RFC 3516 4.3), of the message nothing, and it stays unseen."""
    deliver(maildir, b"\nother\n", number=2)
    opened.send(b"n NOOP\r\n")

    responses = opened.ask(f"a FETCH 1:2 (FLAGS {item})")

    assert [one.number for one in responses if one.name == "FETCH" and len(one.values) > 1] == [2]
    assert (responses[-1].name, responses[-1].code) == ("NO", "UNKNOWN-CTE")
    assert items(opened.ask("b FETCH 1 FLAGS")[0])[b"FLAGS"] == [b"\\Recent"]


@pytest.mark.parametrize(
    ("item", "is_seen"), [("BINARY.PEEK[1]", False), ("BINARY.SIZE[1]", False), ("BINARY[1]", True)]
)
def test_seen(opened: Driven, item: str, is_seen: bool) -> None:
    """Only BINARY marks a message, and tells that it did, unless the mailbox is read-only."""
    told = opened.ask(f"a FETCH 1 {item}")
    assert any(b"\\Seen" in one.raw for one in told) == is_seen

    opened.send(b"s EXAMINE INBOX\r\nt UID STORE 1 -FLAGS (\\Seen)\r\n")
    assert not any(b"\\Seen" in one.raw for one in opened.ask("b FETCH 1 BINARY[1]")) or is_seen


@pytest.mark.parametrize(
    "item",
    [
        *("BINARY", "BINARY.PEEK", "BINARY.SIZE", "BINARY[1.MIME]", "BINARY[TEXT]", "BINARY[0]"),
        *("BINARY.SIZE[1]<0.1>", "BINARY[1", "BINARY[1]<a>", "BINARY.FOO[1]", "BINARY[1.]"),
    ],
)
def test_syntax(opened: Driven, item: str) -> None:
    assert opened.send(f"a FETCH 1 {item}\r\n".encode()) == b"a " + INVALID + b"\r\n"


def test_whole_message(maildir: Path, driven: Driven) -> None:
    """Its header says that the encoding is gone."""
    deliver(maildir, b"Content-Transfer-Encoding: base64\nSubject: x\n\nAAEC\n", number=1)
    driven.send(b"s SELECT INBOX\r\n")

    (fetched, _) = driven.ask("a FETCH 1 (BINARY.SIZE[] BINARY.PEEK[])")

    content = b"Subject: x\r\nContent-Transfer-Encoding: binary\r\n\r\n\0\1\2"
    assert items(fetched) == {b"BINARY.SIZE[]": len(content), b"BINARY[]": content}


@pytest.mark.parametrize("held", [0, 1 << 30])
def test_large_part(
    maildir: Path, driven: Driven, monkeypatch: pytest.MonkeyPatch, held: int
) -> None:
    """It is measured in a thread and sent in pieces, read bit by bit where its place is known."""
    monkeypatch.setattr(binary, "_HELD", held)
    data = NUL * 4000
    text = (
        b"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Transfer-Encoding: base64\n\n"
    )
    deliver(maildir, text + encodebytes(data) + b"--b--\n", number=1)
    driven.send(b"s SELECT INBOX\r\n")
    for _ in range(2):  # the places of its parts are known the second time
        driven.written.clear()
        driven.requests.clear()

        (fetched, _) = driven.ask("a FETCH 1 (BINARY.PEEK[1] BINARY.SIZE[1])")

        assert items(fetched) == {b"BINARY[1]": data, b"BINARY.SIZE[1]": len(data)}
        assert any(isinstance(one, Work) for one in driven.requests)
        if not held:
            assert sum(isinstance(one, Unfinished) for one in driven.written) > 5
        driven.ask("b FETCH 1 BODYSTRUCTURE")
        driven.session.opened = None


# -- APPEND ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("plus", [b"", b"+"])
def test_append(driven: Driven, maildir: Path, plus: bytes) -> None:
    """Binary content comes back octet by octet, and no FETCH BODY shows a NUL (RFC 3516 6)."""
    part = b"Content-Type: image/x\r\nContent-Transfer-Encoding: binary\r\n\r\n" + NUL
    sent = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" + part + b"\r\n--b--\r\n"
    written = driven.send(
        b"a APPEND INBOX (\\Seen) ~{%d%b}\r\n" % (len(sent), plus), sent[:100], sent[100:], b"\r\n"
    )
    assert read(written)[-1].name == "OK"
    driven.send(b"s SELECT INBOX\r\n")

    (fetched, _) = driven.ask("f FETCH 1 (BODY.PEEK[] BODYSTRUCTURE BINARY.PEEK[1])")

    assert items(fetched)[b"BINARY[1]"] == NUL
    assert b"\0" not in items(fetched)[b"BODY[]"]  # type: ignore[operator]
    assert b'("image" "x" NIL NIL NIL "base64" ' in fetched.raw
    assert os.listdir(maildir / "tmp") == []


def test_append_of_text(driven: Driven, maildir: Path) -> None:
    """What has no binary content is stored in lines, without one end more; the two forms can be mixed."""
    sent = driven.send(
        b"a APPEND INBOX ~{4+}\r\na\r\nb {4+}\r\na\r\nb ~{3+}\r\na\nb\r\n",
    )

    assert read(sent)[-1].code.endswith(" 1:3")
    assert {path.read_bytes() for path in (maildir / "cur").iterdir()} == {b"a\nb", b"a\nb\n"}


def test_append_of_too_much(driven: Driven) -> None:
    """What has to be looked at as a whole is no larger than memory bears; other messages may be."""
    size = incoming.MAX_BINARY + 1

    assert driven.send(b"a APPEND INBOX ~{%d}\r\n" % size) == (
        b"a NO [TOOBIG] Message is too large.\r\n"
    )
    assert driven.send(b"b APPEND INBOX {%d}\r\n" % size) == b"+ OK\r\n"


def test_append_header_of_8_bits(driven: Driven) -> None:
    """The header is nobody's to encode (RFC 3516 5)."""
    sent = b"Subject: \xc3\xa9\r\nContent-Transfer-Encoding: binary\r\n\r\n\0"
    driven.send(b"a APPEND INBOX ~{%d+}\r\n%b\r\ns SELECT INBOX\r\n" % (len(sent), sent))

    (fetched, _) = driven.ask("f FETCH 1 BODY.PEEK[]")

    assert items(fetched)[b"BODY[]"] == (
        b"Subject: \xc3\xa9\r\nContent-Transfer-Encoding: base64\r\n\r\nAA==\r\n"
    )


@pytest.mark.parametrize("after", [0, 3])
def test_file_that_shrinks(
    maildir: Path, driven: Driven, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """A large message that is cut off: NO, or the end once a part of the literal has been sent."""
    monkeypatch.setattr(binary, "_HELD", 0)
    deliver(maildir, MESSAGE.replace(b"plain\ntext", b"x" * 2_000_000), number=1)
    driven.send(b"s SELECT INBOX\r\nf FETCH 1 BODYSTRUCTURE\r\n")
    driven.session.opened = None  # not the whole of it in memory
    (path,) = (maildir / "cur").iterdir()

    def cut(step: object) -> None:
        if len([one for one in driven.written if isinstance(one, Unfinished)]) == after:
            os.truncate(path, 100)

    driven.written.clear()
    driven.before = cut
    sent = driven.send(b"a FETCH 1 BINARY.PEEK[3]\r\n")

    if after:
        assert driven.ended
        assert len(sent) < 2_000_000
    else:
        assert sent == b"a NO FETCH failed: message file has become shorter\r\n"

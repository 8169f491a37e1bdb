"""What SEARCH and SORT see of a message."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courier.message import text
from courier.message.collation import Needle
from courier.message.message import Message
from tests.courier.message.strategies import linear, rubbish

MESSAGE = Message(
    """\
From: =?utf-8?q?J=C3=B6rg?= "M." <joerg@Example.org>
To: "Doe, John" <john@example.com>, (Ann) ann@example.com,
\tFriends: bob@example.com;
Subject: =?iso-8859-1?q?Stra=DFe?=
\t  und =?utf-8?b?V2Vn?=
subject: second
X-Empty:
Content-Type: multipart/mixed; boundary=x

preamble
--x
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: quoted-printable
X-Part: of the part

Gr=C3=BC=
=C3=9Fe   aus
K=C3=B6ln
--x
Content-Type: text/html; charset=iso-8859-1
Content-Transfer-Encoding: base64

PGI+5tw8L2I+
--x
Content-Type: application/octet-stream

hidden
--x
Content-Type: message/delivery-status

Status: 5.1.1
--x
Content-Type: message/rfc822

Subject: embedded

ΟΔΟΣ Ärger
--x--
epilogue
""".encode()
)


def body_contains(message: Message, needle: Needle) -> bool:
    """What SEARCH BODY asks."""
    return any(map(needle.is_in, text.bodies(message)))


def message_contains(message: Message, needle: Needle) -> bool:
    """What SEARCH TEXT asks."""
    return text.header_contains(message, needle) or body_contains(message, needle)


@pytest.mark.parametrize(
    ("name", "needle", "found"),
    [
        (b"subject", "straße und weg", True),
        (b"SUBJECT", "Straße", True),
        (b"Subject", "second", True),
        (b"Subject", "embedded", False),  # RFC: the message's own header
        (b"Subject", "", True),
        (b"X-Empty", "", True),
        (b"X-Absent", "", False),
        (b"X-Part", "", False),
        (b"From", "jörg m. <joerg@example.org>", True),
        (b"To", "doe, john <john@example.com>", True),
        (b"To", "ann <ann@example.com>", True),
        (b"To", "friends:", True),
        (b"To", "bob@example.com", True),
        (b"To", '"doe', True),  # as it was written, too
    ],
)
def test_field_contains(name: bytes, needle: str, found: bool) -> None:
    """Values are unfolded and decoded; address fields have their display form beside their own."""
    assert text.field_contains(MESSAGE, name, Needle(needle)) is found


@pytest.mark.parametrize(
    ("needle", "in_body", "in_message"),
    [
        ("grüße aus köln", True, True),
        ("<b>æÜ</b>", True, True),
        ("οδοσ ärger", True, True),
        ("status: 5.1.1", True, True),
        ("hidden", False, False),
        ("preamble", False, False),
        ("epilogue", False, False),
        ("=C3", False, False),
        ("PGI+", False, False),
        ("subject: straße und weg", False, True),
        ("subject: embedded", False, True),
        ("x-part: of the part", False, True),
        ("köln <b>", False, False),  # parts are searched one by one
        ("weg second", False, False),
    ],
)
def test_body_and_message(needle: str, in_body: bool, in_message: bool) -> None:
    """BODY has the text of parts, TEXT that and header lines as they are read."""
    assert body_contains(MESSAGE, Needle(needle)) is in_body
    assert message_contains(MESSAGE, Needle(needle)) is in_message


@given(rubbish, st.text('aA b@<>,.:;=?"\\\r\n\u00e4', max_size=6))
def test_lines_that_are_left_out(data: bytes, words: str) -> None:
    """TEXT finds what a look at each header line finds."""
    message = Message(data)
    needle = Needle(words)

    found = any(map(needle.is_in, text.header_lines(message))) or body_contains(message, needle)

    assert message_contains(message, needle) == found


@pytest.mark.parametrize(
    "needle", ["j a@x", "ab@x", "x, y", "<a.b@c>", "name: v", "folded here", "jörg", "to: j"]
)
def test_header_lines_are_searched_as_they_are_shown(needle: str) -> None:
    """Addresses without quotes, comments and blanks; encoded words decoded; lines unfolded."""
    message = Message(
        b'To: "J\\ "a@x, (c) a b@x, "x," y <a . b@c>\nName: v\nOther: folded\n  here\n'
        b"From: =?utf-8?q?J=C3=B6rg?= <x@y>\n\n"
    )
    expected = any(map(Needle(needle).is_in, text.header_lines(message)))

    assert message_contains(message, Needle(needle)) == expected


def test_encoding_counts_without_mime_version() -> None:
    """A message that forgot MIME-Version is decoded all the same."""
    message = Message(b"Content-Type: text/plain; charset=iso-8859-1\n\nsch\xf6n\n")

    assert body_contains(message, Needle("schön"))


@pytest.mark.parametrize(
    ("head", "body", "needle"),
    [
        (b"", b"sch\xf6n", "schön"),
        (b"", "schön".encode(), "schön"),
        (b"Content-Type: text/plain; charset=no-such\n\n", b"abc\xff", "abc\ufffd"),
        (b"Content-Type: text/plain; charset=utf-8\n\n", b"abc\xffdef", "abc\ufffddef"),
        (b"Content-Transfer-Encoding: base64\n", b"!!YWJj", "abc"),
        (b"Content-Transfer-Encoding: base64\n", b"YWJjZ", "abc"),
        (b"Content-Transfer-Encoding: quoted-printable\n", b"a=zz=", "a=zz"),
        (b"Content-Transfer-Encoding: x-unknown\n", b"as it is", "as it is"),
    ],
)
def test_bodies_that_are_not_right(head: bytes, body: bytes, needle: str) -> None:
    """What can be read is found."""
    assert body_contains(Message(head + b"\n" + body), Needle(needle))


@given(rubbish, st.text(max_size=3))
def test_any_bytes(data: bytes, text_of_needle: str) -> None:
    """Nothing raises, and what is in the body is in the message."""
    message = Message(data)
    needle = Needle(text_of_needle)

    text.field_contains(message, b"From", needle)
    if body_contains(message, needle):
        assert message_contains(message, needle)


@pytest.mark.parametrize(
    ("subject", "base", "is_reply"),
    [
        ("foo", "FOO", False),
        ("  foo\t bar ", "FOO BAR", False),
        ("Re: foo", "FOO", True),
        ("re : foo", "FOO", True),
        ("RE: fw: Fwd: foo", "FOO", True),
        ("Re[2]: foo", "FOO", True),
        ("[list] Re: foo", "FOO", True),
        ("Re: [list] foo", "FOO", True),
        ("[a] [b] Re [c]: [d] foo", "FOO", True),
        ("foo (fwd) (Fwd)", "FOO", True),
        ("[fwd: Re: foo (fwd)]", "FOO", True),
        ("[fwd: [fwd: foo]]", "FOO", True),
        ("[list] foo", "FOO", False),
        ("[a] [b]", "[B]", False),
        ("[only]", "[ONLY]", False),
        ("Re: [only]", "[ONLY]", True),
        ("Re: ", "", True),
        ("(fwd)", "", True),
        ("", "", False),
        ("Result: foo", "RESULT: FOO", False),
        ("Re foo", "RE FOO", False),
        ("[unclosed Re: foo", "[UNCLOSED RE: FOO", False),
        ("straße", "STRAßE", False),
        ("Re: Käse", "KA\u0308SE", True),
        ("ｒｅ: x", "RE: X", False),  # only letters of ASCII say Re
    ],
)
def test_base_subject(subject: str, base: str, is_reply: bool) -> None:
    """RFC 5256 2.1: what replies and forwards have in common."""
    assert text.base_subject(subject) == (base, is_reply)


@given(st.text("[] :()refwdRx", max_size=40))
def test_base_subject_is_a_fixed_point(subject: str) -> None:
    """The base subject of a base subject is itself, and of a reply to it too."""
    base, _ = text.base_subject(subject)

    assert text.base_subject(base)[0] == base
    assert text.base_subject("Re: " + base)[0] == base


@pytest.mark.parametrize("piece", ["[", "]", "[a]", "re:", "(fwd)", "[fwd:", " ", "re[", "[a] re:"])
def test_subject_floods(piece: str) -> None:
    """Long subjects are no work."""
    with linear():
        text.base_subject(piece * 100_000)
        text.base_subject("[fwd: " * 1000 + "x" + "]" * 1000)

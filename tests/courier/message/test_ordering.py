"""Keys for SORT and THREAD."""

from __future__ import annotations

import pytest
from hypothesis import given

from courier.message import ordering
from courier.message.message import Message
from tests.courier.message.strategies import linear, rubbish


def test_keys() -> None:
    """All keys of a usual message."""
    message = Message(
        b"From: =?utf-8?q?J=C3=B6rg?= <Joerg@example.com>\nTo: anna@Example.com, bob\n"
        b"Date: Fri, 13 Nov 2026 09:14:58 +0100\nSubject: Re: [list]\n =?utf-8?q?K=C3=A4se?=\n"
        b"Message-ID: <2@x>\nReferences: <0@x>\n\t<1@x>\nIn-Reply-To: <9@x>\n\nCc: body@x\n"
    )

    assert ordering.keys(message) == (
        "KA\u0308SE",
        True,
        "JOERG",
        "ANNA",
        "",
        "JO\u0308RG",
        "ANNA@EXAMPLE.COM",
        1794557698,
        b"2@x",
        [b"0@x", b"1@x"],
    )


def test_keys_of_an_empty_message() -> None:
    """What is absent is empty."""
    assert ordering.keys(Message(b"")) == ("", False, "", "", "", "", "", None, b"", [])


@pytest.mark.parametrize(
    ("value", "mailbox", "display"),
    [
        (b" <a@b>", "A", "A@B"),
        (b' "" <a@b>', "A", "A@B"),
        (b' " " <a@b>', "A", "A@B"),
        (b" a@b (Comment)", "A", "COMMENT"),
        (b" a", "A", "A"),
        (b" friends: x@y;", "FRIENDS", "FRIENDS"),
        (b" undisclosed-recipients:;", "UNDISCLOSED-RECIPIENTS", "UNDISCLOSED-RECIPIENTS"),
        (b" b@x, a@x", "B", "B@X"),
        (b'\n "Doe,\n John" <j@x>', "J", "DOE, JOHN"),
        (b" ,", "", ""),
        (b" " + b"x" * 2000 + b"@y, z@y", "X" * 2000, "X" * 2000 + "@Y"),
    ],
)
def test_addresses(value: bytes, mailbox: str, display: str) -> None:
    """RFC 5256 3 and RFC 5957 3: of the first address."""
    assert (ordering.mailbox(value), ordering.display(value)) == (mailbox, display)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (b" <a@b>", b"a@b"),
        (b' <"a"@b>', b"a@b"),
        (b" <a@b> (and a comment)", b"a@b"),
        (b" < a@b\n >", b"a@b"),
        (b" <a> <b@c>", b"b@c"),
        (b" <@b> <a@> <> <A@B>", b"A@B"),
        (b" a@b", b""),
        (b" <a@b", b""),
        (b"", b""),
    ],
)
def test_message_id(value: bytes, wanted: bytes) -> None:
    """The first that is one, without quotes, its case kept (RFC 5256 3)."""
    assert ordering.message_id(value) == wanted


@pytest.mark.parametrize(
    ("references", "in_reply_to", "wanted"),
    [
        (b" <a@x> <b@x>", b" <c@x>", [b"a@x", b"b@x"]),
        (b" <a@x><b@x>\n <a@x>", b"", [b"a@x", b"b@x", b"a@x"]),
        (b" none", b" <c@x> <d@x>", [b"c@x"]),
        (b"", b" Your mail of Monday, me@x, <c@x>", [b"c@x"]),
        (b"", b" yesterday", []),
    ],
)
def test_references(references: bytes, in_reply_to: bytes, wanted: list[bytes]) -> None:
    """References, or the first id of In-Reply-To."""
    assert ordering.references(references, in_reply_to) == wanted


def test_long_references_keep_their_end() -> None:
    """Of 10,000 references the last thousand count: the parent is the last of all."""
    many = b"\n ".join(b"<%d@example.com>" % number for number in range(10_000))
    message = Message(b"References: " + many + b"\nSubject: x\n\n")

    found = ordering.keys(message).references

    assert found == [b"%d@example.com" % number for number in range(9_000, 10_000)]


@given(rubbish)
def test_any_bytes(data: bytes) -> None:
    """Nothing raises."""
    ordering.keys(Message(data))


@pytest.mark.parametrize("piece", [b"<", b"<a@", b'"', b"<a@b>", b'<"', b"(", b"a,", b"a b "])
def test_floods(piece: bytes) -> None:
    """Long fields are no work."""
    long = piece * 300_000
    with linear():
        fields = (b"Subject", b"From", b"To", b"References", b"In-Reply-To", b"Message-ID", b"Date")
        ordering.keys(Message(b"".join(b"%b: %b\n" % (name, long) for name in fields) + b"\n"))

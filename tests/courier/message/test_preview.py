from __future__ import annotations

from base64 import encodebytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courier.message.message import Message
from courier.message.preview import LENGTH, preview


def of(body: bytes, kind: str = "text/plain; charset=utf-8", extra: str = "") -> str:
    return preview(Message(f"Subject: x\nContent-Type: {kind}\n{extra}\n".encode() + body))


def of_html(body: str) -> str:
    return of(body.encode(), "text/html; charset=utf-8")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("", ""),
        ("Hello", "Hello"),
        ("  Hello,\r\n\r\n\tyou there. \n", "Hello, you there."),
        ("On Monday she wrote:\n> old\n>> older\nnew\n", "On Monday she wrote: new"),
        ("> only\n> what is quoted\n", "only what is quoted"),
        ("text\n-- \nsignature\n", "text"),
        ("-- \nsignature", ""),
        ("a\0b\x1b[1mc\u200b\u200c\ufeff", "ab[1mc"),
        ("é" * 300, "é" * LENGTH),
        ("word " * 100, ("word " * 40).strip()),
        ("1 < 2", "1 < 2"),
    ],
)
def test_plain(body: str, expected: str) -> None:
    """White space is a blank, quotations and signatures are left out, and it ends in time."""
    assert of(body.encode()) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("<p>Hello</p><p>you</p>", "Hello you"),
        ("<B>bo</B>ld<br>next", "bold next"),
        ("<html><head><title>T</title><style>p { x > y }</style></head><body>text", "text"),
        ("<STYLE>x</Style >a<script>if (a<b) c()</script>b", "a b"),
        ("<!-- <p>hidden</p> -->shown<!-- never closed", "shown"),
        ("a &amp; b &lt;c&gt; &eacute;&nbsp;d &unknown;", "a & b <c> é d &unknown;"),
        ("1 < 2 <3", "1 < 2 <3"),
        ("<!DOCTYPE html><?xml version='1.0'?><td>a<td>b", "a b"),
        ('<a href="x">link</a>ed', "linked"),
        ("<style>never closed", ""),
        ("<style/>text", "text"),
        ("&zwnj;&nbsp;&zwnj;&nbsp;", ""),
        ("<p", ""),
        (f"a&#{'9' * 5000};b &#x{'f' * 5000};c", "ab c"),
    ],
)
def test_html(body: str, expected: str) -> None:
    """No markup, no style sheet, no comment."""
    assert of_html(body) == expected


def test_parts() -> None:
    """The first part with text, which no attachment is and no image."""
    message = (
        b"Content-Type: multipart/mixed; boundary=b\n\n"
        b"--b\nContent-Type: image/png\n\nPNG\n"
        b"--b\nContent-Disposition: attachment\n\nnotes\n"
        b"--b\nContent-Type: text/plain\n\n \n"
        b"--b\nContent-Type: text/html\n\n<p>shown</p>\n--b--\n"
    )

    assert preview(Message(message)) == "shown"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (
            "multipart/encrypted; boundary=b",
            b"--b\nContent-Type: application/octet-stream\n\nx\n--b--",
        ),
        ("image/png", b"x"),
        ("text/calendar", b"BEGIN:VCALENDAR"),
        ("application/pkcs7-mime", b"x"),
    ],
)
def test_nothing_to_show(kind: str, body: bytes) -> None:
    assert of(body, kind) == ""


def test_encodings() -> None:
    """Transfer encodings and character sets are undone; one that is not known shows nothing."""
    text = "Grüße".encode("latin-1")
    base64 = "Content-Transfer-Encoding: base64\n"

    assert of(encodebytes(text), "text/plain; charset=iso-8859-1", base64) == "Grüße"
    assert (
        of(
            b"Gr=FC=\n=DFe",
            "text/plain; charset=iso-8859-1",
            ("Content-Transfer-Encoding: quoted-printable\n"),
        )
        == "Grüße"
    )
    assert of(b"x", extra="Content-Transfer-Encoding: x-other\n") == ""
    assert of(b"x", "text/plain; charset=nobody-knows") == "x"


@given(
    st.lists(st.sampled_from(["<", ">", "p", "!--", "-->", "style", "/", " ", "é", "&amp;", "&"]))
)
def test_any_html(pieces: list[str]) -> None:
    text = of_html("".join(pieces))

    assert len(text) <= LENGTH
    assert text == " ".join(text.split())


@pytest.mark.parametrize(
    "piece", ["<", "<!--", "<style>", "<p ", "&", "<p>", "</style", "> \n", " "]
)
def test_hostile(piece: str) -> None:
    """Nobody makes the server think for long: work that is not linear takes minutes here."""
    data = (piece * (2_000_000 // len(piece))).encode()

    for kind in ("text/html", "text/plain"):
        assert len(of(data, kind)) <= LENGTH

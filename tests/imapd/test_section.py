"""Body sections: Courier's answers, and ranges of any bytes."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courier.message import lines
from courier.message.message import Message
from imapd import section
from imapd.wire.section import Section, SectionText
from tests.courier.message.strategies import rubbish

MESSAGE = b"""\
From: a@b
Subject: top
  folded
X-A: 1
Mime-Version: 1.0
Content-Type: multipart/mixed; boundary=out
Content-Transfer-Encoding: 7bit

preamble
--out
Content-Type: text/plain
Content-Transfer-Encoding: 8bit
X-Other: y

one
two

--out
Content-Type: message/rfc822
Content-Description: fwd

From: in@ner
Subject: inner
Mime-Version: 1.0
Content-Type: multipart/alternative; boundary="in"

--in
Content-Type: text/plain

plain
--in
Content-Type: text/html

<html>
--in--

--out
Content-Type: message/rfc822

From: x@y
Mime-Version: 1.0

simple
inner
--out--
epilogue
"""


def named(text: str) -> Section:
    """Make ``2.HEADER.FIELDS (a b)`` a section."""
    match = re.fullmatch(r"([\d.]*?)\.?([A-Z.]*)(?: \((.*)\))?", text)
    assert match is not None
    return Section(
        tuple(int(number) for number in match[1].split(".") if number),
        SectionText(match[2].encode()) if match[2] else None,
        tuple(name.encode() for name in (match[3] or "").split()),
    )


INNER_HEADER = (
    b"From: in@ner\r\nSubject: inner\r\nMime-Version: 1.0\r\n"
    b'Content-Type: multipart/alternative; boundary="in"\r\n\r\n'
)
INNER_TEXT = (
    b"--in\r\nContent-Type: text/plain\r\n\r\nplain\r\n"
    b"--in\r\nContent-Type: text/html\r\n\r\n<html>\r\n--in--\r\n"
)
TOP_HEADER = MESSAGE[: MESSAGE.index(b"preamble")].replace(b"\n", b"\r\n")


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("", MESSAGE.replace(b"\n", b"\r\n")),
        ("HEADER", TOP_HEADER),
        ("TEXT", MESSAGE[MESSAGE.index(b"preamble") :].replace(b"\n", b"\r\n")),
        ("1", b"one\r\ntwo\r\n"),
        (
            "1.MIME",
            b"Content-Type: text/plain\r\nContent-Transfer-Encoding: 8bit\r\nX-Other: y\r\n\r\n",
        ),
        ("1.HEADER", None),
        ("1.TEXT", None),
        ("1.1", None),
        ("2", INNER_HEADER + INNER_TEXT),
        ("2.MIME", b"Content-Type: message/rfc822\r\nContent-Description: fwd\r\n\r\n"),
        ("2.HEADER", INNER_HEADER),
        ("2.TEXT", INNER_TEXT),
        ("2.1", b"plain"),
        ("2.1.MIME", b"Content-Type: text/plain\r\n\r\n"),
        ("2.2", b"<html>"),
        ("2.2.TEXT", None),
        ("2.3", None),
        ("2.3.MIME", None),
        ("2.3.HEADER", None),
        ("3", b"From: x@y\r\nMime-Version: 1.0\r\n\r\nsimple\r\ninner"),
        ("3.1", b"simple\r\ninner"),
        ("3.1.MIME", b"From: x@y\r\nMime-Version: 1.0\r\n\r\n"),
        ("3.1.HEADER", None),
        ("3.1.1", None),
        ("3.2", None),
        ("3.HEADER", b"From: x@y\r\nMime-Version: 1.0\r\n\r\n"),
        ("4", None),
        ("4294967295", None),
        ("0", None),
        ("HEADER.FIELDS (subject FROM none)", b"From: a@b\r\nSubject: top\r\n  folded\r\n\r\n"),
        ("HEADER.FIELDS (none)", b"\r\n"),
        ("HEADER.FIELDS", b"\r\n"),
        (
            "HEADER.FIELDS.NOT (subject from mime-version content-type)",
            b"X-A: 1\r\nContent-Transfer-Encoding: 7bit\r\n\r\n",
        ),
        ("HEADER.FIELDS.NOT", TOP_HEADER),
        ("1.HEADER.FIELDS (x-other)", None),
        ("2.HEADER.FIELDS (subject)", b"Subject: inner\r\n\r\n"),
        (
            "2.HEADER.FIELDS.NOT (content-type subject)",
            b"From: in@ner\r\nMime-Version: 1.0\r\n\r\n",
        ),
    ],
)
def test_extract(wanted: str, expected: bytes | None) -> None:
    """Each row is Courier 5.0.13's, but for what there is not and the end of embedded messages.

    It sends the text of 1 for 1.1, and a CR too much after a message/rfc822 that no empty line ends.
    """
    for data in (MESSAGE, MESSAGE.replace(b"\n", b"\r\n")):
        message = Message(data)
        assert section.extract(message, named(wanted)) == expected


@pytest.mark.parametrize(
    ("data", "wanted", "expected"),
    [
        (b"Subject: a\nContent-Type: text/plain\n\nbody\nlast", "1", b"body\r\nlast"),
        (
            b"Subject: a\nContent-Type: text/plain\n\nbody",
            "1.MIME",
            b"Subject: a\r\nContent-Type: text/plain\r\n\r\n",
        ),
        (b"Subject: a\n\nbody", "1.TEXT", None),
        (b"Subject: a\n\nbody", "2", None),
        (b"Subject: a", "HEADER", b"Subject: a"),
        (b"Subject: a", "TEXT", b""),
        (b"Subject: a", "HEADER.FIELDS (subject)", b"Subject: a\r\n\r\n"),
        (b"Subject: a\r", "HEADER.FIELDS (subject)", b"Subject: a\r\r\n\r\n"),
        (b"", "", b""),
        (b"", "HEADER", b""),
        (b"\nbody", "HEADER", b"\r\n"),
        (b"Subject \t: a\n\n", "HEADER.FIELDS (subject)", b"Subject \t: a\r\n\r\n"),
        (b"Subject \t: a\n\n", "HEADER.FIELDS.NOT (subject)", b"\r\n"),
        (
            b"From x Mon\nnot a field\nA: b\n\n",
            "HEADER.FIELDS.NOT (a)",
            b"From x Mon\r\nnot a field\r\n\r\n",
        ),
        # A message/rfc822 at the top has one part, itself, in which there is another message.
        (b"Content-Type: message/rfc822\n\nA: b\n\nc", "1", b"A: b\r\n\r\nc"),
        (b"Content-Type: message/rfc822\n\nA: b\n\nc", "1.1", b"c"),
        (b"Content-Type: message/rfc822\n\nA: b\n\nc", "1.HEADER", b"A: b\r\n\r\n"),
        (
            b"Content-Type: message/rfc822\n\nA: b\n\nc",
            "HEADER",
            b"Content-Type: message/rfc822\r\n\r\n",
        ),
        # A multipart in a multipart.
        (
            b"Content-Type: multipart/a; boundary=x\n\n--x\nContent-Type: multipart/b; boundary=y\n\n"
            b"--y\n\n1.1\n--y\n\n1.2\n--y--\n--x\n\n2\n--x--\n",
            "1.2",
            b"1.2",
        ),
        # A multipart that cannot be taken apart is there as a whole.
        (b"Content-Type: multipart/mixed; boundary=x\n\nall\n", "1", b"all\r\n"),
    ],
)
def test_extract_from_others(data: bytes, wanted: str, expected: bytes | None) -> None:
    """Single parts, missing pieces, messages in messages."""
    assert section.extract(Message(data), named(wanted)) == expected


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("", b""),
        ("1.2.3", b"1.2.3"),
        ("HEADER", b"HEADER"),
        ("2.MIME", b"2.MIME"),
        ("HEADER.FIELDS (subject From)", b'HEADER.FIELDS ("subject" "From")'),
        ("1.HEADER.FIELDS.NOT (To)", b'1.HEADER.FIELDS.NOT ("To")'),
        ("HEADER.FIELDS", b"HEADER.FIELDS"),
    ],
)
def test_echo(wanted: str, expected: bytes) -> None:
    """Courier: field names quoted in the case given; an empty list is not shown."""
    assert section.echo(named(wanted)) == expected


def test_echo_quotes_names() -> None:
    """A field name cannot end the string it stands in."""
    assert section.echo(Section(text=SectionText.HEADER_FIELDS, fields=(b'a"\\b',))) == (
        b'HEADER.FIELDS ("a\\"\\\\b")'
    )


sections = st.builds(
    Section,
    st.lists(st.integers(0, 3), max_size=4).map(tuple),
    st.none() | st.sampled_from(SectionText),
    st.lists(st.sampled_from([b"From", b"content-type", b""]), max_size=2).map(tuple),
)


def extracted(message: Message, wanted: Section) -> bytes:
    found = section.extract(message, wanted)
    assert found is not None
    return found


@given(rubbish, sections, st.integers(0, 100), st.integers(0, 100))
def test_slices_of_any_bytes(data: bytes, wanted: Section, offset: int, count: int) -> None:
    """A slice is a slice of the whole, a size the whole's, and it is all made of lines in CRLF."""
    message = Message(data)
    whole = section.extract(message, wanted)

    part = section.extract_slice(message, wanted, offset, count)
    assert part == (None if whole is None else whole[offset : offset + count])
    assert whole is None or lines.wire(whole) == whole


@given(rubbish)
def test_whole_and_halves(data: bytes) -> None:
    """BODY[] has RFC822.SIZE octets, and is HEADER and TEXT."""
    message = Message(data)
    whole = extracted(message, Section())

    assert len(whole) == message.size == Message(data).size
    header = extracted(message, Section(text=SectionText.HEADER))
    text = extracted(message, Section(text=SectionText.TEXT))
    assert whole == header + text == lines.wire(data)


@given(rubbish)
def test_fields_and_the_others(data: bytes) -> None:
    """HEADER.FIELDS and HEADER.FIELDS.NOT share the header's lines between them."""
    message = Message(data)
    names = (b"From", b"Content-Type", b"To")
    some = extracted(message, Section((), SectionText.HEADER_FIELDS, names))
    others = extracted(message, Section((), SectionText.HEADER_FIELDS_NOT, names))
    header = extracted(message, Section(text=SectionText.HEADER))

    assert some.endswith(b"\r\n") and others.endswith(b"\r\n")
    found = [line for line in (some + others).split(b"\r\n") if line]
    assert sorted(found) == sorted(line for line in header.split(b"\r\n") if line)

"""Header fields: their ends, their unfolded values, what repeats."""

from __future__ import annotations

import email
import email.policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courier.message import header
from tests.courier.message.strategies import linear, rubbish


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (b"", -1),
        (b"\nbody", 1),
        (b"\r\nbody", 2),
        (b"a: b\n\nbody", 6),
        (b"a: b\r\n\r\nbody", 8),
        (b"a: b\n\r\nbody", 7),
        (b"a: b\r\n\nbody", 7),
        (b"a: b\r\n\r\n\n\n", 8),
        (b"a: b\n \nc: d\n\n", 13),
        (b"a: b\n", -1),
        (b"a: b\n\r", -1),
        (b"\r", -1),
    ],
)
def test_find_body(data: bytes, body: int) -> None:
    """The body follows the first line that is empty, with either line end."""
    assert header.find_body(data, 0, len(data)) == body


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b" plain", b"plain"),
        (b" folded\n  line\n", b"folded line"),
        (b" folded\r\n\tline\r\n", b"folded line"),
        (b" a  b\n\t\t c", b"a  b c"),
        (b" a\rb\0c", b"a b c"),
        (b"\n \n", b""),
        (b"\0 a \0", b"a"),
    ],
)
def test_unfold(raw: bytes, value: bytes) -> None:
    """A break and the blanks after it are one blank; CR, LF and NUL become blanks."""
    assert header.unfold(raw) == value


@given(rubbish)
def test_unfold_any_bytes(raw: bytes) -> None:
    """No unfolded value can break a line, and unfolding again changes nothing."""
    value = header.unfold(raw)

    assert not set(value) & set(b"\r\n\0")
    assert header.unfold(value) == value


def test_fields_of_a_message() -> None:
    """Repeated fields are one list, the first of MIME fields counts, names are in lower case."""
    data = (
        b"TO: a@b\nTo: c@d\nContent-Type: text/html\nX-Subject: no\n subject: nor this\n"
        b"Subject x: nor this\ncontent-TYPE: text/plain\nsubject: yes\n more\n\nTo: body@b\n"
    )

    found = header.message_fields(data, 0, header.find_body(data, 0, len(data)))

    assert {name: header.unfold(value) for name, value in found.items()} == {
        b"to": b"a@b, c@d",
        b"content-type": b"text/html",
        b"subject": b"yes more",
    }


def test_blanks_before_the_colon() -> None:
    """They are no part of the name (RFC 5322 4.5)."""
    data = b"To : a@b\nSubject\t : x\n y\nContent-Type : text/html\nX Y : z\n\n"

    found = header.message_fields(data, 0, len(data))

    assert found == {b"to": b" a@b", b"subject": b" x\n y", b"content-type": b" text/html"}
    assert header.mime_fields(data, 0, len(data)) == {b"content-type": b" text/html"}
    assert [name for name, _ in header.fields(data, 0, len(data))] == [
        *(b"To", b"Subject", b"Content-Type", b"X Y"),
    ]
    assert header.values(data, 0, len(data), b"subject") == [b"x y"]


def test_fields_in_order() -> None:
    """Fields are given byte for byte; what has no colon is all name."""
    data = b"From x@y Mon\nA: 1\r\n\t2\r\nno colon\n cont: inued\nB:\n\nC: body\n"

    found = list(header.fields(data, 0, header.find_body(data, 0, len(data))))

    assert found == [
        (b"From x@y Mon", b"From x@y Mon\n"),
        (b"A", b"A: 1\r\n\t2\r\n"),
        (b"no colon", b"no colon\n cont: inued\n"),
        (b"B", b"B:\n"),
    ]


@given(rubbish)
def test_fields_lose_nothing(data: bytes) -> None:
    """The fields and the empty line are the header, and agree with what is searched by pattern."""
    end = header.find_body(data, 0, len(data))
    end = len(data) if end < 0 else end

    found = list(header.fields(data, 0, end))
    text = b"".join(lines for _, lines in found)

    assert data[:end] in (text, text + b"\n", text + b"\r\n")
    subjects = header.values(data, 0, end, b"subject")
    joined = header.message_fields(data, 0, end).get(b"subject")
    assert (joined is None) == (not subjects)
    if joined is not None:
        assert header.unfold(joined) == header.unfold(b", ".join(subjects))


_words = st.text("abcXYZ .,;", min_size=1, max_size=20).map(str.strip).filter(bool)


@given(st.lists(st.tuples(st.sampled_from(["Subject", "X-One", "x-two"]), _words), max_size=8))
def test_values_as_the_standard_library(fields: list[tuple[str, str]]) -> None:
    """Well-formed headers have the values that Python's email package finds."""
    data = "".join(f"{name}: {value}\n" for name, value in fields).encode() + b"\nbody"
    oracle = email.message_from_bytes(data, policy=email.policy.compat32)
    end = header.find_body(data, 0, len(data))

    for name in ("subject", "X-ONE", "X-Two"):
        found = header.values(data, 0, end, name.encode())
        assert [value.decode() for value in found] == oracle.get_all(name, [])


@pytest.mark.slow
def test_huge_headers() -> None:
    """A field of 30 MB, a million fields and a million continuation lines: capped, and soon done."""
    with linear():
        long = header.message_fields(b"Subject: " + b"x" * (30 << 20), 0, 10 << 20)
        many = b"To: a@b\n" * 1_000_000
        repeated = header.message_fields(many, 0, len(many))
        folds = b"Subject: x\n" + b" y\n" * 1_000_000
        folded = header.message_fields(folds, 0, len(folds))

    assert len(header.unfold(long[b"subject"])) == header.MAX_FIELD
    assert len(repeated[b"to"]) < 2 * header.MAX_FIELD
    assert header.unfold(folded[b"subject"]).startswith(b"x y y")

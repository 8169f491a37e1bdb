"""Content-Type and Content-Disposition values, as they ought to be and as they are."""

from __future__ import annotations

import pytest
from hypothesis import given

from courier.message import parameter
from tests.courier.message.strategies import linear, rubbish


@pytest.mark.parametrize(
    ("value", "kind", "subtype", "parameters"),
    [
        (b"text/plain", b"text", b"plain", {}),
        (b" TEXT/Plain;NAME=a=b", b"text", b"plain", {b"name": b"a=b"}),
        (b'text / plain; charset = "UTF-8"', b"text", b"plain", {b"charset": b"UTF-8"}),
        (b"text/plain;\n\tx=1;\r\n y=2;", b"text", b"plain", {b"x": b"1", b"y": b"2"}),
        (b'a/b; n="a;b\\\\c\\"d"', b"a", b"b", {b"n": b'a;b\\c"d'}),
        (b'a/b; n=""; z; q=', b"a", b"b", {b"n": b"", b"z": b"", b"q": b""}),
        (
            b"text/plain; charset=us-ascii (c; x=y); z=1",
            b"text",
            b"plain",
            {b"charset": b"us-ascii", b"z": b"1"},
        ),
        (b"(c) text/plain", b"text", b"plain", {}),
        (b"image/png; name=a(1).png", b"image", b"png", {b"name": b"a(1).png"}),
        (b"a/b; name=foo bar.pdf; x=1", b"a", b"b", {b"name": b"foo bar.pdf", b"x": b"1"}),
        (b'a/b; name="open; x=1', b"a", b"b", {b"name": b"open; x=1"}),
        (b'a/b; name="a\\', b"a", b"b", {b"name": b"a\\"}),
        (b"a/b; f*=utf-8''%e2", b"a", b"b", {b"f*": b"utf-8''%e2"}),
        # RFC 2231 3: in pieces, in any order, the others where they are.
        (b'a/b; f*0="x y"; g=1; F*1=z', b"a", b"b", {b"f": b"x yz", b"g": b"1"}),
        (b"a/b; f*1=b; f*2=c; f*0=a", b"a", b"b", {b"f": b"abc"}),
        (b"a/b; f*0=a; f*2=c", b"a", b"b", {b"f": b"a", b"f*2": b"c"}),
        (b"a/b; f*1=b", b"a", b"b", {b"f*1": b"b"}),
        (
            b"a/b; f*00=b; f*x=c; *0=d; f*0**=e",
            b"a",
            b"b",
            {b"f*00": b"b", b"f*x": b"c", b"*0": b"d", b"f*0**": b"e"},
        ),
        # RFC 2231 4.1: some pieces encoded, some not.
        (b"a/b; f*0*=utf-8''%e2; f*1=x", b"a", b"b", {b"f*": b"utf-8''%e2x"}),
        (
            b"a/b; f*0*=utf-8'en'%20; f*1=\"50% 'x'\"; f*2*=%21",
            b"a",
            b"b",
            {b"f*": b"utf-8'en'%2050%25%20%27x%27%21"},
        ),
        (b"a/b; f*0=a; f*1*=%21", b"a", b"b", {b"f*": b"''a%21"}),
        (b"text/html charset=utf-8", b"text", b"html", {b"charset": b"utf-8"}),
        (b"text/plain;;; a=b", b"text", b"plain", {b"a": b"b"}),
        (b"text/plain/x; a=b", b"text", b"plain", {b"a": b"b"}),
        (b'"text/plain"; a=b', b"text", b"plain", {b"a": b"b"}),
        (b"bogus; y=1", b"bogus", b"", {b"y": b"1"}),
        (b"text/", b"text", b"", {}),
        (b"/plain", b"", b"plain", {}),
        (b"", b"", b"", {}),
    ],
)
def test_content_type(
    value: bytes, kind: bytes, subtype: bytes, parameters: dict[bytes, bytes]
) -> None:
    """Type and names in lower case, values as they are; nothing is lost to a missing semicolon."""
    assert parameter.content_type(value) == (kind, subtype, tuple(parameters.items()))


@pytest.mark.parametrize(
    ("value", "token", "parameters"),
    [
        (b"INLINE", b"inline", ()),
        (b'attachment; FileName="a b.txt"', b"attachment", ((b"filename", b"a b.txt"),)),
        (
            b"attachment; filename=X; filename=y",
            b"attachment",
            ((b"filename", b"X"), (b"filename", b"y")),
        ),
        (b"; filename=x", b"", ((b"filename", b"x"),)),
    ],
)
def test_disposition(
    value: bytes, token: bytes, parameters: tuple[tuple[bytes, bytes], ...]
) -> None:
    """The token in lower case, parameters in order."""
    assert parameter.disposition(value) == (token, parameters)


@given(rubbish)
def test_any_bytes(value: bytes) -> None:
    """Nothing raises, and no value can break a line."""
    kind, subtype, parameters = parameter.content_type(value)
    token, more = parameter.disposition(value)

    strings = [kind, subtype, token, *(text for pair in parameters + more for text in pair)]
    assert not set(b"".join(strings)) & set(b"\r\n\0")


@pytest.mark.parametrize(
    "piece", [b";", b'"', b"\\", b"(", b"(a", b";a", b";a=", b" ", b'a="\\', b"=", b"; ", b"/"]
)
def test_floods(piece: bytes) -> None:
    """64 kB of anything is read in linear time."""
    for start in (b"", b"a/b;", b'a/b; c="'):
        with linear():
            parameter.content_type(start + piece * (60_000 // len(piece)))


def test_repeated_pieces_stay() -> None:
    """Nothing that a sender wrote is lost."""
    found = parameter.content_type(b"a/b; f*0=a; f*0=b; f*1=c")

    assert found == (b"a", b"b", ((b"f", b"ac"), (b"f*0", b"b")))


def test_many_pieces() -> None:
    """One name in 9,000 pieces, or 9,000 names in one piece each."""
    value = b"a/b" + b"".join([b"; f*%d=x" % number for number in range(9_000)])
    with linear():
        _, _, joined = parameter.content_type(value[:60_000])
        _, _, single = parameter.content_type(
            b"a/b" + b"".join([b"; f%d*0=x" % n for n in range(5_000)])
        )

    assert [name for name, _ in joined][:1] == [b"f"]
    assert len(single) == 5_000

"""Encoded words in both directions."""

from __future__ import annotations

import email.header
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courier.message import charset, encoded
from tests.courier.message.strategies import linear, rubbish


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"plain", "plain"),
        (b"=?UTF-8?Q?J=C3=B6rg_M?=", "Jörg M"),
        (b"=?iso-8859-1?b?SvZyZw==?= x", "Jörg x"),
        (b"a =?utf-8?q?b?= =?utf-8?q?c?= d", "a bc d"),
        (b"=?utf-8?q?=C3?= =?utf-8?q?=B6?=", "ö"),
        (b"=?utf-8?q?a?= =?iso-8859-1?q?=F6?=", "aö"),
        (b"=?utf-8?q?a?= b =?utf-8?q?c?=", "a b c"),
        (b"=?utf-8*en?q?a?=", "a"),
        (b"=?utf-8?q?a?=b", "ab"),
        (b"=?no-such?q?a=FF?=", "a\ufffd"),
        (b"=?utf-8?q?=FF?=", "\ufffd"),
        (b"=?utf-8?b?YQ=!=?=", "a"),
        (b"=?utf-8?b?Y?=", ""),
        (b"=?utf-8?x?a?=", "=?utf-8?x?a?="),
        (b"=?utf-8?q?a", "=?utf-8?q?a"),
        (b"J\xc3\xb6rg", "Jörg"),
        (b"J\xf6rg \x80", "Jörg €"),
        (b"=?punycode?q?a-b?=", "a-b"),
    ],
)
def test_decode(value: bytes, text: str) -> None:
    """Words are decoded, blanks between them go, what cannot be decoded stays visible."""
    assert encoded.decode(value) == text


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (b"plain =?utf-8?q?a?=", b"plain =?utf-8?q?a?="),
        (b"J\xc3\xb6rg", b"=?utf-8?B?SsO2cmc=?="),
        (b"J\xf6rg", b"=?utf-8?B?SsO2cmc=?="),
        (b"a J\xc3\xb6rg b", b"a =?utf-8?B?SsO2cmc=?= b"),
    ],
)
def test_encode(value: bytes, sent: bytes) -> None:
    """Only words with bytes above 127 are encoded; the first and second are Courier 5.0.13's."""
    assert encoded.encode(value) == sent


@given(st.text().filter(lambda text: not re.search(r"[\r\n\0]|=\?", text)))
def test_what_is_encoded_can_be_decoded(text: str) -> None:
    """Any text survives, as short words of ASCII; also by the standard library's reading."""
    sent = encoded.encode(text.encode())

    assert sent.isascii()
    assert max(map(len, re.findall(rb"=\?[^ ]*", sent)), default=0) <= 75
    assert encoded.decode(sent) == text
    if text.isalnum():
        assert str(email.header.make_header(email.header.decode_header(sent.decode()))) == text


def test_blank_beside_an_encoded_word_is_kept() -> None:
    """Raw text next to an encoded word of the source is not glued to it."""
    value = b"=?utf-8?q?a?= \xc3\xb6 =?utf-8?q?b?="

    assert encoded.decode(encoded.encode(value)) == "a ö b"


@given(rubbish)
def test_any_bytes(value: bytes) -> None:
    """Nothing raises, and what is encoded is ASCII without line breaks of its own."""
    assert isinstance(encoded.decode(value), str)
    sent = encoded.encode(value)
    assert sent.isascii()
    assert sent.count(b"\n") <= value.count(b"\n")


@given(st.binary(max_size=60), st.binary(max_size=20))
def test_base64_any_bytes(data: bytes, rubbish: bytes) -> None:
    """Base64 with rubbish in it gives something; without, the data."""
    import base64

    assert encoded.base64(base64.encodebytes(data)) == data
    assert isinstance(encoded.base64(base64.b64encode(data) + rubbish), bytes)


@pytest.mark.parametrize(
    "piece", [b"=?", b"=?utf-8?q?", b"=?utf-8?q?a?= ", b"?=", b"\xff", b"a=?b", b"\xff "]
)
def test_floods(piece: bytes) -> None:
    """A megabyte of anything is decoded and encoded in linear time."""
    value = piece * (1_000_000 // len(piece))

    with linear():
        encoded.decode(value)
        encoded.encode(value)


@pytest.mark.parametrize(
    ("name", "data", "text"),
    [
        ("utf-8", "ö€".encode(), "ö€"),
        ("ISO-8859-15", b"\xa4", "€"),
        ("windows-1252", b"\x80", "€"),
        ("GB2312", b"\xd6\xd0", "中"),
        ("iso-2022-jp", b"\x1b$B%F\x1b(B", "テ"),
        ("koi8-u", b"\xa4", "є"),
        ("us-ascii", b"\xc3\xb6", "ö"),
        ("us-ascii", b"\xf6", "ö"),
        ("utf-16", b"a", "\ufffd"),
        ("no such", b"a\xff", "a\ufffd"),
        ("base64", b"YQ==", "YQ=="),
        ("idna", b"xn--a", "xn--a"),
        ("", b"a", "a"),
        ("utf-8\0", b"a", "a"),
        ("../../x", b"a", "a"),
    ],
)
def test_charsets(name: str, data: bytes, text: str) -> None:
    """Known charsets are decoded, unknown ones and codecs that are none leave marks or ASCII."""
    assert charset.decode(data, name) == text


def test_unknown_charset_has_no_codec() -> None:
    """SEARCH can tell an unknown charset from a known one."""
    assert charset.codec("UTF-8") == "utf_8"
    assert charset.codec("X-Unknown") is None
    assert charset.codec("zlib") is None


@given(st.sampled_from(sorted(set(charset._CODECS))), st.binary(max_size=40))
def test_no_charset_raises(name: str, data: bytes) -> None:
    """Every codec that can be named decodes any bytes."""
    assert isinstance(charset.decode(data, name), str)

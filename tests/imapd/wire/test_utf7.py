from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imapd.wire import utf7

UNICODE = st.text()


@pytest.mark.parametrize(
    ("name", "encoded"),
    [
        ("", b""),
        ("INBOX.Sent", b"INBOX.Sent"),
        ("&", b"&-"),
        ("a&b", b"a&-b"),
        ("&-", b"&--"),
        ("café", b"caf&AOk-"),
        ("~peter/mail/台北/日本語", b"~peter/mail/&U,BTFw-/&ZeVnLIqe-"),  # RFC 3501 5.1.3
        ("☺!", b"&Jjo-!"),
        ("😀", b"&2D3eAA-"),
        ("é😀", b"&AOnYPd4A-"),
        ("\r\n", b"&AA0ACg-"),
        ("\x7f", b"&AH8-"),
        ('"\\', b'"\\'),
    ],
)
def test_encode_and_decode(name: str, encoded: bytes) -> None:
    """The standard's own examples, and characters beyond the first 65,536."""
    assert utf7.encode(name) == encoded
    assert utf7.decode(encoded) == name


@pytest.mark.parametrize(
    ("encoded", "name"),
    [(b"&AGE-", "a"), (b"&Jjo-&Jjo-", "☺☺"), (b"&ACY-", "&"), (b"&AC8-", "/"), (b"&AAA-", "\0")],
)
def test_decode_what_need_not_be_encoded(encoded: bytes, name: str) -> None:
    """Courier: accepted. Whoever takes the name checks what comes out, not what went in."""
    assert utf7.decode(encoded) == name


@pytest.mark.parametrize(
    "encoded",
    [
        b"&",
        b"a&b",
        b"&AOk",
        b"&AOk.x",
        b"&A-",
        b"&AO-",
        b"&AOkA-",
        b"&AOl-",  # stray bits
        b"&AOk=-",
        b"&AO/-",  # "/" is written ","
        b"&AO\xc3-",
        b"&&AOk-",
        b"&2D0-",  # half a pair
        b"&3gA-",
        b"&2D0-&3gA-",
        b"&3gDYPQ-",
        "é".encode(),
        b"\xff",
    ],
)
def test_decode_what_is_not_utf7(encoded: bytes) -> None:
    """Refused, never guessed."""
    with pytest.raises(ValueError):
        utf7.decode(encoded)


def test_encode_a_directory_whose_name_is_no_text() -> None:
    """A lone surrogate stands for an octet that is not UTF-8: there is no name for it."""
    with pytest.raises(UnicodeEncodeError):
        utf7.encode("a\udcffb")


@given(UNICODE)
def test_decode_is_the_reverse_of_encode(name: str) -> None:
    """Any Unicode survives; what is sent is printable ASCII."""
    encoded = utf7.encode(name)

    assert utf7.decode(encoded) == name
    assert all(0x20 <= octet <= 0x7E for octet in encoded)


@given(st.one_of(st.binary(), st.from_regex(rb"(&[A-Za-z0-9+,]{0,12}-?|[a-z]){0,6}")))
def test_decode_anything(encoded: bytes) -> None:
    """A name, or ValueError; and a name's canonical form means the same."""
    try:
        name = utf7.decode(encoded)
    except ValueError:
        return
    assert utf7.decode(utf7.encode(name)) == name

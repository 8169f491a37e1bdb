"""Address lists, right ones and others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courier.message import address
from courier.message.address import Address
from tests.courier.message.strategies import linear, rubbish


@pytest.mark.parametrize(
    ("value", "addresses"),
    [
        (b"a@b", [(None, b"a", b"b")]),
        (b"John Doe <a@b>", [(b"John Doe", b"a", b"b")]),
        (b"John   Q.  Doe <a@b>", [(b"John   Q.  Doe", b"a", b"b")]),
        (b'"Doe, John" <a@b>, c@d', [(b"Doe, John", b"a", b"b"), (None, b"c", b"d")]),
        (b'"a\\"b\\\\" <x@y>', [(b'a"b\\', b"x", b"y")]),
        (b'"" <a@b>', [(None, b"a", b"b")]),
        (b"(comment) z@y", [(b"comment", b"z", b"y")]),
        (b"x@y (Real (nested \\)) Name)", [(b"Real (nested \\)) Name", b"x", b"y")]),
        (b"J. (c) D <a@b> (tail)", [(b"J. D", b"a", b"b")]),
        (b"plain", [(None, b"plain", b"")]),
        (b"<>", [(None, b"", b"")]),
        (b'"quoted local"@h', [(None, b'"quoted local"', b"h")]),
        (b'"a b"."c"@h', [(None, b'"a b"."c"', b"h")]),
        (b"a . b @ c . d", [(None, b"a.b", b"c.d")]),
        (b"x@[1.2.3.4]", [(None, b"x", b"[1.2.3.4]")]),
        (b"<@route,@r2:u@h>", [(None, b"u", b"h", b"@route,@r2")]),
        (b"J <@r:u>, <@:u@h>", [(b"J", b"u", b"", b"@r"), (None, b"u", b"h", b"@")]),
        (b"a@b,,c@d,", [(None, b"a", b"b"), (None, b"c", b"d")]),
        (b"a@b c@d", [(None, b"a", b"b"), (None, b"c", b"d")]),
        (b"John Doe foo@bar", [(b"John Doe", b"foo", b"bar")]),
        (b"a@b@c", [(None, b"a@b", b"c")]),
        (b"A B: b@c, D <e@f>;", [(None, b"A B", None), (None, b"b", b"c"), (b"D", b"e", b"f"), ()]),
        (b"Nobody:;", [(None, b"Nobody", None), ()]),
        (b"G: a@b", [(None, b"G", None), (None, b"a", b"b"), ()]),
        (b"G:;, x@y", [(None, b"G", None), (), (None, b"x", b"y")]),
        (b"a@b;c@d", [(None, b"a", b"b"), (None, b"c", b"d")]),
        (b"J\xc3\xb6rg <a@b>", [(b"J\xc3\xb6rg", b"a", b"b")]),
        (b"=?utf-8?q?a=2Cb?= <a@b>", [(b"=?utf-8?q?a=2Cb?=", b"a", b"b")]),
        # Not addresses, but somebody will send them.
        (b"(((( a@b", [(b"((((", b"a", b"b")]),
        (b'"open <a@b>, c@d', [(b'"open', b"a", b"b"), (None, b"c", b"d")]),
        (b"x\\", [(None, b"x\\", b"")]),
        (b"<a@b", [(None, b"a", b"b")]),
        (b"a@b>", [(None, b"a", b"b")]),
        (b"A: B: c@d;;", [(None, b"A", None), (b"B", b"c", b"d"), ()]),
        (b"Name <d e@f>", [(b"Name", b"d e", b"f")]),
        (b"undisclosed recipients", [(None, b"undisclosed recipients", b"")]),
        (b"", []),
        (b" , ;", []),
    ],
)
def test_parse(value: bytes, addresses: list[tuple[bytes | None, ...]]) -> None:
    """Names, mailboxes, hosts and routes of each list; () stands for the end of a group."""
    assert address.parse(value) == [
        Address(*each) if each else address.GROUP_END for each in addresses
    ]


@given(rubbish)
def test_parse_any_bytes(value: bytes) -> None:
    """Every value has some list; groups begin and end in turn."""
    depth = 0
    for each in address.parse(value):
        if each.host is None:
            depth += 1 if each.mailbox is not None else -1
        else:
            assert each.mailbox is not None
        assert depth in (0, 1)
    assert depth == 0


_atoms = st.text("abcdefgXYZ0189-_+=?*", min_size=1, max_size=8).map(str.encode)
_names = st.one_of(st.none(), st.lists(_atoms, min_size=1, max_size=3).map(b" ".join))
_addresses = st.builds(
    Address, _names, _atoms, st.lists(_atoms, min_size=1, max_size=3).map(b".".join), st.none()
)


def _write(each: Address, quotes: bool) -> bytes:
    assert each.mailbox is not None and each.host is not None
    spec = each.mailbox + b"@" + each.host
    if each.name is None:
        return spec
    return (b'"%b"' % each.name if quotes else each.name) + b" <" + spec + b">"


@given(st.lists(_addresses, max_size=6), st.booleans())
def test_short_cut_agrees_with_the_general_reader(addresses: list[Address], quotes: bool) -> None:
    """What is written is read again, by the pattern for simple addresses and by the tokens alike."""
    value = b", ".join(_write(each, quotes) for each in addresses)

    assert address.parse(value) == addresses
    assert address._List(value, 0).addresses == addresses


@pytest.mark.parametrize(
    "piece",
    [
        b"(",
        b"(a",
        b'"',
        b"<",
        b">",
        b"@",
        b":",
        b";",
        b"\\",
        b"a@b,",
        b"=",
        b"[",
        b"a ",
        b'"\\"',
        b"a@b ",
        b" ",
        b'"\\',
        b'\\"',
        b'"\\" ',
    ],
)
@pytest.mark.parametrize("octets", [60_000, 70_000])
def test_floods(piece: bytes, octets: int) -> None:
    """64 kB of anything, and more, is read in linear time."""
    with linear():
        for found in address.parse(piece * (octets // len(piece))):
            address.unquoted(found.mailbox or b"")


def test_too_many_addresses() -> None:
    """Of a list that is too long no address is cut in two."""
    found = address.parse(b"somebody@example.com, " * 4000)

    assert set(found) == {Address(None, b"somebody", b"example.com")}
    assert 2000 < len(found) < 4000

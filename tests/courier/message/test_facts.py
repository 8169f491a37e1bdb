"""Facts: what is found at once is what each question finds for itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courier.message import facts, header, lines, ordering, structure, text
from courier.message.collation import fold
from courier.message.facts import FIELDS, PIECES, Facts, Flag
from courier.message.message import Message
from tests.courier.message.strategies import linear, rubbish
from tests.support.messages import CATALOGUE, generate


def pieces(found: Facts) -> dict[str, bytes]:
    return dict(zip(PIECES, found.pieces, strict=True))


def agrees(data: bytes) -> None:
    """Compare facts with what the other modules say, each asked on its own."""
    found, message = facts.describe(data), Message(data)
    got = pieces(found)
    keys = ordering.keys(Message(data))

    assert found.size == len(lines.wire(data))
    if keys.sent is None:
        assert found.flags & Flag.NO_DATE
    else:
        assert (found.sent, found.flags & Flag.NO_DATE) == (keys.sent, 0)
    assert bool(found.flags & Flag.REPLY) == keys.is_reply
    assert bool(found.flags & Flag.EIGHT_BIT) == (not data[: message.body_start].isascii())
    assert [
        got[name].decode("utf-8", "surrogatepass")
        for name in ("base_subject", "from_key", "to_key", "cc_key", "from_name", "to_name")
    ] == [
        *(keys.subject, keys.from_mailbox, keys.to_mailbox, keys.cc_mailbox),
        *(keys.from_display, keys.to_display),
    ]
    assert got["ids"].split(b"\n") == [keys.message_id, *keys.references]
    if not found.flags & Flag.TEXT_IN_FILE:
        texts_agree(message, found)


def texts_agree(message: Message, found: Facts) -> None:
    got = pieces(found)
    for name in ("subject", "from", "to", "cc", "bcc"):
        values = text.values(message, name.encode())
        assert got[name] == b"\n".join(fold(v).encode("utf-8", "surrogatepass") for v in values)
        assert bool(found.fields >> facts.NUMBER[name.encode()] & 1) == bool(values)
    for utf8 in (False, True):
        place = int(utf8) if found.flags & Flag.UTF8 else 0
        asked = (
            structure.envelope(message, utf8),
            structure.body(message, utf8, extended=False),
            structure.body(message, utf8, extended=True),
        )
        for piece, value in zip(found.pieces, asked, strict=False):
            assert piece.split(b"\0")[place] == value
    if not found.flags & Flag.HEADER_IN_FILE:
        numbers, *kept, nothing, end = got["header"].split(b"\0")
        assert (nothing, end) == (b"", b"\r\n")
        assert [(FIELDS[n - 1], line) for n, line in zip(numbers, kept, strict=True)] == [
            (name.lower(), ended(lines.wire(line)))
            for name, line in header.fields(message.data, 0, message.body_start)
            if name.lower() in facts.NUMBER
        ]


def ended(line: bytes) -> bytes:
    return line if line.endswith(b"\r\n") else line + b"\r\n"


@pytest.mark.parametrize("name", CATALOGUE)
def test_describe(name: str) -> None:
    agrees(CATALOGUE[name])
    agrees(lines.wire(CATALOGUE[name]))


def test_describe_generated() -> None:
    for data in generate(30):
        agrees(data)


@given(rubbish)
def test_describe_any_bytes(data: bytes) -> None:
    agrees(data)


_FIELD = st.sampled_from(
    [
        *(b"Subject: a", b"subject:", b"SUBJECT", b"Subject\r", b"Subject : no", b"Subject: \xff"),
        *(b"From: J\xc3\xb6 <a@b>", b"To: =?utf-7?q?+2AA-?= <c@d>", b"To: e@f,", b"Cc: g: h@i;"),
        *(b" more: less", b"\tx", b"X-Other: y", b"References: <a@b> <c@d>", b"Message-ID: <x@y>"),
        *(b"In-Reply-To: <r@s>", b"Date: Fri, 13 Nov 2026 09:15:00 +0100", b"Bcc: \0", b"", b" "),
    ]
)


@given(st.lists(_FIELD, max_size=12), st.sampled_from([b"\n", b"\r\n", b"\r\r\n"]), st.booleans())
def test_describe_headers(fields: list[bytes], end: bytes, is_cut: bool) -> None:
    """Fields of all kinds, in any order, with or without an end of the header."""
    agrees(end.join(fields) + (b"" if is_cut else end + end + b"body" + end))


@pytest.mark.slow
def test_fields_without_bounds() -> None:
    """Above the limit texts stay in the file, sort keys are kept, and it takes linear time."""
    huge = [
        b"To: " + b"a@example.com, " * 40_000 + b"\n\nx\n",
        b"Subject:" + b"\n x" * 200_000 + b"\n\nx\n",
        b"References: " + b"<a@b>\n " * 100_000 + b"\nSubject: x\n\nx\n",
        b"From: a@b\n" * 100_000 + b"\nx\n",
        b"X: " + b"y" * (header.MAX_HEADER + 1) + b"\nSubject: late\n\nx\n",
    ]
    with linear():
        for data in huge:
            found = facts.describe(data)
            assert sum(map(len, found.pieces)) <= facts.MAX_TEXT + 5 * header.MAX_FIELD
            assert found.size == len(lines.wire(data))
    assert facts.describe(huge[-1]).flags & Flag.TEXT_IN_FILE


def test_field_numbers() -> None:
    """They fit into the mask, and stay what they are in files that exist."""
    assert len(set(FIELDS)) == len(FIELDS) <= 64
    assert (FIELDS[0], FIELDS[10], FIELDS[30]) == (b"date", b"references", b"list-unsubscribe-post")

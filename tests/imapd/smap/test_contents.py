"""What FETCH tells of messages, whatever their octets: blocks that a client can read, parts that can be asked for."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courier.message.message import Message
from imapd.smap import contents, entities
from imapd.smap.contents import Sent
from imapd.smap.refusal import Refused
from tests.support import messages

_LINES = [
    *(
        b"From: a",
        b"Subject:",
        b"  folded",
        b".dot: x",
        b"..",
        b".",
        b"no colon",
        b": x",
        b"a\0b: c",
    ),
    *(b"Mime-Version: 1.0", b"Content-Type: multipart/mixed; boundary=b", b"--b", b"--b--", b"--c"),
    *(b"Content-Type: message/rfc822", b"Content-Type: multipart/mixed; boundary=c", b"--c--"),
    *(b"Content-Transfer-Encoding: base64", b"AAEC", b"=3D=", b"", b"", b"\t", b"\r", b"\xff\xfe"),
]
MESSAGES = st.lists(st.sampled_from(_LINES)).flatmap(
    lambda lines: st.sampled_from([b"\n", b"\r\n"]).map(lambda end: end.join(lines))
)


def written(data: bytes, word: str) -> bytes:
    item = contents.item(word)
    assert item is not None
    return b"".join(contents.write(Message(data), item, 1, Sent()))


def dotted(said: bytes) -> Iterator[tuple[bytes, list[bytes]]]:
    """Read dot-stuffed blocks: their first lines, and the lines in them."""
    at = 0
    while at < len(said):
        end = said.index(b"\n", at)
        title, at = said[at:end], end + 1
        lines = []
        while (line := said[at : (end := said.index(b"\n", at))]) != b".":
            lines.append(line.removeprefix(b"."))
            at = end + 1
        at = end + 1
        yield title, lines


def chunks(said: bytes) -> bytes:
    """Read a binary block, or an empty one."""
    if said == b"{.0} FETCH 1 CONTENTS\n.\n":
        return b""
    title, _, rest = said.partition(b"\n")
    found = re.fullmatch(rb"\{(\d+)/\d+\} FETCH 1 CONTENTS", title)
    assert found is not None, title
    size, data = int(found[1]), b""
    while size:
        assert size <= 8192
        data, rest = data + rest[:size], rest[size:]
        number, _, rest = rest.partition(b"\n")
        size = int(number or 0)
    assert rest == b""
    return data


@given(MESSAGES | st.binary())
def test_any_message(data: bytes) -> None:
    """MIME tells of each part once, parents first; each can be asked for, and is what MIME says of it."""
    told: dict[str, int] = {}
    for title, _ in dotted(written(data, "CONTENTS=MIME")):
        found = re.fullmatch(
            rb'\{\.\d+\} FETCH 1 LINES=(\d+) SIZE=(\d+) "MIME.ID=([0-9.]*)"'
            rb'(?: "MIME.PARENT=([0-9.]*)")?',
            title,
        )
        assert found is not None, title
        id = found[3].decode()
        assert id not in told
        assert (found[4] is None) == (not told)
        assert found[4] is None or found[4].decode() in told
        body = chunks(written(data, f"CONTENTS=BODY[{id}]"))
        assert len(body) == int(found[2])
        assert int(found[1]) == len(body.removesuffix(b"\n").split(b"\n")) - (not body)
        told[id] = len(body)
        chunks(written(data, f"CONTENTS=BODY.DECODED[{id}]"))
    assert chunks(written(data, "CONTENTS=ALL")) == data
    assert len(told) == sum(1 for _ in entities.walk(Message(data)))


@given(MESSAGES | st.binary())
def test_any_header(data: bytes) -> None:
    """One block, in which nothing ends it early; joined, each field is one line."""
    for kind in ("HEADERS", "RAWHEADERS"):
        ((title, lines),) = dotted(written(data, f"CONTENTS={kind}"))
        assert title.endswith(b" FETCH 1 " + kind.encode())
        if kind == "HEADERS":
            assert all(b": " in line for line in lines)


@pytest.mark.parametrize("name", sorted(messages.CATALOGUE))
def test_realistic_messages(name: str) -> None:
    data = messages.CATALOGUE[name]

    test_any_message.hypothesis.inner_test(data)  # type: ignore[attr-defined]
    test_any_header.hypothesis.inner_test(data)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "id",
    ["0", "2", "1.", "1..1", ".1", "a", "1.x", "1.1.1", "1.3", "01", "1.2.1", "1.9999999999", " 1"],
)
def test_what_names_no_part(id: str) -> None:
    data = b"Mime-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\na\n--b\n\nb\n--b--\n"

    with pytest.raises(Refused, match="Cannot retrieve message: Invalid argument"):
        written(data, f"CONTENTS=BODY[{id}]")


def test_without_mime_version_nothing_is_taken_apart() -> None:
    """Courier, at any level: clients take such messages for plain text."""
    inner = b"Content-Type: multipart/mixed; boundary=c\n\n--c\n\na\n--c--\n"
    data = (
        b"Mime-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\n"
        b"Content-Type: message/rfc822\n\n" + inner + b"--b--\n"
    )

    ids = [entity.id for entity in entities.walk(Message(data))]

    assert ids == ["1", "1.1", "1.1.0"]
    assert [entity.id for entity in entities.walk(Message(inner))] == ["1"]


@pytest.mark.parametrize(
    ("word", "kind", "id", "names", "peeks"),
    [
        ("CONTENTS=ALL", "ALL", "", "", False),
        ("contents.peek=BODY[1.2]", "BODY", "1.2", "", True),
        ("CONTENTS=HEADERS(From,:MIME)", "HEADERS", "", "From,:MIME", False),
        ("CONTENTS.PEEK=HEADERS[1.2.0](a", "HEADERS", "1.2.0", "a", True),
        ("CONTENTS=BODY[1", "BODY", "1", "", False),
        ("CONTENTS=", "", "", "", False),
    ],
)
def test_items(word: str, kind: str, id: str, names: str, peeks: bool) -> None:
    item = contents.item(word)

    assert item is not None
    assert (item.kind, item.id, item.peeks) == (kind, id, peeks)
    assert item.names == contents.Names.of(names)


@pytest.mark.parametrize(
    "word", ["FLAGS", "CONTENTS", "CONTENTS.PEEK", "XCONTENTS=ALL", "=ALL", ""]
)
def test_what_is_no_item(word: str) -> None:
    assert contents.item(word) is None

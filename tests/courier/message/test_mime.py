"""The MIME tree: right messages, wrong ones, and any bytes."""

from __future__ import annotations

import email
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given

from courier.message import lines, mime
from courier.message.mime import Part
from tests.courier.message.strategies import Node, linear, rubbish, trees


def outline(part: Part) -> object:
    """A part's subtype, or that with what is in it."""
    if part.message is not None:
        return [part.subtype.decode(), outline(part.message)]
    if part.children:
        return [part.subtype.decode(), *map(outline, part.children)]
    return part.subtype.decode()


def bodies(data: bytes, part: Part) -> list[bytes]:
    return [data[child.body_start : child.end] for child in part.children]


def walk(part: Part) -> Iterator[Part]:
    yield part
    for child in [part.message] if part.message else part.children:
        yield from walk(child)


def multipart(body: bytes, boundary: bytes = b"x", subtype: bytes = b"mixed") -> bytes:
    return b"Content-Type: multipart/%b; boundary=%b\n\n%b" % (subtype, boundary, body)


@pytest.mark.parametrize(
    ("body", "parts"),
    [
        (b"--x\n\none\n--x\n\ntwo\n--x--\n", [b"one", b"two"]),
        (b"preamble\n--x\n\none\n\n--x--\nepilogue\n", [b"one\n"]),
        (b"--x\n\none\n--x\n\ntwo\n", [b"one", b"two\n"]),  # never closed
        (b"--x\n\none\n--x--", [b"one"]),  # no line end after it
        (b"--x \t\n\none\n--x--  \n", [b"one"]),  # white space after the boundary
        (b"--x\r\n\r\none\r\n--x--\r\n", [b"one"]),
        (b"--x\n\none\r\n--x\r\n\ntwo\n--x--\n", [b"one", b"two"]),  # mixed line ends
        (b"--x\n\n--xy\n--X\n --x\na--x\n--x--\n", [b"--xy\n--X\n --x\na--x"]),  # none of those
        (b"--x\n--x\n\n--x--\n", [b"", b""]),  # no header, no body
        (b"--x\nA: b\n--x--\n", [b""]),  # header without an empty line
        (b"--x\nA: b\n--y\nC: d\n\nbody\n--x--\n", [b"body"]),  # a boundary's likeness in a header
        (b"--x\n\none\n--x--\n--x\n\ntwo\n--x--\n", [b"one"]),  # after the end
        (b"--x\n\na\rb\0\xff\n--x--\n", [b"a\rb\0\xff"]),
    ],
)
def test_parts_of_a_multipart(body: bytes, parts: list[bytes]) -> None:
    """A boundary is its own line, exactly; the line break before it is part of it."""
    data = multipart(body)

    assert bodies(data, mime.parse(data)) == parts


@pytest.mark.parametrize(
    "data",
    [
        b"Content-Type: multipart/mixed\n\n--x\n\none\n--x--\n",  # no boundary parameter
        b'Content-Type: multipart/mixed; boundary=""\n\n--\n\none\n----\n',
        multipart(b"nothing\n"),
        multipart(b"--x--\n"),
        multipart(b""),
        b"Content-Type: multipart/mixed; boundary=x\n",
    ],
)
def test_multipart_without_parts_is_a_leaf(data: bytes) -> None:
    """What cannot be taken apart is there as a whole."""
    root = mime.parse(data)

    assert (root.type, root.children) == (b"multipart", [])
    assert root.octets == len(lines.wire(data, root.body_start))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (
            multipart(
                b"--x\n"
                + multipart(b"--y\n\na\n--y--\n", b"y", b"alternative")
                + b"\n--x\n\nb\n--x--"
            ),
            ["mixed", ["alternative", "plain"], "plain"],
        ),
        # The inner multipart never ends: the outer boundary ends it.
        (
            multipart(b"--x\n" + multipart(b"--y\n\na\n", b"y") + b"--x\n\nb\n--x--"),
            ["mixed", ["mixed", "plain"], "plain"],
        ),
        # A boundary that begins like the outer one, and one that is the same.
        (
            multipart(b"--x\n" + multipart(b"--xx\n\na\n--xx--\n", b"xx") + b"--x\n\nb\n--x--"),
            ["mixed", ["mixed", "plain"], "plain"],
        ),
        (
            multipart(b"--x\n" + multipart(b"--x\n\na\n--x--\n", b"x") + b"--x\n\nb\n--x--"),
            ["mixed", ["mixed", "plain"], "plain"],
        ),
        # Digest: messages by default, RFC 2046 5.1.5.
        (
            multipart(
                b"--x\n\nSubject: a\n\nb\n--x\nContent-Type: text/html\n\n--x--", subtype=b"digest"
            ),
            ["digest", ["rfc822", "plain"], "html"],
        ),
        # Embedded messages, to a multipart's end.
        (
            multipart(
                b"--x\nContent-Type: message/rfc822\n\n"
                + multipart(b"--y\n\na\n", b"y")
                + b"\n--x\n\nb"
            ),
            ["mixed", ["rfc822", ["mixed", "plain"]], "plain"],
        ),
        (b"Content-Type: message/rfc822\n\nContent-Type: text/html\n\nx", ["rfc822", "html"]),
        (
            b"Content-Type: message/global\nContent-Transfer-Encoding: binary\n\n\nx",
            ["global", "plain"],
        ),
        (b"Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nQQ==", "rfc822"),
        (b"Content-Type: message/rfc822\nContent-Transfer-Encoding: X-odd\n\na", "rfc822"),
        (b"Content-Type: message/delivery-status\n\na: b\n\nc: d\n", "delivery-status"),
        (b"", "plain"),
        (b"\nbody", "plain"),
        (b"Content-Type:\n\nbody", "plain"),
        (b"Content-Type: ;\n\nbody", "plain"),
    ],
)
def test_outline(data: bytes, expected: object) -> None:
    """Nesting of multiparts and messages."""
    assert outline(mime.parse(data)) == expected


def test_what_a_part_says() -> None:
    """The fields that describe a part, in the form the structure needs."""
    part = mime.parse(
        b"Content-Type: Text/HTML; Charset=UTF-8; charset=x\n"
        b"Content-Transfer-Encoding: BASE64 (really)\n"
        b"Content-ID: <a@b>\nContent-Description: a\n  b\nContent-MD5: abc==\n"
        b"Content-Disposition: Attachment; filename=x\nContent-Language: en, de,\n"
        b"Content-Location: http://x/\nContent-ID: <second>\n\n"
    )

    assert (part.type, part.subtype, part.encoding) == (b"text", b"html", b"base64")
    assert part.parameters == ((b"charset", b"UTF-8"), (b"charset", b"x"))
    assert part.parameter(b"charset") == b"UTF-8"
    assert (part.id, part.description, part.md5) == (b"<a@b>", b"a b", b"abc==")
    assert part.disposition == (b"attachment", ((b"filename", b"x"),))
    assert (part.language, part.location) == ([b"en", b"de"], b"http://x/")


def test_what_a_part_does_not_say() -> None:
    """Defaults: text/plain and 7bit, everything else is absent; empty fields are absent too."""
    part = mime.parse(b"Content-ID:\nContent-Disposition: \nContent-Language: ,\n\n")

    assert (part.type, part.subtype, part.parameters) == (b"text", b"plain", ())
    assert part.encoding == b"7bit"
    assert (part.id, part.description, part.md5, part.location) == (None,) * 4
    assert (part.disposition, part.language) == (None, [])


@pytest.mark.parametrize("value", [b"(as ever) base64", b"(a) (b)\n BASE64(c)", b"base64; x=y"])
def test_encoding_among_comments(value: bytes) -> None:
    """They may stand before it and after (RFC 2045 5.1)."""
    part = mime.parse(b"Content-Transfer-Encoding: %b\n\nQQ==\n" % value)

    assert part.encoding == b"base64"


@pytest.mark.parametrize("value", [b"?base64?", b"=", b"(only a comment)", b'""'])
def test_encoding_that_is_none(value: bytes) -> None:
    """What is no token (RFC 2045 6.1) counts as if it were not there."""
    part = mime.parse(b"Content-Transfer-Encoding: %b\n\nQQ==\n" % value)

    assert part.encoding == b"7bit"


@pytest.mark.parametrize(
    ("body", "octets", "count"),
    [(b"", 0, 0), (b"body\nlast", 10, 1), (b"a\n", 3, 1), (b"a\r\nb\rc\n\n", 10, 3), (b"\n", 2, 1)],
)
def test_sizes(body: bytes, octets: int, count: int) -> None:
    """Octets are those of the wire form; a last line without an end is no line (Courier)."""
    part = mime.parse(b"Subject: x\n\n" + body)

    assert (part.octets, part.lines) == (octets, count)


def _check(data: bytes, part: Part, start: int, end: int) -> None:
    """Ranges lie inside one another, in order, and sizes are sizes of ranges."""
    assert start <= part.header_start <= part.body_start <= part.end <= end
    assert part.octets == len(lines.wire(data, part.body_start, part.end))
    assert part.lines == data.count(b"\n", part.body_start, part.end)
    assert part.wire_start == len(lines.wire(data, 0, part.body_start))
    if part.message is not None:
        assert not part.children
        assert (part.message.header_start, part.message.end) == (part.body_start, part.end)
        _check(data, part.message, part.body_start, part.end)
    at = part.body_start
    for child in part.children:
        _check(data, child, at, part.end)
        at = child.end


@given(rubbish)
def test_any_bytes(data: bytes) -> None:
    """Every sequence of bytes has a structure that covers all of it."""
    root = mime.parse(data)

    assert (root.header_start, root.end) == (0, len(data))
    _check(data, root, 0, len(data))


def _tree(data: bytes, part: Part) -> Node:
    kind = part.type + b"/" + part.subtype
    if part.message is not None:
        return Node(kind, children=[_tree(data, part.message)])
    if part.children:
        boundary = part.parameter(b"boundary") or b""
        return Node(kind, b"", boundary, [_tree(data, child) for child in part.children])
    return Node(kind, data[part.body_start : part.end])


@given(trees)
def test_what_is_written_is_read(node: Node) -> None:
    """Parsing is the inverse of writing, with LF and with CRLF."""
    data = node.write()

    assert _tree(data, mime.parse(data)) == node

    crlf = lines.wire(data)
    read = _tree(crlf, mime.parse(crlf))
    assert lines.wire(read.write()) == crlf


@given(trees)
def test_outline_as_the_standard_library(node: Node) -> None:
    """Python's email package sees the same parts in the same order."""
    data = node.write()
    oracle = [part.get_content_type() for part in email.message_from_bytes(data).walk()]

    found = [(part.type + b"/" + part.subtype).decode() for part in walk(mime.parse(data))]

    assert found == oracle


def test_depth() -> None:
    """Below 100 levels a multipart, and a message, is a leaf with all that is left."""
    data = b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (number, number)
        for number in range(10_000)
    )
    with linear():
        part = mime.parse(data)
    depth = 0
    while part.children:
        depth += 1
        part = part.children[0]
    assert (depth, part.type, part.end) == (mime.MAX_DEPTH, b"multipart", len(data))

    data = b"Content-Type: message/rfc822\n\n" * 10_000
    with linear():
        part = mime.parse(data)
    depth = 0
    while part.message is not None:
        depth += 1
        part = part.message
    assert (depth, part.type, part.end) == (mime.MAX_DEPTH, b"message", len(data))


def test_number_of_parts() -> None:
    """The 10,000th entity holds all the rest, and the message is whole."""
    data = multipart(b"--x\n\na\n" * 100_000)
    with linear():
        root = mime.parse(data)

    assert len(root.children) == mime.MAX_PARTS - 1
    last = root.children[-1]
    assert last.end == root.end == len(data)
    assert last.octets == len(lines.wire(data, last.body_start))
    assert last.wire_start + last.octets == len(lines.wire(data))


def _calls(data: bytes) -> int:
    """Count the function calls, of Python and C, that parsing takes."""
    count = 0

    def profile(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(profile)
    try:
        mime.parse(data)
    finally:
        sys.setprofile(None)
    return count


_NESTED = b"".join(multipart(b"--b%d\n" % level, b"b%d" % level) for level in range(100))


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (multipart(b""), b"--x\n\nbody\n"),
        (multipart(b""), b"--\n"),
        (multipart(b"--x\n"), b"--y\n"),  # likenesses of boundaries in a header
        (multipart(b""), b"--x--\n"),
        (_NESTED, b"--c\n"),
        (_NESTED, b"--b50\n\n"),
        (multipart(b""), b"--x\nContent-Type: message/rfc822\n\n"),
        (multipart(b""), b"--x\nContent-Type: multipart/mixed; boundary=x\n\n"),
    ],
    ids=[
        "parts",
        "dashes",
        "in a header",
        "ends",
        "nested",
        "inner ends",
        "messages",
        "same boundary",
    ],
)
def test_work_grows_with_size_alone(start: bytes, piece: bytes) -> None:
    """Twice the message takes twice the calls."""
    base = _calls(start)
    once = _calls(start + piece * 2_000) - base
    twice = _calls(start + piece * 4_000) - base

    assert twice <= 2.1 * once + 200


@pytest.mark.slow
@pytest.mark.parametrize(
    "data",
    [
        b"Content-Type: multipart/mixed; boundary="
        + b"a" * 1_000_000
        + b"\n\n--"
        + b"a" * 1_000_000,
        b"Content-Type: multipart/mixed" + b"; a*0=b" * 1_000_000 + b"\n\n",
        _NESTED + b"--" * 5_000_000,
        _NESTED + b"\n" * 5_000_000,
        _NESTED + b"\r" * 5_000_000,
        b"Content-Type: message/rfc822\n\n" * 100 + b"\r\n" * 5_000_000,
        b"\n--x " * 1_000_000,
        b"a" * 50_000_000,
    ],
    ids=["boundary", "parameters", "dashes", "lf", "cr", "messages", "no multipart", "one line"],
)
def test_big(data: bytes) -> None:
    """Megabytes of what parsers fear."""
    with linear():
        root = mime.parse(data)

    assert root.end == len(data)


def test_headers_are_read_up_to_a_limit() -> None:
    """After 10 MB of headers fields are ignored; parts are still found."""
    part = b"--x\nContent-Type: text/html\nX: " + b"y" * (1 << 20) + b"\n\n\n"
    root = mime.parse(multipart(part * 12))

    assert [child.subtype for child in root.children] == [b"html"] * 10 + [b"plain"] * 2

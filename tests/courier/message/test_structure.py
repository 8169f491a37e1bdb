"""ENVELOPE, BODY and BODYSTRUCTURE: the values of the reference, and grammar for any bytes."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from courier.message import mime, structure
from courier.message.message import Message
from tests.courier.message.strategies import linear, rubbish

Value = list["Value"] | bytes | int | None

_TOKEN = re.compile(rb'(\()|(\))|( )|NIL|([0-9]+)|"((?:[^"\\\r\n\0]|\\["\\])*)"')


def read(text: bytes) -> Value:
    """Read a parenthesised value, strictly: one blank between elements, none between lists."""
    stack: list[list[Value]] = [[]]
    at, blank = 0, True
    while at < len(text):
        token = _TOKEN.match(text, at)
        assert token is not None, text[at : at + 40]
        opens, closes, space, number, string = token.groups()
        follows_list = text[at - 1 : at] == b")"
        at = token.end()
        if space:
            assert not blank
            blank = True
        elif closes:
            assert not blank or stack[-1] == []
            value: Value = stack.pop()
            stack[-1].append(value)
            blank = False
        else:
            assert blank or (opens and follows_list)
            blank = bool(opens)
            if opens:
                stack.append([])
            elif number:
                stack[-1].append(int(number))
            elif string is not None:
                stack[-1].append(re.sub(rb'\\(["\\])', rb"\1", string))
            else:
                stack[-1].append(None)
    assert len(stack) == 1 and len(stack[0]) == 1
    return stack[0][0]


def envelope(data: bytes, utf8: bool = False) -> bytes:
    return structure.envelope(Message(data), utf8)


def body(data: bytes) -> bytes:
    return structure.body(Message(data), utf8=False, extended=False)


def bodystructure(data: bytes, utf8: bool = False) -> bytes:
    return structure.body(Message(data), utf8, extended=True)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        # These are Courier 5.0.13's answers, byte for byte.
        (b"", b"(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"),
        (
            b"From: a@b\nSubject: x\n",
            b'(NIL "x" ((NIL NIL "a" "b")) ((NIL NIL "a" "b")) ((NIL NIL "a" "b")) NIL NIL NIL NIL NIL)',
        ),
        (
            b'To: "Q. U" <q@u>, (comm) z@y, plain, <>\nCc: x@y (Real Name)\n',
            b'(NIL NIL NIL NIL NIL (("Q. U" NIL "q" "u")("comm" NIL "z" "y")(NIL NIL "plain" "")'
            b'(NIL NIL "" "")) (("Real Name" NIL "x" "y")) NIL NIL NIL)',
        ),
        (
            b'To: John   Q.  Doe <a@b>, "a\\"b" <x@y>\nBcc: "quoted local"@h, x@[1.2.3.4], a . b @ c . d\n',
            b'(NIL NIL NIL NIL NIL (("John   Q.  Doe" NIL "a" "b")("a\\"b" NIL "x" "y")) NIL '
            b'((NIL NIL "quoted local" "h")(NIL NIL "x" "[1.2.3.4]")(NIL NIL "a.b" "c.d")) NIL NIL)',
        ),
        (
            b'To: "J\xc3\xb6rg" <a@b>\n',
            b'(NIL NIL NIL NIL NIL (("=?utf-8?B?SsO2cmc=?=" NIL "a" "b")) NIL NIL NIL NIL)',
        ),
        # These follow the reference where Courier 5.0.13 does not.
        (
            b"Date: d1\nDate: d2\nSubject: s1\nsubject: s2\nMessage-ID: <m@x>\nIn-Reply-To: <a>\n <b>\n",
            b'("d1, d2" "s1, s2" NIL NIL NIL NIL NIL NIL "<a> <b>" "<m@x>")',
        ),
        (
            b'Subject: a "q" \\ b\n\t  c\rd\0e \n',
            b'(NIL "a \\"q\\" \\\\ b c d e" NIL NIL NIL NIL NIL NIL NIL NIL)',
        ),
        (
            b"Subject: =?utf-8?q?J=C3=B6rg?= J\xf6rg\n",
            b'(NIL "=?utf-8?q?J=C3=B6rg?= =?utf-8?B?IErDtnJn?=" NIL NIL NIL NIL NIL NIL NIL NIL)',
        ),
        (
            b'From: a@b\nSender: \nReply-To: ,\nTo: A B: c@d, "E" <f@g>;, h@i\nCc: nobody:;\n',
            b'(NIL NIL ((NIL NIL "a" "b")) ((NIL NIL "a" "b")) ((NIL NIL "a" "b")) '
            b'((NIL NIL "A B" NIL)(NIL NIL "c" "d")("E" NIL "f" "g")(NIL NIL NIL NIL)(NIL NIL "h" "i")) '
            b'((NIL NIL "nobody" NIL)(NIL NIL NIL NIL)) NIL NIL NIL)',
        ),
        (
            b"From: a@b\nSender: c@d\nReply-To: <@r,@s:e@f>\n",
            b'(NIL NIL ((NIL NIL "a" "b")) ((NIL NIL "c" "d")) ((NIL "@r,@s" "e" "f")) NIL NIL NIL NIL NIL)',
        ),
    ],
)
def test_envelope(header: bytes, expected: bytes) -> None:
    """Each element of ENVELOPE; with LF and with CRLF."""
    assert envelope(header + b"\nbody\n") == expected
    assert envelope(header.replace(b"\n", b"\r\n") + b"\r\nbody\r\n") == expected


def test_envelope_for_a_client_that_knows_utf8() -> None:
    """UTF-8 is sent as it is, anything else is made UTF-8; encoded words stay."""
    header = "Subject: Grüße =?utf-8?q?=C3=B6?=\n".encode() + b"From: J\xf6rg <j@x>\n\n"

    assert envelope(header, utf8=True).startswith(
        '(NIL "Grüße =?utf-8?q?=C3=B6?=" (("Jörg" NIL "j" "x"))'.encode()
    )


LEAF = b"Content-Type: %b\nContent-Transfer-Encoding: 8bit\n"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        # These are Courier 5.0.13's answers, byte for byte.
        (
            LEAF % b"text/plain" + b"\nbody\nlast",
            b'("text" "plain" ("charset" "us-ascii") NIL NIL "8bit" 10 1)',
        ),
        (
            LEAF % b"TEXT/Plain; charset=ISO-8859-1; Format=FLOWED; DelSp=YES; a=B"
            + b'Content-Id: <a@b>\nContent-Description: desc "q" \\ x\n\nx\n',
            b'("text" "plain" ("charset" "iso-8859-1" "format" "FLOWED" "delsp" "YES" "a" "B") '
            b'"<a@b>" "desc \\"q\\" \\\\ x" "8bit" 3 1)',
        ),
        (
            b"Content-Type: multipart/mixed; boundary=AbC\n\npre\n--AbC\n"
            + LEAF % b"text/plain"
            + b"\na\nb\n--AbC\n"
            + LEAF % b'text/html; charset=UTF-8; name="a b"'
            + b"\nline1\nline2\n\n--AbC--\nepi\n",
            b'(("text" "plain" ("charset" "us-ascii") NIL NIL "8bit" 4 1)'
            b'("text" "html" ("charset" "utf-8" "name" "a b") NIL NIL "8bit" 14 2) "mixed")',
        ),
        (
            LEAF % b'image/png; name="x"' + b"\nx\n",
            b'("image" "png" ("name" "x") NIL NIL "8bit" 3)',
        ),
        (LEAF % b"bogus; y=" + b"\nx\n", b'("bogus" "" ("y" "") NIL NIL "8bit" 3)'),
        (
            LEAF % b"text/plain; f*=utf-8'en'%e2%82%ac.txt; c*0=us; c*1=-ascii" + b"\n",
            b'("text" "plain" ("f*" "utf-8\'en\'%e2%82%ac.txt" "c" "us-ascii" "charset" "us-ascii") NIL NIL "8bit" 0 0)',
        ),
        (
            b"Content-Transfer-Encoding: 8bit\nContent-Type: multipart/mixed; boundary=x\n\nnothing here\n",
            b'("multipart" "mixed" ("boundary" "x") NIL NIL "8bit" 14)',
        ),
        # These follow the reference where Courier 5.0.13 does not.
        (b"Subject: a\n\nx\n", b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 3 1)'),
        (
            b"Content-Type: text/html\n\nx\n",
            b'("text" "html" ("charset" "us-ascii") NIL NIL "7bit" 3 1)',
        ),
        (b"", b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 0 0)'),
        (
            LEAF % b'a/b; z; name="r\xc3\xa9.txt"' + b"\n",
            b'("a" "b" ("z" "" "name" "=?utf-8?B?csOpLnR4dA==?=") NIL NIL "8bit" 0)',
        ),
        (
            LEAF % b"message/rfc822" + b"\nFrom: in@ner\nSubject: inner\n\ninner body\n",
            b'("message" "rfc822" NIL NIL NIL "8bit" 44 (NIL "inner" ((NIL NIL "in" "ner")) '
            b'((NIL NIL "in" "ner")) ((NIL NIL "in" "ner")) NIL NIL NIL NIL NIL) '
            b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 12 1) 4)',
        ),
        (
            b"Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nQQ==\n",
            b'("message" "rfc822" NIL NIL NIL "base64" 6 (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL) '
            b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 0 0) 1)',
        ),
        (
            b"Content-Type: multipart/digest; boundary=x\n\n--x\n\nSubject: a\n\nb\n--x\n\n\n--x--\n",
            b'(("message" "rfc822" NIL NIL NIL "7bit" 15 (NIL "a" NIL NIL NIL NIL NIL NIL NIL NIL) '
            b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 1 0) 2)'
            b'("message" "rfc822" NIL NIL NIL "7bit" 2 (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL) '
            b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 0 0) 1) "digest")',
        ),
    ],
)
def test_body(data: bytes, expected: bytes) -> None:
    """BODY of leaves, multiparts and messages; MIME-Version makes no difference."""
    assert body(data) == expected
    assert body(b"Mime-Version: 1.0\n" + data) == expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (
            LEAF % b"text/plain" + b"\n",
            b'("text" "plain" ("charset" "us-ascii") NIL NIL "8bit" 0 0 NIL NIL NIL NIL)',
        ),
        (
            LEAF
            % b"text/plain"
            + b'Content-MD5: abc==\nContent-Disposition: ATTACHMENT; FileName="X y"; Charset=UTF-8\n'
            b"Content-Language: en, de\nContent-Location: http://x/\n\n",
            b'("text" "plain" ("charset" "us-ascii") NIL NIL "8bit" 0 0 "abc==" '
            b'("attachment" ("filename" "X y" "charset" "UTF-8")) ("en" "de") "http://x/")',
        ),
        (
            b"Content-Type: multipart/mixed; boundary=AbC\nContent-Disposition: inline\n"
            b"Content-Language: de\nContent-Location: l\n\n--AbC\n\na\n--AbC--\n",
            b'(("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 1 0 NIL NIL NIL NIL) "mixed" ("boundary" "AbC") '
            b'("inline" NIL) ("de") "l")',
        ),
        (
            b"Content-Type: message/rfc822\nContent-Disposition: inline\n\n\nx",
            b'("message" "rfc822" NIL NIL NIL "7bit" 3 (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL) '
            b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 1 0 NIL NIL NIL NIL) 1 NIL ("inline" NIL) NIL NIL)',
        ),
    ],
)
def test_bodystructure(data: bytes, expected: bytes) -> None:
    """Extension data is complete: language a list, location last (RFC 9051 7.5.2)."""
    assert bodystructure(data) == expected


def _check_envelope(value: Value) -> None:
    assert isinstance(value, list) and len(value) == 10
    for element in (*value[:2], *value[8:]):
        assert element is None or (isinstance(element, bytes))
    for addresses in value[2:8]:
        if addresses is None:
            continue
        assert isinstance(addresses, list) and addresses
        for address in addresses:
            assert isinstance(address, list) and len(address) == 4
            name, route, mailbox, host = address
            # Beyond ASCII it is an encoded word, as a host is.
            assert route is None or (route.startswith((b"@", b"=?")) and host is not None)
            assert (mailbox is not None) or (name is None and host is None)


def _check_body(value: Value, extended: bool) -> None:
    assert isinstance(value, list)
    if isinstance(value[0], list):
        parts = [part for part in value if isinstance(part, list)]
        at = next(at for at, part in enumerate(value) if not isinstance(part, list))
        for part in parts[:at]:
            _check_body(part, extended)
        assert isinstance(value[at], bytes)
        assert len(value) == at + (5 if extended else 1)
        extension = value[at + 2 :] if extended else None
    else:
        kind, subtype, parameters, identifier, description, encoding, octets = value[:7]
        assert isinstance(kind, bytes) and isinstance(subtype, bytes)
        assert not re.search(rb"[A-Z]", kind + subtype) or b"=?utf-8?B?" in kind + subtype
        assert parameters is None or (isinstance(parameters, list) and len(parameters) % 2 == 0)
        assert identifier != b"" and description != b""
        assert isinstance(encoding, bytes) and isinstance(octets, int)
        at = 7
        if kind == b"message" and subtype in (b"rfc822", b"global"):
            _check_envelope(value[at])
            _check_body(value[at + 1], extended)
            at += 2
        if at == 9 or kind == b"text":
            assert isinstance(value[at], int)
            at += 1
        assert len(value) == at + (4 if extended else 0)
        extension = value[at + 1 :] if extended else None
    if extension is not None:
        disposition, language, location = extension
        assert disposition is None or (isinstance(disposition, list) and len(disposition) == 2)
        assert language is None or (isinstance(language, list) and language)
        assert location is None or location


@given(rubbish, st.booleans())
def test_grammar_for_any_bytes(data: bytes, utf8: bool) -> None:
    """Whatever the message, the values are what RFC 9051's grammar says."""
    message = Message(data)
    values = [
        structure.envelope(message, utf8),
        structure.body(message, utf8, extended=False),
        structure.body(message, utf8, extended=True),
    ]

    for value in values:
        assert value.decode("utf-8").isascii() or utf8
    _check_envelope(read(values[0]))
    _check_body(read(values[1]), extended=False)
    _check_body(read(values[2]), extended=True)


@example(b"<@\xff:a@b>\n", False)
@given(rubbish, st.booleans())
def test_grammar_of_header_values(value: bytes, utf8: bool) -> None:
    """Rubbish in every field that is shown."""
    value = value.replace(b"\n", b"\n ")
    names = (
        b"From",
        b"To",
        b"Subject",
        b"Content-Type",
        b"Content-Disposition",
        b"Content-Language",
    )
    names += (b"Content-ID", b"Content-Transfer-Encoding", b"Content-Location", b"Content-MD5")
    message = Message(b"".join(b"%b: %b\n" % (name, value) for name in names) + b"\n")

    _check_envelope(read(structure.envelope(message, utf8)))
    _check_body(read(structure.body(message, utf8, extended=True)), extended=True)


def test_deepest_and_longest() -> None:
    """The deepest nesting and the most parts are written, once for each level and part."""
    nested = b"Content-Type: message/rfc822\n\n" * 200
    many = b"Content-Type: multipart/mixed; boundary=x\n\n" + b"--x\n\na\n" * 20_000

    with linear():
        deep, long = bodystructure(nested), bodystructure(many)

    assert deep.count(b'"rfc822"') == mime.MAX_DEPTH + 1
    assert long.count(b'"plain"') == mime.MAX_PARTS - 1


def test_huge_fields_are_cut() -> None:
    """A subject of a megabyte and a million recipients do not make a megabyte of ENVELOPE."""
    data = b"Subject: " + b"x" * 1_000_000 + b"\nTo: " + b"a@b, " * 1_000_000 + b"c\n\n"

    with linear():
        found = read(envelope(data))

    assert isinstance(found, list) and isinstance(found[1], bytes) and isinstance(found[5], list)
    assert len(found[1]) == 65536
    assert found[5][-1] == [None, None, b"a", b"b"]

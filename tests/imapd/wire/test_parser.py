from __future__ import annotations

import datetime
import sys
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imapd.wire import parser, utf7, writer
from imapd.wire.fetch_att import FetchItem, fetch_items, section
from imapd.wire.parser import ParseError, Parser, SequenceSet
from imapd.wire.section import Section, SectionText

MAX = 0xFFFFFFFF
ATOMS = st.text("abcXYZ019.-_$!'+~|}&/:;<=>?@^`,#", min_size=1, max_size=12).map(str.encode)
UNICODE = st.text()
NZ = st.integers(1, MAX)


def whole(text: bytes, rule: Callable[[Parser], object]) -> object:
    """Read ``text`` by one rule; nothing may be left."""
    arguments = Parser(text)
    value = rule(arguments)
    arguments.end()
    return value


def refused(text: bytes, rule: Callable[[Parser], object]) -> None:
    with pytest.raises(ParseError):
        whole(text, rule)


# -- strings -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"INBOX", b"INBOX"),
        (b"a]b[c", b"a]b[c"),
        (b"123", b"123"),
        (b"NIL", b"NIL"),
        (b'""', b""),
        (b'"a b"', b"a b"),
        (b'"a\\"b\\\\c"', b'a"b\\c'),
        (b'"\\a"', b"a"),  # Courier: a backslash quotes any octet
        ('"é"'.encode(), "é".encode()),
        (b'"a\tb\x7f"', b"a\tb\x7f"),
        (b"{0}\r\n", b""),
        (b"{3}\r\na\nb", b"a\nb"),
        (b"{3+}\n\xff\xfe\r", b"\xff\xfe\r"),
        (b"~{2}\r\n\x00x", b"\x00x"),
    ],
)
def test_astring(text: bytes, value: bytes) -> None:
    """An atom, a quoted string or a literal of any kind."""
    assert whole(text, Parser.astring) == value


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b" ",
        b"(",
        b"a(b",
        b"a b",
        b"a%",
        b"a*",
        b"a\\b",
        b'a"b"',
        b"\xc3\xa9",
        b"a\x00",
        b"a\x7f",
        b'"',
        b'"a',
        b'"a\\"',
        b'"a\r\nb"',
        b'"a\\\nb"',
        b'"a\x00b"',
        b'"\xff"',
        b'"\xc0\xaf"',  # overlong UTF-8
        b'"\xed\xa0\x80"',  # a surrogate
        b'"a"b',
        b"{5}\r\nabc",
        b"{3}\r\nabcd",
        b"{3}abc",
        b"{}\r\n",
        b"{1}\r\n\x00",
        b"{99999999999999999999}\r\n",
        b"~a{1}\r\nx",
    ],
)
def test_no_astring(text: bytes) -> None:
    refused(text, Parser.astring)


@given(st.binary(max_size=1500))
def test_string_that_was_written(text: bytes) -> None:
    """What the writer writes, the parser reads; NUL alone needs a literal8 in a client's hand."""
    written = writer.string(text)
    if b"\0" in text:
        written = b"~" + written

    assert whole(written, Parser.string) == text
    assert whole(written, Parser.astring) == text


@given(UNICODE.filter(lambda name: not set(name) & set("\0\r\n")), st.booleans())
def test_mailbox_that_was_written(name: str, utf8: bool) -> None:
    """Mailbox names in either encoding, all of Unicode."""
    read = whole(writer.mailbox(name, utf8=utf8), Parser.astring)

    assert isinstance(read, bytes)
    assert (read.decode() if utf8 else utf7.decode(read)) == name


@given(ATOMS)
def test_atom(text: bytes) -> None:
    assert whole(text, Parser.atom) == whole(text, Parser.astring) == text


@pytest.mark.parametrize(
    ("text", "value"),
    [(b"NIL", None), (b"nil", None), (b'"NIL"', b"NIL"), (b'"x"', b"x"), (b"{3}\r\nNIL", b"NIL")],
)
def test_nstring(text: bytes, value: bytes | None) -> None:
    assert whole(text, Parser.nstring) == value


@pytest.mark.parametrize("text", [b"NILL", b"x", b"", b"1"])
def test_no_nstring(text: bytes) -> None:
    refused(text, Parser.nstring)


@pytest.mark.parametrize(
    ("text", "value"),
    [(b"*", b"*"), (b"%.a]", b"%.a]"), (b'"*"', b"*"), (b"{1}\r\n%", b"%"), (b"INBOX", b"INBOX")],
)
def test_list_mailbox(text: bytes, value: bytes) -> None:
    assert whole(text, Parser.list_mailbox) == value


# -- numbers -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "value"), [(b"0", 0), (b"007", 7), (b"4294967295", MAX)])
def test_number(text: bytes, value: int) -> None:
    assert whole(text, Parser.number) == value


@pytest.mark.parametrize(
    "text", [b"", b"-1", b"+1", b"4294967296", b"00000000001", b"9" * 9000, b"1x", b"\xb2"]
)
def test_no_number(text: bytes) -> None:
    """Nothing wraps, and no large number is converted."""
    refused(text, Parser.number)


@pytest.mark.parametrize(
    ("text", "ranges"),
    [
        (b"1", ((1, 1),)),
        (b"*", ((None, None),)),
        (b"3:1,*:4,2:*", ((3, 1), (None, 4), (2, None))),
        (b"*:*", ((None, None),)),
        (b"4294967295", ((MAX, MAX),)),
        (b"1,1,1", ((1, 1),) * 3),
    ],
)
def test_sequence_set(text: bytes, ranges: tuple[tuple[int | None, int | None], ...]) -> None:
    """As written: nothing is sorted or resolved before the mailbox is known."""
    assert whole(text, Parser.sequence_set) == SequenceSet(ranges)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"0",
        b"0:1",
        b"1:0",
        b"01",
        b"1:02",
        b",",
        b"1,",
        b",1",
        b"1:",
        b":1",
        b"1:2:3",
        b"1**",
        b"4294967296",
        b"99999999999999999999",
        b"1:99999999999",
        b"-1",
        b'"1"',
        b"1 ,2",
        b"$,1",
        b"1,$",
        b"$:*",
        b"$Junk",
    ],
)
def test_no_sequence_set(text: bytes) -> None:
    refused(text, Parser.sequence_set)


def test_saved_result() -> None:
    """RFC 5182 3: ``$`` stands alone."""
    assert whole(b"$", Parser.sequence_set) == SequenceSet((), is_saved=True)


@given(st.lists(st.tuples(st.none() | NZ, st.none() | NZ), min_size=1))
def test_sequence_set_that_was_written(ranges: list[tuple[int | None, int | None]]) -> None:
    """Any ranges, in any order, survive being written and read."""

    def written(low: int | None, high: int | None) -> bytes:
        ends = [b"*" if end is None else b"%d" % end for end in (low, high)]
        return ends[0] if ends[0] == ends[1] else b":".join(ends)

    text = b",".join(written(*pair) for pair in ranges)

    assert whole(text, Parser.sequence_set) == SequenceSet(tuple(ranges))


def test_sequence_set_of_a_whole_command() -> None:
    """The largest set that the reader lets through costs one pair for each range in it."""
    text = b"4294967295:1," * 10_000 + b"*"

    read = whole(text, Parser.sequence_set)

    assert isinstance(read, SequenceSet)
    assert len(read.ranges) == 10_001


# -- flags and dates ---------------------------------------------------------------------------


@given(st.lists(ATOMS.map(bytes.decode) | st.sampled_from(["\\Seen", "\\deleted"])))
def test_flag_list_that_was_written(words: list[str]) -> None:
    assert whole(b"(" + " ".join(words).encode() + b")", Parser.flag_list) == words


@given(st.integers(0, 31))
def test_flags_that_were_written(bits: int) -> None:
    """System flags come back under their names."""
    words = whole(writer.flags(bits), Parser.flag_list)

    assert isinstance(words, list)
    assert len(words) == bits.bit_count()
    assert all(word.startswith("\\") for word in words)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"(",
        b")",
        b"(a",
        b"(a(b))",
        b"(\\\\a)",
        b"(\\)",
        b"(\\*)",
        b"(a{b)",
        b'("a")',
        b"(\xe9)",
        b"(a]b)",
        b"(a\x00)",
        b"(a,b",
    ],
)
def test_no_flag_list(text: bytes) -> None:
    refused(text, Parser.flag_list)


def test_list_without_end() -> None:
    """A list of more parts than any client has is refused while it is read."""
    refused(b"(" + b"a " * 6000 + b"a)", Parser.flag_list)
    refused(b"(" * 100_000, Parser.flag_list)
    refused(b"a " * 6000 + b"a", Parser.flags)


@pytest.mark.parametrize(
    ("text", "date"),
    [
        (b"1-Feb-1994", datetime.date(1994, 2, 1)),
        (b"01-FEB-1994", datetime.date(1994, 2, 1)),
        (b'"29-feb-2000"', datetime.date(2000, 2, 29)),
        (b"31-Dec-9999", datetime.date(9999, 12, 31)),
    ],
)
def test_date(text: bytes, date: datetime.date) -> None:
    assert whole(text, Parser.date) == date


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"1-Feb-94",
        b"0-Feb-1994",
        b"30-Feb-1994",
        b"29-Feb-1900",
        b"1-Foo-1994",
        b"1-Feb-0000",
        b'"1-Feb-1994',
        b'1-Feb-1994"',
        b"001-Feb-1994",
        b"1-Feb-19940",
        b"\xb2-Feb-1994",
    ],
)
def test_no_date(text: bytes) -> None:
    refused(text, Parser.date)


@given(st.dates(min_value=datetime.date(1, 1, 1)))
def test_date_that_was_written(date: datetime.date) -> None:
    months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    text = f"{date.day}-{months[date.month - 1]}-{date.year:04}".encode()

    assert whole(text, Parser.date) == whole(b'"' + text + b'"', Parser.date) == date


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (b'"01-Jan-1970 00:00:00 +0000"', 0),
        (b'" 5-Jan-2020 10:20:30 +0200"', 1_578_212_430),
        (b'"5-Jan-2020 10:20:30 +0200"', 1_578_212_430),
        (b'"05-jan-2020 10:20:30 -0130"', 1_578_225_030),
        (b'"31-Dec-2016 23:59:60 +0000"', 1_483_228_799),
        # Messages dated by a clock that was never set come from before 1970, east of Greenwich.
        (b'"01-Jan-1970 00:00:00 +0100"', -3600),
        (b'"31-Dec-1969 23:59:59 +0000"', -1),
        (b'"13-Dec-1901 20:45:52 +0000"', -(1 << 31)),
        (b'"16-Mar-2242 12:56:31 +0000"', (1 << 33) - 1),
    ],
)
def test_date_time(text: bytes, seconds: int) -> None:
    assert whole(text, Parser.date_time) == seconds


@pytest.mark.parametrize(
    "text",
    [
        b'"01-Jan-0000 00:00:00 +0000"',
        b'"01-Jan-0001 00:00:00 +2300"',
        b'"31-Dec-9999 23:59:59 -2300"',
        b'"13-Dec-1901 20:45:51 +0000"',
        b'"16-Mar-2242 12:56:32 +0000"',
        b'"00-Jan-2020 00:00:00 +0000"',
        b'"32-Jan-2020 00:00:00 +0000"',
        b'"01-Jan-2020 24:00:00 +0000"',
        b'"01-Jan-2020 00:60:00 +0000"',
        b'"01-Jan-2020 00:00:00 +2400"',
        b'"01-Jan-2020 00:00:00 +9999"',
        b'"01-Jan-2020 00:00:00"',
        b'"01-Jan-2020 00:00:00 GMT"',
        b'"01-Jan-2020  00:00:00 +0000"',
        b'"01-Jan-2020 00:00:00 +0000',
        b"01-Jan-2020 00:00:00 +0000",
        b'""',
    ],
)
def test_no_date_time(text: bytes) -> None:
    """Dates that are none, and those that no file can bear."""
    refused(text, Parser.date_time)


@given(st.integers(-(1 << 31), (1 << 33) - 1))
def test_date_time_that_was_written(seconds: int) -> None:
    assert whole(writer.date_time(seconds), Parser.date_time) == seconds


# -- FETCH -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (b"FLAGS", ["FLAGS"]),
        (b"(flags uid)", ["FLAGS", "UID"]),
        (b"FAST", ["FLAGS", "INTERNALDATE", "RFC822.SIZE"]),
        (b"All", ["FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE"]),
        (b"full", ["FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE", "BODY"]),
        (b"(UID UID)", ["UID"]),
        (b"( UID  FLAGS )", ["UID", "FLAGS"]),
        (b"(BODY BODYSTRUCTURE)", ["BODY", "BODYSTRUCTURE"]),
        (b"(RFC822 RFC822.HEADER RFC822.TEXT)", ["RFC822", "RFC822.HEADER", "RFC822.TEXT"]),
    ],
)
def test_fetch_items(text: bytes, names: list[str]) -> None:
    items = whole(text, fetch_items)

    assert isinstance(items, list)
    assert [item.name for item in items] == names


def test_fetch_items_with_sections() -> None:
    read = whole(b"(BODY[] BODY.PEEK[TEXT]<0.4> body[1.2.mime]<7.1>)", fetch_items)

    assert read == [
        FetchItem("BODY[]", Section()),
        FetchItem("BODY[]", Section(text=SectionText.TEXT), peek=True, partial=(0, 4)),
        FetchItem("BODY[]", Section((1, 2), SectionText.MIME), partial=(7, 1)),
    ]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"()",
        b"FOO",
        b"(FLAGS",
        b"(FLAGSUID)",
        b"FLAGS UID",
        b"(FLAGS FOO)",
        b"RFC822.PEEK",
        b"BODYSTRUCTURE[]",
        b"BODY[",
        b"BODY[0]",
        b"BODY[1.0]",
        b"BODY[1.]",
        b"BODY[.1]",
        b"BODY[1.HEADERS]",
        b"BODY[MIME]",
        b"BODY[HEADER.FIELDS]",
        b"BODY[HEADER.FIELDS ()]",
        b"BODY[HEADER.FIELDS (a]",
        b"BODY[1" + b".1" * 1000 + b"]",
        b"BODY[99999999999]",
        b"BODY[4294967296]",
        b"BODY[1.4294967296]",
        b"BODY[]<-1.5>",
        b"BODY[]<0.>",
        b"BODY[]<0>",
        b"BODY[]<0.0>",
        b"BODY[]<9223372036854775808.1>",
        b"BODY[]<0.9223372036854775808>",
        b"BODY.PEEK",
        b"BODY [TEXT]",
        b"BODY.PEEK [TEXT]",
        b"(ALL UID)",
        b"(FAST)",
        b"ALL UID",
        b"BODY[]<0.99999999999999999999>",
        b"BODY[]<1",
        b"(BODY[]FLAGS)",
        b'BODY[HEADER.FIELDS ("a\\\r\nb")]',
        b"BODY[HEADER.FIELDS (~{1}\r\n\x00)]",
    ],
)
def test_no_fetch_items(text: bytes) -> None:
    """Nothing is guessed."""
    refused(text, fetch_items)


def test_items_that_are_repeated() -> None:
    """Each is answered once, in the order given; but the octets of a section as often as asked."""
    items = whole(b"(FLAGS UID FLAGS BODY[] BODY BODY[] UID BODY)", fetch_items)

    assert [item.name for item in items] == ["FLAGS", "UID", "BODY[]", "BODY", "BODY[]"]


PARTS = st.lists(st.integers(1, 4_294_967_295), max_size=128).map(tuple)
FIELDS = st.lists(st.binary().filter(lambda name: b"\0" not in name))


@given(PARTS, st.none() | st.sampled_from(SectionText), FIELDS.map(tuple))
def test_section_that_was_written(
    part: tuple[int, ...], text: SectionText | None, names: tuple[bytes, ...]
) -> None:
    """Every section, with any strings as field names, in either case."""
    fields: tuple[bytes, ...] = ()
    if text in (SectionText.HEADER_FIELDS, SectionText.HEADER_FIELDS_NOT):
        fields = names or (b"To",)
    if text is SectionText.MIME and not part:
        part = (1,)
    words = [b"%d" % number for number in part] + ([text.value] if text else [])
    written = b".".join(words)
    if fields:
        written += b" (" + b" ".join(map(writer.string, fields)) + b")"

    read = whole(b"[" + written + b"]", section)

    assert read == Section(part, text, fields)
    if not fields:
        assert whole(b"[" + written.lower() + b"]", section) == read


# -- commands ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "tag", "name", "rest"),
    [
        (b"a1 NOOP\r\n", b"a1", "NOOP", b""),
        (b"  a1\t\tnoop \r\n", b"a1", "NOOP", b""),
        (b"1 uid  fetch 1 x\n", b"1", "UID FETCH", b" 1 x"),
        (b"a UID\r\n", b"a", "UID", b""),
        (b"a X-FOO.BAR=1 y\r\n", b"a", "X-FOO.BAR=1", b" y"),
        (b"a]b LOGOUT\r\n", b"a]b", "LOGOUT", b""),
        (b"a SELECT {5}\r\n", b"a", "SELECT", b" {5}"),
    ],
)
def test_command(text: bytes, tag: bytes, name: str, rest: bytes) -> None:
    read_tag, read_name, arguments = parser.command(text)

    assert (read_tag, read_name) == (tag, name)
    for octet in rest:
        arguments.byte(bytes([octet]))
    arguments.end()


@pytest.mark.parametrize(
    "text",
    [
        b"\r\n",
        b"a\r\n",
        b"a \r\n",
        b"* NOOP\r\n",
        b"a+ NOOP\r\n",
        b'"a" NOOP\r\n',
        b'a "NOOP"\r\n',
        b"a 1\r\n",
        b"a UID 1\r\n",
        b"a\x00 NOOP\r\n",
        b"a {4}\r\nNOOP\r\n",
        b"x" * 129 + b" NOOP\r\n",
    ],
)
def test_no_command(text: bytes) -> None:
    with pytest.raises(ParseError):
        parser.command(text)


@pytest.mark.parametrize("text", [b"\r", b"\r\n\n", b" \r\n x", b"\n\r", b"\x00\r\n", b"\x0b\r\n"])
def test_no_end(text: bytes) -> None:
    """A bare CR, a NUL or a second line is not the end of a command."""
    if text == b"\r":  # at the very end it stands for nothing
        Parser(text).end()
        return
    with pytest.raises(ParseError):
        Parser(text).end()


RULES: list[Callable[[Parser], object]] = [
    Parser.astring,
    Parser.list_mailbox,
    Parser.nstring,
    Parser.number,
    Parser.sequence_set,
    Parser.flag_list,
    Parser.date,
    Parser.date_time,
    fetch_items,
    section,
    Parser.word,
    Parser.peek_word,
]
NEARLY = st.lists(
    st.sampled_from(
        [
            b"(",
            b")",
            b'"',
            b"\\",
            b"[",
            b"]",
            b"{1}\r\n",
            b"{",
            b"}",
            b"~",
            b" ",
            b"*",
            b":",
            b",",
            b"1",
            b"0",
            b"4294967296",
            b"BODY",
            b"HEADER.FIELDS",
            b"<0.1>",
            b"a",
            b"\xff",
            b"\x00",
        ]
    ),
    max_size=12,
).map(b"".join)


@given(st.one_of(NEARLY, st.binary(max_size=40)), st.sampled_from(RULES))
def test_anything(text: bytes, rule: Callable[[Parser], object]) -> None:
    """Whatever is read: a value or ParseError, and never a position behind the end."""
    arguments = Parser(text)
    try:
        rule(arguments)
    except ParseError:
        pass
    assert arguments._at <= len(text)


def test_cost_of_hostile_text() -> None:
    """What a pattern fails on is looked at once: the steps of the largest command stay few.

    A line of the interpreter is counted as a step; a pattern that went back again and again
    would not show here, but would not end either.
    """
    steps = 0

    def count(*_: object) -> object:
        nonlocal steps
        steps += 1
        return count

    texts = [
        b'"' + b'\\"' * 65_000,
        b"(" * 130_000,
        b"1:" * 65_000,
        b"BODY[" + b"1." * 65_000,
        b"~{" * 65_000,
        b"9" * 130_000,
    ]
    sys.settrace(count)
    try:
        for text in texts:
            for rule in RULES:
                try:
                    rule(Parser(text))
                except ParseError:
                    pass
    finally:
        sys.settrace(None)
    assert steps < 200_000

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from imapd.wire import reader
from imapd.wire.reader import MAX_COMMAND, MAX_LITERAL, Announced, Line, Overlong, Reader

Event = Line | Announced | Overlong


@dataclass(frozen=True)
class Streamed:
    """What came of a literal that was read in pieces."""

    data: bytes


@dataclass(frozen=True)
class Lost:
    """The stream can't be trusted any more."""


def events(*pieces: bytes, answers: str = "a") -> list[object]:
    """Feed pieces and collect events. Literals are answered in turn: accept, stream or refuse."""
    cut = Reader()
    found: list[object] = []
    announced = 0
    streamed: bytearray | None = None
    for piece in pieces:
        cut.feed(piece)
        while True:
            if streamed is not None:
                while chunk := cut.chunk():
                    streamed += chunk
                if chunk is None:
                    break
                found.append(Streamed(bytes(streamed)))
                streamed = None
            try:
                event = cut.next()
            except reader.StreamLost:
                return [*found, Lost()]
            if event is None:
                break
            found.append(event)
            if isinstance(event, Announced):
                answer = answers[announced % len(answers)]
                announced += 1
                if answer == "a":
                    cut.accept()
                elif answer == "s":
                    cut.stream()
                    streamed = bytearray()
                else:
                    cut.refuse(report=answer == "R")
    return found


def lines(*pieces: bytes, answers: str = "a") -> list[bytes]:
    return [e.text for e in events(*pieces, answers=answers) if isinstance(e, Line)]


# -- lines and literals ------------------------------------------------------------------------


@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_lines(end: bytes) -> None:
    """A line is a command, with its line end, empty or not."""
    assert lines(b"a NOOP" + end + end + b"b NOOP" + end) == [
        b"a NOOP" + end,
        end,
        b"b NOOP" + end,
    ]


@pytest.mark.parametrize(
    ("header", "waits", "binary"),
    [
        (b"{5}\r\n", True, False),
        (b"{5}\n", True, False),
        (b"{5+}\r\n", False, False),
        (b"~{5}\r\n", True, True),
        (b"~{5+}\r\n", False, True),
        (b"{005}\r\n", True, False),
        (b"{0000000000000000000000000}\r\n", True, False),
    ],
)
def test_announced(header: bytes, waits: bool, binary: bool) -> None:
    """A literal is announced with all that its header says, before any of it is read."""
    text = b"a SELECT " + header

    found = events(text)

    assert [(e.text, e.waits, e.binary) for e in found if isinstance(e, Announced)] == [
        (text, waits, binary)
    ]


@pytest.mark.parametrize(
    "text",
    [
        b"a SELECT {5\r\n",
        b"a SELECT {}\r\n",
        b"a SELECT {-1}\r\n",
        b"a SELECT {1+\r\n",
        b"a SELECT {5 }\r\n",
        b"a SELECT {5} \r\n",
        b"a SELECT {5-}\r\n",
        b"a SELECT {5++}\r\n",
        b"a SELECT {\xb2}\r\n",
        b"a SELECT 5}\r\n",
        b'a SELECT "{5}"\r\n',
        # A client that waits for nothing must not lose its next command to these.
        b'a SELECT "x {5}\r\n',
        b'a SELECT "x \\" {5}\r\n',
        b'a LIST "" "%" " {5}\r\n',
        b"a SELECT x{5}\r\n",
        b"a SELECT }{5}\r\n",
        b"{5}\r\n",
    ],
)
def test_not_announced(text: bytes) -> None:
    """What only looks like a literal is left to the parser, and so is the next command."""
    assert lines(text + b"b NOOP\r\n") == [text, b"b NOOP\r\n"]


@pytest.mark.parametrize("before", [b'a LIST "x" ', b"a FETCH 1 BODY[HEADER.FIELDS (", b"a X\t"])
def test_announced_where_an_argument_begins(before: bytes) -> None:
    """Behind a blank or a parenthesis, outside quotes."""
    assert isinstance(events(before + b"{5}\r\n")[0], Announced)


def test_accepted_literal_stays_in_its_command() -> None:
    """The command is handed over whole, whatever the literal holds."""
    sent = b"a LIST {3}\r\n\r\n\x00 {1+}\r\n% x\r\n"

    assert lines(sent + b"b NOOP\r\n") == [sent, b"b NOOP\r\n"]


@pytest.mark.parametrize("content", [b"{5}", b"{5}\r\n", b" {5}\r", b"{99999999999+}", b"x {5+}"])
def test_literal_that_looks_like_the_announcement_of_one(content: bytes) -> None:
    """What a literal holds announces nothing, though the line end follows it directly."""
    sent = b"a SELECT {%d}\r\n" % len(content) + content + b"\r\n"

    assert lines(sent + b"b NOOP\r\n") == [sent, b"b NOOP\r\n"]


def test_streamed_literal_ends_its_command() -> None:
    """The message comes in pieces; what follows it comes as a line of its own."""
    found = events(b"a APPEND x {6}\r\n", b"abc", b"d\r\n", b"\r\nb NOOP\r\n", answers="s")

    assert found[1:] == [Streamed(b"abcd\r\n"), Line(b"\r\n"), Line(b"b NOOP\r\n")]


def test_streamed_literal_of_no_octets() -> None:
    """It has an end like any other."""
    found = events(b"a APPEND x {0+}\r\n\r\n", answers="s")

    assert found[1:] == [Streamed(b""), Line(b"\r\n")]


# -- refusals ----------------------------------------------------------------------------------


def test_refused_literal_that_the_client_has_not_sent() -> None:
    """The client was waiting: what comes next is its next command."""
    assert lines(b"a SELECT {5}\r\nb NOOP\r\n", answers="r") == [b"b NOOP\r\n"]


def test_refused_literal_that_the_client_has_sent() -> None:
    """It is passed over with the rest of its command, in which more literals may follow."""
    sent = b"a SELECT {11+}\r\nx1 LOGOUT\r\n {2+}\r\n\r\n and more\r\nb NOOP\r\n"

    assert lines(sent, answers="r") == [b"b NOOP\r\n"]


def test_refused_command_that_ends_in_a_literal_the_client_waits_for() -> None:
    """The command has ended there, for nobody will ask for the literal."""
    assert lines(b"a SELECT {2+}\r\nxx {9}\r\nb NOOP\r\n", answers="r") == [b"b NOOP\r\n"]


@pytest.mark.parametrize(
    ("size", "answer"),
    [
        (b"%d" % (MAX_LITERAL + 1), "a"),
        (b"2147483648", "a"),
        (b"4294967297", "r"),
        (b"9223372036854775808", "a"),
        (b"18446744073709551617", "r"),
        (b"9" * 30, "a"),
        (b"0" * 3_000 + b"5", "a"),
        (b"9" * 6_000, "r"),
    ],
)
def test_too_large_literal_that_waits(size: bytes, answer: str) -> None:
    """Any size is refused without waiting for it; the next command is the next line."""
    sent = b"a SELECT {%b}\r\nb NOOP\r\n" % size

    assert lines(sent, answers=answer) == [b"b NOOP\r\n"]


@pytest.mark.parametrize("answer", ["a", "r"])
@pytest.mark.parametrize(
    "size", [b"2147483648", b"9223372036854775808", b"9" * 30, b"0" * 30 + b"5", b"9" * 6_000]
)
def test_too_large_literal_that_does_not_wait(size: bytes, answer: str) -> None:
    """No end of it can be hoped for: the stream is given up before anything is taken for a command."""
    found = events(b"a SELECT {%b+}\r\nb NOOP\r\n" % size, answers=answer)

    assert isinstance(found[0], Announced)
    assert found[1:] == [Lost()]


@pytest.mark.parametrize("digits", [10, 20, 21, 30, 3000])
def test_too_large_literal_in_a_command_passed_over(digits: int) -> None:
    """The same in the rest of a refused command, of which no more than an end is kept."""
    sent = b"a SELECT {1+}\r\nx {%b+}\r\nb NOOP\r\n" % (b"9" * digits)

    assert events(sent, answers="r")[1:] == [Lost()]


def test_refused_literal_is_passed_over_in_constant_memory() -> None:
    """A large one that can be passed over leaves nothing behind, and then the next command is read."""
    cut = Reader()
    size = 3_000_000
    cut.feed(b"a SELECT {%d+}\r\n" % size)
    assert isinstance(cut.next(), Announced)
    assert not cut.accept()

    for _ in range(size // 50_000):
        cut.feed(b"x" * 50_000)
        assert cut.next() is None
        assert cut.unread() == b""
    cut.feed(b"\r\nb NOOP\r\n")

    assert cut.next() == Overlong(b"a SELECT {%d+}\r\n" % size)
    assert cut.next() == Line(b"b NOOP\r\n")


def test_largest_literal() -> None:
    """A literal of exactly the limit is an argument."""
    sent = b"a SELECT {%d+}\r\n" % MAX_LITERAL + b"x" * MAX_LITERAL + b"\r\n"

    assert lines(sent) == [sent]


# -- over-long commands ------------------------------------------------------------------------


def test_longest_command() -> None:
    """A command is handed over up to the limit, and one octet more is too much."""
    fits = b"a " + b"x" * (MAX_COMMAND - 4) + b"\r\n"

    assert events(fits) == [Line(fits)]
    assert events(b"a x" + fits[2:]) == [Overlong(b"a " + b"x" * 254)]


def test_overlong_line_never_costs_the_next_command() -> None:
    """It is told of once, at its end, by its beginning; then comes the next line."""
    cut = Reader()
    cut.feed(b"a1 SELECT ")
    for _ in range(100):
        cut.feed(b"x" * 10_000)
        assert cut.next() is None
    assert len(cut.unread()) <= MAX_COMMAND
    cut.feed(b"\r\nb NOOP\r\n")

    event = cut.next()

    assert isinstance(event, Overlong)
    assert event.text.startswith(b"a1 SELECT x")
    assert len(event.text) <= 256
    assert cut.next() == Line(b"b NOOP\r\n")


def test_overlong_by_its_literals() -> None:
    """Literals that fit one by one, and not together, are refused with their command."""
    literal = b" {%d+}\r\n" % 40_000 + b"x" * 40_000
    sent = b"a LIST" + literal * 6 + b"\r\nb NOOP\r\n"

    found = events(sent)

    assert isinstance(found[-2], Overlong)
    assert found[-1] == Line(b"b NOOP\r\n")
    assert lines(sent) == [b"b NOOP\r\n"]


def test_overlong_line_with_a_literal_at_its_end() -> None:
    """What a client sent without waiting belongs to the over-long command."""
    sent = b"a " + b"x" * MAX_COMMAND + b" {11+}\r\nx1 LOGOUT\r\n\r\nb NOOP\r\n"

    assert lines(sent) == [b"b NOOP\r\n"]


def test_memory_for_a_line_without_end() -> None:
    """Never more is held than one command and what was fed last."""
    cut = Reader()
    for _ in range(300):
        cut.feed(b"x" * 1000)
        cut.next()
        assert len(cut.unread()) <= MAX_COMMAND + 1000


def test_too_many_literals() -> None:
    """However small they are, a thousand is enough: what is handed over does not grow as a square."""
    sent = b"a SEARCH" + b" {0+}\r\n" * 10_000 + b"\r\nb NOOP\r\n"

    found = events(sent)

    assert sum(len(e.text) for e in found if isinstance(e, Announced)) < 1_000 * len(sent) / 10
    assert isinstance(found[-2], Overlong)
    assert found[-1] == Line(b"b NOOP\r\n")
    assert lines(b"a SEARCH" + b" {0}\r\n" * 1_001 + b"b NOOP\r\n") == [b"b NOOP\r\n"]


# -- properties --------------------------------------------------------------------------------

PIECES = st.sampled_from(
    [
        b"a1 NOOP",
        b"a2 SELECT ",
        b"\r\n",
        b"\n",
        b"\r",
        b"{3}\r\n",
        b" {3+}\r\n",
        b" {0+}\r\n",
        b" ~{4+}\r\n",
        b"{12}\r\n",
        b"{3000000000+}\r\n",
        b"{70000}\r\n",
        b"{123456789012345678901234567890}\r\n",
        b"{123456789012345678901234567890+}\r\n",
        b"{5}",
        b'"',
        b"\\",
        b"(",
        b" ",
        b"x" * 300,
        b"y" * 70_000,
    ]
)
STREAMS = st.lists(st.one_of(PIECES, st.binary(max_size=6)), max_size=25).map(b"".join)


@example(b"a SELECT {3}\r\n{5}\r\n", "a", [12, 14])
@example(b"a SELECT {00000000000000000000000000003+}\r\nabc\r\n", "a", [20])
@given(STREAMS, st.text("asrR", min_size=1, max_size=4), st.lists(st.integers(0, 400_000)))
def test_any_split_gives_the_same_events(stream: bytes, answers: str, cuts: list[int]) -> None:
    """How the network cuts the stream changes nothing."""
    places = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    pieces = [stream[a:b] for a, b in pairwise(places)]

    assert events(*pieces, answers=answers) == events(stream, answers=answers)


@given(st.lists(st.binary(max_size=40), max_size=6), st.booleans())
def test_next_command_survives_any_literals(contents: list[bytes], waits: bool) -> None:
    """Literals of any octets, accepted: their command is one event, and the next one another."""
    plus = b"" if waits else b"+"
    sent = b"a X" + b"".join(b" {%d%b}\r\n%b" % (len(c), plus, c) for c in contents) + b"\r\n"

    assert lines(sent + b"b NOOP\r\n") == [sent, b"b NOOP\r\n"]
    if contents and not waits:
        assert lines(sent + b"b NOOP\r\n", answers="r") == [b"b NOOP\r\n"]


# -- the rest ----------------------------------------------------------------------------------


def test_discard() -> None:
    """Nothing that was sent before a STARTTLS is left for after it."""
    cut = Reader()
    cut.feed(b"a STARTTLS\r\nb NOOP\r\nc")
    assert cut.next() == Line(b"a STARTTLS\r\n")

    cut.discard()
    cut.feed(b"d NOOP\r\n")

    assert cut.next() == Line(b"d NOOP\r\n")


def test_unread() -> None:
    """What follows a command is there for whoever reads on."""
    cut = Reader()
    cut.feed(b"a LOGIN x y\r\nb NOOP\r\nc")

    assert cut.next() == Line(b"a LOGIN x y\r\n")
    assert cut.unread() == b"b NOOP\r\nc"


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        (b"a1 NOOP\r\n", b"a1"),
        (b"a1\r\n", b"a1"),
        (b"  a1\tNOOP\r\n", b"a1"),
        (b"\r\n", None),
        (b"* NOOP\r\n", None),
        (b"+ NOOP\r\n", None),
        (b"a+b NOOP\r\n", None),
        (b'"a" NOOP\r\n', None),
        (b"a\x00 NOOP\r\n", None),
        (b"a\xff NOOP\r\n", None),
        (b"a{5} NOOP\r\n", None),
        (b"x" * 128 + b" NOOP\r\n", b"x" * 128),
        (b"x" * 129 + b" NOOP\r\n", None),
    ],
)
def test_tag_of(text: bytes, tag: bytes | None) -> None:
    """Only what may be repeated on the wire is taken for a tag."""
    assert reader.tag_of(text) == tag


def test_reader_for_short_commands() -> None:
    """Where little is expected, little is kept: of a line, and of a command with literals."""
    for fits, too_long in (
        (b"a " + b"x" * 96 + b"\r\n", b"a " + b"x" * 97 + b"\r\n"),
        (
            b"a x {60+}\r\n" + b"y" * 60 + b" z\r\n",
            b"a x {60+}\r\n" + b"y" * 60 + b"z" * 40 + b"\r\n",
        ),
    ):
        seen = []
        for sent in (fits, too_long):
            cut = Reader(100)
            cut.feed(sent)
            event = cut.next()
            if isinstance(event, Announced) and cut.accept():
                event = cut.next()
            seen.append(type(event))
        assert seen == [Line, Overlong]

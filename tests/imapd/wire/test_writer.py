from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imapd.wire import writer

KEYWORDS = st.text("abcXYZ$_-.!'+~|}[", min_size=1, max_size=8)


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A zone of a quarter of an hour, with summer time."""
    monkeypatch.setenv("TZ", "XST-5:45XDT,M3.5.0,M10.5.0")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "written"),
    [(b"", b'""'), (b"x", b'"x"'), (b'a"b\\c', b'"a\\"b\\\\c"'), (b"\xc3\xa9\t", b'"\xc3\xa9\t"')],
)
def test_quoted(text: bytes, written: bytes) -> None:
    """Quotation marks and backslashes are escaped, all else stays."""
    assert writer.quoted(text) == written


@pytest.mark.parametrize("text", [b"a\rb", b"a\nb", b"a\r\n* BYE", b"\0"])
def test_quoted_refuses_what_would_end_the_line(text: bytes) -> None:
    """No CR, LF or NUL can get into a quoted string."""
    with pytest.raises(ValueError):
        writer.quoted(text)


@pytest.mark.parametrize(
    ("text", "is_quoted"),
    [
        (b"", True),
        (b"x" * 1000, True),
        (b"x" * 1001, False),
        (b"a\r\nb", False),
        (b"a\0", False),
        (b"\xe9", False),
    ],
)
def test_string(text: bytes, is_quoted: bool) -> None:
    """Quoted if it can be, else a literal; whatever it holds can end no line."""
    written = writer.string(text)

    assert written == (writer.quoted(text) if is_quoted else b"{%d}\r\n%b" % (len(text), text))


@pytest.mark.parametrize(
    ("name", "utf8", "written"),
    [
        ("INBOX.café", False, b'"INBOX.caf&AOk-"'),
        ("INBOX.café", True, b'"INBOX.caf\xc3\xa9"'),
        ('INBOX."\\', False, b'"INBOX.\\"\\\\"'),
        ("INBOX.&", True, b'"INBOX.&"'),
    ],
)
def test_mailbox(name: str, utf8: bool, written: bytes) -> None:
    """Always quoted, in the encoding that the client asked for."""
    assert writer.mailbox(name, utf8=utf8) == written


@pytest.mark.parametrize("utf8", [False, True])
@pytest.mark.parametrize("name", ["a\r\n* BYE", "\0", "a\nb", "a\udcff"])
def test_mailbox_that_cannot_be_told(name: str, utf8: bool) -> None:
    """A directory's name with line ends, or of octets that are no text, is refused."""
    with pytest.raises(ValueError):
        writer.mailbox(name, utf8=utf8)


def test_flags() -> None:
    """Courier's order: Draft, Flagged, Answered, Seen, Deleted, then \\Recent, then keywords."""
    assert writer.flags(0) == b"()"
    assert writer.flags(31, ("$Label1", "x"), recent=True) == (
        b"(\\Draft \\Flagged \\Answered \\Seen \\Deleted \\Recent $Label1 x)"
    )


@given(st.integers(0, 31), st.lists(KEYWORDS), st.booleans())
def test_flags_in_any_combination(flags: int, keywords: list[str], recent: bool) -> None:
    """One word for each, single blanks between."""
    written = writer.flags(flags, keywords, recent=recent)

    assert re.fullmatch(rb"\((?:[^ ()]+(?: [^ ()]+)*)?\)", written)
    assert len(written[1:-1].split()) == flags.bit_count() + recent + len(keywords)


def test_flags_with_a_keyword_that_no_client_may_see() -> None:
    """Another program's keyword beyond ASCII is left out: no flag can say it (RFC 9051 9)."""
    assert writer.flags(8, ("caf\udce9", "ok", "é")) == b"(\\Seen ok)"


@pytest.mark.usefixtures("zone")
@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0, b'"01-Jan-1970 05:45:00 +0545"'),
        (1_577_836_800, b'"01-Jan-2020 05:45:00 +0545"'),
        (1_593_561_599.9, b'"01-Jul-2020 06:44:59 +0645"'),
        (-1, b'"01-Jan-1970 05:44:59 +0545"'),
        (1 << 33, b'"16-Mar-2242 18:41:32 +0545"'),
    ],
)
def test_date_time(seconds: float, written: bytes) -> None:
    """The server's zone as it was then. Courier: the day has two digits."""
    assert writer.date_time(seconds) == written


@pytest.mark.parametrize("seconds", [1 << 60, -(1 << 60), float(1 << 200)])
def test_date_time_that_no_calendar_has(seconds: float) -> None:
    """A file may bear any time; the epoch stands for those that can't be written."""
    assert writer.date_time(seconds)[1:12] in (b"01-Jan-1970", b"31-Dec-1969")


@pytest.mark.parametrize(
    ("uids", "written"),
    [
        ([], b""),
        ([7], b"7"),
        ([1, 2, 3], b"1:3"),
        ([3, 1, 5, 6], b"3,1,5:6"),
        ([3, 2, 1], b"3,2,1"),
        ([1, 2, 4, 5, 4_294_967_295], b"1:2,4:5,4294967295"),
    ],
)
def test_uid_set(uids: list[int], written: bytes) -> None:
    """In the order given, neighbours joined, nothing sorted (RFC 4315 4)."""
    assert writer.uid_set(uids) == written


@given(st.lists(st.integers(1, 60)))
def test_uid_set_says_exactly_the_uids(uids: list[int]) -> None:
    """Expanded, the set is the list."""
    expanded: list[int] = []
    for part in writer.uid_set(uids).decode().split(",") if uids else ():
        low, _, high = part.partition(":")
        expanded += range(int(low), int(high or low) + 1)

    assert expanded == uids

from __future__ import annotations

import sys
from array import array
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courier.maildir.folder import Folder
from courier.maildir.numberset import NumberSet
from courier.maildir.view import View
from imapd import mailbox, names
from imapd.completion import Bad, CommandFailed, InvalidArgument
from imapd.wire.parser import Parser, SequenceSet
from tests.imapd.driver import Driven
from tests.support.maildirs import make_folder

MAX = 0xFFFFFFFF
ENDS = st.none() | st.integers(1, 12) | st.just(MAX)
RANGES = st.lists(st.tuples(ENDS, ENDS), min_size=1, max_size=6)
UIDS = st.lists(st.integers(1, 14) | st.just(MAX), unique=True).map(sorted)


def view_of(uids: list[int]) -> View:
    """A view that has told of messages with these UIDs."""
    view = View(Folder("unused"), read_only=False)
    view.uids = array("I", uids)
    return view


def resolved(uids: list[int], text: bytes, *, by_uid: bool) -> list[int]:
    which = Parser(text).sequence_set()
    return list(mailbox.sequence_numbers(mailbox.messages(view_of(uids), which, by_uid=by_uid)))


@pytest.mark.parametrize(
    ("text", "seqs"),
    [
        (b"1", [1]),
        (b"*", [4]),
        (b"2:3", [2, 3]),
        (b"3:2", [2, 3]),
        (b"*:3", [3, 4]),
        (b"1:*", [1, 2, 3, 4]),
        (b"4,1,4,1:2", [1, 2, 4]),
        (b"4:*", [4]),
    ],
)
def test_by_sequence_number(text: bytes, seqs: list[int]) -> None:
    """Ends are swapped, and each message counts once (RFC 9051 9)."""
    assert resolved([10, 20, 30, 40], text, by_uid=False) == seqs


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (b"5", "5"),
        (b"1:5", "5"),
        (b"9:7", "9"),
        (b"5:*", "5"),
        (b"*:4294967295", "4294967295"),
        (b"1,4294967295", "4294967295"),
    ],
)
def test_by_sequence_number_that_nobody_has(text: bytes, number: str) -> None:
    """BAD, with the number: a client that deletes `5:*` does not mean the fourth (RFC 9051 9)."""
    with pytest.raises(CommandFailed) as caught:
        resolved([10, 20, 30, 40], text, by_uid=False)

    assert caught.value.completion == Bad(f"Invalid message sequence number: {number}")


@pytest.mark.parametrize("text", [b"1", b"*", b"1:*", b"*:*"])
def test_by_sequence_number_in_an_empty_mailbox(text: bytes) -> None:
    """There is no last message either (RFC 9051 9: seq-number)."""
    with pytest.raises(CommandFailed):
        resolved([], text, by_uid=False)


@pytest.mark.parametrize(
    ("text", "seqs"),
    [
        (b"20", [2]),
        (b"15", []),
        (b"15:35", [2, 3]),
        (b"35:15", [2, 3]),
        (b"*", [4]),
        (b"41:*", [4]),
        (b"*:30", [3, 4]),
        (b"1:4294967295", [1, 2, 3, 4]),
        (b"4294967295", []),
        (b"4294967295:*", [4]),
    ],
)
def test_by_uid(text: bytes, seqs: list[int]) -> None:
    """UIDs that nobody has are passed over (RFC 9051 6.4.9)."""
    assert resolved([10, 20, 30, 40], text, by_uid=True) == seqs


@pytest.mark.parametrize("text", [b"1", b"*", b"1:*", b"7:*,*:3"])
def test_by_uid_in_an_empty_mailbox(text: bytes) -> None:
    assert resolved([], text, by_uid=True) == []


def model(
    numbers: list[int], ranges: list[tuple[int | None, int | None]], candidates: set[int]
) -> set[int]:
    """The numbers of a mailbox that a set names, one by one."""
    last = numbers[-1] if numbers else 0
    found = set()
    for pair in ranges:
        ends = [last if end is None else end for end in pair]
        found |= {number for number in candidates if min(ends) <= number <= max(ends)}
    return found & set(numbers)


@given(UIDS, RANGES)
def test_by_uid_as_one_by_one(uids: list[int], ranges: list[tuple[int | None, int | None]]) -> None:
    """The same as asking for each UID whether it is in the set."""
    found = mailbox.messages(view_of(uids), SequenceSet(tuple(ranges)), by_uid=True)

    wanted = model(uids, ranges, set(uids))
    assert [uids[seq - 1] for seq in mailbox.sequence_numbers(found)] == sorted(wanted)


@given(st.integers(0, 12), RANGES)
def test_by_sequence_number_as_one_by_one(
    exists: int, ranges: list[tuple[int | None, int | None]]
) -> None:
    """The same one by one, and refused exactly if a number is above the last one's."""
    uids = [seq * 3 for seq in range(1, exists + 1)]
    impossible = not exists or any(
        end is not None and end > exists for pair in ranges for end in pair
    )
    which = SequenceSet(tuple(ranges))

    if impossible:
        with pytest.raises(CommandFailed):
            mailbox.messages(view_of(uids), which, by_uid=False)
        return
    found = mailbox.messages(view_of(uids), which, by_uid=False)

    seqs = list(range(1, exists + 1))
    assert list(mailbox.sequence_numbers(found)) == sorted(model(seqs, ranges, set(seqs)))


def test_cost_of_the_largest_sets() -> None:
    """Overlapping ranges become few, and what is done follows the set, never its numbers."""
    overlapping = SequenceSet(tuple((low, MAX - low) for low in range(1, 20_000)))
    scattered = SequenceSet(tuple((number, number) for number in range(1, 40_000, 2)))
    steps = 0

    def count(*_: object) -> object:
        nonlocal steps
        steps += 1
        return count

    sys.settrace(count)
    try:
        one = mailbox.messages(view_of([7, 9]), overlapping, by_uid=True)
        none = mailbox.messages(view_of([2, 4]), scattered, by_uid=True)
    finally:
        sys.settrace(None)

    assert list(one.ranges()) == [(1, 2)]
    assert not none
    assert steps < 40 * 40_000


def test_a_hundred_thousand_overlapping_ranges() -> None:
    """They end as one."""
    ranges = ((low, low + 50) for low in range(1, 100_001))

    assert list(NumberSet(ranges).ranges()) == [(1, 100_050)]


@pytest.mark.parametrize("text", [b"", b"\r\n", b" ", b" (INBOX)", b" %", b"INBOX", b' "INBOX'])
def test_argument_that_is_none(maildir: Path, text: bytes) -> None:
    """Courier has a text of its own for these."""
    with pytest.raises(InvalidArgument):
        mailbox.argument(Driven(maildir).session, Parser(text))


def test_argument(maildir: Path) -> None:
    """In the encoding that the client has chosen."""
    session = Driven(maildir).session

    assert mailbox.argument(session, Parser(b" INBOX.caf&AOk-")) == "INBOX.café"
    session.utf8 = True
    assert mailbox.argument(session, Parser(b" INBOX.caf&AOk-")) == "INBOX.caf&AOk-"


def test_existing(maildir: Path) -> None:
    """A folder is a directory with cur/ in it, and nothing else is one."""
    make_folder(maildir, "INBOX.x")
    (maildir / ".y").mkdir()
    (maildir / ".z").touch()
    session = Driven(maildir).session

    assert mailbox.existing(session, "inbox", "STATUS", "r").directory == str(maildir)
    assert mailbox.existing(session, "Inbox.x", "STATUS", "r").folder == "x"
    for name in ("INBOX.y", "INBOX.z", "INBOX.none", "x", "", "INBOX.x/cur", "shared.x"):
        with pytest.raises(names.NotFound):
            mailbox.existing(session, name, "STATUS", "r")


def test_destination(maildir: Path) -> None:
    """TRYCREATE only where CREATE could help (RFC 9051 6.3.12)."""
    session = Driven(maildir).session

    assert mailbox.destination(session, "INBOX", "COPY", "refused").folder == ""
    with pytest.raises(CommandFailed) as caught:
        mailbox.destination(session, "INBOX.none", "COPY", "refused")
    assert caught.value.completion.code == "TRYCREATE"
    with pytest.raises(names.InvalidName):
        mailbox.destination(session, "elsewhere", "COPY", "refused")


@pytest.mark.parametrize(
    ("name", "utf8", "quoted"),
    [
        ("INBOX.é", False, '"INBOX.&AOk-"'),
        ("INBOX.é", True, '"INBOX.é"'),
        ('INBOX."\\', False, '"INBOX.\\"\\\\"'),
        ("INBOX.\udcff", False, '""'),
        ("INBOX.a\r\nb", True, '""'),
    ],
)
def test_quoted(maildir: Path, name: str, utf8: bool, quoted: str) -> None:
    """As the client may be told it; what can't be told is empty."""
    session = Driven(maildir).session
    session.utf8 = utf8

    assert mailbox.quoted(session, name) == quoted

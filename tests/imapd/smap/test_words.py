"""SMAP's words, from octets and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courier.maildir.numberset import NumberSet
from imapd.smap.words import InvalidSet, Words, quoted, ranges


def words(line: bytes) -> list[str]:
    return list(Words(line).rest())


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        (b"", []),
        (b" \t\r\v\f ", []),
        (b"OPEN INBOX", ["OPEN", "INBOX"]),
        (b"  a\tb\x0bc\x0cd \r", ["a", "b", "c", "d"]),
        (b'"INBOX"x', ["INBOX", "x"]),
        (b'a"b c"', ['a"b', 'c"']),
        (b'"say ""hi"" twice"', ['say "hi" twice']),
        (b'"" a ""', ["", "a", ""]),
        (b'"no end', ["no end"]),
        (b'"back\\"slash', ["back\\", "slash"]),
        ("é 日本".encode(), ["é", "日本"]),
        (b"\xff", ["\udcff"]),
        (b"a\0b", ["a\0b"]),
    ],
)
def test_words(line: bytes, wanted: list[str]) -> None:
    assert words(line) == wanted


def test_behind_the_end_words_are_empty() -> None:
    some = Words(b"a")

    assert [some.take() for _ in range(3)] == ["a", "", ""]


def test_lists_end_at_an_empty_word() -> None:
    some = Words(b'INBOX "a b" "" INBOX c')

    assert some.list() == ("INBOX", "a b")
    assert some.list() == ("INBOX", "c")
    assert some.list() == ()


@given(
    st.lists(st.text(st.characters(blacklist_characters="\n\r\0", blacklist_categories=("Cs",))))
)
def test_what_is_quoted_is_read_back(some: list[str]) -> None:
    assert words(b" ".join(map(quoted, some))) == some


@given(st.binary())
def test_no_octets_are_too_strange(line: bytes) -> None:
    assert len(words(line)) <= len(line)


def test_quoted_never_ends_a_line() -> None:
    assert quoted('a\n* BYE\r\0"') == b'"a?* BYE??"""'


@pytest.mark.parametrize(
    ("line", "wanted", "next_word"),
    [
        (b"1 FLAGS", [(1, 1)], "FLAGS"),
        (b"1-3 5 7-7", [(1, 3), (5, 5), (7, 7)], ""),
        (b"FLAGS", [], "FLAGS"),
        (b"", [], ""),
        (b"3x 5,6 7-8y z", [(3, 3), (5, 5), (7, 8)], "z"),
        (b"1 2 3", [(1, 3)], ""),
        (b"999999999999999999", [(999999999999999999, 999999999999999999)], ""),
        (b"0", None, ""),
        (b"0-1", None, ""),
        (b"2-1", None, ""),
        (b"1-", None, ""),
        (b"1-x", None, ""),
        (b"1 1", None, ""),
        (b"1-5 5", None, ""),
        (b"5 3", None, ""),
    ],
)
def test_message_set(line: bytes, wanted: list[tuple[int, int]] | None, next_word: str) -> None:
    """Numbers ascend; a word that does not begin with a digit ends them."""
    some = Words(line)

    if wanted is None:
        with pytest.raises(InvalidSet):
            some.message_set()
        return
    assert some.message_set() == NumberSet(wanted)
    assert some.take() == next_word


def test_ranges() -> None:
    assert ranges([(1, 10), (20, 20)]) == b"1-10 20"

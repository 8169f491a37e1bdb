"""How texts are ordered and searched."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courier.message.collation import Needle, casemap, fold
from tests.courier.message.strategies import linear

# Letters that i;unicode-casemap maps and `fold` does not: the iota subscript on its own, and variants
# of Cyrillic letters from old print.
_UNFOLDED = {0x345, *range(0x1C80, 0x1C8B)}


@pytest.mark.parametrize(
    ("text", "mapped"),
    [
        ("aZ1", "AZ1"),
        ("\u00e4", "A\u0308"),
        ("a\u0308", "A\u0308"),
        ("stra\u00dfe", "STRA\u00dfE"),  # title case of sharp s is two letters
        ("\u01c6", "Dz\u030c"),  # title case, not upper case
        ("\u03bf\u03b4\u03bf\u03c2", "\u039f\u0394\u039f\u03a3"),
        ("\uff41", "A"),
        ("\u2460", "1"),
    ],
)
def test_casemap(text: str, mapped: str) -> None:
    """RFC 5051 2: title case, then every decomposition."""
    assert casemap(text) == mapped


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("A  b\r\n\tC", "a b c"),
        (" a ", "a"),
        ("\u00c4\u00d6", "\u00e4\u00f6"),
        ("\u039f\u0394\u039f\u03a3", "\u03bf\u03b4\u03bf\u03c2"),
        ("a\u00a0 b", "a b"),  # the decomposition of a no-break space is a space
        ("STRASSE", "strasse"),
        ("\u0130I", "i\u0307i"),
        ("\u212b", "\u00e5"),
    ],
)
def test_fold(one: str, other: str) -> None:
    """Neither case, nor runs of blanks, nor how a letter is composed count."""
    assert fold(one) == fold(other)


def test_fold_makes_no_ss_of_sharp_s() -> None:
    """Courier: letters are mapped one to one."""
    assert fold("stra\u00dfe") == "stra\u00dfe" != fold("strasse")


@pytest.mark.slow
def test_every_letter() -> None:
    """What has one order folds to one text."""
    differing = {
        code
        for code in range(sys.maxunicode + 1)
        if not 0xD800 <= code < 0xE000 and fold(chr(code)) != fold(casemap(chr(code)))
    }

    assert differing <= _UNFOLDED


@given(
    st.text("aB \t\u00e4\u0130\u03a3", max_size=8), st.text("aB \t\u00e4\u0130\u03a3", max_size=30)
)
def test_needle(needle: str, text: str) -> None:
    """A needle is in a text if it is when both are folded."""
    assert Needle(needle).is_in(text) == (fold(needle) in fold(text))


@pytest.mark.parametrize("piece", [" ", "a ", "\u0308\u0316", "\u0130", "\u0390", "\ufdfa"])
def test_floods(piece: str) -> None:
    """Long texts are no work."""
    with linear(5):
        Needle("a b").is_in(piece * 200_000)
        casemap(piece * 200_000)

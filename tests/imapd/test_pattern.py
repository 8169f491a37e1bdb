from __future__ import annotations

import re
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from imapd.pattern import Patterns, levels_above, levels_of, matches, may_match_below

PATTERNS = st.text("abI.*%é", max_size=12)
NAMES = st.text("abI.é", max_size=12)


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("*", "INBOX.a.b", True),
        ("%", "INBOX", True),
        ("%", "INBOX.a", False),
        ("INBOX.%", "INBOX.a", True),
        ("INBOX.%", "INBOX.a.b", False),
        ("INBOX.*", "INBOX", False),
        ("INBOX*", "INBOX", True),
        ("%.%", "a.b", True),
        ("%.%", "a.b.c", False),
        ("%%", "ab", True),
        ("*%", "a.b", True),
        ("%*", "a.b", True),
        ("", "", True),
        ("", "a", False),
        ("a", "", False),
        ("a*b*c", "a.b.b.c", True),
        ("a%c", "a.c", False),
        # Only INBOX, the first level, is in any case.
        ("inbox", "INBOX", True),
        ("i*", "INBOX.a", True),
        ("InBoX.A", "INBOX.A", True),
        ("inbox.A", "INBOX.a", False),
        ("inboxa", "INBOXa", False),
        ("i*", "INBOXa", False),
        ("ınbox", "INBOX", False),
        ("*.inbox", "INBOX.INBOX", False),
    ],
)
def test_matches(pattern: str, name: str, fits: bool) -> None:
    assert matches(pattern, name) == fits


def model(pattern: str, name: str) -> bool:
    """The same by a regular expression."""
    parts = {"*": ".*", "%": "[^.]*"}
    text = "".join(parts.get(char, re.escape(char)) for char in pattern)
    return re.fullmatch(text, name, re.DOTALL) is not None


@example("%a%", ".a")
@example("%.%a", ".a.a")
@given(PATTERNS, NAMES)
def test_matches_as_a_regular_expression(pattern: str, name: str) -> None:
    """Any pattern, any name."""
    assert matches(pattern, name) == model(pattern, name)


@given(PATTERNS, NAMES)
def test_matches_below_inbox(pattern: str, name: str) -> None:
    """The five letters fit in either case, and nothing else does."""
    full = f"INBOX.{name}"

    assert matches(f"inboX.{pattern}", full) == model(f"INBOX.{pattern}", full)


_SEVERAL = st.lists(
    st.sampled_from(["", "inbox.", "#"]).flatmap(lambda top: PATTERNS.map(top.__add__))
)


@example(["inbox"], "INBOX")
@example(["iNbOx.a"], "INBOX.a")
@example(["*"], "#a")
@given(_SEVERAL, st.sampled_from(["", "INBOX.", "#"]).flatmap(lambda top: NAMES.map(top.__add__)))
def test_several_patterns(several: list[str], name: str) -> None:
    """A name fits if it fits one of them; what begins with # is fitted by what does, too."""
    wanted = Patterns(several)
    rightful = [one for one in several if one.startswith("#") == name.startswith("#")]

    assert wanted.matches(name) == any(matches(one, name) for one in rightful)
    if wanted.matches(name):
        assert wanted.may_match(elsewhere=name.startswith("#"))
        assert all(wanted.may_match_below(level) for level in levels_above(name))
    if any(may_match_below(one, name) for one in rightful if {*one} & {"*", "%"}):
        assert wanted.may_match_below(name)


@pytest.mark.parametrize("pattern", ["." * 50_000, "a." * 25_000, "%" * 50_000 + "x"], ids=len)
def test_cost_of_a_long_pattern(pattern: str) -> None:
    """None for its length: neither are its levels written down, nor is it gone through again and again."""
    lines = 0

    def count(*_: object) -> object:
        nonlocal lines
        lines += 1
        return count

    sys.settrace(count)
    try:
        wanted = Patterns([pattern])
        assert not wanted.may_match_below("INBOX.folder")
        assert not wanted.matches("INBOX.folder")
    finally:
        sys.settrace(None)

    assert lines < 1000


@given(st.lists(PATTERNS, max_size=3), NAMES)
def test_levels_of_names(patterns: list[str], name: str) -> None:
    """What has no wildcard may match below each of its levels, and nowhere else."""
    names = [one for one in patterns if not set(one) & set("*%")]
    levels = levels_of(Patterns(names)._names)

    wanted = Patterns(names)

    assert all(wanted.may_match_below(level) for level in levels)
    assert not name or wanted.may_match_below(name) == (name in levels)


def test_cost_of_a_hostile_pattern() -> None:
    """One step for each character, whatever the wildcards: where a walk would take 2**60."""
    pattern, name = "*a%" * 20 + "b", "a" * 250
    lines = 0

    def count(*_: object) -> object:
        nonlocal lines
        lines += 1
        return count

    sys.settrace(count)
    try:
        assert not matches(pattern, name)
    finally:
        sys.settrace(None)

    assert lines < 20 * (len(pattern) + len(name))


@given(st.lists(PATTERNS, max_size=3), NAMES)
@example(["*"], "#a")
@example(["INBOX.%"], "INBOX.a.b")
def test_short_cuts(patterns: list[str], name: str) -> None:
    """What is a beginning and one wildcard is not looked at letter by letter, and fits the same names."""
    wild = [one for one in patterns if set(one) & set("*%")]
    fits = any(matches(one, name) for one in wild if one.startswith("#") == name.startswith("#"))

    assert Patterns(wild).matches(name) == fits


@given(st.lists(NAMES, max_size=5))
def test_levels_of_several(names: list[str]) -> None:
    assert levels_of(names) == {level for name in names for level in levels_above(name)}

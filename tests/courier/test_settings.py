"""The table of settings and its readers, without any program's own."""

from collections.abc import Mapping
from dataclasses import dataclass

import hypothesis.strategies as st
import pytest
from hypothesis import given

from courier import setting_reader as read
from courier.setting_reader import Expected
from courier.settings import Setting, SettingsError, family, notices, setting, table, values
from courier.shell import Assignment, Origin


@dataclass(frozen=True, kw_only=True)
class Example:
    depth: int = setting("DEPTH", read.number(1, 9), unset=5)
    backlog: int = setting("BACKLOG", read.number(0), unset=1, by_daemon=True)
    names: Mapping[int, str] = family("NAME", read.text_or("none"))
    plain: int = 0


def assigned(**variables: str) -> dict[str, Assignment]:
    return {
        name: Assignment(value, Origin("file", line))
        for line, (name, value) in enumerate(variables.items(), 1)
    }


def test_table_lists_the_settings_alone() -> None:
    """Fields that aren't declared as settings don't count."""
    assert {field: (one.name, one.by_daemon) for field, one in table(Example).items()} == {
        "depth": ("DEPTH", False),
        "backlog": ("BACKLOG", True),
        "names": ("NAME*", False),
    }
    assert [one.is_family for one in table(Example).values()] == [False, False, True]
    assert all(isinstance(one, Setting) for one in table(Example).values())


def test_unset() -> None:
    """Instances share no mapping that one of them could change for the others' sake."""
    assert Example() == Example(depth=5, backlog=1, names={}, plain=0)
    assert values(Example, {}, for_daemon=True) == {}


def test_values() -> None:
    """Each assigned value is read for its field; a family's members by their number."""
    variables = assigned(
        DEPTH="7", BACKLOG="3", NAME143="a", NAME993="", NAME="x", NAME0="y", O="z"
    )

    assert values(Example, variables, for_daemon=True) == {
        "depth": 7,
        "backlog": 3,
        "names": {143: "a", 993: "none"},
    }
    assert "backlog" not in values(Example, variables, for_daemon=False)


def test_wrong_values_are_collected() -> None:
    """One line each; the daemon's are not even looked at for a session."""
    variables = assigned(DEPTH="10", BACKLOG="x")

    with pytest.raises(SettingsError) as both:
        values(Example, variables, for_daemon=True)
    with pytest.raises(SettingsError) as one:
        values(Example, variables, for_daemon=False)

    assert both.value.lines == (
        "file:1: DEPTH: expected a number from 1 to 9, found '10'",
        "file:2: BACKLOG: expected a number, at least 0, found 'x'",
    )
    assert one.value.lines == both.value.lines[:1]
    assert str(both.value) == "\n".join(both.value.lines)


def test_notices() -> None:
    """A name is a setting, a family's member, another's, obsolete, or unknown."""
    variables = assigned(DEPTH="1", NAME143="a", OTHERS="1", OLD="1", NAMEX="1", DEPHT="1")

    assert notices(Example, variables, {"OTHERS"}, {"OLD": "use DEPTH"}) == [
        "file:4: OLD: obsolete; use DEPTH",
        "file:5: NAMEX: no setting of ours, passed on unread",
        "file:6: DEPHT: no setting of ours, passed on unread",
    ]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0), ("7", 7), ("007", 7), ("-3", -3), ("+3", 3), (" \t5", 5), ("60s", 60),
        ("1.9", 1), ("0x10", 0), ("", 0), (" ", 0), ("No", 0), ("OFF", 0), ("false", 0),
    ],
)  # fmt: skip
def test_atoi(text: str, number: int) -> None:
    """As C's: leading digits count. What means off is 0."""
    assert read.atoi(text) == number


@pytest.mark.parametrize("text", ["x", "yes", "on", "-", "+-1", "s60", "\u0663", "9" * 19, "none?"])
def test_atoi_refuses_what_nobody_means_as_zero(text: str) -> None:
    with pytest.raises(Expected):
        read.atoi(text)


@given(st.integers(-(10**17), 10**17), st.text("abc -.", max_size=3))
def test_atoi_takes_the_digits_in_front(number: int, rest: str) -> None:
    """Whatever follows them."""
    assert read.atoi(f"{number}{rest}") == number


@given(st.text())
def test_readers_raise_nothing_else(text: str) -> None:
    """Any text is read or refused by Expected; a reader has no other way out."""
    for reader in (
        read.atoi, read.flag, read.positive_flag, read.flag_or_on, read.starts_with_1,
        read.starts_without_0, read.yes, read.number(1), read.at_least(1, empty=2), read.kib,
        read.octets, read.umask, read.path_or_none, read.absolute_path, read.options,
        read.matching("[a-z]+", "x"), read.address, read.ports,
    ):  # fmt: skip
        try:
            reader(text)
        except Expected:
            pass


def test_ports_with_an_address_of_any_kind() -> None:
    """The last dot parts address and port, so IPv6 needs no brackets; 0 is no address."""
    first, second, third = read.ports("127.0.0.1.143,::1.143,0.1143")

    assert [str(first.address), str(second.address), third.address] == ["127.0.0.1", "::1", None]
    assert [first.number, second.number, third.number] == [143, 143, 1143]

"""Account options, by the examples of courier-authlib."""

from __future__ import annotations

import pytest

from courier.auth import options

TEXT = "disableimap,mailhost=a.example,group=x,group=y"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("disableimap", ""),
        ("mailhost", "a.example"),
        ("group", "x"),
        ("disable", None),
        ("x", None),
    ],
)
def test_get(name: str, value: str | None) -> None:
    assert options.get(TEXT, name) == value


def test_get_all() -> None:
    assert options.get_all(TEXT, "group") == ["x", "y"]
    assert options.get_all(None, "group") == []


@pytest.mark.parametrize(
    "text", ["d", "d=1", "d=yes", "d=True", "d=t", "d=Y", "d=02", "d=7x", "a,d,b", "d="]
)
def test_is_on(text: str) -> None:
    assert options.is_on(text, "d")


@pytest.mark.parametrize("text", ["d=0", "d=no", "d=off", "d=00", "dd=1", "", None, "e=d"])
def test_is_off(text: str | None) -> None:
    assert not options.is_on(text, "d")


@pytest.mark.parametrize(
    ("own", "defaults", "merged"),
    [
        (None, "", None),
        (None, "a=1,,b", "a=1,,b"),
        ("", "a=1", "a=1"),
        ("a=0", "", "a=0"),
        (
            "disableimap=0,group=staff",
            "disablewebmail=1,group=all",
            "disableimap=0,group=staff,disablewebmail=1",
        ),
        ("disableimap=0,group=a", "disableimap=1,disablepop3=1,flag",
         "disableimap=0,group=a,disablepop3=1,flag"),
        ("flag", "flag=1,,other", "flag,other"),
    ],
)  # fmt: skip
def test_merged(own: str | None, defaults: str, merged: str | None) -> None:
    assert options.merged(own, defaults) == merged

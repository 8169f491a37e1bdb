"""SASLprep, by the examples of RFC 4013 3 and by what each of its tables is for."""

from __future__ import annotations

import pytest

from courier.auth import saslprep
from courier.auth.saslprep import Unprepared


@pytest.mark.parametrize(
    ("typed", "prepared"),
    [
        ("I\u00adX", "IX"), ("user", "user"), ("USER", "USER"), ("\u00aa", "a"), ("\u2168", "IX"),
        ("", ""), (" a b ", " a b "), ("a\u00a0b", "a b"), ("\u3000", " "), ("e\u0301", "é"),
        ("\u0627\u0661\u0628", "\u0627\u0661\u0628"), ("ﬁ", "fi"), ("\u200d", ""),
        ("\u0221", "\u0221"),  # not assigned in Unicode 3.2: may be asked for
    ],
)  # fmt: skip
def test_prepared(typed: str, prepared: str) -> None:
    assert saslprep.prepared(typed.encode()) == prepared.encode()


@pytest.mark.parametrize(
    "typed",
    [
        b"\x07", b"\x7f", "\u0627\u0031".encode(), "\u0627a\u0628".encode(), b"\xff", b"a\xc3",
        "\u0080".encode(), "\ue000".encode(), "\ufdd0".encode(), "\ufffd".encode(),
        "\u2ff0".encode(), "\u202e".encode(), "\U000e0001".encode(), b"\xed\xa0\x80", b"a\nb",
    ],
)  # fmt: skip
def test_unprepared(typed: bytes) -> None:
    with pytest.raises(Unprepared):
        saslprep.prepared(typed)
    assert saslprep.password(typed) == typed

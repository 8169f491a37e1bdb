"""UIDBATCHES (RFC 10022): ranges of UIDs, the newest messages first."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import pytest

from imapd.commands import uidbatches
from imapd.message_limit import MessageLimit
from tests.imapd.driver import Driven
from tests.support.maildirs import deliver

pytestmark = pytest.mark.usefixtures("logged")


def batches(driven: Driven, arguments: str) -> list[tuple[int, int]]:
    responses = driven.ask(f"a UIDBATCHES {arguments}")
    assert [one.name for one in responses] == ["UIDBATCHES", "OK"], responses
    assert responses[0].values[0] == b"a"
    return list(responses[0].values[1:])  # type: ignore[arg-type]


@pytest.fixture
def seven(maildir: Path, driven: Driven, monkeypatch: pytest.MonkeyPatch) -> Driven:
    """Messages with the UIDs 3, 6, 9, 12, 15, 18, 21; batches of any size are allowed."""
    monkeypatch.setattr(uidbatches, "_LEAST", 1)
    for number in range(1, 22):
        deliver(maildir, b"Subject: x\n\n", number=number, flags="")
    driven.ask("s SELECT INBOX")
    gone = ",".join(str(uid) for uid in range(1, 22) if uid % 3)
    driven.ask(f"d UID STORE {gone} +FLAGS.SILENT (\\Deleted)")
    driven.ask("x EXPUNGE")
    return driven


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("2", [(21, 18), (17, 12), (11, 6), (5, 1)]),
        ("3", [(21, 15), (14, 6), (5, 1)]),
        ("7", [(21, 1)]),
        ("6", [(21, 6), (5, 1)]),
        ("1", [(21, 21), (20, 18), (17, 15), (14, 12), (11, 9), (8, 6), (5, 1)]),
        ("4294967295", [(21, 1)]),
        ("2 1:1", [(21, 18)]),
        ("2 2:3", [(17, 12), (11, 6)]),
        ("2 4:9", [(5, 1)]),
        ("2 5:9", []),
        ("2 4294967295:4294967295", []),
        ("4294967295 2:3", []),
    ],
)
def test_batches(seven: Driven, arguments: str, expected: list[tuple[int, int]]) -> None:
    """They leave no UID out, hold as many messages as was said, and end at 1."""
    assert batches(seven, arguments) == expected


@pytest.mark.parametrize("size", [1, 2, 5, 6])
def test_each_is_what_the_whole_says(seven: Driven, size: int) -> None:
    whole = batches(seven, str(size))

    for number, one in enumerate(whole, 1):
        assert batches(seven, f"{size} {number}:{number}") == [one]
    for high, low in whole[:-1]:
        found = seven.ask(f"b UID SEARCH RETURN (COUNT) UID {low}:{high}")[0].values[2]
        assert found == {"COUNT": size}


def test_empty_mailbox(driven: Driven) -> None:
    driven.ask("s SELECT INBOX")

    assert batches(driven, "500") == []
    assert batches(driven, "500 1:9") == []


@pytest.mark.parametrize(
    ("arguments", "status", "code"),
    [
        ("499", "NO", "TOOFEW"),
        ("1 1:2", "NO", "TOOFEW"),
        ("500 3:2", "BAD", "CLIENTBUG"),
        ("0", "BAD", ""),
        ("", "BAD", ""),
        ("x", "BAD", ""),
        ("-500", "BAD", ""),
        ("500 1", "BAD", ""),
        ("500 1:", "BAD", ""),
        ("500 0:1", "BAD", ""),
        ("500 1:*", "BAD", ""),
        ("500 1:2 3:4", "BAD", ""),
        ("4294967296", "BAD", ""),
        ("99999999999999999999", "BAD", ""),
    ],
)
def test_refused(driven: Driven, arguments: str, status: str, code: str) -> None:
    driven.ask("s SELECT INBOX")

    (completion,) = driven.ask(f"a UIDBATCHES {arguments}")

    assert (completion.name, completion.code) == (status, code)


def test_needs_a_mailbox(driven: Driven) -> None:
    assert driven.ask("a UIDBATCHES 500")[-1].name == "BAD"


def test_saved_result_stays(seven: Driven) -> None:
    """RFC 5182: no search is done."""
    seven.ask("b UID SEARCH RETURN (SAVE) UID 9")
    batches(seven, "2")

    assert seven.ask("c UID SEARCH RETURN (ALL) $")[0].values[2] == {"ALL": b"9"}


def test_with_a_message_limit(seven: Driven) -> None:
    """Batches have as many messages as was said, whatever commands may deal with."""
    seven.session.message_limit = MessageLimit(2)

    assert batches(seven, "3") == [(21, 15), (14, 6), (5, 1)]


def test_read_only(seven: Driven) -> None:
    seven.ask("e EXAMINE INBOX")

    assert batches(seven, "7") == [(21, 1)]


def test_many_messages() -> None:
    """A hundred thousand messages in batches of 500: 200 ranges that leave nothing out."""
    chance = random.Random(1)
    uids = sorted(chance.sample(range(1, 1 << 32), 100_000))

    found = list(uidbatches._batches(uids, 500, 1, None))  # type: ignore[arg-type]

    assert len(found) == 200
    assert found[0][0] == uids[-1] and found[-1][1] == 1
    assert all(low == high + 1 for (_, low), (high, _) in itertools.pairwise(found))

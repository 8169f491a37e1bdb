"""PARTIAL (RFC 9394): pages of what SEARCH, SORT and UID FETCH find."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from courier.maildir.folder import Folder
from imapd import matching
from tests.imapd.driver import Driven
from tests.support.maildirs import deliver

pytestmark = pytest.mark.usefixtures("logged")


@pytest.fixture
def selected(maildir: Path, driven: Driven) -> Driven:
    """Ten messages of descending size, of which the even ones are seen; UIDs 1 to 10."""
    for number in range(1, 11):
        flags = "S" * (number % 2 == 0)
        deliver(maildir, b"Subject: x\n\n" + b"y" * (100 - number), number=number, flags=flags)
    driven.send(b"s SELECT INBOX\r\n")
    return driven


def esearch(driven: Driven, command: str) -> dict[str, object]:
    response = driven.ask(f"a {command}")[0]
    assert response.name == "ESEARCH", response
    found = response.values[2]
    assert isinstance(found, dict)
    return found


def status(driven: Driven, command: str) -> str:
    return driven.ask(f"a {command}")[-1].name


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("1:2", b"2,4"),
        ("2:1", b"2,4"),
        ("4:9", b"8,10"),
        ("5:5", b"10"),
        ("6:9", b"NIL"),
        ("-1:-2", b"8,10"),
        ("-2:-1", b"8,10"),
        ("-4:-9", b"2,4"),
        ("-6:-9", b"NIL"),
        ("-5:-5", b"2"),
        ("1:4294967295", b"2,4,6,8,10"),
        ("-1:-4294967295", b"2,4,6,8,10"),
    ],
)
def test_search(selected: Driven, asked: str, found: bytes) -> None:
    """RFC 9394 3.1: places among the results, the range told as it was asked for."""
    for command in ("SEARCH", "UID SEARCH"):
        assert esearch(selected, f"{command} RETURN (PARTIAL {asked}) SEEN") == {
            "PARTIAL": (asked.encode(), found)
        }


@pytest.mark.parametrize(
    ("asked", "found"), [("1:3", b"10,9,8"), ("-1:-3", b"3,2,1"), ("11:12", b"NIL")]
)
def test_sort(selected: Driven, asked: str, found: bytes) -> None:
    """RFC 5267 4.4: places in the order that was asked for."""
    assert esearch(selected, f"UID SORT RETURN (PARTIAL {asked}) (SIZE) UTF-8 ALL") == {
        "PARTIAL": (asked.encode(), found)
    }


def test_with_other_options(selected: Driven) -> None:
    assert esearch(selected, "UID SEARCH RETURN (COUNT MIN PARTIAL 2:3 MAX) SEEN") == {
        "MIN": 2,
        "MAX": 10,
        "COUNT": 5,
        "PARTIAL": (b"2:3", b"4,6"),
    }


@pytest.mark.parametrize(
    "options",
    [
        "PARTIAL 1:2 ALL",
        "ALL PARTIAL 1:2",
        "PARTIAL 1:2 PARTIAL 3:4",
        "PARTIAL",
        "PARTIAL 1",
        "PARTIAL 0:1",
        "PARTIAL 1:0",
        "PARTIAL -1:2",
        "PARTIAL 1:-2",
        "PARTIAL 1:*",
        "PARTIAL 1:2,3:4",
        "PARTIAL -0:-1",
        "PARTIAL 1:4294967296",
        "PARTIAL 1:99999999999999999999",
        "PARTIAL (1:2)",
    ],
)
def test_malformed(selected: Driven, options: str) -> None:
    assert status(selected, f"SEARCH RETURN ({options}) ALL") == "BAD"
    assert status(selected, f"SORT RETURN ({options}) (SIZE) UTF-8 ALL") == "BAD"


@pytest.mark.parametrize(
    ("options", "saved"),
    [
        ("SAVE PARTIAL 2:3", b"4,6"),
        ("SAVE PARTIAL 2:3 MIN", b"2,4,6"),
        ("SAVE PARTIAL 2:3 MAX", b"4,6,10"),
        ("SAVE PARTIAL 2:3 MIN MAX", b"2,4,6,10"),
        ("SAVE PARTIAL 2:3 COUNT", b"2,4,6,8,10"),
        ("SAVE PARTIAL 2:3 COUNT MIN", b"2,4,6,8,10"),
        ("SAVE PARTIAL 8:9", None),
    ],
)
def test_save(selected: Driven, options: str, saved: bytes | None) -> None:
    """RFC 9394 3.2, table 1."""
    assert status(selected, f"SEARCH RETURN ({options}) SEEN") == "OK"

    assert esearch(selected, "UID SEARCH RETURN (ALL) $").get("ALL") == saved


def test_modseq(selected: Driven) -> None:
    """RFC 4731 3.2: that of what is told."""
    selected.ask("b ENABLE CONDSTORE")
    selected.ask("b STORE 4 +FLAGS (\\Flagged)")
    low = esearch(selected, "SEARCH RETURN (PARTIAL 1:1) SEEN MODSEQ 1")["MODSEQ"]
    high = esearch(selected, "SEARCH RETURN (PARTIAL 2:2) SEEN MODSEQ 1")["MODSEQ"]

    assert isinstance(low, int) and isinstance(high, int) and low < high
    assert "MODSEQ" not in esearch(selected, "SEARCH RETURN (PARTIAL 8:9) SEEN MODSEQ 1")


# -- UID FETCH -----------------------------------------------------------------------------------


def fetched(driven: Driven, command: str) -> list[int]:
    responses = driven.ask(f"a {command}")
    assert responses[-1].name == "OK", responses[-1]
    return [one.number for one in responses if one.name == "FETCH"]


@pytest.mark.parametrize(
    ("which", "asked", "found"),
    [
        ("1:*", "1:3", [1, 2, 3]),
        ("1:*", "-1:-3", [8, 9, 10]),
        ("2:4,8:9", "3:4", [4, 8]),
        ("2:4,8:9", "-4:-5", [2, 3]),
        ("2:4,8:9", "5:100", [9]),
        ("2:4,8:9", "-100:-5", [2]),
        ("2:4,8:9", "6:7", []),
        ("20:30", "1:2", []),
    ],
)
def test_uid_fetch(selected: Driven, which: str, asked: str, found: list[int]) -> None:
    assert fetched(selected, f"UID FETCH {which} (FLAGS) (PARTIAL {asked})") == found
    assert fetched(selected, f"UID FETCH {which} (BODY.PEEK[TEXT]) (PARTIAL {asked})") == found


def test_uid_fetch_with_changedsince(selected: Driven) -> None:
    """RFC 9394 3.4: the page first, then what of it has changed, in whichever order it is said."""
    selected.ask("b ENABLE CONDSTORE")
    highest = selected.ask("b STATUS INBOX (HIGHESTMODSEQ)")[0].values[1]
    assert isinstance(highest, dict)
    since = highest["HIGHESTMODSEQ"]
    selected.ask("c STORE 2,9 +FLAGS (\\Flagged)")

    for modifiers in (f"PARTIAL -1:-3 CHANGEDSINCE {since}", f"CHANGEDSINCE {since} PARTIAL -1:-3"):
        assert fetched(selected, f"UID FETCH 1:* (FLAGS) ({modifiers})") == [9]


@pytest.mark.parametrize(
    "command",
    [
        "FETCH 1:* (FLAGS) (PARTIAL 1:2)",
        "UID FETCH 1:* (FLAGS) (PARTIAL)",
        "UID FETCH 1:* (FLAGS) (PARTIAL 1)",
        "UID FETCH 1:* (FLAGS) (PARTIAL 1:2 PARTIAL 1:2)",
        "UID FETCH 1:* (FLAGS) (PARTIAL 1:-2)",
        "UID FETCH 1:* (FLAGS) (PARTIAL 0:2)",
        "UID FETCH 1:* (FLAGS) ()",
    ],
)
def test_uid_fetch_malformed(selected: Driven, command: str) -> None:
    assert status(selected, command) == "BAD"


def test_page_sets_seen_of_itself_alone(selected: Driven) -> None:
    fetched(selected, "UID FETCH 1:* (BODY[]) (PARTIAL 1:1)")

    assert esearch(selected, "SEARCH RETURN (ALL) SEEN")["ALL"] == b"1:2,4,6,8,10"


# -- no more work than is needed -----------------------------------------------------------------


def looked_at(driven: Driven, monkeypatch: pytest.MonkeyPatch, command: str) -> list[int]:
    """Run a command that succeeds; give the UIDs of the messages whose files it read."""
    folder = driven.session.selected.folder
    read: list[int] = []
    of_folder = Folder.read

    def counted(self: Folder, uid: int) -> tuple[bytes, os.stat_result]:
        assert self is folder
        read.append(uid)
        return of_folder(self, uid)

    with monkeypatch.context() as patched:
        patched.setattr(Folder, "read", counted)
        patched.setattr(matching, "_TURN_S", -1.0)  # a message at a time
        assert status(driven, command) == "OK"
    return read


@pytest.mark.parametrize(
    ("options", "read"),
    [
        ("PARTIAL -1:-2", [10, 9]),
        ("PARTIAL -2:-1", [10, 9]),
        ("PARTIAL 1:2", [1, 2]),
        ("PARTIAL 3:3", [1, 2, 3]),
        ("SAVE PARTIAL -1:-1", [10]),
        ("PARTIAL -1:-1 COUNT", [*range(1, 11)]),
        ("PARTIAL -1:-1 MIN", [*range(1, 11)]),
        ("PARTIAL -1:-1 UPDATE", [*range(1, 11)]),
        ("PARTIAL -1:-50", [*range(10, 0, -1)]),
        ("ALL", [*range(1, 11)]),
    ],
)
def test_reads_what_it_needs(
    selected: Driven, monkeypatch: pytest.MonkeyPatch, options: str, read: list[int]
) -> None:
    """RFC 9394 3.1: a search from the end looks at the newest messages first, and stops there."""
    esearch(selected, "SEARCH RETURN (COUNT) SUBJECT x")  # what is kept of messages is known

    assert looked_at(selected, monkeypatch, f"SEARCH RETURN ({options}) BODY y") == read


@pytest.mark.parametrize("run", [1, 3, 4, 100])
@pytest.mark.parametrize("turn", [-1.0, 1.0])
@pytest.mark.parametrize("keys", ["BODY yy", "BODY yyy SEEN", "NOT BODY nosuch", "OR SEEN BODY yy"])
def test_pages_are_those_of_the_whole(
    selected: Driven, monkeypatch: pytest.MonkeyPatch, run: int, turn: float, keys: str
) -> None:
    """However the mailbox is cut, and however far a turn comes."""
    monkeypatch.setattr(matching, "_RUN", run)
    monkeypatch.setattr(matching, "_TURN_S", turn)
    whole = selected.ask(f"a SEARCH {keys}")[0].values

    for first in range(1, 12):
        for last in (first, first + 2, 50):
            ahead = b",".join(b"%d" % one for one in whole[first - 1 : last])  # type: ignore[str-format]
            begin = max(len(whole) - last, 0)
            back = whole[begin : max(len(whole) - first + 1, 0)]
            behind = b",".join(b"%d" % one for one in back)  # type: ignore[str-format]
            for sign, expected in (("", ahead), ("-", behind)):
                asked = f"{sign}{first}:{sign}{last}"
                found = esearch(selected, f"SEARCH RETURN (PARTIAL {asked}) {keys}")["PARTIAL"]
                assert expanded(found) == (asked.encode(), expected or b"NIL")


def expanded(found: object) -> tuple[bytes, bytes]:
    assert isinstance(found, tuple)
    asked, numbers = found
    parts = [part.split(b":") for part in numbers.split(b",")] if numbers != b"NIL" else []
    told = [n for part in parts for n in range(int(part[0]), int(part[-1]) + 1)]
    return asked, b",".join(b"%d" % one for one in told) or b"NIL"

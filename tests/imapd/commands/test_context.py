"""CONTEXT=SEARCH and CONTEXT=SORT (RFC 5267): results that a client is kept up to date of."""

from __future__ import annotations

import errno
import random
import re
from pathlib import Path

import pytest

from courier.process.request import Wake
from tests.imapd.driver import Driven
from tests.imapd.responses import Response, read
from tests.support.maildirs import deliver

pytestmark = pytest.mark.usefixtures("logged")


@pytest.fixture
def selected(maildir: Path, driven: Driven) -> Driven:
    """Six messages of descending size, of which the even ones are seen; UIDs 1 to 6."""
    for number in range(1, 7):
        put(maildir, number, "S" * (number % 2 == 0))
    driven.send(b"s SELECT INBOX\r\n")
    return driven


def put(maildir: Path, number: int, flags: str = "") -> None:
    deliver(maildir, b"Subject: x\n\n" + b"y" * (1000 - number), number=number, flags=flags)


def news(driven: Driven, command: str) -> list[str]:
    """Give the untagged responses to a command that succeeds, in their order."""
    responses = driven.ask(f"a {command}")
    assert responses[-1].name == "OK", responses
    return [one.line.removeprefix("* ") for one in responses[:-1]]


def updates(driven: Driven, command: str) -> list[str]:
    return [line for line in news(driven, command) if line.startswith("ESEARCH")]


# -- what is told at once ------------------------------------------------------------------------


def test_options(selected: Driven) -> None:
    """UPDATE asks for no results; CONTEXT is a hint, and changes nothing."""
    assert news(selected, "SEARCH RETURN (CONTEXT) SEEN") == ['ESEARCH (TAG "a") ALL 2,4,6']
    assert news(selected, "SEARCH RETURN (CONTEXT COUNT) SEEN") == ['ESEARCH (TAG "a") COUNT 3']
    assert news(selected, "SEARCH RETURN (UPDATE) SEEN") == ['ESEARCH (TAG "a")']
    responses = selected.ask("b SEARCH RETURN (UPDATE COUNT PARTIAL 1:2) SEEN")
    assert responses[0].line == '* ESEARCH (TAG "b") COUNT 3 PARTIAL (1:2 2,4)'


def test_tag_reuse(selected: Driven) -> None:
    """RFC 5267 4.3: BAD, and the one there is stays."""
    news(selected, "UID SEARCH RETURN (UPDATE) SEEN")

    for command in ("SEARCH RETURN (UPDATE)", "UID SORT RETURN (UPDATE) (SIZE) UTF-8"):
        assert selected.ask(f"a {command} ALL")[-1].line == "a BAD Tag reuse."
    assert selected.ask("a SEARCH RETURN (COUNT) ALL")[-1].name == "OK"
    responses = selected.ask("b STORE 1 +FLAGS (\\Seen)")
    assert responses[-2].line == '* ESEARCH (TAG "a") UID ADDTO (0 1)'


def test_too_many(selected: Driven) -> None:
    """RFC 5267 4.3.1: the results are told, updates are refused by name."""
    for number in range(16):
        assert len(selected.ask(f"t{number} SEARCH RETURN (UPDATE) SEEN")) == 2

    responses = selected.ask("u SEARCH RETURN (UPDATE COUNT) SEEN")

    assert [one.code for one in responses] == ["", 'NOUPDATE "u"', ""]
    assert [one.name for one in responses] == ["ESEARCH", "NO", "OK"]
    selected.ask('v CANCELUPDATE "t3"')
    assert len(selected.ask("w SEARCH RETURN (UPDATE) SEEN")) == 2


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ('"a"', "OK"),
        ('"a" "b"', "OK"),
        ('"a" "a"', "OK"),
        ('"c"', "NO"),
        ('"a" "c"', "NO"),
        ("a", "BAD"),
        ("", "BAD"),
        ('("a")', "BAD"),
    ],
)
def test_cancelupdate(selected: Driven, arguments: str, status: str) -> None:
    for tag in ("a", "b"):
        selected.ask(f"{tag} SEARCH RETURN (UPDATE) SEEN")

    assert selected.ask(f"x CANCELUPDATE {arguments}")[-1].name == status
    told = [one.line[15:18] for one in selected.ask("y STORE 1 +FLAGS (\\Seen)")[1:-1]]
    cancelled = [] if status == "BAD" else re.findall('"[ab]"', arguments)
    assert told == [tag for tag in ('"a"', '"b"') if tag not in cancelled]


def test_cancelupdate_without_a_mailbox(driven: Driven) -> None:
    assert driven.ask('a CANCELUPDATE "x"')[-1].name == "BAD"


# -- when it is told -----------------------------------------------------------------------------


def test_own_flags(selected: Driven) -> None:
    """Behind the FETCH that is the cause; silent or not."""
    news(selected, "UID SEARCH RETURN (UPDATE) SEEN")

    responses = selected.ask("b STORE 1,3 +FLAGS (\\Seen)")
    assert [one.name for one in responses] == ["FETCH", "FETCH", "ESEARCH", "OK"]
    assert responses[2].line == '* ESEARCH (TAG "a") UID ADDTO (0 1,3)'
    responses = selected.ask("c UID STORE 2:3 -FLAGS.SILENT (\\Seen)")
    assert responses[0].line == '* ESEARCH (TAG "a") UID REMOVEFROM (0 2:3)'
    responses = selected.ask("d FETCH 5 BODY[]")
    assert responses[-2].line == '* ESEARCH (TAG "a") UID ADDTO (0 5)'
    assert len(selected.ask("e STORE 5 +FLAGS (\\Flagged)")) == 2


def test_removed_before_expunged(selected: Driven) -> None:
    """RFC 5267 4.3.4: while the numbers still hold."""
    news(selected, "SEARCH RETURN (UPDATE) SEEN")
    selected.ask("b STORE 2:5 +FLAGS (\\Deleted)")

    lines = [one.line for one in selected.ask("c EXPUNGE")]

    assert lines[0] == '* ESEARCH (TAG "a") REMOVEFROM (0 2,4)'
    assert lines[1].endswith("EXPUNGE")


def test_added_behind_exists(maildir: Path, selected: Driven) -> None:
    """RFC 5267 4.3.3: when the numbers hold."""
    news(selected, "SEARCH RETURN (UPDATE) SEEN")
    put(maildir, 7, "S")
    put(maildir, 8)

    lines = [one.line for one in selected.ask("b NOOP")]

    assert lines[0] == "* 8 EXISTS"
    assert lines[-2] == '* ESEARCH (TAG "a") ADDTO (0 7)'


def test_in_idle(maildir: Path, selected: Driven) -> None:
    news(selected, "UID SEARCH RETURN (UPDATE) UNSEEN")
    selected.send(b"b IDLE\r\n")
    put(maildir, 7)

    told = selected.send(Wake.CHANGED)

    assert b'* ESEARCH (TAG "a") UID ADDTO (0 7)\r\n' in told
    assert told.count(b"ESEARCH") == 1


def test_expunge_that_must_wait(maildir: Path, selected: Driven) -> None:
    """A message that keeps its number for now is still among the results."""
    news(selected, "SEARCH RETURN (UPDATE) SEEN")
    find(maildir, 2).unlink()
    selected.session.changes.look_again()

    assert "ESEARCH" not in " ".join(news(selected, "FETCH 1 UID"))
    assert updates(selected, "NOOP") == ['ESEARCH (TAG "a") REMOVEFROM (0 2)']


def find(maildir: Path, number: int) -> Path:
    end = b"\n\n" + b"y" * (1000 - number)
    paths = [*maildir.glob("cur/*"), *maildir.glob("new/*")]
    (found,) = [path for path in paths if path.read_bytes().endswith(end)]
    return found


def test_sequence_numbers_mean_what_they_meant(maildir: Path, selected: Driven) -> None:
    """RFC 5267 4.3: those of the moment, and so does ``$``; UIDs may name what is to come."""
    selected.ask("x SEARCH RETURN (SAVE) 5:6")
    for tag, key in (
        ("a", "3:*"),
        ("b", "$"),
        ("c", "UID 3:100"),
        ("d", "NOT 1:4"),
        ("f", "6:900"),
    ):
        selected.ask(f"{tag} UID SEARCH RETURN (UPDATE) {key}")
    put(maildir, 7)

    responses = selected.ask("n NOOP")

    told = [one.line[2:] for one in responses if one.name == "ESEARCH"]
    assert told == [
        'ESEARCH (TAG "c") UID ADDTO (0 7)',
        'ESEARCH (TAG "d") UID ADDTO (0 7)',
    ]
    selected.ask("o STORE 1 +FLAGS (\\Deleted)")
    selected.ask("p EXPUNGE")  # what is number 3 now was 4
    assert not [one for one in selected.ask("q NOOP") if one.name == "ESEARCH"]


def test_ends_with_the_selection(maildir: Path, selected: Driven) -> None:
    for leave in ("UNSELECT", "CLOSE", "SELECT INBOX", "EXAMINE INBOX"):
        assert news(selected, "SEARCH RETURN (UPDATE) SEEN")[0].startswith("ESEARCH")
        selected.ask(f"l {leave}")
        selected.ask("s SELECT INBOX")
        assert updates(selected, "STORE 1 FLAGS (\\Seen)") == []
        assert updates(selected, "STORE 1 FLAGS ()") == []


def test_read_only(maildir: Path, selected: Driven) -> None:
    """Others' changes are told in an EXAMINEd mailbox, too."""
    selected.ask("e EXAMINE INBOX")
    news(selected, "UID SEARCH RETURN (UPDATE) SEEN")
    put(maildir, 7, "S")

    assert updates(selected, "NOOP") == ['ESEARCH (TAG "a") UID ADDTO (0 7)']


def test_mailbox_that_can_not_be_searched(
    selected: Driven, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command stands, and the client hears that its results are not kept up to date any more."""
    for tag in ("a", "b"):
        selected.ask(f"{tag} UID SEARCH RETURN (UPDATE) SEEN")

    def fails(*arguments: object) -> None:
        raise OSError(errno.EIO, "Input/output error", "x")

    with monkeypatch.context() as patched:
        patched.setattr("imapd.matching.find", fails)
        responses = selected.ask("c STORE 1 +FLAGS (\\Seen)")

    codes = ["", 'NOUPDATE "a"', 'NOUPDATE "b"', ""]
    assert [one.code for one in responses] == codes and responses[-1].name == "OK"
    assert len(selected.ask("d STORE 3 +FLAGS (\\Seen)")) == 2
    assert len(selected.ask("a UID SEARCH RETURN (UPDATE) SEEN")) == 2


def test_with_qresync(selected: Driven) -> None:
    """Before VANISHED, as before EXPUNGE."""
    selected.ask("q ENABLE QRESYNC")
    news(selected, "UID SEARCH RETURN (UPDATE) SEEN")
    selected.ask("b STORE 2 +FLAGS (\\Deleted)")

    lines = [one.line for one in selected.ask("c EXPUNGE")]

    assert lines[:2] == ['* ESEARCH (TAG "a") UID REMOVEFROM (0 2)', "* VANISHED 2"]


def test_modseq_criterion(selected: Driven) -> None:
    """A message that changes gets a MODSEQ that matches; no other is told."""
    modseqs = selected.ask("m FETCH 1:* (MODSEQ)")
    highest = max(dict(one.values)[b"MODSEQ"] for one in modseqs if one.name == "FETCH")  # type: ignore[arg-type]
    news(selected, f"UID SEARCH RETURN (UPDATE) MODSEQ {highest + 1}")

    assert updates(selected, "STORE 4 +FLAGS (\\Flagged)") == ['ESEARCH (TAG "a") UID ADDTO (0 4)']


def test_sorted(maildir: Path, selected: Driven) -> None:
    """RFC 5267 4.3.3, 4.3.4: with places, in the order that was asked for."""
    news(selected, "UID SORT RETURN (UPDATE ALL) (SIZE) UTF-8 SEEN")  # 6, 4, 2

    assert updates(selected, "STORE 3,1 +FLAGS (\\Seen)") == [
        'ESEARCH (TAG "a") UID ADDTO (3 3 5 1)'
    ]  # 6, 4, 3, 2, 1
    assert updates(selected, "STORE 2:4 -FLAGS (\\Seen)") == [
        'ESEARCH (TAG "a") UID REMOVEFROM (2 4,3,2)'
    ]  # 6, 1
    put(maildir, 7, "S")
    assert updates(selected, "NOOP") == ['ESEARCH (TAG "a") UID ADDTO (1 7)']
    selected.ask("d STORE 1,6 +FLAGS (\\Deleted)")
    assert updates(selected, "EXPUNGE") == ['ESEARCH (TAG "a") UID REMOVEFROM (2 6,1)']


# -- a client that follows -----------------------------------------------------------------------


class Follower:
    """A client that knows results by updates alone."""

    def __init__(self, driven: Driven) -> None:
        self._driven = driven
        self.results: dict[str, list[int]] = {}
        self.by_uid: dict[str, bool] = {}
        self.commands: dict[str, str] = {}
        self._count = 0

    def follow(self, command: str) -> None:
        self._count += 1
        tag = f"f{self._count}"
        verb, rest = command.split(" RETURN ")
        self.by_uid[tag] = verb.startswith("UID")
        self.commands[tag] = command
        self.results[tag] = self._results(f"{tag} {verb} RETURN (UPDATE ALL) {rest}")

    def _results(self, line: str) -> list[int]:
        response = self._driven.ask(line)[0]
        found = response.values[2]
        assert isinstance(found, dict)
        return [] if "ALL" not in found else numbers(found["ALL"])

    def check(self) -> None:
        for tag, command in self.commands.items():
            verb, rest = command.split(" RETURN ")
            assert self.results[tag] == self._results(f"c {verb} RETURN (ALL) {rest}"), command

    def take(self, responses: list[Response]) -> None:
        for response in responses:
            if response.name == "EXPUNGE":
                gone = response.number
                for tag, results in self.results.items():
                    if not self.by_uid[tag]:
                        assert gone not in results
                        self.results[tag] = [one - (one > gone) for one in results]
            elif response.name == "ESEARCH":
                self._update(response)

    def _update(self, response: Response) -> None:
        tag, _, found = response.values
        results = self.results[tag.decode()]  # type: ignore[attr-defined]
        assert isinstance(found, dict)
        for name, pairs in found.items():
            for place, octets in pairs:
                some = numbers(octets)
                if name == "ADDTO":
                    at = len(results) if place == 0 else place - 1
                    results[at:at] = some
                elif place:
                    assert results[place - 1 : place - 1 + len(some)] == some
                    del results[place - 1 : place - 1 + len(some)]
                else:
                    for one in some:
                        results.remove(one)
            if all(place == 0 for place, _ in pairs):
                results.sort()


def numbers(octets: bytes) -> list[int]:
    found: list[int] = []
    for part in octets.decode().split(","):
        low, _, high = part.partition(":")
        found.extend(range(int(low), int(high or low) + 1))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_follower(maildir: Path, selected: Driven, seed: int) -> None:
    """Whatever happens, the results known by updates are those of a new search."""
    chance = random.Random(seed)
    follower = Follower(selected)
    for command in (
        "UID SEARCH RETURN SEEN",
        "SEARCH RETURN OR FLAGGED UNSEEN",
        "SEARCH RETURN LARGER 996 NOT DELETED",
        "UID SEARCH RETURN TEXT yyy KEYWORD one",
        "UID SORT RETURN (SIZE) UTF-8 SEEN",
        "SORT RETURN (REVERSE ARRIVAL SUBJECT) UTF-8 UNDELETED",
        "SORT RETURN (REVERSE SIZE) UTF-8 ALL",
    ):
        follower.follow(command)
    number = 7
    for _ in range(40):
        exists = len(selected.session.selected.uids)
        which = f"{chance.randint(1, exists)}:{chance.randint(1, exists)}" if exists else ""
        flag = chance.choice(["\\Seen", "\\Flagged", "\\Deleted", "one"])
        what = chance.choice(["+FLAGS", "-FLAGS", "FLAGS", "-FLAGS.SILENT", "+FLAGS.SILENT"])
        act = chance.randrange(6)
        if act < 3 and which:
            responses = selected.ask(f"a STORE {which} {what} ({flag})")
        elif act == 3:
            put(maildir, number, chance.choice(["", "S", "FS"]))
            number += 1
            responses = selected.ask("a NOOP")
        elif act == 4:
            responses = selected.ask("a EXPUNGE")
        else:
            paths = [path for path in maildir.glob("cur/*") if path.is_file()]
            if paths:
                chance.choice(sorted(paths)).unlink()
            responses = selected.ask("a CHECK")
        assert responses[-1].name == "OK", responses
        follower.take(responses)
        follower.check()


def test_large_mailbox(maildir: Path, driven: Driven) -> None:
    """Of many results only those that change are told, in one short response."""
    for number in range(1, 400):
        put(maildir, number)
    driven.send(b"s SELECT INBOX\r\n")
    news(driven, "UID SEARCH RETURN (UPDATE COUNT) UNSEEN")

    told = read(driven.send(b"b UID STORE 100:300 +FLAGS.SILENT (\\Seen)\r\n"))

    assert [one.line for one in told[:-1]] == ['* ESEARCH (TAG "a") UID REMOVEFROM (0 100:300)']

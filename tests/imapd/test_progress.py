"""INPROGRESS (RFC 9585): a client hears of a long command now and then."""

from __future__ import annotations

from pathlib import Path

import pytest

from courier.process.request import Receive, Unfinished, Wake, Work
from imapd import progress, transfer
from imapd.progress import Notices
from imapd.request import Progress
from tests.imapd.conftest import Drive
from tests.imapd.driver import Driven
from tests.support.maildirs import deliver, make_folder

pytestmark = pytest.mark.usefixtures("logged")


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def slow(driven: Driven, clock: Clock, seconds: float) -> None:
    """Let work take its time."""

    def after(step: object) -> None:
        if isinstance(step, Work):
            clock.now += seconds

    driven.after = after


@pytest.fixture
def selected(maildir: Path, driven: Driven) -> Driven:
    for number in range(30):
        deliver(maildir, b"Subject: x\n\nbody\n", number=number, flags="")
    driven.ask("s SELECT INBOX")
    return driven


def codes(driven: Driven, command: str, tag: str = "a") -> list[str]:
    responses = driven.ask(f"{tag} {command}")
    assert responses[-1].name == "OK", responses
    return [one.code for one in responses if one.code.startswith("INPROGRESS")]


def test_announced(driven: Driven) -> None:
    assert b" INPROGRESS" in driven.send(b"a CAPABILITY\r\n")


def test_search(selected: Driven, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what is done of what; never all of it."""
    monkeypatch.setattr("imapd.matching._TURN_S", -1.0)  # a message at a time
    slow(selected, clock, 3.0)

    told = codes(selected, "SEARCH BODY body")

    assert told
    states = [tuple(map(int, code[:-1].split()[2:])) for code in told if "NIL" not in code]
    assert all(code.startswith('INPROGRESS ("a" ') for code in told)
    assert [goal for _, goal in states] == [30] * len(states)
    assert [done for done, _ in states] == sorted({done for done, _ in states})
    assert len(states) in range(5, 11)  # 30 messages of 3 seconds, and every 10 seconds one


def test_copy(
    maildir: Path, selected: Driven, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_folder(maildir, "INBOX.other")
    monkeypatch.setattr(transfer, "_SLICE", 5)
    slow(selected, clock, 11.0)

    told = codes(selected, "COPY 1:30 INBOX.other")

    assert 'INPROGRESS ("a" 5 30)' in told and 'INPROGRESS ("a" 29 30)' in told


def test_quick_commands_say_nothing(selected: Driven, clock: Clock) -> None:
    slow(selected, clock, 0.5)

    assert codes(selected, "SEARCH BODY body") == []


def test_waiting_for_the_client_is_no_work(selected: Driven, clock: Clock) -> None:
    """Neither before a command nor in IDLE, however long it takes."""

    def after(step: object) -> None:
        if isinstance(step, Receive):
            clock.now += 1000.0

    selected.after = after

    assert b"INPROGRESS" not in selected.send(b"a NOOP\r\n")
    assert b"INPROGRESS" not in selected.send(b"b IDLE\r\n", Wake.CHANGED, Wake.CHANGED)
    assert b"INPROGRESS" not in selected.send(b"DONE\r\n")


def test_without_extensions(
    maildir: Path, drive: Drive, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imapd.matching._TURN_S", -1.0)
    for number in range(5):
        deliver(maildir, b"Subject: x\n\nbody\n", number=number, flags="")
    driven = drive(IMAP_EXTENSIONS="0")
    driven.ask("s SELECT INBOX")
    slow(driven, clock, 100.0)

    assert codes(driven, "SEARCH BODY body") == []


def test_tag_with_a_bracket(
    selected: Driven, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would look like the code's end: RFC 9585 allows NIL."""
    monkeypatch.setattr("imapd.matching._TURN_S", -1.0)
    slow(selected, clock, 11.0)

    assert codes(selected, "SEARCH BODY body", tag="a]b")[-1].startswith("INPROGRESS (NIL ")


def test_not_amid_a_response(clock: Clock) -> None:
    """What stands behind an unfinished piece would stand in the response."""
    notices = Notices(wanted=True)
    notices.begin(b"a")
    notices.sent(Unfinished(b"* 1 FETCH ("))
    clock.now += 60

    assert notices.due(Progress(1, 2)) == b""
    notices.sent(b")\r\n")
    assert notices.due(Progress(1, 2)) == b""  # it has just heard something
    clock.now += 10
    assert notices.due(Work(list)) == b'* OK [INPROGRESS ("a" NIL NIL)] Still working.\r\n'
    clock.now += 10
    assert notices.due(Progress(2, 2)) == b'* OK [INPROGRESS ("a" 1 2)] Still working.\r\n'


def test_silence_after_an_unfinished_response_of_the_last_command(clock: Clock) -> None:
    """Each command begins anew."""
    notices = Notices(wanted=True)
    notices.begin(b"a")
    notices.sent(Unfinished(b"* 1 FETCH ("))
    notices.begin(b"b")
    clock.now += 10

    assert notices.due(Progress(0, 1)) == b'* OK [INPROGRESS ("b" 0 1)] Still working.\r\n'


def test_goal_of_a_command_stays(clock: Clock) -> None:
    """RFC 9585 4: of other work of the same command nothing is told but that it goes on."""
    notices = Notices(wanted=True)
    told = []
    for begins, step in (
        (True, Progress(3, 10)),
        (False, Progress(1, 500)),
        (False, Progress(2, 10)),
        (False, Progress(7, 10)),
        (True, Progress(1, 500)),
    ):
        if begins:
            notices.begin(b"a")
        clock.now += 10
        told.append(notices.due(step)[18:-19])

    assert told == [b'"a" 3 10', b'"a" NIL NIL', b'"a" 3 10', b'"a" 7 10', b'"a" 1 500']

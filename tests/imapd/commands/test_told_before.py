"""FETCH and SEARCH behind a change by another session that the client has not been told yet."""

from __future__ import annotations

import pytest

from tests.imapd.conftest import Drive
from tests.imapd.driver import Driven

pytestmark = pytest.mark.usefixtures("logged")


@pytest.fixture
def pair(driven: Driven, drive: Drive) -> tuple[Driven, Driven]:
    """Two sessions of a worker that have selected INBOX, with one message."""
    other = drive()
    other.session.store = driven.session.store
    driven.ask("a APPEND INBOX {1+}\r\nx")
    for session in (other, driven):
        session.ask("b SELECT INBOX")
    return driven, other


@pytest.mark.parametrize("command", ["FETCH 1 FLAGS", "UID FETCH 1 FLAGS"])
def test_flags(pair: tuple[Driven, Driven], command: str) -> None:
    """No flags are told that are not there any more: the change comes first, then what was asked for."""
    driven, other = pair
    other.ask("c STORE 1 +FLAGS (\\Answered kw)")

    told = [one.line for one in driven.ask(f"c {command}") if one.name == "FETCH"]

    assert len(told) == 2
    assert all("FLAGS (\\Answered kw)" in line for line in told)


@pytest.mark.parametrize("command", ["SEARCH", "UID SEARCH", "SORT (DATE) UTF-8"])
def test_found(pair: tuple[Driven, Driven], command: str) -> None:
    """By the flags that messages have, and among all there are; numbers stay (RFC 9051 7.5.1)."""
    driven, other = pair
    other.ask("c STORE 1 +FLAGS (\\Answered)")
    other.ask("d APPEND INBOX (\\Answered) {1+}\r\ny")

    told = driven.ask(f"c {command} ANSWERED")

    assert [one.name for one in told[:2]] == ["EXISTS", "RECENT"]
    (found,) = [one.values for one in told if one.name in ("SEARCH", "SORT")]
    assert found == (1, 2)


def test_removed(pair: tuple[Driven, Driven]) -> None:
    """It keeps its number, and is told behind (RFC 9051 7.5.1)."""
    driven, other = pair
    other.ask("c STORE 1 +FLAGS (\\Deleted)")
    other.ask("d EXPUNGE")

    told = driven.ask("c UID FETCH 1 (UID RFC822.SIZE)")

    assert [one.name for one in told] == ["EXPUNGE", "EXISTS", "RECENT", "OK"]
    assert told[-1].code == "EXPUNGEISSUED"


def test_vanished_earlier(pair: tuple[Driven, Driven]) -> None:
    """It comes before any FETCH response (RFC 7162 3.2.6)."""
    driven, other = pair
    other.ask("c APPEND INBOX {1+}\r\ny")
    other.ask("d STORE 1 +FLAGS (\\Deleted)")
    other.ask("e EXPUNGE")
    driven.ask("c ENABLE QRESYNC")
    driven.ask("d NOOP")
    other.ask("f STORE 1 +FLAGS (\\Answered)")

    told = driven.ask("e UID FETCH 1:* (FLAGS) (CHANGEDSINCE 1 VANISHED)")

    assert [one.name for one in told] == ["VANISHED", "FETCH", "FETCH", "OK"]

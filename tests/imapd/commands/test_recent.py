"""``\\Recent`` among the sessions of a worker (RFC 3501 2.3.2)."""

from __future__ import annotations

import pytest

from tests.imapd.conftest import Drive
from tests.imapd.driver import Driven
from tests.imapd.responses import Response

pytestmark = pytest.mark.usefixtures("logged")


def beside(drive: Drive, other: Driven) -> Driven:
    """Another session of the same worker."""
    session = drive()
    session.session.store = other.session.store
    return session


def recent(responses: list[Response]) -> list[int]:
    """What is told to be recent, by RECENT or as found by a search."""
    counts = [one.number for one in responses if one.name == "RECENT"]
    return counts + [number for one in responses if one.name == "SEARCH" for number in one.values]  # type: ignore[misc]


def test_appended_to_a_mailbox_that_nobody_has_selected(driven: Driven, drive: Drive) -> None:
    """The first that selects it has the message as recent, whatever flags it came with (6.3.11)."""
    driven.ask("a APPEND INBOX (\\Seen) {1+}\r\nx")
    (counted, _) = driven.ask("b STATUS INBOX (RECENT)")
    first, second = beside(drive, driven), beside(drive, driven)

    assert counted.values[-1] == {"RECENT": 1}
    assert recent(first.ask("a SELECT INBOX")) == [1]
    assert recent(second.ask("a SELECT INBOX")) == [0]
    assert recent(first.ask("b SEARCH RECENT")) == [1]
    assert recent(second.ask("b SEARCH RECENT")) == []
    assert second.ask("c STATUS INBOX (RECENT)")[0].values[-1] == {"RECENT": 0}


def test_examined_only(driven: Driven, drive: Drive) -> None:
    """EXAMINE shows it and takes nothing away from the next SELECT (6.3.2)."""
    driven.ask("a APPEND INBOX {1+}\r\nx")
    examining = beside(drive, driven)

    assert recent(examining.ask("a EXAMINE INBOX")) == [1]
    assert recent(examining.ask("b SEARCH RECENT")) == [1]
    assert recent(beside(drive, driven).ask("a SELECT INBOX")) == [1]


@pytest.mark.parametrize("command", ["APPEND INBOX {1+}\r\ny", "COPY 1 INBOX", "MOVE 1 INBOX"])
def test_added_to_the_selected_mailbox(driven: Driven, drive: Drive, command: str) -> None:
    """Who added it is told first, and no other session after."""
    driven.ask("a APPEND INBOX {1+}\r\nx")
    other = beside(drive, driven)
    other.ask("a SELECT INBOX")
    driven.ask("b SELECT INBOX")

    driven.ask(f"c {command}")

    new = 1 if "MOVE" in command else 2
    assert recent(driven.ask("d SEARCH RECENT")) == [new]
    other.ask("b NOOP")
    assert new not in recent(other.ask("c SEARCH RECENT"))


def test_copied(driven: Driven, drive: Drive) -> None:
    """Copies are recent in their mailbox, also those of messages that are not (6.4.7)."""
    driven.ask("a APPEND INBOX {1+}\r\nx")
    driven.ask("b CREATE INBOX.to")
    for command in ("SELECT INBOX", "SELECT INBOX", "COPY 1 INBOX.to"):
        driven.ask(f"c {command}")

    assert recent(driven.ask("d SEARCH RECENT")) == []
    assert recent(beside(drive, driven).ask("a SELECT INBOX.to")) == [1]

from __future__ import annotations

from pathlib import Path

import pytest

from tests.imapd.driver import Driven
from tests.imapd.responses import Response, read
from tests.support.maildirs import deliver, make_folder, uid_database

pytestmark = pytest.mark.usefixtures("logged")


def code(responses: list[Response], name: str) -> str:
    """What a response code of these says."""
    (found,) = [r.code for r in responses if r.code.startswith(name + " ")]
    return found.split(" ")[1]


@pytest.mark.parametrize("command", ["SELECT", "EXAMINE"])
def test_renamed_since_it_was_last_open(driven: Driven, maildir: Path, command: str) -> None:
    """Its new UIDVALIDITY is told: nothing was told of it under this name."""
    for line in ("CREATE INBOX.x", "APPEND INBOX.x {1+}\r\nx", "SELECT INBOX.x", "SELECT INBOX"):
        driven.ask(f"s {line}")
    driven.ask("s RENAME INBOX.x INBOX.y")

    responses = driven.ask(f"a {command} INBOX.y")

    assert responses[-1].name == "OK"
    assert int(code(responses, "UIDVALIDITY")) == uid_database(maildir / ".y").uidvalidity
    assert [r.number for r in responses if r.name == "EXISTS"] == [1]
    assert driven.ask("b UID FETCH 1:* UID")[0].values == ((b"UID", 1),)


@pytest.mark.parametrize("command", ["APPEND INBOX.y {1+}\r\ny", "COPY 1 INBOX.y"])
def test_renamed_and_added_to(driven: Driven, maildir: Path, command: str) -> None:
    """UIDVALIDITY and UID that are told of the new message are those it can be found by."""
    for line in ("CREATE INBOX.x", "APPEND INBOX.x {1+}\r\nx", "APPEND INBOX {1+}\r\nx"):
        driven.ask(f"s {line}")
    driven.ask("s SELECT INBOX")
    driven.ask("s RENAME INBOX.x INBOX.y")

    told = driven.ask(f"a {command}")[-1].code.split(" ")

    opened = driven.ask("b SELECT INBOX.y")
    assert code(opened, "UIDVALIDITY") == told[1]
    assert [r.number for r in opened if r.name == "EXISTS"] == [2]
    found = driven.ask(f"c UID FETCH {told[-1]} UID")[0]
    assert found.values == ((b"UID", int(told[-1])),)


def test_renumbered_by_another_program_since_it_was_last_open(
    driven: Driven, maildir: Path
) -> None:
    """A folder put back from a backup: its numbers are told anew, and the session goes on."""
    folder = make_folder(maildir, "INBOX.x")
    deliver(folder, b"x\n", number=1, flags="")
    driven.ask("s SELECT INBOX.x")
    driven.ask("s UNSELECT")
    (folder / "courierimapuiddb").unlink()
    (folder / "courierimapuiddb").write_bytes(b"1 4711 7\n")

    responses = driven.ask("a SELECT INBOX.x")

    assert code(responses, "UIDVALIDITY") == "4711"
    assert driven.ask("b FETCH 1 UID")[0].values == ((b"UID", 7),)


def test_failed_select_leaves_nothing_selected(driven: Driven) -> None:
    """The other mailbox is closed whatever comes of this one (RFC 9051 6.3.2)."""
    driven.ask("s SELECT INBOX")

    assert driven.ask("a SELECT INBOX.none")[-1].name == "NO"
    assert driven.ask("b FETCH 1 UID")[-1].name == "BAD"


def test_malformed_select_changes_nothing(driven: Driven) -> None:
    """What is not understood is not done."""
    driven.ask("s SELECT INBOX")

    assert driven.ask("a SELECT INBOX x")[-1].name == "BAD"
    assert driven.ask("b CHECK")[-1].name == "OK"


def test_examine_moves_nothing(driven: Driven, maildir: Path) -> None:
    """New messages stay new, for the one who selects the mailbox (RFC 9051 6.3.3)."""
    base = deliver(maildir, b"x\n", number=1)

    responses = driven.ask("a EXAMINE INBOX")

    assert [r.number for r in responses if r.name in ("EXISTS", "RECENT")] == [1, 1]
    assert (maildir / "new" / base).exists()
    for command in ("STORE 1 FLAGS (\\Seen)", "EXPUNGE", "MOVE 1 INBOX"):
        assert driven.ask(f"b {command}")[-1].name == "NO", command
    driven.ask("c FETCH 1 BODY[]")
    assert (maildir / "new" / base).exists()
    assert [r.number for r in driven.ask("d SELECT INBOX") if r.name == "RECENT"] == [1]


def test_odd_directory(driven: Driven, maildir: Path) -> None:
    """A folder that can't be read is refused, and the session goes on."""
    (maildir / ".x").mkdir()
    (maildir / ".x" / "cur").mkdir()

    assert (
        read(driven.send(b"a SELECT INBOX.x\r\n"))[-1].line == "a NO Unable to open this mailbox."
    )
    assert driven.ask("b SELECT INBOX")[-1].name == "OK"


def test_name_that_can_be_no_mailbox(driven: Driven) -> None:
    """A failed SELECT leaves nothing selected, whatever it failed for (RFC 9051 6.3.2)."""
    driven.ask("a SELECT INBOX")

    assert [response.code for response in driven.ask("b SELECT INBOX.a&b")] == ["CLOSED", "CANNOT"]
    assert driven.ask("c SELECT INBOX.a&b")[-1].code == "CANNOT"
    assert driven.ask("d CHECK")[-1].name == "BAD"


@pytest.mark.parametrize("command", ["SELECT", "SELECT INBOX.x y", "EXAMINE INBOX.x (FOO)"])
def test_bad_command(driven: Driven, command: str) -> None:
    """A rejected command leaves selected what is selected (RFC 9051 6)."""
    driven.ask("a SELECT INBOX")

    assert driven.ask(f"b {command}")[-1].name == "BAD"
    assert driven.ask("c CHECK")[-1].name == "OK"

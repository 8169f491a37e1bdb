"""MAILBOXID (RFC 8474 4): in CREATE, SELECT, EXAMINE and STATUS."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.imapd.conftest import Drive
from tests.imapd.driver import Driven
from tests.support.maildirs import deliver, make_folder

pytestmark = pytest.mark.usefixtures("logged")


def selected(driven: Driven, name: str, command: str = "SELECT") -> str:
    codes = [one.code for one in driven.ask(f"s {command} {name}")]
    (found,) = [code for code in codes if code.startswith("MAILBOXID ")]
    return found.removeprefix("MAILBOXID (").removesuffix(")")


def of_status(driven: Driven, name: str) -> str:
    (told, _) = driven.ask(f"s STATUS {name} (MAILBOXID)")
    return told.values[1]["MAILBOXID"].decode()  # type: ignore[index, no-any-return]


def test_the_same_everywhere(driven: Driven) -> None:
    """From the OK of CREATE on, in every session."""
    code = driven.ask("a CREATE INBOX.a")[-1].code
    match = re.fullmatch(r"MAILBOXID \((F[0-9a-f]{24})\)", code)
    assert match is not None

    assert {
        match[1],
        of_status(driven, "INBOX.a"),
        selected(driven, "INBOX.a"),
        of_status(driven, "INBOX.a"),  # of the selected one
        selected(driven, "INBOX.a", "EXAMINE"),
    } == {match[1]}
    assert selected(driven, "INBOX") != match[1]


def test_of_list(driven: Driven) -> None:
    """RETURN (STATUS (MAILBOXID)) tells those of all mailboxes, no two alike."""
    driven.send(b"a CREATE INBOX.a\r\na CREATE INBOX.b\r\n")

    told = driven.ask('l LIST "" * RETURN (STATUS (MAILBOXID))')

    found = [one.values[1]["MAILBOXID"] for one in told if one.name == "STATUS"]  # type: ignore[index]
    assert len(set(found)) == len(found) == 3


def test_rename(driven: Driven) -> None:
    """The mailbox keeps it; one of the old name is another one."""
    driven.send(b"a CREATE INBOX.a\r\n")
    before = of_status(driven, "INBOX.a")
    assert driven.ask("a RENAME INBOX.a INBOX.b")[-1].name == "OK"
    driven.send(b"a CREATE INBOX.a\r\n")

    assert of_status(driven, "INBOX.b") == before
    assert of_status(driven, "INBOX.a") != before


def test_rename_of_inbox(driven: Driven, maildir: Path) -> None:
    """INBOX stays itself, and what its messages went to is a new mailbox (RFC 8474 4)."""
    deliver(maildir, b"x\n", number=1, flags="")
    before = selected(driven, "INBOX")
    (fetched, *_) = driven.ask("f FETCH 1 EMAILID")
    driven.ask("u UNSELECT")
    assert driven.ask("a RENAME INBOX INBOX.b")[-1].name == "OK"

    assert of_status(driven, "INBOX") == before
    assert selected(driven, "INBOX.b") != before
    assert driven.ask("f FETCH 1 EMAILID")[0].values == fetched.values


def test_delete(driven: Driven) -> None:
    driven.send(b"a CREATE INBOX.a\r\n")
    before = of_status(driven, "INBOX.a")
    driven.send(b"a DELETE INBOX.a\r\na CREATE INBOX.a\r\n")

    assert of_status(driven, "INBOX.a") != before


def test_folder_of_others(maildir: Path, driven: Driven) -> None:
    """One that real Courier made gets it when it is first asked for."""
    make_folder(maildir, "INBOX.old")

    assert of_status(driven, "INBOX.old") == selected(driven, "INBOX.old")


def test_without_extensions(drive: Drive) -> None:
    """SELECT and CREATE say what Courier says."""
    driven = drive(IMAP_EXTENSIONS="0")

    assert driven.ask("a CREATE INBOX.a")[-1].code == ""
    assert not [one for one in driven.ask("s SELECT INBOX.a") if "MAILBOXID" in one.code]

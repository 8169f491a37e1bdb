"""NOTIFY of other accounts' mailboxes: nobody learns of one that he may not see (RFC 5465 3.1, 5.9)."""

from __future__ import annotations

from pathlib import Path

import pytest

from courier.process.request import Wake
from tests.imapd.commands.test_notify import ALL, MESSAGES, set_, told
from tests.imapd.driver import Driven
from tests.imapd.responses import read
from tests.support.maildirs import deliver, folder_path, make_folder, make_maildir

pytestmark = pytest.mark.usefixtures("logged", "unhurried")


@pytest.fixture
def bob(tmp_path: Path) -> Path:
    """Another account's maildir, with two folders."""
    path = make_maildir(tmp_path / "bob")
    for name in ("INBOX.open", "INBOX.secret"):
        make_folder(path, name)
    return path


@pytest.fixture
def settings(tmp_path: Path, bob: Path) -> dict[str, str]:
    index = tmp_path / "index"
    index.write_text(f"bob\t1000\t1000\t{bob}\t.\n")
    return {"IMAP_SHAREDINDEXFILE": str(index), "IMAP_ACL": "1", "IMAP_IDLE_TIMEOUT": "7"}


@pytest.fixture
def owner(bob: Path, settings: dict[str, str]) -> Driven:
    session = Driven(bob, settings, user="bob")
    session.ask("a SETACL INBOX.open alice lr")
    return session


@pytest.fixture
def alice(maildir: Path, settings: dict[str, str], owner: Driven) -> Driven:
    return Driven(maildir, settings, user="alice")


def later(driven: Driven) -> list[str]:
    """What a client is told when it is time to look at what nobody can watch."""
    driven.session.notifier._looked -= 7
    return [r.line.removeprefix("* ") for r in read(driven.send(Wake.TIMEOUT))]


def arrive(bob: Path, mailbox: str, number: int) -> None:
    deliver(folder_path(bob, mailbox), b"x\n", number=number)


@pytest.mark.parametrize(
    "which",
    [
        'subtree "#shared"',
        'subtree "#shared.bob"',
        'mailboxes ("#shared.bob.open" "#shared.bob.secret" "#shared.bob")',
    ],
)
def test_what_may_be_seen_is_told(alice: Driven, bob: Path, which: str) -> None:
    set_(alice, f"STATUS ({which} {MESSAGES})")
    arrive(bob, "INBOX.secret", 1)
    arrive(bob, "INBOX", 2)
    assert told(alice) == []
    arrive(bob, "INBOX.open", 3)

    (line,) = told(alice)
    assert line.startswith('STATUS "#shared.bob.open" (MESSAGES 1 ')


def test_names_that_may_not_be_seen(alice: Driven, owner: Driven) -> None:
    set_(alice, '(subtree "#shared" (MailboxName))')

    owner.ask("a CREATE INBOX.secret.more")
    owner.ask("a DELETE INBOX.secret.more")
    owner.ask("a RENAME INBOX.secret INBOX.hidden")

    assert told(alice) == []
    assert later(alice) == []


def test_access_that_is_not_enough(alice: Driven, owner: Driven, bob: Path) -> None:
    """RFC 5465 3.1: \\NoAccess, of what may be LISTed; told again when it may be read."""
    owner.ask("a SETACL INBOX.open alice l")

    assert set_(alice, f'STATUS (subtree "#shared" {ALL})') == [
        'LIST (\\NoAccess) "." "#shared.bob.open"'
    ]
    arrive(bob, "INBOX.open", 1)
    assert told(alice) == []
    owner.ask("a SETACL INBOX.open alice lr")
    lines = told(alice)
    assert lines[0] == 'LIST (\\HasNoChildren) "." "#shared.bob.open"'
    arrive(bob, "INBOX.open", 2)
    assert told(alice)[0].startswith('STATUS "#shared.bob.open" (MESSAGES 2 ')


def test_access_that_is_lost(alice: Driven, owner: Driven, bob: Path) -> None:
    """RFC 5465 5.9, 5.4: with MailboxName it is as if it were deleted."""
    set_(alice, f'(mailboxes "#shared.bob.open" {MESSAGES})')
    owner.ask("a SETACL INBOX.open alice l")
    assert told(alice) == ['LIST (\\NoAccess) "." "#shared.bob.open"']
    arrive(bob, "INBOX.open", 1)
    assert told(alice) == []

    owner.ask("a SETACL INBOX.open alice lr")
    told(alice)
    set_(alice, f'(mailboxes "#shared.bob.open" {MESSAGES}) (subtree "#shared" (MailboxName))')
    owner.ask("a DELETEACL INBOX.open alice")
    assert 'LIST (\\NonExistent \\HasNoChildren) "." "#shared.bob.open"' in told(alice)
    arrive(bob, "INBOX.open", 2)
    assert told(alice) == []
    owner.ask("a SETACL INBOX.open alice lr")
    assert 'LIST (\\HasNoChildren) "." "#shared.bob.open"' in later(alice)
    arrive(bob, "INBOX.open", 3)
    assert told(alice)[0].startswith('STATUS "#shared.bob.open" (MESSAGES 3 ')


def test_selected_mailbox_that_may_not_be_read_any_more(
    alice: Driven, owner: Driven, bob: Path
) -> None:
    set_(alice, f"(selected {ALL})")
    alice.ask('s SELECT "#shared.bob.open"')
    arrive(bob, "INBOX.open", 1)
    assert told(alice)[0] == "1 EXISTS"
    owner.ask("a SETACL INBOX.open alice l")
    arrive(bob, "INBOX.open", 2)

    assert told(alice) == []
    assert alice.ask("a FETCH 1 FLAGS")[-1].name == "NO"


def test_annotations_of_others(alice: Driven, owner: Driven) -> None:
    """What its owner notes for himself is nobody else's business."""
    set_(alice, '(subtree "#shared" (MailboxMetadataChange))')

    owner.ask('a SETMETADATA INBOX.open (/private/comment "x")')
    assert told(alice) == []
    owner.ask('a SETMETADATA INBOX.open (/shared/comment "x")')
    assert told(alice) == ['METADATA "#shared.bob.open" /shared/comment']
    owner.ask('a SETMETADATA INBOX.secret (/shared/comment "x")')
    assert told(alice) == []

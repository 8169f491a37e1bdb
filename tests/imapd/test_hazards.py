"""Known losses and races of Courier itself that no other test shows to be avoided here.

doc/hazards.md has the whole list, and which test is whose.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from courier.maildir import keywords
from tests.imapd.conftest import Drive
from tests.imapd.driver import Driven
from tests.imapd.failing import failing_call
from tests.support.maildirs import deliver, make_folder, make_maildir, message_files

pytestmark = pytest.mark.usefixtures("logged")

MESSAGE = b"Subject: x\n\nBody.\n"


@pytest.mark.parametrize("name", ["inbox", "InBoX", "INBOX", "inbox.", '"Inbox"'])
def test_delete_inbox_in_any_spelling(driven: Driven, maildir: Path, name: str) -> None:
    """H1: newer Courier erases the whole maildir."""
    deliver(maildir, MESSAGE, number=1)
    make_folder(maildir, "INBOX.a")

    driven.ask(f"a DELETE {name}")

    assert len(message_files(maildir)) == 1
    assert (maildir / ".a" / "cur").is_dir()


def test_examine_removes_and_writes_nothing(driven: Driven, maildir: Path) -> None:
    """H2: newer Courier opens the mailbox for writing, and CLOSE expunges."""
    deliver(maildir, MESSAGE, number=1, flags="T")
    driven.ask("a EXAMINE INBOX")

    assert driven.ask("b STORE 1 +FLAGS (\\Seen)")[-1].name == "NO"
    driven.ask("c FETCH 1 BODY[]")
    driven.ask("d CLOSE")

    assert list(message_files(maildir).values()) == ["T"]


def test_keywords_by_the_slower_algorithm(drive: Drive, maildir: Path) -> None:
    """H4: newer Courier with IMAP_KEYWORDS=2 answers OK and saves nothing."""
    deliver(maildir, MESSAGE, number=1, flags="")
    first = drive(IMAP_KEYWORDS="2")
    first.ask("a SELECT INBOX")
    first.ask("b STORE 1 +FLAGS (word)")

    second = drive(IMAP_KEYWORDS="2")
    second.ask("a SELECT INBOX")

    assert b"word" in second.ask("b FETCH 1 FLAGS")[0].raw


@pytest.mark.parametrize("command", ["SELECT INBOX.a", "STATUS INBOX.a (MESSAGES)"])
def test_folder_without_tmp(driven: Driven, maildir: Path, command: str) -> None:
    """H8: it ends newer Courier's session."""
    (make_folder(maildir, "INBOX.a") / "tmp").rmdir()

    driven.ask(f"a {command}")

    assert driven.ask("b NOOP")[-1].name == "OK"


@pytest.mark.parametrize("damage", ["file", "unwritable", "link"])
def test_trash_that_cannot_be_used(drive: Drive, maildir: Path, damage: str) -> None:
    """H18: Courier removes for good what it can't move to the trash."""
    name = deliver(maildir, MESSAGE, number=1, flags="T")
    if damage == "file":
        (maildir / ".Trash").touch()
    elif damage == "link":
        (maildir / ".Trash").symlink_to("/nonexistent")
    else:
        (make_folder(maildir, "INBOX.Trash") / "tmp").rmdir()
    driven = drive(IMAP_MOVE_EXPUNGE_TO_TRASH="1")
    driven.ask("a SELECT INBOX")

    assert driven.ask("b EXPUNGE")[-1].name == "NO"
    driven.ask("c CLOSE")

    assert message_files(maildir) == {name: "T"}


@pytest.mark.slow
def test_each_call_failing_on_the_way_to_the_trash(tmp_path: Path) -> None:
    """H18: wherever the disk fails, the message is in the mailbox, or in the trash, or in both."""
    for number in range(300):
        maildir = make_maildir(tmp_path / f"M{number}")
        deliver(maildir, MESSAGE, number=1, flags="T")
        driven = Driven(maildir, {"IMAP_MOVE_EXPUNGE_TO_TRASH": "1"})
        driven.ask("a SELECT INBOX")
        with failing_call(number) as calls:
            driven.ask("b EXPUNGE")
        left = len(message_files(maildir))
        trash = maildir / ".Trash"
        kept = len(message_files(trash)) if (trash / "cur").is_dir() else 0
        assert left + kept in (1, 2), (number, calls.failed)
        if calls.failed is None:
            break
    assert (left, kept) == (0, 1)
    assert number > 15


def test_keyword_that_cannot_be_saved(driven: Driven, maildir: Path) -> None:
    """H20: Courier speaks of the quota, leaves a file in tmp/ and forgets the flags."""
    deliver(maildir, MESSAGE, number=1, flags="")
    driven.ask("a SELECT INBOX")
    real = keywords.publish

    def full(*arguments: object, **named: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keywords, "publish", full)
        answer = driven.ask("b STORE 1 +FLAGS (\\Seen word)")[-1]
    assert keywords.publish is real

    assert answer.raw == b"b NO [OVERQUOTA] STORE failed: No space left on device\r\n"
    assert driven.ask("c NOOP")[0].raw == b"* 1 FETCH (FLAGS (\\Seen \\Recent))\r\n"
    assert list(message_files(maildir).values()) == ["S"]
    assert os.listdir(maildir / "tmp") == []


@pytest.mark.parametrize("follow", ["0", "1"])
def test_message_that_is_a_symbolic_link(drive: Drive, maildir: Path, follow: str) -> None:
    """H24: by default no message is whatever file its maker likes the owner to show."""
    secret = maildir.parent / "secret"
    secret.write_bytes(b"Subject: secret\n\nSecret.\n")
    (maildir / "cur" / "1.link:2,").symlink_to(secret)
    deliver(maildir, MESSAGE, number=2, flags="")
    make_folder(maildir, "INBOX.a")
    driven = drive(MAILDIR_SKIP_SYMLINK_CHECKS=follow)
    driven.ask("a SELECT INBOX")

    fetched = driven.send(b"b FETCH 1:2 (RFC822.SIZE BODY.PEEK[])\r\n")
    driven.ask("c COPY 1 INBOX.a")

    copied = [path.read_bytes() for path in (maildir / ".a" / "cur").iterdir()]
    assert (b"Secret." in fetched) == (follow == "1")
    assert copied == ([secret.read_bytes()] if follow == "1" else [])
    assert b"Body." in fetched


def test_folders_that_no_client_can_name(driven: Driven, maildir: Path) -> None:
    """H28: they end Courier's session at LIST."""
    for name in (b".\xff\xfe", ".\U0001f600".encode(), b".ok"):
        folder = os.path.join(os.fsencode(maildir), name)
        for directory in (b"", b"new", b"cur", b"tmp"):
            os.makedirs(os.path.join(folder, directory), exist_ok=True)
    (maildir / ".DS_Store").touch()

    listed = [response.raw for response in driven.ask('a LIST "" "*"')]

    assert listed[-1].startswith(b"a OK")
    assert any(b'"INBOX.ok"' in line for line in listed)
    assert not any(b"DS_Store" in line or b"\xff" in line for line in listed)


def test_name_in_raw_octets(driven: Driven, maildir: Path) -> None:
    """H27: Courier makes a folder of other characters of it."""
    assert driven.send("a CREATE INBOX.é\r\n".encode()).startswith((b"a NO", b"a BAD"))

    assert [path.name for path in maildir.iterdir() if path.name.startswith(".")] == []


def test_create_of_what_exists_keeps_its_rights(driven: Driven, maildir: Path) -> None:
    """H5: newer Courier says NO and has removed the folder's list."""
    rights = make_folder(maildir, "INBOX.a") / "courierimapacl"
    rights.write_text("owner aceilrstwx\nanyone lr\n")

    assert driven.ask("a CREATE INBOX.a")[-1].name == "NO"

    assert rights.read_text() == "owner aceilrstwx\nanyone lr\n"


@pytest.mark.parametrize("command", ["APPEND #shared.bob.pub {19+}", "COPY 1 #shared.bob.pub"])
def test_who_pays_for_what_is_put_into_a_shared_folder(
    maildir: Path, tmp_path: Path, command: str
) -> None:
    """H15: whose folder it is, under limits of his own. Courier charges the copier, or changes them."""
    theirs = make_maildir(tmp_path / "bob" / "Maildir")
    (make_folder(theirs, "INBOX.pub") / "courierimapacl").write_text(
        "owner aceilrstwx\nadministrators aceilrstwx\nanyone lrswipteck\n"
    )
    (tmp_path / "index").write_text(f"bob\t{os.getuid() or 1}\t1\t{tmp_path}/bob\t./Maildir\n")
    deliver(maildir, MESSAGE, number=1, flags="")
    for path in (maildir, theirs):
        (path / "maildirsize").write_bytes(b"1000S\n         100            1\n")
    driven = Driven(maildir, {"IMAP_SHAREDINDEXFILE": str(tmp_path / "index")}, quota="5000S")
    driven.ask("a SELECT INBOX")

    body = b"Subject: x\r\n\r\nBody.\r\n" if command.startswith("APPEND") else b""
    answer = driven.send(f"b {command}\r\n".encode() + body + (b"\r\n" if body else b""))

    assert b"b OK" in answer, answer
    assert (maildir / "maildirsize").read_bytes() == b"1000S\n         100            1\n"
    assert (theirs / "maildirsize").read_bytes().startswith(b"1000S\n         100            1\n")
    assert (theirs / "maildirsize").read_bytes().endswith(b"            1\n")
    assert len((theirs / "maildirsize").read_bytes().splitlines()) == 3


def shared(home: Path, name: str, rights: str) -> Path:
    """Make the maildir of another account whose INBOX others have these rights on."""
    theirs = make_maildir(home / name / "Maildir")
    (theirs / "courierimapacl").write_text(
        f"owner aceilrstwx\nadministrators aceilrstwx\nanyone {rights}\n"
    )
    return theirs


@pytest.mark.parametrize("spelling", ["Zo&AOk-", "Zo&-AOk-"])
def test_shared_account_with_a_name_beyond_ascii(
    tmp_path: Path, drive: Drive, spelling: str
) -> None:
    """H16: Courier tells it encoded twice; clients may have subscribed to it so."""
    shared(tmp_path, "zoe", "lr")
    (tmp_path / "index").write_text(f"Zoé\t1\t1\t{tmp_path}/zoe\t./Maildir\n")
    driven = drive(IMAP_SHAREDINDEXFILE=str(tmp_path / "index"))

    listed = driven.ask('a LIST "" "#shared.%"')

    assert [one.raw.split()[-1] for one in listed[:-1]] == [b'"#shared.Zo&AOk-"']
    assert driven.ask(f"b EXAMINE #shared.{spelling}")[-1].name == "OK"


def test_group_of_the_index_with_a_users_name(tmp_path: Path, drive: Drive) -> None:
    """H17: to Courier the user of that name owns all maildirs in the group."""
    shared(tmp_path, "carl", "")
    (tmp_path / "index").write_text("user\t*\tindexuser\n")
    (tmp_path / "indexuser").write_text(f"carl\t1\t1\t{tmp_path}/carl\t./Maildir\n")
    driven = drive(IMAP_SHAREDINDEXFILE=str(tmp_path / "index"))

    assert driven.ask("a SELECT #shared.user.carl")[-1].name == "NO"


def test_change_just_after_the_watch_began(
    driven: Driven, maildir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """H36: newer Courier looks first and watches then, and learns of it an hour later."""
    driven.ask("a SELECT INBOX")
    watcher = driven.session.store.watcher
    real = watcher.watch

    def watch(folder: str) -> object:
        watched = real(folder)
        deliver(maildir, MESSAGE, number=1)
        return watched

    monkeypatch.setattr(watcher, "watch", watch)

    assert b"* 1 EXISTS" in driven.send(b"b IDLE\r\n")
    driven.send(b"DONE\r\n")

"""courier.maildir.status: numbers of a folder that is not opened."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from courier.maildir import status
from courier.maildir.folder import Folder, FolderGone
from courier.maildir.status import Status
from tests.courier.maildir.test_folder import _hide_once, opened, renamed
from tests.support.maildirs import deliver, uid_database


def contents(path: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()
    }


def test_status_counts_and_writes_nothing(maildir: Path) -> None:
    """Messages in new/ and without a UID count as recent, and towards UIDNEXT."""
    deliver(maildir, b"x\n", number=1, flags="S")
    deliver(maildir, b"x\n", number=2, flags="")
    uidvalidity = opened(maildir).uidvalidity
    deliver(maildir, b"x\n", number=3)
    deliver(maildir, b"x\n", number=4, flags="S")
    before = contents(maildir)

    found = status.read(Folder(str(maildir)))

    assert found == Status(
        messages=4, recent=2, uidnext=5, uidvalidity=uidvalidity, unseen=2, deleted=0
    )
    assert contents(maildir) == before


def test_status_agrees_with_what_follows(maildir: Path) -> None:
    """SELECT then gives the numbers that were told."""
    for number in range(3):
        deliver(maildir, b"x\n", number=number)
    folder = Folder(str(maildir))
    told = status.read(folder)

    fresh = folder.synchronise(take_new=True)

    assert (told.uidvalidity, told.uidnext) == (folder.uidvalidity, folder.uidnext)
    assert (told.messages, told.recent) == (len(folder.columns), len(fresh))
    assert status.read(folder).recent == 0


def test_status_of_a_folder_never_opened(maildir: Path) -> None:
    """It gets its UIDVALIDITY, and no message is moved or numbered."""
    deliver(maildir, b"x\n", number=1)
    deliver(maildir, b"x\n", number=2, flags="S")

    found = status.read(Folder(str(maildir)))

    assert uid_database(maildir).uids == {}
    assert found == Status(2, 2, 3, uid_database(maildir).uidvalidity, 1, 0)
    assert len(os.listdir(maildir / "new")) == 1


def test_message_examined_before_is_still_recent(maildir: Path) -> None:
    """EXAMINE has numbered it and left it in new/."""
    deliver(maildir, b"x\n", number=1)
    opened(maildir, take_new=False)

    found = status.read(Folder(str(maildir)))

    assert (found.messages, found.recent, found.uidnext) == (1, 1, 2)


def test_expunged_messages_are_not_counted(maildir: Path) -> None:
    """They are still listed in courierimapuiddb, which nobody has brought up to date."""
    base = deliver(maildir, b"x\n", number=1, flags="")
    opened(maildir)
    (maildir / "cur" / f"{base}:2,").unlink()

    found = status.read(Folder(str(maildir)))

    assert (found.messages, found.recent, found.uidnext, found.unseen) == (0, 0, 2, 0)


def test_file_renamed_while_its_directory_is_listed(
    maildir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is counted all the same."""
    base = deliver(maildir, b"x\n", number=1, flags="")
    opened(maildir)
    _hide_once(monkeypatch, maildir, base)

    assert status.read(Folder(str(maildir))).messages == 1


def test_file_on_its_way_to_cur_counts_once(maildir: Path) -> None:
    base = deliver(maildir, b"x\n", number=1)
    os.link(maildir / "new" / base, maildir / "cur" / f"{base}:2,S")

    found = status.read(Folder(str(maildir)))

    assert (found.messages, found.unseen) == (1, 0)


def test_status_of_what_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        status.read(Folder(str(tmp_path)))
    (tmp_path / "courierimapuiddb").write_bytes(b"1 1 1\n")
    with pytest.raises(FolderGone):
        status.read(Folder(str(tmp_path)))


@pytest.mark.parametrize(
    ("flags", "unseen"), [(None, True), ("", True), ("FT", True), ("S", False)]
)
def test_has_unseen(maildir: Path, flags: str | None, unseen: bool) -> None:
    deliver(maildir, b"x\n", number=1, flags="RS")
    assert not status.has_unseen(str(maildir))

    base = deliver(maildir, b"x\n", number=2, flags=flags)

    assert status.has_unseen(str(maildir)) == unseen
    if flags is not None:
        renamed(maildir, base, "S")
        assert not status.has_unseen(str(maildir))


def test_has_unseen_of_what_cannot_be_read(tmp_path: Path) -> None:
    assert not status.has_unseen(str(tmp_path))

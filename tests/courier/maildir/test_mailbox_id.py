from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from courier.maildir import mailbox_id
from courier.maildir.folder import Folder
from courier.maildir.tree import Tree
from tests.support.maildirs import deliver, make_folder


@pytest.fixture
def folder(maildir: Path) -> Folder:
    folder = Folder(str(maildir))
    folder.synchronise(take_new=False)
    return folder


def identified(path: Path) -> str:
    folder = Folder(str(path))
    folder.synchronise(take_new=False)
    return mailbox_id.of(folder)


def test_kept(folder: Folder, maildir: Path) -> None:
    """Made once, and the same for whoever asks; it is an objectid that looks like no number."""
    assert mailbox_id.known(folder) is None

    identifier = mailbox_id.of(folder)

    assert re.fullmatch(r"F[0-9a-f]{24}", identifier)
    assert mailbox_id.of(folder) == mailbox_id.known(folder) == identified(maildir) == identifier
    assert os.listdir(maildir / "tmp") == []


def test_each_has_its_own(maildir: Path) -> None:
    paths = [make_folder(maildir, f"INBOX.{number}") for number in range(5)]

    assert len({identified(path) for path in paths}) == 5


def test_moved_maildir(folder: Folder, maildir: Path, tmp_path: Path) -> None:
    """On another machine, or from a backup, it is the same."""
    identifier = mailbox_id.of(folder)
    shutil.copytree(maildir, tmp_path / "elsewhere")

    assert identified(tmp_path / "elsewhere") == identifier


@pytest.mark.parametrize(
    "content",
    [b"", b"F00", b"x" * 1000, b"F" + b"0" * 24 + b"\n", b"F" + b"0" * 24 + b" 1\n\n", b"\0" * 40],
)
def test_damaged(folder: Folder, maildir: Path, content: bytes) -> None:
    """What is no such file is replaced."""
    expected = mailbox_id.of(folder)
    (maildir / mailbox_id.NAME).write_bytes(content)

    identifier = mailbox_id.of(folder)

    assert mailbox_id.known(folder) == identifier == expected


def test_link(folder: Folder, maildir: Path, tmp_path: Path) -> None:
    """A symbolic link is replaced, and what it leads to stays."""
    (tmp_path / "x").write_bytes(b"F" + b"0" * 24 + b" %d\n" % folder.uidvalidity)
    (maildir / mailbox_id.NAME).symlink_to(tmp_path / "x")

    assert mailbox_id.of(folder) != "F" + "0" * 24
    assert not (maildir / mailbox_id.NAME).is_symlink()


def test_renumbered(folder: Folder, maildir: Path) -> None:
    """Under another UIDVALIDITY the mailbox is another one (RFC 8474 4)."""
    identifier = mailbox_id.of(folder)
    (maildir / "courierimapuiddb").write_bytes(b"1 12345 1\n")

    assert identified(maildir) != identifier


def test_rename(maildir: Path) -> None:
    """Our own RENAME gives a new UIDVALIDITY, and the identifier stays, of folders below it too."""
    paths = [make_folder(maildir, name) for name in ("INBOX.a", "INBOX.a.b")]
    deliver(paths[0], b"x\n", number=1)
    before = [identified(path) for path in paths]

    Tree(str(maildir)).rename("a", "c")

    assert [identified(maildir / name) for name in (".c", ".c.b")] == before


def test_made_anew(maildir: Path) -> None:
    """A folder of the same name is another one."""
    tree = Tree(str(maildir))
    tree.create("a")
    before = identified(maildir / ".a")
    tree.delete("a")
    tree.create("a")

    assert identified(maildir / ".a") != before


def test_that_cannot_be_kept(
    folder: Folder, maildir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the same each time, and when it can be kept after all."""

    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("courier.maildir.delivery.write_atomically", refuse)

    identifier = mailbox_id.of(folder)

    assert identified(maildir) == identifier
    assert not (maildir / mailbox_id.NAME).exists()
    monkeypatch.undo()
    assert identified(maildir) == identifier
    assert (maildir / mailbox_id.NAME).exists()


def test_of_another_user(folder: Folder, maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is the owner's to write, whoever else might; the identifier is the same for both."""
    uid = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: uid + 1)
    identifier = mailbox_id.of(folder)
    assert not (maildir / mailbox_id.NAME).exists()
    monkeypatch.undo()

    assert mailbox_id.of(folder) == identifier
    assert (maildir / mailbox_id.NAME).exists()

"""Sizes that are only counted are those that FETCH tells, and everybody's index."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from courier.maildir import sizing, status
from courier.maildir.columns import Columns
from courier.maildir.folder import Folder, Options
from courier.maildir.items import Stored
from courier.message import facts
from tests.support.maildirs import deliver

MESSAGES = (
    b"",
    b"a\n",
    b"a: b\r\n\r\nc\r\n",
    b"a: b\n\nc\rd\n",
    b"x: " + b"y\n " * 40_000,
    b"no end",
)
SIZE = sum(facts.describe(one).size for one in MESSAGES)


@pytest.fixture
def folder(maildir: Path) -> Folder:
    """Messages of all kinds of line ends, the last of them in new/."""
    for number, message in enumerate(MESSAGES):
        deliver(maildir, message, number=number, flags=None if number == 5 else "S")
    return Folder(str(maildir))


def total(folder: Folder) -> int | None:
    return status.read_with_size(folder, sizes=False, total=True)[1]


def test_folder_that_was_never_opened(folder: Folder) -> None:
    """Nothing is kept for that but the UIDVALIDITY."""
    assert total(folder) == SIZE
    assert [name for name in os.listdir(folder.path) if name.startswith("pycourier")] == []


def test_folder_that_is_known(folder: Folder, maildir: Path) -> None:
    """With what came since."""
    folder.synchronise(take_new=False)
    deliver(maildir, b"new\n", number=9)

    assert total(folder) == SIZE + 5


def test_messages_of_which_more_is_known(folder: Folder, maildir: Path) -> None:
    """They are not read again, the others are."""
    folder.synchronise(take_new=True)
    columns = folder.columns
    for uid in list(columns.uids)[::2]:
        data, _ = folder.read(uid)
        name = columns.names[columns.row(uid) or 0]
        folder.items.add(
            folder.uidvalidity, [Stored(uid, name, len(data), 0, facts.describe(data))]
        )
        os.truncate(_path(maildir, columns, uid), 0)
    other = Folder(str(maildir))
    other.synchronise(take_new=True)

    assert total(other) == SIZE


def test_folder_that_has_changed(folder: Folder, maildir: Path) -> None:
    """If anything is known of its messages, it goes by UIDs, which only a reading of the folder tells."""
    folder.synchronise(take_new=True)
    folder.items.add(
        folder.uidvalidity, [Stored(1, folder.columns.names[0], 0, 0, facts.describe(MESSAGES[0]))]
    )
    deliver(maildir, b"new\n", number=9, flags="S")

    assert total(Folder(str(maildir))) is None


def _path(maildir: Path, columns: Columns, uid: int) -> Path:
    return maildir / "cur" / os.fsdecode(columns.names[columns.row(uid) or 0])


def test_read_once(folder: Folder, maildir: Path) -> None:
    """As long as the folder is open."""
    total(folder)
    for path in (maildir / "cur").iterdir():
        path.write_bytes(b"")

    assert total(folder) == SIZE
    assert total(Folder(str(maildir))) == facts.describe(MESSAGES[5]).size


@pytest.mark.parametrize("opened", [True, False])
def test_too_many(folder: Folder, opened: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read of many messages should be kept: there is no sum."""
    monkeypatch.setattr(sizing, "_MOST", 3)
    if opened:
        folder.synchronise(take_new=True)

    assert total(folder) is None


def test_message_that_is_gone(folder: Folder, maildir: Path) -> None:
    """Of a file that is not where it was there is no sum: whoever reads the folder anew finds out."""
    folder.synchronise(take_new=True)
    columns = folder.columns
    next((maildir / "cur").iterdir()).unlink()

    assert sizing.of_columns(folder, columns) is None


def test_symbolic_link(maildir: Path, lines: Callable[[], list[str]]) -> None:
    """It counts nothing, unless links may be followed."""
    (maildir / "message").write_bytes(b"a\n")
    os.symlink(maildir / "message", maildir / "cur" / "1.x:2,")

    assert total(Folder(str(maildir))) == 0
    assert len(lines()) == 1
    assert total(Folder(str(maildir), Options(follow_links=True))) == 3

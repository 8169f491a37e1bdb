"""courier.maildir.store: one folder object per directory."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import pytest

from courier.maildir.folder import Options
from courier.maildir.store import Store
from tests.support.maildirs import deliver, make_maildir


@pytest.fixture
def store() -> Store:
    return Store(Options(fsync=False))


def test_same_directory_is_the_same_folder(maildir: Path, tmp_path: Path, store: Store) -> None:
    """Under whatever path: links and renamed directories are no second folder."""
    folder = store.open(str(maildir))
    (tmp_path / "link").symlink_to(maildir)

    assert store.open(f"{tmp_path}/./Maildir/") is folder
    assert store.open(str(tmp_path / "link")) is folder
    maildir.rename(tmp_path / "moved")
    assert store.open(str(tmp_path / "moved")) is folder
    deliver(tmp_path / "moved", b"x\n", number=1)
    assert list(folder.synchronise(take_new=True)) == [1]
    assert folder.options is store.options


def test_other_directory_is_another_folder(tmp_path: Path, store: Store) -> None:
    """Also one that took the place of the first."""
    first = store.open(str(make_maildir(tmp_path / "a")))
    (tmp_path / "a").rename(tmp_path / "b")

    assert store.open(str(make_maildir(tmp_path / "a"))) is not first


def test_missing_directory(tmp_path: Path, store: Store) -> None:
    with pytest.raises(FileNotFoundError):
        store.open(str(tmp_path / "none"))


def test_void_folder_is_opened_anew(maildir: Path, store: Store) -> None:
    """Its numbers belong to the views that have it; the next one gets the new numbers."""
    folder = store.open(str(maildir))
    folder._state.is_void = True

    other = store.open(str(maildir))

    assert other is not folder
    assert store.open(str(maildir)) is other


def test_folders_used_last_are_kept(tmp_path: Path, store: Store) -> None:
    """A few; the others go when no session has them."""
    paths = [str(make_maildir(tmp_path / f"{number}")) for number in range(8)]
    folders = [weakref.ref(store.open(path)) for path in paths]
    gc.collect()

    alive = [folder() is not None for folder in folders]

    assert alive == [False] * 4 + [True] * 4
    held = store.open(paths[0])
    for path in paths:
        store.open(path)
    assert store.open(paths[0]) is held

"""courier.maildir.store: one folder object per directory."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import pytest

from courier.maildir import folder as module
from courier.maildir.delivery import TemporaryFile
from courier.maildir.folder import Folder, Options, Prepared
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


# -- small folders that nothing has happened in --------------------------------------------------


def test_small_folders_are_kept_for_longer(tmp_path: Path, store: Store) -> None:
    """Who selects one again finds it read."""
    paths = [str(_quiet(tmp_path / f"{number}")) for number in range(8)]
    folders = [weakref.ref(_read(store, path)) for path in paths]
    gc.collect()

    assert all(folder() is not None for folder in folders)
    assert [store.open(path) for path in paths] == [folder() for folder in folders]


def test_small_folder_that_was_kept_and_has_changed(tmp_path: Path, store: Store) -> None:
    """What others have done meanwhile is seen."""
    paths = [_quiet(tmp_path / f"{number}") for number in range(8)]
    first = weakref.ref(_read(store, str(paths[0])))
    for path in paths[1:]:
        _read(store, str(path))
    deliver(paths[0], b"x\n", number=1)

    kept = store.open(str(paths[0]))

    assert kept is first()
    assert list(kept.synchronise(take_new=True)) == [1]


def test_small_folders_are_not_kept_for_ever(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The longest unused goes first."""
    monkeypatch.setattr(Store, "_SMALL", 2)
    paths = [str(_quiet(tmp_path / f"{number}")) for number in range(8)]
    folders = [weakref.ref(_read(store, path)) for path in paths]
    gc.collect()

    assert [folder() is not None for folder in folders] == [False] * 2 + [True] * 6


def test_folder_that_is_small_no_longer(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once no session has it, it goes while others are opened."""
    monkeypatch.setattr(module, "_LIGHT", 1)
    monkeypatch.setattr(Store, "_SMALL", 4)
    paths = [_quiet(tmp_path / f"{number}") for number in range(11)]
    held = _read(store, str(paths[0]))
    for path in paths[1:7]:
        _read(store, str(path))
    for number in (1, 2):
        deliver(paths[0], b"x\n", number=number)
    held.synchronise(take_new=True)
    grown = weakref.ref(held)
    del held
    assert grown() is not None

    for path in paths[7:]:
        store.open(str(path))  # none of which is small: they have not been read
    gc.collect()

    assert grown() is None


def test_folder_that_alone_knows_what_is_recent(tmp_path: Path, store: Store) -> None:
    """It is kept, though its index does not vouch for it, until somebody has been told."""
    paths = [str(make_maildir(tmp_path / f"{number}")) for number in range(8)]
    for path in paths:
        file = TemporaryFile(path)
        file.write(b"x\n")
        file.close()
        store.open(path).deliver([Prepared(file)])
    gc.collect()

    assert [list(store.open(path).synchronise(take_new=True)) for path in paths] == [[1]] * 8


def test_directory_that_is_elsewhere_now(tmp_path: Path, store: Store) -> None:
    """It may be another one, with the number of one that is gone: a folder that nobody has is read anew."""
    path = _quiet(tmp_path / "a")
    left = weakref.ref(_read(store, str(path)))

    path.rename(tmp_path / "b")
    store.open(str(tmp_path / "b"))

    assert left() is None


def _quiet(path: Path) -> Path:
    """Make a maildir of whose times the index says that nothing is hidden behind them."""
    maildir = make_maildir(path)
    _read(Store(Options(fsync=False)), str(maildir))
    return maildir


def _read(store: Store, path: str) -> Folder:
    """Open a folder and leave it as a session does that has read it."""
    folder = store.open(path)
    folder.synchronise(take_new=True)
    folder.settle()
    assert folder.is_settled
    return folder

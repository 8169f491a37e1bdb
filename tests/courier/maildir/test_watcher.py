"""courier.maildir.watcher: one inotify instance, and who of many is told of an event."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import pytest

from courier.maildir.watcher import Watched, Watcher, WatchGroup
from tests.support.maildirs import make_maildir
from tests.support.open_files import open_before, open_now


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    return [make_maildir(tmp_path / str(number)) for number in range(3)]


def touch(folder: Path, name: str = "new/1") -> None:
    (folder / name).touch()


def test_group(folders: list[Path]) -> None:
    """It is told once, with the keys of what has changed."""
    watcher = Watcher()
    group = WatchGroup(watcher)
    for key, folder in enumerate(folders):
        group.add(key, [watcher.watch(str(folder))])
    for folder in folders[:2]:
        touch(folder)

    assert group in watcher.collect()
    assert watcher.collect() == set()
    assert group.take() == {0, 1}
    assert group.take() == set()


def test_only_whom_an_event_may_concern_looks_at_it(
    folders: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    watcher = Watcher()
    looked: list[str] = []
    concerns = Watched.concerns

    def noted(self: Watched, event: object) -> bool:
        looked.append(self.folder)
        return concerns(self, event)  # type: ignore[arg-type]

    monkeypatch.setattr(Watched, "concerns", noted)
    for folder in folders:
        watcher.watch(str(folder))
    touch(folders[1])

    watcher.collect()

    assert set(looked) == {str(folders[1])}


def test_keyword_directory_made_later(folders: list[Path]) -> None:
    """Its events are known to be the folder's, again after it was made anew."""
    watcher = Watcher()
    watched = watcher.watch(str(folders[0]))
    for _ in range(2):
        (folders[0] / "courierimapkeywords").mkdir()
        assert watcher.collect() == {watched}
        touch(folders[0], "courierimapkeywords/1")
        assert watcher.collect() == {watched}
        shutil.rmtree(folders[0] / "courierimapkeywords")
        assert watcher.collect() == {watched}


def test_names(folders: list[Path]) -> None:
    """Folders below, and files of the names asked for; not messages, nor other files."""
    watcher = Watcher()
    watched = watcher.watch_names(str(folders[0]), frozenset(("acl",)))
    messages = watcher.watch(str(folders[0]))
    touch(folders[0], "other")
    assert watcher.collect() == set()
    touch(folders[0])
    assert watcher.collect() == {messages}
    for name in ("acl", ".folder"):
        touch(folders[0], name)
        assert watcher.collect() == {watched}, name
    messages.close()
    (folders[0] / ".folder").unlink()
    assert watcher.collect() == {watched}


def test_sessions_share_a_watch(folders: list[Path]) -> None:
    """It lives as long as one needs it, and the descriptor as long as anybody does."""
    before = open_before()
    watcher = Watcher()
    one, group = watcher.watch(str(folders[0])), WatchGroup(watcher)
    group.add("x", [watcher.watch(str(folders[0]))])
    one.close()
    touch(folders[0])
    assert group in watcher.collect()
    group.close()

    assert not group
    assert open_now() == before


def test_no_watch_to_be_had(folders: list[Path], tmp_path: Path) -> None:
    """Nothing stays open."""
    before = open_before()
    with pytest.raises(OSError) as refusal:
        Watcher().watch(str(tmp_path / "none"))

    assert refusal.value.errno == errno.ENOENT
    assert open_now() == before

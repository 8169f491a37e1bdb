"""courier.maildir.watch: inotify on folders. Events are queued before the call that causes them returns."""

import ctypes
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from courier.maildir import watch
from courier.maildir.watch import Event, FolderWatch, Inotify


@pytest.fixture
def inotify() -> Iterator[Inotify]:
    instance = Inotify()
    yield instance
    instance.close()


def noticed(inotify: Inotify, *watches: FolderWatch) -> list[bool]:
    """Which of ``watches`` some event waiting now concerns. Each one looks at every event."""
    events = inotify.read()
    return [sum(one.concerns(event) for event in events) > 0 for one in watches]


def test_nothing_happened(inotify: Inotify, maildir: Path) -> None:
    """Reading does not block."""
    FolderWatch(inotify, str(maildir))

    assert inotify.read() == []


def test_events_have_names(inotify: Inotify, maildir: Path) -> None:
    wd = inotify.add(str(maildir / "cur"), watch.ENTRIES)
    (maildir / "cur" / "a").touch()
    (maildir / "cur" / "a").rename(maildir / "cur" / "longer name:2,S")

    assert inotify.read() == [
        Event(wd, watch.IN_CREATE, b"a"),
        Event(wd, watch.IN_MOVED_FROM, b"a"),
        Event(wd, watch.IN_MOVED_TO, b"longer name:2,S"),
    ]


def test_changes_to_messages_are_noticed(inotify: Inotify, maildir: Path) -> None:
    """Delivery, new to cur, a flag, removal."""
    one = FolderWatch(inotify, str(maildir))
    (maildir / "tmp" / "1").touch()
    assert noticed(inotify, one) == [False]

    os.link(maildir / "tmp" / "1", maildir / "new" / "1")
    assert noticed(inotify, one) == [True]
    (maildir / "new" / "1").rename(maildir / "cur" / "1:2,")
    assert noticed(inotify, one) == [True]
    (maildir / "cur" / "1:2,").rename(maildir / "cur" / "1:2,S")
    assert noticed(inotify, one) == [True]
    (maildir / "cur" / "1:2,S").unlink()
    assert noticed(inotify, one) == [True]


def test_databases_of_the_folder_are_no_news(inotify: Inotify, maildir: Path) -> None:
    """Replacing courierimapuiddb wakes nobody."""
    one = FolderWatch(inotify, str(maildir))
    (maildir / "tmp" / "1").touch()
    (maildir / "tmp" / "1").rename(maildir / "courierimapuiddb")

    assert noticed(inotify, one) == [False]


def test_keyword_directory_made_later(inotify: Inotify, maildir: Path) -> None:
    """Its making is noticed, and from then on what is put into it; also after it was made anew."""
    one = FolderWatch(inotify, str(maildir))
    for _ in range(2):
        (maildir / "courierimapkeywords").mkdir()
        assert noticed(inotify, one) == [True]
        (maildir / "courierimapkeywords" / "base").touch()
        assert noticed(inotify, one) == [True]
        shutil.rmtree(maildir / "courierimapkeywords")
        assert noticed(inotify, one) == [True]


def test_two_folders_on_one_instance(inotify: Inotify, maildir: Path, tmp_path: Path) -> None:
    """Each learns of its own changes alone."""
    shutil.copytree(maildir, tmp_path / "other")
    one, two = FolderWatch(inotify, str(maildir)), FolderWatch(inotify, str(tmp_path / "other"))
    (tmp_path / "other" / "new" / "1").touch()

    assert noticed(inotify, one, two) == [False, True]


def test_one_folder_watched_twice(inotify: Inotify, maildir: Path, tmp_path: Path) -> None:
    """Ending one watch leaves the other alive, under whatever name it was opened."""
    (tmp_path / "alias").symlink_to(maildir)
    one, two = FolderWatch(inotify, str(maildir)), FolderWatch(inotify, str(tmp_path / "alias"))
    one.close()
    inotify.read()
    (maildir / "new" / "1").touch()

    assert noticed(inotify, one, two) == [False, True]


def test_closed_watch_is_silent(inotify: Inotify, maildir: Path) -> None:
    FolderWatch(inotify, str(maildir)).close()
    inotify.read()
    (maildir / "new" / "1").touch()

    assert inotify.read() == []


def test_folder_removed(inotify: Inotify, maildir: Path) -> None:
    one = FolderWatch(inotify, str(maildir))
    shutil.rmtree(maildir)

    assert noticed(inotify, one) == [True]
    one.close()


def test_lost_events_concern_every_folder(inotify: Inotify, maildir: Path) -> None:
    one = FolderWatch(inotify, str(maildir))

    assert one.concerns(Event(-1, watch.IN_Q_OVERFLOW, b""))


def test_no_folder(inotify: Inotify, maildir: Path) -> None:
    """The error is raised and no watch is left behind."""
    (maildir / "cur").rmdir()

    with pytest.raises(FileNotFoundError):
        FolderWatch(inotify, str(maildir))
    inotify.read()
    (maildir / "new" / "1").touch()
    assert inotify.read() == []


def test_limit_reached(inotify: Inotify, maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ENOSPC of the third watch is raised and the first two are given back."""

    class Limited:
        """The C library in a system that allows two watches."""

        inotify_rm_watch = watch._libc.inotify_rm_watch

        def __init__(self) -> None:
            self.watches = 0

        def inotify_add_watch(self, fd: int, path: bytes, mask: int) -> int:
            self.watches += 1
            if self.watches > 2:
                ctypes.set_errno(errno.ENOSPC)
                return -1
            return int(libc.inotify_add_watch(fd, path, mask))

    libc = watch._libc
    monkeypatch.setattr(watch, "_libc", Limited())
    with pytest.raises(OSError) as refusal:
        FolderWatch(inotify, str(maildir))
    inotify.read()
    (maildir / "new" / "1").touch()

    assert refusal.value.errno == errno.ENOSPC
    assert inotify.read() == []


def test_descriptor_is_not_inherited(inotify: Inotify) -> None:
    assert not os.get_inheritable(inotify.fileno())

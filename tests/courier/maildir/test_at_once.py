"""Folder.synchronise_at_once: when a folder can be brought up to date without a thread."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from courier.maildir import filesystem, index
from courier.maildir.filename import Flag
from courier.maildir.folder import FlagChange, Folder, Options
from tests.support.maildirs import deliver


@pytest.fixture
def read(maildir: Path) -> Path:
    """A maildir that another session has read and left."""
    for number in range(3):
        deliver(maildir, b"x\n", number=number)
    before = Folder(str(maildir), Options(fsync=False))
    before.synchronise(take_new=True)
    before.settle()
    assert before.is_settled
    return maildir


def folder(path: Path) -> Folder:
    return Folder(str(path), Options(fsync=False))


def test_what_the_index_says_is_there_at_once(read: Path) -> None:
    """A folder opened anew has its messages without a directory being read."""
    found = folder(read)

    assert found.synchronise_at_once(take_new=True)

    assert list(found.columns.uids) == [1, 2, 3]


def test_what_was_never_read(maildir: Path) -> None:
    """Without an index all is to be read, which is left to whoever can wait."""
    deliver(maildir, b"x\n", number=1)
    found = folder(maildir)

    assert not found.synchronise_at_once(take_new=True)

    assert len(found.columns) == 0
    found.synchronise(take_new=True)
    assert len(found.columns) == 1


def test_new_mail(read: Path) -> None:
    """What has changed is to be read; nothing is taken for current that isn't."""
    found = folder(read)
    assert found.synchronise_at_once(take_new=True)
    deliver(read, b"y\n", number=9)

    assert not found.synchronise_at_once(take_new=True)

    assert list(found.columns.uids) == [1, 2, 3]
    found.synchronise(take_new=True)
    assert list(found.columns.uids) == [1, 2, 3, 4]


def test_folder_that_a_thread_is_busy_with(read: Path) -> None:
    """Nobody waits for the thread."""
    found = folder(read)
    held, enough = threading.Event(), threading.Event()

    def hold() -> None:
        with found._synchroniser.mutex:
            held.set()
            enough.wait(20)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(20)

    assert not found.synchronise_at_once(take_new=True)

    enough.set()
    thread.join(20)
    assert found.synchronise_at_once(take_new=True)


@pytest.mark.parametrize("limit", ["_SMALL", "_SHORT"])
def test_large_index(read: Path, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    """Loading one takes its time; once it is loaded, a look at the folder does not."""
    monkeypatch.setattr(index, limit, 10)
    found = folder(read)
    assert not found.synchronise_at_once(take_new=True)
    found.synchronise(take_new=True)

    assert found.synchronise_at_once(take_new=True)


def test_file_system_of_a_network(read: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look at it may take long."""
    monkeypatch.setattr(filesystem, "is_local", lambda path: False)

    assert not folder(read).synchronise_at_once(take_new=True)


def test_folder_that_is_gone(read: Path) -> None:
    """The error is left to `synchronise`."""
    found = folder(read)
    found.synchronise(take_new=True)
    read.rename(read.with_name("elsewhere"))

    assert not found.synchronise_at_once(take_new=True)


def test_watches_are_set_before_the_first_change(
    read: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session that only looks needs none; one that changes flags need not read its own changes."""
    found = folder(read)
    assert found.synchronise_at_once(take_new=True)
    assert not found._state.witness.is_armed
    monkeypatch.setattr(os, "listdir", lambda path=".": pytest.fail(f"{path} is read"))

    found.change_flags([2], FlagChange(add=Flag.SEEN))

    assert found._state.witness.is_armed
    assert found.synchronise_at_once(take_new=True)
    found.settle()
    assert folder(read).synchronise_at_once(take_new=True)

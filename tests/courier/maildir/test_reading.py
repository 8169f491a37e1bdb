"""courier.maildir.reading and helper: messages become known, in slices, alone or with the help of others."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from courier.maildir import helper, reading
from courier.maildir.folder import Folder
from courier.maildir.items import Items
from courier.maildir.reading import Reading
from courier.message import facts
from tests.courier.maildir.test_folder import opened
from tests.support.maildirs import deliver

Lines = Callable[[], list[str]]


def filled(maildir: Path, count: int) -> Folder:
    for number in range(count):
        deliver(maildir, b"Subject: number %d\n\nx\n" % number, number=number, flags="S")
    return opened(maildir)


def read_all(found: Folder) -> int:
    """Read what is not known; return how many steps it took."""
    steps = 1
    reader = Reading(found, found.items.table(found.uidvalidity, found.columns.uids).missing())
    while reader.step():
        steps += 1
    return steps


def subjects(found: Folder) -> list[bytes]:
    return found.items.table(found.uidvalidity, found.columns.uids).pieces("subject")


def numbered(count: int) -> list[bytes]:
    return [b"number %d" % number for number in range(count)]


@pytest.fixture
def helped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processors, small chunks, and helpers for few messages."""
    monkeypatch.setattr(reading, "_MANY", 10)
    monkeypatch.setattr(reading, "_HELPED", 20)
    monkeypatch.setattr(helper, "CHUNK", 16)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})


def test_in_slices(maildir: Path) -> None:
    """No step reads all of many messages."""
    found = filled(maildir, 300)

    assert read_all(found) >= 4
    assert subjects(found) == numbered(300)


def test_in_the_order_of_inodes(maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As their files lie on the disk, whatever their UIDs."""
    for number in range(39, -1, -1):
        deliver(maildir, b"%d" % number, number=number, flags="S")
    found = opened(maildir)
    files = sorted((path.stat().st_ino, path) for path in (maildir / "cur").iterdir())
    read: list[bytes] = []
    describe = facts.describe

    def noted(data: bytes) -> facts.Facts:
        read.append(data)
        return describe(data)

    monkeypatch.setattr(reading, "_MANY", 10)
    monkeypatch.setattr(facts, "describe", noted)

    read_all(found)

    assert read == [path.read_bytes() for _, path in files]


def test_gone_and_unreadable(maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Passed over: they stay unknown, and are no reason to stop."""
    found = filled(maildir, 5)
    paths = sorted((maildir / "cur").iterdir())
    paths[1].unlink()
    paths[3].unlink()
    paths[3].mkdir()

    read_all(found)

    assert subjects(found) == [b"number 0", b"", b"number 2", b"", b"number 4"]


def children() -> set[str]:
    """This process's children, those that have ended and were not waited for among them."""
    lists = Path("/proc/self/task").glob("*/children")
    return {pid for path in lists for pid in path.read_text().split()}


@pytest.mark.slow
def test_with_helpers(maildir: Path, helped: None) -> None:
    """Everything is known afterwards, in order, and no process is left."""
    found = filled(maildir, 200)
    before = children()

    read_all(found)

    assert subjects(found) == numbered(200)
    table = Items(str(maildir)).table(found.uidvalidity, found.columns.uids)
    assert table.rows == range(1, 201)
    assert children() == before


@pytest.mark.slow
def test_with_helpers_while_others_rename(maildir: Path, helped: None) -> None:
    """What helpers don't find under its name is found by the process that has the folder."""
    found = filled(maildir, 100)
    for path in sorted((maildir / "cur").iterdir())[::3]:
        path.rename(str(path) + "T")

    read_all(found)

    assert subjects(found) == numbered(100)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_helpers_that_die(
    maildir: Path, helped: None, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """Or stand still and are given up: the rest is read without them."""
    found = filled(maildir, 100)
    before = children()
    reader = Reading(found, found.columns.uids)
    reader.step()
    assert reader._helpers is not None
    for one in reader._helpers._helpers:
        os.kill(one._process.pid, number)

    if number == signal.SIGSTOP:
        reader.step()
        reader.close()
        reader = Reading(found, found.columns.uids)
        monkeypatch.setattr(reading, "_HELPED", 1000)
    while reader.step():
        pass

    assert subjects(found) == numbered(100)
    assert children() == before


def test_no_more_processes(maildir: Path, helped: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then it is done without helpers."""

    def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    found = filled(maildir, 50)
    monkeypatch.setattr(helper.subprocess, "Popen", refuse)

    read_all(found)

    assert subjects(found) == numbered(50)


@pytest.mark.slow
def test_two_threads_read(maildir: Path) -> None:
    """Two sessions ask at once: each gets everything."""
    found = filled(maildir, 300)
    threads = [threading.Thread(target=read_all, args=(found,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert subjects(found) == numbered(300)


def test_progress_is_logged(maildir: Path, monkeypatch: pytest.MonkeyPatch, lines: Lines) -> None:
    """For big folders, at each tenth."""
    monkeypatch.setattr(reading, "_LOGGED", 100)
    found = filled(maildir, 200)

    read_all(found)

    assert [line for line in lines() if "200 of 200" in line] == [
        f"INFO: index of {maildir}: 200 of 200 messages read"
    ]
    assert 3 <= len(lines()) <= 10

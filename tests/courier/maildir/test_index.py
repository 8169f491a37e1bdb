"""courier.maildir.index: what one process leaves for the next, and what becomes of it when it is damaged."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from courier.maildir import changelog, filename, filesystem, index
from courier.maildir.changelog import Changes
from courier.maildir.folder import FlagChange, Folder, KeywordChange, Options
from courier.maildir.index import INDEX, LOG
from tests.courier.maildir.test_folder import (
    SEEN,
    later,
    listings,
    prepared,
    renamed,
    uids,
    words,
)
from tests.courier.maildir.test_processes import await_success, in_child
from tests.support.maildirs import deliver, uid_database

__all__ = ["later", "listings"]  # fixtures

OPTIONS = Options(fsync=False)


def process(path: Path, options: Options = OPTIONS) -> Folder:
    """The folder as a process of its own finds it."""
    found = Folder(str(path), options)
    found.synchronise(take_new=True)
    return found


def filled(path: Path, count: int = 5) -> Folder:
    """A folder with an index: messages of different flags, one with a keyword."""
    for number in range(count):
        deliver(path, b"text %d\n" % number, number=number, flags=("", "S", "FS")[number % 3])
    found = process(path)
    found.change_keywords([2], KeywordChange(add=("word",)))
    for _ in range(2):  # the first merges, the second finds that nobody else did
        found.synchronise(take_new=True)
    return found


def truth(path: Path) -> dict[str, int]:
    """Base names and flags as the directories have them."""
    names = [os.fsencode(name) for name in os.listdir(path / "cur") + os.listdir(path / "new")]
    return {os.fsdecode(filename.base(name)): filename.flags(name) for name in names}


def known(folder: Folder) -> dict[str, int]:
    bases = (os.fsdecode(filename.base(name)) for name in folder.columns.names)
    return dict(zip(bases, folder.columns.flags, strict=True))


def rows(folder: Folder) -> list[tuple[int, bytes, int, tuple[str, ...], int]]:
    columns = folder.columns
    sets = [folder.keyword_sets[number] for number in columns.keywords]
    return list(zip(columns.uids, columns.names, columns.flags, sets, columns.modseqs, strict=True))


# --- From one process to the next ---------------------------------------------------------------


def test_next_process_reads_no_directory(maildir: Path, later: None, listings: list[str]) -> None:
    """All is as the one before left it: rows, MODSEQs, UIDVALIDITY, UIDNEXT."""
    first = filled(maildir)
    first.settle()
    listings.clear()

    second = process(maildir)

    assert listings == []
    assert rows(second) == rows(first)
    assert words(second, 2) == ("word",)
    assert (second.uidvalidity, second.uidnext) == (first.uidvalidity, first.uidnext)
    assert second.log.highest == first.log.highest == second.columns.highest
    assert isinstance(second.columns.uids, memoryview)


def _store(folder: Folder) -> object:
    return folder.change_flags([1, 3], SEEN)


def _expunge(folder: Folder) -> object:
    return folder.remove([2, 4], only_deleted=False)


def _append(folder: Folder) -> object:
    return folder.deliver([prepared(Path(folder.path)) for _ in range(3)])


def _arrive(folder: Folder) -> object:
    deliver(Path(folder.path), b"new\n", number=50)
    return folder.synchronise(take_new=True)


OWN: list[Callable[[Folder], object]] = [_store, _expunge, _append, _arrive]


@pytest.mark.parametrize("act", OWN)
def test_own_changes_cost_nobody_a_scan(
    maildir: Path, listings: list[str], act: Callable[[Folder], object]
) -> None:
    """Neither this process, nor another that has the folder open, nor the next one."""
    first, other = filled(maildir), process(maildir)
    for folder in (first, other):  # what was delivered just now is settled by a tick
        folder.settle()
    listings.clear()

    act(first)
    first.synchronise(take_new=True)
    other.synchronise(take_new=True)
    first.settle()
    last = process(maildir)

    assert "cur" not in listings
    assert rows(first) == rows(other) == rows(last)
    assert known(last) == truth(maildir)
    assert first.log.highest == other.log.highest == last.log.highest
    assert uid_database(maildir).uids == uids(last)


def test_killed_process_leaves_no_stamp(maildir: Path, listings: list[str]) -> None:
    """Changes that nobody vouched for are looked for in the directory."""
    filled(maildir).settle()
    await_success(in_child(lambda: process(maildir).change_flags([1], SEEN)))
    listings.clear()

    found = process(maildir)

    assert "cur" in listings
    assert known(found) == truth(maildir)


def test_change_that_was_never_logged(maildir: Path) -> None:
    """A process died between its rename and the log: the next one finds it, under a new MODSEQ."""
    first = filled(maildir)
    first.settle()
    highest = first.log.highest

    def die() -> None:
        folder = process(maildir)
        folder._state.note = lambda *_arguments, **_options: os._exit(0)  # type: ignore[method-assign]
        folder.change_flags([1], SEEN)

    await_success(in_child(die))
    found = process(maildir)

    assert known(found) == truth(maildir)
    changes = found.log.since(highest)
    assert changes is not None and changes.changed == {1}


# --- Changes by others --------------------------------------------------------------------------


def test_foreign_change_beside_an_own_one(maildir: Path) -> None:
    """In the same tick of the clock: the index is not made to vouch for what it does not know."""
    first = filled(maildir)
    first.settle()
    bases = list(uids(first))

    first.change_flags([1], SEEN)
    renamed(maildir, bases[2], "D")
    first.settle()

    assert known(process(maildir)) == truth(maildir)
    first.synchronise(take_new=True)
    assert known(first) == truth(maildir)


def test_no_stamp_within_a_tick(
    maildir: Path, monkeypatch: pytest.MonkeyPatch, listings: list[str]
) -> None:
    """While a later change could leave the same time, nothing is vouched for."""
    first = filled(maildir)
    first.settle()
    first.change_flags([1], SEEN)
    monkeypatch.setattr(filesystem, "clock_ns", lambda: 0)

    first.settle()
    listings.clear()
    found = process(maildir)

    assert "cur" in listings
    assert known(found) == truth(maildir)


def test_whole_seconds_are_not_trusted(
    maildir: Path, monkeypatch: pytest.MonkeyPatch, listings: list[str]
) -> None:
    """On a file system without fractions a tick is a second, and more."""
    monkeypatch.setattr(filesystem, "is_fine", lambda *_times: False)
    first = filled(maildir)

    first.settle()
    listings.clear()
    process(maildir)

    assert "cur" in listings


def test_change_while_nobody_watched(maildir: Path) -> None:
    """Another program's change shows in the times, and MODSEQ goes on."""
    first = filled(maildir)
    first.settle()
    highest, base = first.log.highest, next(iter(uids(first)))
    del first

    renamed(maildir, base, "R")
    found = process(maildir)

    assert known(found) == truth(maildir)
    assert found.log.highest > highest
    changes = found.log.since(highest)
    assert changes == Changes(frozenset([1]), frozenset())


def test_directories_that_were_exchanged(maildir: Path) -> None:
    """A restore that puts other directories in place is seen, also under a watch."""
    first = filled(maildir)
    first.settle()
    (maildir / "cur").rename(maildir / "old")
    shutil.copytree(maildir / "old", maildir / "cur")
    victim = next((maildir / "cur").iterdir())
    victim.unlink()

    first.synchronise(take_new=True)

    assert known(first) == truth(maildir)
    assert known(process(maildir)) == truth(maildir)


@pytest.mark.parametrize("seed", range(3))
def test_whatever_happens(maildir: Path, seed: int) -> None:
    _whatever_happens(maildir, random.Random(seed), 40)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10, 22))
def test_whatever_happens_for_long(
    maildir: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """The same, with snapshots that are rewritten at nearly each change."""
    if seed % 2:
        monkeypatch.setattr(index, "_LEAST_ROWS", 3)
        monkeypatch.setattr(changelog, "_KEPT", 2)
    _whatever_happens(maildir, random.Random(seed), 250)


def _whatever_happens(path: Path, chance: random.Random, steps: int) -> None:
    """Two processes of ours, a foreign program and a vandal: every reading tells the truth.

    What a reader concludes from the change log is what really changed.
    """
    for number in range(6):
        deliver(path, b"x\n", number=number, flags="")
    ours = [process(path), process(path)]
    history: list[tuple[int, dict[int, int]]] = []
    for step in range(steps):
        _act(path, chance, ours, step)
        which = chance.randrange(3)
        if which == 2:
            reader = process(path)
            if chance.random() < 0.5:
                ours[chance.randrange(2)] = reader
        else:
            reader = ours[which]
            reader.synchronise(take_new=True)

        assert known(reader) == truth(path), step
        listed = uid_database(path).uids
        assert {base: listed[base] for base in uids(reader)} == uids(reader), step
        now = dict(zip(reader.columns.uids, reader.columns.flags, strict=True))
        for modseq, before in history[-5:]:
            changes = reader.log.since(modseq)
            if changes is None:
                continue
            gone, fresh = before.keys() - now.keys(), now.keys() - before.keys()
            assert gone <= changes.vanished, step
            assert fresh <= changes.changed, step
            assert {uid for uid in before.keys() & now if before[uid] != now[uid]} <= (
                changes.changed
            ), step
        history.append((reader.log.highest, now))
        if chance.random() < 0.4:
            reader.settle()


def _act(path: Path, chance: random.Random, ours: Sequence[Folder], step: int) -> None:
    folder = chance.choice(ours)
    some = chance.sample(list(folder.columns.uids), min(len(folder.columns), 2))
    files = sorted(os.listdir(path / "cur"))
    action = chance.randrange(12)
    if action <= 1:
        flag = chance.choice([1, 2, 4, 8, 16])
        folder.change_flags(some, chance.choice([FlagChange(add=flag), FlagChange(remove=flag)]))
    elif action == 2:
        folder.deliver([prepared(path, b"ours\n", chance.choice([0, 8]))])
    elif action == 3:
        folder.remove(some[:1], only_deleted=False)
    elif action == 4:
        deliver(path, b"new\n", number=100 + step, flags=chance.choice([None, "", "S"]))
    elif action == 5 and files:
        renamed(path, chance.choice(files).partition(":")[0], chance.choice(["", "S", "FR", "T"]))
    elif action == 6 and files:
        (path / "cur" / chance.choice(files)).unlink()
    elif action == 7:
        folder.change_keywords(some, KeywordChange(add=(chance.choice("abc"),)))
    elif action == 8:
        (path / chance.choice([INDEX, LOG])).unlink(missing_ok=True)
    elif action == 9:
        _damage(path / chance.choice([INDEX, LOG]), chance)
    elif action == 10:
        folder.settle()


def _damage(file: Path, chance: random.Random) -> None:
    """Replace a file by a damaged copy; in place, a mapped one would do harm that no program does."""
    if not file.exists():
        return
    data = bytearray(file.read_bytes())
    for _ in range(3):
        if data:
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    if chance.random() < 0.3:
        del data[chance.randrange(len(data) + 1) :]
    copy = file.with_name("damaged")
    copy.write_bytes(data)
    copy.chmod(0o600)
    copy.rename(file)

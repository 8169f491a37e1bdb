"""courier.maildir.index: what one process leaves for the next, and what becomes of it when it is damaged."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from courier.maildir import (
    changelog,
    delivery,
    filename,
    filesystem,
    index,
    journal,
    numbering,
    snapshot,
    uiddb,
    witness,
)
from courier.maildir.changelog import Changes
from courier.maildir.filename import Flag
from courier.maildir.folder import FlagChange, Folder, KeywordChange, Options
from courier.maildir.index import INDEX, LOG
from courier.maildir.store import Store
from tests.conftest import Start
from tests.courier.maildir.test_folder import (
    DELETED,
    SEEN,
    later,
    listings,
    prepared,
    renamed,
    uids,
    words,
)
from tests.courier.maildir.test_processes import as_other, await_success, in_child
from tests.support.maildirs import deliver, let_others_enter, make_maildir, uid_database
from tests.support.servers import Implementation

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
    first.settle()
    last = process(maildir)
    first.synchronise(take_new=True)
    other.synchronise(take_new=True)

    assert "cur" not in listings
    assert rows(first) == rows(other) == rows(last)
    assert known(last) == truth(maildir)
    assert first.log.highest == other.log.highest == last.log.highest
    assert uid_database(maildir).uids.items() >= uids(last).items()


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


# --- Files that can't be used -------------------------------------------------------------------


def _truncated(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def _emptied(file: Path) -> None:
    file.write_bytes(b"")


def _lengthened(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b"more")


def _newer(file: Path) -> None:
    """As a later version would write it, with checksums that are right."""
    data = bytearray(file.read_bytes())
    data[16:20] = (snapshot.VERSION + 1).to_bytes(4, "little")
    end = snapshot.HEAD_SIZE - 8
    data[end : end + 4] = index.zlib.crc32(bytes(data[:end])).to_bytes(4, "little")
    file.write_bytes(data)


def _of_another_folder(file: Path) -> None:
    other = make_maildir(file.parent.parent / "other")
    deliver(other, b"x\n", number=77, flags="")
    process(other)
    (other / file.name).rename(file)


def _directory(file: Path) -> None:
    file.unlink()
    file.mkdir()


def _fifo(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def _link(file: Path) -> None:
    file.rename(file.parent.parent / "elsewhere")
    file.symlink_to(file.parent.parent / "elsewhere")


def _endless(file: Path) -> None:
    os.truncate(file, delivery.MAX_FILE + 1)


def _writable_by_all(file: Path) -> None:
    file.chmod(0o666)


@pytest.mark.parametrize("name", [INDEX, LOG])
@pytest.mark.parametrize(
    "damage",
    [
        _truncated,
        _emptied,
        _lengthened,
        _newer,
        _of_another_folder,
        _directory,
        _fifo,
        _link,
        _endless,
        _writable_by_all,
    ],
)
def test_unusable_file(
    maildir: Path,
    name: str,
    damage: Callable[[Path], None],
    capfd: pytest.CaptureFixture[str],
    listings: list[str],
) -> None:
    """It is thrown away and made anew; the log says so at most once; nobody is told anything wrong."""
    first = filled(maildir)
    first.change_flags([1], DELETED)
    first.settle()
    before, highest = known(first), first.log.highest
    del first
    damage(maildir / name)

    second = process(maildir)
    second.change_flags([4], SEEN)
    second.settle()

    assert known(second) == truth(maildir) != before
    assert uid_database(maildir).uids == uids(second)
    assert words(second, 2) == ("word",)
    changes = second.log.since(highest)
    assert changes is None or changes.changed == {4}
    complaints = capfd.readouterr().err.splitlines()
    assert len(complaints) <= 1 and all(line.startswith("WARN: index") for line in complaints)
    listings.clear()
    if damage not in (_directory,):  # which nobody can replace by a file
        third = process(maildir)
        assert "cur" not in listings
        assert rows(third) == rows(second)


@pytest.mark.slow
def test_each_octet_damaged(tmp_path: Path) -> None:
    """Whatever bit of either file is wrong, what is read is right."""
    maildir = make_maildir(tmp_path / "m")
    first = filled(maildir)
    first.change_flags([1], DELETED)
    first.settle()
    for name in (INDEX, LOG):
        good = (maildir / name).read_bytes()
        for at in range(0, len(good), 3):
            data = bytearray(good)
            data[at] ^= 1 << at % 8
            (maildir / name).unlink()
            (maildir / name).write_bytes(data)
            (maildir / name).chmod(0o600)

            found = Folder(str(maildir), OPTIONS)
            found._state.load()
            if found._state.is_begun and found._synchroniser._is_current(True):
                assert known(found) == truth(maildir), (name, at)
                assert uids(found) == uid_database(maildir).uids, (name, at)
        (maildir / name).unlink()
        (maildir / name).write_bytes(good)
        (maildir / name).chmod(0o600)


def _overwrite(file: Path) -> None:
    """Alter the text of a name in place, as no program does that knows what it is."""
    data = file.read_bytes()
    file.write_bytes(data.replace(b":2,", b":3,", 1))


def test_what_is_known_to_be_whole_is_not_checked(
    maildir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opening a folder looks at nothing but the heads of its files, however many messages it has."""
    filled(maildir).settle()
    checked: list[int] = []
    crc32 = index.zlib.crc32
    monkeypatch.setattr(
        snapshot.zlib, "crc32", lambda data, *seed: checked.append(len(data)) or crc32(data, *seed)
    )

    process(maildir)

    assert max(checked) <= snapshot.HEAD_SIZE


def test_what_others_have_written_into_it_is_checked(
    maildir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The time of the file says that somebody did."""
    filled(maildir).settle()
    _overwrite(maildir / INDEX)

    assert known(process(maildir)) == truth(maildir)
    assert "names damaged" in capfd.readouterr().err


def test_what_was_written_before_the_machine_was_started_is_checked(
    maildir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once: a power failure may have left anything, but nothing changes by itself after that."""
    file = maildir / INDEX
    filled(maildir).settle()
    before = file.stat()
    _overwrite(file)
    os.utime(file, ns=(before.st_mtime_ns, before.st_mtime_ns))
    monkeypatch.setattr(index, "_start", lambda: b"another")

    assert known(process(maildir)) == truth(maildir)
    process(maildir).settle()
    monkeypatch.setattr(index, "_start", lambda: b"a third")
    process(maildir)
    marked = file.stat().st_mtime_ns
    process(maildir)
    assert file.stat().st_mtime_ns == marked


def test_start_of_the_machine_that_has_no_name(
    maildir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is believed without a check."""
    monkeypatch.setattr(index, "_start", lambda: b"")
    filled(maildir).settle()
    before = (maildir / INDEX).stat()
    _overwrite(maildir / INDEX)
    os.utime(maildir / INDEX, ns=(before.st_mtime_ns, before.st_mtime_ns))

    assert known(process(maildir)) == truth(maildir)


def test_log_torn_at_each_octet(maildir: Path) -> None:
    """What a crash while writing left of a record is no record."""
    first = filled(maildir)
    start = (maildir / LOG).stat().st_size
    first.change_flags([1, 3], DELETED)
    whole = (maildir / LOG).read_bytes()
    generation = snapshot.generation_of((maildir / INDEX).read_bytes())

    ends = {
        tuple(end for _, end in journal.records(whole[:size][journal.HEAD_SIZE :], generation, 40))
        for size in range(start, len(whole))
    }

    assert journal.HEAD_SIZE == 40
    assert len(ends) == 1 and all(end <= start for end in ends.pop())


@pytest.mark.parametrize("files", [[INDEX], [LOG], [INDEX, LOG]])
def test_deleted_while_in_use(maildir: Path, files: list[str], listings: list[str]) -> None:
    """Whoever has the folder open goes on, and writes the index anew at the next change."""
    first, other = filled(maildir), process(maildir)
    first.settle()
    for name in files:
        (maildir / name).unlink()

    first.change_flags([1], DELETED)
    other.synchronise(take_new=True)
    other.change_flags([3], DELETED)
    first.synchronise(take_new=True)
    first.settle()

    assert known(first) == known(other) == truth(maildir)
    listings.clear()
    last = process(maildir)
    assert "cur" not in listings
    assert rows(last) == rows(first)


def test_disk_full(maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder works without what could not be written; MODSEQs never go back."""
    first = filled(maildir)
    first.settle()
    highest = first.log.highest

    def full(*_arguments: object) -> int:
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        patch.setattr(index.snapshot, "pack", full)
        first.change_flags([1], DELETED)
        first.synchronise(take_new=True)
        assert known(first) == truth(maildir)
    second = process(maildir)

    assert known(second) == truth(maildir)
    assert second.log.highest > highest
    first.change_flags([3], DELETED)
    assert known(process(maildir)) == truth(maildir)


# --- MODSEQ -------------------------------------------------------------------------------------


def test_history_over_processes(maildir: Path) -> None:
    """What changed and what vanished since a MODSEQ is known to all later processes, and when."""
    marks = [filled(maildir).log.highest]
    for act in (_store, _expunge, _append):
        folder = process(maildir)
        act(folder)
        folder.settle()
        marks.append(folder.log.highest)

    last = process(maildir)

    assert marks == sorted(set(marks))
    assert last.log.since(marks[0]) == Changes(frozenset([1, 6, 7, 8]), frozenset([2, 4]))
    assert last.log.since(marks[1]) == Changes(frozenset([6, 7, 8]), frozenset([2, 4]))
    assert last.log.since(marks[3]) == Changes(frozenset(), frozenset())
    gone = last.log.vanished(marks[0])
    assert gone is not None and list(gone[0]) == [2, 4]
    assert all(marks[1] < modseq <= marks[2] for modseq in gone[1])


def test_history_survives_a_new_snapshot(maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records are folded in; vanished messages are remembered, and the log starts empty."""
    folder = filled(maildir, 40)
    start = folder.log.highest
    monkeypatch.setattr(index, "_LEAST_ROWS", 3)
    with (maildir / INDEX).open("rb") as before:  # open, lest another file gets its inode
        for uid in range(3, 20, 2):
            folder.remove([uid], only_deleted=False)
        folder.settle()
        assert not os.path.samestat(os.fstat(before.fileno()), (maildir / INDEX).stat())

    found = process(maildir)

    changes = found.log.since(start)
    assert changes is not None and changes.vanished == set(range(3, 20, 2))
    assert rows(found) == rows(folder)


def test_lost_index_starts_above(maildir: Path) -> None:
    """Nobody takes a MODSEQ from before for one of now; what it stood for can't be told."""
    folder = filled(maildir)
    for _ in range(5):
        folder.change_flags([1], FlagChange(add=Flag.SEEN))
        folder.change_flags([1], FlagChange(remove=Flag.SEEN))
    highest = folder.log.highest
    for name in (INDEX, LOG):
        (maildir / name).unlink()

    found = process(maildir)

    assert found.log.highest > highest
    assert found.log.since(highest) is None
    assert set(found.columns.modseqs) == {found.log.highest}


def test_modseq_when_the_clock_is_set_back(maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers rise all the same, also of an index made anew: the directories' times tell."""
    folder = filled(maildir)
    highest = folder.log.highest
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now - 86400 * 10**9)

    folder.change_flags([1], DELETED)
    later_highest = folder.log.highest
    for name in (INDEX, LOG):
        (maildir / name).unlink()
    found = process(maildir)

    assert later_highest > highest
    assert found.log.highest >= highest - 3_000_000


# --- Whose it is --------------------------------------------------------------------------------


@pytest.fixture
def shared(maildir: Path) -> Path:
    """A maildir that everybody may read, with an index."""
    if os.geteuid() != 0:
        pytest.skip("missing: root, to become another user")
    let_others_enter(maildir)
    for directory in ("new", "cur", "tmp"):
        (maildir / directory).chmod(0o755)
    filled(maildir).settle()
    return maildir


@pytest.mark.root
def test_reader_of_another_users_folder(shared: Path) -> None:
    """It uses the owner's index, copied and checked, and leaves it alone."""
    before = {name: (shared / name).read_bytes() for name in (INDEX, LOG)}

    def look() -> None:
        listed = []
        listdir = os.listdir
        os.listdir = lambda path=".": listed.append(path) or listdir(path)  # type: ignore[assignment]
        folder = process(shared)
        assert not [path for path in listed if str(path).endswith(("cur", "cur'"))]
        assert known(folder) == truth(shared)
        assert words(folder, 2) == ("word",)

    as_other(look)

    assert {name: (shared / name).read_bytes() for name in (INDEX, LOG)} == before


@pytest.mark.root
def test_index_of_another_user_than_the_folder(shared: Path) -> None:
    """Somebody who may write into the folder has put it there: it is not believed, but replaced."""
    os.chown(shared / INDEX, 65534, 65534)

    found = process(shared)
    found.change_flags([1], DELETED)

    assert known(found) == truth(shared)
    assert (shared / INDEX).stat().st_uid == 0


@pytest.mark.root
def test_group_that_may_write(shared: Path) -> None:
    """Changes by another user than the owner are found by the owner; only the owner's are logged."""
    group = 54321
    for directory in (shared, *(file for file in shared.rglob("*") if file.is_dir())):
        os.chown(directory, 0, group)
        directory.chmod(0o2775)
    first = process(shared)
    before = (shared / INDEX).stat().st_ino

    def work() -> None:
        os.umask(0o002)
        folder = process(shared)
        folder.change_flags([1], DELETED)
        folder.deliver([prepared(shared)])
        folder.settle()

    as_other(work, group)
    first.synchronise(take_new=True)

    assert known(first) == known(process(shared)) == truth(shared)
    assert (shared / INDEX).stat().st_ino == before


# --- Where it is --------------------------------------------------------------------------------


def test_index_in_a_directory_of_its_own(
    maildir: Path, tmp_path: Path, listings: list[str]
) -> None:
    """IMAP_INDEX_DIR: nothing lies in the folder, and a directory that only the user can enter."""
    place = tmp_path / "indexes"
    place.mkdir(mode=0o1777)
    options = Options(fsync=False, index_dir=str(place))
    deliver(maildir, b"x\n", number=1, flags="")
    first = process(maildir, options)
    first.change_flags([1], DELETED)
    first.settle()
    listings.clear()

    second = process(maildir, options)

    assert "cur" not in listings
    assert rows(second) == rows(first)
    assert not list(maildir.glob("pycourier-*"))
    own = place / str(os.geteuid())
    assert own.stat().st_mode & 0o777 == 0o700
    assert {file.name for file in own.rglob("*") if file.is_file()} == {INDEX, LOG}


def test_index_directory_prepared_by_somebody_else(
    maildir: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """It is not written to: the folder is read each time."""
    place = tmp_path / "indexes"
    (place / str(os.geteuid())).mkdir(parents=True)
    (place / str(os.geteuid())).chmod(0o777)
    deliver(maildir, b"x\n", number=1, flags="")

    found = process(maildir, Options(fsync=False, index_dir=str(place)))

    assert known(found) == truth(maildir)
    assert not [file for file in place.rglob("*") if file.is_file()]
    assert "not a directory of the folder's owner alone" in capfd.readouterr().err


@pytest.mark.parametrize("options", [Options(use_locks=False, fsync=False), OPTIONS])
def test_private_without_locks_or_on_network_file_systems(
    maildir: Path, monkeypatch: pytest.MonkeyPatch, options: Options
) -> None:
    """Nothing is kept, nothing is watched, and all is right."""
    if options.use_locks:
        monkeypatch.setattr(filesystem, "is_local", lambda _path: False)
    for number in range(3):
        deliver(maildir, b"x\n", number=number, flags="")
    folder = process(maildir, options)
    folder.change_flags([1], SEEN)
    folder.deliver([prepared(maildir)])
    folder.settle()
    folder.synchronise(take_new=True)

    assert known(folder) == truth(maildir)
    assert not list(maildir.glob("pycourier-*"))
    assert folder._state.witness._source is None


# --- What it is for -----------------------------------------------------------------------------


def test_appending_stays_linear(
    maildir: Path, monkeypatch: pytest.MonkeyPatch, listings: list[str]
) -> None:
    """A message costs a line in courierimapuiddb and a record in the log: no directory is listed,
    and no file written anew but now and then.
    """
    monkeypatch.setattr(numbering, "APPENDED_FROM", 50)
    monkeypatch.setattr(numbering, "_LEAST_AHEAD", 60)
    for number in range(100):
        deliver(maildir, b"x\n", number=number, flags="")
    folder = process(maildir)
    folder.settle()
    other = process(maildir)
    listings.clear()
    written: list[str] = []
    write = uiddb.write
    monkeypatch.setattr(
        uiddb, "write", lambda path, db, sync: written.append(path) or write(path, db, sync)
    )

    for number in range(150):
        (uid,) = (folder if number % 3 else other).deliver([prepared(maildir)])
        assert uid == 101 + number

    assert "cur" not in listings
    assert len(written) == 2
    folder.synchronise(take_new=True)
    assert known(folder) == truth(maildir)
    assert uiddb.read(str(maildir)) == uiddb.parse((maildir / uiddb.NAME).read_bytes())


def test_no_object_per_message_is_kept(maildir: Path) -> None:
    """Columns are views of the mapped file, after the first reading as after the next opening."""
    for number in range(50):
        deliver(maildir, b"x\n", number=number, flags="")

    for folder in (process(maildir), process(maildir)):
        for column in (folder.columns.uids, folder.columns.keywords, folder.columns.modseqs):
            assert isinstance(column, memoryview) and column.readonly


# --- Processes at once --------------------------------------------------------------------------


def _works(path: Path, who: int, steps: int) -> None:
    """Do what a session does, and check what the log says of each of the last changes."""
    chance = random.Random(who)
    folder = process(path)
    told: list[int] = []
    history: list[tuple[int, dict[int, int]]] = []
    for _ in range(steps):
        some = chance.sample(list(folder.columns.uids), min(2, len(folder.columns)))
        action = chance.randrange(8)
        if action < 3:
            flags = chance.choice([1, 2, 4, 8]), chance.choice([1, 2, 4, 8])
            folder.change_flags(some, FlagChange(*flags))
        elif action == 3:
            told += folder.deliver([prepared(path, b"%d\n" % who)])
        elif action == 4 and len(folder.columns) > 20:
            folder.remove(some[:1], only_deleted=False)
        elif action == 5:
            folder.settle()
            folder, history = process(path), []
        history.append((folder.log.highest, dict(_flags(folder))))
        folder.synchronise(take_new=True)
        now = dict(_flags(folder))
        for modseq, before in history[-6:]:
            changes = folder.log.since(modseq)
            if changes is not None:
                assert before.keys() - now.keys() <= changes.vanished
                assert now.keys() - before.keys() <= changes.changed
                different = {uid for uid in before.keys() & now.keys() if before[uid] != now[uid]}
                assert different <= changes.changed
    (path.parent / f"told{who}").write_text(" ".join(map(str, told)))


def _flags(folder: Folder) -> Iterator[tuple[int, int]]:
    return zip(folder.columns.uids, folder.columns.flags, strict=True)


def _disturbs(path: Path, steps: int) -> None:
    """Deliver, change flags without a lock, and now and then remove a file of the index."""
    chance = random.Random(99)
    for step in range(steps):
        deliver(path, b"new\n", number=1000 + step)
        name = chance.choice(os.listdir(path / "cur"))
        target = f"{name.partition(':')[0]}:2,{chance.choice(['', 'S', 'FS'])}"
        with contextlib.suppress(FileNotFoundError):
            (path / "cur" / name).rename(path / "cur" / target)
        if step % 10 == 0:
            (path / chance.choice([INDEX, LOG])).unlink(missing_ok=True)
        time.sleep(0.001)


@pytest.mark.slow
@pytest.mark.parametrize("rows", [3, 512])
def test_processes_at_once(maildir: Path, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    """Three of ours and a foreign one: no UID is told twice, no change is missed in any log, and at the
    end everybody sees what is there.
    """
    monkeypatch.setattr(index, "_LEAST_ROWS", rows)
    for number in range(30):
        deliver(maildir, b"x\n", number=number, flags="")
    process(maildir)

    works = [in_child(partial(_works, maildir, who, 120)) for who in range(3)]
    await_success(*works, in_child(partial(_disturbs, maildir, 120)))

    found = process(maildir)
    told = " ".join((maildir.parent / f"told{who}").read_text() for who in range(3)).split()
    assert known(found) == truth(maildir)
    assert uid_database(maildir).uids == uids(found)
    assert len(told) == len(set(told)) > 0


@pytest.mark.courier
@pytest.mark.slow
def test_beside_courier(maildir: Path, courier: Implementation, start: Start) -> None:
    """Real Courier works on the folder at the same time: no UID is lost or given twice, no flag missed."""
    for number in range(30):
        deliver(maildir, b"Subject: x\n\nx\n", number=number, flags="")
    process(maildir).settle()
    client = start(courier).client
    client.command("SELECT INBOX")
    works = [in_child(partial(_works, maildir, who, 60)) for who in range(2)]

    for number in range(40):
        client.command("NOOP")
        client.append("INBOX", b"Subject: theirs\r\n\r\nx\r\n", "(\\Seen)")
        client.command(f"UID STORE {number + 1} +FLAGS (\\Answered)")
    await_success(*works)

    found = process(maildir)
    client.command("NOOP")
    theirs = {item["UID"] for item in client.fetch("1:*", "UID").values()}
    assert theirs == set(found.columns.uids)
    assert known(found) == truth(maildir)
    assert uid_database(maildir).uids == uids(found)
    told = " ".join((maildir.parent / f"told{who}").read_text() for who in range(2)).split()
    assert len(told) == len(set(told)) > 0
    found.settle()
    del found
    again = process(maildir)
    assert known(again) == truth(maildir)


def test_folder_renamed_while_it_is_open(tmp_path: Path, listings: list[str]) -> None:
    """The index goes with it, and is kept where it is now."""
    old, new = tmp_path / "old", tmp_path / "new"
    store = Store(OPTIONS)
    folder = store.open(str(filled(make_maildir(old)) and old))
    folder.synchronise(take_new=True)
    old.rename(new)

    assert store.open(str(new)) is folder
    folder.synchronise(take_new=True)
    folder.change_flags([1], DELETED)
    folder.settle()
    listings.clear()

    last = process(new)
    assert "cur" not in listings
    assert rows(last) == rows(folder)
    assert known(last) == truth(new)


def test_full_disk_is_not_filled_again_and_again(
    maildir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a failure an index is not written anew for a minute; then it is."""
    folder = filled(maildir)
    tried: list[object] = []

    def full(*arguments: object) -> list[bytes]:
        tried.append(arguments)
        raise OSError(28, os.strerror(28))

    (maildir / INDEX).unlink()
    with monkeypatch.context() as patch:
        patch.setattr(index.snapshot, "pack", full)
        for flag in (1, 2, 4):
            folder.change_flags([1], FlagChange(add=flag))
    folder.change_flags([1], FlagChange(add=8))
    assert len(tried) == 1 and not (maildir / INDEX).exists()

    now = time.monotonic()
    monkeypatch.setattr(index.time, "monotonic", lambda: now + 100)
    folder.change_flags([1], FlagChange(add=16))

    assert (maildir / INDEX).exists()
    assert known(process(maildir)) == truth(maildir)


def test_folder_that_nobody_asks_about(maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What happens in it is not collected without end while others are looked at."""
    monkeypatch.setattr(witness, "_MOST", 5)
    forgotten = filled(maildir)
    forgotten.change_flags([1], DELETED)
    other = process(maildir)
    for number in range(20):
        deliver(maildir, b"x\n", number=100 + number, flags="")
        other.change_flags([2], FlagChange(add=2 if number % 2 else 4, remove=6))
        other.synchronise(take_new=True)
    assert len(forgotten._state.witness._queue) <= 6

    forgotten.synchronise(take_new=True)

    assert known(forgotten) == truth(maildir)


def test_a_folder_forgotten_while_another_is_watched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Garbage collection may end the only other folder at any moment: the new one's watches hold."""
    paths = [str(make_maildir(tmp_path / name)) for name in ("old", "new")]
    opened = [witness.Witness()]
    opened[0].arm(paths[0])
    assert opened[0].is_armed
    inodes = witness._inodes

    def collected_before(path: str) -> dict[witness.Directory, int]:
        opened.clear()
        return inodes(path)

    monkeypatch.setattr(witness, "_inodes", collected_before)
    other = witness.Witness()
    other.arm(paths[1])

    assert other.is_armed
    other.begin("new")
    deliver(Path(paths[1]), b"x\n", number=1)
    other.judge()
    assert not other.knows("new", os.stat(f"{paths[1]}/new").st_ino)

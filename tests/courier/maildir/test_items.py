"""courier.maildir.items: what is known of messages, kept in files that may be damaged or taken away."""

from __future__ import annotations

import errno
import os
import struct
from array import array
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from courier.maildir import filesystem, itemfile, items
from courier.maildir.columns import EMPTY, Names
from courier.maildir.itemfile import CACHE, ITEMS, ROW
from courier.maildir.items import Damaged, Items, Stored
from courier.message import facts
from tests.courier.maildir import test_delivery
from tests.courier.maildir.test_delivery import calls_of, failed, fresh_maildirs, killed
from tests.courier.maildir.test_processes import await_success, in_child

VALIDITY = 1_700_000_000


def stored(uid: int) -> Stored:
    """A message that says its UID."""
    data = b"Subject: number %d\nFrom: a%d@example.com\n\nbody %d\n" % (uid, uid, uid)
    return Stored(uid, b"m%d:2,S" % uid, len(data), 1_000_000 + uid, facts.describe(data))


def add(found: Items, uids: Sequence[int]) -> None:
    found.add(VALIDITY, [stored(uid) for uid in uids])


def filled(path: Path, uids: Sequence[int]) -> Items:
    found = Items(str(path))
    add(found, uids)
    return found


def subjects(found: Items, uids: Sequence[int]) -> list[bytes]:
    return found.table(VALIDITY, uids).pieces("subject")


def names(uids: Sequence[int]) -> list[bytes]:
    return [b"number %d" % uid for uid in uids]


@pytest.fixture
def quiet(lines: Callable[[], list[str]]) -> None:
    """What is logged does not matter."""


# --- Reading and adding -------------------------------------------------------------------------


def test_table_of_known_messages(maildir: Path) -> None:
    """Numbers and texts align with the UIDs asked for."""
    found = filled(maildir, [1, 2, 5, 9])

    table = found.table(VALIDITY, [1, 2, 5, 9])

    assert table.is_complete() and table.missing() == []
    assert table.numbers("internal_date") == [1_000_001, 1_000_002, 1_000_005, 1_000_009]
    assert table.numbers("file_size", 1, 3) == [stored(2).file_size, stored(5).file_size]
    assert table.pieces("from_key", 2, 4) == [b"A5", b"A9"]
    assert table.pieces("envelope")[0] == stored(1).facts.pieces[0]


def test_table_of_messages_partly_unknown(maildir: Path) -> None:
    """What is not known is 0, and empty, and listed."""
    found = filled(maildir, [2, 5])

    table = found.table(VALIDITY, [1, 2, 4, 5, 7])

    assert not table.is_complete() and table.is_complete(1, 2)
    assert table.missing() == [1, 4, 7]
    assert [bool(size) for size in table.numbers("size")] == [False, True, False, True, False]
    assert table.pieces("subject") == [b"", b"number 2", b"", b"number 5", b""]


def test_texts_are_one_text(maildir: Path) -> None:
    """Each message's piece is found where it is said to be."""
    found = filled(maildir, range(1, 5))

    text, starts = found.table(VALIDITY, [1, 3, 4, 6]).texts("subject")

    assert text == b"number 1\0number 3\0number 4\0\0"
    assert [text[starts[n] : starts[n + 1] - 1] for n in range(4)] == [*names([1, 3, 4]), b""]


def test_date_that_is_none_is_the_internal_date(maildir: Path) -> None:
    """As SORT (DATE) wants it (RFC 5256 2.2)."""
    table = filled(maildir, [3]).table(VALIDITY, [3])

    assert table.numbers("sent") == table.numbers("internal_date") == [1_000_003]


def test_items_outlive_their_object(maildir: Path) -> None:
    """Another process finds them, in whatever order they came."""
    filled(maildir, [7, 8, 9])
    filled(maildir, [1, 3])
    filled(maildir, [2, 10])

    found = Items(str(maildir))

    assert subjects(found, [1, 2, 3, 7, 8, 9, 10]) == names([1, 2, 3, 7, 8, 9, 10])


def test_tidy_sorts_and_forgets(maildir: Path) -> None:
    """After it the rows are neighbours; those of messages that are gone are away."""
    found = filled(maildir, range(300, 0, -1))
    present = [uid for uid in range(1, 301) if uid % 7]
    before = os.stat(maildir / ITEMS).st_size

    found.tidy(VALIDITY, present)

    table = found.table(VALIDITY, present)
    assert table.rows == range(1, len(present) + 1)
    assert table.pieces("subject") == names(present)
    assert os.stat(maildir / ITEMS).st_size == ROW * (1 + len(present)) < before
    assert subjects(Items(str(maildir)), present) == names(present)


def test_tidy_leaves_out_texts(maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When over half of them are of messages that are gone; others notice before they append."""
    monkeypatch.setattr(items, "_COMPACT_LEAST", 0)
    found = filled(maildir, range(1, 301))
    found.tidy(VALIDITY, range(1, 301))
    other = Items(str(maildir))
    old = other.table(VALIDITY, range(1, 301))
    size = os.stat(maildir / CACHE).st_size

    found.tidy(VALIDITY, range(101, 301))  # a third is gone
    assert os.stat(maildir / CACHE).st_size == size
    found.tidy(VALIDITY, range(201, 301))

    assert os.stat(maildir / CACHE).st_size < size // 2
    add(found, [301])
    add(other, [302])
    for each in (found, other, Items(str(maildir))):
        assert subjects(each, range(201, 303)) == names(range(201, 303))
    assert old.pieces("subject") == names(range(1, 301))
    assert (
        sorted(path.name for path in maildir.iterdir())
        == [*("courierimapuiddb", "cur", "new", CACHE, ITEMS, "tmp")][1:]
    )
    assert os.listdir(maildir / "tmp") == []


def test_table_stays_true(maildir: Path) -> None:
    """While others add, sort and remove the files, what was given out is as it was."""
    found = filled(maildir, range(1, 101))
    table = found.table(VALIDITY, range(1, 101))
    other = Items(str(maildir))
    add(other, range(101, 301))
    other.tidy(VALIDITY, range(50, 301))
    os.unlink(maildir / ITEMS)
    os.unlink(maildir / CACHE)
    add(other, range(301, 310))

    assert table.pieces("subject") == names(range(1, 101))
    assert table.numbers("internal_date")[99] == 1_000_100


def test_new_uidvalidity(maildir: Path, lines: Callable[[], list[str]]) -> None:
    """What was known under another one counts no more; that is no fault."""
    filled(maildir, [1, 2])

    table = Items(str(maildir)).table(VALIDITY + 1, [1, 2])

    assert table.missing() == [1, 2]
    assert lines() == []


def test_uid_given_to_another_message(maildir: Path) -> None:
    """As after a restore of courierimapuiddb: what is known of the first one is not taken for it."""
    uids = array("I", range(1, 101))
    filled(maildir, uids)
    columns = replace(
        EMPTY, uids=uids, names=Names(b"m%d:2," % (uid if uid != 50 else 500) for uid in uids)
    )
    found = Items(str(maildir))
    table = found.table(VALIDITY, uids, columns)
    assert table.numbers("size", 0, 49) == [stored(uid).facts.size for uid in range(1, 50)]

    with pytest.raises(Damaged):
        table.numbers("size")
    found.give_up(table)

    table = found.table(VALIDITY, uids, columns)
    assert table.missing() == [50]
    found.add(VALIDITY, [stored(500)._replace(uid=50)])
    for each in (found, Items(str(maildir))):
        table = each.table(VALIDITY, uids, columns)
        assert table.pieces("subject", 48, 51) == names([49, 500, 51])
        assert len(table.numbers("size")) == 100


# --- Several processes --------------------------------------------------------------------------


def test_another_process_adds(maildir: Path) -> None:
    """It is seen at the next question about what was unknown, and not added twice."""
    found = filled(maildir, [1, 2])
    uids = [1, 2, 3]
    assert found.table(VALIDITY, uids).missing() == [3]

    await_success(in_child(lambda: filled(maildir, [3])))

    assert found.table(VALIDITY, uids).missing() == []
    size = os.stat(maildir / ITEMS).st_size
    add(found, [3])
    await_success(in_child(lambda: filled(maildir, [4])))
    add(found, [4])
    assert subjects(found, [1, 2, 3, 4]) == names([1, 2, 3, 4])
    assert os.stat(maildir / ITEMS).st_size == size + ROW * 4  # a head and a row; of 3 again too


def test_many_processes_add(maildir: Path) -> None:
    """At once, each sorting now and then: nothing is lost, nothing is mixed up."""

    def work(who: int) -> None:
        found = Items(str(maildir))
        for number in range(30):
            add(found, [1 + who + 4 * number])
            if number % 10 == 9:
                found.tidy(VALIDITY, range(1, 121))

    await_success(*(in_child(lambda who=who: work(who)) for who in range(4)))  # type: ignore[misc]

    table = Items(str(maildir)).table(VALIDITY, range(1, 121))
    for uid in range(1, 121):
        if table.rows[uid - 1]:
            assert table.pieces("subject", uid - 1, uid) == names([uid])
    assert (
        len(table.missing()) < 60
    )  # who sorts may drop what it has not seen yet: it is found anew


def test_files_are_removed_in_use(maildir: Path) -> None:
    """What is added then makes new ones."""
    found = filled(maildir, [1, 2])
    found.table(VALIDITY, [1, 2])
    os.unlink(maildir / CACHE)

    add(found, [3])

    assert subjects(found, [3]) == names([3])
    assert subjects(Items(str(maildir)), [3]) == names([3])


# --- Damage -------------------------------------------------------------------------------------


def _flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0x40
    path.write_bytes(data)


@pytest.mark.slow
@pytest.mark.parametrize("name", [ITEMS, CACHE])
@pytest.mark.parametrize("is_sorted", [True, False])
def test_any_octet_damaged(
    maildir: Path, name: str, is_sorted: bool, monkeypatch: pytest.MonkeyPatch, quiet: None
) -> None:
    """What is damaged is not known, or found out when it is looked at; nothing wrong is given."""
    uids = range(1, 4)
    found = filled(maildir, [*uids])
    if is_sorted:
        monkeypatch.setattr(items, "_UNSORTED_LEAST", 0)
        found.tidy(VALIDITY, uids)
    whole = {kept: (maildir / kept).read_bytes() for kept in (ITEMS, CACHE)}
    right = found.table(VALIDITY, uids)
    sizes, texts = right.numbers("size"), right.pieces("bodystructure")
    for at in range(0, len(whole[name]), 7):
        for kept, data in whole.items():
            (maildir / kept).write_bytes(data)
            (maildir / kept).chmod(0o600)
        _flip(maildir / name, at)

        table = Items(str(maildir)).table(VALIDITY, uids)
        try:
            got = table.pieces("bodystructure")
        except Damaged:
            continue
        for place, row in enumerate(table.rows):
            if row:
                assert (table.numbers("size")[place], got[place]) == (sizes[place], texts[place])


@pytest.mark.slow
@pytest.mark.parametrize("name", [ITEMS, CACHE])
def test_truncated_anywhere(maildir: Path, name: str, quiet: None) -> None:
    """Rows that are not whole, or whose texts are not, are not known."""
    uids = range(1, 4)
    filled(maildir, [1])
    filled(maildir, [2, 3])
    whole = {kept: (maildir / kept).read_bytes() for kept in (ITEMS, CACHE)}
    for size in range(0, len(whole[name]), 11):
        for kept, data in whole.items():
            (maildir / kept).write_bytes(data)
            (maildir / kept).chmod(0o600)
        os.truncate(maildir / name, size)

        found = Items(str(maildir))
        table = found.table(VALIDITY, uids)
        try:
            known = dict(zip(uids, table.pieces("subject"), strict=True))
        except Damaged:
            found.give_up(table)
            known = dict.fromkeys(uids, b"")
        for uid, subject in known.items():
            assert subject in (b"", b"number %d" % uid)
        add(found, [uid for uid in uids if not known[uid]])
        assert subjects(Items(str(maildir)), uids) == names(uids)


def test_torn_batch_is_written_over(maildir: Path) -> None:
    """A crash in the middle of an addition leaves nothing that counts, and nothing in the way."""
    filled(maildir, [1, 2])
    size = os.stat(maildir / ITEMS).st_size
    filled(maildir, [3, 4])
    os.truncate(maildir / ITEMS, size + ROW + ROW // 2)

    found = Items(str(maildir))

    assert found.table(VALIDITY, [1, 2, 3, 4]).missing() == [3, 4]
    add(found, [4])
    assert subjects(Items(str(maildir)), [1, 2, 4]) == names([1, 2, 4])


def test_torn_batch_written_over_by_another(maildir: Path) -> None:
    """Who has looked at the torn rows sees the whole ones, and does not write over them."""
    filled(maildir, [1, 2])
    filled(maildir, [3])
    size = os.stat(maildir / ITEMS).st_size
    _flip(maildir / ITEMS, size - 1)
    found = Items(str(maildir))
    uids = [1, 2, 3, 4]
    assert found.table(VALIDITY, uids).missing() == [3, 4]

    filled(maildir, [3])
    assert os.stat(maildir / ITEMS).st_size == size
    add(found, [4])

    assert subjects(found, uids) == subjects(Items(str(maildir)), uids) == names(uids)


def test_damage_is_logged_once(maildir: Path, lines: Callable[[], list[str]]) -> None:
    """One line names the directory, and the files are good again."""
    filled(maildir, [1])
    _flip(maildir / ITEMS, 3)

    found = Items(str(maildir))
    found.table(VALIDITY, [1])
    add(found, [1])

    assert [line for line in lines() if str(maildir) in line] == lines()
    assert len(lines()) == 1
    assert subjects(Items(str(maildir)), [1]) == names([1])
    assert len(lines()) == 1


def test_newer_version(maildir: Path) -> None:
    """A later version's files are thrown away: going back needs nobody's help."""
    filled(maildir, [1])
    data = bytearray((maildir / ITEMS).read_bytes())
    struct.pack_into("=I", data, 4, itemfile.VERSION + 1)
    (maildir / ITEMS).write_bytes(data)

    found = filled(maildir, [2])

    assert found.table(VALIDITY, [1, 2]).missing() == [1]


@pytest.mark.parametrize("kind", ["link", "fifo", "directory", "writable"])
def test_file_that_is_not_ours(maildir: Path, kind: str) -> None:
    """Nothing is followed, waited for or believed."""
    filled(maildir, [1])
    path = maildir / ITEMS
    if kind == "writable":
        path.chmod(0o666)
    else:
        path.rename(maildir / "kept")
    if kind == "link":
        path.symlink_to(maildir / "kept")
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()

    found = Items(str(maildir))

    assert found.table(VALIDITY, [1]).missing() == [1]
    add(found, [1, 2])
    assert subjects(found, [1, 2]) == names([1, 2])


@pytest.mark.root
def test_folder_of_another_user(maildir: Path) -> None:
    """Its files are neither believed nor written: what is known stays in memory."""
    filled(maildir, [1])
    os.chown(maildir / "cur", 65534, 65534)

    found = filled(maildir, [1, 2])

    assert subjects(found, [1, 2]) == names([1, 2])
    assert Items(str(maildir)).table(VALIDITY, [1, 2]).missing() == [1, 2]


def test_files_that_cannot_be_opened(
    maildir: Path, monkeypatch: pytest.MonkeyPatch, lines: Callable[[], list[str]]
) -> None:
    """Too many open files, no memory: they are left as they are, and done without."""
    filled(maildir, [1])
    whole = (maildir / ITEMS).read_bytes()
    map_file = filesystem.map_file

    def refuse(fd: int) -> memoryview:
        if os.readlink(f"/proc/self/fd/{fd}").startswith(str(maildir)):
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
        return map_file(fd)

    with monkeypatch.context() as patch:
        patch.setattr(filesystem, "map_file", refuse)
        found = Items(str(maildir))
        assert found.table(VALIDITY, [1, 2]).missing() == [1, 2]
        add(found, [1, 2])
        assert subjects(found, [1, 2]) == names([1, 2])

    assert (maildir / ITEMS).read_bytes() == whole
    assert subjects(Items(str(maildir)), [1]) == names([1])
    assert len(lines()) == 1


def test_folder_that_other_hosts_write_to(
    maildir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is kept in it; but on a local disk, if there is a place."""
    local = tmp_path / "local"
    local.mkdir(mode=0o777)
    monkeypatch.setattr(filesystem, "is_local", lambda path: path.startswith(str(local)))

    filled(maildir, [1])
    found = Items(str(maildir), str(local))
    add(found, [1, 2])

    assert sorted(path.name for path in maildir.iterdir()) == ["cur", "new", "tmp"]
    assert subjects(Items(str(maildir), str(local)), [1, 2]) == names([1, 2])
    assert Items(str(maildir)).table(VALIDITY, [1, 2]).missing() == [1, 2]


def test_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Works the same, and starts anew when it has grown too large."""
    found = Items(None)
    add(found, range(1, 201))
    found.tidy(VALIDITY, range(1, 201))
    assert subjects(found, range(1, 201)) == names(range(1, 201))

    monkeypatch.setattr(items, "_MAX_PRIVATE", 1000)
    add(found, [201])

    table = found.table(VALIDITY, range(1, 202))
    assert len(table.missing()) == 200
    assert table.pieces("subject", 200, 201) == names([201])


# --- Each system call ---------------------------------------------------------------------------


def _changes(path: Path) -> None:
    """All that is ever done to the files: made, appended to, sorted, compacted, appended to again."""
    found = Items(str(path))
    add(found, [5, 3, 1])
    found.tidy(VALIDITY, [1, 3, 5])
    add(found, [7])
    found.tidy(VALIDITY, [7])
    add(found, [9])


def _is_right(path: Path) -> None:
    """Nothing wrong is known, and the rest can be added."""
    uids = [1, 3, 5, 7, 9]
    found = Items(str(path))
    table = found.table(VALIDITY, uids)
    known = zip(table.pieces("subject"), table.numbers("size"), uids, strict=True)
    for subject, size, uid in known:
        assert (subject, size) in ((b"", 0), (b"number %d" % uid, stored(uid).facts.size))
    add(found, table.missing())
    assert subjects(found, uids) == subjects(Items(str(path)), uids) == names(uids)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few rows are worth sorting, few texts worth leaving out; more system calls can fail."""
    monkeypatch.setattr(items, "_UNSORTED_LEAST", 0)
    monkeypatch.setattr(items, "_COMPACT_LEAST", 0)
    monkeypatch.setattr(test_delivery, "CALLS", (*test_delivery.CALLS, "pwrite", "memfd_create"))


@pytest.mark.slow
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES])
def test_each_call_failing(tmp_path: Path, small: None, quiet: None, code: int) -> None:
    """It costs time alone: the caller hears nothing of it."""
    folders = fresh_maildirs(tmp_path)
    calls = calls_of(partial(_changes, next(folders)))
    assert calls.count("rename") == 5 and calls.count("pwrite") > 12
    for at, call in enumerate(calls):
        path = next(folders)

        raised = failed(partial(_changes, path), at, code)

        assert raised is None, (at, call)
        _is_right(path)
        assert os.listdir(path / "tmp") == [] or call == "unlink"


@pytest.mark.slow
def test_killed_at_each_call(tmp_path: Path, small: None, quiet: None) -> None:
    """The next process finds nothing that is wrong."""
    folders = fresh_maildirs(tmp_path)
    calls = calls_of(partial(_changes, next(folders)))
    for at in range(len(calls)):
        path = next(folders)

        killed(partial(_changes, path), at)

        _is_right(path)

"""courier.maildir.folder: UIDs, flags and keywords of a folder that others change meanwhile."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from courier.maildir import filename, folder, keywords, scan, status, uiddb
from courier.maildir.columns import Columns
from courier.maildir.delivery import TemporaryFile
from courier.maildir.filename import Flag
from courier.maildir.folder import (
    FlagChange,
    Folder,
    FolderGone,
    KeywordChange,
    MessageGone,
    Options,
    Prepared,
)
from courier.maildir.view import View
from tests.courier.maildir.test_delivery import calls_of, failed, fresh_maildirs, open_files
from tests.support.maildirs import deliver, message_files, uid_database

SEEN = FlagChange(add=Flag.SEEN)
DELETED = FlagChange(add=Flag.DELETED)


def opened(path: Path, *, take_new: bool = True, **options: bool) -> Folder:
    """A folder read once, as a process of its own would see it."""
    found = Folder(str(path), Options(**{"fsync": False, **options}))
    found.synchronise(take_new=take_new)
    return found


def uids(found: Folder) -> dict[str, int]:
    """UIDs by base name, as the folder has them."""
    bases = (os.fsdecode(filename.base(name)) for name in found.columns.names)
    return dict(zip(bases, found.columns.uids, strict=True))


def words(found: Folder, uid: int) -> tuple[str, ...]:
    row = found.columns.row(uid)
    assert row is not None
    return found.keyword_sets[found.columns.keywords[row]]


def flags(found: Folder) -> dict[int, int]:
    return dict(zip(found.columns.uids, found.columns.flags, strict=True))


def prepared(
    path: Path, text: bytes = b"x\n", flags: int = 0, keywords: tuple[str, ...] = ()
) -> Prepared:
    """A message in tmp/, ready to be delivered."""
    file = TemporaryFile(str(path))
    file.write(text)
    file.close()
    return Prepared(file, flags, keywords)


def cur(path: Path) -> list[str]:
    return sorted(os.listdir(path / "cur"))


def renamed(path: Path, base: str, letters: str) -> None:
    """Another program sets a message's flags."""
    (old,) = (path / "cur").glob(f"{base}:2,*")
    old.rename(path / "cur" / f"{base}:2,{letters}")


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Directory times look an hour old: what was read is settled."""
    now = scan.time.time_ns
    monkeypatch.setattr(scan.time, "time_ns", lambda: now() + 3600 * 10**9)


@pytest.fixture
def listings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The directories listed from now on."""
    listed: list[str] = []
    listdir = os.listdir

    def spying(path: Any = ".") -> Any:
        listed.append(os.path.basename(os.fsdecode(path)) if not isinstance(path, int) else "fd")
        return listdir(path)

    monkeypatch.setattr(os, "listdir", spying)
    return listed


# --- UIDs ---------------------------------------------------------------------------------------


def test_uids_in_order_of_arrival(maildir: Path) -> None:
    """By the number a name begins with, wherever the file lies; then by the name."""
    names = ["new/9.a", "cur/10.b:2,S", "new/10.a", "cur/200.a:2,", "new/nonumber"]
    for name in names:
        (maildir / name).write_bytes(b"x\n")

    found = opened(maildir)

    assert uids(found) == {"nonumber": 1, "9.a": 2, "10.a": 3, "10.b": 4, "200.a": 5}
    assert uid_database(maildir).uids == uids(found)
    assert found.uidnext == uid_database(maildir).uidnext == 6
    assert found.uidvalidity == uid_database(maildir).uidvalidity


def test_uids_persist(maildir: Path) -> None:
    """Another process finds the same numbers, and removed messages leave gaps for ever."""
    bases = [deliver(maildir, b"x\n", number=n) for n in range(4)]
    first = opened(maildir)
    first.remove([2, 4], only_deleted=False)

    second = opened(maildir)

    assert uids(second) == {bases[0]: 1, bases[2]: 3}
    assert (second.uidvalidity, second.uidnext) == (first.uidvalidity, 5)
    base = deliver(maildir, b"x\n", number=9)
    second.synchronise(take_new=True)
    assert uids(second)[base] == 5


def test_uidnext_is_never_lowered(maildir: Path) -> None:
    """Not even when the folder becomes empty."""
    deliver(maildir, b"x\n", number=1)
    found = opened(maildir)
    found.remove([1], only_deleted=False)

    found.synchronise(take_new=True)

    assert len(found.columns) == 0
    assert uid_database(maildir).uidnext == found.uidnext == 2


@pytest.mark.parametrize("damage", ["missing", "empty", "unusable", "torn", "headeronly"])
def test_database_damaged_while_folder_is_open(maildir: Path, damage: str) -> None:
    """What this process knows is put back: no UID and no UIDVALIDITY changes."""
    for number in range(3):
        deliver(maildir, b"x\n", number=number)
    found = opened(maildir)
    before, uidvalidity = uids(found), found.uidvalidity
    database = maildir / "courierimapuiddb"
    text = database.read_bytes()
    if damage == "missing":
        database.unlink()
    else:
        torn = {
            "empty": b"",
            "unusable": b"rubbish\n" + text,
            "torn": text[:-3],
            "headeronly": text[: text.index(b"\n") + 1],
        }
        database.write_bytes(torn[damage])

    base = deliver(maildir, b"x\n", number=9)
    found.synchronise(take_new=True)

    assert uids(found) == {**before, base: 4}
    assert found.uidvalidity == uidvalidity
    assert uid_database(maildir).uids == uids(found)
    assert uid_database(maildir).uidvalidity == uidvalidity


def test_unchanged_folder_with_missing_database(maildir: Path, later: None) -> None:
    """It is noticed though no message changed."""
    deliver(maildir, b"x\n", number=1)
    found = opened(maildir)
    text = (maildir / "courierimapuiddb").read_bytes()
    (maildir / "courierimapuiddb").unlink()

    found.synchronise(take_new=True)

    assert (maildir / "courierimapuiddb").read_bytes() == text


def test_database_rewritten_by_another_program(maildir: Path) -> None:
    """Its numbers are the truth: an entry it dropped is a new message, UIDNEXT is where it says."""
    bases = [deliver(maildir, b"x\n", number=number) for number in range(3)]
    found = opened(maildir)
    uidvalidity = found.uidvalidity
    text = f"1 {uidvalidity} 21\n1 {bases[0]}\n3 {bases[2]}\n20 {bases[1]}\n"
    (maildir / "courierimapuiddb").write_text(text)

    fresh = found.synchronise(take_new=True)

    assert uids(found) == {bases[0]: 1, bases[2]: 3, bases[1]: 20}
    assert found.uidnext == 21
    assert list(fresh) == []  # the other program has given that UID, and told its client
    assert (maildir / "courierimapuiddb").read_text() == text


def test_uids_used_up(maildir: Path) -> None:
    """When no UID is left, the folder gets a higher UIDVALIDITY and is numbered anew."""
    bases = [deliver(maildir, b"x\n", number=number, flags="") for number in range(2)]
    (maildir / "courierimapuiddb").write_text(f"1 1234 4294967295\n7 {bases[1]}\n")

    found = opened(maildir)

    assert uids(found) == {bases[1]: 1, bases[0]: 2}
    assert found.uidvalidity > 1234 and found.uidnext == 3
    assert uid_database(maildir).uids == uids(found)


def test_last_uid_is_given(maildir: Path) -> None:
    """UIDVALIDITY changes only when it has to."""
    base = deliver(maildir, b"x\n", number=1)
    (maildir / "courierimapuiddb").write_text("1 1234 4294967294\n")

    found = opened(maildir)

    assert uids(found) == {base: 4294967294}
    assert (found.uidvalidity, found.uidnext) == (1234, 4294967295)


# --- Disk full ----------------------------------------------------------------------------------


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Let writes of courierimapuiddb fail as on a full disk, or not."""
    is_full = False
    write = uiddb.write

    def writing(*arguments: Any, **options: Any) -> None:
        if is_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(*arguments, **options)

    def switch(on: bool) -> None:
        nonlocal is_full
        is_full = on

    monkeypatch.setattr(uiddb, "write", writing)
    return switch


def test_database_cannot_be_written(
    maildir: Path, full: Callable[[bool], None], later: None
) -> None:
    """The old file stays and no UID is told that is not in it; told as soon as there is room."""
    base = deliver(maildir, b"x\n", number=1)
    found = opened(maildir)
    text = (maildir / "courierimapuiddb").read_bytes()
    full(True)
    another = deliver(maildir, b"x\n", number=2)

    assert list(found.synchronise(take_new=True)) == []

    assert uids(found) == {base: 1}
    assert found.uidnext == 2
    assert (maildir / "courierimapuiddb").read_bytes() == text
    assert os.listdir(maildir / "tmp") == []
    full(False)
    assert list(found.synchronise(take_new=True)) == [2]
    assert uids(found) == uid_database(maildir).uids == {base: 1, another: 2}


def test_new_messages_wait_for_room(
    maildir: Path, later: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That there are some is known however often the folder is looked at, and they come with the room,
    though nothing in the folder has changed then.
    """
    base = deliver(maildir, b"x\n", number=1)
    found = opened(maildir)
    another = deliver(maildir, b"x\n", number=2)
    with monkeypatch.context() as patch:
        patch.setattr(os, "link", _no_space)
        for _ in range(3):
            assert list(found.synchronise(take_new=True)) == []
            assert found.hides_messages

    assert not found.synchronise_at_once(take_new=True)
    assert list(found.synchronise(take_new=True)) == [2]
    assert not found.hides_messages
    assert uids(found) == uid_database(maildir).uids == {base: 1, another: 2}


def test_first_database_cannot_be_written(maildir: Path, full: Callable[[bool], None]) -> None:
    """The messages have UIDs as long as this process lives, which says so; as soon as there is room
    they are written down as they were told. Another process gives others their UIDVALIDITY.
    """
    bases = [deliver(maildir, b"x\n", number=1), deliver(maildir, b"x\n", number=2, flags="S")]
    full(True)

    found = opened(maildir)
    assert uids(found) == {bases[0]: 1, bases[1]: 2}
    assert not found.is_sticky and not found.hides_messages
    assert not (maildir / "courierimapuiddb").exists()
    bases.append(deliver(maildir, b"x\n", number=3))
    found.synchronise(take_new=True)
    assert uids(found) == {base: uid for uid, base in enumerate(bases, 1)}
    told = found.uidvalidity

    full(False)
    found.synchronise(take_new=True)
    assert found.is_sticky and found.uidvalidity == told
    assert uid_database(maildir).uids == uids(found) == {b: uid for uid, b in enumerate(bases, 1)}
    assert uid_database(maildir).uidvalidity == told
    assert uids(opened(maildir)) == uids(found)


@pytest.mark.parametrize("what", ["leaves", "changes"])
def test_index_does_not_vouch_for_hidden_messages(
    maildir: Path, later: None, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Who opens the folder after a process that could not take new mail looks for it, and finds it."""
    base = deliver(maildir, b"x\n", number=1)
    opened(maildir).settle()
    another = deliver(maildir, b"x\n", number=2)
    found = Folder(str(maildir), Options(fsync=False))
    with monkeypatch.context() as patch:
        patch.setattr(os, "link", _no_space)
        found.synchronise(take_new=True)
        assert found.hides_messages
    if what == "changes":
        found.change_flags([1], SEEN)

    found.settle()

    assert uids(opened(maildir)) == uid_database(maildir).uids == {base: 1, another: 2}


def test_read_only_file_system(maildir: Path, later: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read as it is, and written as soon as it can be, though nothing in it has changed then."""

    def read_only(*_arguments: object, **_options: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    base = deliver(maildir, b"x\n", number=1)
    with monkeypatch.context() as patch:
        patch.setattr(os, "link", read_only)
        found = opened(maildir)
        found.synchronise(take_new=True)
        assert not found.is_writable and not found.is_sticky
        assert uids(found) == {base: 1}

    found.synchronise(take_new=True)

    assert found.is_writable and found.is_sticky
    assert uids(found) == uid_database(maildir).uids == {base: 1}


def test_message_file_that_is_stale(maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is looked for again, as one that is gone: another host has renamed it, or removed it (NFS)."""
    deliver(maildir, b"x\n", number=1, flags="")
    found = opened(maildir)
    real, stale = os.open, [True]

    def once_stale(path: Any, *arguments: Any, **options: Any) -> int:
        if b"test" in os.fsencode(path) and stale and stale.pop():
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, "open", once_stale)

    assert found.read(1)[0] == b"x\n"
    assert not stale


def test_first_database_is_written_by_another(maildir: Path, full: Callable[[bool], None]) -> None:
    """What was told under a UIDVALIDITY that only this process knew is void."""
    deliver(maildir, b"x\n", number=1)
    full(True)
    found = opened(maildir)
    (maildir / "courierimapuiddb").write_bytes(b"1 %d 8\n" % (found.uidvalidity + 1))
    full(False)

    found.synchronise(take_new=True)

    assert found.is_void
    assert uid_database(maildir).uids == {"1700000001.M1P1.test,S=2": 8}


def test_status_before_the_first_database(maildir: Path, full: Callable[[bool], None]) -> None:
    """STATUS and what opens the folder after it agree."""
    deliver(maildir, b"x\n", number=1)
    full(True)
    found = Folder(str(maildir), Options(fsync=False))

    told = status.read(found)
    found.synchronise(take_new=True)

    assert (told.uidvalidity, told.uidnext) == (found.uidvalidity, found.uidnext)
    assert told.messages == len(found.columns) == 1


def test_deliver_on_full_disk(maildir: Path, full: Callable[[bool], None]) -> None:
    """The error is raised, no message is left, and what was there stays."""
    base = deliver(maildir, b"old\n", number=1, flags="S")
    found = opened(maildir)
    full(True)
    messages = [prepared(maildir, b"one\n"), prepared(maildir, b"two\n", keywords=("word",))]

    with pytest.raises(OSError):
        found.deliver(messages)

    assert cur(maildir) == [f"{base}:2,S"]
    full(False)
    found.synchronise(take_new=True)
    assert uids(found) == {base: 1}


def test_folder_on_full_disk_can_be_read_and_emptied(
    maildir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where not even courier.lock can be made, messages are there, and can be marked and removed."""
    bases = [deliver(maildir, b"x\n", number=number, flags="") for number in range(2)]
    opened(maildir)
    link = os.link
    monkeypatch.setattr(os, "link", _no_space)

    found = opened(maildir)

    assert uids(found) == {bases[0]: 1, bases[1]: 2}
    assert found.is_writable
    assert found.change_flags([1], DELETED) == {1: Flag.DELETED}
    assert len(found.remove([1, 2], only_deleted=True)) == 1
    found.synchronise(take_new=True)
    assert uids(found) == {bases[1]: 2}
    monkeypatch.setattr(os, "link", link)
    found.synchronise(take_new=True)
    assert uid_database(maildir).uids == {bases[1]: 2}


def _no_space(*_arguments: object, **_options: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


# --- new/ and cur/ ------------------------------------------------------------------------------


def test_new_messages_are_moved_by_who_may_write(maildir: Path) -> None:
    """They get ``:2,`` unless they have an info already, and are told as unseen by any session."""
    base = deliver(maildir, b"x\n", number=1)
    (maildir / "new" / "2.b:2,S").write_bytes(b"x\n")

    found = Folder(str(maildir))
    fresh = found.synchronise(take_new=True)

    assert set(cur(maildir)) == {f"{base}:2,", "2.b:2,S"}
    assert os.listdir(maildir / "new") == []
    assert list(fresh) == [1, 2]
    assert not found.columns.in_new


def test_examined_messages_keep_their_uid(maildir: Path) -> None:
    """EXAMINE leaves them in new/, with a UID that stays when a session may write."""
    base = deliver(maildir, b"x\n", number=1)
    examined = opened(maildir, take_new=False)
    assert uids(examined) == {base: 1}
    assert examined.columns.in_new == {1}
    assert os.listdir(maildir / "new") == [base]
    earlier = deliver(maildir, b"x\n", number=0)

    found = Folder(str(maildir))
    fresh = found.synchronise(take_new=True)

    assert uids(found) == {base: 1, earlier: 2}
    assert list(fresh) == [1, 2]
    assert examined.read(1)[0] == b"x\n"  # it has moved meanwhile


def test_recent_is_claimed_once(maildir: Path) -> None:
    """By the first call that may write, whoever read or moved the message before, or since."""
    deliver(maildir, b"x\n", number=1)
    deliver(maildir, b"x\n", number=2, flags="")
    examining = opened(maildir, take_new=False)

    assert list(examining.synchronise(take_new=True)) == [1, 2]
    assert list(examining.synchronise(take_new=True)) == []


def test_recent_is_claimed_by_one_process(maildir: Path) -> None:
    """A message that one process examined and another took to cur/ is not recent a second time."""
    deliver(maildir, b"x\n", number=1)
    first = opened(maildir, take_new=False)
    second = Folder(str(maildir))
    assert list(second.synchronise(take_new=True)) == [1]

    assert list(first.synchronise(take_new=True)) == []


def test_recent_after_deliver_found_it(maildir: Path) -> None:
    """A message that an APPEND came across is recent for the next session as that of the APPEND."""
    found = opened(maildir)
    deliver(maildir, b"x\n", number=1, flags="")

    found.deliver([prepared(maildir)])

    assert list(found.synchronise(take_new=True)) == [1, 2]


def test_recent_after_deliver_and_nothing_else(maildir: Path) -> None:
    """What was appended is claimed without reading the folder, and only once (RFC 3501 6.3.11)."""
    found = opened(maildir)
    found.deliver([prepared(maildir), prepared(maildir)])

    assert found.synchronise_at_once(take_new=True)
    assert list(found.claim_at_once()) == [1, 2]
    assert list(found.claim_at_once()) == []
    assert list(found.synchronise(take_new=True)) == []


def test_recent_and_removed_before_anybody_looked(maildir: Path) -> None:
    """Only what is still there can be recent."""
    found = opened(maildir)
    found.deliver([prepared(maildir), prepared(maildir)])
    found.remove([1], only_deleted=False)

    assert status.read(found).recent == 1
    assert list(found.synchronise(take_new=True)) == [2]


def test_recent_stays_while_examined(maildir: Path) -> None:
    """EXAMINE shows what it leaves to the next session that may write."""
    found = opened(maildir)
    examined = View(found, read_only=True)
    found.deliver([prepared(maildir)])
    examined.refresh()
    examined.update(expunge=True)

    assert examined.recents() == 1
    assert examined.is_recent(1)
    assert list(found.synchronise(take_new=True)) == [1]


def test_message_arriving_during_the_reading(
    maildir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is found by this reading or the next one, and recent once."""
    moved = scan.take_new
    found = opened(maildir)
    late: list[str] = []

    def taking(path: str) -> object:
        result = moved(path)
        late.append(deliver(maildir, b"x\n", number=1))
        monkeypatch.setattr(scan, "take_new", moved)
        return result

    deliver(maildir, b"x\n", number=0)
    monkeypatch.setattr(scan, "take_new", taking)
    first = list(found.synchronise(take_new=True))
    second = list(found.synchronise(take_new=True))

    assert first + second == [1, 2]
    assert uids(found)[late[0]] == 2
    assert list(found.synchronise(take_new=True)) == []


@pytest.mark.parametrize("same", [True, False])
def test_name_taken_in_cur(maildir: Path, same: bool) -> None:
    """Moving from new/ never replaces another message; a second link to the same one goes."""
    base = deliver(maildir, b"one\n", number=1, flags="")
    if same:
        os.link(maildir / "cur" / f"{base}:2,", maildir / "new" / base)
    else:
        (maildir / "new" / base).write_bytes(b"two\n")

    found = opened(maildir)

    texts = sorted(found.read(uid)[0] for uid in found.columns.uids)
    assert texts == ([b"one\n"] if same else [b"one\n", b"two\n"])
    assert os.listdir(maildir / "new") == []


def test_message_that_cannot_be_moved(maildir: Path) -> None:
    """It stays in new/ and can be read; the others are moved."""
    long = "1." + "x" * 253
    (maildir / "new" / long).write_bytes(b"long\n")
    base = deliver(maildir, b"x\n", number=1)

    found = opened(maildir)

    assert uids(found) == {long: 1, base: 2}
    assert found.columns.in_new == {1}
    assert found.read(1)[0] == b"long\n"
    assert cur(maildir) == [f"{base}:2,"]


# --- Flags --------------------------------------------------------------------------------------


def test_change_flags(maildir: Path) -> None:
    """The file's letters follow, foreign ones stay, and the other columns are shared."""
    for number, letters in enumerate(("", "DPa", "ST")):
        deliver(maildir, b"x\n", number=number, flags=letters)
    found = opened(maildir)
    before = found.columns

    done = found.change_flags([1, 2, 3], FlagChange(add=Flag.SEEN, remove=Flag.DELETED))

    assert done == flags(found) == {1: Flag.SEEN, 2: Flag.SEEN | Flag.DRAFT, 3: Flag.SEEN}
    assert [name.partition(":2,")[2] for name in cur(maildir)] == ["S", "DPSa", "S"]
    assert found.columns.uids is before.uids and found.columns.keywords is before.keywords
    assert list(before.flags) == [0, Flag.DRAFT, Flag.SEEN | Flag.DELETED]
    changes = found.log.since(before.modseqs[0])
    assert changes is not None and changes.changed == {1, 2, 3}


def test_exact_flags(maildir: Path) -> None:
    deliver(maildir, b"x\n", number=1, flags="DRT")
    found = opened(maildir)

    assert found.change_flags([1], FlagChange(add=Flag.SEEN, remove=~0)) == {1: Flag.SEEN}


def test_no_lost_update_between_two_processes(maildir: Path) -> None:
    """Each change is applied to what the disk has, not to what was read."""
    deliver(maildir, b"x\n", number=1, flags="")
    first, second = opened(maildir), opened(maildir)

    first.change_flags([1], FlagChange(add=Flag.FLAGGED))
    done = second.change_flags([1], SEEN)

    assert done == {1: Flag.SEEN | Flag.FLAGGED}
    assert message_files(maildir).popitem()[1] == "FS"
    assert first.change_flags([1], SEEN) == done  # nothing to do, but the name is another one


def test_flags_of_messages_that_are_gone(maildir: Path) -> None:
    """They are left out, the others are changed, and no file appears."""
    bases = [deliver(maildir, b"x\n", number=n, flags="") for n in range(3)]
    found = opened(maildir)
    (maildir / "cur" / f"{bases[1]}:2,").unlink()

    assert found.change_flags([1, 2, 3, 99], SEEN) == {1: Flag.SEEN, 3: Flag.SEEN}

    assert cur(maildir) == [f"{bases[0]}:2,S", f"{bases[2]}:2,S"]


def test_one_listing_serves_many_messages(maildir: Path, listings: list[str]) -> None:
    """However many were renamed or removed by others, cur/ is not listed for each."""
    bases = [deliver(maildir, b"x\n", number=n, flags="") for n in range(40)]
    found = opened(maildir)
    for number, base in enumerate(bases):
        if number % 2:
            renamed(maildir, base, "F")
        else:
            (maildir / "cur" / f"{base}:2,").unlink()
    listings.clear()

    done = found.change_flags(range(1, 41), SEEN)

    assert done == dict.fromkeys(range(2, 41, 2), Flag.SEEN | Flag.FLAGGED)
    assert listings.count("cur") <= 5  # readdir proves an absence only when nothing moves


def test_message_hidden_from_a_listing_is_not_gone(
    maildir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """readdir may miss a file that is renamed meanwhile: it is looked for again."""
    base = deliver(maildir, b"x\n", number=1, flags="")
    found = opened(maildir)
    renamed(maildir, base, "F")
    _hide_once(monkeypatch, maildir, base)

    assert found.read(1)[0] == b"x\n"


def _hide_once(monkeypatch: pytest.MonkeyPatch, maildir: Path, base: str) -> None:
    """Leave a message out of the next listing of cur/, and rename its file meanwhile."""
    listdir = os.listdir
    hidden: list[str] = []

    def hiding(path: Any = ".") -> Any:
        names = listdir(path)
        if not isinstance(path, int) and os.fsdecode(path).endswith("/cur") and not hidden:
            hidden.append(base)
            renamed(maildir, base, "FS")
            return [name for name in names if base not in os.fsdecode(name)]
        return names

    monkeypatch.setattr(os, "listdir", hiding)


def test_flag_change_never_replaces_another_message(maildir: Path) -> None:
    """Even if a restore has put a second message where the renamed one would come to lie."""
    base = deliver(maildir, b"one\n", number=1, flags="")
    found = opened(maildir)
    (maildir / "cur" / f"{base}:2,S").write_bytes(b"two\n")

    assert found.change_flags([1], SEEN) == {1: Flag.SEEN}

    assert found.read(1)[0] == b"one\n"
    found.synchronise(take_new=True)
    assert {found.read(uid)[0] for uid in found.columns.uids} == {b"one\n", b"two\n"}


def test_flags_with_each_call_failing(tmp_path: Path) -> None:
    """The error is raised and the folder knows which names the files have."""
    folders = fresh_maildirs(tmp_path)

    def filled() -> Folder:
        path = next(folders)
        for number in range(3):
            deliver(path, b"x\n", number=number, flags="")
        return opened(path)

    first = filled()
    calls = calls_of(lambda: first.change_flags([1, 2, 3], SEEN))
    assert calls.count("rename") == 3
    for at in range(len(calls)):
        found = filled()
        raised = failed(lambda found=found: found.change_flags([1, 2, 3], SEEN), at, errno.EACCES)

        assert raised is not None or calls[at] != "rename"
        if raised is None:  # what failed was the lock, or the index: the change was made
            found.synchronise(take_new=True)
            assert flags(found) == {1: Flag.SEEN, 2: Flag.SEEN, 3: Flag.SEEN}
        assert sorted(os.fsdecode(name) for name in found.columns.names) == cur(Path(found.path))


# --- Keywords -----------------------------------------------------------------------------------


def test_change_keywords(maildir: Path) -> None:
    """Another process sees them; names compare without regard to case, the first spelling stays."""
    deliver(maildir, b"x\n", number=1, flags="")
    found = opened(maildir)

    found.change_keywords([1], KeywordChange(add=("Work", "later")))
    found.change_keywords([1], KeywordChange(add=("WORK",), remove=("LATER",)))

    assert words(found, 1) == ("Work",)
    assert words(opened(maildir), 1) == ("Work",)
    assert found.keywords_in_use() == ["Work"]
    found.change_keywords([1], KeywordChange(clear=True, add=("Other",)))
    assert words(opened(maildir), 1) == ("Other",)


def test_no_lost_keyword_between_two_processes(maildir: Path) -> None:
    """Each change is applied to what the disk has."""
    deliver(maildir, b"x\n", number=1, flags="")
    first, second = opened(maildir), opened(maildir)

    first.change_keywords([1], KeywordChange(add=("one",)))
    second.change_keywords([1], KeywordChange(add=("two",)))

    assert words(second, 1) == ("one", "two")
    first.synchronise(take_new=True)
    assert words(first, 1) == ("one", "two")


def test_keywords_of_messages_not_seen_yet(maildir: Path) -> None:
    """A process that has not heard of a message leaves its keywords alone."""
    deliver(maildir, b"x\n", number=1, flags="")
    stale, other = opened(maildir), opened(maildir)
    (uid,) = other.deliver([prepared(maildir, keywords=("precious",))])
    for update in (maildir / "courierimapkeywords").glob(".[0-9]*"):
        update.unlink()  # merged long ago

    stale.change_keywords([1], KeywordChange(add=("word",)))

    assert words(opened(maildir), uid) == ("precious",)


def test_keyword_changed_while_the_folder_is_read(
    maildir: Path, monkeypatch: pytest.MonkeyPatch, later: None
) -> None:
    """Courier takes no lock for it, so it may come right after we looked: seen by the next call."""
    base = deliver(maildir, b"x\n", number=1, flags="")
    found = opened(maildir)
    found.change_keywords([1], KeywordChange(add=("first",)))
    load = keywords.load_and_merge

    def loading(*arguments: Any, **options: Any) -> Any:
        loaded = load(*arguments, **options)
        keywords.publish(str(maildir), os.fsencode(base), ("second",), sync=False)
        monkeypatch.setattr(keywords, "load_and_merge", load)
        return loaded

    monkeypatch.setattr(keywords, "load_and_merge", loading)
    found.synchronise(take_new=True)

    found.synchronise(take_new=True)

    assert words(found, 1) == ("second",)


def test_unreadable_keywords(maildir: Path, monkeypatch: pytest.MonkeyPatch, later: None) -> None:
    """The folder opens without them; those known before stay known until they can be read."""
    base = deliver(maildir, b"x\n", number=1, flags="")
    found = opened(maildir)
    found.change_keywords([1], KeywordChange(add=("word",)))
    load = keywords.load_and_merge

    def refusing(*_arguments: Any, **_options: Any) -> Any:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(keywords, "load_and_merge", refusing)
    keywords.publish(str(maildir), os.fsencode(base), ("other",), sync=False)
    another = deliver(maildir, b"x\n", number=2)
    found.synchronise(take_new=True)

    assert uids(found) == {base: 1, another: 2}
    assert words(found, 1) == ("word",)
    assert uids(opened(maildir)) == {base: 1, another: 2}
    monkeypatch.setattr(keywords, "load_and_merge", load)
    found.synchronise(take_new=True)  # though nothing has changed on disk
    assert words(found, 1) == ("other",)


def test_keywords_switched_off(maildir: Path) -> None:
    """IMAP_KEYWORDS=0: none is shown, none is lost."""
    deliver(maildir, b"x\n", number=1, flags="")
    opened(maildir).change_keywords([1], KeywordChange(add=("word",)))

    assert words(opened(maildir, keywords=False), 1) == ()
    assert words(opened(maildir), 1) == ("word",)


# --- Delivering, reading, removing --------------------------------------------------------------


def test_deliver(maildir: Path) -> None:
    """UIDs come in the order given, with flags and keywords, and all are recent."""
    base = deliver(maildir, b"x\n", number=1)
    found = opened(maildir, take_new=False)

    given = found.deliver(
        [
            prepared(maildir, b"one\n", Flag.SEEN, ("word",)),
            prepared(maildir, b"two\n", Flag.DRAFT | Flag.FLAGGED),
        ]
    )

    assert given == [2, 3]
    assert [found.read(uid)[0] for uid in given] == [b"one\n", b"two\n"]
    assert flags(found) == {1: 0, 2: Flag.SEEN, 3: Flag.DRAFT | Flag.FLAGGED}
    assert words(found, 2) == ("word",)
    assert uid_database(maildir).uids == uids(found)
    assert os.listdir(maildir / "new") == [base]
    assert list(found.synchronise(take_new=True)) == [1, 2, 3]
    assert os.listdir(maildir / "tmp") == []


def test_deliver_after_the_folder_became_writable(maildir: Path) -> None:
    """What an earlier reading showed does not matter."""
    found = opened(maildir)
    found._synchroniser.is_writable = False

    assert found.deliver([prepared(maildir)]) == [1]


@pytest.mark.parametrize("fsync", [True, False])
def test_deliver_with_each_call_failing(tmp_path: Path, fsync: bool) -> None:
    """There are all messages under the UIDs returned, or an error and none; tmp/ is empty."""
    folders = fresh_maildirs(tmp_path)

    def ready() -> tuple[Path, Folder, list[Prepared]]:
        path = next(folders)
        deliver(path, b"old\n", number=1, flags="")
        messages = [prepared(path, b"one\n", 0, ("word",)), prepared(path, b"two\n")]
        return path, opened(path, fsync=fsync), messages

    _, found, messages = ready()
    calls = calls_of(lambda: found.deliver(messages))
    assert calls.count("rename") >= 2 and calls.count("fsync") == (5 if fsync else 0)
    for at, call in enumerate(calls):
        path, found, messages = ready()
        given: list[int] = []
        act = partial(_deliver_into, given, found, messages)
        failed(act, at, errno.ENOSPC)
        for message in messages:
            message.file.discard()

        found.synchronise(take_new=True)

        texts = {uid: found.read(uid)[0] for uid in found.columns.uids}
        if given:
            assert texts == {1: b"old\n", given[0]: b"one\n", given[1]: b"two\n"}, (at, call)
            assert words(found, given[0]) == ("word",), (at, call)
        else:
            assert texts == {1: b"old\n"}, (at, call)
        assert uid_database(path).uids == uids(found)
        left = [name for name in os.listdir(path / "tmp") if call != "unlink"]
        assert left == [], (at, call)


def _deliver_into(given: list[int], found: Folder, messages: Sequence[Prepared]) -> None:
    given.extend(found.deliver(messages))


def test_read(maildir: Path) -> None:
    """The octets and the date, also when another program has renamed the file."""
    base = deliver(maildir, b"text\n", number=1, flags="", date=1_234_567)
    found = opened(maildir)
    renamed(maildir, base, "RS")

    text, status = found.read(1)

    assert (text, status.st_mtime) == (b"text\n", 1_234_567)
    assert found.stat(1).st_mtime == 1_234_567


def test_read_message_that_is_gone(maildir: Path) -> None:
    base = deliver(maildir, b"x\n", number=1, flags="")
    found = opened(maildir)
    (maildir / "cur" / f"{base}:2,").unlink()

    for uid in (1, 2):
        with pytest.raises(MessageGone):
            found.read(uid)
        with pytest.raises(MessageGone):
            found.stat(uid)
    assert found.current(1) == (0, 0)
    assert found.current(2) is None


def test_read_what_is_no_message_file(maildir: Path, tmp_path: Path) -> None:
    """A link, a FIFO and a directory in cur/ are errors of one message, and nothing hangs."""
    (tmp_path / "secret").write_bytes(b"secret")
    (maildir / "cur" / "1.link:2,").symlink_to(tmp_path / "secret")
    os.mkfifo(maildir / "cur" / "2.fifo:2,")
    (maildir / "cur" / "3.directory:2,").mkdir()
    base = deliver(maildir, b"x\n", number=4, flags="")
    found = opened(maildir)

    for uid in (1, 2, 3):
        with pytest.raises(OSError) as refusal:
            found.read(uid)
        assert not isinstance(refusal.value, MessageGone)
    assert found.read(uids(found)[base])[0] == b"x\n"


def test_remove_only_what_is_marked_on_disk(maildir: Path) -> None:
    """A message that another program has un-deleted stays, one it has deleted goes."""
    bases = [deliver(maildir, b"x\n", number=n, flags=f) for n, f in enumerate(("T", "T", ""))]
    found = opened(maildir)
    renamed(maildir, bases[1], "S")
    renamed(maildir, bases[2], "T")

    removed = found.remove([1, 2, 3, 99], only_deleted=True)

    assert removed == [f"{bases[0]}:2,T".encode(), f"{bases[2]}:2,T".encode()]
    assert cur(maildir) == [f"{bases[1]}:2,S"]
    found.synchronise(take_new=True)
    assert uids(found) == {bases[1]: 2}
    assert uid_database(maildir).uids == {bases[1]: 2}


def test_remove_all(maildir: Path) -> None:
    """MOVE removes whatever flags a message has."""
    deliver(maildir, b"x\n", number=1, flags="S")
    found = opened(maildir)

    assert len(found.remove([1], only_deleted=False)) == 1
    assert cur(maildir) == []


def test_folder_gone(maildir: Path) -> None:
    """Every call says so, and nothing is made anew."""
    deliver(maildir, b"x\n", number=1, flags="")
    found = opened(maildir)
    shutil.rmtree(maildir)

    with pytest.raises(FolderGone):
        found.synchronise(take_new=True)
    with pytest.raises(FileNotFoundError):
        found.read(1)
    assert not maildir.exists()


# --- The directory-time shortcut ----------------------------------------------------------------


def test_nothing_is_listed_when_nothing_changed(
    maildir: Path, later: None, listings: list[str]
) -> None:
    """Four times are looked at, and no directory is read, for reading and writing sessions."""
    deliver(maildir, b"x\n", number=1)
    found = opened(maildir)
    found.change_keywords([1], KeywordChange(add=("word",)))
    for _ in range(3):  # what we changed ourselves shows once
        found.synchronise(take_new=True)
    before = found.columns
    listings.clear()

    for take_new in (True, False):
        assert list(found.synchronise(take_new=take_new)) == []

    assert listings == []
    assert found.columns is before


Change = Callable[[Path, str], object]


def _publish(path: Path, base: str) -> None:
    keywords.publish(str(path), os.fsencode(base), ("word",), sync=False)


@pytest.mark.parametrize(
    "change",
    [
        lambda path, base: deliver(path, b"x\n", number=2),
        lambda path, base: deliver(path, b"x\n", number=2, flags="S"),
        lambda path, base: renamed(path, base, "F"),
        lambda path, base: (path / "cur" / f"{base}:2,").unlink(),
        _publish,
    ],
    ids=["delivered", "appended", "flagged", "removed", "keyword"],
)
@pytest.mark.parametrize("age", ["fresh", "settled"])
def test_every_change_by_others_is_seen(
    maildir: Path, change: Change, age: str, request: pytest.FixtureRequest
) -> None:
    """Right after a reading, within one tick of the clock, as well as long after."""
    base = deliver(maildir, b"x\n", number=1, flags="")
    if age == "settled":
        request.getfixturevalue("later")
    found = opened(maildir)
    before = found.columns

    change(maildir, base)
    found.synchronise(take_new=True)

    assert _rows(found.columns) != _rows(before)


def _rows(columns: Columns) -> list[tuple[int, bytes, int, int]]:
    return list(zip(columns.uids, columns.names, columns.flags, columns.keywords, strict=True))


def test_change_within_the_same_tick(maildir: Path) -> None:
    """A change that left the directory's times as they were is seen, while they are young."""
    base = deliver(maildir, b"x\n", number=1, flags="")
    found = opened(maildir)
    before = os.stat(maildir / "cur")
    renamed(maildir, base, "S")
    os.utime(maildir / "cur", ns=(before.st_atime_ns, before.st_mtime_ns))

    found.synchronise(take_new=True)

    assert flags(found) == {1: Flag.SEEN}


def test_directory_times_set_back(maildir: Path, later: None) -> None:
    """A restore that gives directories their old times does not hide what it restored."""
    base = deliver(maildir, b"x\n", number=1, flags="")
    found = opened(maildir)
    found.synchronise(take_new=True)
    before = os.stat(maildir / "cur")
    restored = deliver(maildir, b"x\n", number=2, flags="")
    os.utime(maildir / "cur", ns=(before.st_atime_ns, before.st_mtime_ns))

    found.synchronise(take_new=True)

    assert uids(found) == {base: 1, restored: 2}


def test_directory_times_in_the_future(maildir: Path, listings: list[str], later: None) -> None:
    """A time that lies ahead proves nothing: unwatched, the directory is read each time."""
    deliver(maildir, b"x\n", number=1, flags="")
    found = opened(maildir, use_locks=False)
    ahead = scan.time.time_ns() + 3600 * 10**9
    os.utime(maildir / "cur", ns=(ahead, ahead))
    found.synchronise(take_new=True)
    listings.clear()

    found.synchronise(take_new=True)

    assert "cur" in listings


def test_clock_set_back(maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Times from before the clock was set back count as being in the future."""
    base = deliver(maildir, b"x\n", number=1, flags="")
    now = scan.time.time_ns()
    monkeypatch.setattr(scan.time, "time_ns", lambda: now - 3600 * 10**9)
    found = opened(maildir)
    before = os.stat(maildir / "cur")
    renamed(maildir, base, "S")
    os.utime(maildir / "cur", ns=(before.st_atime_ns, before.st_mtime_ns))

    found.synchronise(take_new=True)

    assert flags(found) == {1: Flag.SEEN}


def test_own_changes_do_not_hide_others(maildir: Path, later: None) -> None:
    """Between our rename and the next reading another program renamed too: both are known."""
    bases = [deliver(maildir, b"x\n", number=n, flags="") for n in range(2)]
    found = opened(maildir)

    found.change_flags([1], SEEN)
    renamed(maildir, bases[1], "F")
    found.synchronise(take_new=True)

    assert flags(found) == {1: Flag.SEEN, 2: Flag.FLAGGED}


# --- readdir is no snapshot ---------------------------------------------------------------------


def test_file_renamed_while_its_directory_is_listed(
    maildir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Missing from that listing, it is not taken for expunged, and keeps its UID."""
    bases = [deliver(maildir, b"x\n", number=n, flags="") for n in range(2)]
    found = opened(maildir, use_locks=False)
    before = found.log.highest
    _hide_once(monkeypatch, maildir, bases[0])

    found.synchronise(take_new=True)
    found.synchronise(take_new=True)

    assert uids(found) == {bases[0]: 1, bases[1]: 2}
    assert flags(found) == {1: Flag.FLAGGED | Flag.SEEN, 2: 0}
    changes = found.log.since(before)
    assert changes is not None and not changes.vanished
    assert uid_database(maildir).uids == uids(found)


def test_file_listed_under_both_names(maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rename during the listing may show both: one message, with the flags that it has."""
    base = deliver(maildir, b"x\n", number=1, flags="S")
    found = opened(maildir, use_locks=False)
    listdir = os.listdir

    def doubling(path: Any = ".") -> Any:
        names = listdir(path)
        if isinstance(path, bytes) and path.endswith(b"/cur"):
            return [*names, f"{base}:2,".encode()]
        return names

    monkeypatch.setattr(os, "listdir", doubling)
    found.synchronise(take_new=True)
    monkeypatch.setattr(os, "listdir", listdir)
    found.synchronise(take_new=True)

    assert flags(found) == {1: Flag.SEEN}
    assert cur(maildir) == [f"{base}:2,S"]


# --- Duplicates of a base name ------------------------------------------------------------------


def _duplicated(path: Path, texts: Sequence[bytes | None]) -> str:
    """Files of one base name with different flags; None is another link to the first."""
    base = deliver(path, texts[0] or b"", number=1, flags="")
    for letter, text in zip("DFRST", texts[1:], strict=False):
        target = path / "cur" / f"{base}:2,{letter}"
        if text is None:
            os.link(path / "cur" / f"{base}:2,", target)
        else:
            target.write_bytes(text)
    return base


@pytest.mark.parametrize("known", [True, False])
def test_two_messages_with_one_base_name(maildir: Path, known: bool) -> None:
    """Both can be read; the one that had the UID keeps it."""
    base = deliver(maildir, b"one\n", number=1, flags="")
    found = opened(maildir) if known else Folder(str(maildir))
    for letter in "DFRST":
        (maildir / "cur" / f"{base}:2,{letter}").write_bytes(f"{letter}\n".encode())

    found.synchronise(take_new=True)
    found.synchronise(take_new=True)

    texts = {found.read(uid)[0]: uid for uid in found.columns.uids}
    assert set(texts) == {b"one\n", b"D\n", b"F\n", b"R\n", b"S\n", b"T\n"}
    assert uids(found).get(base) == 1
    if known:
        assert texts[b"one\n"] == 1
    assert uid_database(maildir).uids == uids(found)


def test_one_message_with_two_names(maildir: Path) -> None:
    """Of two links to one file one goes, and one message is left."""
    base = _duplicated(maildir, [b"one\n", None, None])

    found = opened(maildir)
    found.synchronise(take_new=True)

    assert uids(found) == {base: 1}
    assert found.read(1)[0] == b"one\n"
    assert len(cur(maildir)) == 1


def test_duplicates_are_left_by_who_may_not_write(maildir: Path) -> None:
    """EXAMINE shows one of the two, and changes nothing."""
    base = _duplicated(maildir, [b"one\n", b"two\n", None])
    before = cur(maildir)

    found = opened(maildir, take_new=False)

    assert uids(found) == {base: 1}
    assert cur(maildir) == before


# --- Hostile directories ------------------------------------------------------------------------


def test_database_lost_while_another_session_asks_for_status(maildir: Path) -> None:
    """What is written in its place is what was known."""
    deliver(maildir, b"x\n", number=1)
    found = opened(maildir)
    text = (maildir / "courierimapuiddb").read_bytes()
    (maildir / "courierimapuiddb").unlink()

    database = found.begin()

    assert (maildir / "courierimapuiddb").read_bytes() == text
    assert (database.uidvalidity, list(database.uids)) == (found.uidvalidity, [1])


def test_older_database_brought_back(maildir: Path) -> None:
    """By a restore from a backup: UIDs told since are put back, none is given a second time."""
    base = deliver(maildir, b"x\n", number=1)
    found = opened(maildir)
    backup = (maildir / "courierimapuiddb").read_bytes()
    gone, kept = (deliver(maildir, b"x\n", number=number) for number in (2, 3))
    found.synchronise(take_new=True)
    found.remove([uids(found)[gone]], only_deleted=False)
    (maildir / "courierimapuiddb").write_bytes(backup)

    another = deliver(maildir, b"x\n", number=4)
    found.synchronise(take_new=True)

    assert uids(found) == {base: 1, kept: 3, another: 4}
    assert uid_database(maildir).uids == uids(found)


def test_folder_renumbered_while_it_is_open(maildir: Path) -> None:
    """Nothing is read or changed under the numbers told before, and the folder says it is void."""
    bases = [deliver(maildir, b"x\n", number=number, flags="") for number in range(2)]
    found = opened(maildir)
    text = f"1 {found.uidvalidity + 1} 3\n1 {bases[1]}\n2 {bases[0]}\n"
    (maildir / "courierimapuiddb").write_text(text)

    found.synchronise(take_new=True)

    assert found.is_void
    with pytest.raises(MessageGone):
        found.read(1)
    assert found.current(1) is None
    assert found.change_flags([1], SEEN) == {}
    assert found.change_keywords([1], KeywordChange(add=("word",))) == {}
    assert found.remove([1], only_deleted=False) == []
    assert cur(maildir) == sorted(f"{base}:2," for base in bases)
    assert found.deliver([prepared(maildir)]) == [3]  # this is told with the new UIDVALIDITY
    assert found.uidvalidity == uid_database(maildir).uidvalidity


def test_stray_names(maildir: Path) -> None:
    """Dot files and names that courierimapuiddb can't hold are no messages; others are."""
    for name in (".hidden:2,", "a\nb:2,S", ":2,S", "1.\xff\udcff:2,S", "2. space:2,", "3.a:b:2,S"):
        (maildir / "cur" / name).write_bytes(b"x\n")

    found = opened(maildir)

    assert set(uids(found)) == {"1.\xff\udcff", "2. space", "3.a"}
    assert found.read(uids(found)["3.a"])[0] == b"x\n"
    assert uids(opened(maildir)) == uids(found)


def test_tmp_that_is_a_link(maildir: Path, tmp_path: Path) -> None:
    """An administrator may have put tmp/ elsewhere on the file system: nothing there is purged."""
    (maildir / "tmp").rmdir()
    (tmp_path / "elsewhere").mkdir()
    (maildir / "tmp").symlink_to(tmp_path / "elsewhere")
    base = deliver(maildir, b"x\n", number=1, flags="")

    assert uids(opened(maildir)) == {base: 1}


def test_cur_that_is_no_directory(maildir: Path) -> None:
    (maildir / "cur").rmdir()
    (maildir / "cur").write_bytes(b"")

    with pytest.raises(NotADirectoryError):
        opened(maildir)


def test_purge(maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """tmp/ is purged when a folder is read, but not at every reading."""
    found = Folder(str(maildir))
    purged: list[str] = []
    monkeypatch.setattr(
        folder.delivery, "purge_tmp", lambda path, now: purged.append(path) or len(purged)
    )

    for number in range(3):
        deliver(maildir, b"x\n", number=number)
        found.synchronise(take_new=True)

    assert purged == [str(maildir)]


@pytest.fixture(autouse=True)
def _no_descriptor_is_left() -> Iterator[None]:
    """Whatever a test does, the store closes what it opened."""
    before = open_files()
    yield
    assert open_files() == before

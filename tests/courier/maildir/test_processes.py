"""The store among threads, processes, users and servers that share a folder, and when one of them dies."""

from __future__ import annotations

import os
import random
import threading
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from courier.maildir import numbering, status, uiddb
from courier.maildir.filename import Flag
from courier.maildir.folder import FlagChange, Folder, KeywordChange, Options
from courier.maildir.store import Store
from courier.maildir.view import View
from tests.conftest import Start
from tests.courier.maildir.test_delivery import calls_of, fresh_maildirs, killed
from tests.courier.maildir.test_folder import DELETED, SEEN, flags, opened, prepared, uids, words
from tests.support.maildirs import (
    deliver,
    let_others_enter,
    make_maildir,
    message_files,
    uid_database,
)
from tests.support.servers import Implementation


def in_child(action: Callable[[], object]) -> int:
    """Run ``action`` in a process of its own; return its pid. An exception is its status 1."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            action()
            code = 0
        except BaseException as error:
            traceback.print_exception(error)
        finally:
            os._exit(code)
    return pid


def await_success(*pids: int) -> None:
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * len(pids)


# --- Threads and processes ----------------------------------------------------------------------


def _append_many(path: Path, who: int, count: int) -> None:
    """Append messages, and write down which UID each was given."""
    folder = Folder(str(path), Options(fsync=False))
    told = []
    for number in range(count):
        text = b"%d %d\n" % (who, number)
        (uid,) = folder.deliver([prepared(path, text, 0, (f"k{who}",))])
        told.append(b"%d %b" % (uid, text))
        if number % 3 == who % 3:
            folder.synchronise(take_new=True)
            mine = [int(line.split()[0]) for line in told]
            folder.change_flags(mine[-3:], FlagChange(add=Flag.SEEN))
    (path.parent / f"told{who}").write_bytes(b"".join(told))


def _told(path: Path) -> dict[int, bytes]:
    told: dict[int, bytes] = {}
    for file in path.parent.glob("told*"):
        for line in file.read_bytes().splitlines(keepends=True):
            uid, _, text = line.partition(b" ")
            assert int(uid) not in told, "a UID was given twice"
            told[int(uid)] = text
    return told


@pytest.mark.slow
def test_processes_append_at_once(maildir: Path) -> None:
    """Every UID told belongs to the message for which it was told; no flag or keyword is lost."""
    await_success(*[in_child(partial(_append_many, maildir, who, 15)) for who in range(4)])

    folder = opened(maildir)
    told = _told(maildir)
    assert len(told) == 60
    assert {uid: folder.read(uid)[0] for uid in folder.columns.uids} == told
    assert uid_database(maildir).uids == uids(folder)
    for uid, text in told.items():
        assert words(folder, uid) == (f"k{text.split()[0].decode()}",)
    assert sorted(flags(folder).values()) == [0] * (60 - _seen(maildir)) + [8] * _seen(maildir)
    assert os.listdir(maildir / "tmp") == []


def _seen(path: Path) -> int:
    return sum("S" in letters for letters in message_files(path).values())


def test_threads_share_one_folder(maildir: Path) -> None:
    """Sessions of one process, each in its thread: UIDs are unique and every view becomes true."""
    store = Store(Options(fsync=False))
    failures: list[BaseException] = []
    given: list[int] = []

    def session(who: int) -> None:
        try:
            view = View(store.open(str(maildir)), read_only=who == 0)
            chance = random.Random(who)
            for _ in range(12):
                view.refresh()
                view.update(expunge=True)
                if who:
                    given.extend(view.folder.deliver([prepared(maildir)]))
                    some = chance.sample(list(view.uids), min(3, len(view.uids)))
                    view.folder.change_flags(some, chance.choice([SEEN, DELETED]))
                    view.folder.remove(some[:1], only_deleted=True)
            view.refresh()
            view.update(expunge=True)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=session, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert len(set(given)) == len(given) == 36
    folder = store.open(str(maildir))
    folder.synchronise(take_new=True)
    assert flags(folder) == flags(opened(maildir))
    assert folder.uidnext == 37


def test_two_processes_change_flags_at_once(maildir: Path) -> None:
    """Each sets its own flag on every message: no change is lost, without any lock."""
    for number in range(30):
        deliver(maildir, b"x\n", number=number, flags="")
    opened(maildir)

    def change(flag: Flag, order: int) -> None:
        folder = opened(maildir)
        for uid in list(folder.columns.uids)[::order]:
            assert folder.change_flags([uid], FlagChange(add=flag)), uid

    await_success(
        in_child(partial(change, Flag.SEEN, 1)),
        in_child(partial(change, Flag.FLAGGED, 1)),
        in_child(partial(change, Flag.ANSWERED, -1)),
    )

    assert set(message_files(maildir).values()) == {"FRS"}


# --- Other users --------------------------------------------------------------------------------

OTHER = 65534


def as_other(action: Callable[[], object], group: int = OTHER) -> None:
    """Run ``action`` as a user who owns nothing here."""

    def run() -> None:
        os.setgroups([])
        os.setresgid(group, group, group)
        os.setresuid(OTHER, OTHER, OTHER)
        action()

    await_success(in_child(run))


@pytest.fixture
def shared(maildir: Path) -> Path:
    """A maildir that everybody may read and nobody else may write, with two messages."""
    if os.geteuid() != 0:
        pytest.skip("missing: root, to become another user")
    let_others_enter(maildir)
    for number in range(2):
        deliver(maildir, b"x\n", number=number, flags="S")
    opened(maildir).change_keywords([1], KeywordChange(add=("word",)))
    opened(maildir)
    for directory in ("new", "cur", "tmp", "courierimapkeywords"):
        (maildir / directory).chmod(0o755)
    return maildir


@pytest.mark.root
def test_folder_of_another_user(shared: Path) -> None:
    """It is read with the UIDs it has; new mail is not seen; nothing is written and nothing logged."""
    known = uids(opened(shared))
    deliver(shared, b"new\n", number=5)
    before = sorted(str(file) for file in shared.rglob("*"))

    def look() -> None:
        folder = Folder(str(shared))
        assert list(folder.synchronise(take_new=True)) == []
        assert not folder.is_writable
        assert uids(folder) == known
        assert words(folder, 1) == ("word",)
        assert folder.read(1)[0] == b"x\n"
        view = View(folder, read_only=True)
        view.refresh()
        assert view.update(expunge=True).exists == 2
        for call in (
            lambda: folder.change_flags([1], FlagChange(remove=Flag.SEEN)),
            lambda: folder.change_keywords([1], KeywordChange(add=("x",))),
            lambda: folder.remove([1], only_deleted=False),
            lambda: prepared(shared),
        ):
            with pytest.raises(PermissionError):
                call()
        found = status.read(Folder(str(shared)))
        assert (found.messages, found.recent, found.uidnext) == (3, 1, 4)

    as_other(look)

    assert sorted(str(file) for file in shared.rglob("*")) == before


@pytest.mark.root
def test_folder_of_another_user_without_uids(shared: Path) -> None:
    """No UID can be told that would stay: an error, and the folder untouched."""
    (shared / "courierimapuiddb").unlink()

    def look() -> None:
        with pytest.raises(PermissionError):
            Folder(str(shared)).synchronise(take_new=True)

    as_other(look)

    assert not (shared / "courierimapuiddb").exists()


@pytest.mark.root
@pytest.mark.parametrize("name", ["cur", "new", "courierimapuiddb", "."])
def test_folder_that_may_not_be_read(shared: Path, name: str) -> None:
    """The error says which path; an unreadable UID database is not taken for a missing one."""
    (shared / name).chmod(0)

    def look() -> None:
        with pytest.raises(PermissionError) as refusal:
            Folder(str(shared)).synchronise(take_new=True)
        assert str(shared) in os.fsdecode(refusal.value.filename)

    as_other(look)


@pytest.mark.root
def test_unreadable_keywords_of_another_user(shared: Path) -> None:
    """The folder opens without keywords."""
    (shared / "courierimapkeywords").chmod(0)

    def look() -> None:
        folder = opened(shared)
        assert len(folder.columns) == 2
        assert words(folder, 1) == ()

    as_other(look)


@pytest.mark.root
def test_folder_shared_by_a_group(shared: Path) -> None:
    """Files of another user in directories that we may write: all works, and stays readable for them."""
    group = 54321
    for directory in (shared, *(file for file in shared.rglob("*") if file.is_dir())):
        os.chown(directory, 0, group)
        directory.chmod(0o2775)
    deliver(shared, b"new\n", number=5)

    def work() -> None:
        os.umask(0o002)
        folder = opened(shared)
        assert folder.is_writable
        assert len(folder.columns) == 3
        assert folder.change_flags([1], DELETED) == {1: Flag.DELETED | Flag.SEEN}
        folder.change_keywords([2], KeywordChange(add=("theirs",)))
        assert folder.deliver([prepared(shared, b"ours\n")]) == [4]
        assert len(folder.remove([1], only_deleted=True)) == 1
        folder.synchronise(take_new=True)

    as_other(work, group)

    folder = opened(shared)
    assert list(folder.columns.uids) == [2, 3, 4]
    assert words(folder, 2) == ("theirs",)
    assert folder.read(4)[0] == b"ours\n"
    assert folder.change_keywords([2], KeywordChange(remove=("theirs",))) == {2: 0}


# --- Beside Courier -----------------------------------------------------------------------------


@pytest.mark.courier
@pytest.mark.slow
def test_courier_before_during_and_after(
    maildir: Path, courier: Implementation, start: Start
) -> None:
    """UIDs, UIDVALIDITY, flags and keywords are the same for both at every step."""
    deliver(maildir, b"Subject: 1\n\nx\n", number=1)
    deliver(maildir, b"Subject: 2\n\nx\n", number=2, flags="FS")
    client = start(courier).client
    client.command("SELECT INBOX")
    client.command("STORE 1 +FLAGS (before)")
    folder = opened(maildir)
    chance = random.Random(1)

    def agree() -> None:
        folder.synchronise(take_new=True)
        client.command("NOOP")
        theirs = {
            item["UID"]: sorted(flag.decode().lower() for flag in item["FLAGS"])
            for item in (client.fetch("1:*", "(UID FLAGS)") if folder.columns.uids else {}).values()
        }
        names = {1: "\\draft", 2: "\\flagged", 4: "\\answered", 8: "\\seen", 16: "\\deleted"}
        ours = {
            uid: sorted(
                [name for flag, name in names.items() if value & flag]
                + [word.lower() for word in words(folder, uid)]
            )
            for uid, value in flags(folder).items()
        }
        assert ours == {
            uid: [flag for flag in found if flag != "\\recent"] for uid, found in theirs.items()
        }
        assert uid_database(maildir).uids == uids(folder)
        assert uid_database(maildir).uidvalidity == folder.uidvalidity
        assert uid_database(maildir).uidnext == folder.uidnext

    agree()
    for number in range(40):
        told = list(folder.columns.uids)
        some = chance.sample(told, min(len(told), 2))
        action = chance.randrange(8)
        if action == 0:
            deliver(maildir, b"Subject: new\n\nx\n", number=10 + number, flags=None)
        elif action == 1:
            folder.deliver([prepared(maildir, b"Subject: ours\n\nx\n", 8, ("ours",))])
        elif action == 2:
            client.append("INBOX", b"Subject: theirs\r\n\r\nx\r\n", "(\\Seen theirs)")
        elif action == 3:
            folder.change_flags(some, chance.choice([SEEN, DELETED, FlagChange(add=2, remove=8)]))
        elif action == 4:
            folder.change_keywords(some, KeywordChange(add=("red",), remove=("blue", "ours")))
        elif action == 5 and some:
            # Courier: works on the flags of its last scan, so let it see first.
            client.command("NOOP")
            client.command(f"UID STORE {some[0]} +FLAGS (blue \\Answered)")
        elif action == 6 and told and chance.random() < 0.5:
            folder.remove(
                [u for u, f in flags(folder).items() if f & Flag.DELETED], only_deleted=True
            )
        elif action == 7:
            client.command("EXPUNGE")
        agree()
    after = start(courier).client
    after.command("SELECT INBOX")
    assert [item["UID"] for item in after.fetch("1:*", "UID").values()] == list(folder.columns.uids)


@pytest.mark.courier
def test_courier_and_base_names_with_a_colon(
    maildir: Path, courier: Implementation, start: Start
) -> None:
    """A host name with a colon: the UID is the same for both, from one reading to the next."""
    (maildir / "cur" / "1.M1P1.host:12,S=13:2,S").write_bytes(b"Subject: 1\n\nx\n")
    deliver(maildir, b"Subject: 2\n\nx\n", number=2, flags="S")
    before = list(opened(maildir).columns.uids)

    for _ in range(2):
        client = start(courier).client
        client.command("SELECT INBOX")
        client.command("STORE 1 +FLAGS (word)")
        client.command("NOOP")  # merges the keyword
        assert [item["UID"] for item in client.fetch("1:*", "UID").values()] == before
        folder = opened(maildir)
        assert list(folder.columns.uids) == before
        assert words(folder, 1) == ("word",)
        folder.change_flags([1], FlagChange(add=Flag.FLAGGED))


@pytest.mark.courier
def test_courier_and_a_database_with_appended_lines(
    maildir: Path, courier: Implementation, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It keeps every UID, gives a new message the number that the header states, and drops our mark;
    we take its file as it is.
    """
    monkeypatch.setattr(numbering, "APPENDED_FROM", 4)
    monkeypatch.setattr(numbering, "_LEAST_AHEAD", 8)
    for number in range(6):
        deliver(maildir, b"Subject: x\n\nx\n", number=number, flags="")
    folder = opened(maildir)
    for _ in range(3):
        folder.deliver([prepared(maildir, b"Subject: ours\n\nx\n")])
    text = (maildir / "courierimapuiddb").read_bytes()
    assert uiddb.MARK in text and b" 9 " not in text.partition(b"\n")[0]
    told = uids(folder)

    client = start(courier).client
    client.command("SELECT INBOX")
    seen = [item["UID"] for item in client.fetch("1:*", "UID").values()]

    assert seen == sorted(told.values())
    header = int(text.split()[2])
    assert header > folder.uidnext
    client.append("INBOX", b"Subject: theirs\r\n\r\nx\r\n")
    rewritten = uid_database(maildir)
    assert uiddb.MARK not in (maildir / "courierimapuiddb").read_bytes()
    assert rewritten.uids.items() > told.items()
    assert set(rewritten.uids.values()) - set(told.values()) == {header}
    folder.synchronise(take_new=True)
    assert uids(folder) == rewritten.uids
    (given,) = folder.deliver([prepared(maildir)])
    assert given == header + 1


@pytest.mark.courier
def test_courier_and_a_line_torn_by_a_crash(
    maildir: Path, courier: Implementation, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It drops that line alone; the message gets a UID above all that were ever given."""
    monkeypatch.setattr(numbering, "APPENDED_FROM", 4)
    for number in range(6):
        deliver(maildir, b"Subject: x\n\nx\n", number=number, flags="")
    folder = opened(maildir)
    (given,) = folder.deliver([prepared(maildir, b"Subject: ours\n\nx\n")])
    told = uids(folder)
    database = maildir / "courierimapuiddb"
    database.write_bytes(database.read_bytes()[:-5])

    client = start(courier).client
    client.command("SELECT INBOX")
    seen = [item["UID"] for item in client.fetch("1:*", "UID").values()]

    assert seen[:-1] == [uid for uid in told.values() if uid != given]
    assert seen[-1] > given


# --- Dying --------------------------------------------------------------------------------------


def _deliver(folder: Folder) -> object:
    path = Path(folder.path)
    return folder.deliver([prepared(path, b"one\n", 0, ("new",)), prepared(path, b"two\n")])


def _take_new(folder: Folder) -> object:
    for number in (7, 8):
        deliver(Path(folder.path), b"arrived\n", number=number)
    return folder.synchronise(take_new=True)


def _flags(folder: Folder) -> object:
    return folder.change_flags([1, 2, 3], FlagChange(add=Flag.FLAGGED))


def _keywords(folder: Folder) -> object:
    folder.change_keywords([1, 2], KeywordChange(add=("new",)))
    return folder.synchronise(take_new=True)


def _remove(folder: Folder) -> object:
    folder.remove([2, 3], only_deleted=True)
    return folder.synchronise(take_new=True)


def _ready(path: Path) -> Folder:
    for number, letters in enumerate(("", "T", "ST")):
        deliver(path, b"old %d\n" % number, number=number, flags=letters)
    folder = opened(path)
    folder.change_keywords([1, 2, 3], KeywordChange(add=("kept",)))
    folder.synchronise(take_new=True)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("operation", [_deliver, _take_new, _flags, _keywords, _remove])
def test_killed_before_each_call(tmp_path: Path, operation: Callable[[Folder], object]) -> None:
    """Nothing is lost, no UID told before belongs to another message, and the next process goes on."""
    folders = fresh_maildirs(tmp_path)
    first = _ready(next(folders))
    first.options = Options(fsync=True)
    calls = calls_of(partial(operation, first))
    for at, call in enumerate(calls):
        path = next(folders)
        folder = _ready(path)
        folder.options = Options(fsync=True)
        told = uids(folder)
        killed(partial(operation, folder), at)
        where = (at, call)

        found = opened(path)

        now, texts = uids(found), {uid: found.read(uid)[0] for uid in found.columns.uids}
        for base, uid in told.items():
            if operation is _remove and uid != 1 and base not in now:
                continue
            assert now[base] == uid, where
            assert texts[uid] == b"old %d\n" % (uid - 1), where
            assert "kept" in words(found, uid), where
        fresh = {uid: text for uid, text in texts.items() if uid not in told.values()}
        assert all(uid >= 4 for uid in fresh), where
        assert set(fresh.values()) <= {b"one\n", b"two\n", b"arrived\n"}, where
        assert len(fresh) <= 2, where
        if operation is _take_new:
            arrived = len(os.listdir(path / "cur")) + len(os.listdir(path / "new")) - 3
            assert len(fresh) == arrived, where
        for uid, text in fresh.items():
            if text == b"one\n":
                # Between landing and publishing there is a message without its keywords.
                assert words(found, uid) in ((), ("new",)), where
        # The next one can work, at once, and leaves a database that Courier reads.
        assert found.deliver([prepared(path)]) == [found.uidnext - 1], where
        assert uid_database(path).uids == uids(found), where


def test_lock_of_a_dead_process_costs_no_wait(maildir: Path) -> None:
    """It is recognised, and broken; the folder is usable within the test's patience."""
    deliver(maildir, b"x\n", number=1)

    def die_locked() -> None:
        folder = Folder(str(maildir))
        folder._synchroniser._read = lambda *_arguments, **_options: os._exit(0)  # type: ignore[method-assign]
        folder.synchronise(take_new=True)

    await_success(in_child(die_locked))
    assert os.path.exists(maildir / "tmp" / "courier.lock")
    begun = time.process_time()

    assert list(opened(maildir).columns.uids) == [1]
    assert time.process_time() - begun < 1  # no busy waiting either
    assert os.listdir(maildir / "tmp") == []


def test_fork_while_another_thread_holds_the_folder(tmp_path: Path) -> None:
    """A child starts with folders of its own, not with its parent's locks."""
    path = make_maildir(tmp_path / "m")
    deliver(path, b"x\n", number=1)
    folder = opened(path)

    with folder._synchroniser.mutex:
        await_success(in_child(lambda: opened(path).change_flags([1], SEEN)))

    assert message_files(path).popitem()[1] == "S"

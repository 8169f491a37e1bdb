"""courier.maildir.lock: never two holders, never a lock left behind."""

import errno
import os
import random
import signal
import socket
import threading
import time
from array import array
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from courier.maildir import lock as lock_module
from courier.maildir import uiddb
from courier.maildir.lock import FolderLock, LockTimeout
from courier.maildir.uiddb import UidDb
from tests.conftest import Start
from tests.courier.maildir.test_delivery import calls_of, failed, fresh_maildirs
from tests.support import maildirs
from tests.support.courier_lock import awoken
from tests.support.open_files import open_before, open_now
from tests.support.servers import Implementation

HOST = socket.gethostname()


@pytest.fixture
def lock_file(maildir: Path) -> Path:
    return maildir / "tmp" / "courier.lock"


@pytest.fixture
def sleeper() -> Iterator[int]:
    """The pid of a process that lives as long as the test."""
    pid = start_process(signal.pause)
    yield pid
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def start_process(work: Callable[[], object]) -> int:
    """Run ``work`` in a process; its status is 0 if nothing was raised."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        work()
        status = 0
    finally:
        os._exit(status)


def dead_pid() -> int:
    pid = start_process(lambda: None)
    os.waitpid(pid, 0)
    return pid


def finish(pids: list[int]) -> None:
    """Await all at once: a dead process counts as living until its parent has noticed."""
    with ThreadPoolExecutor(len(pids)) as waiting:
        assert {status for _, status in waiting.map(lambda pid: os.waitpid(pid, 0), pids)} == {0}


# --- The file -----------------------------------------------------------------------------------


def test_lock_file(maildir: Path, lock_file: Path) -> None:
    """While held there is Courier's file and nothing else; afterwards there is nothing."""
    lock = FolderLock(str(maildir))
    for _ in range(2):
        with lock:
            assert lock.is_held()
            assert lock_file.read_text() == f"{os.getpid()}:{HOST}"
            assert os.listdir(maildir / "tmp") == ["courier.lock"]
        assert not lock.is_held()
        assert os.listdir(maildir / "tmp") == []


def test_disabled(maildir: Path) -> None:
    """No file; but two threads still exclude each other."""
    with FolderLock(str(maildir), enabled=False) as lock:
        assert os.listdir(maildir / "tmp") == []
        assert lock.is_held()
        with pytest.raises(LockTimeout):
            FolderLock(str(maildir), enabled=False, deadline_s=0.01).acquire()


def test_exception_releases(maildir: Path) -> None:
    with pytest.raises(KeyError), FolderLock(str(maildir)):
        raise KeyError

    assert os.listdir(maildir / "tmp") == []
    with FolderLock(str(maildir), deadline_s=0):
        pass


def test_acquired_twice(maildir: Path) -> None:
    """A mistake of the program, not a wait for ever."""
    with FolderLock(str(maildir)) as lock:
        with pytest.raises(RuntimeError):
            lock.acquire()
        assert lock.is_held()


def test_released_twice(maildir: Path, lock_file: Path) -> None:
    lock = FolderLock(str(maildir))
    lock.acquire()
    lock.release()
    with FolderLock(str(maildir)):
        lock.release()
        assert lock_file.exists()


def test_other_folder_of_the_maildir(maildir: Path) -> None:
    folder = maildirs.make_folder(maildir, "INBOX.a")

    with FolderLock(str(maildir), deadline_s=0), FolderLock(str(folder), deadline_s=0):
        pass


def test_same_folder_by_another_name(maildir: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(maildir)

    with FolderLock(str(maildir)), pytest.raises(LockTimeout):
        FolderLock(str(tmp_path / "alias"), deadline_s=0.01).acquire()


@pytest.mark.parametrize("error", [errno.EPERM, errno.EOPNOTSUPP, errno.EACCES])
def test_no_hard_links(maildir: Path, monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    """The error is raised at once; nothing is left, and the folder can be locked later."""
    with monkeypatch.context() as patch:

        def refused(source: str, target: str) -> None:
            raise OSError(error, os.strerror(error), source)

        patch.setattr(os, "link", refused)
        with pytest.raises(OSError) as refusal:
            FolderLock(str(maildir)).acquire()

    assert refusal.value.errno == error
    assert os.listdir(maildir / "tmp") == []
    with FolderLock(str(maildir), deadline_s=0):
        pass


def test_no_tmp(maildir: Path) -> None:
    (maildir / "tmp").rmdir()

    with pytest.raises(FileNotFoundError):
        FolderLock(str(maildir)).acquire()


def test_each_call_failing(tmp_path: Path) -> None:
    """Whatever fails, no lock is left behind, and the folder can be locked afterwards."""

    def work(folder: Path) -> None:
        with FolderLock(str(folder)):
            pass

    folders = fresh_maildirs(tmp_path)
    first = next(folders)
    calls = calls_of(lambda: work(first))
    assert calls == ["open", "write", "utime", "link", "unlink", "unlink", "close"]
    for at, call in enumerate(calls[:4]):
        folder = next(folders)
        raised = failed(lambda folder=folder: work(folder), at, errno.EIO)

        assert raised is not None and raised.errno == errno.EIO, call
        assert os.listdir(folder / "tmp") == []
        work(folder)


def test_lock_that_can_t_be_looked_at(
    maildir: Path, lock_file: Path, sleeper: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look that fails at the end of a vain wait hides nothing and keeps no descriptor open."""
    lock_file.write_text(f"{sleeper}:{HOST}")
    looks = os.lstat
    monkeypatch.setattr(os, "lstat", lambda path: unlooked(path, lock_file, looks))
    before = open_before()

    with pytest.raises(LockTimeout):
        FolderLock(str(maildir), deadline_s=0.0).acquire()

    assert open_now() == before
    assert os.listdir(maildir / "tmp") == [lock_file.name]


def unlooked(path: str, never: Path, look: Callable[[str], os.stat_result]) -> os.stat_result:
    if path == str(never):
        raise OSError(errno.EIO, os.strerror(errno.EIO), path)
    return look(path)


def test_answer_of_link_lost(maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NFS may report EEXIST for a link that was made: the count of names tells."""
    link = os.link

    def repeated(source: str, target: str) -> None:
        link(source, target)
        raise FileExistsError(errno.EEXIST, "")

    monkeypatch.setattr(os, "link", repeated)
    with FolderLock(str(maildir), deadline_s=0) as lock:
        assert lock.is_held()
    assert os.listdir(maildir / "tmp") == []


# --- Locks of others ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "age_s"),
    [
        ("{dead}:{host}", 0),
        ("{own}:{host}", 0),
        ("1:another", 121),
        ("", 121),
        ("rubbish", 121),
        ("0:{host}", 121),
        ("99999999999999999999:{host}", 121),
        ("-1:{host}", 121),
        ("1:{host}:x", 121),
    ],
)
def test_stale_lock(
    maildir: Path, lock_file: Path, monkeypatch: pytest.MonkeyPatch, content: str, age_s: int
) -> None:
    """It is removed without a long pause, and ours is there alone."""
    pauses_s: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses_s.append)
    lock_file.write_text(content.format(dead=dead_pid(), own=os.getpid(), host=HOST))
    os.utime(lock_file, (time.time() - age_s,) * 2)

    with FolderLock(str(maildir)):
        assert lock_file.read_text() == f"{os.getpid()}:{HOST}"
        assert os.listdir(maildir / "tmp") == ["courier.lock"]
    assert sum(pauses_s) < 2


@pytest.mark.parametrize(
    ("content", "age_s"),
    [
        ("{living}:{host}", 0),
        ("{living}:{host}", 100_000),
        ("1:{host}", 100_000),
        ("{own}:another", 60),
        ("1:another", 60),
        ("", 60),
        ("rubbish", 60),
        ("1:another", -1000),
    ],
)
def test_busy_lock(maildir: Path, lock_file: Path, sleeper: int, content: str, age_s: int) -> None:
    """It is left alone, and the wait for it has an end."""
    text = content.format(living=sleeper, own=os.getpid(), host=HOST)
    lock_file.write_text(text)
    os.utime(lock_file, (time.time() - age_s,) * 2)

    with pytest.raises(LockTimeout) as refusal:
        FolderLock(str(maildir), deadline_s=0.05).acquire()

    assert refusal.value.filename == str(lock_file)
    assert lock_file.read_text() == text
    assert os.listdir(maildir / "tmp") == ["courier.lock"]


def test_lock_that_is_a_link(maildir: Path, lock_file: Path, tmp_path: Path) -> None:
    """A planted symbolic link is an error; what it leads to is not looked at."""
    lock_file.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(OSError) as refusal:
        FolderLock(str(maildir), deadline_s=0.05).acquire()
    assert refusal.value.errno == errno.ELOOP


def test_lock_broken_by_another_host(maildir: Path, lock_file: Path) -> None:
    """We notice, and don't remove the lock that took the place of ours."""
    with FolderLock(str(maildir)) as lock:
        lock_file.unlink()
        assert not lock.is_held()
        lock_file.write_text("1:another")

    assert lock_file.read_text() == "1:another"


def test_lock_taken_between_judging_and_removing(maildir: Path, lock_file: Path) -> None:
    """A breaker that finds a good lock where it judged a stale one puts it back."""
    lock_file.write_text(f"{dead_pid()}:{HOST}")
    judged = os.open(lock_file, os.O_RDONLY)
    lock_file.unlink()
    lock_file.write_text("1:another")
    taken = lock_file.stat()

    FolderLock(str(maildir))._remove(judged)
    os.close(judged)

    assert os.path.samestat(lock_file.stat(), taken)
    assert os.listdir(maildir / "tmp") == ["courier.lock"]


def test_child_does_not_hold_its_parents_lock(maildir: Path, lock_file: Path) -> None:
    """Neither does it remove the file, nor does it wait for a mutex that nobody will release."""
    with FolderLock(str(maildir)) as lock:

        def child() -> None:
            lock.release()
            with pytest.raises(LockTimeout):
                FolderLock(str(maildir), deadline_s=0.05).acquire()

        finish([start_process(child)])
        assert lock.is_held()


# --- Together -----------------------------------------------------------------------------------


class Witness:
    """Notices two holders: makes a file that must not be there, and counts turns without care."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._inside = folder / "inside"
        self._turns = folder / "turns"
        self._turns.write_text("0")

    def take_turn(self) -> None:
        self._inside.open("x").close()
        turns = int(self._turns.read_text())
        os.sched_yield()
        self._turns.write_text(str(turns + 1))
        self._inside.unlink()

    @property
    def turns(self) -> int:
        return int(self._turns.read_text())


def test_threads_exclude_each_other(maildir: Path) -> None:
    witness = Witness(maildir)

    def work() -> None:
        for _ in range(50):
            with FolderLock(str(maildir)):
                witness.take_turn()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert witness.turns == 200


@pytest.mark.slow
def test_processes_exclude_each_other(maildir: Path) -> None:
    witness = Witness(maildir)

    def work() -> None:
        for _ in range(40):
            with FolderLock(str(maildir)):
                witness.take_turn()

    finish([start_process(work) for _ in range(5)])

    assert witness.turns == 200
    assert os.listdir(maildir / "tmp") == []


@pytest.mark.slow
def test_processes_that_die_holding_the_lock(
    maildir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All others judge the stale lock together and act on it later; still only one gets it."""
    is_stale = lock_module._is_stale

    def slow_to_act(fd: int) -> bool:
        found = is_stale(fd)
        if found:
            time.sleep(random.uniform(0, 0.02))
        return found

    monkeypatch.setattr(lock_module, "_is_stale", slow_to_act)
    monkeypatch.setattr(lock_module, "_BREAKER_PAUSE_S", 0.001)
    witness = Witness(maildir)

    def work() -> None:
        random.seed(os.getpid())
        for _ in range(10):
            with FolderLock(str(maildir)):
                witness.take_turn()

    def die() -> None:
        FolderLock(str(maildir)).acquire()
        witness.take_turn()

    pids = []
    for _ in range(6):
        pids += [start_process(work), start_process(die)]
    finish(pids)

    assert witness.turns == 66


def _raise_uidnext(folder: Path, times: int) -> None:
    """Use up UIDs, one at a time, as a session that takes in messages does."""
    for _ in range(times):
        with FolderLock(str(folder)) as lock:
            db = uiddb.read(str(folder))
            assert db is not None
            os.sched_yield()
            assert lock.is_held()
            uiddb.write(
                str(folder), UidDb(db.uidvalidity, db.uidnext + 1, db.uids, db.bases), False
            )


@pytest.mark.courier
@pytest.mark.slow
@pytest.mark.parametrize("begins_stale", [False, True])
def test_beside_courier(
    maildir: Path, lock_file: Path, courier: Implementation, start: Start, begins_stale: bool
) -> None:
    """Courier's appends and our writes each use up one UID: none is lost, none given twice."""
    uiddb.write(str(maildir), UidDb(795_000_000, 1, array("I"), []), sync=False)
    sessions = [start(courier) for _ in range(3)]
    if begins_stale:
        lock_file.write_text(f"{dead_pid()}:{HOST}")
    pids = [start_process(lambda: _raise_uidnext(maildir, 60)) for _ in range(3)]
    given: list[str] = []

    def append(session: int) -> None:
        client = sessions[session].client
        for number in range(20):
            reply = client.append("INBOX", f"Subject: {number}\r\n\r\nx\r\n".encode())
            given.append(reply.code("APPENDUID") or "")
            client.command("STATUS INBOX (UIDNEXT MESSAGES)")

    threads = [threading.Thread(target=append, args=(session,)) for session in range(3)]
    with awoken(maildir):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        finish(pids)

    database = maildirs.uid_database(maildir)
    assert sorted(given) == sorted(f"795000000 {uid}" for uid in database.uids.values())
    assert len(database.uids) == 60
    assert database.uidnext == 1 + 60 + 180
    assert os.listdir(maildir / "tmp") == []


@pytest.mark.courier
def test_courier_waits_for_us(maildir: Path, courier: Implementation, start: Start) -> None:
    """A STATUS is not answered while we hold the lock, but after that."""
    client = start(courier).client
    with FolderLock(str(maildir)):
        tag = client.send("STATUS INBOX (MESSAGES)")
        assert not client.connection.has_input(0.2)
    with awoken(maildir):
        assert client.reply(tag).status == "OK"

"""courierindex as an administrator runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from courier.maildir.folder import Folder, Options
from courier.maildir.index import INDEX, LOG
from courier.maildir.memo import Memos
from tests.authdaemond.conftest import write_userdb
from tests.courier.maildir.test_index import truth
from tests.support import authdaemon
from tests.support.authdaemon import environment
from tests.support.maildirs import deliver, let_others_enter, make_folder, make_maildir

pytestmark = pytest.mark.slow

MESSAGE = b"From: a@example.org\nSubject: x\n\ntext\n"


@pytest.fixture
def maildir(tmp_path: Path) -> Path:
    """An INBOX with new mail and a folder, both filled."""
    found = make_maildir(tmp_path / "Maildir")
    for path in (found, make_folder(found, "INBOX.Sent")):
        for number in range(3):
            deliver(path, MESSAGE, number=number, flags=("S", "", None)[number])
    return found


def run(maildir: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tools.courierindex", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(maildir.parent) | variables,
        check=False,
    )


def test_build_and_check(maildir: Path) -> None:
    """All folders have an index that vouches for them; new mail is still new."""
    before = run(maildir, "check", str(maildir))
    built = run(maildir, "build", str(maildir))
    after = run(maildir, "check", str(maildir))

    assert before.stdout.splitlines() == [
        f"{maildir}: INBOX: no index",
        f"{maildir}: INBOX.Sent: no index",
    ]
    assert built.returncode == after.returncode == 0
    assert built.stderr == ""
    assert f"{maildir}: 3 messages, 3 of them read" in built.stdout
    assert after.stdout.count("good, 3 messages") == 2
    assert len(os.listdir(maildir / "new")) == 1
    assert "0 of them read" in run(maildir, "build", "-f", "Sent", str(maildir)).stdout


def test_check_finds_damage(maildir: Path) -> None:
    """A flipped bit is bad, a folder that has changed since is not."""
    run(maildir, "build", str(maildir))
    index = maildir / INDEX
    data = bytearray(index.read_bytes())
    data[-20] ^= 1
    index.write_bytes(data)
    deliver(maildir / ".Sent", MESSAGE, number=9)

    found = run(maildir, "check", "-q", str(maildir))

    assert found.returncode == 1
    assert found.stdout.splitlines() == [f"{maildir}: INBOX: cannot be used"]
    assert "out of date" in run(maildir, "check", str(maildir)).stdout


def test_check_finds_an_index_that_lies(maildir: Path) -> None:
    """One that vouches for the folder, but for other messages."""
    run(maildir, "build", str(maildir))
    folder = Folder(str(maildir), Options(fsync=False))
    folder.synchronise(take_new=False)
    state = folder._state
    assert state._index is not None
    row = state.columns.message(1)
    assert row is not None
    state.note([row._replace(name=b"other:2,S")], (), state.stamp)

    assert "does not say what is there" in run(maildir, "check", str(maildir)).stdout


def test_show(maildir: Path) -> None:
    run(maildir, "build", str(maildir))

    shown = run(maildir, "show", "-f", "INBOX", str(maildir)).stdout

    assert shown.startswith(f"{maildir}: INBOX\n")
    for line in ("messages: 3", "unseen: 2", "uidnext: 4", "up to date: yes"):
        assert f"    {line}\n" in shown


def test_drop_while_in_use(maildir: Path) -> None:
    """The files are gone, and a session that had the folder open goes on."""
    run(maildir, "build", str(maildir))
    folder = Folder(str(maildir), Options(fsync=False))
    folder.synchronise(take_new=True)

    assert run(maildir, "drop", str(maildir)).returncode == 0

    left = {file.name for file in maildir.rglob("pycourier-*")}
    assert left & {INDEX, LOG, "pycourier-items", "pycourier-cache", "pycourier-fulltext"} == set()
    deliver(maildir, MESSAGE, number=9)
    folder.synchronise(take_new=True)
    assert len(folder.columns) == len(truth(maildir)) == 4


def test_full_text(maildir: Path) -> None:
    """Built where the setting is on; drop removes it, and what SORT and THREAD keep."""
    run(maildir, "build", str(maildir))
    assert not (maildir / "pycourier-fulltext").exists()

    run(maildir, "build", str(maildir), IMAP_FULLTEXT="1")

    assert (maildir / "pycourier-fulltext").stat().st_size > 0
    Memos(str(maildir)).save("order-subject", b"0" * 16, b"body")
    assert run(maildir, "drop", str(maildir)).returncode == 0
    assert list(maildir.glob("pycourier-*")) == []


def test_index_elsewhere(maildir: Path, tmp_path: Path) -> None:
    """IMAP_INDEX_DIR, as the environment states it."""
    place = tmp_path / "index"
    place.mkdir(mode=0o1777)

    run(maildir, "build", str(maildir), IMAP_INDEX_DIR=str(place))

    assert not (maildir / INDEX).exists()
    assert len(list(place.rglob(INDEX))) == 2
    assert "good" in run(maildir, "check", "-i", str(place), str(maildir)).stdout


@pytest.mark.root
def test_all_accounts(tmp_path: Path) -> None:
    """Each as its own user, who can use the index; one without a maildir does not stop the rest."""
    if os.geteuid() != 0:
        pytest.skip("missing: root, to become another user")
    let_others_enter(tmp_path)
    accounts = b""
    for uid in (5000, 5001, 5002):
        home = tmp_path / str(uid)
        accounts += b"%d@example.com\tuid=%d|gid=%d|home=%b\n" % (uid, uid, uid, bytes(home))
        home.mkdir()
        if uid != 5000:
            deliver(make_maildir(home / "Maildir"), MESSAGE, number=1, flags="")
        for file in (home, *home.rglob("*")):
            os.chown(file, uid, uid)
    write_userdb(tmp_path / "etc/userdb", accounts)
    daemon = authdaemon.start_ours(tmp_path, {"authmodulelist": "authuserdb", "daemons": "1"})
    try:
        built = run(tmp_path / "x", "build", "-a")
    finally:
        daemon.stop()

    assert (built.returncode, built.stderr) == (0, "")
    assert sorted(line.partition(":")[0] for line in built.stdout.splitlines()) == [
        f"{tmp_path}/{uid}/Maildir" for uid in (5001, 5002)
    ]
    for uid in (5001, 5002):
        maildir = tmp_path / str(uid) / "Maildir"
        assert (maildir / INDEX).stat().st_uid == uid
        assert "good, 1 messages" in run(tmp_path / "x", "check", str(maildir)).stdout


@pytest.mark.parametrize("arguments", [["build"], ["build", "-a", "x"], ["rebuild", "x"], []])
def test_usage(tmp_path: Path, arguments: list[str]) -> None:
    assert run(tmp_path / "x", *arguments).returncode == 2


def test_no_maildir(tmp_path: Path) -> None:
    found = run(tmp_path / "x", "check", str(tmp_path / "none"))

    assert found.returncode == 1
    assert "No such file or directory" in found.stderr

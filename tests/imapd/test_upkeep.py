"""What a session does in its maildir before the greeting, and at LOGOUT."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from courier.maildir import clock, expiry
from imapd import upkeep
from tests.imapd.conftest import Drive, Log
from tests.imapd.driver import GREETING, Driven
from tests.support.maildirs import make_folder

pytestmark = pytest.mark.usefixtures("logged")


@pytest.fixture(autouse=True)
def unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has looked at any clock yet."""
    monkeypatch.setattr(clock, "_found_right", {})


def script(maildir: Path, text: str, mode: int = 0o755) -> Path:
    path = maildir / "loginexec"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(mode)
    return path


def test_loginexec(maildir: Path) -> None:
    """It runs in the maildir, once; it reads nothing, and its output does not reach the client."""
    path = script(maildir, 'cat; echo output; echo "$0 $# $AUTHENTICATED $TCPREMOTEIP" >told')

    driven = Driven(maildir)

    assert driven.output == GREETING
    assert (maildir / "told").read_text() == "./loginexec 0 user 192.0.2.1\n"
    assert not path.exists()


@pytest.mark.parametrize(
    ("text", "mode", "runs"),
    [("echo x >>told; exit 3", 0o755, 2), ("echo x >>told", 0o655, 0), ("", 0o755, 0)],
)
def test_loginexec_stays(maildir: Path, text: str, mode: int, runs: int) -> None:
    """Until it succeeds, and while its owner may not run it."""
    path = script(maildir, text, mode)
    if not text:
        path.write_text("#!/nonexistent/interpreter\n")

    Driven(maildir)
    Driven(maildir)

    assert path.exists()
    told = maildir / "told"
    assert (told.read_text().count("x") if told.exists() else 0) == runs


def test_trash_at_login_and_logout(
    maildir: Path, drive: Drive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each folder has its days; the trash by its name or by number alone."""
    for name in ("Trash", "Sent", "Kept"):
        folder = make_folder(maildir, f"INBOX.{name}")
        (folder / "cur" / "1.a:2,").write_bytes(b"x")
    now = time.time()
    monkeypatch.setattr(clock, "is_skewed", lambda maildir: False)
    monkeypatch.setattr(expiry.time, "time", lambda: now + 3 * expiry.DAY_S)

    driven = drive(IMAP_EMPTYTRASH="Trash:2,Sent:4,..x:1,None:1")

    assert os.listdir(maildir / ".Trash" / "cur") == []
    assert os.listdir(maildir / ".Sent" / "cur") == ["1.a:2,"]
    monkeypatch.setattr(expiry.time, "time", lambda: now + 5 * expiry.DAY_S)
    driven.ask("a LOGOUT")
    assert os.listdir(maildir / ".Sent" / "cur") == []
    assert os.listdir(maildir / ".Kept" / "cur") == ["1.a:2,"]


def test_trash_by_number(maildir: Path, drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_folder(maildir, "INBOX.Bin")
    (folder / "cur" / "1.a:2,").write_bytes(b"x")
    now = time.time()
    monkeypatch.setattr(clock, "is_skewed", lambda maildir: False)
    monkeypatch.setattr(expiry.time, "time", lambda: now + 3 * expiry.DAY_S)

    drive(IMAP_EMPTYTRASH="2", IMAP_TRASHFOLDERNAME="Bin")

    assert os.listdir(folder / "cur") == []


@pytest.mark.parametrize("offset_s", [-60, 60])
def test_clock_skew(maildir: Path, offset_s: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file server whose clock is half a minute off: the session ends before it begins."""
    now = time.time()
    monkeypatch.setattr(clock.time, "time", lambda: now + offset_s)

    driven = Driven(maildir, started=False)

    assert driven.run() == (b"* BYE Clock skew detected. Check the clock on the file server\r\n")
    assert driven.ended
    assert os.listdir(maildir / "tmp") == []


def test_clock_that_cannot_be_looked_at(maildir: Path, logged: Log) -> None:
    """A probe left over is no obstacle, a tmp/ that is missing no reason to refuse anybody."""
    (maildir / "tmp" / "courier-imap.clockskew.chk").touch()
    os.utime(maildir / "tmp" / "courier-imap.clockskew.chk", (0, 0))
    Driven(maildir)
    assert os.listdir(maildir / "tmp") == []

    (maildir / "tmp").rmdir()

    Driven(maildir)


def test_clock_that_was_right_a_moment_ago(
    maildir: Path, logged: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system's clock is looked at once a minute, not for every session."""
    Driven(maildir)
    assert not clock.is_due(str(maildir))
    now = time.monotonic()

    monkeypatch.setattr(clock.time, "monotonic", lambda: now + 61)

    assert clock.is_due(str(maildir))


def test_nothing_to_do(maildir: Path, logged: Log) -> None:
    """What has been looked at isn't again, until something of it is due."""
    make_folder(maildir, "INBOX.Trash")
    session = Driven(maildir).session

    assert not upkeep.expires(session)
    assert not upkeep.is_due(session)

    script(maildir, "exit 1")
    assert upkeep.is_due(session)

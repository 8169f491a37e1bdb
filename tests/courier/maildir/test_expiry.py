"""Expiry: what goes, what stays, what others do meanwhile."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from courier.maildir import counting, expiry
from courier.maildir.quota import Limits, Quota
from tests.imapd.failing import failing_call
from tests.support.maildirs import make_folder, make_maildir

NONE = Quota("/nonexistent")


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Times of status change can't be set, so the clock moves on."""
    began = time.time()

    def move(days: float) -> None:
        monkeypatch.setattr(expiry.time, "time", lambda: began + days * expiry.DAY_S)

    return move


@pytest.fixture
def trash(maildir: Path) -> Path:
    folder = make_folder(maildir, "INBOX.Trash")
    for name in ("1.a,S=5:2,S", "2.b:2,"):
        (folder / "cur" / name).write_bytes(b"x" * 5)
    return folder


def test_age(trash: Path, later: Callable[[float], None]) -> None:
    """Days since the last change of the file, not since its date."""
    os.utime(trash / "cur" / "1.a,S=5:2,S", (0, 0))
    assert expiry.expire(str(trash), 7, NONE, "Trash") == 0
    later(6.9)
    assert expiry.expire(str(trash), 7, NONE, "Trash") == 0
    later(7.1)

    assert expiry.expire(str(trash), 7, NONE, "Trash") == 2

    assert os.listdir(trash / "cur") == []


def test_new_mail_begins_its_time_in_cur(trash: Path, later: Callable[[float], None]) -> None:
    """Also in new/ files are looked at; they are taken to cur/ first."""
    (trash / "new" / "3.c").write_bytes(b"x")

    expiry.expire(str(trash), 7, NONE, "Trash")
    assert sorted(os.listdir(trash / "cur")) == ["1.a,S=5:2,S", "2.b:2,", "3.c:2,"]
    later(8)

    assert expiry.expire(str(trash), 7, NONE, "Trash") == 3


def test_nothing_is_read_before_something_can_expire(
    trash: Path, later: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Time of status change only moves on, so that one reading serves until the oldest is due."""
    expiry.expire(str(trash), 7, NONE, "Trash")
    monkeypatch.setattr(os, "listdir", None)
    later(6)
    assert expiry.expire(str(trash), 7, NONE, "Trash") == 0
    monkeypatch.undo()
    later(8)

    assert expiry.expire(str(trash), 7, NONE, "Trash") == 2


@pytest.mark.parametrize(("name", "freed"), [("Trash", 0), ("Sent", 2)])
def test_quota(maildir: Path, later: Callable[[float], None], name: str, freed: int) -> None:
    """One line for all, of what was counted."""
    folder = make_folder(maildir, f"INBOX.{name}")
    for file in ("1.a,S=50:2,S", "2.b:2,", "3.c,S=9:2,T"):
        (folder / "cur" / file).write_bytes(b"x" * 5)
    account = Quota(str(maildir))
    account.set_limits(Limits(1000))
    before = (maildir / "maildirsize").read_bytes()
    later(8)

    assert expiry.expire(str(folder), 7, account, name) == 3

    line = b"%12d %12d\n" % (-55, -2) if freed else b""
    assert (maildir / "maildirsize").read_bytes() == before + line


def test_message_changed_at_that_moment(
    trash: Path, later: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rename by another session keeps it: its time begins anew."""
    later(8)
    real = counting.octets_of

    def renaming(path: bytes) -> int | None:
        size = real(path)
        os.rename(path, path.replace(b":2,", b":2,F"))
        return size

    monkeypatch.setattr(counting, "octets_of", renaming)

    assert expiry.expire(str(trash), 7, NONE, "Trash") == 0

    assert sorted(os.listdir(trash / "cur")) == ["1.a,S=5:2,FS", "2.b:2,F"]


def test_no_folder(maildir: Path) -> None:
    assert expiry.expire(str(maildir / ".Trash"), 7, NONE, "Trash") == 0


def test_each_call_failing(tmp_path: Path, later: Callable[[float], None]) -> None:
    """Each message is gone or there, nothing is raised, and the next time does the rest."""
    for number in range(50):
        maildir = make_maildir(tmp_path / f"M{number}")
        folder = make_folder(maildir, "INBOX.Sent")
        for name in ("1.a,S=5:2,S", "2.b:2,"):
            (folder / "cur" / name).write_bytes(b"x" * 5)
        (folder / "new" / "3.c").write_bytes(b"x")
        account = Quota(str(maildir))
        account.set_limits(Limits(1000))
        later(8)
        with failing_call(number) as calls:
            expiry.expire(str(folder), 7, account, "Sent")
        later(16)
        expiry.expire(str(folder), 7, account, "Sent")
        assert os.listdir(folder / "cur") == os.listdir(folder / "new") == []
        if calls.failed is None:
            break
    assert number > 3


def test_due(trash: Path, later: Callable[[float], None]) -> None:
    """A folder is looked at once; then when its oldest message can have gone. None is never due."""
    assert expiry.is_due(str(trash), 7)
    expiry.expire(str(trash), 7, NONE, "Trash")
    assert not expiry.is_due(str(trash), 7)
    later(7.1)
    assert expiry.is_due(str(trash), 7)
    assert not expiry.is_due(str(trash) + "/none", 7)

"""imapd.account: what an account's maildir is looked through for as its sessions begin."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from courier.log import Peer
from courier.maildir import tree
from imapd import account, settings

SETTINGS = settings.from_environment({})
PEER = Peer("::1", "1")


def enter(maildir: Path) -> None:
    account.enter(SETTINGS, "u", PEER, str(maildir.parent), maildir.name)


def test_leftovers_are_looked_for_once_an_hour(
    maildir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of each maildir, by each process: not by each of a thousand sessions."""
    looked: list[str] = []
    monkeypatch.setattr(tree, "remove_leftovers", looked.append)
    monkeypatch.setattr(account, "_cleaned", {})
    now = time.monotonic()
    enter(maildir)
    enter(maildir)
    assert looked == [str(maildir)]

    monkeypatch.setattr(account.time, "monotonic", lambda: now + 3601)
    enter(maildir)

    assert looked == [str(maildir)] * 2


def test_maildirs_that_are_remembered(maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker of a hundred thousand accounts does not remember them all."""
    monkeypatch.setattr(account, "_cleaned", {(0, number): 0.0 for number in range(4096)})

    enter(maildir)

    assert len(account._cleaned) == 1

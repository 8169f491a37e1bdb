"""Maildirs made from outside, and nicknames of sharable ones."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from courier.maildir import making, sharable
from courier.maildir.making import Modes
from tests.imapd.failing import failing_call


def test_system_call_fails(tmp_path: Path) -> None:
    """There is a maildir, or nothing."""
    for number in range(50):
        path = tmp_path / f"M{number}"
        with failing_call(number) as calls:
            try:
                making.make(str(path), folder=True)
            except OSError:
                assert calls.failed is not None
        if calls.failed is None:
            break
        assert not path.exists()
    assert number > 3
    assert sorted(os.listdir(path)) == ["cur", "maildirfolder", "new", "tmp"]


def test_complete(tmp_path: Path) -> None:
    """With all that is above it; what is there already stays."""
    path = tmp_path / "a" / "b" / "M"

    making.complete(str(path))
    (path / "cur" / "1.a").touch()
    (path / "tmp").rmdir()
    making.complete(str(path))

    assert sorted(os.listdir(path)) == ["cur", "new", "tmp"]
    assert (path / "cur" / "1.a").exists()
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o700


def test_modes_in_spite_of_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        making.make(str(tmp_path / "M"), Modes(0o1755, 0o1777))
    finally:
        os.umask(before)

    assert (tmp_path / "M").stat().st_mode & 0o7777 == 0o1755
    assert (tmp_path / "M" / "new").stat().st_mode & 0o7777 == 0o1777


@pytest.mark.parametrize("nick", ["", "a.b", "a/b", "a b", "a#b", "a\tb", "a\nb"])
def test_no_nickname(nick: str) -> None:
    """Courier takes some of these, and then reads something else."""
    assert not sharable.is_nick(nick)


@pytest.mark.parametrize("path", ["rel", "", "/a#b", "/a\nb", "/a "])
def test_no_path(path: str) -> None:
    assert not sharable.is_path(path)


def test_system_call_fails_while_a_nickname_is_added(maildir: Path) -> None:
    """The file is the old one or the new one, and nothing is left in tmp/."""
    old = b"a /a"  # without its line end
    for number in range(50):
        (maildir / "shared-maildirs").write_bytes(old)
        with failing_call(number) as calls:
            try:
                sharable.add(str(maildir), "b", "/b")
            except OSError:
                assert calls.failed is not None
        assert (maildir / "shared-maildirs").read_bytes() in (old, old + b"\nb\t/b\n")
        assert os.listdir(maildir / "tmp") == []
        if calls.failed is None:
            break
    assert number > 4
    assert (maildir / "shared-maildirs").read_bytes() == old + b"\nb\t/b\n"

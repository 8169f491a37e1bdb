"""Results that are kept from one session to the next."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from courier.maildir import delivery
from courier.maildir.memo import STAMP, Memos

ONE, OTHER = b"1" * STAMP, b"2" * STAMP


@pytest.fixture
def memos(maildir: Path) -> Memos:
    return Memos(str(maildir))


def test_kept(memos: Memos, maildir: Path) -> None:
    """Under its name and stamp, readable for the owner alone."""
    memos.save("name", ONE, b"body")
    memos.save("empty", ONE, b"")

    assert Memos(str(maildir)).load("name", ONE) == b"body"
    assert memos.load("empty", ONE) == b""
    assert memos.load("name", OTHER) is None
    assert memos.load("none", ONE) is None
    assert (maildir / "pycourier-name").stat().st_mode & 0o777 == 0o600
    assert os.listdir(maildir / "tmp") == []


def test_replaced(memos: Memos) -> None:
    memos.save("name", ONE, b"before")
    memos.save("name", OTHER, b"after")

    assert memos.load("name", ONE) is None
    assert memos.load("name", OTHER) == b"after"


@pytest.mark.parametrize("at", [0, 4, 10, 25, 30, -1])
def test_damaged(memos: Memos, maildir: Path, at: int) -> None:
    """Whatever octet is wrong, or missing, there is no memo."""
    memos.save("name", ONE, b"some longer body")
    path = maildir / "pycourier-name"
    octets = bytearray(path.read_bytes())
    octets[at] ^= 1
    path.write_bytes(octets)
    assert memos.load("name", ONE) is None

    memos.save("name", ONE, b"some longer body")
    path.write_bytes(path.read_bytes()[:at])
    assert memos.load("name", ONE) is None


def test_file_of_others(memos: Memos, maildir: Path) -> None:
    """What others can write, what takes all memory, a link and a pipe are not read."""
    memos.save("name", ONE, b"body")
    path = maildir / "pycourier-name"
    path.chmod(0o666)
    assert memos.load("name", ONE) is None
    path.chmod(0o600)
    os.truncate(path, delivery.MAX_FILE + 1)
    assert memos.load("name", ONE) is None
    path.rename(maildir / "elsewhere")
    path.symlink_to(maildir / "elsewhere")
    assert memos.load("name", ONE) is None
    path.unlink()
    os.mkfifo(path)
    assert memos.load("name", ONE) is None


def test_index_dir(maildir: Path, tmp_path: Path) -> None:
    """Memos lie where the index does."""
    place = tmp_path / "indexes"
    place.mkdir()
    memos = Memos(str(maildir), str(place))

    memos.save("name", ONE, b"body")

    assert memos.load("name", ONE) == b"body"
    assert not list(maildir.glob("pycourier-*"))


def test_nowhere_to_write(memos: Memos, maildir: Path) -> None:
    """Nothing is kept, and nobody is hurt."""
    (maildir / "tmp").rmdir()

    memos.save("name", ONE, b"body")

    assert memos.load("name", ONE) is None

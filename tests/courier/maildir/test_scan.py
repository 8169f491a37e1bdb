"""courier.maildir.scan: what directory times and listings prove."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from courier.maildir import filesystem, keywords, scan
from courier.maildir.scan import FolderGone
from tests.courier.maildir.test_folder import later, listings
from tests.support.maildirs import deliver

__all__ = ["later", "listings"]  # fixtures


def test_stamp_vouches_for_what_is_still_the_same(maildir: Path, later: None) -> None:
    """Equal and settled: nothing need be read."""
    before = scan.stamp(str(maildir))

    assert before.vouches_for(scan.stamp(str(maildir)))


@pytest.mark.parametrize("name", ["new", "cur", "courierimapuiddb", "courierimapkeywords"])
def test_stamp_notices(maildir: Path, name: str, later: None) -> None:
    """Each of the four is looked at; also when one directory took another's place."""
    before = scan.stamp(str(maildir))
    if name in ("new", "cur"):
        status = (maildir / name).stat()
        (maildir / name).rename(maildir / "aside")
        (maildir / name).mkdir()
        os.utime(maildir / name, ns=(status.st_atime_ns, status.st_mtime_ns))
    elif name == "courierimapuiddb":
        (maildir / name).write_bytes(b"1 1 1\n")
    else:
        keywords.publish(str(maildir), b"a", ("word",), sync=False)

    assert not before.vouches_for(scan.stamp(str(maildir)))


def test_young_stamp_vouches_for_nothing(maildir: Path) -> None:
    """The directory may have changed again within the tick in which it was read."""
    (maildir / "cur" / "1.a:2,").write_bytes(b"")

    assert not scan.stamp(str(maildir)).settled


@pytest.mark.parametrize("name", ["new", "cur"])
def test_directory_missing(maildir: Path, name: str) -> None:
    shutil.rmtree(maildir / name)

    with pytest.raises(FolderGone):
        scan.stamp(str(maildir))
    with pytest.raises(FolderGone):
        scan.listing(str(maildir), name)


def test_take_new_while_another_program_does_the_same(
    maildir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is gone when its turn comes is passed over, and not reported as moved."""
    bases = [deliver(maildir, b"x\n", number=number) for number in range(3)]
    rename = os.rename

    def racing(source: Any, target: Any) -> None:
        if bases[1] in os.fsdecode(source) and os.path.exists(source):
            rename(source, maildir / "cur" / f"{bases[1]}:2,S")
        rename(source, target)

    monkeypatch.setattr(os, "rename", racing)
    taken = scan.take_new(str(maildir))

    assert sorted(taken.moved) == [bases[0].encode(), bases[2].encode()]
    assert taken.stuck == []
    assert sorted(os.listdir(maildir / "cur")) == [
        f"{base}:2,{flags}" for base, flags in zip(bases, ("", "S", ""), strict=True)
    ]


def test_present_looks_again_until_nothing_moves(maildir: Path, listings: list[str]) -> None:
    """What is missing right after a change is looked for more than once, but not for ever."""
    deliver(maildir, b"x\n", number=1, flags="")

    found = scan.present(str(maildir), {b"gone"})

    assert len(found) == 1
    assert 2 <= listings.count("cur") <= 5


def test_present_needs_one_listing(maildir: Path, listings: list[str], later: None) -> None:
    """If all are there, or the directory has long stood still."""
    base = deliver(maildir, b"x\n", number=1, flags="").encode()

    assert scan.present(str(maildir), {base}) == {base: base + b":2,"}
    assert scan.present(str(maildir), {base, b"gone"}) == {base: base + b":2,"}
    assert listings.count("cur") == 2


def test_set_apart(maildir: Path) -> None:
    """The message gets a base of its own in cur/, with its size, and keeps its flags."""
    (maildir / "new" / "1.a").write_bytes(b"text\n")
    (maildir / "cur" / "1.a:2,FSa").write_bytes(b"another\n")

    for path, flags, text in (("new/1.a", b"", b"text\n"), ("cur/1.a:2,FSa", b"FS", b"another\n")):
        apart = scan.set_apart(os.fsencode(maildir / path))

        assert os.path.dirname(apart) == os.fsencode(maildir / "cur")
        assert apart.endswith(b",S=%d:2,%b" % (len(text), flags))
        assert Path(os.fsdecode(apart)).read_bytes() == text
    assert len(os.listdir(maildir / "cur")) == 2


@pytest.mark.parametrize("is_able", [True, False])
def test_move_never_replaces(maildir: Path, monkeypatch: pytest.MonkeyPatch, is_able: bool) -> None:
    """A message in the way is set apart, also where the file system can't rename exclusively."""

    def unable(*arguments: object) -> int:
        ctypes.set_errno(errno.EINVAL)
        return -1

    if not is_able:
        monkeypatch.setattr(filesystem._libc, "renameat2", unable)
    cur = os.fsencode(maildir / "cur")
    one, two = os.path.join(cur, b"1.a:2,"), os.path.join(cur, b"1.a:2,S")
    Path(os.fsdecode(one)).write_bytes(b"one")
    Path(os.fsdecode(two)).write_bytes(b"two")

    scan.move(one, two)

    assert sorted(file.read_bytes() for file in (maildir / "cur").iterdir()) == [b"one", b"two"]
    assert Path(os.fsdecode(two)).read_bytes() == b"one"
    with pytest.raises(FileNotFoundError):
        scan.move(one, two)
    assert Path(os.fsdecode(two)).read_bytes() == b"one"

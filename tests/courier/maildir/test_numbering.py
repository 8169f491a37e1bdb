"""courier.maildir.numbering: UIDs on disk and in memory."""

from __future__ import annotations

import errno
from functools import partial
from pathlib import Path

import pytest

from courier.maildir import uiddb
from courier.maildir.numbering import Entry, Numbering
from tests.courier.maildir.test_delivery import calls_of, failed, fresh_maildirs
from tests.support.maildirs import uid_database

A, B, C = ((base, False) for base in (b"a:2,S", b"b", b"c:2,"))


def loaded(path: Path) -> Numbering:
    numbering = Numbering()
    numbering.load(str(path), uiddb.stamp(str(path)))
    return numbering


def test_number(maildir: Path) -> None:
    """New messages get the highest UIDs, in the order given, and the file lists what is known."""
    numbering = loaded(maildir)
    assert (numbering.uidvalidity, numbering.uidnext) == (0, 1)

    first = numbering.number(str(maildir), {}, [A, B], sync=True)
    second = numbering.number(str(maildir), {2: B}, [C], sync=True)

    assert first == {1: A, 2: B}
    assert second == {2: B, 3: C}
    assert uid_database(maildir).uids == {"b": 2, "c": 3}
    assert numbering.uidnext == uid_database(maildir).uidnext == 4
    assert loaded(maildir).uid_of() == numbering.uid_of() == {b"b": 2, b"c": 3}


def test_nothing_new_is_not_written(maildir: Path) -> None:
    numbering = loaded(maildir)
    numbering.number(str(maildir), {}, [A], sync=False)
    before = uiddb.stamp(str(maildir))

    assert numbering.number(str(maildir), {1: A}, [], sync=False) == {1: A}

    assert uiddb.stamp(str(maildir)) == before == numbering.stamp


def test_no_uid_left(maildir: Path) -> None:
    """All get new ones, in their old order, under a higher UIDVALIDITY."""
    (maildir / "courierimapuiddb").write_text("1 7 4294967294\n5 a\n4294967293 b\n")
    numbering = loaded(maildir)

    numbered = numbering.number(str(maildir), {5: A, 4294967293: B}, [C, C], sync=False)

    assert numbered == {1: A, 2: B, 3: C, 4: C}
    assert numbering.uidvalidity > 7
    assert numbering.uidnext == 5


def test_error_leaves_everything(tmp_path: Path) -> None:
    """The file, and what is known of it."""
    folders = fresh_maildirs(tmp_path)

    def ready() -> tuple[Path, Numbering]:
        path = next(folders)
        numbering = loaded(path)
        numbering.number(str(path), {}, [A], sync=False)
        return path, numbering

    path, numbering = ready()
    number = partial(numbering.number, str(path), {1: A}, [B], sync=False)
    for at, call in enumerate(calls_of(number)):
        path, numbering = ready()
        before = (path / "courierimapuiddb").read_bytes()

        assert failed(
            partial(numbering.number, str(path), {1: A}, [B], sync=False), at, errno.ENOSPC
        ), call

        assert (path / "courierimapuiddb").read_bytes() == before
        assert (numbering.uidnext, numbering.uid_of()) == (2, {b"a": 1})


@pytest.mark.parametrize("text", [None, b"", b"rubbish"])
def test_restore(maildir: Path, text: bytes | None) -> None:
    """A file that can't be used is replaced by what was known, or by a first one."""
    numbering = loaded(maildir)
    known: dict[int, Entry] = numbering.number(str(maildir), {}, [A], sync=False)
    before = (maildir / "courierimapuiddb").read_bytes()
    (maildir / "courierimapuiddb").unlink()
    if text is not None:
        (maildir / "courierimapuiddb").write_bytes(text)
    numbering.load(str(maildir), uiddb.stamp(str(maildir)))

    database = numbering.restore(str(maildir))

    assert (maildir / "courierimapuiddb").read_bytes() == before
    assert list(database.uids) == list(known)
    (maildir / "courierimapuiddb").unlink()
    assert loaded(maildir).restore(str(maildir)).uidvalidity == uid_database(maildir).uidvalidity


def test_other_uidvalidity(maildir: Path) -> None:
    """Nothing that is remembered counts under it."""
    numbering = loaded(maildir)
    numbering.number(str(maildir), {}, [A, B], sync=False)
    (maildir / "courierimapuiddb").write_text("1 5 1\n")

    numbering.load(str(maildir), uiddb.stamp(str(maildir)))

    assert numbering.uid_of() == {}
    assert (numbering.uidvalidity, numbering.uidnext) == (5, 1)


def test_uid_that_another_program_gave_away(maildir: Path) -> None:
    """The file's word stands: the message remembered under that UID needs a new one."""
    numbering = loaded(maildir)
    numbering.number(str(maildir), {}, [A, B], sync=False)
    text = f"1 {numbering.uidvalidity} 2\n1 c\n"
    (maildir / "courierimapuiddb").write_text(text)

    numbering.load(str(maildir), uiddb.stamp(str(maildir)))

    assert numbering.uid_of() == {b"c": 1, b"b": 2}
    assert numbering.uidnext == 3

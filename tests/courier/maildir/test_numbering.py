"""courier.maildir.numbering: UIDs on disk."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from courier.maildir import numbering, uiddb
from courier.maildir.numbering import Numbering, UidsUsedUp
from tests.courier.maildir.test_delivery import calls_of, failed, fresh_maildirs
from tests.support.maildirs import uid_database


def loaded(path: Path) -> Numbering:
    found = Numbering()
    found.load(str(path), uiddb.stamp(str(path)))
    return found


def number(
    found: Numbering,
    path: Path,
    known: dict[int, bytes],
    new: Sequence[bytes],
    *,
    sync: bool = False,
) -> list[int]:
    """Give UIDs to new messages beside those known, as a folder does."""
    given = found.give(len(new))
    found.write(str(path), known.items, given, new, sync=sync)
    return list(given)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of four messages counts as a big one."""
    monkeypatch.setattr(numbering, "APPENDED_FROM", 4)
    monkeypatch.setattr(numbering, "_LEAST_AHEAD", 3)


def test_number(maildir: Path) -> None:
    """New messages get the highest UIDs, in the order given, and the file lists what is known."""
    found = loaded(maildir)
    assert (found.uidvalidity, found.uidnext) == (0, 1)

    first = number(found, maildir, {}, [b"a", b"b"], sync=True)
    second = number(found, maildir, {2: b"b"}, [b"c"], sync=True)

    assert (first, second) == ([1, 2], [3])
    assert uid_database(maildir).uids == {"b": 2, "c": 3}
    assert found.uidnext == uid_database(maildir).uidnext == 4
    assert loaded(maildir).numbers == found.numbers


def test_nothing_new_is_not_written(maildir: Path) -> None:
    found = loaded(maildir)
    number(found, maildir, {}, [b"a"])
    before = uiddb.stamp(str(maildir))

    assert number(found, maildir, {1: b"a"}, []) == []

    assert uiddb.stamp(str(maildir)) == before == found.stamp


def test_no_uid_left(maildir: Path) -> None:
    """No number is given that would leave none for UIDNEXT; renumbering goes to a higher UIDVALIDITY."""
    (maildir / "courierimapuiddb").write_text("1 7 4294967294\n5 a\n4294967293 b\n")
    found = loaded(maildir)

    with pytest.raises(UidsUsedUp):
        found.give(2)

    assert list(found.give(1)) == [4294967294]
    found.renumber()
    assert found.uidvalidity > 7
    assert list(found.give(2)) == [1, 2]


@pytest.mark.parametrize("messages", [1, 6])
def test_error_leaves_everything(tmp_path: Path, few: None, messages: int) -> None:
    """The file, and what is known of it; also when the lines are appended."""
    folders = fresh_maildirs(tmp_path)
    known = {uid: b"%d" % uid for uid in range(1, messages + 1)}

    def ready() -> tuple[Path, Numbering]:
        path = next(folders)
        found = loaded(path)
        number(found, path, {}, list(known.values()))
        return path, found

    path, found = ready()
    for at, call in enumerate(calls_of(partial(number, found, path, known, [b"b"]))):
        path, found = ready()
        before = (path / "courierimapuiddb").read_bytes()

        assert failed(partial(number, found, path, known, [b"b"]), at, errno.ENOSPC), call

        if call != "close":
            assert (path / "courierimapuiddb").read_bytes() == before
        assert found.uidnext == messages + 1


@pytest.mark.parametrize("text", [None, b"", b"rubbish"])
def test_file_that_cannot_be_used(maildir: Path, text: bytes | None) -> None:
    """It is replaced by what was known."""
    found = loaded(maildir)
    number(found, maildir, {}, [b"a"])
    before = (maildir / "courierimapuiddb").read_bytes()
    (maildir / "courierimapuiddb").unlink()
    if text is not None:
        (maildir / "courierimapuiddb").write_bytes(text)

    assert found.load(str(maildir), uiddb.stamp(str(maildir))) is None

    assert found.wants_writing
    number(found, maildir, {1: b"a"}, [])
    assert (maildir / "courierimapuiddb").read_bytes() == before


def test_other_uidvalidity(maildir: Path) -> None:
    """Nothing that is remembered counts under it."""
    found = loaded(maildir)
    number(found, maildir, {}, [b"a", b"b"])
    (maildir / "courierimapuiddb").write_text("1 5 1\n")

    found.load(str(maildir), uiddb.stamp(str(maildir)))

    assert (found.uidvalidity, found.uidnext) == (5, 1)


def test_lower_uidnext(maildir: Path) -> None:
    """A file brought back from a backup does not lead to UIDs that were given before."""
    found = loaded(maildir)
    number(found, maildir, {}, [b"a", b"b"])
    (maildir / "courierimapuiddb").write_text(f"1 {found.uidvalidity} 2\n1 a\n")

    database = found.load(str(maildir), uiddb.stamp(str(maildir)))

    assert database is not None and list(database.uids) == [1]
    assert found.uidnext == 3
    assert found.wants_writing


def test_lines_are_appended_to_a_big_file(maildir: Path, few: None) -> None:
    """The file is rewritten now and then; in between, each message costs one line."""
    found = loaded(maildir)
    known: dict[int, bytes] = {}
    rewritten = []
    for message in range(1, 15):
        base = b"m%d" % message
        inode = found.stamp and found.stamp[2]
        (uid,) = number(found, maildir, known, [base])
        known[uid] = base
        if found.stamp and found.stamp[2] != inode:
            rewritten.append(message)
        text = (maildir / "courierimapuiddb").read_bytes()
        assert uiddb.parse(text) == uiddb.read(str(maildir))
        assert loaded(maildir).numbers == found.numbers
        assert found.uidnext == uid + 1

    assert rewritten == [1, 2, 3, 4, 8, 12]
    header, mark, *lines = text.splitlines()
    assert header.split()[2] == b"16"
    assert mark == uiddb.MARK
    assert lines == [b"%d m%d" % (uid, uid) for uid in range(1, 15)]


def test_big_file_with_many_dead_lines(maildir: Path, few: None) -> None:
    """Lines of removed messages stay until they are a quarter of the file."""
    found = loaded(maildir)
    known = dict(
        zip(number(found, maildir, {}, [b"%d" % n for n in range(8)]), range(8), strict=True)
    )
    bases = {uid: b"%d" % name for uid, name in known.items()}
    for dead in (1, 2):
        del bases[dead]
        found.dead += 1
        assert not found.wants_writing
    del bases[8]
    found.dead += 1

    assert found.wants_writing
    number(found, maildir, bases, [])

    assert uid_database(maildir).uids == {"2": 3, "3": 4, "4": 5, "5": 6, "6": 7}
    assert uid_database(maildir).uidnext == found.uidnext == 9


def test_torn_line_at_the_end(maildir: Path, few: None) -> None:
    """What a crash left of an appended line is no entry; the file is put right, no UID given twice."""
    found = loaded(maildir)
    number(found, maildir, {}, [b"%d" % n for n in range(5)])
    with open(maildir / "courierimapuiddb", "ab") as file:
        file.write(b"6 tor")

    after = loaded(maildir)

    assert after.wants_writing
    assert after.uidnext == int((maildir / "courierimapuiddb").read_bytes().split()[2])
    assert after.uidnext > 6


def test_foreign_writer_takes_the_header_at_its_word(maildir: Path, few: None) -> None:
    """Courier writes the file without our mark: UIDNEXT is then what the header says."""
    found = loaded(maildir)
    number(found, maildir, {}, [b"%d" % n for n in range(5)])
    text = (maildir / "courierimapuiddb").read_bytes().replace(uiddb.MARK + b"\n", b"")
    (maildir / "courierimapuiddb").write_bytes(text)

    assert loaded(maildir).uidnext == 9 > found.uidnext

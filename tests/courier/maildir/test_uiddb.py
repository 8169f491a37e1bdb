"""courier.maildir.uiddb: courierimapuiddb, whole and damaged, ours and Courier's."""

import errno
import os
from array import array
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courier.maildir import filename, uiddb
from courier.maildir.uiddb import MAX_UID, UidDb
from tests.conftest import Start
from tests.courier.maildir.test_delivery import ERRORS, calls_of, failed, fresh_maildirs, killed
from tests.support import maildirs
from tests.support.servers import Implementation


def database(uidvalidity: int, uidnext: int, entries: dict[int, bytes]) -> UidDb:
    return UidDb(uidvalidity, uidnext, array("I", entries), list(entries.values()))


BASES = st.binary(min_size=1, max_size=8).filter(
    lambda base: filename.acceptable(base) and b":" not in base
)


@st.composite
def databases(draw: st.DrawFn) -> UidDb:
    bases = draw(st.lists(BASES, unique=True, max_size=8))
    numbers = st.integers(1, MAX_UID - 1)
    uids = sorted(draw(st.sets(numbers, min_size=len(bases), max_size=len(bases))))
    uidnext = draw(st.integers(uids[-1] + 1 if uids else 1, MAX_UID))
    return database(draw(st.integers(1, MAX_UID)), uidnext, dict(zip(uids, bases, strict=True)))


@given(databases())
def test_format_reads_back(db: UidDb) -> None:
    """Whatever octets the bases have: spaces, tabs, colon-like things."""
    assert uiddb.parse(uiddb.format(db)) == db


@given(st.lists(st.sampled_from(
    [b"1", b"2", b"7", b"+3", b"1_0", b"4294967295", b" ", b" ", b"\n", b"\n", b"a", b"b", b":", b"\t"]
), max_size=24).map(b"".join))  # fmt: skip
def test_regular_and_damaged_agree(entries: bytes) -> None:
    """The fast reader either gives up or finds what the careful one finds."""
    regular = uiddb._parse_regular(entries)
    uids, bases, highest = uiddb._parse_damaged(entries)

    if regular is not None:
        assert regular == (uids, bases)
    assert list(uids) == sorted(set(uids)) and len(set(bases)) == len(bases) == len(uids)
    assert all(0 < uid <= highest < MAX_UID for uid in uids)
    assert b"" not in bases


@given(st.binary(max_size=60))
def test_any_octets(text: bytes) -> None:
    """Nothing but a database or None comes out, and it can be written again."""
    db = uiddb.parse(b"1 1 1\n" + text)

    assert db is not None
    assert uiddb.parse(uiddb.format(db)) == db
    uiddb.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\n",
        b"1 5\n",
        b"1 x 5\n",
        b"2 5 5\n",
        b"0 5 5\n",
        b"1 5 5",
        b"1 0 5\n",
        b"1 -5 5\n",
        b"1 4294967296 5\n",
        b"1 5 4294967296\n",
        b"1 5 " + b"9" * 5000 + b"\n",
        b"\n1 5 5\n",
    ],
)
def test_unusable_header(text: bytes) -> None:
    """As if there were no file."""
    assert uiddb.parse(text) is None


@pytest.mark.parametrize(
    ("text", "uidnext", "entries"),
    [
        (b"1 5 9\n", 9, {}),
        (b"1 5 0\n", 1, {}),
        (b"1 5 9 more\n1 a\n", 9, {1: b"a"}),
        (b"1 5 9\n1 a\n2 b", 9, {1: b"a"}),
        (b"1 5 2\n1 a\n7 b\n", 8, {1: b"a", 7: b"b"}),
        (b"1 5 9\n7 b\n1 a\n", 9, {1: b"a", 7: b"b"}),
        (b"1 5 9\n1 a\n2 a\n3 b\n", 9, {1: b"a", 3: b"b"}),
        (b"1 5 9\n1 a\n1 b\n2 c\n", 9, {2: b"c"}),
        (b"1 5 1\n4 a\n4 b\n", 5, {}),
        (b"1 5 9\n1 a\n1 a\n", 9, {1: b"a"}),
        (b"1 5 9\n1 a b\n", 9, {1: b"a b"}),
        (b"1 5 9\n1  a\n", 9, {1: b" a"}),
        (b"1 5 9\n1 a:2,S\n", 9, {1: b"a"}),
        (b"1 5 9\n\nx\nx y\n1\n1 \n-1 a\n+1 a\n0 a\n2 b\n", 9, {2: b"b"}),
        (b"1 5 9\n4294967295 a\n4294967296 b\n3 c\n", 9, {3: b"c"}),
        (b"1 5 9\n4294967294 a\n", MAX_UID, {4294967294: b"a"}),
        (b"1 5 9\n" + b"9" * 5000 + b" a\n3 c\n", 9, {3: b"c"}),
        (b"1 5 9\n1 " + b"x" * 20000 + b"\n", 9, {1: b"x" * 20000}),
        (b"1 5 9\n5\n1 2 b\n", 9, {1: b"2 b"}),
    ],
)
def test_damaged_entries(text: bytes, uidnext: int, entries: dict[int, bytes]) -> None:
    """What can be told for certain is kept, and no UID is ever given again."""
    assert uiddb.parse(text) == database(5, uidnext, entries)


def test_missing(maildir: Path) -> None:
    assert uiddb.read(str(maildir)) is None
    assert uiddb.stamp(str(maildir)) is None


def test_unreadable_is_not_missing(maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A good database that can't be read just now must not be replaced."""
    (maildir / "courierimapuiddb").write_bytes(b"1 5 9\n")

    def refused(*arguments: object, **options: object) -> int:
        raise OSError(errno.EIO, "")

    monkeypatch.setattr(os, "open", refused)
    with pytest.raises(OSError):
        uiddb.read(str(maildir))


def test_link_is_not_followed(maildir: Path, tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"1 5 9\n")
    (maildir / "courierimapuiddb").symlink_to(tmp_path / "other")

    with pytest.raises(OSError):
        uiddb.read(str(maildir))


def test_write_and_stamp(maildir: Path) -> None:
    """The text is Courier's; every write changes the stamp."""
    uiddb.write(str(maildir), database(5, 9, {1: b"a", 7: b"b"}), sync=True)
    first = uiddb.stamp(str(maildir))
    assert (maildir / "courierimapuiddb").read_bytes() == b"1 5 9\n1 a\n7 b\n"

    uiddb.write(str(maildir), database(5, 9, {1: b"a", 7: b"c"}), sync=False)
    assert uiddb.stamp(str(maildir)) != first
    assert os.listdir(maildir / "tmp") == []


@pytest.mark.parametrize(
    "db",
    [
        database(5, 9, {1: b"a\n2 b"}),
        database(5, 7, {7: b"a"}),
        database(0, 7, {}),
        database(MAX_UID + 1, 7, {}),
        database(5, MAX_UID + 1, {MAX_UID: b"a"}),
    ],
)
def test_what_would_not_read_back_is_not_written(maildir: Path, db: UidDb) -> None:
    (maildir / "courierimapuiddb").write_bytes(b"1 5 5\n")

    with pytest.raises(ValueError):
        uiddb.write(str(maildir), db, sync=False)
    assert (maildir / "courierimapuiddb").read_bytes() == b"1 5 5\n"


def test_write_with_each_call_failing_or_killed(tmp_path: Path) -> None:
    """The old database stays until the new one is in its place: Courier deletes it instead."""
    old, new = database(5, 2, {1: b"a"}), database(5, 3, {1: b"a", 2: b"b"})
    folders = fresh_maildirs(tmp_path)
    first = next(folders)
    calls = calls_of(lambda: uiddb.write(str(first), new, sync=True))
    renamed = calls.index("rename")
    for at in range(len(calls)):
        for error in (*ERRORS, 0):
            folder = str(next(folders))
            uiddb.write(folder, old, sync=False)

            if error:
                assert failed(lambda folder=folder: uiddb.write(folder, new, True), at, error)
                assert os.listdir(os.path.join(folder, "tmp")) == []
            else:
                killed(lambda folder=folder: uiddb.write(folder, new, True), at)

            assert uiddb.read(folder) == (old if at <= renamed else new)


def test_new_uidvalidity() -> None:
    """Courier's epoch; greater than any before, even where it was counted from 1970."""
    assert uiddb.new_uidvalidity(1_795_210_826.9) == 795_210_826
    assert uiddb.new_uidvalidity(1_795_210_826, above=795_210_826) == 795_210_827
    assert uiddb.new_uidvalidity(1_795_210_826, above=1_300_000_000) == 1_300_000_001
    assert uiddb.new_uidvalidity(0) == 1
    assert 0 < uiddb.new_uidvalidity(1_795_210_826, above=MAX_UID) <= MAX_UID


# --- Beside Courier -----------------------------------------------------------------------------


@pytest.mark.courier
@pytest.mark.parametrize(
    "text",
    [
        b"1 5 9\n1 a\n2 b\n",
        b"1 5 9 more\n1 a\n2 b\n",
        b"1  5\t9\n1 a\n2 b\n",
        b"01 5 9\n1 a\n2 b\n",
        b"1 5 9\n2 b\n1 a\n",
        b"1 5 9\n1 a\n2 b",
        b"1 5 9\n\nx y\n1 a:2,S\n2 b:x\n",
        b"1 5 9",
        b"2 5 9\n1 a\n2 b\n",
        b"x 5 9\n1 a\n2 b\n",
        b"",
        b"\n1 5 9\n",
    ],
)
def test_same_reading_as_courier(
    maildir: Path, courier: Implementation, start: Start, text: bytes
) -> None:
    """Which files are usable, and what they say, is the same for both."""
    for name in ("a", "b"):
        (maildir / "cur" / f"{name}:2,").write_bytes(b"Subject: x\n\nx\n")
    (maildir / "courierimapuiddb").write_bytes(text)
    ours = uiddb.read(str(maildir))

    client = start(courier).client
    status = client.command("STATUS INBOX (UIDVALIDITY)").named("STATUS")[0][1]

    assert isinstance(status, list)
    assert (ours is not None) == (status[1] == 5)
    client.command("SELECT INBOX")
    uids = [item["UID"] for item in client.fetch("1:*", "UID").values()]
    if ours is not None:
        kept = list(ours.uids)
        assert uids[: len(kept)] == kept
        assert all(uid >= ours.uidnext for uid in uids[len(kept) :])
    theirs = uiddb.read(str(maildir))
    assert theirs is not None
    assert list(theirs.uids) == uids


@pytest.mark.courier
def test_courier_goes_on_from_our_file(
    maildir: Path, courier: Implementation, start: Start
) -> None:
    """It keeps our UIDs and UIDVALIDITY and gives new messages our UIDNEXT."""
    bases = [
        maildirs.deliver(maildir, b"Subject: x\n\nx\n", number=number, flags="S")
        for number in range(3)
    ]
    entries = dict(zip((3, 70, 4_000_000_000), map(os.fsencode, bases), strict=True))
    uiddb.write(str(maildir), database(3_999_999_999, 4_000_000_007, entries), sync=True)

    client = start(courier).client
    client.command("SELECT INBOX")
    appended = client.append("INBOX", b"Subject: y\r\n\r\ny\r\n")

    assert [item["UID"] for item in client.fetch("1:3", "UID").values()] == list(entries)
    assert appended.code("APPENDUID") == "3999999999 4000000007"
    ours, theirs = uiddb.read(str(maildir)), maildirs.uid_database(maildir)
    assert ours is not None
    assert (ours.uidvalidity, ours.uidnext) == (theirs.uidvalidity, theirs.uidnext)
    assert dict(zip(map(os.fsdecode, ours.bases), ours.uids, strict=True)) == theirs.uids

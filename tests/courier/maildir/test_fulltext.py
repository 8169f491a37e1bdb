"""The full-text index: who may hold a text."""

from __future__ import annotations

import sqlite3
from array import array
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from courier.maildir import fulltext, fulltext_builder
from courier.maildir import fulltext_database as database
from courier.maildir.columns import EMPTY, Columns, Names
from courier.maildir.folder import Folder
from courier.maildir.fulltext import Candidates, Entry, FullText, Texts
from courier.maildir.state import Options
from courier.message.collation import Needle, fold
from tests.conftest import NewDirectory
from tests.support.maildirs import deliver

VALIDITY = 1234


@pytest.fixture
def index(maildir: Path) -> FullText:
    return FullText(str(maildir))


def message(*lines: str) -> Texts:
    found = fulltext.texts("\n".join(lines).encode())
    assert found is not None
    return found


def entry(uid: int, texts: Texts | None) -> Entry:
    return Entry(uid, b"%d.file:2,S" % uid, texts)


def folder_of(*uids: int, name: bytes = b"file") -> Columns:
    """A folder of these messages; others have given them new flags meanwhile."""
    names = Names([b"%d.%b:2,FS" % (uid, name) for uid in uids])
    return replace(EMPTY, uids=array("I", uids), names=names, flags=bytes(len(uids)))


ALL = folder_of(*range(1, 200))


def candidates(index: FullText, needle: str, columns: Columns = ALL) -> Candidates | None:
    return index.candidates(VALIDITY, columns, fold(needle), in_head=False)


def may_have(index: FullText, needle: str, *, in_head: bool = False) -> list[int] | None:
    """The UIDs that the index does not rule out, of those that it knows."""
    found = index.candidates(VALIDITY, ALL, fold(needle), in_head=in_head)
    if found is None:
        return None
    return [uid for low, high in found.may_have.ranges() for uid in range(low, high + 1)]


def test_candidates(index: FullText) -> None:
    """Bodies and header lines are apart; neither case nor blanks count."""
    index.add(VALIDITY, [entry(1, message("Subject: Zanzibar", "", "hello\n  world"))])
    index.add(VALIDITY, [entry(7, message("Subject: none", "", "ZANZIBAR"))])

    assert may_have(index, "zanzibar") == [7]
    assert may_have(index, "Zanzibar", in_head=True) == [1, 7]
    assert may_have(index, "hello world") == [1]
    assert may_have(index, "subject: zan", in_head=True) == [1]
    assert may_have(index, "nowhere") == []
    assert str(candidates(index, "nowhere").known) == "1,7"  # type: ignore[union-attr]


@pytest.mark.parametrize("needle", ["", "ab", " a ", "x\0y", "ab\ud800"])
def test_needles_that_cannot_be_asked_for(index: FullText, needle: str) -> None:
    """They have no trigram, or letters that the database can't have."""
    index.add(VALIDITY, [entry(1, message("", "abc"))])

    assert may_have(index, needle) is None


def test_nothing_is_made_by_asking(index: FullText, maildir: Path) -> None:
    assert may_have(index, "anything") is None
    assert index.missing(VALIDITY, [3, 5, 9]) == [(0, 3)]
    assert not list(maildir.glob("pycourier-fulltext*"))


def test_missing(index: FullText) -> None:
    """What is too long to be indexed has been seen, and is never ruled out."""
    index.add(VALIDITY, [entry(3, message("", "abc")), entry(5, None)])

    found = candidates(index, "xyz")

    assert index.missing(VALIDITY, [1, 3, 4, 5, 9]) == [(0, 1), (2, 3), (4, 5)]
    assert found is not None and str(found.known) == "3" and not found.may_have


def test_texts_of_a_huge_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fulltext, "_MAX_TEXT", 100)

    assert fulltext.texts(b"\n" + b"x" * 101) is None


def test_other_numbering(index: FullText) -> None:
    """The index of another UIDVALIDITY says nothing, and is replaced."""
    index.add(VALIDITY - 1, [entry(1, message("", "before"))])

    assert may_have(index, "before") is None
    index.add(VALIDITY, [entry(1, message("", "after"))])
    assert may_have(index, "before") == []
    assert may_have(index, "after") == [1]


def test_another_unicode(index: FullText, monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts folded by other tables are of no use."""
    index.add(VALIDITY, [entry(1, message("", "text"))])
    monkeypatch.setattr("unicodedata.unidata_version", "99.0")

    assert may_have(index, "text") is None


@pytest.mark.parametrize("damage", ["cut", "overwritten", "empty", "noise"])
def test_damaged(index: FullText, maildir: Path, damage: str) -> None:
    """It says nothing, is thrown away, and can be built anew."""
    index.add(VALIDITY, [entry(uid, message("", f"text {uid} " * 50)) for uid in range(1, 200)])
    path = maildir / fulltext.NAME
    whole = path.read_bytes()
    content = {
        "cut": whole[: len(whole) // 2],
        "overwritten": whole[:100] + b"\xff" * (len(whole) - 100),
        "empty": b"",
        "noise": b"noise" * 1000,
    }
    path.write_bytes(content[damage])

    found = may_have(index, "text 7")

    assert found is None or 7 in found
    index.add(VALIDITY, [entry(7, message("", "text 7"))])
    again = may_have(index, "text 7")
    assert again is None or 7 in again


def test_added_twice(index: FullText) -> None:
    """What two processes add is there once."""
    for _ in range(2):
        index.add(VALIDITY, [entry(1, message("", "text"))])

    connection = sqlite3.connect(index._index.path + "/" + fulltext.NAME)
    assert connection.execute("SELECT count(*) FROM body('tex')").fetchone() == (1,)
    connection.close()


def test_begun_by_two(index: FullText, maildir: Path) -> None:
    """Processes that begin at the same time fill one index."""
    (maildir / fulltext.NAME).touch(0o600)
    one = database.connect(str(maildir / fulltext.NAME))
    other = database.connect(str(maildir / fulltext.NAME))
    for connection in (one, other):
        database.begin(connection, VALIDITY)
        connection.close()

    index.add(VALIDITY, [entry(1, message("", "text"))])

    assert may_have(index, "text") == [1]


def test_file_of_others(index: FullText, maildir: Path) -> None:
    """A file that others can write, or a link, is not used."""
    index.add(VALIDITY, [entry(1, message("", "text"))])
    path = maildir / fulltext.NAME
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o666)
    assert may_have(index, "text") is None
    path.chmod(0o600)
    path.rename(maildir / "elsewhere")
    path.symlink_to(maildir / "elsewhere")
    assert may_have(index, "text") is None


def test_uids_given_to_other_messages(index: FullText) -> None:
    """An old courierimapuiddb was restored: the index knows nothing of the new messages."""
    index.add(VALIDITY, [entry(1, message("", "text")), entry(2, message("", "text"))])
    others = folder_of(1, 2, name=b"another")

    found = candidates(FullText(index._index.path), "other", others)
    index.drop_if_stale(VALIDITY, ALL)

    assert found is not None and not found.known
    assert index.missing(VALIDITY, [1]) == []
    FullText(index._index.path).drop_if_stale(VALIDITY, others)
    assert index.missing(VALIDITY, [1]) == [(0, 1)]


def test_stale(index: FullText) -> None:
    """An index of messages that are mostly gone is given up."""
    index.add(VALIDITY, [entry(uid, None) for uid in range(1, 2000)])
    index.drop_if_stale(VALIDITY, folder_of(*range(1, 600)))
    assert index.missing(VALIDITY, [5]) == []
    index.drop_if_stale(VALIDITY, folder_of(*range(1, 400)))
    assert index.missing(VALIDITY, [5]) == [(0, 1)]


alphabet = st.sampled_from('aAbBä"*\0 \n日\u0301\U0001f600\ufffe')


@pytest.mark.slow
@settings(max_examples=60, suppress_health_check=list(HealthCheck), deadline=None)
@given(
    st.lists(st.text(alphabet, max_size=30), max_size=4), st.text(alphabet, max_size=25), st.data()
)
def test_nothing_is_ruled_out_that_matches(
    new_directory: NewDirectory, bodies: list[str], words: str, data: st.DataObject
) -> None:
    """Wherever a needle is found by a look, the index says that it may be."""
    folder = new_directory("folder")
    (folder / "cur").mkdir()
    index = FullText(str(folder))
    index.add(VALIDITY, [entry(uid, message("", body)) for uid, body in enumerate(bodies, 1)])
    if bodies and data.draw(st.booleans()):
        body = data.draw(st.sampled_from(bodies))
        start = data.draw(st.integers(0, len(body)))
        words = body[start : start + data.draw(st.integers(0, 25))]
    needle = Needle(words)

    found = may_have(index, words)

    having = [uid for uid, body in enumerate(bodies, 1) if needle.is_in(body)]
    assert (found is None) == (len(needle.text) < 3 or "\0" in needle.text)
    assert found is None or set(having) <= set(found)


def test_build(maildir: Path) -> None:
    """A folder's index is built in batches; then there is nothing left to do."""
    for number in range(5):
        deliver(maildir, f"Subject: x\n\nbody {number}\n".encode(), number=number, flags="")
    folder = Folder(str(maildir), Options(fulltext=True))
    folder.synchronise(take_new=True)
    index = folder.fulltext
    assert index is not None

    assert fulltext_builder.build(folder, index) == 5
    assert fulltext_builder.build(folder, index) == 0
    found = index.candidates(folder.uidvalidity, folder.columns, "body 3", in_head=False)
    assert found is not None and str(found.may_have) == "4" and str(found.known) == "1:5"


@pytest.mark.slow
def test_process(maildir: Path) -> None:
    """The builder is a process of its own, started once at a time, and only if it is worth it."""
    for number in range(fulltext_builder._WORTH):
        deliver(maildir, f"Subject: x\n\nbody {number}\n".encode(), number=number, flags="")
    folder = Folder(str(maildir), Options(fulltext=True, use_locks=False))
    folder.synchronise(take_new=True)
    assert folder.fulltext is not None

    fulltext_builder.start_if_worth(folder)
    process = fulltext_builder._running[folder.path]
    fulltext_builder.start_if_worth(folder)
    assert fulltext_builder._running[folder.path] is process
    assert process.wait(30) == 0
    fulltext_builder.start_if_worth(folder)

    assert (
        folder.path not in fulltext_builder._running
        or fulltext_builder._running[folder.path] is process
    )
    assert folder.fulltext.missing(folder.uidvalidity, folder.columns.uids) == []


@pytest.mark.slow
def test_builder_killed(maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whenever it is killed, what is there rules out nothing that matches, and is gone on with."""
    for number in range(600):
        text = f"Subject: x\n\n{'filler ' * 200} body{number % 50:03d}\n"
        deliver(maildir, text.encode(), number=number, flags="")
    folder = Folder(str(maildir), Options(fulltext=True, use_locks=False))
    folder.synchronise(take_new=True)
    index = folder.fulltext
    assert index is not None

    for round_ in range(6):
        fulltext_builder.start(folder)
        process = fulltext_builder._running[folder.path]
        journal = maildir / f"{fulltext.NAME}-journal"
        for _ in range(20_000 * round_):  # up to a moment within a transaction, if there is one
            if process.poll() is not None or (journal.exists() and journal.stat().st_size):
                break
        process.kill()
        process.wait(30)

        found = index.candidates(folder.uidvalidity, folder.columns, "body007", in_head=False)

        if found is not None:
            having = {uid for uid in folder.columns.uids if (uid - 1) % 50 == 7}
            assert all(uid in found.may_have for uid in having if uid in found.known)

    fulltext_builder.build(folder, index)
    found = index.candidates(folder.uidvalidity, folder.columns, "body007", in_head=False)
    assert found is not None and len(found.known) == 600 and len(found.may_have) == 12

"""courier.maildir.tree: folders come, go and move as a whole."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from courier.maildir import delivery, tree, uiddb
from courier.maildir.tree import Tree, remove_leftovers
from tests.courier.maildir.test_delivery import calls_of, failed, fresh_maildirs, killed
from tests.courier.maildir.test_folder import opened, uids
from tests.support.maildirs import deliver, make_folder, uid_database


@pytest.fixture
def top(maildir: Path) -> Tree:
    return Tree(str(maildir))


def filled(path: Path, name: str, text: bytes = b"x\n") -> Path:
    """A folder with one message that has UID 1."""
    folder = make_folder(path, f"INBOX.{name}")
    deliver(folder, text, number=1, flags="S")
    opened(folder)
    return folder


def texts(path: Path) -> list[bytes]:
    """All messages anywhere in a maildir."""
    return sorted(
        file.read_bytes() for kind in ("new", "cur") for file in path.glob(f"**/{kind}/*")
    )


# --- Names --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a", "a.b", "é.x", " ", "~", "a" * 254, "\udcff", "*%"])
def test_names(top: Tree, name: str) -> None:
    """Whatever the file system takes can be a folder, also what is not UTF-8."""
    assert tree.is_name(name)

    top.create(name)

    assert top.exists(name)
    assert top.folders() == ["", name]
    top.delete(name)
    assert top.folders() == [""]


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a.", ".a", "a..b", "a/b", "/a", "./a", "../a", "a\0b", "a" * 255]
)
def test_names_that_cannot_be(top: Tree, maildir: Path, name: str) -> None:
    """None of them leads anywhere, whoever forgot to check it."""
    assert not tree.is_name(name)
    if name == "":
        return  # INBOX
    filled(maildir, "other")

    for call in (top.create, top.delete, partial(top.rename, "other"), top.directory):
        with pytest.raises(ValueError):
            call(name)
    assert not top.exists(name)
    assert sorted(os.listdir(maildir)) == [".other", "cur", "new", "tmp"]
    assert sorted(os.listdir(maildir.parent)) == ["Maildir"]


def test_folders(top: Tree, maildir: Path) -> None:
    """Only directories with cur/ in them, INBOX first, sorted; a parent need not exist."""
    for name in ("b", "a.b.c", "a", "Z", os.fsdecode(b"\xff")):
        make_folder(maildir, f"INBOX.{name}")
    (maildir / ".DS_Store").write_bytes(b"")
    (maildir / ".empty").mkdir()
    (maildir / ".loop").symlink_to(".loop")
    (maildir / ".dangling").symlink_to("nowhere")
    (maildir / ".x..y").mkdir()
    (maildir / ".x..y" / "cur").mkdir()
    (maildir / "nofolder").mkdir()
    (maildir / "nofolder" / "cur").mkdir()

    assert top.folders() == ["", "Z", "a", "a.b.c", "b", "\udcff"]
    assert list(top.below("a")) == ["a.b.c"]
    assert list(top.below("a.b")) == ["a.b.c"]
    assert top.exists("") and not top.exists("a.b") and not top.exists("DS_Store")


def test_linked_folder_is_listed(top: Tree, maildir: Path, tmp_path: Path) -> None:
    filled(maildir, "target").rename(tmp_path / "elsewhere")
    (maildir / ".linked").symlink_to(tmp_path / "elsewhere")

    assert top.folders() == ["", "linked"]


# --- Create -------------------------------------------------------------------------------------


def test_create(top: Tree, maildir: Path) -> None:
    """As Courier makes it, with a UIDVALIDITY, whatever the umask."""
    before = os.umask(0o777)
    try:
        top.create("a.b")
    finally:
        os.umask(before)

    made = maildir / ".a.b"
    assert sorted(os.listdir(made)) == ["courierimapuiddb", "cur", "maildirfolder", "new", "tmp"]
    for name in (".", "cur", "new", "tmp"):
        assert stat.S_IMODE((made / name).stat().st_mode) == 0o700, name
    assert stat.S_IMODE((made / "maildirfolder").stat().st_mode) == 0o600
    database = uid_database(made)
    assert database.uidnext == 1 and not database.uids
    assert abs(database.uidvalidity - (time.time() - 1e9)) < 60
    assert os.listdir(maildir / "tmp") == []


@pytest.mark.parametrize("kind", ["folder", "file", "link", "empty"])
def test_create_what_exists(top: Tree, maildir: Path, kind: str) -> None:
    """What is there stays, whatever it is."""
    target = maildir / ".a"
    if kind == "folder":
        filled(maildir, "a")
    elif kind == "file":
        target.write_bytes(b"")
    elif kind == "link":
        target.symlink_to("nowhere")
    else:
        target.mkdir()
    before = target.lstat().st_ino

    with pytest.raises(FileExistsError):
        top.create("a")

    assert target.lstat().st_ino == before
    assert os.listdir(maildir / "tmp") == []


def test_created_by_another_meanwhile(
    top: Tree, maildir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one who renames first has made it; the other is told that it exists."""
    rename = os.rename

    def late(source: str, target: str) -> None:
        if target == str(maildir / ".a"):
            filled(maildir, "a")
        rename(source, target)

    monkeypatch.setattr(os, "rename", late)

    with pytest.raises(FileExistsError):
        top.create("a")
    assert texts(maildir) == [b"x\n"]


# --- Delete -------------------------------------------------------------------------------------


def test_delete(top: Tree, maildir: Path) -> None:
    """With all that is in it; folders below stay."""
    filled(maildir, "a")
    filled(maildir, "a.b", b"below\n")
    (maildir / ".a" / "courierimapkeywords").mkdir()

    top.delete("a")

    assert top.folders() == ["", "a.b"]
    assert texts(maildir) == [b"below\n"]
    assert os.listdir(maildir / "tmp") == []


def test_delete_reserved_or_missing(maildir: Path) -> None:
    top = Tree(str(maildir), trash="Bin")
    filled(maildir, "Bin")

    for name in ("", "Bin"):
        with pytest.raises(PermissionError):
            top.delete(name)
    with pytest.raises(FileNotFoundError):
        top.delete("none")
    assert texts(maildir) == [b"x\n"]


def test_delete_link(top: Tree, maildir: Path, tmp_path: Path) -> None:
    """Only the link goes: Courier empties what it leads to."""
    filled(maildir, "target").rename(tmp_path / "elsewhere")
    (maildir / ".linked").symlink_to(tmp_path / "elsewhere")

    top.delete("linked")

    assert top.folders() == [""]
    assert len(texts(tmp_path / "elsewhere")) == 1


def test_delete_with_unusable_database(top: Tree, maildir: Path, tmp_path: Path) -> None:
    """A folder that can't be opened can still be deleted."""
    (filled(maildir, "a") / "courierimapuiddb").unlink()
    (maildir / ".a" / "courierimapuiddb").symlink_to(tmp_path)

    top.delete("a")

    assert top.folders() == [""]


def test_delete_cut_short(
    top: Tree, maildir: Path, monkeypatch: pytest.MonkeyPatch, later_tmp: Callable[[], None]
) -> None:
    """What could not be removed is out of sight, and goes for good two days later."""
    filled(maildir, "a")
    monkeypatch.setattr(shutil, "rmtree", lambda *_arguments, **_options: None)
    top.delete("a")
    monkeypatch.undo()

    assert top.folders() == [""]
    remove_leftovers(str(maildir))
    assert len(os.listdir(maildir / "tmp")) == 1
    later_tmp()
    remove_leftovers(str(maildir))
    assert os.listdir(maildir / "tmp") == []


@pytest.fixture
def later_tmp(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Make what lies in tmp/ look 48 hours old."""

    def pass_time() -> None:
        now = time.time()
        monkeypatch.setattr(tree.time, "time", lambda: now + 48 * 3600)

    return pass_time


def test_leftovers_of_others_stay(
    top: Tree, maildir: Path, tmp_path: Path, later_tmp: Callable[[], None]
) -> None:
    """Only what this module left; no link is followed."""
    (maildir / "tmp" / "directory").mkdir()
    (maildir / "tmp" / delivery.unique_name("folder")).mkdir()
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "file").write_bytes(b"")
    (maildir / "tmp" / delivery.unique_name("deleted")).symlink_to(tmp_path / "victim")
    later_tmp()

    remove_leftovers(str(maildir))

    assert (tmp_path / "victim" / "file").exists()
    left = os.listdir(maildir / "tmp")
    assert "directory" in left and len(left) == 2
    shutil.rmtree(maildir)
    remove_leftovers(str(maildir))  # nothing there: nothing to do


# --- Rename -------------------------------------------------------------------------------------


def test_rename_with_folders_below(top: Tree, maildir: Path) -> None:
    """All of them move, each with a new UIDVALIDITY; others stay."""
    for name in ("a", "a.b", "a.b.c", "ab", "x.a"):
        filled(maildir, name, name.encode())
    before = {n: uid_database(maildir / f".{n}").uidvalidity for n in ("a", "a.b", "a.b.c", "ab")}

    top.rename("a", "new.name")

    assert top.folders() == ["", "ab", "new.name", "new.name.b", "new.name.b.c", "x.a"]
    assert texts(maildir / ".new.name.b.c") == [b"a.b.c"]
    for name in ("", ".b", ".b.c"):
        database = uid_database(maildir / f".new.name{name}")
        assert database.uidvalidity > before["a" + name]
        assert not database.uids
    assert uid_database(maildir / ".ab").uidvalidity == before["ab"]
    assert list(uids(opened(maildir / ".new.name.b")).values()) == [1]


def test_rename_parent_that_is_no_folder(top: Tree, maildir: Path) -> None:
    filled(maildir, "a.b")

    top.rename("a", "c")

    assert top.folders() == ["", "c.b"]


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("none", "c", FileNotFoundError),
        ("", "c", FileNotFoundError),
        ("a", "b", FileExistsError),
        ("a", "stray", FileExistsError),
        ("a", "a", OSError),
        ("a", "a.x", OSError),
        ("a", "", FileExistsError),
        ("p", "q", FileExistsError),
    ],
)
def test_refused_renames(
    top: Tree, maildir: Path, old: str, new: str, error: type[Exception]
) -> None:
    """Nothing moves and nothing is numbered anew."""
    for name in ("a", "a.b", "b", "p.c", "q.c"):
        filled(maildir, name)
    (maildir / ".stray").write_bytes(b"")
    before = {n: uid_database(maildir / f".{n}") for n in top.folders() if n}

    with pytest.raises(error):
        top.rename(old, new)

    assert {n: uid_database(maildir / f".{n}") for n in top.folders() if n} == before


def test_rename_to_a_name_too_long_for_a_folder_below(top: Tree, maildir: Path) -> None:
    """Nothing is renamed then."""
    below = "x" * 200
    filled(maildir, "a")
    filled(maildir, f"a.{below}")

    with pytest.raises(OSError) as refusal:
        top.rename("a", "b" * 100)

    assert refusal.value.errno == errno.ENAMETOOLONG
    assert top.folders() == ["", "a", f"a.{below}"]
    assert len(texts(maildir)) == 2


# --- UIDVALIDITY --------------------------------------------------------------------------------


@pytest.mark.parametrize("old", [1, 1_300_000_000, "now", "ahead", 4_294_967_290])
def test_uidvalidity_never_repeats(
    top: Tree, maildir: Path, old: int | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not within a second, not after one from before 2011 or from a clock that was ahead."""
    now = time.time()
    monkeypatch.setattr(tree.time, "time", lambda: now)
    known = {"now": int(now) - 10**9, "ahead": int(now) - 10**9 + 500}
    value = known[old] if isinstance(old, str) else old
    filled(maildir, "a")
    (maildir / ".a" / "courierimapuiddb").write_text(f"1 {value} 2\n")
    seen = [value]

    for _ in range(3):
        top.delete("a")
        top.create("a")
        seen.append(uid_database(maildir / ".a").uidvalidity)
    top.rename("a", "b")
    assert uid_database(maildir / ".b").uidvalidity > seen[-1]
    top.create("a")
    seen.append(uid_database(maildir / ".a").uidvalidity)

    assert seen == sorted(set(seen))


def test_damaged_watermark(top: Tree, maildir: Path) -> None:
    """As if there were none."""
    for text in (b"", b"x", b"9" * 30, b"-5\n", b"\xff"):
        (maildir / "pycourier-uidvalidity").write_bytes(text)
        top.create("a")
        top.delete("a")

    assert top.folders() == [""]


# --- Failing and dying --------------------------------------------------------------------------


def _create(path: Path) -> None:
    Tree(str(path)).create("new")


def _delete(path: Path) -> None:
    Tree(str(path)).delete("a")


def _rename(path: Path) -> None:
    Tree(str(path)).rename("a", "c")


def _ready(path: Path) -> Path:
    for name in ("a", "a.b"):
        filled(path, name, name.encode())
    return path


def _consistent(path: Path) -> set[str]:
    """Every folder is whole, has its message and can be opened; return their names."""
    top = Tree(str(path))
    names = set(top.folders()) - {""}
    for name in names:
        folder = path / f".{name}"
        assert {"cur", "new", "tmp", "courierimapuiddb", "maildirfolder"} <= {*os.listdir(folder)}
        found = opened(folder)
        expected = {"new": [], "a": [b"a"], "c": [b"a"]}.get(name, [b"a.b"])
        assert [found.read(uid)[0] for uid in found.columns.uids] == expected
    return names


@pytest.mark.slow
@pytest.mark.parametrize("operation", [_create, _delete, _rename])
def test_each_call_failing(
    tmp_path: Path, operation: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error leaves the folders as they were; without one all is done."""
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)  # the second decides on the watermark's calls
    folders = fresh_maildirs(tmp_path)
    first = _ready(next(folders))
    calls = calls_of(partial(operation, first))
    done = _consistent(first)
    assert done != {"a", "a.b"}
    for at, call in enumerate(calls):
        path = _ready(next(folders))
        raised = failed(partial(operation, path), at, errno.EIO)

        names = _consistent(path)
        assert names in ({"a", "a.b"}, done), (at, call)
        # Past the point of no return only syncing and tidying up can fail.
        if raised is not None and names == done:
            assert call in ("open", "fsync", "close"), (at, call)
        if raised is None:
            assert names == done, (at, call)


@pytest.mark.slow
@pytest.mark.parametrize("operation", [_create, _delete, _rename])
def test_killed_before_each_call(
    tmp_path: Path, operation: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each folder has its old name or its new one, and all that was in it."""
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)  # the second decides on the watermark's calls
    folders = fresh_maildirs(tmp_path)
    first = _ready(next(folders))
    calls = calls_of(partial(operation, first))
    done = _consistent(first)
    for at, call in enumerate(calls):
        path = _ready(next(folders))
        killed(partial(operation, path), at)

        names = _consistent(path)
        if operation is _rename:
            assert len(names) == 2 and names <= {"a", "a.b", "c", "c.b"}, (at, call)
        else:
            assert names in ({"a", "a.b"}, done), (at, call)


def test_renumbering_fails(top: Tree, maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that can't get a new UIDVALIDITY is not renamed."""
    filled(maildir, "a")

    def full(*_arguments: Any, **_options: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(uiddb, "write", full)

    with pytest.raises(OSError):
        top.rename("a", "b")
    assert top.folders() == ["", "a"]


def test_names_from_before_courier_5(maildir: Path) -> None:
    """A directory in modified UTF-7 is the folder it was meant to be, unless that is there, too."""
    for name in ("R&AOk-sum&AOk-", "a&-b", "x&bad", "T&AOk-.sub"):
        make_folder(maildir, f"INBOX.{name}")
    tree = Tree(str(maildir))

    assert tree.folders() == ["", "Résumé", "Té.sub", "a&b", "x&bad"]
    assert tree.directory("Résumé") == str(maildir / ".R&AOk-sum&AOk-")
    assert tree.exists("a&b") and tree.exists("Té.sub") and not tree.exists("Té")
    with pytest.raises(FileExistsError):
        tree.create("Résumé")

    make_folder(maildir, "INBOX.Résumé")

    assert tree.folders() == ["", "R&AOk-sum&AOk-", "Résumé", "Té.sub", "a&b", "x&bad"]
    assert tree.directory("Résumé") == str(maildir / ".Résumé")


def test_old_name_is_renamed_to_a_new_one(maildir: Path) -> None:
    make_folder(maildir, "INBOX.R&AOk-sum&AOk-")
    tree = Tree(str(maildir))

    tree.rename("Résumé", "Café")
    tree.delete("Café")
    tree.create("Résumé")

    assert [path.name for path in maildir.iterdir() if path.name[0] == "."] == [".Résumé"]


def test_new_name_that_looks_old(maildir: Path) -> None:
    """It stays what it is; where there are old names, it can't be told from them."""
    tree = Tree(str(maildir))
    tree.create("a&AOk-b")
    assert tree.folders() == ["", "a&AOk-b"]

    (maildir / "pycourier-utf8").unlink()
    assert tree.folders() == ["", "aéb"]
    with pytest.raises(OSError, match="convert the old names first"):
        tree.create("c&AOk-d")
    with pytest.raises(OSError, match="convert the old names first"):
        tree.rename("aéb", "c&AOk-d")

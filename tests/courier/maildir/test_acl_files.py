from __future__ import annotations

import contextlib
import errno
import itertools
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from courier.maildir import acl, delivery
from courier.maildir.acl import ALL, Identity, InvalidAcl
from courier.maildir.acl_files import HIERARCHY, NAME, AclFiles
from courier.maildir.tree import Tree
from tests.courier.maildir.test_delivery import calls_of, faults, fresh_maildirs, killed
from tests.support.exhaustion import exhausted_here
from tests.support.maildirs import make_folder

BOB = Identity("bob")
OWNERS = "owner aceilrstwx\nadministrators aceilrstwx\n"


@pytest.fixture
def tree(maildir: Path) -> Tree:
    return Tree(str(maildir))


@pytest.fixture
def files(tree: Tree) -> AclFiles:
    return AclFiles(tree)


def give(files: AclFiles, folder: str, identifier: str, rights: str) -> None:
    files.change(folder, lambda found: found.with_rights(identifier, rights))


def rights(files: AclFiles, folder: str) -> str:
    return acl.rights(files.read(folder), BOB, is_owner=False)


def test_reading_writes_nothing(files: AclFiles, maildir: Path) -> None:
    """A look at lists leaves no file, where Courier gives every folder one."""
    make_folder(maildir, "INBOX.a.b")
    before = sorted(maildir.rglob("*"))

    assert files.read("") == files.read("a") == files.read("a.b") == acl.DEFAULT
    assert sorted(maildir.rglob("*")) == before


def test_inheritance(files: AclFiles, maildir: Path) -> None:
    """A folder without a list has that of the nearest level above it."""
    for name in ("INBOX.a", "INBOX.a.b"):
        make_folder(maildir, name)
    (maildir / ".a" / NAME).write_text(OWNERS + "user=bob lr\n")

    assert [rights(files, name) for name in ("", "a", "a.b", "a.x.y", "c")] == [
        "",
        "lr",
        "lr",
        "lr",
        "",
    ]


def test_file_as_courier_writes_it(files: AclFiles, maildir: Path) -> None:
    """The same octets, the same mode, and nothing left in tmp/."""
    give(files, "", "user=bob", "srl")

    assert (maildir / NAME).read_text() == OWNERS + "user=bob lrs\n"
    assert (maildir / NAME).stat().st_mode & 0o777 == 0o644
    assert os.listdir(maildir / "tmp") == []


def test_widening_opens_nothing_below(files: AclFiles, maildir: Path) -> None:
    """Folders and levels below get the list that they had, before the one above changes."""
    for name in ("INBOX.a", "INBOX.a.b", "INBOX.v.x"):
        make_folder(maildir, name)

    give(files, "", "anyone", "lr")

    assert [rights(files, name) for name in ("", "a", "a.b", "v", "v.x")] == ["lr", "", "", "", ""]
    assert (maildir / HIERARCHY / "v").read_text() == OWNERS
    assert rights(files, "new") == "lr"  # as with Courier: what is made later inherits it


def test_refused_change_changes_nothing(files: AclFiles, maildir: Path) -> None:
    make_folder(maildir, "INBOX.a")
    before = sorted(maildir.rglob("*"))

    with pytest.raises(InvalidAcl):
        give(files, "", "owner", "r")

    assert sorted(maildir.rglob("*")) == before


@pytest.mark.parametrize("kind", ["fifo", "directory", "link", "large"])
def test_list_that_cannot_be_read(files: AclFiles, maildir: Path, kind: str) -> None:
    """It gives nobody anything; the owner can put it right."""
    secret = maildir / "secret"
    secret.write_text(OWNERS + "user=bob lr\n")
    path = maildir / NAME
    match kind:
        case "fifo":
            os.mkfifo(path)
        case "directory":
            path.mkdir()
        case "link":
            path.symlink_to(secret)
        case "large":
            path.write_text("user=bob lr\n" * 100_000)

    assert rights(files, "") == ""
    assert acl.rights(files.read(""), BOB, is_owner=True) == "a"


def test_create_with_its_list(files: AclFiles, maildir: Path) -> None:
    """A new folder has its parent's list from the start."""
    give(files, "", "user=bob", "lr")

    files.create("a")

    assert (maildir / ".a" / NAME).read_text() == OWNERS + "user=bob lr\n"


def test_level_keeps_its_list(files: AclFiles, maildir: Path) -> None:
    """Deleting a folder with others below it leaves its list to the level, and to who makes it again."""
    files.create("a")
    files.create("a.b")
    give(files, "a", "user=bob", "lr")

    files.delete("a")

    assert rights(files, "a") == "lr"
    assert (maildir / HIERARCHY / "a").exists()
    files.create("a")
    assert rights(files, "a") == "lr"


def test_no_list_rises_from_the_dead(files: AclFiles, maildir: Path) -> None:
    """Courier: a level's list outlives the last folder below it, and comes back with the name."""
    files.create("a")
    files.create("a.b")
    give(files, "a", "user=bob", "lr")
    files.delete("a")
    files.delete("a.b")

    assert not list((maildir / HIERARCHY).iterdir())
    files.create("a")
    assert rights(files, "a") == ""


def test_list_left_over_means_nothing(files: AclFiles, maildir: Path) -> None:
    """Also where Courier left it."""
    (maildir / HIERARCHY).mkdir()
    (maildir / HIERARCHY / "a").write_text(OWNERS + "user=bob lr\n")

    assert rights(files, "a") == ""
    files.create("a")
    assert rights(files, "a") == ""
    make_folder(maildir, "INBOX.a.b")
    assert rights(files, "a") == ""  # it has its own now


def test_rename_moves_lists(files: AclFiles, maildir: Path) -> None:
    """Of folders and of levels; the new place changes nobody's rights."""
    for name in ("INBOX.a.v.x", "INBOX.a.plain", "INBOX.open"):
        make_folder(maildir, name)
    give(files, "open", "anyone", "lrs")
    (maildir / HIERARCHY).mkdir(exist_ok=True)
    (maildir / HIERARCHY / "a.v").write_text(OWNERS + "user=bob lr\n")

    files.rename("a", "open.a")

    assert rights(files, "open.a.v") == "lr"
    assert rights(files, "open.a.v.x") == "lr"  # inherited from the level when it moved
    assert rights(files, "open.a.plain") == ""
    assert not (maildir / HIERARCHY / "a.v").exists()


def test_failed_rename_leaves_no_list(files: AclFiles, maildir: Path) -> None:
    make_folder(maildir, "INBOX.a.v.x")
    make_folder(maildir, "INBOX.b.v.x")
    (maildir / HIERARCHY).mkdir()
    (maildir / HIERARCHY / "a.v").write_text(OWNERS + "user=bob lr\n")

    with pytest.raises(FileExistsError):
        files.rename("a", "b")

    assert rights(files, "a.v") == "lr"
    assert rights(files, "b.v") == ""


def test_leftovers_are_removed(files: AclFiles, maildir: Path) -> None:
    """Only of names that nothing is below, and that are old enough."""
    make_folder(maildir, "INBOX.live.x")
    (maildir / HIERARCHY).mkdir()
    for name in ("live", "dead", "young"):
        (maildir / HIERARCHY / name).write_text(OWNERS)
    os.utime(maildir / HIERARCHY / "dead", (1, 1))

    files.remove_leftovers(older_than=100)

    assert sorted(os.listdir(maildir / HIERARCHY)) == ["live", "young"]


@pytest.mark.parametrize("failing", [1, 2])
def test_full_disk(
    files: AclFiles, maildir: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    """The lists in force stay, whichever file can't be written."""
    make_folder(maildir, "INBOX.a")
    (maildir / NAME).write_text(OWNERS + "user=bob lr\n")
    real, count = delivery.write_all, itertools.count(1)

    def write_all(fd: int, data: bytes) -> None:
        if data.startswith(b"owner") and next(count) == failing:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(fd, data)

    monkeypatch.setattr(delivery, "write_all", write_all)
    with pytest.raises(OSError, match="No space"):
        files.change("", lambda found: found.without("user=bob").with_rights("anyone", ALL))
    monkeypatch.undo()

    assert rights(files, "") == rights(files, "a") == "lr"
    assert os.listdir(maildir / "tmp") == []


# --- Crashes ------------------------------------------------------------------------------------


def filled(maildir: Path) -> AclFiles:
    """INBOX that bob may read, a folder of the owner's alone with a level and a folder below."""
    for name in ("INBOX.a", "INBOX.a.v.x", "INBOX.open"):
        make_folder(maildir, name)
    for name, more in (("", "user=bob lr\n"), (".a", ""), (".open", "user=bob lr\n")):
        (maildir / name / NAME).write_text(OWNERS + more)
    return AclFiles(Tree(str(maildir)))


@pytest.mark.parametrize("operation", ["change", "create"])
def test_list_that_cannot_be_read_for_a_moment(
    maildir: Path, files: AclFiles, operation: str
) -> None:
    """It is not taken for an empty one: nothing is written over it, or after its model."""
    make_folder(maildir, "INBOX.a")
    give(files, "a", "user=carl", "lrs")
    before = (maildir / ".a" / NAME).read_bytes()

    with exhausted_here(), pytest.raises(OSError, match="Too many open files"):
        files.read("a")
    with pytest.MonkeyPatch.context() as patch:

        def broken(*_: object, **__: object) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        patch.setattr(delivery, "read_regular", broken)
        with pytest.raises(OSError, match="Input/output error"):
            OPERATIONS[operation](files)

    assert (maildir / ".a" / NAME).read_bytes() == before
    assert files._tree.folders() == ["", "a"]


def _widen(files: AclFiles) -> None:
    give(files, "a", "user=bob", "lr")


OPERATIONS: dict[str, Callable[[AclFiles], None]] = {
    "change": _widen,
    "create": lambda files: files.create("a.new"),
    "delete": lambda files: files.delete("a"),
    "rename": lambda files: files.rename("a", "open.a"),
}


@pytest.mark.slow
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("error", [0, errno.ENOSPC])
def test_with_each_call_failing_or_killed(tmp_path: Path, operation: str, error: int) -> None:
    """At no moment may anybody do more than before, or than after it: but the folder itself."""
    maildirs = fresh_maildirs(tmp_path)
    calls = calls_of(partial(OPERATIONS[operation], filled(next(maildirs))))
    assert calls
    for at in range(len(calls)):
        maildir = next(maildirs)
        files = filled(maildir)
        with contextlib.suppress(OSError):
            if error:
                with faults(at, error):
                    OPERATIONS[operation](files)
            else:
                killed(partial(OPERATIONS[operation], files), at)
        (maildir / "tmp" / "courier.lock").unlink(missing_ok=True)

        rights_now = {name: rights(files, name) for name in files._tree.folders()}

        widened = {"a"} if operation == "change" else set()
        for name, now in rights_now.items():
            expected = {"", "lr"} if name in widened else {"lr"} if name in ("", "open") else {""}
            assert now in expected, (at, calls[at], name)
        files.change("open", lambda found: found)  # and it can go on


def test_top_cannot_be_deleted(files: AclFiles, maildir: Path) -> None:
    """Whatever is below it; no list is written for it."""
    make_folder(maildir, "INBOX.a")
    before = sorted(maildir.rglob("*"))

    with pytest.raises(PermissionError):
        files.delete("")

    assert sorted(maildir.rglob("*")) == before

"""What is kept of a maildir's folders says what a reading of everything says, whatever others have done."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from courier.maildir import acl_files, filesystem, own_file, roster
from courier.maildir.acl_files import HIERARCHY, NAME, AclFiles
from courier.maildir.annotations import NAME as ANNOTATIONS
from courier.maildir.roster import Look, Roster, Rosters
from courier.maildir.state import Options
from courier.maildir.tree import Tree
from tests.support.clock import wait_for_tick
from tests.support.maildirs import make_folder, make_maildir

OWNERS = "owner aceilrstwx\nadministrators aceilrstwx\n"
FILE = "pycourier-folders"


@pytest.fixture
def tree(maildir: Path) -> Tree:
    """INBOX and six folders, some with lists of their own."""
    for name in ("a", "a.b", "a.b.c", "d", "e.f", "g&AOQ-"):
        make_folder(maildir, f"INBOX.{name}")
    for name in ("a", "d"):
        (maildir / f".{name}" / NAME).write_text(OWNERS)
    wait_for_tick()
    return Tree(str(maildir))


class Readings(list[str]):
    """The directories whose lists have been read."""

    def since(self) -> list[str]:
        found = [os.path.basename(os.path.dirname(path)) for path in self]
        self.clear()
        return found


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> Readings:
    found = Readings()
    real = acl_files.read_file

    def read_file(path: str) -> object:
        found.append(path)
        return real(path)

    monkeypatch.setattr(acl_files, "read_file", read_file)
    return found


def anew(tree: Tree) -> list[tuple[str, object]]:
    """What there is, found without anything that was kept."""
    return [(name, AclFiles(tree).read(name)) for name in tree.folders()]


def told(look: Look) -> list[tuple[str, object]]:
    return [(one.name, one.acl) for one in look.folders]


def replace(path: Path, text: str) -> None:
    """Put a file in place as Courier does: by rename."""
    made = path.with_name("made")
    made.write_text(text)
    made.rename(path)


def remake(path: Path) -> None:
    """Remove a folder and make another of its name."""
    shutil.rmtree(path)
    make_maildir(path)
    (path / NAME).write_text(OWNERS + "user=bob lr\n")


Change = Callable[[Path], object]
CHANGES: dict[str, Change] = {
    "folder made": lambda at: make_folder(at, "INBOX.new"),
    "folder made below": lambda at: make_folder(at, "INBOX.e"),
    "folder removed": lambda at: shutil.rmtree(at / ".a.b"),
    "folder removed and made again": lambda at: remake(at / ".a"),
    "folder renamed": lambda at: (at / ".a.b.c").rename(at / ".x"),
    "folders exchanged": lambda at: (
        (at / ".a").rename(at / ".t"),
        (at / ".d").rename(at / ".a"),
        (at / ".t").rename(at / ".d"),
    ),
    "list replaced": lambda at: replace(at / ".a" / NAME, OWNERS + "user=bob lr\n"),
    "list overwritten": lambda at: (at / ".a" / NAME).write_text(
        OWNERS.replace("owner a", "owner b")
    ),
    "list written on": lambda at: (at / ".a" / NAME).open("a").write("user=bob lr\n"),
    "list removed": lambda at: (at / ".a" / NAME).unlink(),
    "list made": lambda at: (at / ".a.b" / NAME).write_text(OWNERS + "user=bob lr\n"),
    "list of INBOX made": lambda at: (at / NAME).write_text(OWNERS + "user=bob lr\n"),
    "list of a level made": lambda at: (
        (at / HIERARCHY).mkdir(),
        (at / HIERARCHY / "e").write_text(OWNERS + "user=bob lr\n"),
    ),
    "list left over of a level": lambda at: (
        (at / HIERARCHY).mkdir(),
        (at / HIERARCHY / "d").write_text(OWNERS + "user=bob lr\n"),
    ),
    "list that is a directory": lambda at: (
        (at / ".a" / NAME).unlink(),
        (at / ".a" / NAME).mkdir(),
    ),
    "cur removed": lambda at: (at / ".d" / "cur").rmdir(),
    "cur that is a file": lambda at: ((at / ".d" / "cur").rmdir(), (at / ".d" / "cur").touch()),
    "directory that is a file": lambda at: (shutil.rmtree(at / ".d"), (at / ".d").touch()),
    "directory behind a link": lambda at: (
        (at / ".d").rename(at.parent / "away"),
        (at / ".d").symlink_to(at.parent / "away"),
    ),
    "old name of a folder that is made": lambda at: make_folder(at, "INBOX.gä"),
    "old names all the same": lambda at: (at / "pycourier-utf8").write_text("no\n"),
    "no old names any more": lambda at: (at / "pycourier-utf8").write_text("converted\n"),
}


@pytest.mark.usefixtures("seconds_later", "lines")
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_change_by_others(tree: Tree, change: Change) -> None:
    """The next look shows it, though all times are believed."""
    kept = Roster(tree)
    assert told(kept.look()) == anew(tree)

    change(Path(tree.path))

    assert told(kept.look()) == anew(tree)
    assert told(kept.look()) == anew(tree)


@pytest.mark.usefixtures("seconds_later", "lines")
@pytest.mark.parametrize("has_old_name", [False, True])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_some_of_what_others_changed(tree: Tree, change: Change, has_old_name: bool) -> None:
    """Who wants to know of some folders is told what a look at all tells of them, and what levels there are."""
    if not has_old_name:
        shutil.rmtree(os.path.join(tree.path, ".g&AOQ-"))
    kept, wholly = Roster(tree), Roster(tree)
    kept.look()

    change(Path(tree.path))

    for wanted in ({""}, {"a"}, {"e", "d"}, {"a.b", "e.f", "x"}, {"g&AOQ-", "gä", "new"}, set()):
        some, all_ = told(kept.look(wanted.__contains__)), told(wholly.look())
        assert [one for one in some if one[0] in wanted] == [
            one for one in all_ if one[0] in wanted
        ]
        assert (
            {one for one, _ in some} <= {one for one, _ in all_} == {one for one, _ in anew(tree)}
        )
        assert wanted & levels(some) == wanted & levels(all_)
    assert told(kept.look()) == anew(tree)


def levels(folders: list[tuple[str, object]]) -> set[str]:
    """Names, of folders or none, that others are below."""
    parts = [name.split(".") for name, _ in folders if name]
    return {".".join(one[:count]) for one in parts for count in range(len(one))}


@pytest.mark.usefixtures("lines")
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_change_within_the_same_tick(
    tree: Tree, change: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What leaves the time that was there before is seen as well: a young time is not believed."""
    real, now_ns = os.stat, time.time_ns()

    def still(path: str, **options: object) -> object:
        found = real(path, **options)  # type: ignore[call-overload]
        return SimpleNamespace(
            st_mode=found.st_mode, st_dev=found.st_dev, st_ino=1, st_ctime_ns=now_ns
        )

    def look(kept: Roster) -> Look:
        with monkeypatch.context() as patch:
            patch.setattr(roster.os, "stat", still)
            patch.setattr(roster.os, "lstat", partial(still, follow_symlinks=False))
            return kept.look()

    kept = Roster(tree)
    assert told(look(kept)) == anew(tree)

    change(Path(tree.path))

    assert told(look(kept)) == anew(tree)


def test_nothing_is_read_that_has_not_changed(
    tree: Tree, seconds_later: None, readings: Readings
) -> None:
    """A second look opens nothing, and gives the very same."""
    kept = Roster(tree)
    first = kept.look()
    assert sorted(readings.since()) == [".", ".a", ".a.b", ".a.b.c", ".d", ".e.f", ".g&AOQ-"]

    assert kept.look() is first
    assert readings.since() == []

    replace(Path(tree.path) / ".a" / NAME, OWNERS + "user=bob lr\n")
    assert kept.look() is not first
    assert readings.since() == [".a"]


def test_young_times_are_not_believed(tree: Tree, readings: Readings) -> None:
    """Within two seconds everything is read again: what changes then may leave the same time."""
    kept = Roster(tree)
    for _ in range(2):
        kept.look()
        assert len(readings.since()) == 7


@pytest.mark.usefixtures("seconds_later")
def test_file_system_of_other_hosts(
    tree: Tree, readings: Readings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There no time is believed."""
    monkeypatch.setattr(filesystem, "is_local", lambda _: False)
    kept = Roster(tree)
    for _ in range(2):
        assert told(kept.look()) == anew(tree)
        assert len(readings.since()) > 7


@pytest.mark.usefixtures("seconds_later")
def test_look_that_failed(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one tells nothing of what is gone since the one before."""
    kept = Roster(tree)
    kept.look()
    shutil.rmtree(os.path.join(tree.path, ".d"))
    replace(Path(tree.path) / ".a" / NAME, OWNERS)  # as it was, and read again
    with monkeypatch.context() as patch:
        patch.setattr(acl_files, "read_file", _no_descriptor)
        with pytest.raises(OSError, match="Too many"):
            kept.look()

    assert told(kept.look()) == anew(tree)


def _no_descriptor(path: str) -> object:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), path)


@pytest.mark.usefixtures("seconds_later")
def test_cur_behind_a_link(tree: Tree) -> None:
    """Where it leads to may go without a trace in the folder."""
    away = Path(tree.path).parent / "away"
    cur = Path(tree.path) / ".d" / "cur"
    cur.rename(away)
    cur.symlink_to(away)
    wait_for_tick()
    kept = Roster(tree)
    assert "d" in dict(told(kept.look()))

    away.rename(away.with_name("elsewhere"))

    assert "d" not in dict(told(kept.look()))


@pytest.mark.usefixtures("seconds_later")
def test_annotations(tree: Tree) -> None:
    kept = Roster(tree)
    assert not any(one.is_annotated for one in kept.look().folders)

    (Path(tree.path) / ".d" / ANNOTATIONS).touch()

    assert [one.name for one in kept.look().folders if one.is_annotated] == ["d"]


# -- from one process to the next ----------------------------------------------------------


@pytest.fixture
def stored(tree: Tree, seconds_later: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which a process has left what it knows."""
    monkeypatch.setattr(roster, "_LEAST_STORED", 1)
    kept = Roster(tree)
    kept.look()
    assert kept.has_news
    kept.store()
    assert not kept.has_news
    wait_for_tick()
    return Path(tree.path) / FILE


def test_next_process_reads_what_has_changed(stored: Path, tree: Tree, readings: Readings) -> None:
    """And names that may be old ones, since that depends on which others there are."""
    (stored.parent / ".a.b" / NAME).write_text(OWNERS + "user=bob lr\n")
    readings.clear()

    look = Roster(tree).look()

    assert sorted(readings.since()) == [".", ".a.b", ".g&AOQ-"]
    assert told(look) == anew(tree)


@pytest.mark.usefixtures("lines")
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_change_before_the_next_process(stored: Path, tree: Tree, change: Change) -> None:
    change(stored.parent)

    assert told(Roster(tree).look()) == anew(tree)


@pytest.mark.parametrize("at", [0, 9, 20, 60, 200, -1])
def test_damaged_file(stored: Path, tree: Tree, at: int) -> None:
    """Nothing of it is believed, and nothing lacks."""
    octets = bytearray(stored.read_bytes())
    octets[at] ^= 0xFF
    stored.write_bytes(octets)
    assert told(Roster(tree).look()) == anew(tree)

    stored.write_bytes(octets[:at])
    assert told(Roster(tree).look()) == anew(tree)


def test_file_of_others(stored: Path, tree: Tree, readings: Readings) -> None:
    """What others may write to is not read."""
    stored.chmod(0o660)
    readings.clear()

    Roster(tree).look()

    assert len(readings.since()) == 7


@pytest.mark.parametrize(
    "options",
    [Options(use_locks=False), Options(keywords=False), Options(follow_links=True)],
)
def test_other_settings(stored: Path, tree: Tree, options: Options, readings: Readings) -> None:
    """What was counted by others is not theirs."""
    readings.clear()

    Roster(tree, options).look()

    assert len(readings.since()) == 7


def test_index_elsewhere(
    tree: Tree, seconds_later: None, readings: Readings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With IMAP_INDEX_DIR the file lies there, and nothing in the maildir."""
    monkeypatch.setattr(roster, "_LEAST_STORED", 1)
    indexes = Path(tree.path).parent / "indexes"
    indexes.mkdir()
    options = Options(index_dir=str(indexes))
    kept = Roster(tree, options)
    kept.look()
    kept.store()
    readings.clear()

    Roster(tree, options).look()

    assert sorted(readings.since()) == [".g&AOQ-"]
    assert not (Path(tree.path) / FILE).exists()


def test_full_disk(
    tree: Tree,
    seconds_later: None,
    lines: Callable[[], list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What can't be stored is said once, and known all the same."""
    monkeypatch.setattr(roster, "_LEAST_STORED", 1)
    monkeypatch.setattr(own_file, "replace", _no_room)
    kept = Roster(tree)
    for _ in range(2):
        assert told(kept.look()) == anew(tree)
        kept.store()

    assert len(lines()) == 1
    assert not (Path(tree.path) / FILE).exists()


def _no_room(*_: object) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_little_is_not_stored(tree: Tree, seconds_later: None) -> None:
    """A file for a few folders is worth less than it costs."""
    kept = Roster(tree)
    kept.look()

    assert not kept.has_news


def test_rosters_of_a_process(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions of an account share one; those used last are kept as long as they are small."""
    monkeypatch.setattr(roster, "_KEPT_FOLDERS", 10)
    rosters = Rosters()
    first = rosters.of(tree)
    assert rosters.of(tree) is first
    first.look()
    assert rosters.of(Tree(tree.path)) is first

    for name in ("one", "two"):
        other = Tree(str(make_maildir(Path(tree.path).parent / name)))
        rosters.of(other).look()
    assert rosters.of(tree) is first
    for name in ("x", "y", "z"):
        other = Tree(str(make_maildir(Path(tree.path).parent / name)))
        for number in range(3):
            make_folder(Path(other.path), f"INBOX.{number}")
        rosters.of(other).look()
    assert rosters.of(tree) is not first

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from courier.maildir import link_farm
from courier.maildir.filename import Flag
from courier.maildir.folder import FlagChange, FolderGone, KeywordChange, MessageGone, Options
from courier.maildir.link_farm import LinkFarm
from courier.maildir.linked_folder import LinkedFolder, landing_directory
from tests.courier.maildir.test_delivery import calls_of, faults, killed
from tests.courier.maildir.test_folder import prepared
from tests.support.maildirs import deliver, make_folder, make_maildir

OPTIONS = Options(fsync=False)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The shared folder, with three messages, the last of them still in new/."""
    folder = make_folder(make_maildir(tmp_path / "pub"), "INBOX.news")
    deliver(folder, b"one\n", number=1, flags="S")
    deliver(folder, b"two\n", number=2, flags="")
    deliver(folder, b"three\n", number=3)
    return folder


@pytest.fixture
def farm(maildir: Path, source: Path) -> LinkFarm:
    made = LinkFarm(str(maildir), "pub", "news", str(source))
    made.make()
    return made


@pytest.fixture
def folder(farm: LinkFarm) -> Iterator[LinkedFolder]:
    opened = LinkedFolder(farm.directory, farm.source, OPTIONS)
    opened.synchronise(take_new=True)
    yield opened


def links(farm: LinkFarm) -> dict[str, str]:
    """File name without flags: flags."""
    names = [name for sub in ("cur", "new") for name in os.listdir(Path(farm.directory, sub))]
    return {name.split(".")[0][-1]: name.partition(":2,")[2] for name in names}


def test_make(maildir: Path, farm: LinkFarm) -> None:
    """What Courier makes: directories for the reader alone, and the link to the source."""
    directory = maildir / "shared-folders" / "pub" / "news"

    assert sorted(os.listdir(directory)) == ["cur", "new", "shared", "tmp"]
    assert os.readlink(directory / "shared") == farm.source
    assert all(path.stat().st_mode & 0o777 == 0o700 for path in (directory, directory / "cur"))
    farm.make()  # once more: nothing happens
    assert link_farm.farms(str(maildir)) == [("pub", "news")]
    assert os.listdir(maildir / "tmp") == []


def test_remove(maildir: Path, farm: LinkFarm, folder: LinkedFolder, source: Path) -> None:
    """The links go out of sight, the messages stay."""
    farm.remove()

    assert not farm.exists()
    assert link_farm.farms(str(maildir)) == []
    assert os.listdir(maildir / "shared-folders") == [".unsubscribed"]
    assert os.listdir(maildir / "tmp") == []
    assert len(os.listdir(source / "cur")) == 3


def test_back_again(farm: LinkFarm, folder: LinkedFolder) -> None:
    """Who subscribes again finds his UIDs, flags and keywords."""
    folder.change_flags([2], FlagChange(add=Flag.FLAGGED))
    uidvalidity = folder.uidvalidity
    farm.remove()
    farm.make()

    again = LinkedFolder(farm.directory, farm.source, OPTIONS)
    again.synchronise(take_new=True)

    assert (again.uidvalidity, list(again.columns.uids)) == (uidvalidity, [1, 2, 3])
    assert again.columns.flags[1] == Flag.FLAGGED


def test_look(maildir: Path, source: Path) -> None:
    """Looking subscribes to nothing, and what was seen then stays true."""
    farm = LinkFarm(str(maildir), "pub", "news", str(source))
    directory = farm.look()
    seen = LinkedFolder(directory, farm.source, OPTIONS)
    seen.synchronise(take_new=True)

    assert directory == farm.look() != farm.directory
    assert not farm.exists()
    assert link_farm.farms(str(maildir)) == []
    farm.make()
    assert farm.look() == farm.directory
    subscribed = LinkedFolder(farm.directory, farm.source, OPTIONS)
    subscribed.synchronise(take_new=True)
    assert subscribed.uidvalidity == seen.uidvalidity


def test_another_folder_of_that_name(farm: LinkFarm, folder: LinkedFolder, tmp_path: Path) -> None:
    """Links set aside are of one folder, and not taken for those of another."""
    farm.remove()
    other = make_folder(make_maildir(tmp_path / "other"), "INBOX.news")
    now = LinkFarm(farm.maildir, "pub", "news", str(other))

    now.make()

    opened = LinkedFolder(now.directory, now.source, OPTIONS)
    opened.synchronise(take_new=True)
    assert len(opened.columns) == 0
    assert os.readlink(Path(now.directory, "shared")) == str(other)
    now.remove()
    assert os.readlink(Path(now.look(), "shared")) == str(other)


def test_messages_are_read(folder: LinkedFolder) -> None:
    """With UIDs in the order of arrival, the sources' content and dates, and flags of one's own."""
    assert [folder.read(uid)[0] for uid in folder.columns.uids] == [b"one\n", b"two\n", b"three\n"]
    assert bytes(folder.columns.flags) == b"\0\0\0"
    assert [int(folder.stat(uid).st_mtime) for uid in (1, 2)] == [1_700_000_001, 1_700_000_002]


def test_flags_are_ones_own(folder: LinkedFolder, farm: LinkFarm, source: Path) -> None:
    """They stand in the links' names, keywords beside the links; the source knows nothing of them."""
    before = sorted(os.listdir(source / "cur"))

    folder.change_flags([1, 3], FlagChange(add=Flag.FLAGGED | Flag.SEEN))
    folder.change_keywords([2], KeywordChange(add=("word",)))

    assert links(farm) == {"1": "FS", "2": "", "3": "FS"}
    assert sorted(os.listdir(source / "cur")) == before
    assert not (source / "courierimapkeywords").exists()


def test_others_change_the_source(folder: LinkedFolder, farm: LinkFarm, source: Path) -> None:
    """A rename leaves flags and UID, what is removed goes, what comes is new."""
    folder.change_flags([1], FlagChange(add=Flag.FLAGGED))
    names = {name.split(".")[0][-1]: name for name in os.listdir(source / "cur")}
    os.rename(source / "cur" / names["1"], source / "cur" / names["1"].replace(":2,S", ":2,RS"))
    os.unlink(source / "cur" / names["2"])
    deliver(source, b"four\n", number=4, flags="")
    assert folder.read(1)[0] == b"one\n"  # found though the link is not yet right

    folder.synchronise(take_new=True)

    assert list(folder.columns.uids) == [1, 3, 4]
    assert links(farm) == {"1": "F", "3": "", "4": ""}
    assert [folder.read(uid)[0] for uid in (1, 3, 4)] == [b"one\n", b"three\n", b"four\n"]


def test_nothing_is_read_again_without_a_change(
    folder: LinkedFolder, farm: LinkFarm, source: Path
) -> None:
    """The time stamp decides; within the moment of the change it does not vouch for anything."""
    for directory in (source / "cur", source / "new"):
        os.utime(directory, (1_700_000_000, 1_700_000_000))
    folder.update_links()
    Path(farm.directory, "cur", sorted(os.listdir(Path(farm.directory, "cur")))[0]).unlink()

    folder.update_links()
    assert sorted(links(farm)) == ["2", "3"]

    os.utime(source / "cur")
    folder.update_links()
    assert sorted(links(farm)) == ["1", "2", "3"]


def test_no_change_of_the_source_is_passed_over(folder: LinkedFolder, source: Path) -> None:
    """Also where looking is meant to cost nothing."""
    for directory in (source / "cur", source / "new"):
        os.utime(directory, (1_700_000_000, 1_700_000_000))
    folder.synchronise(take_new=True)
    deliver(source, b"four\n", number=4, flags="")

    assert not folder.synchronise_at_once(take_new=True)
    folder.synchronise(take_new=True)
    assert list(folder.columns.uids) == [1, 2, 3, 4]


def test_open(folder: LinkedFolder) -> None:
    """A descriptor of the message, not of the link."""
    with open(folder.open(2), "rb") as file:
        assert file.read() == b"two\n"


def test_message_that_vanishes(folder: LinkedFolder, source: Path) -> None:
    """MessageGone, as in every folder."""
    for name in os.listdir(source / "cur"):
        os.unlink(source / "cur" / name)

    with pytest.raises(MessageGone):
        folder.read(1)
    with pytest.raises(MessageGone):
        folder.stat(2)


@pytest.mark.parametrize("kind", ["elsewhere", "link", "fifo", "above"])
def test_links_lead_nowhere_else(
    folder: LinkedFolder, farm: LinkFarm, source: Path, tmp_path: Path, kind: str
) -> None:
    """Neither this folder's links nor the source's files make us read anything but messages."""
    secret = tmp_path / "secret"
    secret.write_text("secret")
    link = next(p for p in Path(farm.directory, "cur").iterdir() if "00001." in p.name)
    target = Path(os.readlink(link))
    if kind == "link":
        target.unlink()
        target.symlink_to(secret)
    elif kind == "fifo":
        target.unlink()
        os.mkfifo(target)
    else:
        link.unlink()
        link.symlink_to(secret if kind == "elsewhere" else source / "cur" / "../../../secret")

    with pytest.raises(OSError):
        folder.read(1)


def test_deliver(folder: LinkedFolder, farm: LinkFarm, source: Path) -> None:
    """The message lands in the source; the UID is the one that it has here."""
    assert landing_directory(folder) == str(source)

    uids = folder.deliver(
        [prepared(source, b"a\n", Flag.SEEN, ("word",)), prepared(source, b"b\n")]
    )

    assert uids == [4, 5]
    assert [folder.read(uid)[0] for uid in uids] == [b"a\n", b"b\n"]
    assert folder.columns.flags[3] == Flag.SEEN
    assert folder.keyword_sets[folder.columns.keywords[3]] == ("word",)
    assert len(os.listdir(source / "cur")) == 5
    assert not (source / "courierimapuiddb").exists()
    assert os.listdir(source / "tmp") == []


def test_remove_messages(folder: LinkedFolder, farm: LinkFarm, source: Path) -> None:
    """Those that bear ``\\Deleted`` here go from the source, for everybody."""
    folder.change_flags([1], FlagChange(add=Flag.DELETED))

    removed = folder.remove([1, 2], only_deleted=True)
    folder.synchronise(take_new=True)

    assert len(removed) == 1
    assert list(folder.columns.uids) == [2, 3]
    assert len(os.listdir(source / "cur")) == 2


def test_source_is_gone(folder: LinkedFolder, source: Path) -> None:
    """FolderGone, and the reader's flags stay until he unsubscribes."""
    os.rename(source, source.parent / "away")

    with pytest.raises(FolderGone):
        folder.synchronise(take_new=True)

    os.rename(source.parent / "away", source)
    folder.synchronise(take_new=True)
    assert list(folder.columns.uids) == [1, 2, 3]


# --- Crashes ------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("error", [0, errno.ENOSPC])
def test_with_each_call_failing_or_killed(tmp_path: Path, source: Path, error: int) -> None:
    """Wherever making and updating links stops, the next look has all messages and the flags."""

    def use(farm: LinkFarm) -> None:
        farm.make()
        folder = LinkedFolder(farm.directory, farm.source, OPTIONS)
        folder.synchronise(take_new=True)
        folder.change_flags([2], FlagChange(add=Flag.FLAGGED))
        farm.remove()
        farm.make()

    def fresh(number: int) -> LinkFarm:
        maildir = make_maildir(tmp_path / f"m{number}")
        return LinkFarm(str(maildir), "pub", "news", str(source))

    use(fresh(-2))  # what it does to the source is done
    calls = calls_of(partial(use, fresh(-1)))
    for at in range(0, len(calls), 3):
        farm = fresh(at)
        with contextlib.suppress(OSError):
            if error:
                with faults(at, error):
                    use(farm)
            else:
                killed(partial(use, farm), at)
        for lock in Path(farm.maildir).rglob("courier.lock"):
            lock.unlink()

        farm.make()
        folder = LinkedFolder(farm.directory, farm.source, OPTIONS)
        folder.synchronise(take_new=True)

        assert list(folder.columns.uids) == [1, 2, 3], (at, calls[at])
        assert set(folder.columns.flags) <= {0, Flag.FLAGGED}
        assert [folder.read(uid)[0] for uid in (1, 2, 3)] == [b"one\n", b"two\n", b"three\n"]

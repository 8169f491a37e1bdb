"""Numbers that are kept are those of the folder, whatever others have done to it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from courier.maildir import filesystem, status
from courier.maildir.folder import Folder
from courier.maildir.tally import DELETED_SIZE, HIGHEST, IDENTIFIER, SIZE, Found, Moment, Tallies
from tests.support.clock import wait_for_tick
from tests.support.maildirs import deliver, make_maildir

NOTHING: frozenset[str] = frozenset()
MESSAGE = b"Subject: x\n\nbody\n"


@pytest.fixture
def path(maildir: Path) -> str:
    """A folder of three messages, one of them in new/, that has UIDs."""
    folder = make_maildir(maildir / ".a")
    deliver(folder, MESSAGE, number=1, flags="S")
    deliver(folder, MESSAGE, number=2, flags="")
    deliver(folder, MESSAGE, number=3)
    Folder(str(folder)).synchronise(take_new=False)
    wait_for_tick()
    return str(folder)


@pytest.fixture
def tallies(maildir: Path) -> Tallies:
    return Tallies(str(maildir))


def count(tallies: Tallies, path: str, needs: frozenset[str] = NOTHING) -> Moment:
    """Count as nobody has before."""
    found, moment = tallies.find(path, needs)
    assert found is None and moment is not None
    tallies.keep(path, moment, Found(status.read(Folder(path))))
    return moment


def _rename(at: Path, old: str, new: str) -> None:
    for file in (at / "cur").glob(f"*{old}"):
        file.rename(str(file).replace(old, new))


def _take_new(at: Path) -> None:
    for file in (at / "new").iterdir():
        file.rename(at / "cur" / f"{file.name}:2,")


def _replace(file: Path, text: str) -> None:
    file.with_name("made").write_text(text)
    file.with_name("made").rename(file)


CHANGES: dict[str, Callable[[Path], object]] = {
    "message in new": lambda at: deliver(at, MESSAGE, number=4),
    "message in cur": lambda at: deliver(at, MESSAGE, number=4, flags="S"),
    "flags": lambda at: _rename(at, ":2,S", ":2,"),
    "message taken out of new": _take_new,
    "message removed": lambda at: next((at / "cur").iterdir()).unlink(),
    "UIDs removed": lambda at: (at / "courierimapuiddb").unlink(),
    "UIDs replaced": lambda at: _replace(at / "courierimapuiddb", "1 7 9\n"),
    "UIDs overwritten": lambda at: (at / "courierimapuiddb").write_text("1 7 9\n"),
    "folder made again": lambda at: (shutil.rmtree(at), make_maildir(at)),
    "folder exchanged": lambda at: (
        at.rename(at.parent / "other"),
        shutil.copytree(at.parent / "other", at),
        deliver(at, MESSAGE, number=4),
    ),
}


@pytest.mark.usefixtures("seconds_later")
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_change_by_others(tallies: Tallies, path: str, change: Callable[[Path], object]) -> None:
    """It is counted again from then on, though all times are believed."""
    count(tallies, path)
    assert tallies.find(path, NOTHING)[0] == Found(status.read(Folder(path)))

    change(Path(path))

    assert tallies.find(path, NOTHING)[0] is None


def test_young_times(tallies: Tallies, path: str) -> None:
    """What is counted within two seconds after a change is not kept: the next may leave the same times."""
    assert tallies.find(path, NOTHING) == (None, None)


@pytest.mark.usefixtures("seconds_later")
def test_change_while_it_is_counted(tallies: Tallies, path: str) -> None:
    """A count stands by the times before it: what came meanwhile shows."""
    _, moment = tallies.find(path, NOTHING)
    assert moment is not None
    before = status.read(Folder(path))
    deliver(Path(path), MESSAGE, number=4)
    tallies.keep(path, moment, Found(before))

    assert tallies.find(path, NOTHING)[0] is None


@pytest.mark.usefixtures("seconds_later")
def test_file_system_of_other_hosts(
    tallies: Tallies, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filesystem, "is_local", lambda _: False)
    count(tallies, path)

    assert tallies.find(path, NOTHING)[0] is None


@pytest.mark.usefixtures("seconds_later")
@pytest.mark.parametrize("needs", [{HIGHEST}, {IDENTIFIER}, {HIGHEST, SIZE}])
@pytest.mark.parametrize("keywords", [True, False])
def test_what_depends_on_more(tallies: Tallies, path: str, needs: set[str], keywords: bool) -> None:
    """Keywords and files of the folder matter to MODSEQ and identifier, and to nothing else."""
    (Path(path) / "courierimapkeywords").mkdir()
    wait_for_tick()
    count(tallies, path, frozenset(needs | {SIZE}))
    assert tallies.find(path, frozenset(needs))[0] is not None

    place = "courierimapkeywords/x" if keywords else "pycourier-mailboxid"
    (Path(path) / place).touch()

    assert tallies.find(path, frozenset(needs))[0] is None
    assert tallies.find(path, frozenset({SIZE}))[0] is not None


@pytest.mark.usefixtures("seconds_later")
def test_clients_that_want_different_things(tallies: Tallies, path: str) -> None:
    """Who looks up what was not asked for yet looks up the rest as well, so that nobody loses something."""
    count(tallies, path, frozenset({SIZE}))

    found, moment = tallies.find(path, frozenset({DELETED_SIZE}))

    assert found is None and moment is not None
    assert moment.needs == {SIZE, DELETED_SIZE}


@pytest.mark.usefixtures("seconds_later")
def test_names_of_what_is_kept(tallies: Tallies, path: str, maildir: Path) -> None:
    """INBOX and folders go by their names in the maildir, so that they can be stored."""
    Folder(str(maildir)).synchronise(take_new=False)
    wait_for_tick()
    count(tallies, path)
    count(tallies, str(maildir))

    assert sorted(tallies.counts) == [".", ".a"]
    assert tallies.news == 2
    assert os.path.basename(path) == ".a"


@pytest.mark.usefixtures("seconds_later")
@pytest.mark.parametrize("counted", [True, False])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_unseen(
    tallies: Tallies, path: str, change: Callable[[Path], object], counted: bool
) -> None:
    """It is known by what was counted, or by itself, and again after each change."""
    if counted:
        count(tallies, path)
    assert tallies.has_unseen(path) and tallies.has_unseen(path)

    change(Path(path))

    assert tallies.has_unseen(path) == status.has_unseen(path)


@pytest.mark.usefixtures("seconds_later")
def test_unseen_is_looked_for_once(
    tallies: Tallies, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tallies.has_unseen(path)
    monkeypatch.setattr(status, "has_unseen", lambda _: pytest.fail("listed again"))

    assert tallies.has_unseen(path)


@pytest.mark.usefixtures("seconds_later")
def test_folder_that_is_forgotten(tallies: Tallies, path: str) -> None:
    count(tallies, path)

    tallies.forget({"."})

    assert tallies.counts == {}


@pytest.mark.usefixtures("seconds_later")
def test_forgetting_while_another_thread_keeps(tallies: Tallies, path: str) -> None:
    """What that has found stays, until folders are looked for the next time."""
    moment = count(tallies, path)

    class Present:
        """Names, while whose first is looked for another thread is done."""

        def __contains__(self, name: object) -> bool:
            tallies.keep(f"{path}.new", moment, Found(status.read(Folder(path))))
            return False

    make_maildir(Path(f"{path}.new"))
    tallies.forget(Present())

    assert [*tallies.counts] == [".a.new"]

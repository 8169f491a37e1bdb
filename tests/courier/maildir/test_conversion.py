"""Old folder names: what they are, and a conversion that can be broken off anywhere and repeated."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from courier.maildir import conversion, old_names
from courier.maildir.conversion import Unconvertible
from courier.maildir.old_names import NotOld
from tests.imapd.failing import failing_call
from tests.support.maildirs import make_folder, make_maildir

OLD = ("R&AOk-sum&AOk-", "plain", "T&AOk-.sub", "a&-b", "a&AOk-b", "a&-AOk-b")
NEW = ("Résumé", "plain", "Té.sub", "a&b", "aéb", "a&AOk-b")
SUBSCRIBED = "INBOX.a&-AOk-b\nINBOX.a&AOk-b\nINBOX.plain\n#shared.b&AOk-.x\nINBOX.AT&T\n"
CONVERTED = "INBOX.a&AOk-b\nINBOX.aéb\nINBOX.plain\n#shared.bé.x\nINBOX.AT&T\n"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        *zip(OLD, NEW, strict=True),
        ("", ""),
        ("&ZeVnLIqe-", "日本語"),
        ("x&AH8-".replace("AH8", "AIA"), "x\x80"),
    ],
)
def test_old_name(old: str, new: str) -> None:
    """Both ways."""
    assert old_names.decode(old) == new
    assert old_names.encode(new) == old


@pytest.mark.parametrize(
    "name",
    ["a&b", "a&", "&AOk", "&A-", "&AOl-x&", "&-é", "é", "&AC4-", "&AC8-", "&AGE-", "&2AA-",
     "&2D3eAA-", "&AOkA6Q-&-&AOk", "&AOk-&AOk-"],
)  # fmt: skip
def test_no_old_name(name: str) -> None:
    """Unfinished, not the one way to write it, a hidden dot or slash, beyond U+FFFF."""
    with pytest.raises(NotOld):
        old_names.decode(name)


def old_maildir(path: Path) -> Path:
    make_maildir(path)
    for name in OLD:
        (make_folder(path, f"INBOX.{name}") / "cur" / name).touch()
    (path / "courierimapsubscribed").write_text(SUBSCRIBED)
    (path / "courierimapsubscribed").chmod(0o640)
    (path / "courierimaphieracl").mkdir()
    (path / "courierimaphieracl" / "T&AOk-").write_text("owner aceilrstwx\n")
    (path / ".DS_Store&").touch()
    return path


def state(path: Path) -> tuple[dict[str, list[str]], str, list[str]]:
    """Which messages each folder has, the subscriptions, the lists of rights."""
    folders = {
        name[1:]: os.listdir(path / name / "cur")
        for name in os.listdir(path)
        if (path / name / "cur").is_dir() and name.startswith(".")
    }
    subscribed = (path / "courierimapsubscribed").read_text()
    return folders, subscribed, os.listdir(path / "courierimaphieracl")


DONE = ({new: [old] for old, new in zip(OLD, NEW, strict=True)}, CONVERTED, ["Té"])


def convert(path: Path) -> None:
    conversion.carry_out(str(path), conversion.plan(str(path)))


def test_conversion(tmp_path: Path) -> None:
    """Each name once, also where a new one is what another's old one was; again does nothing."""
    path = old_maildir(tmp_path / "M")
    assert not old_names.is_converted(str(path))

    convert(path)
    assert state(path) == DONE
    assert (path / "courierimapsubscribed").stat().st_mode & 0o777 == 0o640
    assert old_names.is_converted(str(path))

    convert(path)
    assert state(path) == DONE
    assert os.listdir(path / "tmp") == []


@pytest.mark.slow
def test_broken_off_anywhere(tmp_path: Path) -> None:
    """Whichever call fails, the next run takes it up, and no message changes its folder."""
    for number in range(200):
        path = old_maildir(tmp_path / f"M{number}")
        with failing_call(number) as calls:
            try:
                convert(path)
            except (OSError, Unconvertible):
                pass

        convert(path)

        assert state(path) == DONE, (number, calls.failed)
        if calls.failed is None:
            break
    assert number > 15


@pytest.mark.parametrize("other", ["Résumé", "a&b"])
def test_name_that_is_taken(tmp_path: Path, other: str) -> None:
    """Then nothing at all is converted."""
    path = old_maildir(tmp_path / "M")
    make_folder(path, f"INBOX.{other}")
    before = sorted(os.listdir(path))

    with pytest.raises(Unconvertible):
        convert(path)

    assert sorted(os.listdir(path)) == before


def test_state_of_a_later_version(tmp_path: Path) -> None:
    """Whatever it means, nothing is converted."""
    path = old_maildir(tmp_path / "M")
    (path / "pycourier-utf8").write_text("converted by magic\n")

    with pytest.raises(Unconvertible):
        convert(path)

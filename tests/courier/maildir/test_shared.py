from __future__ import annotations

import os
from pathlib import Path

import pytest

from courier.maildir import shared
from courier.maildir.shared import AlreadyDefined, InvalidNick, NotDefined


@pytest.mark.parametrize(
    ("words", "folder", "inner"),
    [
        ("read", 0o755, 0o755),
        ("write", 0o1755, 0o1777),
        ("read,group", 0o750, 0o750),
        ("write,group", 0o1750, 0o1770),
        ("write group", 0o1750, 0o1770),
        ("group", 0o750, 0o750),
        ("group,write", 0o1755, 0o1777),
        ("w,r", 0o755, 0o755),
        ("foo", 0o755, 0o755),
        ("", 0o755, 0o755),
    ],
)
def test_modes(words: str, folder: int, inner: int) -> None:
    """As Courier's maildirmake reads them: by first letters, one after the other."""
    assert shared.modes(words) == shared.Modes(folder, inner)


def test_definitions(maildir: Path, tmp_path: Path) -> None:
    """Comments, any white space; the system's file comes first; what is no nick is passed over."""
    (tmp_path / "maildirshared").write_text("# all\npub\t/srv/pub\n a.b /x\na/b /x\nbare\n")
    (maildir / shared.NAME).write_text("pub /home/x\n  own   /srv/o w n # mine\n\nown /second\n")

    found = shared.definitions(
        str(tmp_path / "maildirshared"), str(maildir / shared.NAME), str(tmp_path / "none")
    )

    assert found == {"pub": "/srv/pub", "own": "/srv/o w n"}


def test_add_and_remove(maildir: Path, tmp_path: Path) -> None:
    """Courier's lines and mode; what else is in the file stays as it is."""
    file = maildir / shared.NAME
    shared.add(str(maildir), "pub", str(tmp_path))
    assert file.read_text() == f"pub\t{tmp_path}\n"
    assert file.stat().st_mode & 0o777 == 0o644
    file.write_text("# comment\nq /x # foo\n" + file.read_text())

    shared.add(str(maildir), "two", str(tmp_path))
    shared.remove(str(maildir), "pub")

    assert file.read_text() == f"# comment\nq /x # foo\ntwo\t{tmp_path}\n"
    assert os.listdir(maildir / "tmp") == []


def test_refused(maildir: Path, tmp_path: Path) -> None:
    """Nothing is written."""
    shared.add(str(maildir), "pub", str(tmp_path))
    before = (maildir / shared.NAME).read_bytes()

    with pytest.raises(AlreadyDefined):
        shared.add(str(maildir), "pub", str(tmp_path))
    for nick in ("", "a.b", "a/b", "a b", "a\n"):
        with pytest.raises(InvalidNick):
            shared.add(str(maildir), nick, str(tmp_path))
    with pytest.raises(FileNotFoundError):
        shared.add(str(maildir), "x", str(tmp_path / "none"))
    with pytest.raises(NotDefined):
        shared.remove(str(maildir), "none")

    assert (maildir / shared.NAME).read_bytes() == before

"""As whom a maildir is worked in."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from courier.process.privileges import Ids
from tests.support.maildirs import let_others_enter, make_maildir
from tests.support.servers import MODULES
from tools import owner

NOBODY = 65534
root = pytest.mark.root


def test_maildir(tmp_path: Path) -> None:
    made = make_maildir(tmp_path / "Maildir")

    found = owner.named(str(made))

    cur = (made / "cur").stat()
    assert (found.path, found.ids) == (str(made), Ids(cur.st_uid, cur.st_gid))


def test_cur_that_is_a_link(tmp_path: Path) -> None:
    """Whoever may link to another's directory would say as whom root works in his own."""
    made = make_maildir(tmp_path / "Maildir")
    (made / "cur").rmdir()
    (made / "cur").symlink_to(tmp_path)

    with pytest.raises(NotADirectoryError):
        owner.named(str(made))


@pytest.mark.parametrize("target", ["real", "../mail/real", "{}/mail/real"])
def test_own_links(tmp_path: Path, target: str) -> None:
    (tmp_path / "mail").mkdir()
    make_maildir(tmp_path / "mail/real")
    (tmp_path / "mail/link").symlink_to(target.format(tmp_path))
    (tmp_path / "top").symlink_to("mail")

    assert owner.named(str(tmp_path / "top/link")).path == str(tmp_path / "top/link")


def test_links_without_an_end(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")

    with pytest.raises(OSError, match="symbolic links"):
        owner.named(str(tmp_path / "a"))


@root
@pytest.mark.parametrize("link", ["link", "top/real", "over/real"])
def test_links_of_others(tmp_path: Path, link: str) -> None:
    """Whoever made the link, at the end of the path, in it, or behind root's own, is not the owner."""
    (tmp_path / "mail").mkdir()
    make_maildir(tmp_path / "mail/real")
    (tmp_path / "link").symlink_to("mail/real")
    (tmp_path / "top").symlink_to("mail")
    (tmp_path / "over").symlink_to("top")
    for name in ("link", "top"):
        os.chown(tmp_path / name, NOBODY, NOBODY, follow_symlinks=False)

    with pytest.raises(PermissionError):
        owner.named(str(tmp_path / link))


@root
@pytest.mark.parametrize(
    ("program", "arguments", "made"),
    [
        ("maildirkw", ["{}", "1.eML.host", "work"], "courierimapkeywords"),
        ("maildirmake", ["-f", "Sent", "{}"], ".Sent/cur"),
        ("maildirmake", ["-q", "1000S", "{}"], "maildirsize"),
        ("maildiracl", ["-set", "{}", "INBOX", "user=vera", "lr"], "courierimapacl"),
    ],
)
def test_what_root_changes_is_the_owners(
    tmp_path: Path, program: str, arguments: list[str], made: str
) -> None:
    """Root's own directory of keywords, or list, is nothing that the owner's server may read.

    The path is relative to a directory that is root's.
    """
    maildir = make_maildir(tmp_path / "Maildir")
    for path in (maildir, *maildir.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    let_others_enter(tmp_path)

    (tmp_path / "own").mkdir(mode=0o700)
    given = [argument.format("../Maildir") for argument in arguments]
    subprocess.run(
        [sys.executable, "-m", f"tools.{program}", *given],
        env={**os.environ, **MODULES},
        cwd=tmp_path / "own",
        check=True,
    )

    found = (maildir / made).stat()
    assert (found.st_uid, found.st_gid) == (NOBODY, NOBODY)

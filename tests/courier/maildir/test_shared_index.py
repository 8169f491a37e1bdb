from __future__ import annotations

import os
from pathlib import Path

import pytest

from courier.maildir.shared_index import Account, Group, SharedIndex, problems
from tests.support.exhaustion import exhausted_here


def index(tmp_path: Path, text: str, *, munge: bool = False) -> SharedIndex:
    (tmp_path / "index").write_text(text)
    return SharedIndex(str(tmp_path / "index"), munge=munge)


def test_accounts(tmp_path: Path) -> None:
    """The maildir is absolute, or below the home directory; without one it is ./Maildir."""
    found = index(
        tmp_path,
        "a\t1000\t1000\t/home/a\n"
        "b\t1000\t1000\t/home/b\t\n"
        "c\t1000\t1000\t/home/c\tmail\tanything\n"
        "d\t1000\t1000\t/home/d\t/var/mail/d # the rest\n",
    )

    assert [
        record.maildir for record in found.records().values() if isinstance(record, Account)
    ] == [
        "/home/a/Maildir",
        "/home/b/Maildir",
        "/home/c/mail",
        "/var/mail/d ",
    ]


@pytest.mark.parametrize(
    "line",
    [
        "a",
        "a\t1",
        "a\t0\t1\t/x",
        "a\t1\t0\t/x",
        "a\tx\t1\t/x",
        "a\t1\t1",
        "a\t1\t1\thome/a",
        "\t1\t1\t/x",
        "a\t*",
        "# a",
    ],
)
def test_line_that_is_passed_over(tmp_path: Path, line: str) -> None:
    """Others count all the same."""
    assert list(index(tmp_path, f"{line}\n\nb\t1\t1\t/b\n").records()) == ["b"]


def test_groups(tmp_path: Path) -> None:
    """A group's file is found beside the one that names it, wherever its name leads."""
    (tmp_path / "one").write_text("bob\t1\t1\t/bob\ntwo\t*\ttwo\n")
    (tmp_path / "two").write_text("carol\t1\t1\t/carol\n")
    found = index(tmp_path, "grp\t*\tone\nroot\t*\t/etc/passwd\n")

    assert found.find(["grp", "bob", "x", "y"]) == (Account("bob", "/bob/Maildir"), ["x", "y"])
    assert found.find(["grp", "two", "carol"]) == (Account("carol", "/carol/Maildir"), [])
    assert found.find(["grp"]) == (Group("grp", str(tmp_path / "one")), [])
    assert found.find(["bob"]) is None
    assert found.find(["grp", "nobody"]) is None
    assert found.find(["root", "root:x:0:0:root:/root:/bin/bash"]) is None


def test_circle(tmp_path: Path) -> None:
    """A file that names itself has names of any depth, and none of them hangs the server."""
    found = index(tmp_path, "g\t*\tindex\na\t1\t1\t/a\n")

    assert found.find(["g"] * 3 + ["a", "x"]) == (Account("a", "/a/Maildir"), ["x"])
    assert found.find(["g"] * 1000) is None


@pytest.mark.parametrize(("munge", "shown"), [(False, "a b c\\"), (True, "a\\:b\\;c\\\\")])
def test_dots_and_slashes(tmp_path: Path, munge: bool, shown: str) -> None:
    """IMAP_SHAREDMUNGENAMES."""
    found = index(tmp_path, "a.b/c\\\t1\t1\t/x\n", munge=munge)

    assert list(found.records()) == [shown]


def test_same_name_twice(tmp_path: Path) -> None:
    """The last one counts."""
    found = index(tmp_path, "a\t1\t1\t/first\na\t1\t1\t/last\n")

    assert found.find(["a"]) == (Account("a", "/last/Maildir"), [])


def test_changed_file_is_read_again(tmp_path: Path) -> None:
    """sharedindexinstall puts another file in its place."""
    found = index(tmp_path, "a\t1\t1\t/a\n")
    assert list(found.records()) == ["a"]

    (tmp_path / "new").write_text("b\t1\t1\t/b\n")
    os.rename(tmp_path / "new", tmp_path / "index")

    assert list(found.records()) == ["b"]


def test_index_that_cannot_be_read_for_a_moment(tmp_path: Path) -> None:
    """Nobody is in it then; all are as soon as it can be read, though it is the same file."""
    found = index(tmp_path, "bob\t1\t1\t/home/bob\n")

    with exhausted_here():
        assert found.records() == {}
    assert list(found.records()) == ["bob"]


def test_no_index(tmp_path: Path) -> None:
    """Not configured, missing, or no file at all: nothing is shared."""
    assert SharedIndex(None).find(["a"]) is None
    assert SharedIndex("").find(["a"]) is None
    assert SharedIndex(str(tmp_path / "none")).find(["a"]) is None
    os.mkfifo(tmp_path / "fifo")
    assert SharedIndex(str(tmp_path / "fifo")).find(["a"]) is None


def test_problems(tmp_path: Path) -> None:
    """All that is passed over, in all files; a circle ends."""
    found = index(tmp_path, "a\t1\t1\t/a\nwrong\ng\t*\tother\n# fine\n\n")
    (tmp_path / "other").write_text("x\t0\t1\t/x\nmissing\t*\tnone\n")
    (tmp_path / "other").chmod(0o640)
    top = str(tmp_path / "index")
    assert list(found.records()) == ["a", "g"]

    assert list(problems(top)) == [
        f"{top}(2): syntax error.",
        f"{tmp_path}/other: sessions run as their accounts' users, who may not read it",
        f"{tmp_path}/other(1): syntax error.",
        f"{tmp_path}/none: No such file or directory",
    ]
    (tmp_path / "other").write_text("again\t*\tindex\n")
    assert f"{tmp_path}/index(3): too many levels" in list(problems(top))

"""userdb's compiled files and its text: what is read, written, refused, and kept on failure."""

from __future__ import annotations

import dbm.gnu
import errno
import os
import signal
from pathlib import Path

import pytest

from courier.auth import userdb, userdb_source
from courier.auth.userdb import Database
from courier.auth.userdb_source import Failed


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "userdb"
    write(path, b"")
    return path


def write(path: Path, text: bytes) -> None:
    path.write_bytes(text)
    path.chmod(0o600)


def dumped(path: Path) -> dict[bytes, bytes]:
    with dbm.gnu.open(str(path), "r") as database:
        return {name: database[name] for name in database.keys()}  # noqa: SIM118  (no mapping)


def test_build(source: Path) -> None:
    """As Courier's makeuserdb compiles the same text."""
    write(
        source,
        b"a@b\tuid=1|systempw=x|gid=2|home=/h\nnotab\nempty\t\n# c\n\n5000=\tvmail\n"
        b"x y\tuid=1||gid=2|\npwonly\tsystempw=q\nflag\tsystempw|disable\ntwo\tuid=1\tgid=2\n"
        b".\tuid=9\nlast\tuid=1",
    )

    userdb_source.build(source)

    assert dumped(userdb.compiled(source)) == {
        b".": b"uid=9|_=",
        b"5000=": b"vmail|_=",
        b"a@b": b"uid=1|gid=2|home=/h|_=",
        b"empty": b"_=",
        b"flag": b"systempw|disable|_=",
        b"last": b"uid=1|_=",
        b"notab": b"1",
        b"pwonly": b"_=",
        b"two": b"uid=1\tgid=2|_=",
        b"x y": b"uid=1||gid=2|_=",
    }
    assert dumped(userdb.compiled_shadow(source)) == {
        b"a@b": b"systempw=x",
        b"notab": b"1",
        b"pwonly": b"systempw=q",
    }


def test_build_gives_the_files_their_modes(source: Path) -> None:
    before = os.umask(0o077)
    try:
        userdb_source.build(source)
    finally:
        os.umask(before)

    assert userdb.compiled(source).stat().st_mode & 0o777 == 0o644
    assert userdb.compiled_shadow(source).stat().st_mode & 0o777 == 0o600


def test_build_a_directory(source: Path) -> None:
    """Each account knows the file it stands in; what begins with a dot or holds ~ is no source."""
    source.unlink()
    (source / "sub").mkdir(parents=True)
    source.chmod(0o700)
    (source / "default").write_bytes(b"d1\tuid=1|systempw=x\n")
    (source / "sub/f").write_bytes(b"s1\tuid=2")
    (source / ".hidden").write_bytes(b"h1\tuid=3\n")
    (source / "old~").write_bytes(b"o1\tuid=4\n")
    (source / "default.dist").write_bytes(b"x1\tuid=5\n")
    os.utime(source / "default.dist", (0, 0))
    (source / "sub/loop").symlink_to(source)

    userdb_source.build(source)

    assert dumped(userdb.compiled(source)) == {
        b"d1": b"uid=1|_=default/",
        b"s1": b"uid=2|_=sub/f/",
    }


@pytest.mark.parametrize("name", ["a.rpmsave", "a.rpmnew", "a.dpkg-old", "only.dist"])
def test_build_stops_at_what_a_package_left(source: Path, name: str) -> None:
    source.unlink()
    source.mkdir(mode=0o700)
    (source / name).touch()

    with pytest.raises(Failed, match=name):
        userdb_source.build(source)


@pytest.mark.parametrize(
    ("prepare", "status", "text"),
    [
        (lambda path: path.unlink(), 2, "not found."),
        (lambda path: path.chmod(0o640), 255, "MAY NOT HAVE GROUP OR WORLD PERMISSIONS!!"),
        (lambda path: path.chmod(0o602), 255, "MAY NOT HAVE GROUP OR WORLD PERMISSIONS!!"),
        (lambda path: path.with_name("userdb.dat").symlink_to("x"), 255, "is a symbolic link"),
        (lambda path: path.with_name("userdbshadow.dat").symlink_to("x"), 255, "symbolic link"),
        (lambda path: write(path, b"a\tuid=1\na\tuid=2\n"), 1, "Cannot store record for a"),
    ],
)
def test_build_refuses(source: Path, prepare: object, status: int, text: str) -> None:
    assert callable(prepare)
    prepare(source)

    with pytest.raises(Failed, match=text) as failed:
        userdb_source.build(source)

    assert failed.value.status == status


def test_failed_build_keeps_both_files(source: Path) -> None:
    """Courier's loses all passwords when an account stands there twice."""
    write(source, b"a\tuid=1|systempw=x\n")
    userdb_source.build(source)
    write(source, b"a\tuid=2|systempw=y\na\tuid=3\n")

    with pytest.raises(Failed):
        userdb_source.build(source)

    assert dumped(userdb.compiled(source)) == {b"a": b"uid=1|_="}
    assert dumped(userdb.compiled_shadow(source)) == {b"a": b"systempw=x"}
    assert sorted(path.name for path in source.parent.iterdir()) == [
        "userdb",
        "userdb.dat",
        "userdb.lock",
        "userdbshadow.dat",
    ]


def test_database_notices_a_new_file(source: Path) -> None:
    """A reader follows each build, sees a file come and go, and keeps what it has open."""
    database = Database(userdb.compiled(source))
    assert database.get(b"a") is None

    for uid in (b"1", b"2", b"3"):
        write(source, b"a\tuid=" + uid + b"\n")
        userdb_source.build(source)
        assert database.get(b"a") == {b"uid": uid, b"_": b""}

    assert [name for name, _ in database.all()] == [b"a"]
    userdb.compiled(source).unlink()
    assert database.get(b"a") is None


def test_database_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "userdb.dat"
    path.write_bytes(b"rubbish" * 1000)

    with pytest.raises(OSError, match=r"userdb\.dat"):
        Database(path).get(b"a")


def test_fields() -> None:
    assert userdb.fields(b"uid=1|flag|home=/a=b|uid=2||_=x/") == {
        b"uid": b"1",
        b"flag": b"",
        b"home": b"/a=b",
        b"": b"",
        b"_": b"x/",
    }


def test_change_keeps_other_lines(source: Path) -> None:
    """Comments, order, odd lines and the file's mode stay."""
    write(source, b"# mine\n\na\tuid=1|x\nb\nc\tuid=3")
    source.chmod(0o400)

    userdb_source.change(source, b"a", lambda found: {**(found or {}), b"uid": b"7"})
    userdb_source.change(source, b"new", lambda found: {b"uid": b"9"} if found is None else None)
    userdb_source.change(source, b"b", lambda found: None)

    assert source.read_bytes() == b"# mine\n\na\tuid=7|x\nc\tuid=3\nnew\tuid=9\n"
    assert source.stat().st_mode & 0o777 == 0o400


def test_change_makes_a_private_file(tmp_path: Path) -> None:
    userdb_source.change(tmp_path / "new", b"a", lambda found: {b"uid": b"1"})

    assert (tmp_path / "new").read_bytes() == b"a\tuid=1\n"
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o600


def test_change_follows_an_absolute_link(source: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(source)

    userdb_source.change(link, b"a", lambda found: {b"uid": b"1"})

    assert link.is_symlink()
    assert source.read_bytes() == b"a\tuid=1\n"


def test_change_on_a_full_disk_changes_nothing(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(source, b"a\tuid=1\n")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        userdb_source.change(source, b"a", lambda found: None)

    assert source.read_bytes() == b"a\tuid=1\n"
    assert not source.with_name(".tmp.userdb").exists()


def test_change_killed_half_way_is_made_up_for(source: Path) -> None:
    """What a killed program left behind is in nobody's way."""
    write(source, b"a\tuid=1\n")
    pid = os.fork()
    if pid == 0:
        os.rename = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment]
        userdb_source.change(source, b"a", lambda found: {b"uid": b"2"})
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert source.read_bytes() == b"a\tuid=1\n"

    userdb_source.change(source, b"a", lambda found: {b"uid": b"3"})

    assert source.read_bytes() == b"a\tuid=3\n"


def test_accounts(source: Path) -> None:
    write(source, b"# c\na\tuid=1|flag\nb\na\tuid=2\n")

    assert userdb_source.accounts(source) == {b"a": {b"uid": b"1", b"flag": None}, b"b": {}}
    assert userdb_source.accounts(source.with_name("none")) == {}
    with pytest.raises(Failed, match="not a file"):
        userdb_source.accounts(source.parent)

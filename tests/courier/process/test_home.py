"""courier.process.home: an account's home from the skeleton, whole or not at all."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from courier.process import home
from courier.process.privileges import Ids

IS_ROOT = os.geteuid() == 0
IDS = Ids(5000, 5001) if IS_ROOT else Ids(os.getuid(), os.getgid())


@pytest.fixture
def skeleton(tmp_path: Path) -> Path:
    """Directories, files and links with modes of all kinds, a FIFO and a socket."""
    made = tmp_path / "skeleton"
    for name in ("tmp", "new", "cur"):
        (made / "Maildir" / name).mkdir(parents=True)
        (made / "Maildir" / name).chmod(0o700)
    (made / "Maildir").chmod(0o2750)
    (made / ".profile").write_text("umask 077\n")
    (made / ".profile").chmod(0o640)
    (made / "program").write_bytes(os.urandom(200_000))
    (made / "program").chmod(0o555)
    (made / "link").symlink_to("/nonexistent/target")
    (made / "inner").symlink_to("Maildir")
    os.mkfifo(made / "fifo")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(made / "socket"))
    made.chmod(0o711)
    return made


def tree(top: Path) -> dict[str, tuple[int, bytes | str | None]]:
    """Modes of all below a directory, with what files hold and where links point."""
    found: dict[str, tuple[int, bytes | str | None]] = {}
    for path in [top, *top.rglob("*")]:
        if path.is_fifo() or path.is_socket():
            continue
        mode = stat.S_IMODE(path.lstat().st_mode)
        content = None if path.is_dir() else path.read_bytes() if path.is_file() else ""
        found[str(path.relative_to(top))] = (
            (0, os.readlink(path)) if path.is_symlink() else (mode, content)
        )
    return found


def test_copy(tmp_path: Path, skeleton: Path) -> None:
    """Everything of the skeleton's, with its modes, whatever the umask; all is the account's."""
    umask = os.umask(0o077)
    try:
        home.make(str(tmp_path / "alice"), skeleton, IDS)
    finally:
        os.umask(umask)

    assert tree(tmp_path / "alice") == tree(skeleton)
    assert not (tmp_path / "alice/fifo").exists() and not (tmp_path / "alice/socket").exists()
    for path in [tmp_path / "alice", *(tmp_path / "alice").rglob("*")]:
        assert (path.lstat().st_uid, path.lstat().st_gid) == (IDS.uid, IDS.gid), path
    assert sorted(os.listdir(tmp_path)) == ["alice", "skeleton"]


@pytest.mark.parametrize("there", ["directory", "file", "link to nothing"])
def test_home_that_is_there(tmp_path: Path, skeleton: Path, there: str) -> None:
    """Whatever it is, it is the administrator's."""
    target = tmp_path / "alice"
    if there == "directory":
        target.mkdir()
    elif there == "file":
        target.write_text("x")
    else:
        target.symlink_to("nowhere")

    home.make(str(target), skeleton, IDS)

    assert sorted(os.listdir(tmp_path)) == ["alice", "skeleton"]
    assert not (tmp_path / "nowhere").exists()
    assert there != "directory" or os.listdir(target) == []


def test_directory_above_that_is_missing(
    tmp_path: Path, skeleton: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The home alone is made; the log says what is missing."""
    home.make(str(tmp_path / "b/alice"), skeleton, IDS)

    assert not (tmp_path / "b").exists()
    assert capfd.readouterr().err == (f"WARN: {tmp_path}/b/alice: No such file or directory!!\n")


def test_skeleton_that_is_missing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """`imapd -n` says it; a log-in has nothing to do."""
    home.make(str(tmp_path / "alice"), tmp_path / "none", IDS)

    assert os.listdir(tmp_path) == []
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "call", ["mkdir", "open", "symlink", "fchown", "fchmod", "fsync", "rename"]
)
def test_failure_half_way(
    tmp_path: Path,
    skeleton: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    call: str,
) -> None:
    """Nothing is left behind, and the log says why."""
    real = getattr(os, call)

    def fails(first: object, *arguments: object, **named: object) -> object:
        if isinstance(first, int) or "dir_fd" in named or "src_dir_fd" in named:
            raise OSError(28, "No space left on device", None)
        return real(first, *arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fails)
        home.make(str(tmp_path / "alice"), skeleton, IDS)

    assert "No space left on device!!" in capfd.readouterr().err
    assert [name for name in os.listdir(tmp_path) if name != "skeleton"] == [] or call == "open"


@pytest.mark.root
@pytest.mark.skipif(not IS_ROOT, reason="needs root")
def test_owner_of_the_directory_above_gains_nothing(
    tmp_path: Path, skeleton: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who may write there can't get into the copy before it is complete, nor have it lead away."""
    seen = []
    real = os.fchown

    def look(descriptor: int, uid: int, gid: int) -> None:
        for path in tmp_path.glob(".alice.*"):
            found = path.lstat()
            seen.append((stat.S_IMODE(found.st_mode), found.st_uid))
        real(descriptor, uid, gid)

    monkeypatch.setattr(os, "fchown", look)
    home.make(str(tmp_path / "alice"), skeleton, IDS)

    assert set(seen) == {(0o700, 0)}


def test_memory_of_homes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A home is believed to be there for a while, and no number of them fills the memory."""
    now = 1000.0
    monkeypatch.setattr(home.time, "monotonic", lambda: now)
    homes = home.Homes()
    assert not homes.is_known("/home/a")

    homes.saw("/home/a")
    assert homes.is_known("/home/a") and not homes.is_known("/home/b")
    now += 61
    assert not homes.is_known("/home/a")
    for number in range(25_000):
        homes.saw(f"/home/{number}")
    assert homes.is_known("/home/24999")

"""courier.maildir.delivery: files appear whole or not at all, whatever fails."""

import errno
import os
import re
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from courier.maildir import delivery
from courier.maildir.filename import Flag
from courier.maildir.memory import without_collector
from tests.support.calls import replace_calls

CALLS = (
    "open",
    "write",
    "fsync",
    "close",
    "utime",
    "link",
    "rename",
    "unlink",
    "mkdir",
    "chmod",
    "pwrite",
    "ftruncate",
    "fdatasync",
)
ERRORS = (errno.ENOSPC, errno.EACCES, errno.EIO)


@contextmanager
def faults(at: int = -1, error: int = 0) -> Iterator[list[str]]:
    """List the system calls made meanwhile; let number ``at`` fail, or the process die before it.

    The garbage collector rests: what others left open is not closed in between.
    """
    calls: list[str] = []

    def wrapped(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            calls.append(name)
            if len(calls) - 1 != at:
                return call(*arguments, **options)
            if not error:
                os._exit(0)
            if name == "close":
                call(*arguments, **options)  # Linux closes the descriptor, then reports
            raise OSError(error, os.strerror(error))

        return counted

    with without_collector(), pytest.MonkeyPatch.context() as patch:
        replace_calls(patch, CALLS, wrapped)
        yield calls


def calls_of(operation: Callable[[], object]) -> list[str]:
    """The system calls ``operation`` makes when nothing fails."""
    with faults() as calls:
        operation()
    return calls


def open_files() -> int:
    """Count descriptors; the inotify instance lives as long as any folder, also one in a traceback."""
    kinds = []
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            kinds.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        except FileNotFoundError:
            continue  # the one of this very listing
    return sum("inotify" not in kind for kind in kinds)


def failed(operation: Callable[[], object], at: int, error: int) -> OSError | None:
    """Run ``operation`` with its call number ``at`` failing; no descriptor is left open."""
    raised = None
    with without_collector():
        before = open_files()
        with faults(at, error):
            try:
                operation()
            except OSError as raised_here:
                raised = raised_here
        assert open_files() == before
    return raised


def killed(operation: Callable[[], object], at: int) -> None:
    """Run ``operation`` in a process that dies just before its call number ``at``."""
    pid = os.fork()
    if pid == 0:
        try:
            with faults(at):
                operation()
        finally:
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0


def fresh_maildirs(tmp_path: Path) -> Iterator[Path]:
    """Empty maildirs, one after the other."""
    number = 0
    while True:
        maildir = tmp_path / f"maildir{number}"
        for directory in ("tmp", "new", "cur"):
            (maildir / directory).mkdir(parents=True)
        yield maildir
        number += 1


# --- Names --------------------------------------------------------------------------------------


def test_message_name(maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has Courier's form: time, microseconds, process, device, inode, counter, host, size."""
    monkeypatch.setenv("HOSTNAME", "vm")
    with delivery.TemporaryFile(str(maildir)) as file:
        file.write(b"hello\n")
        name = file.land("cur", Flag.SEEN | Flag.DRAFT)

    found = (maildir / "cur" / os.fsdecode(name)).stat()
    pattern = (
        rf"[0-9]{{10}}\.M[0-9]+P{os.getpid()}"
        rf"V{found.st_dev:016X}I{found.st_ino:016X}_[0-9]+\.vm,S=6:2,DS"
    )
    assert re.fullmatch(pattern, name.decode())
    assert os.listdir(maildir / "tmp") == []


def test_name_in_new_has_no_flags(maildir: Path) -> None:
    with delivery.TemporaryFile(str(maildir)) as file:
        name = file.land("new")

    assert b":" not in name
    assert os.listdir(maildir / "new") == [os.fsdecode(name)]


@pytest.mark.parametrize(
    ("host", "written"),
    [
        ("vm", b"vm"),
        ("a/b:c", rb"a\057b\072c"),
        ("two\nlines here", rb"two\012lines\040here"),
        ("x" * 500, b"x" * 128),
    ],
)
def test_host_name(monkeypatch: pytest.MonkeyPatch, host: str, written: bytes) -> None:
    """A host name never brings a slash, colon or line end into a file name."""
    monkeypatch.setenv("HOSTNAME", host)

    assert delivery.host_name() == written


def test_host_name_without_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOSTNAME", raising=False)

    assert delivery.host_name() == os.fsencode(socket.gethostname())


def test_name_taken_already(maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that has the name is left alone and another name is used."""
    names = iter(["taken", "taken", "free"])
    monkeypatch.setattr(delivery, "unique_name", lambda uniq: next(names))
    (maildir / "tmp" / "taken").write_bytes(b"other")

    fd, path = delivery.create_temporary(str(maildir))
    os.close(fd)

    assert path == str(maildir / "tmp" / "free")
    assert (maildir / "tmp" / "taken").read_bytes() == b"other"


def test_name_that_is_a_link_to_elsewhere(
    maildir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A symbolic link planted under the name is never written through."""
    names = iter(["planted", "free"])
    monkeypatch.setattr(delivery, "unique_name", lambda uniq: next(names))
    (maildir / "tmp" / "planted").symlink_to(tmp_path / "victim")

    delivery.write_atomically(str(maildir), "target", b"data")

    assert not (tmp_path / "victim").exists()


# --- Messages -----------------------------------------------------------------------------------


def test_land_sets_date_before_the_message_is_seen(
    maildir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file has its mtime when it is linked."""
    seen: list[int] = []
    link = os.link

    def spying_link(source: str, target: str) -> None:
        link(source, target)
        seen.append(int(os.stat(target).st_mtime))

    monkeypatch.setattr(os, "link", spying_link)
    with delivery.TemporaryFile(str(maildir), sync=True) as file:
        file.write(b"x\n")
        file.land("cur", mtime=1_000_000_000)

    assert seen == [1_000_000_000]


def test_land_where_links_do_not_cross_directories(
    maildir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(source: str, target: str) -> None:
        raise OSError(errno.EXDEV, "")

    monkeypatch.setattr(os, "link", refused)
    with delivery.TemporaryFile(str(maildir)) as file:
        file.write(b"x\n")
        name = file.land("cur")

    assert (maildir / "cur" / os.fsdecode(name)).read_bytes() == b"x\n"
    assert os.listdir(maildir / "tmp") == []


def test_file_that_is_not_landed_is_removed(maildir: Path) -> None:
    with pytest.raises(RuntimeError), delivery.TemporaryFile(str(maildir)) as file:
        file.write(b"half")
        raise RuntimeError

    assert os.listdir(maildir / "tmp") == []


def test_short_writes(maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is written, though the system takes seven octets at a time."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:7]))
    with delivery.TemporaryFile(str(maildir)) as file:
        file.write(b"0123456789" * 10)
        name = file.land("new")

    assert (maildir / "new" / os.fsdecode(name)).read_bytes() == b"0123456789" * 10
    assert name.endswith(b",S=100")


def _append(maildir: Path) -> None:
    with delivery.TemporaryFile(str(maildir), sync=True) as file:
        file.write(b"first\n")
        file.write(b"second\n")
        file.land("cur", Flag.SEEN, mtime=1)


def test_append_with_each_call_failing(tmp_path: Path) -> None:
    """Either the error is raised and there is no message, or there is one; tmp/ is empty."""
    maildirs = fresh_maildirs(tmp_path)
    first = next(maildirs)
    calls = calls_of(lambda: _append(first))
    assert calls == ["open", "write", "write", "utime", "fsync", "close", "link", "unlink"]
    for at, call in enumerate(calls):
        for error in ERRORS:
            maildir = next(maildirs)
            raised = failed(lambda maildir=maildir: _append(maildir), at, error)

            messages = os.listdir(maildir / "cur")
            if call == "unlink":  # of the second name: the message has landed all the same
                assert raised is None
                assert len(messages) == 1
            else:
                assert raised is not None and raised.errno == error, call
                assert messages == []
                assert os.listdir(maildir / "tmp") == []


def test_append_killed_before_each_call(tmp_path: Path) -> None:
    """There is a whole message or none."""
    maildirs = fresh_maildirs(tmp_path)
    first = next(maildirs)
    calls = calls_of(lambda: _append(first))
    for at, call in enumerate(calls):
        maildir = next(maildirs)
        killed(lambda maildir=maildir: _append(maildir), at)

        contents = [path.read_bytes() for path in (maildir / "cur").iterdir()]
        assert contents == ([b"first\nsecond\n"] if call == "unlink" else [])
        assert len(os.listdir(maildir / "tmp")) == (0 if call == "open" else 1)


# --- Other files --------------------------------------------------------------------------------


def test_write_atomically_with_each_call_failing(tmp_path: Path) -> None:
    """The old file stays until the new one is whole; nothing is left in tmp/."""
    maildirs = fresh_maildirs(tmp_path)

    def replace(maildir: Path) -> None:
        delivery.write_atomically(str(maildir), "file", b"new", sync=True)

    first = next(maildirs)
    calls = calls_of(lambda: replace(first))
    renamed = calls.index("rename")
    assert calls == ["open", "write", "fsync", "close", "rename", "open", "fsync", "close"]
    for at, call in enumerate(calls):
        for error in ERRORS:
            maildir = next(maildirs)
            (maildir / "file").write_bytes(b"old")
            raised = failed(lambda maildir=maildir: replace(maildir), at, error)

            assert raised is not None and raised.errno == error, call
            assert (maildir / "file").read_bytes() == (b"old" if at <= renamed else b"new")
            assert os.listdir(maildir / "tmp") == []


def test_write_atomically_mode(maildir: Path) -> None:
    before = os.umask(0o022)
    try:
        delivery.write_atomically(str(maildir), "file", b"", mode=0o666)
    finally:
        os.umask(before)

    assert stat.S_IMODE((maildir / "file").stat().st_mode) == 0o644


def test_read_regular_refuses_what_is_no_file(maildir: Path) -> None:
    """Links, FIFOs and directories are errors at once; nothing is followed, nothing blocks."""
    (maildir / "link").symlink_to("/etc/passwd")
    os.mkfifo(maildir / "fifo")

    for name in ("link", "fifo", "cur"):
        with pytest.raises(OSError) as refusal:
            delivery.read_regular(str(maildir / name))
        assert refusal.value.errno in (errno.ELOOP, errno.EINVAL)


def test_read_regular_refuses_what_takes_all_memory(maildir: Path) -> None:
    """Whoever may write in a maildir makes a file of any size, full of holes, for nothing."""
    (maildir / "file").touch()
    os.truncate(maildir / "file", delivery.MAX_FILE + 1)

    with pytest.raises(OSError) as refusal:
        delivery.read_regular(str(maildir / "file"))

    assert refusal.value.errno == errno.EFBIG
    (maildir / "file").write_bytes(b"12345")
    assert delivery.read_regular(str(maildir / "file"), most=5)[0] == b"12345"
    with pytest.raises(OSError):
        delivery.read_regular(str(maildir / "file"), most=4)


def test_purge_tmp(maildir: Path, tmp_path: Path) -> None:
    """Files go by their ctime after 36 hours; dot names and directories stay."""
    for name in ("file", "courier.lock", ".hidden"):
        (maildir / "tmp" / name).write_bytes(b"")
        os.utime(maildir / "tmp" / name, (0, 0))  # an old mtime alone proves nothing
    (maildir / "tmp" / "link").symlink_to(tmp_path)
    (maildir / "tmp" / "directory").mkdir()
    ctime = (maildir / "tmp" / "directory").stat().st_ctime

    assert delivery.purge_tmp(str(maildir), ctime + 36 * 3600 - 60) == 0
    assert delivery.purge_tmp(str(maildir), ctime + 36 * 3600 + 1) == 3
    assert sorted(os.listdir(maildir / "tmp")) == [".hidden", "directory"]
    assert tmp_path.exists()


def test_purge_tmp_that_is_a_link(maildir: Path, tmp_path: Path) -> None:
    """Nothing is removed from wherever it leads."""
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "file").write_bytes(b"")
    (maildir / "tmp").rmdir()
    (maildir / "tmp").symlink_to(tmp_path / "victim")

    with pytest.raises(OSError):
        delivery.purge_tmp(str(maildir), 1e12)
    assert (tmp_path / "victim" / "file").exists()

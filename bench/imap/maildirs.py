"""The folders that are measured: one maildir for each server, of links to the same message files."""

from __future__ import annotations

import array
import fcntl
import itertools
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.imap import mail
from tests.support.maildirs import make_maildir

DISTINCT = 20_000  # message files; a larger folder has several links to each
_FLAGS = ("", "S", "FS", "RS")
_TRUTH = ("new", "cur", "tmp")

# linux/fs.h
_FS_IOC_GETFLAGS = 0x80086601
_FS_IOC_SETFLAGS = 0x40086602
_FS_TOPDIR_FL = 0x00020000


@dataclass(frozen=True)
class Owner:
    """As whom the servers run, and whose the mail is."""

    uid: int
    gid: int

    def give(self, path: Path) -> None:
        if os.geteuid() == 0:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)


@dataclass(frozen=True)
class Pool:
    """Message files; ``mean`` is their size on average."""

    files: list[Path]
    sizes: list[int]

    @property
    def mean(self) -> float:
        return sum(self.sizes) / len(self.sizes)


def make_pool(directory: Path, count: int, owner: Owner) -> Pool:
    """Write ``count`` messages, with the times of their arrival."""
    directory.mkdir()
    owner.give(directory)
    pool = Pool([], [])
    for number, message in enumerate(mail.generate(count)):
        path = directory / str(number)
        path.write_bytes(message.data)
        os.utime(path, (message.arrived, message.arrived))
        owner.give(path)
        pool.files.append(path)
        pool.sizes.append(len(message.data))
    return pool


def fill(maildir: Path, pool: Pool, count: int, owner: Owner) -> None:
    """Make a maildir of ``count`` messages, as a delivery agent and a client would have left it."""
    make_maildir(maildir)
    cur = str(maildir / "cur")
    for number in range(count):
        at = number % len(pool.files)
        os.link(pool.files[at], f"{cur}/{_name(number, pool.sizes[at])}")
    for directory in (maildir.parent, maildir, *(maildir / name for name in _TRUTH)):
        owner.give(directory)


def _name(number: int, size: int) -> str:
    flags = _FLAGS[number % len(_FLAGS)]
    return f"{1_700_000_000 + number}.M{number}P1.bench,S={size}:2,{flags}"


def forget(maildir: Path) -> None:
    """Remove everything that a server keeps beside the messages, and every folder but INBOX."""
    for path in maildir.iterdir():
        if path.name in _TRUTH:
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


class Yard:
    """Where files go that no maildir has any more; the benchmark removes them in the end.

    ext4 does not use an inode again within minutes after its file was removed, and looks at all such inodes
    whenever it makes a file: a thousand expunged messages would make the next APPENDs ten times as slow.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self._directory = directory
        self._names = itertools.count()

    def keep_appended(self, maildir: Path) -> None:
        """Have another link to each message that was appended, so that EXPUNGE frees no inode."""
        for path in _appended(maildir):
            os.link(path, self._place())

    def purge(self, maildir: Path) -> None:
        """Take away the messages that were appended and not expunged, and the folder of the copies."""
        for path in [*_appended(maildir), *os.scandir(maildir / "tmp")]:
            os.rename(path, self._place())
        copies = maildir / ".copies"
        if copies.exists():
            copies.rename(self._place())

    def _place(self) -> Path:
        return self._directory / str(next(self._names))


def _appended(maildir: Path) -> list[os.DirEntry[str]]:
    return [
        entry
        for name in ("new", "cur")
        for entry in os.scandir(maildir / name)
        if ".bench,S=" not in entry.name
    ]


def spread(directory: Path) -> None:
    """Let ext4 place each directory made in this one apart, where nobody has removed files just now."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        flags = array.array("l", [0])
        fcntl.ioctl(descriptor, _FS_IOC_GETFLAGS, flags)
        flags[0] |= _FS_TOPDIR_FL
        fcntl.ioctl(descriptor, _FS_IOC_SETFLAGS, flags)
    except OSError:
        pass  # another kind of file system
    finally:
        os.close(descriptor)


class Foreigner:
    """Another program that changes the flags of one message, by renaming its file in cur/."""

    def __init__(self, maildir: Path, pool: Pool, count: int) -> None:
        number = count - 2
        self._path = maildir / "cur" / _name(number, pool.sizes[number % len(pool.files)])

    def change_flags(self) -> None:
        """Set \\Flagged, or take it away again."""
        base, _, flags = self._path.name.partition(":2,")
        changed = flags.replace("F", "") if "F" in flags else f"F{flags}"
        path = self._path.with_name(f"{base}:2,{changed}")
        self._path.rename(path)
        self._path = path


def drop_page_cache() -> bool:
    """Make the kernel forget the disk's content; False where that is not allowed."""
    os.sync()
    try:
        Path("/proc/sys/vm/drop_caches").write_text("3\n")
    except OSError:
        return False
    return True


def messages_to_append(count: int) -> Sequence[bytes]:
    """Messages that no folder has, with the line ends of the protocol."""
    made = mail.generate(count, seed=1)
    return [message.data.replace(b"\n", b"\r\n") for message in made]

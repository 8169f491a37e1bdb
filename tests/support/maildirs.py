"""Maildirs as a mail delivery agent would fill them, and what lies in them, read without our own code."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class UidDatabase:
    """The content of a folder's courierimapuiddb."""

    uidvalidity: int
    uidnext: int
    uids: dict[str, int]


def let_others_enter(directory: Path) -> None:
    """Let other users enter and read a temporary directory, all the way to it."""
    for one in (directory, *directory.parents):
        if one.owner() == "root" and one.is_relative_to(tempfile.gettempdir()):
            one.chmod(one.stat().st_mode | 0o055)


def make_maildir(path: Path) -> Path:
    """Make the directories of an account's main maildir."""
    path.mkdir(mode=0o700, parents=True)
    for name in ("tmp", "new", "cur"):
        (path / name).mkdir(mode=0o700)
    return path


def make_folder(maildir: Path, mailbox: str) -> Path:
    """Make the folder of ``INBOX.name`` as Maildir++ wants it."""
    folder = make_maildir(folder_path(maildir, mailbox))
    (folder / "maildirfolder").touch(mode=0o600)
    return folder


def folder_path(maildir: Path, mailbox: str) -> Path:
    """The directory of a mailbox: the maildir itself for INBOX."""
    assert mailbox.upper().startswith("INBOX")
    return maildir / mailbox[5:] if mailbox[5:] else maildir


def deliver(
    folder: Path,
    message: bytes,
    *,
    number: int,
    flags: str | None = None,
    date: int | None = None,
) -> str:
    """Put a message file into new/, or with ``flags`` into cur/; return the name without its flags.

    Names sort by ``number``, so that UIDs are given in the order of delivery.
    """
    time = 1_700_000_000 + number
    base = f"{time}.M{number}P1.test,S={len(message)}"
    unfinished = folder / "tmp" / base
    unfinished.write_bytes(message)
    os.utime(unfinished, (date or time, date or time))
    unfinished.rename(
        folder / "new" / base if flags is None else folder / "cur" / f"{base}:2,{flags}"
    )
    return base


def message_files(folder: Path) -> dict[str, str]:
    """Flag letters of each message file in cur/ by the name without them; new/ counts as no flags."""
    files = {}
    for name in os.listdir(folder / "cur"):
        base, _, information = name.partition(":2,")
        files[base] = information
    for name in os.listdir(folder / "new"):
        files[name] = ""
    return files


def uid_database(folder: Path) -> UidDatabase:
    """Read courierimapuiddb strictly: format, order and uniqueness are asserted."""
    lines = (folder / "courierimapuiddb").read_bytes().decode().split("\n")
    assert lines[-1] == "", "the last line has no LF"
    version, uidvalidity, uidnext = lines[0].split(" ")
    assert version == "1"
    uids: dict[str, int] = {}
    for line in lines[1:-1]:
        if line == "pycourier":  # see courier.maildir.uiddb: UIDNEXT follows the last line
            continue
        uid, base = line.split(" ", 1)
        assert base not in uids, f"listed twice: {base}"
        uids[base] = int(uid)
    order = list(uids.values())
    assert order == sorted(set(order)), "UIDs are not strictly ascending"
    assert not order or order[-1] < int(uidnext)
    return UidDatabase(int(uidvalidity), int(uidnext), uids)

"""The account that is measured: folders of a few messages each, as Courier has left them.

Every folder has the access control list that Courier writes into it; two of three are subscribed to.
"""

from __future__ import annotations

import os
from pathlib import Path

from bench.imap.maildirs import Owner, Pool
from tests.support.maildirs import make_folder, make_maildir

_FLAGS = ("", "S", "FS", "RS")
_LIST = "owner aceilrstwx\nadministrators aceilrstwx\n"
#: Folders below one of the first level, unless all are on one.
BELOW = 24
_KEPT = ("new", "cur", "tmp", "maildirfolder", "courierimapacl")
#: What each server calls the list of subscriptions; Dovecot's names have no prefix.
_SUBSCRIPTIONS = {"courierimapsubscribed": "INBOX.", "subscriptions": ""}


def names(count: int) -> list[str]:
    """The names of so many folders below INBOX, on two levels."""
    found: list[str] = []
    while len(found) < count:
        top = f"Project {len(found) // (BELOW + 1) + 1:03}"
        found += [top, *(f"{top}.Part {number:02}" for number in range(1, BELOW + 1))]
    return found[:count]


def fill(maildir: Path, pool: Pool, folders: int, messages: int, owner: Owner) -> None:
    """Make a maildir of INBOX and so many folders, each with so many messages."""
    make_maildir(maildir)
    paths = [maildir, *(make_folder(maildir, f"INBOX.{name}") for name in names(folders))]
    for number, path in enumerate(paths):
        (path / "courierimapacl").write_text(_LIST)
        for at in range(number * messages, (number + 1) * messages):
            at %= len(pool.files)
            name = f"{1_700_000_000 + at}.M{at}P1.bench,S={pool.sizes[at]}"
            os.link(pool.files[at], path / "cur" / f"{name}:2,{_FLAGS[at % len(_FLAGS)]}")
    subscribed = [name for number, name in enumerate(names(folders)) if number % 3]
    for file, prefix in _SUBSCRIPTIONS.items():
        (maildir / file).write_text("".join(f"{prefix}{name}\n" for name in subscribed))
    owner.give(maildir.parent)
    for directory, _, files in os.walk(maildir):
        owner.give(Path(directory))
        if os.path.basename(directory) not in ("new", "cur", "tmp"):
            for file in files:
                owner.give(Path(directory, file))


def forget(maildir: Path) -> None:
    """Remove everything that a server keeps beside the messages."""
    for path in (maildir, *(each for each in maildir.glob(".*") if each.is_dir())):
        for file in path.iterdir():
            if file.name not in (*_KEPT, *_SUBSCRIPTIONS) and file.is_file():
                file.unlink()


class Deliveries:
    """A delivery agent that puts a new message into some of the folders."""

    def __init__(self, maildir: Path, pool: Pool, folders: int, every: int) -> None:
        self._folders = [maildir / f".{name}" for name in names(folders)[::every]]
        self._pool = pool

    def deliver(self, number: int) -> None:
        """Deliver one more message to each; ``number`` is another one in each round."""
        for at, folder in enumerate(self._folders):
            message = self._pool.files[at % len(self._pool.files)]
            name = f"{1_800_000_000 + number}.M{at}P2.bench,S={message.stat().st_size}"
            os.link(message, folder / "tmp" / name)
            os.rename(folder / "tmp" / name, folder / "new" / name)

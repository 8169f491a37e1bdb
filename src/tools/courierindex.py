"""courierindex: build, check, drop and show the indexes of folders. See courierindex(1)."""

from __future__ import annotations

import argparse
import os
import signal
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from functools import partial

from courier import paths, setting_reader, shell
from courier.auth import client
from courier.auth.account import NoIdentity, identity
from courier.maildir import fulltext_builder, inspection
from courier.maildir.folder import Folder, Options
from courier.maildir.fulltext import FullText
from courier.maildir.index import Index
from courier.maildir.reading import Reading
from courier.maildir.snapshot import Unusable
from courier.maildir.tree import Tree
from courier.process.privileges import Ids
from tools import owner
from tools.owner import Place

_BAR = 30


def main(arguments: Sequence[str]) -> int:
    asked = _parser().parse_intermixed_args(arguments)
    if bool(asked.maildir) == asked.all:
        sys.stderr.write("courierindex: name maildirs, or all accounts with -a\n")
        return 2
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    failed = False
    try:
        for place in _accounts() if asked.all else map(owner.named, asked.maildir):
            failed |= not owner.at(place, partial(_maildir, asked=asked))
    except OSError as error:
        sys.stderr.write(f"ERR: {error.filename or 'authdaemond'}: {error.strerror or error}\n")
        return 1
    return int(failed)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("courierindex", allow_abbrev=False)
    parser.add_argument("verb", choices=("build", "check", "drop", "show"))
    parser.add_argument("-a", dest="all", action="store_true", help="all accounts")
    parser.add_argument("-q", dest="quiet", action="store_true", help="no progress, no good news")
    parser.add_argument("-i", dest="index_dir", default=_setting("IMAP_INDEX_DIR"), metavar="DIR")
    parser.add_argument("-f", dest="folder", help="this folder alone: INBOX or, say, Sent.2026")
    parser.add_argument("maildir", nargs="*")
    return parser


def _setting(name: str) -> str | None:
    """Read one of imapd's settings, from the environment or its file."""
    try:
        value = os.environ.get(name)
        if value is None:
            found = shell.read([paths.SYSCONFDIR / "imapd"], paths.SHELL_VARIABLES).get(name)
            value = found.value if found is not None else None
    except (OSError, shell.ShellError):
        return None
    return value or None


def _is_on(name: str) -> bool:
    try:
        return setting_reader.flag(_setting(name) or "0")
    except setting_reader.Expected:  # imapd tells what is wrong with it
        return False


def _accounts() -> Iterator[Place]:
    """List the maildirs of all accounts that authdaemond knows."""
    standard = _setting("MAILDIRPATH") or "Maildir"
    for account in client.enumerate_accounts():
        try:
            who = identity(account)
        except NoIdentity as reason:
            sys.stderr.write(f"WARN: {account.address}: {reason}\n")
            continue
        ids = Ids(who.uid, who.gid, who.groups)
        yield Place(os.path.join(who.home, who.maildir or standard), ids)


def _maildir(path: str, *, asked: argparse.Namespace) -> bool:
    if asked.all and not _exists(path):
        return True  # daemons have accounts, too, and there are some who never got mail
    tree = Tree(path)
    names = tree.folders()
    if asked.folder is not None:
        names = ["" if asked.folder == "INBOX" else asked.folder.removeprefix("INBOX.")]
    good = [_folder(tree, name, asked) for name in names]  # each, whatever became of the others
    return all(good)


def _exists(path: str) -> bool:
    try:
        os.stat(path)
    except FileNotFoundError:
        return False
    return True


def _folder(tree: Tree, name: str, asked: argparse.Namespace) -> bool:
    shown = f"INBOX.{name}" if name else "INBOX"
    try:
        directory = tree.directory(name)
        match asked.verb:
            case "build":
                _build(directory, shown, asked)
            case "check":
                found = inspection.check(directory, asked.index_dir)
                if not asked.quiet or not found.is_good:
                    print(f"{tree.path}: {shown}: {found.text}")
                return found.is_good
            case "drop":
                _drop(directory, asked.index_dir)
            case "show":
                print(f"{tree.path}: {shown}")
                for line in inspection.describe(directory, asked.index_dir):
                    print(f"    {line}")
    except OSError as error:
        sys.stderr.write(f"ERR: {tree.path}: {shown}: {error.strerror or error}\n")
        return False
    return True


def _build(directory: str, shown: str, asked: argparse.Namespace) -> None:
    """Bring a folder's index up to date, and know all of its messages. New mail stays in new/."""
    folder = Folder(directory, Options(index_dir=asked.index_dir))
    progress = Progress(shown, is_shown=not asked.quiet and sys.stderr.isatty())
    folder.synchronise(take_new=False)
    uids = folder.columns.uids
    unknown = folder.items.table(folder.uidvalidity, uids, folder.columns).missing()
    reading = Reading(folder, unknown)
    try:
        while unknown and reading.step():
            progress.tell(reading.done, len(unknown))
    finally:
        reading.close()
        progress.end()
    folder.settle()
    if _is_on("IMAP_FULLTEXT"):
        _build_fulltext(folder, shown, asked)
    if not asked.quiet:
        print(f"{directory}: {len(uids)} messages, {len(unknown)} of them read")


def _build_fulltext(folder: Folder, shown: str, asked: argparse.Namespace) -> None:
    progress = Progress(f"{shown}, full text", is_shown=not asked.quiet and sys.stderr.isatty())
    index = FullText(folder.path, asked.index_dir)
    if not index.is_ours():
        return
    try:
        fulltext_builder.build(folder, index, progress.tell)
    except (sqlite3.Error, Unusable) as error:
        raise OSError(0, str(error), folder.path) from error
    finally:
        progress.end()


def _drop(directory: str, index_dir: str | None) -> None:
    """Remove the index and what is kept of messages beside it; sessions that use it go on."""
    folder = Folder(directory, Options(index_dir=index_dir))
    folder.items.drop()
    folder.memos.drop()
    FullText(directory, index_dir).drop()
    Index(directory, index_dir).drop()


class Progress:
    """A bar on standard error, if that is a terminal."""

    def __init__(self, what: str, *, is_shown: bool) -> None:
        self._what = what
        self._is_shown = is_shown
        self._told = -1

    def tell(self, done: int, total: int) -> None:
        permille = 1000 * done // max(total, 1)
        if self._is_shown and permille != self._told:
            self._told = permille
            bar = ("#" * (_BAR * done // max(total, 1))).ljust(_BAR, ".")
            sys.stderr.write(f"\r[{bar}] {permille // 10:3d} %  {self._what}: {done} of {total} ")
            sys.stderr.flush()

    def end(self) -> None:
        if self._told >= 0:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

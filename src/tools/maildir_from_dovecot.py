"""maildir-from-dovecot: keep UIDs, keywords and subscriptions of a maildir that Dovecot served.

See maildir-from-dovecot(1). Dovecot's files stay as they are. Messages that have a UID and are in new/
go to cur/: real Courier gives what it finds in new/ a UID of its own.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from functools import partial

from courier.maildir import filename, keywords, subscriptions, uiddb
from courier.maildir.lock import FolderLock
from courier.maildir.tree import Tree
from tools import dovecot_files as dovecot
from tools import owner


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser("maildir-from-dovecot", allow_abbrev=False)
    parser.add_argument("-n", dest="dry", action="store_true", help="say what would be done")
    parser.add_argument("-f", dest="force", action="store_true", help="replace UIDs that are there")
    parser.add_argument("maildir", nargs="+")
    asked = parser.parse_args(arguments)
    return int(not owner.each(asked.maildir, partial(_maildir, dry=asked.dry, force=asked.force)))


def _maildir(path: str, *, dry: bool, force: bool) -> bool:
    """Convert a maildir; False if something of it could not be, which is told."""
    good = True
    tree = Tree(path)
    for name in tree.folders():
        shown = f"INBOX.{name}" if name else "INBOX"
        try:
            print(f"{path}: {shown}: {_folder(tree.directory(name), dry=dry, force=force)}")
        except dovecot.Unreadable as reason:
            sys.stderr.write(f"ERR: {path}: {shown}: {dovecot.UIDLIST}: {reason}\n")
            good = False
    try:
        _subscriptions(path, dry=dry)
    except ValueError as error:
        sys.stderr.write(f"ERR: {path}: {dovecot.SUBSCRIPTIONS}: {error}\n")
        good = False
    if any(name.startswith(".") and "&" in name for name in os.listdir(path)):
        print(f"{path}: Courier wants folder names in UTF-8: maildirmake --convutf8 {path}")
    return good


def _folder(directory: str, *, dry: bool, force: bool) -> str:
    """Convert a folder, and say what was done.

    Others see Courier's files as they were or complete. After a crash there may be keywords and no
    UIDs: run it again.

    Raises:
        Unreadable: nothing was done.
        OSError: keywords may have been written.
    """
    found = dovecot.read_uidlist(directory)
    if found is None:
        return f"no {dovecot.UIDLIST}: nothing to do"
    with FolderLock(directory):
        if uiddb.read(directory) is not None and not force:
            return f"has {uiddb.NAME}, whose UIDs clients know: left alone (-f replaces it)"
        names = _messages(directory)
        made = found.only(names)
        words = _keywords(names, dovecot.read_keywords(directory))
        if not dry:
            if words:
                for base, kept in words.items():
                    keywords.publish(directory, base, kept, sync=False)
                keywords.load_and_merge(directory, names, write=True, now=0)
            _take(directory, frozenset(made.bases))
            uiddb.write(directory, made, sync=True)
    new = len(names) - len(made.uids)
    return (
        f"UIDVALIDITY {made.uidvalidity}, next UID {made.uidnext}, {len(made.uids)} messages, "
        f"{new} of no UID yet, {len(words)} with keywords"
    )


def _take(directory: str, known: frozenset[bytes]) -> None:
    """Move messages with UIDs from new/ to cur/. Each is in one of them at every moment."""
    new, cur = (os.fsencode(os.path.join(directory, part)) for part in ("new", "cur"))
    for name in os.listdir(new):
        base = filename.base(name)
        if base in known:
            flags = name[len(base) :] or b":2,"
            os.rename(os.path.join(new, name), os.path.join(cur, base + flags))


def _messages(directory: str) -> dict[bytes, bytes]:
    """List message files by their base names."""
    found = {}
    for part in ("new", "cur"):
        for name in os.listdir(os.fsencode(os.path.join(directory, part))):
            if not name.startswith(b"."):
                found[filename.base(name)] = name
    return found


def _keywords(
    names: Mapping[bytes, bytes], letters: Mapping[str, str]
) -> dict[bytes, tuple[str, ...]]:
    """Give each message's keywords that Courier's files can hold."""
    found = {}
    for base, name in names.items():
        info = name.rpartition(b":2,")[2].decode("ascii", "ignore") if b":2," in name else ""
        words = (letters[letter] for letter in info if letter in letters)
        if kept := tuple(sorted(filter(keywords.storable, words))):
            found[base] = kept
    return found


def _subscriptions(path: str, *, dry: bool) -> None:
    """Add Dovecot's subscriptions to Courier's.

    Raises:
        ValueError: a name that Courier's file can't hold.
    """
    names = [_mailbox(name) for name in dovecot.read_subscriptions(path)]
    before = subscriptions.read(path)
    new = [name for name in names if name not in before]
    if new and not dry:
        for name in new:
            subscriptions.add(path, name, sync=True)
    if names:
        print(f"{path}: {len(new)} of {len(names)} subscriptions are new")


def _mailbox(name: str) -> str:
    return name if name.upper() == "INBOX" or name.startswith("INBOX.") else f"INBOX.{name}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""maildir-to-dovecot: give a maildir to Dovecot with its UIDs, keywords and subscriptions.

See maildir-to-dovecot(1). Courier's files stay as they are; of messages with keywords the file names get
Dovecot's letters, which Courier and we pass over.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from functools import partial

from courier.maildir import delivery, filename, keywords, old_names, subscriptions, uiddb
from courier.maildir.lock import FolderLock
from courier.maildir.tree import Tree
from courier.maildir.uiddb import UidDb
from tools import dovecot_files as dovecot
from tools import owner


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser("maildir-to-dovecot", allow_abbrev=False)
    parser.add_argument("-n", dest="dry", action="store_true", help="say what would be done")
    parser.add_argument("maildir", nargs="+")
    asked = parser.parse_args(arguments)
    return int(not owner.each(asked.maildir, partial(_maildir, dry=asked.dry)))


def _maildir(path: str, *, dry: bool) -> bool:
    tree = Tree(path)
    for name in tree.folders():
        shown = f"INBOX.{name}" if name else "INBOX"
        print(f"{path}: {shown}: {_folder(tree.directory(name), dry=dry)}")
    names = [_folder_name(name) for name in subscriptions.read(path) if not name.startswith("#")]
    if names and not dry:
        text = "".join(f"{name}\n" for name in names).encode("utf-8", "surrogateescape")
        delivery.write_atomically(path, dovecot.SUBSCRIPTIONS, text, sync=True)
    print(f"{path}: {len(names)} subscriptions")
    return _rename_folders(tree, dry=dry)


def _folder(directory: str, *, dry: bool) -> str:
    """Write Dovecot's files of a folder, and say what was done.

    Others see each file as it was or complete. Message files are renamed after that; after a crash
    the rest is renamed by another run.
    """
    with FolderLock(directory):
        db = uiddb.read(directory)
        if db is None:
            return f"no {uiddb.NAME}: nothing to do"
        words = keywords.listed(directory)
        letters = dict(zip(_by_use(words), dovecot.LETTERS, strict=False))
        if not dry:
            delivery.write_atomically(directory, dovecot.UIDLIST, _uidlist(db), sync=True)
            if letters:
                text = "".join(f"{i} {word}\n" for i, word in enumerate(letters)).encode()
                delivery.write_atomically(directory, dovecot.KEYWORDS, text, sync=True)
                _rename_messages(directory, words, letters)
    lost = len({word for kept in words.values() for word in kept}) - len(letters)
    return (
        f"UIDVALIDITY {db.uidvalidity}, next UID {db.uidnext}, {len(db.uids)} messages, "
        f"{len(letters)} keywords"
        + (f"; {lost} that are used least are left out: Dovecot has 26" if lost else "")
    )


def _by_use(words: Mapping[bytes, Sequence[str]]) -> list[str]:
    """List keywords, those of most messages first."""
    uses: dict[str, int] = {}
    for kept in words.values():
        for word in kept:
            uses[word] = uses.get(word, 0) + 1
    return sorted(uses, key=lambda word: (-uses[word], word))


def _uidlist(db: UidDb) -> bytes:
    """Give the text of dovecot-uidlist, version 3."""
    lines = [b"3 V%d N%d\n" % (db.uidvalidity, db.uidnext)]
    lines += [b"%d :%b\n" % pair for pair in zip(db.uids, db.bases, strict=True)]
    return b"".join(lines)


def _rename_messages(
    directory: str, words: Mapping[bytes, Sequence[str]], letters: Mapping[str, str]
) -> None:
    """Put the keywords' letters, and no others, into the names of files in cur/."""
    cur = os.fsencode(os.path.join(directory, "cur"))
    for name in os.listdir(cur):
        head, colon, flags = name.rpartition(b":2,")
        kept = words.get(filename.base(name), ())
        wanted = "".join(sorted(letters[word] for word in kept if word in letters)).encode()
        own = bytes(octet for octet in flags if not 97 <= octet <= 122)
        new = b"%b:2,%b%b" % (head, own, wanted)
        if colon and new != name:
            try:
                os.rename(os.path.join(cur, name), os.path.join(cur, new))
            except FileNotFoundError:
                pass  # a session was faster


def _folder_name(mailbox: str) -> str:
    """Give Dovecot's name, in modified UTF-7, of one of Courier's mailboxes."""
    name = mailbox.removeprefix("INBOX.")
    try:
        return old_names.encode(name)
    except old_names.NotOld:
        return name


def _rename_folders(tree: Tree, *, dry: bool) -> bool:
    """Give folders the names that Dovecot wants; False if one's is taken.

    Others see a folder under its old or its new name.
    """
    good = True
    for name in tree.folders()[1:]:
        old = tree.directory(name)
        new = os.path.join(tree.path, "." + _folder_name(name))
        if new == old:
            continue
        if os.path.lexists(new):
            sys.stderr.write(f"ERR: {old}: {new} is there already\n")
            good = False
            continue
        print(f"{old} becomes {new}")
        if not dry:
            os.rename(old, new)
    if not dry and old_names.is_converted(tree.path):
        os.unlink(os.path.join(tree.path, old_names.STATE))  # names are in modified UTF-7 again
    return good


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

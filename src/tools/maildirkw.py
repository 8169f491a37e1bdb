"""maildirkw: show or change the keywords of a maildir's messages. See maildirkw(1)."""

from __future__ import annotations

import errno
import getopt
import os
import sys
import time
from collections.abc import Sequence

from courier.maildir import filename, keywords
from courier.maildir.change import KeywordChange
from courier.maildir.lock import FolderLock
from tools import owner

_USAGE = "Usage: maildirkw [ options ] maildir [+/-]flag [+/-]flag...\n"


def main(arguments: Sequence[str]) -> int:
    try:
        given, words = getopt.gnu_getopt(list(arguments), "hclLar")
    except getopt.GetoptError as error:
        sys.stderr.write(f"maildirkw: invalid option -- '{error.opt[:1] or '-'}'\n")
        return _usage()
    options = {name for name, _ in given}
    # Courier: -l takes the lock. Without it two programs can undo each other's work, so that it is
    # always taken where something is written.
    try:
        if "-L" in options and words:
            return _show(words[0])
        if options & {"-h", "-c", "-L"} or len(words) < 2:
            return _usage()
        return _change(options, owner.become(words[0]), words[1], words[2:])
    except OSError as error:
        sys.stderr.write(f"{words[0]}: {error.strerror}\n")
        return 1


def _usage() -> int:
    sys.stdout.write(_USAGE)
    return 1


def _show(maildir: str) -> int:
    for base, words in sorted(keywords.listed(maildir).items()):
        line = b" ".join([base, *(word.encode("utf-8", "surrogateescape") for word in words)])
        sys.stdout.buffer.write(line + b"\n")
    return 0


def _change(options: set[str], maildir: str, message: str, words: Sequence[str]) -> int:
    """Make the keywords those given, or with ``-a`` and ``-r`` add or take away.

    Others see the old set or the new one; see `keywords.publish`.
    """
    base = filename.base(os.fsencode(message))
    if not filename.acceptable(base) or b"/" in base:
        raise OSError(errno.EINVAL, f"no name of a message: {message}")
    wrong = [word for word in words if not keywords.storable(word)]
    if wrong:
        raise OSError(errno.EINVAL, f"no keyword: {wrong[0]}")
    change = KeywordChange(add=tuple(words), clear=True)
    if "-a" in options or "-r" in options:
        # Courier: of both the last one counts; here -r, which loses nothing that is not named.
        is_removal = "-r" in options
        change = KeywordChange(remove=tuple(words)) if is_removal else KeywordChange(tuple(words))
    os.stat(maildir)
    with FolderLock(maildir):
        while True:
            stored = keywords.load_and_merge(
                maildir, keywords.EveryMessage(), write=True, now=time.time()
            )
            wanted = change.apply(stored.get(base, ()))
            try:
                keywords.publish(maildir, base, wanted, sync=True, replace=False)
            except FileExistsError:
                continue  # another program has just published an update: merge it first
            return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

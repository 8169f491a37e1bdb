"""Changes of single messages: what is to change, and the one rename or unlink that does it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from courier.maildir import filename, scan
from courier.maildir.filename import Flag


@dataclass(frozen=True, slots=True)
class FlagChange:
    """What to do with a message's flags; ``FlagChange(add=f, remove=~0)`` sets exactly ``f``."""

    add: int = 0
    remove: int = 0
    until: int | None = None  # a MODSEQ: messages that changed after it stay as they are
    #: Called after each rename with the old path and the new one.
    renamed: Callable[[bytes, bytes], None] | None = field(default=None, compare=False)

    def apply(self, flags: int) -> int:
        return (flags & ~self.remove | self.add) & filename.ALL_FLAGS


@dataclass(frozen=True, slots=True)
class KeywordChange:
    """What to do with a message's keywords; names compare without regard to case."""

    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    clear: bool = False  # remove all others first
    until: int | None = None  # as for flags

    def apply(self, words: Sequence[str]) -> tuple[str, ...]:
        dropped = {word.lower() for word in self.remove}
        kept = {} if self.clear else {word.lower(): word for word in words}
        for word in self.add:
            kept.setdefault(word.lower(), word)
        return tuple(word for lower, word in kept.items() if lower not in dropped)


def rename_flags(change: FlagChange, path: bytes) -> bytes:
    """Rename one message file and return its new name, in ``cur/``.

    A crash leaves the old name or the new one.

    Raises:
        FileNotFoundError: another program renamed or removed it; look for it again.
    """
    folder, _, name = path.rsplit(b"/", 2)
    wanted = filename.with_flags(name, change.apply(filename.flags(name)))
    target = b"%b/cur/%b" % (folder, wanted)
    if target == path:
        os.lstat(path)  # the flags are only true if the file still has this name
    else:
        scan.move(path, target)
        if change.renamed is not None:
            change.renamed(path, target)
    return wanted


def unlink(path: bytes, *, only_deleted: bool) -> bytes | None:
    """Unlink one message file and return its name; None when it is to stay.

    Raises:
        FileNotFoundError: another program renamed or removed it; look for it again.
    """
    name = path.rpartition(b"/")[2]
    if only_deleted and not filename.flags(name) & Flag.DELETED:
        os.lstat(path)
        return None
    os.unlink(path)
    return name

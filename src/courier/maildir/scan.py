"""Reading a folder's directories: when it is needed, and what a listing proves.

Another program may rename or unlink a message at any moment, without a lock, and readdir is no
snapshot: a file renamed while its directory is read may be missed, or seen under both names.
Hence the rules here. ``new/`` is listed before ``cur/``, so that a file on its way from one to
the other is seen at least once. A message counts as gone only if a listing lacks it during
which ``cur/`` was not touched. Directory times say whether a listing can be spared; a time that
is younger than `_SETTLED_S` when it is read proves nothing, because the directory may change
again within the tick of the file system's clock.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Collection, Container, Sequence
from dataclasses import dataclass

from courier import log
from courier.maildir import delivery, filename, filesystem, keywords, uiddb

#: Seconds after which a directory's time can be trusted to differ from a later change's.
_SETTLED_S = 2.0
#: Strange names for whose old ones all known names are looked through.
_FEW = 4
#: Listings made before a message that is in none of them is believed to be gone, come what may.
_TRIES = 5


class FolderGone(FileNotFoundError):
    """The folder's directories were removed or renamed."""


Times = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Stamp:
    """Times and identities of what a folder is read from. Two equal ones: nothing changed.

    A part is settled if a later change can't have left the same time: it is old enough, or
    `courier.maildir.witness` has seen to it.
    """

    new: Times
    cur: Times
    uiddb: Times | None
    keywords: Times | None
    new_settled: bool
    cur_settled: bool
    keywords_settled: bool

    @property
    def settled(self) -> bool:
        return self.messages_settled and self.keywords_settled

    @property
    def messages_settled(self) -> bool:
        return self.new_settled and self.cur_settled

    def vouches_for(self, later: Stamp) -> bool:
        """Tell whether what was read after taking this stamp is still what is there."""
        return (
            self.vouches_for_new(later)
            and self.vouches_for_cur(later)
            and self.vouches_for_keywords(later)
            and self.uiddb == later.uiddb
        )

    def vouches_for_new(self, later: Stamp) -> bool:
        return self.new_settled and self.new == later.new

    def vouches_for_cur(self, later: Stamp) -> bool:
        return self.cur_settled and self.cur == later.cur

    def vouches_for_keywords(self, later: Stamp) -> bool:
        return self.keywords_settled and self.keywords == later.keywords


def stamp(path: str) -> Stamp:
    """Take the folder's times.

    Raises:
        FolderGone: ``new/`` or ``cur/`` is not there.
        OSError: it cannot be looked at.
    """
    new, cur = _directory(path, "new"), _directory(path, "cur")
    database, keyword_files = uiddb.stamp(path), keywords.stamp(path)
    return Stamp(
        new,
        cur,
        database,
        keyword_files,
        _settled(new),
        _settled(cur),
        keyword_files is None or _settled(keyword_files),
    )


def _settled(times: Times) -> bool:
    # Never, if one lies in the future.
    return time.time_ns() - max(times[:2]) > _SETTLED_S * 1e9


def _directory(path: str, name: str) -> Times:
    """Give a directory's times of modification and of status change, and its inode.

    The second of them no restore can set back.
    """
    try:
        found = os.stat(os.path.join(path, name))
    except FileNotFoundError as error:
        raise FolderGone(error.errno, error.strerror, os.path.join(path, name)) from error
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(20, os.strerror(20), os.path.join(path, name))
    return found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def listing(path: str, name: str) -> list[bytes]:
    """List the message files of ``new`` or ``cur``, in the order of the directory.

    Raises:
        FolderGone: the directory is not there.
        OSError: it cannot be read.
    """
    directory = os.fsencode(os.path.join(path, name))
    try:
        return [entry for entry in os.listdir(directory) if filename.acceptable(entry)]
    except FileNotFoundError as error:
        raise FolderGone(error.errno, error.strerror, os.path.join(path, name)) from error


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of the message files in ``new/``: base names, and names with the reason."""

    moved: list[bytes]
    stuck: list[tuple[bytes, OSError]]
    names: list[tuple[bytes, bytes]]  # of those moved: in new/, and in cur/


def take_new(path: str) -> Taken:
    """Move every message file of ``new/`` to ``cur/``, with ``:2,`` if it has no info yet.

    Others see each message in one of the two directories at any moment. A file that another
    program moves or removes first is passed over; one that can't be moved does not stop the rest.

    Raises:
        OSError: ``new/`` can't be read.
    """
    taken = Taken([], [], [])
    top = os.fsencode(path)
    for name in listing(path, "new"):
        target = os.path.join(top, b"cur", name if b":" in name else name + b":2,")
        try:
            moved = _take(os.path.join(top, b"new", name), target)
        except FileNotFoundError:
            continue
        except OSError as error:
            taken.stuck.append((name, error))
        else:
            taken.names.append((name, os.path.basename(moved)))
            taken.moved.append(filename.base(taken.names[-1][1]))
    return taken


def _take(source: bytes, target: bytes) -> bytes:
    """Move a file from ``new/`` to ``target`` or, if another lies there, to a name of its own."""
    there = _look(target)
    if there is None:
        os.rename(source, target)
        return target
    if _is_second_link(os.lstat(source), there):
        os.unlink(source)
        return target
    return set_apart(source)


def move(source: bytes, target: bytes) -> None:
    """Rename a message file; another message that lies at ``target`` is set apart first."""
    try:
        filesystem.rename_exclusively(source, target)
    except FileExistsError:
        if not os.path.samestat(os.lstat(source), os.lstat(target)):
            set_apart(target)
        os.rename(source, target)


def set_apart(path: bytes) -> bytes:
    """Give a message file a base name of its own, in ``cur/``, and return where it lies then."""
    directory, name = os.path.split(path)
    found = os.lstat(path)
    apart = f"{delivery.unique_name(f'duplicate{found.st_ino}')},S={found.st_size}"
    renamed = filename.with_flags(os.fsencode(apart), filename.flags(name))
    target = os.path.join(os.path.dirname(directory), b"cur", renamed)
    os.rename(path, target)
    return target


def _look(path: bytes) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except FileNotFoundError:
        return None


def _is_second_link(found: os.stat_result, other: os.stat_result) -> bool:
    """Tell whether two names were of one file, and not one name that a rename gave to the other."""
    return os.path.samestat(found, other) and found.st_nlink > 1


@dataclass(slots=True)
class Survey:
    """How ``cur/`` differs from what was known of it."""

    renamed: dict[int, bytes]  # known row: the name it has now
    gone: set[int]  # known rows
    unknown: dict[bytes, bytes]  # base: name


def survey(path: str, known: Sequence[bytes], *, may_write: bool) -> Survey:
    """Compare ``cur/`` with the ``known`` names of its messages.

    Names are compared whole, as sets; only what differs is looked at one by one. What is missing
    is looked for again, until ``cur/`` stood still while it was listed: only then is it gone.

    Args:
        may_write: of two files with one base name, the known one keeps it and the other gets a
            name of its own; else the other is not seen.
    """
    found = Survey({}, set(), {})
    missing: set[int] | None = None
    for _ in range(_TRIES):
        before = _directory(path, "cur")
        listed = set(os.listdir(os.fsencode(os.path.join(path, "cur"))))
        others = listed.difference(known)
        strange = [name for name in others if filename.acceptable(name)]
        count = len(known) - (len(listed) - len(others))
        lacking = _lacking(known, listed, strange, count) if count else ()
        unfound, collided = _match(found, known, lacking, strange)
        missing = unfound if missing is None else missing & unfound
        if collided and may_write:
            directory = os.path.join(os.fsencode(path), b"cur")
            _separate(directory, sorted(listed), frozenset(known))
            may_write = False
            found = Survey({}, set(), {})
            missing = None
            continue
        if not missing or (_directory(path, "cur") == before and older_than_a_tick(before)):
            break
    found.gone = missing or set()
    return found


def _lacking(
    known: Sequence[bytes], listed: set[bytes], strange: Sequence[bytes], count: int
) -> Sequence[int]:
    """Give the rows of the ``count`` known names that are not listed: mostly some that were renamed."""
    if len(strange) <= _FEW:
        starts = tuple(filename.base(name) + b":" for name in strange)
        rows = [row for row, name in enumerate(known) if name.startswith(starts)]
        rows = [row for row in rows if known[row] not in listed]
        if len(rows) == count:
            return rows
    return [row for row, name in enumerate(known) if name not in listed]


def _match(
    found: Survey, known: Sequence[bytes], lacking: Sequence[int], strange: Sequence[bytes]
) -> tuple[set[int], bool]:
    """Take a listing into account.

    Returns: rows without a file in it; whether two files in it have one base name.
    """
    if not known:
        bases = [name.partition(b":")[0] for name in strange]
        found.unknown.update(zip(bases, strange, strict=True))
        return set(), len(found.unknown) < len(strange)
    rows = {filename.base(known[row]): row for row in lacking}
    unfound = set(lacking)
    for row in [row for row in found.renamed if row not in unfound]:
        del found.renamed[row]
    own: set[bytes] = set()
    collided = False
    unmatched: list[tuple[bytes, bytes]] = []
    for name in strange:
        base = filename.base(name)
        if base in own:
            collided = True
        elif base in rows:
            found.renamed[rows[base]] = name
            unfound.discard(rows[base])
        else:
            unmatched.append((base, name))
        own.add(base)
    if unmatched:
        present = {name.partition(b":")[0] for name in known}
        for base, name in unmatched:
            if base in present:
                collided = True
            else:
                found.unknown[base] = name
    return unfound, collided


def present(path: str, expected: Collection[bytes]) -> dict[bytes, bytes]:
    """Map the base name of each message in ``cur/`` to its file name.

    Bases that are ``expected`` but missing are looked for again, until ``cur/`` stood still
    while it was listed: what is missing then is gone.
    """
    found: dict[bytes, bytes] = {}
    for _ in range(_TRIES):
        before = _directory(path, "cur")
        names = listing(path, "cur")
        found |= dict(zip(map(filename.base, names), names, strict=True))
        stood_still = _directory(path, "cur") == before and older_than_a_tick(before)
        if stood_still or all(base in found for base in expected):
            break
    return found


def older_than_a_tick(times: Times) -> bool:
    """Tell whether a change right now would give another time (kernels count in 1 to 10 ms)."""
    return abs(time.time_ns() - max(times[:2])) > 20_000_000


def _separate(directory: bytes, names: Sequence[bytes], known: Container[bytes]) -> None:
    """Make both of two files with one base name visible: one inode twice loses a link, of two
    inodes the second gets a base name of its own. A crash leaves the old name or the new one.
    """
    keeper: dict[bytes, bytes] = {}
    for name in sorted(names, key=lambda name: name not in known):
        first = keeper.setdefault(filename.base(name), name)
        if first == name:
            continue
        path = os.path.join(directory, name)
        try:
            kept, found = os.lstat(os.path.join(directory, first)), os.lstat(path)
            if _is_second_link(kept, found):
                os.unlink(path)
            elif not os.path.samestat(kept, found):
                set_apart(path)
        except FileNotFoundError:
            continue  # renamed while the directory was listed: there is only one
        except OSError as error:
            log.error("cannot tell apart two messages with one name", os.fsdecode(path), error)

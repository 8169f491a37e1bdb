"""Looking at a folder's index from outside: what it says, and whether that is true."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from courier.maildir import scan
from courier.maildir.columns import Columns
from courier.maildir.filename import Flag
from courier.maildir.index import INDEX, LOG, Index, Loaded
from courier.maildir.scan import Stamp
from courier.maildir.snapshot import Snapshot

_SEEN = bytes(flags for flags in range(32) if flags & Flag.SEEN)


@dataclass(frozen=True, slots=True)
class Finding:
    """What a look at an index came to."""

    is_good: bool
    text: str


def check(folder: str, index_dir: str | None) -> Finding:
    """Read a folder's index whole and compare it with the folder, changing nothing.

    An index that does not vouch for the folder as it is now is good: it is brought up to date when
    the folder is opened. One that vouches for what is not there is not.

    Raises:
        OSError: the folder can't be read.
    """
    index = Index(folder, index_dir)
    before = scan.stamp(folder)
    loaded = index.load(check=True)
    if loaded is None or loaded.snapshot is None:
        there = os.path.lexists(os.path.join(index.path, INDEX))
        return Finding(not there, "cannot be used" if there else "no index")
    if not loaded.is_whole:
        return Finding(False, "the log is damaged")
    columns, stamp = _latest(loaded, loaded.snapshot)
    if stamp is None or not _vouches(stamp, before):
        return Finding(True, "out of date, to be brought up to date")
    if _names(columns) != _listed(folder):
        same = scan.stamp(folder) == before
        return Finding(not same, "does not say what is there" if same else "folder is in use")
    return Finding(True, f"good, {len(columns)} messages")


def describe(folder: str, index_dir: str | None) -> Iterator[str]:
    """Say what a folder's index holds, in lines ``name: value``.

    Raises:
        OSError: the folder can't be read.
    """
    index = Index(folder, index_dir)
    loaded = index.load()
    if loaded is None or loaded.snapshot is None:
        yield "index: none that can be used"
        return
    found = loaded.snapshot
    columns, stamp = _latest(loaded, found)
    numbers = loaded.changes[-1].numbers if loaded.changes else found.numbers
    highest = max([columns.highest, *(change.modseq for change in loaded.changes)])
    yield f"generation: {found.generation:016x}"
    yield f"uidvalidity: {numbers.uidvalidity}"
    yield f"uidnext: {numbers.uidnext}"
    yield f"messages: {len(columns)}"
    yield f"unseen: {len(columns.flags.translate(None, _SEEN))}"
    yield f"highest modseq: {highest}"
    yield f"history from modseq: {found.floor}"
    yield f"keyword sets: {len(found.keyword_sets) - 1}"
    yield f"records in the log: {len(loaded.changes)}{'' if loaded.is_whole else ', damaged'}"
    for name in (INDEX, LOG):
        try:
            yield f"octets of {name}: {os.stat(os.path.join(index.path, name)).st_size}"
        except OSError:
            yield f"octets of {name}: none"
    is_current = stamp is not None and _vouches(stamp, scan.stamp(folder))
    yield f"up to date: {'yes' if is_current else 'no'}"


def _latest(loaded: Loaded, found: Snapshot) -> tuple[Columns, Stamp | None]:
    """Give the messages after all changes; keywords are those of the snapshot."""
    columns, stamp = found.columns, found.stamp
    for change in loaded.changes:
        rows = [row._replace(keywords=0) for row in change.rows]
        columns = columns.with_changes(rows, change.gone, change.modseq, silent=change.silent)
        stamp = change.stamp
    return columns, stamp


def _vouches(stamp: Stamp, now: Stamp) -> bool:
    return stamp.vouches_for_new(now) and stamp.vouches_for_cur(now) and stamp.uiddb == now.uiddb


def _names(columns: Columns) -> set[tuple[bytes, bool]]:
    pairs = zip(columns.uids, columns.names.listed(), strict=True)
    return {(name, uid in columns.in_new) for uid, name in pairs}


def _listed(folder: str) -> set[tuple[bytes, bool]]:
    names = {(name, False) for name in scan.listing(folder, "cur")}
    return names | {(name, True) for name in scan.listing(folder, "new")}

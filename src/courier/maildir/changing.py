"""Changing and removing the messages of a folder: each file by itself, and then what is known of them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from functools import partial

from courier.maildir import filename, keywords
from courier.maildir.change import FlagChange, KeywordChange, rename_flags, unlink
from courier.maildir.columns import Row
from courier.maildir.locate import MessageGone
from courier.maildir.numberset import NumberSet
from courier.maildir.state import State
from courier.maildir.synchronising import Synchroniser


def change_flags(folder: Synchroniser, uids: Iterable[int], change: FlagChange) -> dict[int, int]:
    """Do what `Folder.change_flags` says."""
    renamed: dict[int, bytes] = {}
    rename = partial(rename_flags, change)
    with folder.mutex, folder.locked_if_possible() as is_locked:
        try:
            for uid in uids:
                if _has_changed(folder.state, uid, change.until):
                    continue
                try:
                    renamed[uid] = folder.files.call(uid, rename)
                except MessageGone:
                    continue
        finally:
            if is_locked:
                _note_renamed(folder.state, renamed)
    return {uid: filename.flags(name) for uid, name in renamed.items()}


def _has_changed(state: State, uid: int, until: int | None) -> bool:
    """Tell whether a message is known to have changed after a MODSEQ."""
    if until is None:
        return False
    row = state.columns.row(uid)
    return row is not None and state.columns.modseqs[row] > until


def _note_renamed(state: State, renamed: Mapping[int, bytes]) -> None:
    columns, rows = state.columns, []
    for uid, name in renamed.items():
        at = columns.row(uid)
        assert at is not None  # it was found by this very column, under the mutex
        rows.append(Row(uid, name, False, filename.flags(name), columns.keywords[at]))
    state.unclaimed |= NumberSet.of(state.columns.in_new & renamed.keys())
    if rows:
        state.note(rows, (), state.stamp)


def change_keywords(
    folder: Synchroniser, uids: Iterable[int], change: KeywordChange
) -> dict[int, int]:
    """Do what `Folder.change_keywords` says."""
    done: dict[int, int] = {}
    state = folder.state
    with folder.mutex, folder.locked():
        wanted = () if state.is_void else uids
        wanted = [uid for uid in wanted if not _has_changed(state, uid, change.until)]
        rows = [row for uid in wanted if (row := state.columns.message(uid)) is not None]
        bases = {row.uid: filename.base(row.name) for row in rows}
        # Merging is left to the next reading: it has to know every message there is.
        known = frozenset(bases.values())
        stored = keywords.load_and_merge(state.path, known, write=False, now=time.time())
        for uid, base in bases.items():
            words = change.apply(stored.get(base, ()))
            done[uid] = state.table.number(words)
            if done[uid] != state.table.number(stored.get(base, ())):
                keywords.publish(state.path, base, words, sync=state.options.fsync)
        if rows:
            state.note([row._replace(keywords=done[row.uid]) for row in rows], (), state.stamp)
    return done


def remove(folder: Synchroniser, uids: Iterable[int], *, only_deleted: bool) -> list[bytes]:
    """Do what `Folder.remove` says."""
    removed: dict[int, bytes] = {}
    with folder.mutex, folder.locked_if_possible() as is_locked:
        try:
            for uid in uids:
                try:
                    name = folder.files.call(uid, partial(unlink, only_deleted=only_deleted))
                except MessageGone:
                    continue
                if name is not None:
                    removed[uid] = name
        finally:
            if is_locked and removed:
                _note_removed(folder.state, removed)
    return list(removed.values())


def _note_removed(state: State, removed: Mapping[int, bytes]) -> None:
    rows = []
    for uid, name in removed.items():
        old = state.columns.message(uid)
        assert old is not None  # as above
        if old.name != name:  # renamed by others before
            rows.append(old._replace(name=name, in_new=False, flags=filename.flags(name)))
    state.numbering.dead += len(removed)
    state.note((), list(removed), state.stamp)
    if rows:
        state.witness.forget()

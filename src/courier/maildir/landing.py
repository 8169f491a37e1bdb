"""Adding messages to a folder: files prepared elsewhere land in ``cur/`` and get UIDs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from courier import log
from courier.maildir import delivery, filename, keywords
from courier.maildir.columns import Row
from courier.maildir.numbering import UidsUsedUp
from courier.maildir.numberset import NumberSet
from courier.maildir.second_link import SecondLink
from courier.maildir.state import State
from courier.maildir.synchronising import Synchroniser


@dataclass(frozen=True, slots=True)
class Prepared:
    """A message waiting in ``tmp/`` or in another folder, with what it shall bear once it has landed."""

    file: delivery.TemporaryFile | SecondLink
    flags: int = 0
    keywords: tuple[str, ...] = ()


def land(folder: Synchroniser, messages: Sequence[Prepared]) -> list[int]:
    """Do what `Folder.deliver` says."""
    state = folder.state
    with folder.mutex, folder.locked():
        folder.is_writable = True
        folder.know_uids()
        landed: list[bytes] = []
        try:
            for message in messages:
                landed.append(message.file.land("cur", message.flags))
                _publish_keywords(state, landed[-1], message)
            if landed and state.options.fsync:
                delivery.sync_directory(os.path.join(state.path, "cur"))
            given = _number(folder, landed)
        except BaseException:
            for name in landed:
                _remove(os.path.join(os.fsencode(state.path), b"cur", name))
            state.witness.forget()
            raise
        rows = [
            Row(uid, name, False, message.flags, _keywords_of(state, message))
            for uid, name, message in zip(given, landed, messages, strict=True)
        ]
        state.note(rows, (), state.stamp, landed=given)
        state.is_told = True
        # RFC 3501 6.3.11, 6.4.7: who is told of them first has them as \\Recent.
        state.unclaimed |= NumberSet.of(given)
        return list(given)


def _number(folder: Synchroniser, landed: Sequence[bytes]) -> range:
    state = folder.state
    numbering, bases = state.numbering, [filename.base(name) for name in landed]
    try:
        given = numbering.give(len(landed))
    except UidsUsedUp:
        folder.start_anew()
        given = numbering.give(len(landed))
    sync = state.options.fsync and bool(landed)
    numbering.write(state.path, state.listed, given, bases, sync=sync)
    return given


def _publish_keywords(state: State, name: bytes, message: Prepared) -> None:
    """Put a landed message's keywords right behind it: an update file that lies there before its
    message can be thrown away by a real Courier that reads the folder in between.
    """
    options = state.options
    if message.keywords and options.keywords:
        keywords.publish(state.path, filename.base(name), message.keywords, sync=options.fsync)


def _keywords_of(state: State, message: Prepared) -> int:
    is_some = message.keywords and state.options.keywords
    return state.table.number(message.keywords) if is_some else 0


def _remove(path: bytes) -> None:
    try:
        os.unlink(path)
    except OSError as error:
        log.error("cannot remove", os.fsdecode(path), error)

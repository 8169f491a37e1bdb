"""A process that builds a folder's full-text index while sessions go on.

DESCRIPTION
    Started by a session's process, with the same user, when a search in texts found messages that the
    index has not seen. Reads them in batches, adds each batch, and ends; with nothing else to do it has the
    lowest priority. It does not end with the session. If another one is at work, both go on, and what one
    has added the other leaves out.

SECURITY
    Runs as the account's user, with no descriptor but the log.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from courier import log
from courier.maildir.folder import Folder, MessageGone
from courier.maildir.fulltext import Entry, FullText, texts
from courier.maildir.snapshot import Unusable
from courier.maildir.state import Options

#: Messages in a batch, and octets of them: what is read before it is written.
_BATCH = 256
_BATCH_OCTETS = 8 << 20
#: Messages not seen yet from which on a process is worth its start.
_WORTH = 64

_running: dict[str, subprocess.Popen[bytes]] = {}
_mutex = threading.Lock()


def build(
    folder: Folder, index: FullText, tell: Callable[[int, int], None] = lambda done, total: None
) -> int:
    """Add all that the index has not seen; return the number of messages.

    Args:
        tell: called with the number of messages done, and of all to do.

    Raises:
        OSError, sqlite3.Error, Unusable: it can't be written.
    """
    uidvalidity = folder.uidvalidity
    index.drop_if_stale(uidvalidity, folder.columns)
    uids = folder.columns.uids
    waiting = [uid for begin, end in index.missing(uidvalidity, uids) for uid in uids[begin:end]]
    count = len(waiting)
    waiting.reverse()
    while waiting:
        index.add(uidvalidity, _read(folder, waiting))
        tell(count - len(waiting), count)
    return count


def _read(folder: Folder, waiting: list[int]) -> list[Entry]:
    """Read a batch from the end of ``waiting``."""
    batch: list[Entry] = []
    octets = 0
    columns = folder.columns
    while waiting and len(batch) < _BATCH and octets < _BATCH_OCTETS:
        uid = waiting.pop()
        row = columns.row(uid)
        assert row is not None  # it was found by these very columns
        name = columns.names[row]
        try:
            data, _ = folder.read(uid)
        except MessageGone:
            batch.append(Entry(uid, name, None))
        except OSError as error:
            log.recurring("cannot read message", error.filename, error)
            batch.append(Entry(uid, name, None))
        else:
            octets += len(data)
            batch.append(Entry(uid, name, texts(data)))
    return batch


def start_if_worth(folder: Folder) -> None:
    """Start a process that builds the index of a folder, if it is far behind."""
    index = folder.fulltext
    if index is None or not index.is_ours():
        return
    missing = index.missing(folder.uidvalidity, folder.columns.uids)
    if sum(end - begin for begin, end in missing) >= _WORTH:
        start(folder)


def start(folder: Folder) -> None:
    """Start a process that builds the index of a folder, unless ours is at work already."""
    with _mutex:
        for path, process in list(_running.items()):
            if process.poll() is not None:
                del _running[path]
        if folder.path in _running:
            return
        library = Path(__file__).parents[2]
        begin = (
            f"import sys; sys.path[:0] = [{str(library)!r}]; from {__name__} import main; "
            "sys.exit(main(sys.argv[1:]))"
        )
        arguments = [folder.path, json.dumps(asdict(folder.options))]
        try:
            _running[folder.path] = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", begin, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={},
                cwd="/",
            )
        except OSError as error:
            log.error("cannot build the full-text index", folder.path, error)


def main(arguments: Sequence[str]) -> int:
    """Be the process."""
    path, options = arguments
    os.nice(19)
    folder = Folder(path, Options(**json.loads(options)))
    index = folder.fulltext
    if index is None or not index.is_ours():
        return 1
    try:
        folder.synchronise(take_new=False)
        build(folder, index)
    except (OSError, sqlite3.Error, Unusable) as error:
        log.index_unusable(path, error)
        return 1
    return 0

"""A second process that reads messages for the first: both of its ends.

DESCRIPTION
    Started by a session's process, with the same user, for a folder of which much is not known yet. Reads on
    its standard input which messages to look at, in chunks, adds what it finds to the folder's items, and
    writes an octet to its standard output for each chunk done. Ends with its input.

SECURITY
    Runs as the account's user, with no descriptor but the two pipes and the log. It is a process of its own,
    started anew, because a fork of one with threads can't be trusted.
"""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from courier.maildir import delivery
from courier.maildir.items import Items, Stored
from courier.message import facts

if TYPE_CHECKING:
    from courier.maildir.folder import Folder

#: Messages in a chunk: some ten milliseconds of work.
CHUNK = 128
#: Chunks that a helper has before it: it never waits for the next.
_AHEAD = 2
_WAIT_S = 0.05


class _Helper:
    """The near end of one helper."""

    def __init__(self, folder: Folder, uidvalidity: int) -> None:
        library = Path(__file__).parents[2]
        start = (
            f"import sys; sys.path[:0] = [{str(library)!r}]; from {__name__} import main; main()"
        )
        arguments = [folder.path, folder.items.index_dir or "", str(uidvalidity)]
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", start, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env={"TZ": os.environ["TZ"]} if "TZ" in os.environ else {},
            cwd="/",
        )
        self.ahead = 0

    def fileno(self) -> int:
        assert self._process.stdout is not None
        return self._process.stdout.fileno()

    def send(self, chunk: Sequence[tuple[int, bytes]]) -> bool:
        """Give it a chunk; false if it is not there any more."""
        assert self._process.stdin is not None
        lines = b"".join(b"%d %b\n" % each for each in chunk)
        try:
            self._process.stdin.write(lines + b"\n")
        except OSError:
            return False
        self.ahead += 1
        return True

    def receive(self) -> int:
        """Count the chunks that it has done since the last time; 0 if it is not there any more."""
        done = len(os.read(self.fileno(), _AHEAD))
        self.ahead -= done
        return done

    def close(self) -> None:
        """End it at once: what it has not added yet is lost, which harms nobody."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.kill()
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


class Messages(Protocol):
    """UIDs and file names, in the order in which to read them."""

    def __len__(self) -> int: ...

    def __getitem__(self, which: slice) -> list[tuple[int, bytes]]: ...

    def uids(self) -> array[int]: ...


class Helpers:
    """Several helpers at work on one folder."""

    def __init__(self, folder: Folder, uidvalidity: int, messages: Messages, count: int) -> None:
        self.messages = messages
        self._at = 0
        self._helpers: list[_Helper] = []
        with contextlib.suppress(OSError):  # no more processes: those that there are do it
            for _ in range(count):
                self._helpers.append(_Helper(folder, uidvalidity))

    @property
    def is_busy(self) -> bool:
        return any(helper.ahead for helper in self._helpers)

    def wait(self) -> int:
        """Wait for one to get on, for a moment; tell how many messages are not given out yet."""
        for helper in self._helpers:
            while helper.ahead < _AHEAD and self._at < len(self.messages):
                if not helper.send(self.messages[self._at : self._at + CHUNK]):
                    helper.ahead = 0
                    break
                self._at += CHUNK
        ready, _, _ = select.select([h for h in self._helpers if h.ahead], [], [], _WAIT_S)
        for helper in ready:
            if not helper.receive():
                helper.ahead = 0
                self._helpers.remove(helper)
                helper.close()
        return max(0, len(self.messages) - self._at)

    def close(self) -> None:
        while self._helpers:
            self._helpers.pop().close()


def main() -> None:
    """Be a helper."""
    path, index_dir, uidvalidity = sys.argv[1:]
    items = Items(path, index_dir or None)
    if not items.is_shared(int(uidvalidity)):
        return
    chunk: list[tuple[int, bytes]] = []
    for line in sys.stdin.buffer:
        if line != b"\n":
            uid, _, name = line[:-1].partition(b" ")
            chunk.append((int(uid), name))
            continue
        items.add(int(uidvalidity), list(_read(os.fsencode(path), chunk)))
        chunk = []
        try:
            os.write(1, b".")
        except BrokenPipeError:
            return


def _read(path: bytes, chunk: Iterable[tuple[int, bytes]]) -> Iterable[Stored]:
    """Read messages; what is not there under its name, or can't be read, is left to the first process."""
    for uid, name in chunk:
        try:
            file = os.path.join(path, b"cur", name)
            data, found = delivery.read_regular(file, most=delivery.MAX_MESSAGE)
        except OSError:
            continue
        yield Stored(uid, name, len(data), int(found.st_mtime), facts.describe(data))

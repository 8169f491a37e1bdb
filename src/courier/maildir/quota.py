"""Maildir++ quota: maildirsize, which says what a maildir may hold and what it holds.

    limits LF           "1000000S,500C": S octets, C messages; 0 or nothing is no limit
    octets messages LF  signed, each in 12 columns; the sum of all such lines is what is used

Every program that adds or removes a message appends one line, by one write(2) at the end of the
file, so that no two of them lose each other's. Nobody holds a lock. Sums drift: a program crashes
between line and message, or removes a file without a word. So nothing is refused on the strength of
a sum that is made of several lines, or is older than 15 minutes: then all is counted, and the file
replaced by one with a single line.

Counted are all messages of the maildir and its folders, but not those marked as deleted, nor those
in the folder `Trash` - of that very name, whatever the trash folder of the IMAP server is called.
Programs built for it, and ours when told so, count these as well. All programs that serve a maildir
have to agree.
"""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from courier import log
from courier.maildir import counting, delivery
from courier.maildir.allowance import NOTHING, Limits, OverQuota, Usage
from courier.maildir.filename import Flag

__all__ = ["NOTHING", "Limits", "OverQuota", "Quota", "Usage"]

NAME = "maildirsize"

#: A file of this many octets or more has too many lines: all is counted, and one line is left.
LONGEST = 5120
#: Seconds for which a single line is believed without counting.
FRESH_S = 900

_TRASH = "Trash"
_COUNTS = 5
_LINE = re.compile(rb"[ \t]*(-?[0-9]{1,18})[ \t]+(-?[0-9]{1,18})")


@dataclass(frozen=True, slots=True)
class _State:
    """A file as it was read once."""

    limits: Limits
    used: Usage
    is_sound: bool  # the sum means something
    is_fresh: bool  # … and is believed even where it refuses


class Quota:
    """The quota of one maildir. It is read anew by every call: others write it, too."""

    def __init__(
        self, maildir: str, *, account: Limits | None = None, counts_trash: bool = False
    ) -> None:
        """``account`` has the limits that the account came with, which replace the file's own."""
        self.maildir = maildir
        self._path = os.path.join(maildir, NAME)
        self._account = account or None
        self._counts_trash = counts_trash

    def counts(self, folder: str, flags: int) -> bool:
        """Tell whether a message with these flags in ``folder`` (of the maildir) is counted."""
        return self._counts_trash or (folder != _TRASH and not flags & Flag.DELETED)

    def read(self) -> tuple[Limits, Usage] | None:
        """Give the limits and what is used of them; None without a quota.

        Raises:
            OSError: the file can't be read.
        """
        state = self._adjusted()
        if state is None or not state.limits:
            return None
        if not state.is_sound:
            state = self._counted(state)
        return state.limits, Usage(max(state.used.octets, 0), max(state.used.messages, 0))

    def add(self, added: Usage, *, freed: Usage = NOTHING) -> None:
        """Count messages that are about to become visible, if there is room.

        Called before others can see them: a crash in between leaves the sum too high, until all
        is counted. Who can't store them takes the line back (`note`).

        Args:
            freed: what the same operation will remove afterwards (MOVE), counted then.

        Raises:
            OverQuota: no line is written.
        """
        if not added:
            return
        try:
            state = self._adjusted()
        except OSError as error:
            self._complain("cannot read quota", error)
            return
        if state is None:
            return
        net = added + -freed
        if net.octets > 0 or net.messages > 0:
            self._check(state, net)
        self.note(added)

    def check(self, added: Usage) -> None:
        """See whether there is room, counting nothing.

        Raises:
            OverQuota: `add` would refuse this, too.
        """
        try:
            state = self._adjusted()
        except OSError as error:
            self._complain("cannot read quota", error)
            return
        if added and state is not None:
            self._check(state, added)

    def note(self, change: Usage) -> None:
        """Append a line that no limit refuses: messages are gone, or come in any case.

        Others see the sum with the line or without it. A line that can't be written is logged: the
        message matters more, and the next counting puts it right.
        """
        if not change:
            return
        flags = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        line = b"%12d %12d\n" % (change.octets, change.messages)
        try:
            descriptor = os.open(self._path, flags)
        except FileNotFoundError:
            return
        except OSError as error:
            self._complain("cannot write quota", error)
            return
        try:
            if _lacks_line_end(descriptor):
                line = b"\n" + line  # somebody's unfinished line must not swallow ours
            if os.write(descriptor, line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._path)
        except OSError as error:
            self._complain("cannot write quota", error)
        finally:
            os.close(descriptor)

    @contextmanager
    def charged(self, added: Usage, *, freed: Usage = NOTHING) -> Iterator[None]:
        """Count what the block stores; if it fails, take it back.

        Raises:
            OverQuota: before the block.
        """
        self.add(added, freed=freed)
        try:
            yield
        except BaseException:
            self.note(-added)
            raise

    def set_limits(self, limits: Limits) -> None:
        """Give the maildir a quota, and count what it holds.

        Raises:
            OSError: the file is as it was.
        """
        self._count(limits)

    def recount(self) -> None:
        """Count all, because folders came or went; nothing is done without a quota.

        What can't be counted is logged.
        """
        try:
            state = self._read()
            if state is not None and state.limits:
                self._count(state.limits)
        except OSError as error:
            self._complain("cannot count", error)

    # -- the file --------------------------------------------------------------------------

    def _read(self) -> _State | None:
        """Read the file; None if there is none, or none that is a regular file."""
        try:
            text, found = delivery.read_regular(self._path)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.EINVAL, errno.ENXIO):
                raise
            self._complain("is no quota file", error)
            return None
        first, *lines = text.split(b"\n")
        if lines and not lines[-1]:
            lines.pop()
        matches = [match for match in map(_LINE.match, lines) if match]
        used = Usage(sum(int(one[1]) for one in matches), sum(int(one[2]) for one in matches))
        age = time.time() - found.st_mtime
        return _State(
            limits=Limits.parse(first.decode("ascii", "replace")),
            used=used,
            is_sound=len(text) < LONGEST and used.octets >= 0 and used.messages >= 0,
            is_fresh=len(lines) == 1 and 0 <= age < FRESH_S,
        )

    def _adjusted(self) -> _State | None:
        """Read the file, having given it the account's own limits if it has others or isn't there."""
        state = self._read()
        if self._account is None or (state is not None and state.limits == self._account):
            return state
        if state is None and os.path.lexists(self._path):
            return None
        return self._count(self._account)

    def _check(self, state: _State, net: Usage) -> None:
        """Raise OverQuota if there is no room; say so only on the strength of what was counted."""
        if state.is_sound and state.limits.allow(state.used + net):
            return
        if not (state.is_sound and state.is_fresh):
            state = self._counted(state)
        if not state.limits.allow(state.used + net):
            raise OverQuota(self._path)

    def _counted(self, state: _State) -> _State:
        """Count all; if that fails, the sum has to do."""
        try:
            return self._count(state.limits)
        except OSError as error:
            self._complain("cannot count", error)
            return state

    def _complain(self, what: str, error: OSError) -> None:
        log.recurring(what, self._path, error)

    # -- counting --------------------------------------------------------------------------

    def _count(self, limits: Limits) -> _State:
        """Count every message and replace the file by one with a single line.

        Others see the old file or the new one. A message that came, went or was paid for while we
        counted makes us count again; after five times the last sum has to do. What another program
        adds in the instant between our last look and the end of its own work is not seen, as with
        Courier, until the next counting.

        Raises:
            OSError: the old file is in place.
        """
        for _ in range(_COUNTS):
            paid = self._identity()
            used, times = counting.count(self.maildir, self.counts)
            text = b"%b\n%12d %12d\n" % (str(limits).encode(), used.octets, used.messages)
            if paid != self._identity() or times != counting.times(self.maildir, self.counts):
                continue
            break
        delivery.write_atomically(self.maildir, NAME, text, "NeWmAiLdIrSiZe")
        return _State(limits, used, is_sound=True, is_fresh=True)

    def _identity(self) -> tuple[int, int] | None:
        """Say which file there is and how long: another inode or length means a line came."""
        try:
            found = os.lstat(self._path)
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_size


def _lacks_line_end(descriptor: int) -> bool:
    size = os.fstat(descriptor).st_size
    return size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"

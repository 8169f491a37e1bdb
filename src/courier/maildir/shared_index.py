"""The index of shared accounts (IMAP_SHAREDINDEXFILE), of several levels.

    account line = name TAB uid TAB gid TAB home [ TAB maildir [ TAB anything ] ]
    group line   = name TAB "*" TAB file

``#`` ends a line's content anywhere. A group's file lies in the directory of the file that names it. uid and
gid say nothing here: who may look into an account's maildir is up to the system and to access control
lists. What is not understood is passed over, and logged when the file is read.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from courier import log
from courier.maildir import delivery

_LARGEST = 64 << 20
#: Levels of groups. Names have one component for each; a circle of files ends here.
DEEPEST = 16

_Stamp = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Account:
    """One line: an account with its maildir."""

    name: str
    maildir: str


@dataclass(frozen=True, slots=True)
class Group:
    """One line: a level of names, with the file that has them."""

    name: str
    file: str


Record = Account | Group


class SharedIndex:
    """An index file with those it names, read again when they change."""

    def __init__(self, file: str | None, *, munge: bool = False) -> None:
        """``munge``: IMAP_SHAREDMUNGENAMES, how dots and slashes of names are shown."""
        self._file = file
        self._munge = munge

    def find(self, names: list[str]) -> tuple[Record, list[str]] | None:
        """Follow a mailbox name's components: give the account with the rest of them.

        A group is given when the components end with it; None if there is no such name.
        """
        file = self._file
        for depth, name in enumerate(names[:DEEPEST], 1):
            record = self.records(file).get(name)
            if isinstance(record, Account) or (record is not None and depth == len(names)):
                return record, names[depth:]
            if record is None:
                return None
            file = record.file
        return None

    def records(self, file: str | None = None) -> Mapping[str, Record]:
        """Give the records of a file, or of the top, by the name that a client sees.

        Of records with the same name the last one counts.
        """
        file = file or self._file
        if not file:
            return {}
        try:
            found = os.stat(file)
        except OSError:
            return {}
        stamp = (found.st_mtime_ns, found.st_ino, found.st_size)
        try:
            return _read(file, stamp, self._munge)
        except OSError as error:
            log.recurring("cannot read index of shared folders", file, error)
            return {}


@lru_cache(maxsize=64)
def _read(file: str, stamp: _Stamp, munge: bool) -> Mapping[str, Record]:
    """Read a file as it was at this stamp; a process keeps what it read for all its sessions.

    Raises:
        OSError: it can't be read now.
    """
    if stamp[2] > _LARGEST:
        log.warn(f"{file}: too large for an index of shared folders")
        return {}
    text, _ = delivery.read_regular(os.path.realpath(file))
    found = {}
    for number, record in _records(file, text):
        if record is None:
            log.warn(f"{file}({number}): syntax error.")
        else:
            found[shown(record.name, munge=munge)] = record
    return found


def problems(file: str, *, depth: int = DEEPEST) -> Iterator[str]:
    """Say what is wrong with an index, and with the files that it names."""
    try:
        text, found = delivery.read_regular(os.path.realpath(file))
    except OSError as error:
        yield f"{file}: {error.strerror}"
        return
    if not found.st_mode & stat.S_IROTH:
        yield f"{file}: sessions run as their accounts' users, who may not read it"
    for number, record in _records(file, text):
        if record is None:
            yield f"{file}({number}): syntax error."
        elif isinstance(record, Group):
            if not depth:
                yield f"{file}({number}): too many levels"
                return
            yield from problems(record.file, depth=depth - 1)


def _records(file: str, text: bytes) -> Iterator[tuple[int, Record | None]]:
    """Give each line that says something, with its number; None for what is not understood."""
    directory = os.path.dirname(file)
    for number, line in enumerate(text.split(b"\n"), 1):
        content = line.partition(b"#")[0].decode("utf-8", "surrogateescape")
        if content.strip():
            yield number, _record(content.split("\t"), directory)


def _record(fields: list[str], directory: str) -> Record | None:
    if len(fields) < 3 or not fields[0]:
        return None
    if fields[1] == "*":
        return Group(fields[0], os.path.join(directory, fields[2].lstrip("/")))
    if len(fields) < 4 or not (_is_id(fields[1]) and _is_id(fields[2])):
        return None
    maildir = (fields[4] if len(fields) > 4 else "") or "./Maildir"
    path = os.path.normpath(os.path.join(fields[3], maildir))
    return Account(fields[0], path) if os.path.isabs(path) else None


def _is_id(text: str) -> bool:
    return text.isdecimal() and int(text[:20]) > 0


def shown(name: str, *, munge: bool) -> str:
    r"""Give a name as one component of a mailbox name: ``.`` and ``/`` as blanks, or as ``\:`` ``\;``."""
    if munge:
        return name.replace("\\", "\\\\").replace(".", "\\:").replace("/", "\\;")
    return name.replace(".", " ").replace("/", " ")

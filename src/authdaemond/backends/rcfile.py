"""The files that modules are set up by: authldaprc, authmysqlrc, authpgsqlrc, authsqliterc.

    NAME white-space VALUE

White space around lines and values does not count, lines that begin with ``#`` are comments. A value
that ends in a backslash goes on in the next line, with a blank between. Of two lines for one name
the first counts. A file without the line ``##NAME: MARKER:`` has not been completed by the merge that
installs it, and is refused. The format is courier-authlib's.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from authdaemond import log
from authdaemond.backends.backend import Unavailable

_MARKER = "##NAME: MARKER:"
_LINE = re.compile(r"\s*([^\s#]\S*)\s*(.*?)\s*\Z", re.DOTALL)

T = TypeVar("T")


class RcError(Exception):
    """The file can't be used; the text names it, and the line and setting if it is one of these."""


@dataclass(frozen=True, slots=True)
class _Entry:
    value: str
    line: int


class RcFile:
    """The settings of one file. Asking for one that is not as it should be raises `RcError`."""

    def __init__(self, path: str, entries: dict[str, _Entry]) -> None:
        self.path = path
        self._entries = entries

    def text(self, name: str, default: str = "") -> str:
        """Give a value; one that is empty counts as not given."""
        entry = self._entries.get(name)
        return entry.value if entry and entry.value else default

    def required(self, *names: str) -> str:
        """Give the value of the first of ``names`` that has one."""
        for name in names:
            if value := self.text(name):
                return value
        raise RcError(f"{self.path}: {' or '.join(names)}: expected a value, found none")

    def number(self, name: str, default: int = 0, most: int = 2**31 - 1) -> int:
        value = self.text(name)
        if not value:
            return default
        if not re.fullmatch(r"[0-9]{1,10}", value) or int(value) > most:
            raise self.wrong(name, f"a number from 0 to {most}")
        return int(value)

    def is_on(self, name: str) -> bool:
        return self.number(name) != 0

    def one_of(self, name: str, *words: str) -> str:
        """Give a word in lower case; the first of ``words`` is the default."""
        value = self.text(name, words[0]).lower()
        if value not in words:
            raise self.wrong(name, f"one of {', '.join(words)}")
        return value

    def wrong(self, name: str, expected: str) -> RcError:
        entry = self._entries[name]
        return RcError(
            f"{self.path}:{entry.line}: {name}: expected {expected}, found {entry.value!r}"
        )


def read(path: Path) -> RcFile:
    """Read a file.

    Raises:
        RcError: it can't be read or is not complete.
    """
    try:
        lines = path.read_text("utf-8", "surrogateescape").split("\n")
    except OSError as error:
        raise RcError(f"{path}: {error.strerror}") from error
    if not any(line.startswith(_MARKER) for line in lines):
        # Courier's words, which administrators search for.
        raise RcError(
            f"marker line not found in {path} (probably forgot to run sysconftool after an upgrade)"
        )
    entries: dict[str, _Entry] = {}
    at = 0
    while at < len(lines):
        number, line = at + 1, lines[at].strip()
        at += 1
        while line.endswith("\\") and not line.startswith("#") and at < len(lines):
            line = line[:-1] + " " + lines[at].strip()
            at += 1
        match = _LINE.match(line)
        if match:
            entries.setdefault(match[1], _Entry(match[2], number))
    return RcFile(str(path), entries)


class Reloaded(Generic[T]):
    """What a file's settings come to, made anew when the file was replaced or changed."""

    def __init__(self, path: Path, make: Callable[[RcFile], T], name: str) -> None:
        """``make`` raises `RcError` for settings that can't be used; ``name`` is the module's."""
        self._path = path
        self._make = make
        self._name = name
        self._stamp: object = None
        self._made: T | None = None

    @property
    def is_there(self) -> bool:
        """Whether there is a file at all: a module that was never set up has no accounts to list."""
        return self._path.exists()

    def get(self) -> tuple[T, bool]:
        """Give what the settings come to, and whether that is new since the last call.

        A file that can't be used leaves what was there, and is complained of once a request.

        Raises:
            Unavailable: there is nothing to be left.
        """
        stamp = self._look()
        if self._made is not None and stamp == self._stamp:
            return self._made, False
        try:
            made = self._make(read(self._path))
        except RcError as error:
            if self._made is None:
                raise Unavailable(str(error)) from error
            log.error(f"{self._name}: {error}; will try again later")
            return self._made, False
        if self._made is not None:
            log.debug("%s: reloaded %s", self._name, str(self._path))
        self._made, self._stamp = made, stamp
        return made, True

    def _look(self) -> object:
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size

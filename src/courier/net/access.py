"""The access file: who may connect, and with which settings. `imapaccess.dat`, made by makeimapaccess.

A record's key is an address or a part of it, its value `deny...`, or `allow` with assignments for
the session's environment. The most exact key decides alone.

    key        = 1*3digit *3( "." 1*3digit )      ; IPv4, from the left
               / ":" 4hex *7( ":" 4hex )          ; IPv6, from the left, padded, lower case
               / address "." port / "*." port     ; with -accesslocal
               / "*"                              ; everybody else
    value      = "deny" *any / [ "allow" [","] ] item *( "," item )
    item       = name [ "=" value ]               ; ' and " quote commas and vanish

Courier keeps the database open until a SIGHUP; here a file put in its place is noticed by itself.
One that can't be opened allows everybody, as in Courier, but doesn't replace one that could.
"""

import dbm.gnu
import errno
import functools
import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _gdbm import _gdbm as Database

#: Errors that say nothing about the file.
_PASSING = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
_ATOI = re.compile(r"[ \t\n\v\f\r]*([+-]?[0-9]{1,18})")


@dataclass(frozen=True, slots=True)
class Allowed:
    """May connect; ``environment`` is what the access file assigns."""

    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def max_per_ip(self) -> int | None:
        """MAXCPERIP, where it is a number above 0. Courier: anything else changes nothing."""
        match = _ATOI.match(self.environment.get("MAXCPERIP", ""))
        limit = int(match[1]) if match else 0
        return limit if limit > 0 else None


@dataclass(frozen=True, slots=True)
class Denied:
    """May not connect."""

    key: str


class AccessFile:
    """An access database, by the path of its `.dat` file.

    The open database is a descriptor that children inherit: fork first, or `close`.

    ``tell`` gets a line for the log when the file can't be read, once for each file.
    """

    def __init__(self, path: Path | None, tell: Callable[[str], None]) -> None:
        """``path``: None lets everybody in."""
        self._path = path
        self._tell = tell
        self._database: Database | None = None
        self._state: tuple[int, ...] | None = ()

    def remote(self, ip: str) -> Allowed | Denied:
        """Look a client's address up."""
        return self._first(_parts(ip))

    def local(self, ip: str, port: int) -> Allowed | Denied:
        """Look the address and port up that a client came to (-accesslocal)."""
        return self._first(_local_keys(ip, port))

    def close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None
        self._state = ()

    def _first(self, keys: Iterator[str]) -> Allowed | Denied:
        self.refresh()
        if self._database is None:
            return Allowed()
        for key in keys:
            try:
                value = self._database.get(key.encode())
            except dbm.gnu.error as error:
                self._tell(f"ERR: {self._path}: {error}")
                return Allowed()
            if value is not None:
                return _decision(key, value.decode("utf-8", "surrogateescape"))
        return Allowed()

    def refresh(self) -> None:
        """Open the file if it isn't the one that was opened last."""
        if self._path is None:
            return
        try:
            found = self._path.stat()
        except OSError as error:
            if self._state is not None:
                self._tell(f"ERR: {self._path}: {error.strerror}{self._fallback()}")
            self._state = None
            return
        state = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
        if state == self._state:
            return
        try:
            database = dbm.gnu.open(str(self._path), "r")  # noqa: SIM115  stays open
        except (dbm.gnu.error, OSError) as error:
            if error.errno in _PASSING:  # it may well be good: look again, say so once
                if self._state is not None:
                    self._tell(f"ERR: {self._path}: {error}{self._fallback()}")
                self._state = None
                return
            self._state = state
            self._tell(f"ERR: {self._path}: not a GDBM file: {error}{self._fallback()}")
            return
        self._state = state
        if self._database is not None:
            self._database.close()
        self._database = database

    def _fallback(self) -> str:
        if self._database is None:
            return "; everybody may connect"
        return "; the file read before stays in force"


# --- Keys -----------------------------------------------------------------------------------------


def _parts(ip: str) -> Iterator[str]:
    """Yield the keys of an address, the most exact first."""
    yield from _shortened(_key(ip))
    yield "*"


def _local_keys(ip: str, port: int) -> Iterator[str]:
    address = _key(ip)
    yield f"{address}.{port}"
    yield from _shortened(address)
    yield f"*.{port}"
    yield "*"


@functools.lru_cache(4096)  # clients come again
def _key(ip: str) -> str:
    address = ipaddress.ip_address(ip.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            return ":" + address.exploded
        address = address.ipv4_mapped
    return str(address)


def _shortened(key: str) -> Iterator[str]:
    """Yield a key, then without its last component again and again."""
    separator = ":" if key[0] == ":" else "."
    while key:
        yield key
        key = key.rpartition(separator)[0]


# --- Values ---------------------------------------------------------------------------------------


def _decision(key: str, value: str) -> Allowed | Denied:
    if value.startswith("deny"):
        return Denied(key)
    assignments = value.removeprefix("allow")
    if assignments != value:
        assignments = assignments.removeprefix(",")
    pairs = (item.partition("=") for item in _items(assignments))
    return Allowed({name: text for name, _, text in pairs if name})


def _items(text: str) -> Iterator[str]:
    """Cut at commas outside of quotes, take the quotes out and then the blanks at both ends."""
    item: list[str] = []
    quote = ""
    for character in text:
        if quote:
            if character == quote:
                quote = ""
            else:
                item.append(character)
        elif character in "'\"":
            quote = character
        elif character == ",":
            yield "".join(item).strip()
            item.clear()
        else:
            item.append(character)
    yield "".join(item).strip()

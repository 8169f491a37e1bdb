"""Replies that let somebody in, kept for some seconds: a client that opens ten connections at once
costs one slow hash.

A reply is found again by all that was asked: userid, password, service and address. What is kept is a
keyed hash of these, with a key that only this process has, and the reply without the password.
Rejections are not kept, nor are replies to anything but passwords.

A reply counts no longer once a password was changed through this daemon, the daemon was told to read
its settings again, or a file changed that passwords on this machine come from: userdb's or the system's.
A password that is changed in a directory or a database counts until the reply is too old.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from courier.auth.request import Authenticate

#: Replies kept at most. Above, the oldest make room.
_MOST = 10_000
_PASSWORD = b"\nPASSWD2="


@dataclass(frozen=True, slots=True)
class _Kept:
    until: float
    stamp: object
    before: bytes  # of the reply, up to the password
    after: bytes | None  # None: it does not tell the password


class SuccessCache:
    """``files`` are those that passwords come from; ``seconds`` of 0 keep nothing."""

    def __init__(self, seconds: float, files: Iterable[Path] = ()) -> None:
        self._seconds = seconds
        self._files = tuple(files)
        self._key = os.urandom(32)
        self._kept: dict[bytes, _Kept] = {}

    def get(self, request: Authenticate) -> bytes | None:
        """Give the reply to this very request, if it is kept and still counts."""
        if not self._kept:
            return None
        kept = self._kept.get(self._name(request))
        if kept is None or kept.until < time.monotonic() or kept.stamp != self._stamp():
            return None
        if kept.after is None:
            return kept.before
        return kept.before + request.second.reveal() + kept.after

    def stamp(self) -> object:
        """Take this before a password is looked at, for `keep`."""
        return self._stamp() if self._seconds else None

    def keep(self, request: Authenticate, reply: bytes, stamp: object) -> None:
        if not self._seconds or request.authtype != b"login":
            return
        now = time.monotonic()
        while self._kept:
            name, oldest = next(iter(self._kept.items()))
            if oldest.until >= now and len(self._kept) < _MOST:
                break
            del self._kept[name]
        before, mark, after = reply.partition(_PASSWORD + request.second.reveal() + b"\n")
        name = self._name(request)
        self._kept.pop(name, None)
        self._kept[name] = _Kept(
            now + self._seconds,
            stamp,
            before + _PASSWORD if mark else reply,
            b"\n" + after if mark else None,
        )

    def forget(self) -> None:
        """A password was changed: whose, the modules know better than this."""
        self._kept.clear()

    def _name(self, request: Authenticate) -> bytes:
        digest = hashlib.blake2b(key=self._key, digest_size=32)
        for field in (
            request.remote_ip,
            request.service,
            request.authtype,
            request.first,
            request.second.reveal(),
        ):
            digest.update(b"%d:" % len(field) + field)
        return digest.digest()

    def _stamp(self) -> object:
        return tuple(map(_look, self._files))


def _look(path: Path) -> object:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_size

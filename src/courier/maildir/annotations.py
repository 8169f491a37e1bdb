"""Annotations of mailboxes (RFC 5464), in files of our own that no index can rebuild.

    F/pycourier-metadata              of the folder: what all its users share, and what is the owner's alone
    M/pycourier-metadata-account      of the account: its server annotations, and what its user has
                                      noted for himself on other accounts' mailboxes

    file = *( key SP base64 LF )

A key is an entry's name in lower case (``/private/comment``); in the account's file the name of the mailbox
stands before it, or nothing for server annotations. Lines that are none of this are left as they are.

A folder's file lies in its directory, so that it goes where the folder goes, whoever renames or removes it:
real Courier looks at no such file, and takes it along.
"""

from __future__ import annotations

import base64
import binascii
import errno
import os
import re
from collections.abc import Callable, Mapping

from courier.maildir import delivery
from courier.maildir.lock import FolderLock

NAME = "pycourier-metadata"
OF_ACCOUNT = "pycourier-metadata-account"
#: Octets of a file that is read.
_LARGEST = 64 << 20
_LINE = re.compile(rb"([^\x00-\x1f\x7f]*/[^\x00-\x1f\x7f]*) ([A-Za-z0-9+/]*={0,2})")

#: Values by key.
Annotations = dict[str, bytes]


class AnnotationFile:
    """One file, read anew by every call: other processes write it, too."""

    def __init__(self, directory: str, name: str = NAME) -> None:
        self._directory = directory
        self._name = name

    def read(self) -> Annotations:
        """Give what there is; nothing if there is no file.

        Raises:
            OSError: there is one, and it can't be read.
        """
        return parse(self._text())

    def change(
        self,
        changes: Mapping[str, bytes | None],
        check: Callable[[Annotations], None] = lambda after: None,
        *,
        use_locks: bool = True,
        sync: bool = True,
    ) -> None:
        """Set values, or remove them where they are None: all of them or none.

        Others see the old file or the new one, and so does a crash leave it.

        Args:
            check: looks at what there will be; what it raises is passed on, and nothing has changed.

        Raises:
            OSError: nothing has changed.
        """
        with FolderLock(self._directory, enabled=use_locks):
            text = self._text()
            before = parse(text)
            after = before | {key: value for key, value in changes.items() if value is not None}
            for key, value in changes.items():
                if value is None:
                    after.pop(key, None)
            check(after)
            if after == before:
                return
            try:
                written = b"".join((*_others(text), write(after)))
            except ValueError as error:
                raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), self._name) from error
            if written:
                delivery.write_atomically(
                    self._directory, self._name, written, "metadata", mode=0o600, sync=sync
                )
                return
            os.unlink(os.path.join(self._directory, self._name))
            if sync:
                delivery.sync_directory(self._directory)

    def _text(self) -> bytes:
        path = os.path.join(self._directory, self._name)
        try:
            text, _ = delivery.read_regular(path)
        except FileNotFoundError:
            return b""
        if len(text) > _LARGEST:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
        return text


def parse(text: bytes) -> Annotations:
    """Read a file's text."""
    found: Annotations = {}
    for line in text.split(b"\n"):
        match = _LINE.fullmatch(line)
        value = None if match is None else _decoded(match[2])
        if match is not None and value is not None:
            found[match[1].decode("utf-8", "surrogateescape")] = value
    return found


def write(annotations: Mapping[str, bytes]) -> bytes:
    """Give the file's text.

    Raises:
        ValueError: a key that would be read back as another.
    """
    lines = []
    for key, value in sorted(annotations.items()):
        line = key.encode("utf-8", "surrogateescape") + b" " + base64.b64encode(value)
        if not _LINE.fullmatch(line):
            raise ValueError(f"no key of an annotation: {key!r}")
        lines.append(line + b"\n")
    return b"".join(lines)


def _others(text: bytes) -> list[bytes]:
    """Give the lines that are no annotations."""
    lines = (line for line in text.split(b"\n") if line)
    return [line + b"\n" for line in lines if not parse(line)]


def _decoded(text: bytes) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return None

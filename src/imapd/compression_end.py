"""Where a client's compression ends in the middle of its connection (RFC 8437 4.1, RFC 1951).

A client that has sent its last compressed command finishes its stream, or only flushes it and goes on in plain
text. Behind the command there are a few octets more in both cases. They are looked at one by one: to the
stream's end, or to the empty stored block by which zlib's full and sync flush align to octets.
"""

from __future__ import annotations

import zlib

#: What an empty stored block ends with (RFC 1951 3.2.4), and what a last, empty block begins with.
_FLUSHED = b"\x00\x00\xff\xff"
_LAST_BLOCK = b"\x03"
#: No end of a block with a flush, and no last block behind it, has more octets.
_MOST = 16


class Damaged(Exception):
    """What came in is no deflated data."""


class CompressionEnd:
    """``plain`` is what follows the compressed data, once it is known where that ends."""

    def __init__(self, inflating: zlib._Decompress, data: bytes, size: int) -> None:
        """Inflate once more, exactly up to the end of the last command.

        Args:
            inflating: as it was before ``data``, which has the command's end in it.
            size: octets that ``data`` is inflated to up to that.

        Raises:
            Damaged: more commands follow, compressed, or what can't be told apart from them.
        """
        self._inflating = inflating
        self.plain: bytes | None = None
        self._seen = b""  # behind the command
        self._later = b""  # of that, what came later than it
        at = 0
        while size > 0:
            size -= len(inflating.decompress(data[at : at + 1]))
            at += 1
        if inflating.eof:
            self.plain = data[at:]
        elif size < 0 or not self._look(data[at:]):
            raise Damaged

    def feed(self, data: bytes) -> None:
        """Take more of what comes in.

        Where it makes no sense as the end of a compressed stream, the client has sent that before.
        """
        later, self._later = self._later, self._later + data
        if not self._look(data):
            self.plain = later + data

    def _look(self, data: bytes) -> bool:
        """Look for the end; False: it has to be elsewhere."""
        for at in range(len(data)):
            octet = data[at : at + 1]
            if self._seen.endswith(_FLUSHED) and octet != _LAST_BLOCK:
                self.plain = data[at:]
                return True
            try:
                inflated = self._inflating.decompress(octet)
            except zlib.error:
                return False
            if inflated or len(self._seen) >= _MOST:
                return False
            self._seen += octet
            if self._inflating.eof:
                self.plain = data[at + 1 :]
                return True
        return True


def up_to_damage(inflating: zlib._Decompress, data: bytes, most: int) -> bytes:
    """Inflate what can be: plain text may follow, which is no deflated data. ``most``: octets, or a few more."""
    inflated = bytearray()
    for octet in data:
        try:
            inflated += inflating.decompress(bytes((octet,)))
        except zlib.error:
            break
        if len(inflated) >= most:
            break
    return bytes(inflated)

"""COMPRESS=DEFLATE: the octets of a connection, deflated and inflated (RFC 4978, RFC 1951).

Memory is bounded: input is inflated in pieces, and only as the session asks for more; what deflates takes
some 64 KiB while commands are answered, and nothing in a session that idles. What inflates has 40 KiB, for
a client may refer to 32 KiB that it sent before.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from courier.process.request import Unfinished
from imapd.compression_end import CompressionEnd, Damaged, up_to_damage

__all__ = ["MAX_INFLATED", "Compression", "Damaged"]

#: Octets that are inflated at once, whatever came in to make them.
MAX_INFLATED = 65_536
#: Octets that are deflated before others get their turn: half a millisecond.
_PIECE = 16_384
#: A window of 8 KiB and little else: 5 % larger output than zlib's own choice, a quarter of its memory.
_LEVEL, _WINDOW, _MEMORY = 3, -13, 6


class Compression:
    """Both directions of one connection."""

    def __init__(self, *, may_end: bool = False) -> None:
        """``may_end``: both directions can end in the middle of the connection, by `finish` and `end`."""
        self._deflating: zlib._Compress | None = None
        self._is_flushed = True
        self._inflating = zlib.decompressobj(-zlib.MAX_WBITS)
        self._input = b""  # not inflated yet
        self._may_hold_more = False  # the inflating end may, though it was given all there is
        self._is_finished = False  # the deflating end
        self._may_end = may_end
        #: What inflated last, as it was before, and what for how much.
        self._last: tuple[zlib._Decompress, bytes, int] | None = None

    def deflate(self, data: bytes) -> Iterator[bytes]:
        """Give octets for the client; they may not make sense to it before `flush`."""
        if self._is_finished:
            yield data
            return
        deflating = self._begin()
        is_whole = not isinstance(data, Unfinished)
        self._is_flushed = self._is_flushed and not data
        last = max(len(data) - 1, 0) // _PIECE * _PIECE
        for start in range(0, last, _PIECE):
            yield Unfinished(deflating.compress(data[start : start + _PIECE]))
        piece = deflating.compress(data[last:])
        yield piece if is_whole else Unfinished(piece)

    def _begin(self) -> zlib._Compress:
        if self._deflating is None:  # what begins anew refers to nothing before it
            self._deflating = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW, _MEMORY)
        return self._deflating

    def finish(self, data: bytes) -> bytes:
        """Give the last octets that are deflated, for all that was said and ``data``."""
        deflating = self._begin()
        self._deflating, self._is_finished, self._is_flushed = None, True, True
        return deflating.compress(data) + deflating.flush(zlib.Z_FINISH)

    def flush(self, *, forget: bool = False) -> bytes:
        """Give what is needed to make sense of all so far.

        Args:
            forget: free the memory, as nothing more will be sent for a while.
        """
        data = b""
        if self._deflating is not None and not self._is_flushed:
            data = self._deflating.flush(zlib.Z_SYNC_FLUSH)
        self._is_flushed = True
        if forget:
            self._deflating = None
        return data

    @property
    def is_waiting(self) -> bool:
        """Tell whether `inflate` may give something without more input."""
        return bool(self._input) or self._may_hold_more

    @property
    def at_end(self) -> bool:
        """Tell whether the client has said that no more follows."""
        return self._inflating.eof

    def inflate(self, data: bytes = b"") -> bytes:
        """Give at most `MAX_INFLATED` octets of what the client meant, perhaps none.

        Raises:
            Damaged: it can't be told what the client meant.
        """
        data = self._input + data
        former = self._inflating.copy() if self._may_end else None
        try:
            inflated = self._inflating.decompress(data, MAX_INFLATED)
        except zlib.error as error:
            inflated = b"" if former is None else up_to_damage(former.copy(), data, MAX_INFLATED)
            if not inflated:
                raise Damaged from error
        self._input = self._inflating.unconsumed_tail
        self._may_hold_more = len(inflated) == MAX_INFLATED
        self._last = None if former is None else (former, data, len(inflated))
        return inflated

    def end(self, left: int) -> CompressionEnd:
        """Find what is not deflated any more, behind a command of the client's.

        Args:
            left: octets of what `inflate` gave last that are behind the command.

        Raises:
            Damaged: see there.
        """
        assert self._last is not None
        inflating, data, size = self._last
        return CompressionEnd(inflating, data, size - left)

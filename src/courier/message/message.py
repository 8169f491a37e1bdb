"""A message: its bytes, and what can be read from them, found when asked for."""

from __future__ import annotations

from courier.message import header, lines, mime


class Message:
    """The bytes of a message file with its header and structure."""

    __slots__ = ("_body_start", "_fields", "_root", "data")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._root: mime.Part | None = None
        self._fields: dict[bytes, bytes] | None = None
        self._body_start = -1

    def octets(self, start: int, end: int) -> bytes:
        """Give a range of the file."""
        return self.data[start:end]

    def wire(self, start: int, end: int) -> bytes:
        """Give a range in wire form."""
        return lines.wire(self.data, start, end)

    def wire_slice(self, start: int, end: int, offset: int, count: int) -> bytes:
        """Give ``wire(start, end)[offset : offset + count]``."""
        return lines.wire_slice(self.data, start, end, offset, count)

    @property
    def size_on_disk(self) -> int:
        return len(self.data)

    @property
    def root(self) -> mime.Part:
        """The structure. Needs all of the message."""
        root = self._root
        if root is None:
            self._root = root = mime.parse(self.data)
            self._fields = root.fields
            self._body_start = root.body_start
        return root

    @property
    def body_start(self) -> int:
        """The offset of the body: the file's size if there is none. Needs the header only."""
        if self._body_start < 0:
            found = header.find_body(self.data, 0, len(self.data))
            self._body_start = len(self.data) if found < 0 else found
        return self._body_start

    @property
    def fields(self) -> dict[bytes, bytes]:
        """The raw values of the fields that ENVELOPE and the structure need. Needs the header only."""
        fields = self._fields
        if fields is None:
            stop = min(self.body_start, header.MAX_HEADER)
            self._fields = fields = header.message_fields(self.data, 0, stop)
        return fields

    @property
    def size(self) -> int:
        """The size in wire form: RFC822.SIZE (RFC 9051 2.3.4)."""
        root = self._root
        if root is None:
            return lines.wire_size(self.data)
        return root.wire_start + root.octets

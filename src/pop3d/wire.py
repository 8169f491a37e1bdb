"""POP3's lines: what a client sent, cut into lines, and a line into a command (RFC 1939 3).

Input is bounded: of a line that is too long the rest is thrown away, as Courier does it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_LINE = 8191

#: Response codes (RFC 3206): wrong credentials, or a log-in against the account's rules; a failure of
#: the system's that passes, and one that somebody has to see to.
AUTH, SYS_TEMP, SYS_PERM = "AUTH", "SYS/TEMP", "SYS/PERM"
_SPLIT = re.compile(rb"[ \t\r]*([^ \t\r]*)[ \t\r]?(.*)", re.DOTALL)
_NUMBER = re.compile(rb"[0-9]{1,10}")


def refusal(text: str, code: str, *, with_code: bool) -> bytes:
    """Write a negative answer, with its response code where these are announced (RFC 2449 8)."""
    return f"-ERR [{code}] {text}\r\n".encode() if with_code else f"-ERR {text}\r\n".encode()


@dataclass(frozen=True, slots=True)
class Line:
    """A command: its word in upper case, and the rest of the line, blanks and all."""

    word: str
    rest: bytes

    def words(self) -> list[bytes]:
        return self.rest.split()


class Reader:
    """Cuts a stream into commands, none longer than ``longest`` octets."""

    def __init__(self, longest: int = MAX_LINE) -> None:
        self._longest = longest
        self._data = bytearray()
        self._is_overlong = False  # what is here belongs to a line that has been cut

    def feed(self, data: bytes) -> None:
        self._data += data

    def unread(self) -> bytes:
        """Give what was received and belongs to no command yet."""
        return bytes(self._data)

    def next(self) -> Line | None:
        """Give the next command; None while its end has not come."""
        text = self.next_text()
        return None if text is None else command(text)

    def next_text(self) -> bytes | None:
        """Give the next line, without its end."""
        while True:
            end = self._data.find(b"\n")
            if end < 0:
                if len(self._data) > self._longest and not self._is_overlong:
                    self._is_overlong = True
                    self._cut = bytes(self._data[: self._longest])
                if self._is_overlong:
                    self._data.clear()
                return None
            text = bytes(self._data[:end])
            del self._data[: end + 1]
            if self._is_overlong:
                self._is_overlong = False
                text = self._cut
            return text[: self._longest].removesuffix(b"\r")

    _cut = b""


def command(text: bytes) -> Line:
    """Take a line apart. A word that no command has stands for what can't be one."""
    if b"\0" in text:
        return Line("", b"")
    match = _SPLIT.match(text)
    assert match is not None  # it matches anything
    return Line(match[1].decode("latin-1").upper(), match[2])


def number(text: bytes) -> int | None:
    """Read a message number or a count of lines; None if it is none.

    Courier takes what C's atoi takes, so that `1x` deletes message 1.
    """
    return int(text) if _NUMBER.fullmatch(text) else None

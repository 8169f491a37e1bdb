"""IMAPDEBUGFILE: what client and server say to each other, in a file of the maildir, as Courier writes it.

A line for each token that was read, ``READ: ATOM: SELECT``, and all that is said between two of them behind one
``WRITE: ``. What messages are sent to be stored is left out, not what messages are fetched.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator

from courier import log
from imapd.wire.reader import Announced, Line, Overlong

#: Courier: brackets and braces are tokens of their own, and so atoms end at them.
_QUOTED = rb'"(?P<quoted>(?:[^"\\]|\\.)*+)"'
_UNQUOTED = (
    rb"(?P<literal>~?\{[0-9]+\+?\})(?:\r?\n)?"
    rb'|(?P<number>[0-9]+)(?![^\x00-\x20\x7f-\xff\\"()\[\]{}~])'
    rb'|(?P<atom>\\?[^\x00-\x20\x7f-\xff\\"()\[\]{}~]+)|(?P<mark>[()\[\]])'
    rb"|(?P<blank>[ \t\r]+)|(?P<end>\n)|(?P<other>.)"
)
_TOKEN = re.compile(_QUOTED + b"|" + _UNQUOTED, re.DOTALL)
#: Behind a quote without an end, in which all others are escaped: none of these has an end, either, and
#: to look for each would take for ever.
_UNQUOTED_TOKEN = re.compile(_UNQUOTED, re.DOTALL)
_MARKS = {b"(": b"LPAREN", b")": b"RPAREN", b"[": b"LBRACKET", b"]": b"RBRACKET"}
_NAMES = {"quoted": b"QUOTED_STRING", "number": b"NUMBER", "atom": b"ATOM"}


class Transcript:
    """An open file. One that can't be written to any more is told to the log, once, and left."""

    def __init__(self, descriptor: int, path: str) -> None:
        """``descriptor`` is closed in the end."""
        self._descriptor = descriptor
        self._path = path
        self._is_writing = False
        self._seen = b""  # of a command whose literal was announced
        self._literal = 0  # its size

    def __del__(self) -> None:
        self._close()

    def read(self, event: Line | Announced | Overlong) -> None:
        """Note what the client has sent."""
        if isinstance(event, Overlong):
            self._seen = b""
            self._put(b"READ: ERROR\n")
            return
        text, at = event.text, 0
        if self._seen and text.startswith(self._seen):  # with a literal that was an argument
            at = len(self._seen) + self._literal
        self._seen, self._literal = b"", 0
        if isinstance(event, Announced):
            self._seen, self._literal = text, event.size
        self._put(b"".join(b"READ: %b\n" % token for token in _tokens(text, at)))

    def line(self, line: bytes) -> None:
        """Note a line of SMAP's. Courier leaves these out."""
        self._put(b"READ: " + line + b"\n")

    def wrote(self, data: bytes) -> None:
        """Note what the server says."""
        if data:
            self._put(data if self._is_writing else b"WRITE: " + data)
            self._is_writing = True

    def _put(self, data: bytes) -> None:
        self._is_writing = False
        if self._descriptor < 0:
            return
        try:
            os.write(self._descriptor, data)
        except OSError as error:
            log.error("cannot write transcript", self._path, error)
            self._close()

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def opened(name: str | None, maildir: str) -> Transcript | None:
    """Open the file of this name in a maildir, if it is there; it is never made (Courier: since 4.10)."""
    if name is None:
        return None
    path = os.path.join(maildir, name)
    try:  # what is no file must not hold the session up
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        log.error("cannot write transcript", path, error)
        return None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    return Transcript(descriptor, path)


def _tokens(text: bytes, at: int) -> Iterator[bytes]:
    """Name the tokens of a command from an octet on, as Courier's reader does."""
    pattern = _TOKEN
    while match := pattern.match(text, at):
        kind, at = match.lastgroup, match.end()
        if match[0] == b'"':
            pattern = _UNQUOTED_TOKEN
        if kind == "literal":
            yield match["literal"]
        elif kind == "mark":
            yield _MARKS[match[0]]
        elif kind == "end":
            yield b"EOL"
        elif kind == "other":
            yield b"ERROR"
        elif match[0] == b"NIL":
            yield b"NIL"
        elif kind in _NAMES:
            value = re.sub(rb"\\(.)", rb"\1", match[kind]) if kind == "quoted" else match[kind]
            yield _NAMES[kind] + b": " + value

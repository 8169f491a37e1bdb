"""-protocol: what a client says in SMTP, IMAP or POP3 for its connection to be encrypted."""

from __future__ import annotations

import os
import socket

_LONGEST_LINE = 8192
_MOST_LINES = 100
_WAIT_S = 60.0


class Refused(Exception):
    """The server doesn't; the text is what it said."""


class Conversation:
    """What is said in plain text; standard output has it, too, for who debugs."""

    def __init__(self, remote: socket.socket) -> None:
        self._remote = remote
        remote.settimeout(_WAIT_S)

    def ask(self, protocol: str) -> None:
        """Speak until the handshake is due. Nothing is read beyond that.

        Raises:
            Refused, OSError.
        """
        match protocol:
            case "imap":
                self._line()
                self._expect(self._tagged(b"a001", b"STARTTLS").upper(), b"OK")
            case "pop3":
                self._expect(self._line(), b"+OK")
                self._say(b"STLS")
                self._expect(self._line(), b"+OK")
            case "smtp":
                self._expect(self._reply(), b"2")
                for line in (b"EHLO localhost", b"STARTTLS"):
                    self._say(line)
                    self._expect(self._reply(), b"2")

    def _expect(self, line: bytes, beginning: bytes) -> None:
        if not line.startswith(beginning):
            raise Refused("".join(c if c.isprintable() else "?" for c in line.decode("latin-1")))

    def _tagged(self, tag: bytes, command: bytes) -> bytes:
        """Give an IMAP command, and return its completion without the tag."""
        self._say(tag + b" " + command)
        for _ in range(_MOST_LINES):
            line = self._line()
            if line.startswith(tag + b" "):
                return line[len(tag) + 1 :]
        raise Refused(f"no answer to {command.decode()}")

    def _reply(self) -> bytes:
        """Read an SMTP reply, and return its last line (RFC 5321 4.2.1)."""
        for _ in range(_MOST_LINES):
            line = self._line()
            if line[3:4] != b"-":
                return line
        raise Refused("a reply that doesn't end")

    def _say(self, line: bytes) -> None:
        self._remote.sendall(line + b"\r\n")
        _show(line + b"\r\n")

    def _line(self) -> bytes:
        line = b""
        while not line.endswith(b"\n"):
            octet = self._remote.recv(1)  # what follows is not ours
            if not octet or len(line) > _LONGEST_LINE:
                raise Refused("the server closed the connection")
            line += octet
        _show(line)
        return line.rstrip(b"\r\n")


def _show(line: bytes) -> None:
    os.write(1, line)

"""A small SMAP client with a picture of the open folder, kept by what it is told alone. Shares no code with the server."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from tests.support.client import Connection

_BLOCK = re.compile(rb"\{(?:\.[0-9]*|([0-9]+)/[0-9]+)\} FETCH ")
_WORD = re.compile(r'"((?:[^"]|"")*)"|(\S+)')


@dataclass
class Message:
    """What the client knows of one message."""

    uid: str | None = None
    flags: frozenset[str] | None = None
    keywords: frozenset[str] | None = None


class Refused(Exception):
    """A command ended with -ERR."""


class SmapClient:
    """Sends commands, one at a time, and learns from their answers."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.messages: list[Message] = []
        self.snapshot = ""
        self.known: list[Message] = []  # what the client has kept with the snapshot

    def command(self, line: str, data: bytes = b"") -> list[str]:
        """Send a command, and what it uploads when it is asked for; give the lines before its status.

        Raises:
            Refused: it did not succeed.
        """
        self.connection.send(line.encode() + b"\n")
        if line.upper().startswith("OPEN") or line.upper().startswith("SOPEN"):
            self.messages = []
        lines = []
        while True:
            raw = self.connection.line()
            block = _BLOCK.match(raw)
            if block is not None:
                lines.append(self._contents(raw, block[1]))
                continue
            text = raw.decode("utf-8", "surrogateescape").removesuffix("\n")
            if text.startswith(">"):
                self.connection.send(data)
            elif text.startswith("-ERR"):
                raise Refused(text)
            elif text.startswith("+OK"):
                return lines
            else:
                assert text.startswith("* "), text
                self.take(text)
                lines.append(text)

    def _contents(self, title: bytes, size: bytes | None) -> str:
        content = title
        if size is None:
            while (line := self.connection.line()) != b".\n":
                content += line.removeprefix(b".")
        else:
            while size is not None:
                content += self.connection.exactly(int(size))
                size = self.connection.line().removesuffix(b"\n") or None
        return content.decode("utf-8", "surrogateescape")

    def take(self, line: str) -> None:
        """Learn from a line."""
        _, kind, *words = [
            quoted.replace('""', '"') or plain for quoted, plain in _WORD.findall(line)
        ]
        match kind:
            case "EXISTS":
                count = int(words[0])
                assert count >= len(self.messages), f"{line}: fewer without EXPUNGE"
                self.messages += [Message() for _ in range(count - len(self.messages))]
            case "EXPUNGE":
                ranges = [tuple(map(int, (word + "-" + word).split("-")[:2])) for word in words]
                assert sorted(ranges) == ranges, line
                for low, high in reversed(ranges):
                    assert 1 <= low <= high <= len(self.messages), line
                    del self.messages[low - 1 : high]
            case "FETCH":
                message = self.messages[int(words[0]) - 1]
                for word in words[1:]:
                    name, _, value = word.partition("=")
                    if name == "UID":
                        assert message.uid in (None, value), f"{line}: it was {message.uid}"
                        message.uid = value
                    elif name == "FLAGS":
                        message.flags = frozenset(filter(None, value.split(",")))
                    elif name == "KEYWORDS":
                        message.keywords = frozenset(filter(None, value.split(",")))
            case "SNAPSHOT":
                self.snapshot, self.known = words[0], [replace(one) for one in self.messages]
            case "SNAPSHOTEXISTS":
                assert words == [self.snapshot]
                self.messages = [replace(one) for one in self.known]

    def come_back(self, client: SmapClient) -> list[str]:
        """Open INBOX in another session, with what this one knew at its last snapshot."""
        client.snapshot, client.known = self.snapshot, self.known
        return client.command(f'SOPEN "{self.snapshot}" INBOX')

    def learn(self) -> None:
        """Ask for what is not known yet, as Cone does after every EXISTS."""
        unknown = [seq for seq, one in enumerate(self.messages, 1) if one.uid is None]
        if unknown:
            self.command(f"FETCH {unknown[0]}-{unknown[-1]} FLAGS UID KEYWORDS")
            assert all(message.uid for message in self.messages)

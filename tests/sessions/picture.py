"""A client's picture of a mailbox, kept by what it is told alone; what no server may say fails.

The rules are RFC 9051 7.4.1, 7.5.1 and 7.5.2, with CONDSTORE and QRESYNC those of RFC 7162 3.2.10 and 6.
Shares no code with the server.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.imapd.responses import Response

Flags = frozenset[str]
#: During these nothing may change a sequence number.
KEEPING = ("FETCH", "STORE", "SEARCH")
#: Response codes of what is told of the whole mailbox.
_HIGHEST = re.compile(r"HIGHESTMODSEQ (\d+)\Z")


@dataclass
class Message:
    """What the client knows of one message; None: nothing yet."""

    uid: int | None = None
    flags: Flags | None = None
    modseq: int = 0
    is_recent: bool = False
    told_in: int = -1  # the command, counted from 0, during which flags were told last


@dataclass
class Picture:
    """All that one client knows of the mailbox that it has selected."""

    modseqs: bool = False  # CONDSTORE is enabled
    vanishing: bool = False  # QRESYNC is
    told_at_once: bool = False  # NOTIFY: of removed messages, too, with no command in progress
    messages: list[Message] = field(default_factory=list)
    recent: int = 0
    highest: int = 0  # of MODSEQs, by the rules of RFC 7162 6
    uidvalidity: int = 0
    earlier: set[int] = field(default_factory=set)  # told as gone when the mailbox was opened
    completed: int = 0  # commands
    _told_highest: int | None = None  # since the last tagged response
    _told_modseq: int = 0

    @property
    def uids(self) -> list[int | None]:
        return [message.uid for message in self.messages]

    def known(self) -> list[int]:
        """Sequence numbers of the messages whose UID is known."""
        return [seq for seq, message in enumerate(self.messages, 1) if message.uid is not None]

    def unknown(self) -> int:
        return len(self.messages) - len(self.known())

    def uid(self, seq: int) -> int:
        uid = self.messages[seq - 1].uid
        assert uid is not None
        return uid

    # -- responses -------------------------------------------------------------------------

    def take(self, response: Response, command: str) -> None:
        """Learn from a response, told during this command (its name, ``UID`` included; empty: none)."""
        if response.is_tagged or (response.tag == b"*" and response.code):
            self._take_code(response)
        match response.name if response.tag == b"*" else "":
            case "EXISTS":
                self._exists(response.number, command)
            case "RECENT":
                self.recent = response.number
            case "EXPUNGE":
                self._expunge(response, command)
            case "VANISHED":
                self._vanished(response, command)
            case "FETCH":
                self._fetch(response, command)
        if response.is_tagged:
            self._count_highest()
            self.completed += 1

    def _exists(self, number: int, command: str) -> None:
        if command in ("SELECT", "EXAMINE") and not self.messages:
            self.messages = [Message() for _ in range(number)]
        assert number >= len(self.messages), "EXISTS without EXPUNGE made the mailbox smaller"
        self.messages += [Message() for _ in range(number - len(self.messages))]

    def _expunge(self, response: Response, command: str) -> None:
        self._may_remove(response, command)
        assert not self.vanishing, f"{response.raw!r} where VANISHED belongs"
        assert 1 <= response.number <= len(self.messages), f"{response.raw!r}: no such message"
        del self.messages[response.number - 1]

    def _may_remove(self, response: Response, command: str) -> None:
        assert command not in KEEPING, f"{response.raw!r} during {command}"
        assert command or self.told_at_once, f"{response.raw!r} during no command"

    def _vanished(self, response: Response, command: str) -> None:
        is_earlier, uids = response.values
        assert isinstance(uids, bytes)
        assert self.vanishing, "VANISHED without QRESYNC"
        if is_earlier:
            assert command in ("SELECT", "EXAMINE", "UID FETCH"), f"(EARLIER) during {command}"
            self.earlier.update(numbers(uids))
            assert self.earlier.isdisjoint(self.uids), "told as gone earlier, and is there"
            return
        self._may_remove(response, command)
        for uid in numbers(uids):
            self._forget(uid)

    def _forget(self, uid: int) -> None:
        """Take out the message of this UID, or one of those that it must be among."""
        among: list[int] = []  # neighbours of which nothing says which one it is
        for place, message in enumerate(self.messages):
            if message.uid == uid:
                del self.messages[place]
                return
            if message.uid is None:
                among.append(place)
            elif message.uid > uid:
                break
            else:
                among = []
        assert among, f"VANISHED {uid}, which is no message's"
        self.messages[among[0] : among[-1] + 1] = [Message() for _ in among[1:]]

    def _fetch(self, response: Response, command: str) -> None:
        assert 1 <= response.number <= len(self.messages), f"{response.raw!r}: no such message"
        message = self.messages[response.number - 1]
        items = dict(response.values)  # type: ignore[arg-type]
        if self.modseqs and b"FLAGS" in items and command not in ("FETCH", "UID FETCH"):
            assert {b"UID", b"MODSEQ"} <= items.keys(), f"{response.raw!r}: no UID or MODSEQ"
        uid = items.get(b"UID")
        if uid is not None:
            assert message.uid in (None, uid), f"{response.raw!r}: it was {message.uid}"
            message.uid = uid
            before = [other.uid for other in self.messages[: response.number - 1]]
            behind = [other.uid for other in self.messages[response.number :]]
            assert all(other is None or other < uid for other in before), "UIDs do not ascend"
            assert all(other is None or other > uid for other in behind), "UIDs do not ascend"
        if b"FLAGS" in items:
            words = [word.decode() for word in items[b"FLAGS"]]
            assert len(words) == len({word.lower() for word in words}), f"{response.raw!r}: twice"
            message.flags = frozenset(words) - {"\\Recent"}
            message.told_in = self.completed
            message.is_recent = "\\Recent" in words
        if b"MODSEQ" in items:
            modseq = items[b"MODSEQ"]
            assert modseq >= message.modseq, f"{response.raw!r}: it was {message.modseq}"
            message.modseq = modseq
            self._told_modseq = max(self._told_modseq, modseq)

    def _take_code(self, response: Response) -> None:
        if response.code.startswith("UIDVALIDITY "):
            self.uidvalidity = int(response.code.split()[1])
        match = _HIGHEST.match(response.code)
        if match is not None:
            self._told_highest = int(match[1])

    def _count_highest(self) -> None:
        """RFC 7162 6: what the client would say when it comes back."""
        if self._told_highest is not None:
            self.highest = self._told_highest
        else:
            self.highest = max(self.highest, self._told_modseq)
        self._told_highest, self._told_modseq = None, 0

    # -- comparison ------------------------------------------------------------------------

    def agrees(self, truth: dict[int, Flags], *, whole: bool = True) -> None:
        """Compare with the messages that there are, of which the client must have been told all.

        Args:
            whole: also of the flags that it has ever asked for.
        """
        there = sorted(truth)
        assert len(self.messages) == len(there), f"{self.uids} instead of {there}"
        for message, uid in zip(self.messages, there, strict=True):
            assert message.uid in (None, uid), f"{self.uids} instead of {there}"
            if whole and message.flags is not None:
                assert message.flags == truth[uid], f"UID {uid}: {message.flags}, {truth[uid]}"


def numbers(text: bytes) -> list[int]:
    """The numbers of a set, each of which may be in it once."""
    found: list[int] = []
    for piece in text.split(b","):
        low, _, high = piece.partition(b":")
        found += range(int(low), int(high or low) + 1)
    assert len(found) == len(set(found)), f"{text!r} names a message twice"
    return found


def number_set(wanted: Sequence[int]) -> str:
    return ",".join(map(str, wanted))

"""What must be in a mailbox, and what commands do to it: the simple model that sessions are compared with.

Shares no code with the server.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.imapd.responses import Response
from tests.sessions.picture import Flags, Picture, number_set, numbers
from tests.support.maildirs import deliver, message_files, uid_database

LETTERS = {"\\Draft": "D", "\\Flagged": "F", "\\Answered": "R", "\\Seen": "S", "\\Deleted": "T"}
SYSTEM = tuple(LETTERS)
KEYWORDS = ("$Forwarded", "work")
TEXT = b"From: a@example.com\r\nSubject: x\r\n\r\nbody\r\n"


@dataclass
class Command:
    """A command, and what it does to the mailbox if its completion and responses are these."""

    name: str  # with UID, without arguments
    arguments: str = ""
    done: Callable[[list[Response], Response], None] = lambda responses, completion: None
    keeps_numbers: bool = False  # behind it, others that use sequence numbers may follow at once
    keeps_messages: bool = False  # no message's removal may be told during it
    text: str = ""  # sent, if it is not name and arguments

    @property
    def line(self) -> str:
        return self.text or f"{self.name} {self.arguments}".strip()


@dataclass
class Model:
    """The messages of one folder by UID, and those that nobody has given a UID yet."""

    folder: Path
    messages: dict[int, Flags] = field(default_factory=dict)
    waiting: dict[str, Flags] = field(default_factory=dict)  # by file name
    delivered: int = 0
    _uids: dict[str, int] = field(default_factory=dict)
    _last: int = 0

    # -- other programs --------------------------------------------------------------------

    def deliver(self, flags: Iterable[str] | None) -> None:
        """Put a message into new/, or with ``flags`` into cur/."""
        self.delivered += 1
        letters = None if flags is None else "".join(sorted(LETTERS[flag] for flag in flags))
        base = deliver(self.folder, TEXT, number=self.delivered, flags=letters)
        self.waiting[base] = frozenset(flags or ())

    def files(self) -> dict[str, str]:
        """Message files by what their names begin with."""
        return {
            name.partition(":")[0]: f"{directory}/{name}"
            for directory in ("new", "cur")
            for name in os.listdir(self.folder / directory)
        }

    def rename(self, base: str, flags: Iterable[str]) -> None:
        """Give a message other flags, as another program does; its keywords stay."""
        letters = "".join(sorted(LETTERS[flag] for flag in flags))
        (self.folder / self.files()[base]).rename(self.folder / f"cur/{base}:2,{letters}")
        if base in self.waiting:
            self.waiting[base] = frozenset(flags)
            return
        uid = self._uids[base]
        self.messages[uid] = frozenset(flags) | (self.messages[uid] - frozenset(SYSTEM))

    def unlink(self, base: str) -> None:
        """Remove a message, as another program does."""
        (self.folder / self.files()[base]).unlink()
        if self.waiting.pop(base, None) is None:
            del self.messages[self._uids[base]]

    # -- commands --------------------------------------------------------------------------

    def store(
        self, named: Mapping[int, int], sign: str, flags: Flags, *, until: bool
    ) -> Callable[[list[Response], Response], None]:
        """STORE. ``named``: UIDs by the numbers that the command names."""

        def done(responses: list[Response], completion: Response) -> None:
            if completion.name != "OK":
                return
            refused = re.match(r"MODIFIED (.*)", completion.code)
            assert until or not refused, "MODIFIED, and nobody asked"
            left = set(numbers(refused[1].encode())) if refused else set()
            assert left <= named.keys()
            for number, uid in named.items():
                if uid in self.messages and number not in left:
                    old = self.messages[uid]
                    new = {"+": old | flags, "-": old - flags, "": flags}[sign]
                    self.messages[uid] = new

        return done

    def seen(self, named: Mapping[int, int]) -> Callable[[list[Response], Response], None]:
        """FETCH of texts; what is ``\\Seen`` by it is told. ``named``: UIDs by sequence numbers."""

        def done(responses: list[Response], completion: Response) -> None:
            for response in responses:
                items = dict(response.values) if response.name == "FETCH" else {}  # type: ignore[arg-type]
                uid = named.get(response.number, 0)
                if b"\\Seen" in items.get(b"FLAGS", ()) and uid in self.messages:
                    self.messages[uid] |= {"\\Seen"}

        return done

    def expunge(self, among: Sequence[int] | None) -> Callable[[list[Response], Response], None]:
        def done(responses: list[Response], completion: Response) -> None:
            if completion.name != "OK":
                return
            self.settle()
            for uid, flags in list(self.messages.items()):
                if "\\Deleted" in flags and (among is None or uid in among):
                    del self.messages[uid]
            for base, flags in list(self.waiting.items()):
                if "\\Deleted" in flags and among is None:
                    del self.waiting[base]  # it had a UID, for a moment

        return done

    def copy(self) -> Callable[[list[Response], Response], None]:
        """COPY into the mailbox itself."""

        def done(responses: list[Response], completion: Response) -> None:
            code = re.match(r"COPYUID \d+ (\S+) (\S+)", completion.code)
            if code is None:
                return
            pairs = zip(numbers(code[1].encode()), numbers(code[2].encode()), strict=True)
            for source, target in pairs:
                self._give(target, self.messages[source])

        return done

    def move(self, uids: Sequence[int]) -> Callable[[list[Response], Response], None]:
        """MOVE to another mailbox."""

        def done(responses: list[Response], completion: Response) -> None:
            if completion.name != "OK":
                return
            for uid in uids:
                self.messages.pop(uid, None)

        return done

    def append(self, flags: Flags) -> Callable[[list[Response], Response], None]:
        def done(responses: list[Response], completion: Response) -> None:
            if completion.name != "OK":
                return
            code = re.match(r"APPENDUID \d+ (\d+)", completion.code)
            assert code, completion
            self._give(int(code[1]), flags)

        return done

    def _give(self, uid: int, flags: Flags) -> None:
        assert uid > max(self.messages, default=0), "a UID that is not higher than the others"
        self.messages[uid] = flags

    # -- the disk --------------------------------------------------------------------------

    def settle(self) -> None:
        """Learn which UIDs were given to delivered messages."""
        if not (self.folder / "courierimapuiddb").exists():
            return
        uids = uid_database(self.folder).uids
        for base in [base for base in self.waiting if base in uids]:
            assert uids[base] > max(self._uids.values(), default=0), "a UID came back"
            self.messages[uids[base]] = self.waiting.pop(base)

    def check(self) -> None:
        """Compare with the disk: messages, system flags, and that UIDs are given for ever."""
        self.settle()
        files = message_files(self.folder)
        known = {}
        if (self.folder / "courierimapuiddb").exists():
            known = uid_database(self.folder).uids
        for base, uid in known.items():
            assert self._uids.setdefault(base, uid) == uid, "a message has another UID"
        there = {known[base] for base in files if base in known}
        assert there == self.messages.keys()
        assert files.keys() - known.keys() == self.waiting.keys()
        for base, letters in files.items():
            flags = self.messages[known[base]] if base in known else self.waiting[base]
            assert set(letters) == {LETTERS[flag] for flag in flags if flag in LETTERS}, base
        newest = max(self._uids.values(), default=0)
        assert newest >= self._last
        self._last = newest


def chosen(picture: Picture, seqs: Sequence[int], *, by_uid: bool) -> str:
    """A set of messages as the client names them."""
    return number_set([picture.uid(seq) if by_uid else seq for seq in seqs])

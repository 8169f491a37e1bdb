"""POP3, two sessions of IMAP and one of SMAP on the same INBOX at once, in processes of their own.

What each client is told alone makes its picture; when all is quiet, all pictures are what the disk says.

MODEL_ROUNDS=300 in the environment makes it go on so long (`make check-long`).
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.conftest import Start
from tests.sessions.mailbox_model import LETTERS, SYSTEM, TEXT
from tests.sessions.test_model_processes import Player, _commands, _quiet
from tests.support.client import Connection
from tests.support.maildirs import deliver, message_files, uid_database
from tests.support.servers import OURS_POP3, OURS_SMAP
from tests.support.smap import Refused, SmapClient

pytestmark = pytest.mark.slow

ROUNDS = int(os.environ.get("MODEL_ROUNDS", "12"))
#: SMAP's names of IMAP's flags.
FLAGS = {
    "\\Draft": "DRAFT",
    "\\Flagged": "MARKED",
    "\\Answered": "REPLIED",
    "\\Seen": "SEEN",
    "\\Deleted": "DELETED",
}


class Pop3:
    """A POP3 client: what it saw when it came stays."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        assert connection.line().startswith(b"+OK")
        self.left = set(range(1, 1 + int(self.command("STAT").split()[1])))
        self.gone: set[int] = set()

    def command(self, line: str) -> str:
        self._connection.send(line.encode() + b"\r\n")
        return self._connection.line().decode()

    def act(self, chance: random.Random) -> None:
        """Fetch or delete a message; one that others have removed can't be fetched."""
        if not self.left:
            return
        number = chance.choice(sorted(self.left))
        if chance.random() < 0.3:
            assert self.command(f"DELE {number}").startswith("+OK")
            self.left.discard(number)
        elif self.command(f"RETR {number}").startswith("+OK"):
            while self._connection.line() != b".\r\n":
                pass
        else:
            self.gone.add(number)

    def quit(self) -> None:
        assert self.command("QUIT").startswith(("+OK", "-ERR some deleted messages not removed"))


def test_at_once(maildir: Path, start: Start) -> None:
    chance = random.Random(9051)
    for number in range(8):
        deliver(maildir, TEXT, number=number)
    delivered = 8
    players = [Player(start().client, enabled) for enabled in ("", "QRESYNC")]
    smap = _smap(start)
    smap.command('SOPEN "" INBOX')
    smap.learn()
    pop3 = Pop3(start(OURS_POP3).client.connection)

    for number in range(ROUNDS):
        awaited = [player.send(_commands(player.picture, chance)) for player in players]
        for _ in range(chance.randint(1, 6)):
            _act(smap, chance)
        pop3.act(chance)
        for _ in range(chance.randint(0, 2)):
            deliver(maildir, TEXT, number=delivered, flags=chance.choice((None, "F")))
            delivered += 1
        for receive in awaited:
            receive()
        if number % 4 == 3:
            pop3.quit()
            _quiet(maildir, players)
            _agree(maildir, smap)
            _agree_with_imap(maildir, smap, players[0])
            pop3 = Pop3(start(OURS_POP3).client.connection)
            assert len(pop3.left) == len(smap.messages)
            smap = _come_back(start, smap)
            _agree(maildir, smap)
    assert delivered > ROUNDS // 2


def _smap(start: Start) -> SmapClient:
    connection = start(OURS_SMAP).client.connection
    assert connection.line() == b"+OK SMAP1 LOGIN Ok.\n"
    return SmapClient(connection)


def _act(smap: SmapClient, chance: random.Random) -> None:
    """Do something with some message."""
    count = len(smap.messages)
    kind = chance.choice(("NOOP", "STORE", "KEYWORDS", "EXPUNGE", "COPY", "ADD", "READ", "IDLE"))
    if kind in ("NOOP", "IDLE") or (not count and kind != "ADD"):
        smap.command("NOOP")
    elif kind == "ADD":
        smap.command('ADD FOLDER INBOX "" FLAGS=SEEN')
        smap.command("ADD {9/9}", b"Subject:\n\n")
    else:
        which = chance.randint(1, count)
        flags = ",".join(chance.sample(sorted(FLAGS.values()), chance.randint(1, 3)))
        line = {
            "STORE": f"STORE {which} {chance.choice(('', '+', '-'))}FLAGS={flags}",
            "KEYWORDS": f"STORE {which} {chance.choice(('+', '-'))}KEYWORDS=work,$Label1",
            "EXPUNGE": f"EXPUNGE {which}",
            "COPY": f'COPY {which} "" INBOX',
            "READ": f"FETCH {which} CONTENTS=BODY",
        }[kind]
        smap.command(line)
    smap.learn()


def _agree(maildir: Path, smap: SmapClient) -> None:
    """SMAP's client knows what the disk has: names, and what they bear."""
    smap.command("NOOP")
    smap.learn()
    told = {
        message.uid: (message.flags or frozenset(), message.keywords or frozenset())
        for message in smap.messages
    }
    letters = {letter: FLAGS[flag] for flag, letter in LETTERS.items()}
    assert {uid: flags for uid, (flags, _) in told.items()} == {
        base: frozenset(letters[letter] for letter in found)
        for base, found in message_files(maildir).items()
    }


def _agree_with_imap(maildir: Path, smap: SmapClient, player: Player) -> None:
    """Both clients know the same keywords of the same messages, in the same order."""
    uids = uid_database(maildir).uids
    system = frozenset(SYSTEM)
    player.run(["UID FETCH 1:* (FLAGS)"])
    assert [(uids[one.uid or ""], one.keywords) for one in smap.messages] == [
        (one.uid, (one.flags or frozenset()) - system) for one in player.picture.messages
    ]


def _come_back(start: Start, known: SmapClient) -> SmapClient:
    """Open the folder anew by the snapshot that the client has, if it has one."""
    known.command("NOOP")
    known.command("NOOP")
    known.command("LOGOUT")
    assert known.snapshot
    smap = _smap(start)
    assert f'* SNAPSHOTEXISTS "{known.snapshot}"' in known.come_back(smap)
    smap.learn()
    return smap


def test_refused_command_changes_nothing(maildir: Path, start: Start) -> None:
    """The client here tells failures from success; the others' folders are as they were."""
    deliver(maildir, TEXT, number=1)
    smap = _smap(start)
    smap.command("OPEN INBOX")

    with pytest.raises(Refused, match="Syntax error"):
        smap.command("EXPUNGE 1 1")

    assert smap.command("NOOP") == []

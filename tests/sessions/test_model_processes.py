"""Sessions in processes of their own on one mailbox, with real Courier and deliveries at the same time.

What each client is told is held against the rules of `picture`; when all is quiet, against the disk.
What two do at once has no order that a model could know: see test_model for that.

MODEL_ROUNDS=300 in the environment makes it go on so long (`make check-long`).
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Start
from tests.imapd.responses import read
from tests.sessions.mailbox_model import KEYWORDS, LETTERS, SYSTEM, TEXT
from tests.sessions.picture import Flags, Picture, number_set
from tests.support.client import Client
from tests.support.courier_lock import awoken
from tests.support.maildirs import deliver, message_files, uid_database
from tests.support.servers import Implementation

pytestmark = [pytest.mark.slow, pytest.mark.courier]

ROUNDS = int(os.environ.get("MODEL_ROUNDS", "12"))
#: As NeoMutt has it.
IN_FLIGHT = 15


class Player:
    """A client of one of our processes."""

    def __init__(self, client: Client, enabled: str, known: Picture | None = None) -> None:
        self.client = client
        self.enabled = enabled
        self.picture = Picture(enabled != "", enabled == "QRESYNC")
        if enabled:
            self.run([f"ENABLE {enabled}"])
        parameter = ""
        if known is not None:
            parameter = f" (QRESYNC ({known.uidvalidity} {known.highest}))"
        self.run([f"SELECT INBOX{parameter}"])

    def send(self, commands: list[str]) -> Callable[[], None]:
        """Send commands in one go; what is returned reads what comes of them."""
        sent = [(command, self.client.send(command)) for command in commands]

        def receive() -> None:
            for command, tag in sent:
                words = command.split()
                name = " ".join(words[: 1 + (words[0] == "UID")])
                reply = self.client.reply(tag)
                assert reply.status != "BAD", (command, reply.text)
                for response in [*reply.responses, reply.completion]:
                    self.picture.take(read(response.raw)[0], name)

        return receive

    def run(self, commands: list[str]) -> None:
        self.send(commands)()


def test_at_once(courier: Implementation, maildir: Path, start: Start) -> None:
    chance = random.Random(9051)
    for number in range(5):
        deliver(maildir, TEXT, number=number)
    delivered = 5
    players = [Player(start().client, enabled) for enabled in ("", "CONDSTORE", "QRESYNC")]
    real = start(courier).client
    real.connection.patience_s = 180.0  # others are mostly quicker to take courier.lock
    real.command("SELECT INBOX")

    with awoken(maildir):
        for number in range(ROUNDS):
            awaited = [player.send(_commands(player.picture, chance)) for player in players]
            tag = real.send(_change(maildir, chance))
            for _ in range(chance.randint(0, 3)):
                deliver(maildir, TEXT, number=delivered, flags=chance.choice((None, "F")))
                delivered += 1
            for receive in awaited:
                receive()
            real.reply(tag)
            if number % 4 == 3:
                _quiet(maildir, players)
                resynchronised = players.pop()
                _resynchronise(maildir, players, resynchronised, start)
    assert delivered > ROUNDS


def _commands(picture: Picture, chance: random.Random) -> list[str]:
    """A pipeline that is valid (RFC 9051 5.5): sequence numbers first, then UIDs."""
    commands = []
    known = picture.known()
    for _ in range(chance.randint(0, 5) if known else 0):
        seqs = number_set(sorted(chance.sample(known, chance.randint(1, min(3, len(known))))))
        kind = chance.choice(("FETCH", "BODY", "STORE", "SEARCH"))
        commands.append(
            {
                "FETCH": f"FETCH {seqs} (UID FLAGS)",
                "BODY": f"FETCH {seqs} BODY[TEXT]",
                "STORE": f"STORE {seqs} {_flags(chance)}",
                "SEARCH": f"SEARCH {seqs} UNSEEN",
            }[kind]
        )
    for _ in range(chance.randint(1, IN_FLIGHT - len(commands))):
        chosen = sorted(chance.sample(known, min(2, len(known))))
        uids = number_set([picture.uid(seq) for seq in chosen]) or "1"
        kind = chance.choice(("NOOP", "FETCH", "STORE", "EXPUNGE", "COPY", "SEARCH"))
        commands.append(
            {
                "NOOP": "NOOP",
                "FETCH": f"UID FETCH {uids} (FLAGS)",
                "STORE": f"UID STORE {uids} {_flags(chance)}",
                "EXPUNGE": chance.choice(("EXPUNGE", f"UID EXPUNGE {uids}")),
                "COPY": f"UID COPY {uids} INBOX",
                "SEARCH": "UID SEARCH DELETED",
            }[kind]
        )
    return commands


def _flags(chance: random.Random) -> str:
    silent = chance.choice(("", ".SILENT"))
    flags = chance.sample((*SYSTEM, *KEYWORDS), chance.randint(1, 3))
    return f"{chance.choice('+-')}FLAGS{silent} ({' '.join(flags)})"


def _change(maildir: Path, chance: random.Random) -> str:
    """A command for real Courier."""
    uids = sorted(uid_database(maildir).uids.values())
    chosen = number_set(sorted(chance.sample(uids, min(2, len(uids)))))
    return chance.choice((f"UID STORE {chosen} {_flags(chance)}", "EXPUNGE", "NOOP"))


def _quiet(maildir: Path, players: list[Player]) -> None:
    """Nobody changes anything any more: all know the same, and the disk says it."""
    for player in players:
        player.run(["NOOP", "UID FETCH 1:* (FLAGS)"])
    for player in players:
        player.run(["NOOP"])
    truth = _truth(maildir)
    for player in players:
        system = frozenset(SYSTEM)
        seen = {m.uid: (m.flags or frozenset()) for m in player.picture.messages}
        assert {uid: flags & system for uid, flags in seen.items()} == truth
    keywords = [
        {m.uid: (m.flags or frozenset()) - system for m in player.picture.messages}
        for player in players
    ]
    assert all(other == keywords[0] for other in keywords)


def _truth(maildir: Path) -> dict[int, Flags]:
    """System flags by UID, as the disk has them."""
    flags = {letter: flag for flag, letter in LETTERS.items()}
    uids = uid_database(maildir).uids
    return {
        uids[base]: frozenset(flags[letter] for letter in letters)
        for base, letters in message_files(maildir).items()
    }


def _resynchronise(maildir: Path, players: list[Player], old: Player, start: Start) -> None:
    """A client that comes back with QRESYNC after changes of all kinds misses none of them."""
    known = {m.uid: m.flags for m in old.picture.messages}
    old.client.command("LOGOUT")
    some = sorted(uid for uid in known if uid is not None)[::3]
    other = players[0]
    if some:
        other.run([f"UID STORE {number_set(some)} +FLAGS (\\Deleted $Forwarded)"])
        other.run([f"UID EXPUNGE {number_set(some[::2])}"])
    came = Player(start().client, "QRESYNC", old.picture)
    told = {m.uid: m.flags for m in came.picture.messages if m.uid is not None}
    now = {
        uid: flags for uid, flags in {**known, **told}.items() if uid not in came.picture.earlier
    }
    other.run(["NOOP"])

    assert now == {m.uid: m.flags for m in other.picture.messages}
    players.append(came)

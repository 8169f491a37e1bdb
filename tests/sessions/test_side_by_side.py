"""Our server and real Courier on one maildir: in turns, then at once. Nothing lost, no UID twice.

SOAK_S=300 in the environment makes the second go on for so many seconds (`make check-long`).
"""

from __future__ import annotations

import itertools
import os
import random
import re
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.conftest import Start
from tests.support.client import Client, Reply
from tests.support.courier_lock import awoken
from tests.support.maildirs import deliver, message_files, uid_database
from tests.support.servers import OURS, Implementation

pytestmark = [pytest.mark.slow, pytest.mark.courier]

FLAGS = ("\\Seen", "\\Flagged", "\\Answered", "\\Draft")
KEYWORDS = ("$Forwarded", "work", "Later")
LETTERS = {"\\Seen": "S", "\\Flagged": "F", "\\Answered": "R", "\\Draft": "D", "\\Deleted": "T"}


@dataclass
class Mailbox:
    """What must be in the mailbox: flags and number of each message by UID."""

    uidvalidity: str = ""
    messages: dict[int, set[str]] = field(default_factory=dict)
    bodies: dict[int, int] = field(default_factory=dict)
    appended: int = 0


def test_fifty_rounds_in_turns(courier: Implementation, maildir: Path, start: Start) -> None:
    """At each hand-over the other server shows the same UIDs, flags, keywords and messages."""
    chance = random.Random(50)
    mailbox = Mailbox()

    for turn in range(50):
        server = start(OURS if turn % 2 else courier)
        client = server.client
        selected = client.command("SELECT INBOX")
        _agrees(client, selected, mailbox)
        for _ in range(chance.randint(1, 3)):
            _append(client, mailbox, chance)
        _change_flags(client, mailbox, chance)
        if turn % 3 == 2:
            _expunge(client, mailbox, chance)
        _agrees(client, client.command("NOOP"), mailbox)
        client.command("LOGOUT")
        server.finish()
        _agrees_on_disk(maildir, mailbox)

    assert mailbox.appended > 50
    assert len(mailbox.messages) > 10


def _append(client: Client, mailbox: Mailbox, chance: random.Random) -> None:
    mailbox.appended += 1
    flags = set(chance.sample(FLAGS + KEYWORDS, chance.randint(0, 3)))
    message = _message(mailbox.appended)
    reply = client.append("INBOX", message, f"({' '.join(sorted(flags))})")
    uidvalidity, uid = _code(reply, "APPENDUID").split()
    mailbox.uidvalidity = mailbox.uidvalidity or uidvalidity
    assert uidvalidity == mailbox.uidvalidity
    assert int(uid) > max(mailbox.messages, default=0), "a UID came back"
    mailbox.messages[int(uid)] = flags
    mailbox.bodies[int(uid)] = mailbox.appended
    client.command("NOOP")


def _change_flags(client: Client, mailbox: Mailbox, chance: random.Random) -> None:
    for uid in chance.sample(sorted(mailbox.messages), min(4, len(mailbox.messages))):
        flags = set(chance.sample(FLAGS + KEYWORDS, chance.randint(0, 3)))
        match chance.choice("+-="):
            case "+":
                client.command(f"UID STORE {uid} +FLAGS.SILENT ({' '.join(flags)})")
                mailbox.messages[uid] |= flags
            case "-":
                client.command(f"UID STORE {uid} -FLAGS ({' '.join(flags)})")
                mailbox.messages[uid] -= flags
            case _:
                client.command(f"UID STORE {uid} FLAGS ({' '.join(flags)})")
                mailbox.messages[uid] = flags


def _expunge(client: Client, mailbox: Mailbox, chance: random.Random) -> None:
    gone = chance.sample(sorted(mailbox.messages), len(mailbox.messages) // 4)
    if gone:
        client.command(f"UID STORE {','.join(map(str, gone))} +FLAGS.SILENT (\\Deleted)")
        reply = client.command("EXPUNGE")
        assert len(reply.numbered("EXPUNGE")) == len(gone)
        for uid in gone:
            del mailbox.messages[uid], mailbox.bodies[uid]


def _agrees(client: Client, selected: Reply, mailbox: Mailbox) -> None:
    uidvalidity = selected.code("UIDVALIDITY")
    if uidvalidity and mailbox.uidvalidity:
        assert uidvalidity == mailbox.uidvalidity
    assert _seen_by(client) == mailbox.messages
    for uid in list(mailbox.messages)[-3:]:
        fetched = client.fetch(str(uid), "(BODY.PEEK[])", uid=True)
        assert [item["BODY[]"] for item in fetched.values()] == [_message(mailbox.bodies[uid])]


def _seen_by(client: Client) -> dict[int, set[str]]:
    """Flags, without \\Recent, by UID, as this session shows them."""
    if not client.search("ALL"):
        return {}
    seen = {}
    for item in client.fetch("1:*", "(UID FLAGS)").values():
        uid, flags = item["UID"], item["FLAGS"]
        assert isinstance(uid, int) and isinstance(flags, list)
        names = {flag.decode() for flag in flags if isinstance(flag, bytes)}
        seen[uid] = names - {"\\Recent"}
    return seen


def _agrees_on_disk(maildir: Path, mailbox: Mailbox) -> None:
    database = uid_database(maildir)
    files = message_files(maildir)
    assert str(database.uidvalidity) == mailbox.uidvalidity
    assert set(files) == set(database.uids)
    assert set(database.uids.values()) == set(mailbox.messages)
    for base, uid in database.uids.items():
        letters = {LETTERS[flag] for flag in mailbox.messages[uid] if flag in LETTERS}
        assert set(files[base]) == letters
    assert not (maildir / "tmp" / "courier.lock").exists()


def _message(number: int) -> bytes:
    return (
        b"From: side@example.com\r\nSubject: message %d\r\nMessage-ID: <s%d@example.com>\r\n\r\n"
        b"This is message %d.\r\n" % (number, number, number)
    )


def _code(reply: Reply, name: str) -> str:
    value = reply.code(name)
    assert value, reply
    return value


WORKERS = 4
EACH = 25
SOAK_S = float(os.environ.get("SOAK_S", "0"))
#: Messages that a worker leaves in the mailbox at most.
KEPT = 40
#: The first number of a message that comes by delivery, whose UID nobody is told.
DELIVERED = 1_000_000_000
DELIVERED_KEPT = 100


def test_both_at_once(courier: Implementation, maildir: Path, start: Start) -> None:
    """Two sessions of each server append, flag and expunge their own messages, and mail comes in."""
    servers = [start(OURS if number % 2 else courier) for number in range(WORKERS)]
    watchers = [start(OURS), start(courier)]
    for server in [*servers, *watchers]:
        # When Courier is told that courier.lock is free, others have mostly been quicker.
        server.client.connection.patience_s = 180.0
        server.client.command("SELECT INBOX")

    with awoken(maildir), ThreadPoolExecutor(WORKERS + len(watchers) + 1) as pool:
        is_over = threading.Event()
        delivering = pool.submit(_deliver, maildir, is_over)
        working = [
            pool.submit(_work, server.client, number) for number, server in enumerate(servers)
        ]
        watching = [pool.submit(_watch, server.client, working) for server in watchers]
        try:
            results = [future.result(SOAK_S + 120) for future in working]
        finally:
            is_over.set()
        delivered = delivering.result(120)
        for future in watching:
            future.result(120)

    given = [uid for result in results for uid in result.given]
    assert len(given) == len(set(given)) >= WORKERS * EACH, "a UID was given twice"
    expected = {uid: flags for result in results for uid, flags in result.kept.items()}
    pictures = []
    for implementation in (OURS, courier, OURS):
        client = start(implementation).client
        client.command("SELECT INBOX")
        seen = _seen_by(client)
        numbers = _numbers(client)
        came = {uid: number for uid, number in numbers.items() if number >= DELIVERED}
        assert sorted(came.values()) == delivered
        assert not came.keys() & set(given), "a UID was given twice"
        assert {uid: flags for uid, flags in seen.items() if uid not in came} == expected
        assert numbers == came | {uid: _number_of(uid, results) for uid in expected}
        pictures.append((seen, numbers))
    assert pictures[0] == pictures[1] == pictures[2]
    assert set(uid_database(maildir).uids.values()) == set(pictures[0][0])
    assert set(message_files(maildir)) == set(uid_database(maildir).uids)


def _numbers(client: Client) -> dict[int, int]:
    """Read of each message, by UID, the number in its subject."""
    found = {}
    for item in client.fetch("1:*", "(UID BODY.PEEK[HEADER.FIELDS (SUBJECT)])").values():
        uid, header = item["UID"], item['BODY[HEADER.FIELDS ("SUBJECT")]']
        assert isinstance(uid, int) and isinstance(header, bytes)
        number = re.match(rb"Subject: message (\d+)\r\n", header)
        assert number, header
        found[uid] = int(number[1])
    return found


def _deliver(maildir: Path, is_over: threading.Event) -> list[int]:
    """Deliver mail all the while, some hundred messages; return their numbers."""
    numbers = []
    every_s = max(SOAK_S / DELIVERED_KEPT, 0.02)
    while not is_over.wait(every_s) and len(numbers) < DELIVERED_KEPT:
        number = DELIVERED + len(numbers)
        deliver(maildir, _message(number).replace(b"\r\n", b"\n"), number=number)
        numbers.append(number)
    return numbers


@dataclass
class Result:
    """What one worker was told, and what must be left of it."""

    given: dict[int, int] = field(default_factory=dict)
    kept: dict[int, set[str]] = field(default_factory=dict)


def _number_of(uid: int, results: list[Result]) -> int:
    return next(result.given[uid] for result in results if uid in result.given)


def _work(client: Client, worker: int) -> Result:
    chance = random.Random(worker)
    result = Result()
    until = time.monotonic() + SOAK_S
    for count in itertools.count():
        if count >= EACH and time.monotonic() > until:
            break
        number = worker * 1_000_000 + count
        uid = int(_code(client.append("INBOX", _message(number)), "APPENDUID").split()[1])
        result.given[uid] = number
        client.command("NOOP")
        flags = set(chance.sample(FLAGS + KEYWORDS, 2))
        client.command(f"UID STORE {uid} +FLAGS.SILENT ({' '.join(flags)})")
        result.kept[uid] = flags
        if count % 5 == 4 or len(result.kept) > KEPT:
            gone = chance.choice(sorted(result.kept))
            client.command(f"UID STORE {gone} +FLAGS.SILENT (\\Deleted)")
            client.command(f"UID EXPUNGE {gone}")
            del result.kept[gone]
    return result


def _watch(client: Client, working: list[Future[Result]]) -> None:
    """Look on all the while; UIDs never change places."""
    while not all(future.done() for future in working):
        client.command("NOOP")
        uids = list(_seen_by(client))
        assert uids == sorted(uids)

"""Commands by chance, whole and damaged: each is answered, nothing breaks, and the folder stays what it is.

FUZZ_ROUNDS=100 in the environment makes it go on so long (`make check-long`).
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.imapd.smap.conftest import Drive, Fill
from tests.imapd.smap.driver import DrivenSmap
from tests.support import messages
from tests.support.maildirs import deliver, make_folder, message_files

pytestmark = pytest.mark.slow

ROUNDS = int(os.environ.get("FUZZ_ROUNDS", "3"))
COMMANDS_OF_ONE_ROUND = 300

SETS = ["1", "1-2", "1 3", "2-9", "1-99999999999", "3-1", "1-", "0", "", "x"]
PATHS = [
    "INBOX",
    'INBOX "a b"',
    "INBOX Work",
    "public",
    "public x",
    'INBOX ".."',
    "",
    "INBOX \xff",
    "nowhere",
]
ITEMS = [
    *("FLAGS", "UID", "KEYWORDS", "SIZE", "INTERNALDATE", "NONSENSE"),
    *(
        f"CONTENTS{peek}={kind}{id}{names}"
        for peek in ("", ".PEEK")
        for kind in ("HEADERS", "RAWHEADERS", "MIME", "BODY", "ALL", "BODY.DECODED", "x")
        for id, names in (("", ""), ("[1.1]", "(:MIME)"), ("[1.2.0.1]", "(,,SUBJECT"), ("[9", ""))
    ),
]
SETTINGS = [
    *("FLAGS=SEEN,DELETED", "+FLAGS=MARKED", "-FLAGS=SEEN,x", "FLAGS=", "KEYWORDS=a,b c,\x01"),
    *("+KEYWORDS=$Label1", "-KEYWORDS=a", "INTERNALDATE=Mon, 20 Jan 2025 18:43:09 -0500"),
    *("INTERNALDATE=x", "x", "=", "+"),
]
CRITERIA = [
    *("SEEN", "NOT DELETED", "SUBJECT a", 'TEXT ""', "BODY \xff", "HEADER x", "KEYWORD a"),
    *("ON 01-Jan-2025", "SENTSINCE x", "LARGER 10", "SMALLER 99999999999999999999", "x", ""),
]
RIGHTS = ["owner lr", "user=x +lrs", "-owner a", "anyone", "x y z", '"a b" l', "owner aceilrstwx"]


def command(chance: random.Random) -> bytes:
    """Make one that is mostly right."""
    some, path, to = chance.choice(SETS), chance.choice(PATHS), chance.choice(PATHS)
    line = chance.choice(
        [
            f"LIST {path}",
            f"STATUS FULL {path}",
            f"CREATE {path} {chance.choice(('a', 'Work', '.', chr(0)))}",
            f"MKDIR {path}",
            f"RMDIR {path}",
            f"DELETE {path}",
            f'RENAME {path} "" {to}',
            f"ACL {path}",
            f"GETACL {path}",
            f'SETACL {path} "" {chance.choice(RIGHTS)}',
            f'DELETEACL {path} "" {chance.choice(RIGHTS)}',
            "OPEN INBOX",
            f"OPEN {path}",
            'SOPEN "" INBOX',
            f"SOPEN {chance.choice(('x', '../x', chr(10)))} INBOX",
            "NOOP",
            "NOOP",
            f"FETCH {some} {' '.join(chance.sample(ITEMS, 3))}",
            f"FETCH 1-9 {' '.join(chance.sample(ITEMS, 2))}",
            f'STORE {some} "{chance.choice(SETTINGS)}" "{chance.choice(SETTINGS)}"',
            f'STORE 1-9 "{chance.choice(SETTINGS)}"',
            f"EXPUNGE {some}",
            f'COPY {some} "" {path}',
            f'MOVE {some} "" {path}',
            f"SEARCH {chance.choice(('ALL', 'MARKED', '1-3,5', '1-', 'x'))} {chance.choice(CRITERIA)}",
            "IDLE\nRESUME",
            "IDLE\nNOOP",
            f'ADD FOLDER {path} "" "{chance.choice(SETTINGS)}"',
            'ADD FOLDER INBOX ""\nADD {.9}\nSubject: x\n\n..\n.',
            'ADD FOLDER INBOX "" {5/9}\na: b\n4\n\ncd\n',
            "ADD NOTIFY=x RCPTTO=-x MAILFROM=",
            "RSET",
            "CLOSE",
            "",
        ]
    )
    data = bytearray(line.encode("latin-1", "replace"))
    if chance.random() < 0.2 and data and b"{" not in data:
        for _ in range(chance.randint(1, 4)):
            place = chance.randrange(len(data) + 1)
            data[place : place + chance.randint(0, 2)] = bytes(
                chance.choice(b'"\\ \t\r\0-=,([{.\xff19aF') for _ in range(chance.randint(0, 3))
            )
    return bytes(data) + b"\n"


def check(said: bytes, sent: bytes) -> None:
    """Each command has one status, but for IDLE, which has two."""
    if b"CONTENTS" in sent or b"{" in sent or b"ADD" in sent.upper():
        return  # what stands in messages may look like one
    statuses = [line for line in said.split(b"\n") if line.startswith((b"+OK", b"-ERR"))]
    lines = sent.count(b"\n")
    assert len(statuses) in (lines, lines + sent.upper().count(b"IDLE")), (sent, said)


@pytest.mark.parametrize("round", range(ROUNDS))
def test_by_chance(drive: Drive, fill: Fill, maildir: Path, round: int) -> None:
    chance = random.Random(round)
    for number, (_, message) in enumerate(sorted(messages.CATALOGUE.items()), 100):
        deliver(maildir, message, number=number, flags=chance.choice((None, "S", "FT")))
    make_folder(maildir, "INBOX.Work")
    sessions: list[DrivenSmap] = [drive(SENDMAIL="/bin/true"), drive(SENDMAIL="/bin/true")]

    for _ in range(COMMANDS_OF_ONE_ROUND):
        at = chance.randrange(2)
        sent = command(chance)
        check(sessions[at].send(sent), sent)
        if sessions[at].ended:
            sessions[at] = drive(SENDMAIL="/bin/true")
        if chance.random() < 0.05:
            fill(1, chance.choice((None, "F")))

    # Whatever was done: a session that comes now sees what is there.
    session = drive()
    count = len(message_files(maildir))
    session.send(b'SETACL INBOX "" owner aceilrstwx\n')
    assert session.ask("OPEN INBOX")[0] == f"* EXISTS {count}"
    assert len(session.ask(f"FETCH 1-{max(count, 1)} UID")) == count + 1

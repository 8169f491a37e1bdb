"""Our server and real Courier keep one maildirsize, both being open: it says what there is at all times."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.conftest import Start
from tests.support.client import Client
from tests.support.maildirs import make_folder, message_files
from tests.support.servers import OURS, Implementation

pytestmark = [pytest.mark.slow, pytest.mark.courier]

FOLDERS = ("INBOX", "INBOX.a", "INBOX.Trash")


def used(maildir: Path) -> tuple[int, int]:
    """What maildirsize says."""
    lines = (maildir / "maildirsize").read_bytes().splitlines()[1:]
    pairs = [line.split() for line in lines]
    return sum(int(pair[0]) for pair in pairs), sum(int(pair[1]) for pair in pairs)


def there(maildir: Path) -> tuple[int, int]:
    """What counts, by the files."""
    octets = messages = 0
    for folder in (maildir, maildir / ".a"):
        for name, flags in message_files(folder).items():
            if "T" not in flags:
                octets += int(name.rpartition(",S=")[2])
                messages += 1
    return octets, messages


def test_quota_in_turns(courier: Implementation, maildir: Path, start: Start) -> None:
    """Whoever did what: the sum of the lines is the sum of the messages."""
    chance = random.Random(7)
    for name in FOLDERS[1:]:
        make_folder(maildir, name)
    (maildir / "maildirsize").write_bytes(b"1000000S,1000C\n           0            0\n")
    clients = [start(one).client for one in (OURS, courier)]
    for client in clients:
        client.command("SELECT INBOX")
    commands = 0
    for turn in range(120):
        client = clients[turn % 2]
        client.command("NOOP")
        commands += _act(client, chance, is_ours=turn % 2 == 0)
        assert used(maildir) == there(maildir), turn
    assert commands > 100
    assert there(maildir)[1] > 10
    for client in clients:
        told = client.command("GETQUOTA ROOT").lines
        octets, messages = there(maildir)
        assert f"(STORAGE {-(-octets // 1024)} 977 MESSAGE {messages} 1000)" in str(told)


def _act(client: Client, chance: random.Random, *, is_ours: bool) -> bool:
    body = b"Subject: x\r\n\r\n" + b"x" * chance.randint(1, 3000) + b"\r\n"
    match chance.randint(0, 6):
        case 0 | 1:
            flags = chance.choice(["()", "(\\Seen)", "(\\Deleted)"])
            client.append(chance.choice(FOLDERS), body, flags)
        case 2:
            client.command(f"UID COPY {_some(chance)} {chance.choice(FOLDERS)}")
        case 3:
            client.command(f"UID STORE {_some(chance)} +FLAGS.SILENT (\\Deleted \\Seen)")
        case 4:
            client.command(f"UID STORE {_some(chance)} -FLAGS.SILENT (\\Deleted)")
        case 5:
            client.command("EXPUNGE")
        case 6:
            if not is_ours:
                return False
            client.command(f"UID MOVE {_some(chance)} {chance.choice(FOLDERS[1:])}")
    return True


def _some(chance: random.Random) -> str:
    first = chance.randint(1, 60)
    return f"{first}:{first + chance.randint(0, 12)}"

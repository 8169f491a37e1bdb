"""mbsync (isync) through its Tunnel."""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.clients.conftest import Run
from tests.conftest import Start
from tests.support.maildirs import deliver, make_folder, make_maildir, uid_database
from tests.support.messages import CATALOGUE, generate

# mbsync refuses to copy a message whose header has no end.
MESSAGES = [message for name, message in CATALOGUE.items() if name != "header-only"]

pytestmark = [pytest.mark.slow, pytest.mark.client]

COUNT = 2000
FLAGS = ("", "S", "FS", "RS", "F", "DS")


@dataclass(frozen=True)
class Copy:
    """One message as it lies in a maildir."""

    content: bytes
    flags: str
    date: int


def configuration(home: Path, tunnel: str, near: Path) -> str:
    """Write an mbsync configuration that synchronises ``near`` with the server."""
    name = home / f"{near.name}.mbsyncrc"
    name.write_text(
        f"""
FSync no

IMAPStore far
Tunnel {tunnel}
PathDelimiter .

MaildirStore near
Path {near}/
Inbox {near}/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns INBOX INBOX.*
Create Both
Expunge Both
CopyArrivalDate yes
SyncState {home}/{near.name}.state/
"""
    )
    (home / f"{near.name}.state").mkdir()
    return str(name)


def copies(folder: Path) -> list[Copy]:
    """All messages of a folder, comparable: without the header mbsync adds and mbsync's file names."""
    found = []
    for part in ("cur", "new"):
        for path in (folder / part).iterdir():
            content = re.sub(rb"^X-TUID: .*\n", b"", path.read_bytes(), flags=re.MULTILINE)
            flags = path.name.partition(":2,")[2]
            found.append(Copy(content, flags, int(path.stat().st_mtime)))
    return sorted(found, key=lambda copy: (copy.date, copy.content))


def test_two_thousand_messages_up_and_down(
    tmp_path: Path, maildir: Path, tunnel: str, run: Run
) -> None:
    """A maildir copied to our server and from there to another is the same: texts, flags, dates."""
    near = make_maildir(tmp_path / "near" / "INBOX")
    for number, message in enumerate(generate(COUNT, mean_size=2500)):
        flags = FLAGS[number % len(FLAGS)]
        deliver(near, message, number=number, flags=flags, date=1_500_000_000 + 60 * number)
    (tmp_path / "back").mkdir()

    run("mbsync", "-c", configuration(tmp_path, tunnel, tmp_path / "near"), "-a")
    up = copies(maildir)
    run("mbsync", "-c", configuration(tmp_path, tunnel, tmp_path / "back"), "-a")
    down = copies(tmp_path / "back" / "INBOX")

    original = copies(near)
    assert len(original) == COUNT
    assert up == original
    assert down == original
    assert len(uid_database(maildir).uids) == COUNT


def test_changes_both_ways(
    tmp_path: Path, maildir: Path, tunnel: str, run: Run, start: Start
) -> None:
    """Folders, flags and expunges travel in both directions."""
    for number, message in enumerate(MESSAGES):
        deliver(maildir, message, number=number, flags="")
    make_folder(maildir, "INBOX.café und Brot")
    deliver(maildir / ".café und Brot", CATALOGUE["plain"], number=1, flags="S")
    (tmp_path / "near").mkdir()
    settings = configuration(tmp_path, tunnel, tmp_path / "near")

    run("mbsync", "-c", settings, "-a")
    near = tmp_path / "near" / "INBOX"
    assert len(copies(near)) == len(MESSAGES)
    client = start().client
    client.command("SELECT INBOX")
    client.command("STORE 1 +FLAGS.SILENT (\\Flagged)")
    client.command("STORE 2 +FLAGS.SILENT (\\Deleted)")
    client.command("EXPUNGE")
    victim = max((near / "new").iterdir(), key=lambda path: path.stat().st_size)
    victim.rename(near / "cur" / (victim.name.partition(":2,")[0] + ":2,ST"))
    run("mbsync", "-c", settings, "-a")

    assert len(copies(near)) == len(MESSAGES) - 2
    assert len(copies(maildir)) == len(MESSAGES) - 2
    assert [copy.flags for copy in copies(near)] == [copy.flags for copy in copies(maildir)]
    assert sum("F" in copy.flags for copy in copies(near)) == 1


#: Messages that both sides begin with, together; `make check-long` takes 10,000.
TWO_WAYS = int(os.environ.get("SYNC_MESSAGES", "1000"))


def test_two_ways_at_once(tmp_path: Path, maildir: Path, tunnel: str, run: Run) -> None:
    """Both sides have mail of their own, flag, remove and add; each ends with the same as the other."""
    near = make_maildir(tmp_path / "near" / "INBOX")
    for number, message in enumerate(generate(TWO_WAYS, mean_size=1500)):
        side = near if number % 2 else maildir
        deliver(side, message, number=number, flags="", date=1_500_000_000 + number)
    settings = configuration(tmp_path, tunnel, tmp_path / "near")
    run("mbsync", "-c", settings, "-a", timeout_s=900)
    assert len(copies(near)) == len(copies(maildir)) == TWO_WAYS

    for side, flag in ((near, "F"), (maildir, "R")):
        files = [*(side / "cur").iterdir(), *(side / "new").iterdir()]
        files.sort(key=lambda path: path.stat().st_mtime)
        offset = 0 if side == near else 1
        for path in files[offset::20]:
            name = path.name.partition(":2,")[0]
            path.rename(side / "cur" / f"{name}:2,{flag}")
        for path in files[10 + offset :: 20]:
            name = path.name.partition(":2,")[0]
            path.rename(side / "cur" / f"{name}:2,ST") if side == near else path.unlink()
        for extra in range(50):
            number = TWO_WAYS + 100 * offset + extra
            text = b"Subject: added %d\n\nx\n" % number
            deliver(side, text, number=number, flags="S", date=1_600_000_000 + number)
    run("mbsync", "-c", settings, "-a", timeout_s=900)

    both = copies(maildir)
    assert copies(near) == both
    assert len(both) == TWO_WAYS - 2 * (TWO_WAYS // 20) + 100
    assert Counter(copy.flags for copy in both) == {
        "": TWO_WAYS - 4 * (TWO_WAYS // 20),
        "F": TWO_WAYS // 20,
        "R": TWO_WAYS // 20,
        "S": 100,
    }

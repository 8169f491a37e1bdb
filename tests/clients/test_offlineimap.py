"""OfflineIMAP through its preauthtunnel."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.clients.conftest import Run
from tests.support.maildirs import deliver, make_folder, make_maildir, message_files
from tests.support.messages import REALISTIC

pytestmark = [pytest.mark.slow, pytest.mark.client]


def test_synchronising_twice(tmp_path: Path, maildir: Path, tunnel: str, run: Run) -> None:
    """Messages come down with their flags; what is added and changed locally goes up."""
    for number, message in enumerate(REALISTIC.values()):
        deliver(maildir, message, number=number, flags="S" if number % 2 else "")
    make_folder(maildir, "INBOX.Archive")
    deliver(maildir / ".Archive", REALISTIC["plain"], number=99, flags="FS")
    settings = tmp_path / "offlineimaprc"
    settings.write_text(
        f"""
[general]
accounts = demo
metadata = {tmp_path}/metadata
maxsyncaccounts = 1

[Account demo]
localrepository = local
remoterepository = remote

[Repository local]
type = Maildir
localfolders = {tmp_path}/local

[Repository remote]
type = IMAP
preauthtunnel = {tunnel}
maxconnections = 1
"""
    )
    command = ("offlineimap", "-o", "-u", "basic", "-c", str(settings))

    run(*command)
    local = tmp_path / "local" / "INBOX"
    down = message_files(local)
    assert sorted(down.values()) == ["", "", "S", "S"]
    assert list(message_files(tmp_path / "local" / "INBOX.Archive").values()) == ["FS"]

    (local / "new" / "1700001000.M1P1.local").write_bytes(REALISTIC["multipart"])
    next(path for path in (local / "cur").iterdir() if path.name.endswith(":2,S")).unlink()
    flagged = next(path for path in (local / "cur").iterdir() if path.name.endswith(":2,S"))
    flagged.rename(flagged.with_name(flagged.name.removesuffix("S") + "FS"))
    run(*command)

    assert sorted(message_files(maildir).values()) == ["", "", "", "FS"]


#: Messages that both sides begin with, together; `make check-long` takes 10,000.
TWO_WAYS = int(os.environ.get("SYNC_MESSAGES", "300"))


def test_two_ways_at_once(tmp_path: Path, maildir: Path, tunnel: str, run: Run) -> None:
    """Both sides have mail of their own, flag, remove and add; each ends with the same as the other."""
    local = tmp_path / "local" / "INBOX"
    make_maildir(local)
    for number in range(TWO_WAYS):
        side = local if number % 2 else maildir
        name = f"{1_700_000_000 + number}.M1P1.test:2,"  # OfflineIMAP reads times in names
        (side / "cur" / name).write_bytes(b"Subject: number %d\n\nbody\n" % number)
    settings = tmp_path / "offlineimaprc"
    settings.write_text(
        f"""
[general]
accounts = demo
metadata = {tmp_path}/metadata
maxsyncaccounts = 1
fsync = no

[Account demo]
localrepository = local
remoterepository = remote

[Repository local]
type = Maildir
localfolders = {tmp_path}/local

[Repository remote]
type = IMAP
preauthtunnel = {tunnel}
maxconnections = 1
"""
    )
    command = ("offlineimap", "-o", "-u", "basic", "-c", str(settings))
    run(*command, timeout_s=1800)
    assert len(subjects(local)) == len(subjects(maildir)) == TWO_WAYS

    for side, flag in ((local, "F"), (maildir, "R")):
        found = subjects(side)
        offset = 0 if side == local else 1
        for number in range(offset, TWO_WAYS, 20):
            path = found[f"number {number}"]
            path.rename(side / "cur" / f"{path.name.partition(':')[0]}:2,{flag}")
        for number in range(10 + offset, TWO_WAYS, 20):
            found[f"number {number}"].unlink()
        for extra in range(20):
            name = f"{1_710_000_000 + 100 * offset + extra}.M1P1.test:2,S"
            text = b"Subject: added %d %d\n\nx\n" % (offset, extra)
            (side / "cur" / name).write_bytes(text)
    run(*command, timeout_s=1800)

    both = {text: path.name.partition(":2,")[2] for text, path in subjects(maildir).items()}
    assert {text: path.name.partition(":2,")[2] for text, path in subjects(local).items()} == both
    assert len(both) == TWO_WAYS - 2 * (TWO_WAYS // 20) + 40
    assert [both[f"number {number}"] for number in (0, 1, 2)] == ["F", "R", ""]
    assert "number 10" not in both and "number 11" not in both
    assert both["added 0 0"] == both["added 1 0"] == "S"


def subjects(folder: Path) -> dict[str, Path]:
    """The message files of a folder by their subjects, which are all different."""
    found = {}
    for part in ("cur", "new"):
        for path in (folder / part).iterdir():
            lines = path.read_text().split("\n")
            (subject,) = (line[9:] for line in lines if line.startswith("Subject: "))
            assert subject not in found
            found[subject] = path
    return found

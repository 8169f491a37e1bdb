"""OfflineIMAP through its preauthtunnel."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.conftest import Run
from tests.support.maildirs import deliver, make_folder, message_files
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

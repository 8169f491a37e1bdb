"""IMAP_LOG_DELETIONS: the lines of our server and of real Courier."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import Start
from tests.support.maildirs import deliver, make_folder
from tests.support.servers import Implementation

pytestmark = [pytest.mark.slow]


@pytest.mark.parametrize("mailbox", ["INBOX", "INBOX.a"])
def test_lines(maildir: Path, start: Start, implementation: Implementation, mailbox: str) -> None:
    """Paths begin at the maildir; what goes to the trash is named there before it is gone."""
    folder = maildir if mailbox == "INBOX" else make_folder(maildir, mailbox)
    deliver(folder, b"x\n", number=1, flags="ST")
    deliver(folder, b"x\n", number=2, flags="T")
    settings = {"IMAP_LOG_DELETIONS": "1", "IMAP_MOVE_EXPUNGE_TO_TRASH": "1"}
    server = start(implementation, settings)
    server.client.command(f"SELECT {mailbox}")
    server.client.command("EXPUNGE")
    server.finish()

    lines = [line for line in server.log.splitlines() if "EXPUNGED" in line]
    top = r"\./" if mailbox == "INBOX" else r"\./\.a/"
    patterns = []
    for number, flags in ((1, "S"), (2, "")):
        who = r"INFO: EXPUNGED, user=\S+, ip=\[127\.0\.0\.1\], port=\[0\], "
        old = rf"old_name={top}cur/170000000{number}\.M{number}P1\.test,S=2:2,{flags}T"
        new = rf"new_name=\.Trash/cur/\S+,S=2:2,{flags}: only new_name will be left"
        patterns += [f"{who}{old}, {new}", f"{who}{old}"]
    assert len(lines) == len(patterns)
    for line, pattern in zip(lines, patterns, strict=True):
        assert re.fullmatch(pattern, line), line

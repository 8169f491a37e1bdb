"""Mutt, which compresses its connection if it is told to (RFC 4978)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.conftest import Run
from tests.support.maildirs import deliver, make_folder, message_files
from tests.support.messages import CATALOGUE

pytestmark = [pytest.mark.slow, pytest.mark.client]


def test_compressed(maildir: Path, tmp_path: Path, tunnel: str, run_in_terminal: Run) -> None:
    """Opening every message, flagging, copying and expunging, all of it deflated."""
    for number, message in enumerate(CATALOGUE.values()):
        deliver(maildir, message, number=number)
    make_folder(maildir, "INBOX.Copies")
    settings = tmp_path / "muttrc"
    settings.write_text(
        f"""
set tunnel = "{tunnel}"
set tunnel_is_secure = yes
set folder = imap://demo@localhost/
set spoolfile = imap://demo@localhost/INBOX
set imap_deflate = yes
set copy = no
set quit = yes
set delete = yes
set confirmappend = no
set wait_key = no
set beep = no
set sort = mailbox-order
"""
    )
    keys = (
        "push '<first-entry><display-message>"
        + "<next-entry>" * (len(CATALOGUE) - 1)
        + "<exit><first-entry><flag-message><first-entry><copy-message>=INBOX.Copies<enter>"
        + "<last-entry><delete-message><sync-mailbox><quit>'"
    )

    run_in_terminal("mutt", "-F", str(settings), "-d", "2", "-e", keys)

    conversation = (tmp_path / ".muttdebug0").read_text(errors="replace")
    assert "COMPRESS DEFLATE" in conversation and "OK DEFLATE active" in conversation
    files = message_files(maildir)
    assert len(files) == len(CATALOGUE) - 1
    assert all("S" in flags for flags in files.values())
    assert [flags for flags in files.values() if "F" in flags] == ["FS"]
    (copied,) = (maildir / ".Copies" / "cur").iterdir()
    assert copied.read_bytes() == CATALOGUE["plain"]

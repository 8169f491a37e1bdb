"""MESSAGELIMIT through the daemons: a client that heeds it copies a large mailbox part by part (RFC 9738)."""

from __future__ import annotations

import os
import re

from tests.support.daemon import Site, give, own_ids
from tests.support.maildirs import message_files

MESSAGES = 2_500


def test_part_by_part(site: Site) -> None:
    """Announced in the greeting; what was left out of one command is had by the next, below the UID it told."""
    maildir = site.homes / "u@example.com/Maildir"
    first = maildir / "cur/1.M0P1.test:2,S"
    first.write_bytes(b"Subject: x\n\nx\n")
    for number in range(1, MESSAGES):
        os.link(first, maildir / f"cur/1.M{number}P1.test:2,S")
    give(maildir, *own_ids())
    daemon = site.start(IMAP_MESSAGELIMIT="1000")

    with daemon.session() as client:
        assert b" MESSAGELIMIT=1000 " in b"".join(client.command("CAPABILITY"))
        client.command("CREATE INBOX.all")
        client.command("SELECT INBOX")
        assert b" NO [MESSAGELIMIT 1000 1501] " in client.command("UID COPY 1:* INBOX.all")[-1]
        sizes = []
        below = "*"
        while below:
            *responses, completion = client.command(f"UID FETCH 1:{below} FLAGS")
            uids = re.findall(rb"\(UID (\d+) ", b"".join(responses))
            sizes.append(len(uids))
            copied = client.command(f"UID COPY {uids[-1].decode()}:{uids[0].decode()} INBOX.all")
            assert b" OK [COPYUID " in copied[-1]
            told = re.search(rb" OK \[MESSAGELIMIT 1000 (\d+)\] ", completion)
            below = str(int(told[1]) - 1) if told else ""

    assert sizes == [1000, 1000, 500]
    assert len(message_files(maildir / ".all")) == MESSAGES

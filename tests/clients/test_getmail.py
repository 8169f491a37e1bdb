"""getmail over IMAP: the mail stays on a server that is real Courier first and then ours, or the reverse."""

from __future__ import annotations

import imaplib
import os
import re
from pathlib import Path

import pytest

from tests.clients.conftest import Run
from tests.clients.getmail import getmail
from tests.support.courier_server import CourierServer
from tests.support.daemon import Site, give
from tests.support.fake_authdaemond import own_ids
from tests.support.maildirs import deliver, make_folder

pytestmark = [pytest.mark.slow, pytest.mark.client, pytest.mark.courier, pytest.mark.root]

USERID, PASSWORD = "u@example.com", "pw"
COUNT = 30


def fetch(run: Run, home: Path, port: int) -> list[str]:
    """Fetch what is new in two mailboxes; give the subjects.

    getmail reads by EXAMINE, in which Courier gives UIDs that it forgets to what no mail program has selected yet.
    So one does.
    """
    with imaplib.IMAP4("127.0.0.1", port, 30) as program:
        program.login(USERID, PASSWORD)
        for name in ("INBOX", "INBOX.Lists"):
            program.select(name)
    retriever = 'type = SimpleIMAPRetriever\nmailboxes = ("INBOX", "INBOX.Lists")'
    messages = getmail(run, home, port, retriever, USERID, PASSWORD)
    return sorted(re.findall(r"^Subject: (.*)$", b"".join(messages).decode(), re.MULTILINE))


@pytest.mark.parametrize("first", ["courier", "ours"])
def test_mail_that_is_left_on_a_server_that_becomes_another(
    site: Site, run: Run, first: str
) -> None:
    """UIDVALIDITY and UIDs stay: nothing is fetched again."""
    courier = CourierServer(site)
    try:
        maildir = courier.add_account(USERID, PASSWORD)
        lists = make_folder(maildir, "INBOX.Lists")
        give(lists, *own_ids())

        def add(folder: Path, number: int) -> None:
            base = deliver(folder, b"Subject: %d\n\nbody\n" % number, number=number)
            os.chown(folder / "new" / base, *own_ids())

        for number in range(COUNT):
            add(lists if number % 3 else maildir, 100 + number)
        home = site.path / "client"
        home.mkdir(mode=0o755)
        # Without locks, for which Courier would look for gamin's server in vain, seconds each time.
        theirs = courier.start("imapd", IMAP_USELOCKS="0")
        ports = {"ours": site.start().port, "courier": theirs}
        second = "ours" if first == "courier" else "courier"

        assert len(fetch(run, home, ports[first])) == COUNT
        for number, name in enumerate((second, first, second)):
            add(maildir, 200 + number)
            add(lists, 300 + number)
            assert fetch(run, home, ports[name]) == [str(200 + number), str(300 + number)]
    finally:
        courier.close()

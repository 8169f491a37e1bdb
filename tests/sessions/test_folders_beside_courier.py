"""A session of ours that has listed all folders is told what real Courier does to them afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Start
from tests.imapd.commands.test_list_kept import answers
from tests.imapd.conftest import logged
from tests.imapd.driver import Driven
from tests.support.clock import wait_for_tick
from tests.support.maildirs import deliver, make_folder
from tests.support.servers import Implementation

pytestmark = pytest.mark.courier
__all__ = ["logged"]

#: What Courier writes into folders of which it says nothing: the lists that they inherit.
_WRITES_LISTS = 'LIST "" "*"'
COMMANDS = (
    _WRITES_LISTS,
    "CREATE INBOX.n",
    "SUBSCRIBE INBOX.n",
    "SETACL INBOX.n -owner w",
    "SELECT INBOX.c",
    "STORE 1:* +FLAGS (\\Seen)",
    "STORE 1 +FLAGS (\\Deleted)",
    "COPY 1:2 INBOX.n",
    "EXPUNGE",
    "STORE 1 +FLAGS (work)",
    "CLOSE",
    "UNSUBSCRIBE INBOX.n",
    "RENAME INBOX.n INBOX.m",
    "DELETE INBOX.a.b",
    "CREATE INBOX.a.b",
)


@pytest.mark.usefixtures("seconds_later", "logged")
def test_what_courier_did(maildir: Path, courier: Implementation, start: Start) -> None:
    """After each of its commands, as if our session had never asked before."""
    for name in ("INBOX", "INBOX.a", "INBOX.a.b", "INBOX.c"):
        folder = maildir if name == "INBOX" else make_folder(maildir, name)
        deliver(folder, b"Subject: x\n\nbody\n", number=1, flags="S")
        deliver(folder, b"Subject: x\n\nbody\n", number=2)
    other = start(courier).client
    driven = Driven(maildir)
    before = answers(driven)
    quiet = []
    for command in COMMANDS:
        wait_for_tick()
        assert other.command(command).status == "OK"
        wait_for_tick()
        told = answers(driven)
        assert told == answers(Driven(maildir)), command
        if told == before:
            quiet.append(command)
        before = told

    # What changes nothing that is told.
    assert quiet == [_WRITES_LISTS, "CLOSE"]

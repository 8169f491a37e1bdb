"""What our programs load: a session from a shell little, because it is started anew for each client; a daemon
all that its sessions need, because the processes that it forks share only what is there before.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.maildirs import deliver
from tests.support.servers import MODULES

IMAP = (
    b'a SELECT INBOX\r\nb FETCH 1 (FLAGS ENVELOPE BODYSTRUCTURE BODY[])\r\nc LIST "" *\r\n'
    b"d STATUS INBOX (MESSAGES SIZE)\r\ne SEARCH TEXT hello\r\nf STORE 1 +FLAGS (\\Deleted)\r\n"
    b"g EXPUNGE\r\nh APPEND INBOX {3+}\r\nx\r\n\r\ni LOGOUT\r\n"
)
POP3 = b"STAT\r\nLIST\r\nUIDL\r\nTOP 1 0\r\nRETR 1\r\nDELE 1\r\nQUIT\r\n"


def loaded(*arguments: str, sent: bytes = b"") -> set[str]:
    """Run a program of ours and give the modules that it has loaded."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments],
        input=sent,
        env={"PATH": os.environ["PATH"], **MODULES},
        capture_output=True,
        check=True,
    )
    lines = done.stderr.decode().splitlines()
    return {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}


@pytest.mark.parametrize(
    ("program", "sent", "unneeded"),
    [
        ("imapd", b"a NOOP\r\nb LOGOUT\r\n", {"courier.auth.sasl", "courier.shell_process"}),
        ("pop3d", POP3, {"courier.auth.sasl", "courier.message.message", "subprocess"}),
    ],
    ids=["imapd", "pop3d"],
)
def test_session_from_a_shell(maildir: Path, program: str, sent: bytes, unneeded: set[str]) -> None:
    """It loads nothing of log-ins, and POP3 nothing that reads messages' parts."""
    deliver(maildir, b"Subject: hello\n\nbody\n", number=1)

    found = loaded("-m", program, str(maildir), sent=sent)

    assert f"{program}.session" in found
    assert found & unneeded == set()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "sent"), [("imapd", IMAP), ("pop3d", POP3)], ids=["imapd", "pop3d"]
)
def test_daemon(maildir: Path, program: str, sent: bytes) -> None:
    """It has loaded what its sessions load, but for what is of sessions from a shell alone."""
    deliver(maildir, b"Subject: hello\n\nbody\n", number=1)

    of_session = loaded("-m", program, str(maildir), sent=sent)
    of_daemon = loaded("-c", f"import {program}.daemon")

    ours = {name for name in of_session if name.split(".")[0] in ("courier", program)}
    ours = {name for name in of_session if name.split(".")[0] in ("courier", program)}
    assert f"{program}.session" in ours
    assert ours - of_daemon <= {"courier.process.blocking", "courier.version"}

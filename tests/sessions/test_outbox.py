"""The outbox of our server and of real Courier: what is put there is sent, by a program that the test is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Start
from tests.support.client import Client
from tests.support.maildirs import deliver, make_folder, message_files
from tests.support.servers import Implementation

pytestmark = pytest.mark.slow

PROGRAM = """#!/bin/sh
echo "ARGUMENTS: $*" >>{log}
cat >>{log}
echo 550 refused; echo second line >&2
exit {status}
"""
MESSAGE = b"Subject: x\r\nTo: y@example.com\r\n\r\nBody.\r\n"


class Outbox:
    """A session on a maildir with an outbox, and what was sent by it."""

    def __init__(
        self,
        maildir: Path,
        start: Start,
        implementation: Implementation,
        *,
        status: int = 0,
        **settings: str,
    ) -> None:
        self.folder = make_folder(maildir, "INBOX.Outbox")
        self.log = maildir.parent / "sent"
        program = maildir.parent / "sendmail"
        program.write_text(PROGRAM.format(log=self.log, status=status))
        program.chmod(0o755)
        for number in (1, 2):
            deliver(maildir, b"Subject: %d\n\nBody.\n" % number, number=number, flags="S")
        self.server = start(
            implementation,
            {
                "OUTBOX": ".Outbox",
                "SENDMAIL": str(program),
                "HEADERFROM": "X-IMAP-Sender",
                "AUTHENTICATED": "joe@example.com",
                **settings,
            },
        )

    @property
    def client(self) -> Client:
        return self.server.client

    def said(self, command: str) -> str:
        return self.client.try_command(command).text

    @property
    def sent(self) -> list[str]:
        """Each message that was sent, with the program's arguments in front."""
        text = self.log.read_text() if self.log.exists() else ""
        return text.split("ARGUMENTS: ")[1:]


def test_append_and_copy(maildir: Path, start: Start, implementation: Implementation) -> None:
    """The stored message is what was sent, but for the field that names its sender."""
    outbox = Outbox(maildir, start, implementation)
    assert "XCOURIEROUTBOX=INBOX.Outbox" in str(outbox.client.command("CAPABILITY"))

    outbox.client.append("INBOX.Outbox", MESSAGE, "(\\Seen)")
    outbox.client.command("SELECT INBOX")
    outbox.client.command("COPY 1 INBOX.Outbox")
    outbox.client.append("INBOX", MESSAGE)

    head = "-oi -t -f joe@example.com\nX-IMAP-Sender: joe@example.com\n"
    assert outbox.sent == [
        f"{head}Subject: x\nTo: y@example.com\n\nBody.\n",
        f"{head}Subject: 1\n\nBody.\n",
    ]
    stored = {path.read_bytes() for path in (outbox.folder / "cur").iterdir()}
    assert stored == {MESSAGE.replace(b"\r", b""), b"Subject: 1\n\nBody.\n"}


@pytest.mark.parametrize("multiple", ["0", "1"])
def test_several_at_once(
    maildir: Path, start: Start, implementation: Implementation, multiple: str
) -> None:
    """Only if a setting says so: who drags a folder there hardly wants all of it sent."""
    outbox = Outbox(
        maildir, start, implementation, OUTBOX_MULTIPLE_SEND=multiple, HEADERFROM="", AUTHADDR="j@x"
    )
    outbox.client.command("SELECT INBOX")

    said = outbox.said("COPY 1:2 INBOX.Outbox")

    if multiple == "1":
        assert outbox.sent == [f"-oi -t -f j@x\nSubject: {n}\n\nBody.\n" for n in (1, 2)]
    else:
        assert said.endswith("NO [ALERT] Only one message may be sent at a time.")
        assert outbox.sent == []


def test_failure(maildir: Path, start: Start, implementation: Implementation) -> None:
    """Nothing is stored, nothing is counted, and the log has the program's own words."""
    outbox = Outbox(maildir, start, implementation, status=1)
    (maildir / "maildirsize").write_bytes(b"10000S\n          38            2\n")
    client = outbox.client
    said = client.try_command("APPEND INBOX.Outbox {}", MESSAGE).text
    assert said.endswith("NO [ALERT] Unable to send E-mail message.")
    client.command("SELECT INBOX")
    said = outbox.said("COPY 1 INBOX.Outbox")
    assert said.endswith("NO [ALERT] COPY failed - no write permission or out of disk space.")
    outbox.server.finish()

    assert len(outbox.sent) == 2
    assert message_files(outbox.folder) == {}
    assert list((outbox.folder / "tmp").iterdir()) == []
    line = (
        "ERR: error sending a message, user=joe@example.com: "
        "550 refused/second line/Message send FAILED./"
    )
    assert outbox.server.log.splitlines().count(line) == 2
    if implementation.is_ours:  # Courier counts what it has not stored
        used = [line.split() for line in (maildir / "maildirsize").read_bytes().splitlines()[1:]]
        assert sum(int(one[1]) for one in used) == 2

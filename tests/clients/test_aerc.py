"""aerc on a terminal of its own, driven by what is typed."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import missing
from tests.support.daemon import Site, give, wait_until
from tests.support.fake_authdaemond import own_ids
from tests.support.maildirs import deliver, make_folder, message_files

pytestmark = [pytest.mark.slow, pytest.mark.client]


class Aerc:
    """The running program; ``drawn`` is all that it has put on its screen."""

    def __init__(self, home: Path, port: int) -> None:
        settings = home / ".config/aerc"
        settings.mkdir(parents=True)
        accounts = settings / "accounts.conf"
        accounts.write_text(
            "[one]\n"
            f"source = imap+insecure://u%40example.com:pw@127.0.0.1:{port}\n"
            "from = u@example.com\ndefault = INBOX\nidle-timeout = 1s\n"
        )
        accounts.chmod(0o600)
        (settings / "aerc.conf").write_text("[viewer]\npager=cat\n[filters]\ntext/plain=cat\n")
        self._screen, terminal = pty.openpty()
        os.set_blocking(self._screen, False)
        self.drawn = b""
        self.process = subprocess.Popen(
            ["setsid", "--ctty", "--wait", "aerc"],
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            env={
                "HOME": str(home),
                "PATH": "/usr/bin:/bin",
                "TERM": "xterm",
                "LC_ALL": "C.UTF-8",
                "SHELL": "/bin/sh",
                "LINES": "40",
                "COLUMNS": "120",
            },
            cwd=home,
        )
        os.close(terminal)

    def type(self, keys: str, then: Callable[[], bool]) -> None:
        """Press keys, and wait for what comes of it."""
        os.write(self._screen, keys.encode())

        def has_happened() -> bool:
            self._look()
            return then()

        wait_until(has_happened, lambda: self.drawn[-3000:].decode(errors="replace"))

    def _look(self) -> None:
        try:
            while select.select([self._screen], [], [], 0)[0]:
                self.drawn += os.read(self._screen, 65536)
        except OSError:
            pass  # it has closed its terminal

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._screen)


@pytest.fixture
def maildir(site: Site) -> Path:
    made = site.homes / "u@example.com/Maildir"
    for number in (1, 2, 3):
        add(made, number)
    make_folder(made, "INBOX.Copies")
    give(made, *own_ids())
    return made


def add(maildir: Path, number: int) -> None:
    message = (
        f"From: a@example.com\nTo: u@example.com\nSubject: number {number}\n"
        f"Date: Fri, 13 Nov 2026 09:14:5{number} +0100\nMessage-ID: <m{number}@x>\n\nbody {number}\n"
    )
    base = deliver(maildir, message.encode(), number=number)
    os.chown(maildir / "new" / base, *own_ids())


@pytest.fixture
def aerc(site: Site, maildir: Path, tmp_path: Path) -> Iterator[Aerc]:
    if shutil.which("aerc") is None:
        missing("aerc")
    daemon = site.start(
        IMAP_CAPABILITY="IMAP4rev1 UIDPLUS CHILDREN NAMESPACE THREAD=REFERENCES SORT QUOTA IDLE"
    )
    made = Aerc(tmp_path, daemon.port)
    yield made
    made.close()


def test_reading_flagging_copying_and_deleting(aerc: Aerc, maildir: Path) -> None:
    """What is done on the screen is done in the maildir, and new mail is shown while it idles."""
    aerc.type("", lambda: b"number 1" in aerc.drawn and b"number 3" in aerc.drawn)
    aerc.type(":flag -t\r", lambda: "F" in message_files(maildir).values())
    copies = maildir / ".Copies/cur"
    aerc.type(":select -1\r:copy INBOX.Copies\r", lambda: len(os.listdir(copies)) == 1)
    aerc.type(":select 0\r:read\r", lambda: "FS" in message_files(maildir).values())
    aerc.type(":delete\r", lambda: len(message_files(maildir)) == 2)
    add(maildir, 4)
    aerc.type("", lambda: b"number 4" in aerc.drawn)
    aerc.type(":quit\r", lambda: aerc.process.poll() is not None)

    (copied,) = copies.iterdir()
    assert b"\nbody 1\n" in copied.read_bytes()
    assert sorted(message_files(maildir).values()) == ["", "", ""]

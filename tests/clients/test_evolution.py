"""Evolution's own code for IMAP, without its windows: QRESYNC, NOTIFY, MOVE, UTF8=ACCEPT, LIST-STATUS together."""

from __future__ import annotations

import imaplib
import importlib.util
import re
import sys
from pathlib import Path

import pytest

from tests.clients.conftest import Run
from tests.conftest import missing
from tests.support.daemon import Site, give
from tests.support.fake_authdaemond import own_ids
from tests.support.maildirs import deliver, message_files
from tests.support.messages import CATALOGUE
from tests.support.servers import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.client]

PROVIDER = ROOT / ".tools/evolution/usr/lib/evolution-data-server/camel-providers/libcamelimapx.so"
SCRIPT = Path(__file__).with_name("evolution_script.py")


def test_what_a_user_does(site: Site, run: Run, tmp_path: Path) -> None:
    """Each step of the script says itself what it expects; nothing is refused, and the maildir agrees."""
    if not PROVIDER.exists() or importlib.util.find_spec("gi") is None:
        missing("Camel, see `make tools`")
    maildir = site.homes / "u@example.com/Maildir"
    for number, message in enumerate(CATALOGUE.values()):
        deliver(maildir, message, number=number)
    give(maildir, *own_ids())
    daemon = site.start()

    def evolution(which: str) -> None:
        command = [str(daemon.port), str(tmp_path), str(maildir), which, str(PROVIDER)]
        said = run("env", "CAMEL_DEBUG=imapx:io", sys.executable, str(SCRIPT), *command)
        assert f"{which} is done" in said, said
        assert not re.findall(r"\b[A-Z][0-9]{5} (?:NO|BAD) .*", said)

    evolution("first")

    files = message_files(maildir)
    assert len(files) == len(CATALOGUE) - 3 + 1
    assert files[min(files)] == "FS"
    assert len(message_files(maildir / ".Akten")) == 5

    other = imaplib.IMAP4("127.0.0.1", daemon.port)
    other.login("u@example.com", "pw")
    other.select()
    other.store("1", "+FLAGS", r"(\Deleted)")
    other.expunge()
    other.uid("STORE", "2", "+FLAGS", r"(\Seen \Flagged)")
    other.uid("STORE", "6", "-FLAGS", r"(\Seen)")
    other.append("INBOX", "", "", b"Subject: meanwhile\r\n\r\ntext\r\n")
    other.logout()
    evolution("again")
    daemon.stop()

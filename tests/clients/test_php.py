"""PHP's imap functions: c-client, which is in Alpine, too."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.conftest import Run
from tests.support.daemon import Site, give
from tests.support.fake_authdaemond import own_ids
from tests.support.maildirs import deliver, message_files
from tests.support.messages import CATALOGUE

pytestmark = [pytest.mark.slow, pytest.mark.client]


def test_what_webmail_does(site: Site, run: Run) -> None:
    """Each step of the script says itself what it expects; the maildir agrees."""
    maildir = site.homes / "u@example.com/Maildir"
    for number, message in enumerate(CATALOGUE.values()):
        deliver(maildir, message, number=number)
    give(maildir, *own_ids())
    daemon = site.start(
        IMAP_CAPABILITY="IMAP4rev1 UIDPLUS CHILDREN NAMESPACE THREAD=REFERENCES SORT QUOTA IDLE",
        IMAP_ACL="1",
    )

    settings = ("zend.assertions=1", "log_errors=0", "display_errors=1")
    options = [word for one in settings for word in ("-d", one)]
    script = str(Path(__file__).with_name("php_script.php"))
    said = run("php", *options, script, str(daemon.port), str(len(CATALOGUE)))

    assert said == "done\n"
    files = message_files(maildir)
    assert len(files) == len(CATALOGUE) - 1
    assert [flags for _, flags in sorted(files.items())][:2] == ["FS", "S"]
    kept = message_files(maildir / ".Akten")
    assert sorted(kept.values()) == ["D", "FS", "S", "S"]
    daemon.stop()

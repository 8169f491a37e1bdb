"""IMAPClient, the library that most Python programs use which are more than a few lines."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.clients.conftest import Run
from tests.conftest import missing
from tests.support.daemon import Site
from tests.support.fake_authdaemond import own_ids
from tests.support.maildirs import deliver
from tests.support.servers import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.client]

PYTHON = ROOT / ".tools/venv/bin/python"


def test_what_programs_do(site: Site, run: Run) -> None:
    """Each call of the script says itself what it expects."""
    if not list(PYTHON.parents[1].glob("lib/python3*/site-packages/imapclient")):
        missing("IMAPClient, see `make tools`")
    subjects = (b"one", b"two", b"=?utf-8?q?Gr=C3=BC=C3=9Fe?=")
    maildir = site.homes / "u@example.com/Maildir"
    for number, subject in enumerate(subjects):
        base = deliver(maildir, b"Subject: %b\n\nfirst\n" % subject, number=number)
        os.chown(maildir / "new" / base, *own_ids())
    daemon = site.start(
        "imapd-ssl",
        IMAP_CAPABILITY="IMAP4rev1 UIDPLUS CHILDREN NAMESPACE THREAD=REFERENCES SORT QUOTA IDLE",
        IMAP_CAPABILITY_TLS="IMAP4rev1 UIDPLUS CHILDREN NAMESPACE THREAD=REFERENCES SORT QUOTA IDLE AUTH=PLAIN",
        IMAP_ACL="1",
        IMAP_ID_FIELDS="1",
    )
    authority = site.path / "authority.pem"
    authority.write_bytes(site.authority.certificate_pem)

    run(
        str(PYTHON),
        str(Path(__file__).with_name("imapclient_script.py")),
        str(daemon.port),
        str(authority),
    )

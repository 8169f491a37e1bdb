"""The mail clients over the network, with STARTTLS and with TLS from the start.

Each trusts the test's authority and nothing else, and checks the host's name.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.clients.conftest import Run
from tests.support.daemon import Daemon, Site, give
from tests.support.maildirs import deliver, make_folder, message_files
from tests.support.messages import CATALOGUE

pytestmark = [pytest.mark.slow, pytest.mark.client]

MESSAGES = list(CATALOGUE.values())[:3]


@dataclass
class Server:
    """A daemon with an account of three messages."""

    daemon: Daemon
    maildir: Path
    authority: Path
    starttls: bool

    @property
    def scheme(self) -> str:
        return "imap" if self.starttls else "imaps"

    @property
    def port(self) -> int:
        return self.daemon.port

    def check_log(self) -> None:
        """All that logged in did so by TLS."""
        log_ins = [line for line in self.daemon.log.splitlines() if "INFO: LOGIN, " in line]
        assert log_ins
        assert all(line.endswith(", starttls=1") for line in log_ins), log_ins


@pytest.fixture(params=["starttls", "imaps"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    site = Site()
    try:
        starttls = request.param == "starttls"
        # curl 7.88 keeps LOGINDISABLED in mind over STARTTLS, and needs what is shipped: AUTH=PLAIN.
        daemon = site.start(
            "imapd" if starttls else "imapd-ssl",
            IMAP_TLS_REQUIRED="1",
            IMAP_CAPABILITY_TLS="IMAP4rev1 UIDPLUS CHILDREN NAMESPACE IDLE AUTH=PLAIN",
        )
        maildir = site.homes / "u@example.com/Maildir"
        for number, message in enumerate(MESSAGES):
            deliver(maildir, message, number=number)
        make_folder(maildir, "INBOX.Copies")
        owner = site.homes.joinpath("u@example.com").stat()
        give(maildir, owner.st_uid, owner.st_gid)
        authority = tmp_path / "authority.pem"
        authority.write_bytes(site.authority.certificate_pem)
        yield Server(daemon, maildir, authority, starttls)
    finally:
        site.close()


def test_curl(server: Server, run: Run) -> None:
    """curl lists and reads, and refuses a server whose certificate nobody vouches for."""
    url = f"{server.scheme}://localhost:{server.port}/INBOX"
    account = ("--user", "u@example.com:pw", "--ssl-reqd")

    listed = run("curl", "-sS", "--cacert", str(server.authority), *account, f"{url}?ALL")
    read = run("curl", "-sS", "--cacert", str(server.authority), *account, f"{url};MAILINDEX=1")
    with pytest.raises(AssertionError, match="certificate"):
        run("curl", "-sS", *account, url)

    assert listed.strip() == "* SEARCH 1 2 3"
    assert read.replace("\r\n", "\n").encode() == MESSAGES[0]
    server.check_log()


def test_neomutt(server: Server, tmp_path: Path, run_in_terminal: Run) -> None:
    """NeoMutt opens each message, copies one and deletes another, and asks nothing."""
    settings = tmp_path / "neomuttrc"
    settings.write_text(
        f"""
set folder = {server.scheme}://localhost:{server.port}/
set spoolfile = {server.scheme}://localhost:{server.port}/INBOX
set imap_user = u@example.com
set imap_pass = pw
set ssl_starttls = yes
set ssl_force_tls = yes
set ssl_ca_certificates_file = {server.authority}
set certificate_file = {tmp_path}/accepted
set header_cache = {tmp_path}/cache
set copy = no
set quit = yes
set delete = yes
set confirmappend = no
set wait_key = no
set sort = mailbox-order
"""
    )
    keys = (
        "push '<first-entry><display-message><next-entry><next-entry><exit><first-entry>"
        "<copy-message>=INBOX.Copies<enter><last-entry><delete-message><sync-mailbox><quit>'"
    )
    run_in_terminal("neomutt", "-F", str(settings), "-e", keys)

    assert sorted(message_files(server.maildir).values()) == ["S", "S"]
    (copied,) = (server.maildir / ".Copies/cur").iterdir()
    assert copied.read_bytes() == MESSAGES[0]
    server.check_log()


def test_mbsync(server: Server, tmp_path: Path, run: Run) -> None:
    """mbsync copies everything down, and a new message up."""
    near = tmp_path / "near"
    near.mkdir()
    (tmp_path / "state").mkdir()
    settings = tmp_path / "mbsyncrc"
    settings.write_text(
        f"""
IMAPStore far
Host localhost
Port {server.port}
User u@example.com
Pass pw
SSLType {"STARTTLS" if server.starttls else "IMAPS"}
SystemCertificates no
CertificateFile {server.authority}
PathDelimiter .

MaildirStore near
Path {near}/
Inbox {near}/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns INBOX INBOX.*
Create Both
SyncState {tmp_path}/state/
"""
    )
    run("mbsync", "-c", str(settings), "all")
    assert len(message_files(near / "INBOX")) == 3

    deliver(near / "INBOX", MESSAGES[0], number=9, flags="F")
    run("mbsync", "-c", str(settings), "all")

    assert sorted(message_files(server.maildir).values()) == ["", "", "", "F"]
    server.check_log()


def synchronise(run: Run, command: tuple[str, ...]) -> None:
    """Run OfflineIMAP, again if the race in its imaplib2 strikes.

    After STARTTLS two of its threads use the one OpenSSL connection at once. Now and then that ends in
    OpenSSL's "internal error", in a wait for what has been read already, or in a segmentation fault.
    """
    for _ in range(12):
        try:
            run(*command)
            return
        except AssertionError as error:
            struck = ("Failed to start TLS connection", f"assert {-signal.SIGSEGV} == 0")
            if not any(text in str(error) for text in struck):
                raise
    pytest.fail("OfflineIMAP did not once get through STARTTLS")


def test_offlineimap(server: Server, tmp_path: Path, run: Run) -> None:
    """OfflineIMAP copies everything down, and a flag up."""
    settings = tmp_path / "offlineimaprc"
    settings.write_text(
        f"""
[general]
accounts = one
metadata = {tmp_path}/metadata
maxsyncaccounts = 1
socktimeout = 5

[Account one]
localrepository = local
remoterepository = remote

[Repository local]
type = Maildir
localfolders = {tmp_path}/local

[Repository remote]
type = IMAP
remotehost = localhost
remoteport = {server.port}
remoteuser = u@example.com
remotepass = pw
ssl = {"no" if server.starttls else "yes"}
starttls = {"yes" if server.starttls else "no"}
sslcacertfile = {server.authority}
maxconnections = 1
"""
    )
    command = ("offlineimap", "-o", "-u", "basic", "-c", str(settings))
    synchronise(run, command)
    local = tmp_path / "local/INBOX"
    assert len(message_files(local)) == 3

    first = next((local / "new").iterdir())
    first.rename(local / "cur" / f"{first.name.partition(':')[0]}:2,FS")
    synchronise(run, command)

    assert sorted(message_files(server.maildir).values()) == ["", "", "FS"]
    server.check_log()

"""POP3 clients: what they fetch, and what they take for new when the server becomes another.

fetchmail, getmail, mpop and poplib leave the mail where it is and remember the unique-ids of what they have; mutt and
curl read single messages.
"""

from __future__ import annotations

import mailbox
import os
import poplib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.clients.conftest import Run
from tests.clients.getmail import getmail
from tests.support.courier_server import CourierServer
from tests.support.daemon import Site
from tests.support.fake_authdaemond import own_ids
from tests.support.maildirs import deliver
from tests.support.messages import CATALOGUE

pytestmark = [pytest.mark.slow, pytest.mark.client]

USERID, PASSWORD = "u@example.com", "pw"
#: Those that no client changes: complete, without 8-bit headers, for which POP3 needs UTF8.
MESSAGES = [CATALOGUE["plain"], CATALOGUE["multipart"], b"Subject: dots\n\n.\n..x\n.\n"]
#: Messages that are left on a server that becomes another.
LEFT = 1000


class Client:
    """A client with a home of its own, whose state and mail stay there from one `fetch` to the next."""

    def __init__(self, run: Run, home: Path) -> None:
        self.run, self.home = run, home

    def fetch(self, port: int) -> list[bytes]:
        """Fetch what is new; return it."""
        raise NotImplementedError


class Fetchmail(Client):
    def fetch(self, port: int) -> list[bytes]:
        settings = self.home / "fetchmailrc"
        settings.write_text(
            f"poll 127.0.0.1 port {port} proto POP3 uidl no envelope\n"
            f"  user {USERID} password {PASSWORD} keep sslproto ''\n"
            f"  bsmtp {self.home}/batch\n"
        )
        settings.chmod(0o600)
        batch = self.home / "batch"
        batch.unlink(missing_ok=True)
        state = ("--idfile", f"{self.home}/ids", "--pidfile", f"{self.home}/pid")
        options = ("--invisible", "--limit", "0", "--nosyslog")
        self.run("sh", "-c", _OK_IF_NONE, "fetchmail", "-f", str(settings), *options, *state)
        found = re.findall(rb"DATA\r\n(.*?)\r\n\.\r\n", _read(batch), re.DOTALL)
        return [
            re.sub(rb"^\.", b"", one.replace(b"\r\n", b"\n") + b"\n", flags=re.M) for one in found
        ]


#: fetchmail's exit status is 1 where nothing is new.
_OK_IF_NONE = '"$0" "$@" || [ $? = 1 ]'


def _read(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


class Getmail(Client):
    def fetch(self, port: int) -> list[bytes]:
        return getmail(
            self.run, self.home / "getmail", port, "type = SimplePOP3Retriever", USERID, PASSWORD
        )


class Mpop(Client):
    def fetch(self, port: int) -> list[bytes]:
        target = self.home / "mpop"
        for part in ("cur", "new", "tmp"):
            (target / part).mkdir(parents=True, exist_ok=True)
        for old in (target / "new").iterdir():
            old.unlink()
        settings = self.home / "mpoprc"
        settings.write_text(
            f"account one\nhost 127.0.0.1\nport {port}\nuser {USERID}\npassword {PASSWORD}\n"
            f"auth user\ntls off\nkeep on\nreceived_header off\nuidls_file {self.home}/uidls\n"
            f"delivery maildir {target}\n"
        )
        settings.chmod(0o600)
        self.run("mpop", "-C", str(settings), "-q", "one")
        return [path.read_bytes() for path in sorted((target / "new").iterdir())]


class Poplib(Client):
    """As programs of one's own are: it keeps the unique-ids itself."""

    def __init__(self, run: Run, home: Path) -> None:
        super().__init__(run, home)
        self.known: set[bytes] = set()

    def fetch(self, port: int) -> list[bytes]:
        pop = poplib.POP3("127.0.0.1", port, 60)
        pop.user(USERID)
        pop.pass_(PASSWORD)
        found = []
        for line in pop.uidl()[1]:
            number, uidl = line.split()
            if uidl not in self.known:
                self.known.add(uidl)
                found.append(b"".join(text + b"\n" for text in pop.retr(int(number))[1]))
        pop.quit()
        return found


CLIENTS = {"fetchmail": Fetchmail, "getmail": Getmail, "mpop": Mpop, "poplib": Poplib}


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest, site: Site, run: Run) -> Client:
    home = site.path / "client"
    home.mkdir(mode=0o755)
    made: Client = CLIENTS[request.param](run, home)
    return made


@dataclass
class Mailbox:
    """The account's maildir, into which mail is delivered as its owner."""

    maildir: Path
    delivered: int = 0

    def deliver(self, message: bytes) -> None:
        self.delivered += 1
        base = deliver(self.maildir, message, number=self.delivered)
        os.chown(self.maildir / "new" / base, *own_ids())


# --- Fetching ---------------------------------------------------------------------------------------


def test_messages_arrive_as_they_are(site: Site, client: Client) -> None:
    """Each once, dots and all; nothing the second time, and only what has come the third."""
    daemon = site.start("pop3d")
    box = Mailbox(site.homes / USERID / "Maildir")
    for message in MESSAGES:
        box.deliver(message)

    assert [_plain(one) for one in client.fetch(daemon.port)] == [_plain(one) for one in MESSAGES]
    assert client.fetch(daemon.port) == []
    box.deliver(b"Subject: new\n\nbody\n")
    assert [_plain(one) for one in client.fetch(daemon.port)] == [b"Subject: new\n\nbody\n"]
    daemon.wait_for_log("INFO: LOGOUT, user=u@example.com", 3)
    assert "DISCONNECTED, user" not in daemon.log


def _plain(message: bytes) -> bytes:
    """Without what fetchmail adds and takes away."""
    header, blank, body = message.partition(b"\n\n")
    kept = [
        line
        for line in header.split(b"\n")
        if not re.match(rb"Return-Path:|Received: .*(fetchmail|localhost)|[ \t].*fetchmail", line)
    ]
    return b"\n".join(kept) + blank + body.rstrip(b"\n") + b"\n"


def test_curl(site: Site, run: Run) -> None:
    """LIST, TOP by its own command, and RETR."""
    daemon = site.start("pop3d")
    box = Mailbox(site.homes / USERID / "Maildir")
    for message in MESSAGES:
        box.deliver(message)
    url = f"pop3://127.0.0.1:{daemon.port}"
    account = ("--user", f"{USERID}:{PASSWORD}")

    listed = run("curl", "-sS", *account, f"{url}/").replace("\r", "")
    read = [run("curl", "-sS", *account, f"{url}/{n}") for n in (1, 2, 3)]
    top = run("curl", "-sS", *account, url, "-X", "TOP 3 1")

    sizes = [len(message.replace(b"\n", b"\r\n")) for message in MESSAGES]
    assert listed.split("\n")[:3] == [f"{n + 1} {size}" for n, size in enumerate(sizes)]
    assert [one.encode().replace(b"\r\n", b"\n") for one in read] == MESSAGES
    assert top.replace("\r", "") == "Subject: dots\n\n.\n"


def test_mutt(site: Site, tmp_path: Path, run_in_terminal: Run) -> None:
    """It encrypts, reads the headers, copies one message to another place, and removes another."""
    daemon = site.start("pop3d")
    box = Mailbox(site.homes / USERID / "Maildir")
    for message in MESSAGES:
        box.deliver(message)
    authority = tmp_path / "authority.pem"
    authority.write_bytes(site.authority.certificate_pem)
    settings = tmp_path / "muttrc"
    settings.write_text(
        f"""
set folder = {tmp_path}
set spoolfile = pop://localhost:{daemon.port}
set pop_user = {USERID}
set pop_pass = {PASSWORD}
set pop_authenticators = user
set ssl_ca_certificates_file = {authority}
set certificate_file = {tmp_path}/accepted
set copy = no
set quit = yes
set delete = yes
set confirmappend = no
set confirmcreate = no
set wait_key = no
set sort = mailbox-order
set mbox_type = mbox
"""
    )
    keys = (
        "push '<first-entry><copy-message>=saved<enter>"
        "<last-entry><delete-message><sync-mailbox><quit>'"
    )

    run_in_terminal("mutt", "-F", str(settings), "-e", keys)

    saved = mailbox.mbox(tmp_path / "saved")
    assert [saved[key]["Subject"] for key in saved.iterkeys()] == ["Minutes of Thursday"]
    assert len(list((box.maildir / "cur").iterdir())) == 2
    daemon.wait_for_log("INFO: LOGIN, .*, stls=1$")


# --- Another server -----------------------------------------------------------------------------------


@pytest.fixture
def both(site: Site) -> Iterator[tuple[Mailbox, Callable[[str], int]]]:
    """A mailbox that real Courier and ours serve; a function that starts either."""
    courier = CourierServer(site)
    maildir = courier.add_account(USERID, PASSWORD)

    def start(which: str) -> int:
        return site.start("pop3d").port if which == "ours" else courier.start("pop3d")

    yield Mailbox(maildir), start
    courier.close()


@pytest.mark.courier
@pytest.mark.root
@pytest.mark.parametrize("first", ["courier", "ours"])
def test_mail_that_is_left_on_a_server_that_becomes_another(
    both: tuple[Mailbox, Callable[[str], int]], client: Client, first: str
) -> None:
    """None is fetched again: not after the change, and not after the return."""
    box, start = both
    for number in range(LEFT):
        box.deliver(b"Subject: number %d\n\nbody\n" % number)
    second = "ours" if first == "courier" else "courier"
    ports = {name: start(name) for name in (first, second)}

    assert len(client.fetch(ports[first])) == LEFT
    fetched = []
    for name in (second, first, second):
        box.deliver(b"Subject: then %s\n\nbody\n" % name.encode())
        fetched.append([re.search(rb"Subject: (.*)", one)[1] for one in client.fetch(ports[name])])

    assert fetched == [[b"then " + name.encode()] for name in (second, first, second)]

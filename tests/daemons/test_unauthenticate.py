"""IMAP_UNAUTHENTICATE: one connection, one account after another (RFC 8437)."""

from __future__ import annotations

import base64
import contextlib
import dbm.gnu
import itertools
import os
import re
import signal
import socket
import struct
import threading
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.daemons.test_limits import await_places
from tests.support.daemon import (
    Daemon,
    Peer,
    Site,
    anybody,
    descriptors,
    is_alive,
    tcp_of,
    wait_until,
)
from tests.support.exhaustion import exhausted
from tests.support.fake_authdaemond import own_ids
from tests.support.maildirs import deliver, message_files

pytestmark = pytest.mark.slow

BYE = b"* BYE Courier-IMAP server shut down by signal.\r\n"
SWITCHED_OFF = b"BAD Error in IMAP command received by server.\r\n"
LISTENS = "0A"  # as /proc/net/tcp has it
HOWS = ["plain", "STARTTLS", "imapd-ssl"]

_numbers = itertools.count()


@dataclass(frozen=True)
class Account:
    """Its maildir has one message, with the userid as subject."""

    userid: str
    maildir: Path

    @property
    def login(self) -> bytes:
        return b"LOGIN %b pw" % self.userid.encode()

    @property
    def plain(self) -> bytes:
        return base64.b64encode(b"\0%b\0pw" % self.userid.encode())

    @property
    def subject(self) -> bytes:
        return f"Subject: {self.userid}\r\n".encode()


def account(site: Site, ids: tuple[int, int]) -> Account:
    userid = f"u{next(_numbers)}@example.com"
    maildir = site.add_account(userid, "pw", ids)
    deliver(maildir, f"Subject: {userid}\n\n".encode(), number=1)
    for path in (maildir.parent, *maildir.rglob("*")):
        os.chown(path, *ids)
    return Account(userid, maildir)


Two = tuple[Account, Account]


def two_of(site: Site) -> Two:
    """Two accounts, of different uids where the tests may have that."""
    return account(site, own_ids()), account(site, OTHER_IDS)


OTHER_IDS = (5001, 5001) if os.geteuid() == 0 else own_ids()


@dataclass(frozen=True)
class Way:
    """A daemon, and how clients speak to it."""

    how: str
    daemon: Daemon

    def connect(self) -> Peer:
        peer = self.daemon.connect()
        if self.how == "STARTTLS":
            peer.start_tls()
        return peer

    def session(self, who: Account) -> Peer:
        peer = self.connect()
        peer.log_in(who.userid)
        return peer


def start(site: Site, how: str = "plain", **settings: str) -> Way:
    name = "imapd-ssl" if how == "imapd-ssl" else "imapd"
    return Way(how, site.start(name, **{"IMAP_UNAUTHENTICATE": "1", **settings}))


@pytest.fixture(scope="module")
def shared() -> Iterator[dict[str, Daemon]]:
    """imapd and imapd-ssl, for tests that leave them as they were."""
    site = Site()
    site.refuse_soon()
    daemons = {name: site.start(name, IMAP_UNAUTHENTICATE="1") for name in ("imapd", "imapd-ssl")}
    yield daemons
    site.close()


@pytest.fixture(params=HOWS)
def way(request: pytest.FixtureRequest, shared: dict[str, Daemon]) -> Way:
    return Way(request.param, shared["imapd-ssl" if request.param == "imapd-ssl" else "imapd"])


@pytest.fixture
def two(shared: dict[str, Daemon]) -> Two:
    return two_of(shared["imapd"].site)


@pytest.fixture
def own_two(site: Site) -> Two:
    return two_of(site)


def await_free(way: Way, count: int) -> None:
    """Prove that exactly so many more connections have a place."""
    held: list[Peer] = []

    def refill() -> bool:
        while held:
            held.pop().close()
        for at in range(count + 2):
            with contextlib.suppress(OSError, AssertionError):
                held.append(way.daemon.connect(f"127.0.0.{at + 2}"))
        return len(held) == count

    wait_until(refill, lambda: f"{len(held)} in place of {count}\n{way.daemon.log[-2000:]}")
    for peer in held:
        peer.close()


def capabilities(lines: list[bytes]) -> set[bytes]:
    found = re.search(rb"CAPABILITY ([^]\r]*)", lines[0])
    assert found is not None
    return set(found[1].split())


def port_of(peer: Peer) -> int:
    return int(peer.socket.getsockname()[1])


# --- What a client sees --------------------------------------------------------------------------


def test_announced_to_who_has_logged_in(way: Way, two: Two) -> None:
    """Not before the log-in, and no more after UNAUTHENTICATE; the OK of a log-in has it, too."""
    first, second = two
    with way.connect() as peer:
        assert b"UNAUTHENTICATE" not in capabilities(peer.command("CAPABILITY"))
        assert b"UNAUTHENTICATE" in capabilities(peer.command(first.login.decode()))
        listed = capabilities(peer.command("CAPABILITY"))
        assert b"UNAUTHENTICATE" in listed

        (said,) = peer.command("UNAUTHENTICATE")

        assert said.endswith(b" OK UNAUTHENTICATE completed\r\n")
        assert b"UNAUTHENTICATE" not in capabilities(peer.command("CAPABILITY"))
        for command in ("SELECT INBOX", "UNAUTHENTICATE"):
            assert peer.command(command)[-1].endswith(SWITCHED_OFF)
        assert capabilities(peer.command(second.login.decode())) == listed


def test_from_one_account_to_another(way: Way, two: Two) -> None:
    """Each sees its own mail, as its own user; the log has a session for each."""
    with way.session(two[0]) as peer:
        port = port_of(peer)
        for turn in range(4):
            peer.command("SELECT INBOX")
            header = b"".join(peer.command("FETCH 1 BODY.PEEK[HEADER]"))
            assert two[turn % 2].subject in header
            peer.command("UNAUTHENTICATE")
            peer.log_in(two[1 - turn % 2].userid)
        peer.command("LOGOUT")
        assert peer.rest() == b""
    tls = "" if way.how == "plain" else ", starttls=1"
    place = rf"ip=\[::ffff:127\.0\.0\.1\], port=\[{port}\]"
    for one in two:
        counts = rf"headers={len(one.subject) + 2}, body=0, rcvd=\d+, sent=\d+, time=\d+"
        way.daemon.wait_for_log(rf"^INFO: LOGOUT, user={one.userid}, {place}, {counts}{tls}$", 2)
    events = re.findall(rf"^\S+ (\w+), (?:user=(\S+), )?{place}", way.daemon.log, re.M)
    sessions = [two[turn % 2].userid for turn in range(5)]
    assert events == [
        ("Connection", ""),
        *((kind, userid) for userid in sessions for kind in ("LOGIN", "LOGOUT")),
    ]


def pipeline(two: Two) -> bytes:
    return b"".join(
        [
            b"a SELECT INBOX\r\n",
            b"b UNAUTHENTICATE\r\n",
            b"c AUTHENTICATE PLAIN " + two[1].plain + b"\r\n",
            b"d EXAMINE INBOX\r\n",
            b"e FETCH 1 BODY[HEADER]\r\n",
            b"f unauthenticate\r\n",
            b"g LOGIN {%d+}\r\n%b pw\r\n" % (len(two[0].userid), two[0].userid.encode()),
            b"h STATUS INBOX (MESSAGES)\r\n",
            b"i LOGOUT\r\n",
        ]
    )


def tags(said: bytes) -> list[bytes]:
    """Of the commands that were carried out, in the order of their completions."""
    return re.findall(rb"^([a-z][0-9-]*) OK ", said, re.M)


@pytest.mark.parametrize("size", [1, 7, 1 << 16], ids=["octets", "shreds", "one segment"])
def test_pipeline(way: Way, two: Two, size: int) -> None:
    """In one round trip (RFC 4959), however it is cut: nothing is lost and nothing done twice."""
    with way.session(two[0]) as peer:
        sent = pipeline(two)
        for at in range(0, len(sent), size):
            peer.send(sent[at : at + size])

        said = peer.rest()

    assert tags(said) == [b"%c" % letter for letter in b"abcdefghi"]
    assert said.count(b" OK UNAUTHENTICATE completed\r\n") == said.count(b"] LOGIN Ok.\r\n") == 2
    assert two[1].subject in said and two[0].subject not in said


def test_large_pipeline(way: Way, two: Two) -> None:
    """100 kB are on their way, of which each session takes a little: all is answered, in order."""
    noops = 3000
    sent = bytearray()
    for turn in range(3):
        sent += b"u%d UNAUTHENTICATE\r\nl%d %b\r\n" % (turn, turn, two[1 - turn % 2].login)
        sent += b"".join(b"n%d-%d NOOP\r\n" % (turn, number) for number in range(noops))
    with way.session(two[0]) as peer:
        peer.send(bytes(sent) + b"z LOGOUT\r\n")

        said = peer.rest()

    assert tags(said) == [*re.findall(rb"^(\S+)", bytes(sent), re.M), b"z"]


def test_large_literal_behind_it(way: Way, two: Two) -> None:
    """A message that the next session is to store is neither cut nor doubled."""
    lines = [b"%06d\r\n" % number for number in range(20_000)]
    message = b"Subject: large\r\n\r\n" + b"".join(lines)
    with way.session(two[0]) as peer:
        append = b"c APPEND INBOX {%d+}\r\n%b\r\n" % (len(message), message)
        peer.send(b"a UNAUTHENTICATE\r\nb %b\r\n%bd LOGOUT\r\n" % (two[1].login, append))

        assert tags(peer.rest()) == [b"a", b"b", b"c", b"d"]

    stored = [
        path.read_bytes()
        for folder in ("cur", "new")
        for path in (two[1].maildir / folder).iterdir()
    ]
    assert [one for one in stored if b"large" in one] == [message.replace(b"\r\n", b"\n")]
    assert len(message_files(two[0].maildir)) == 1


# --- State ----------------------------------------------------------------------------------------


def test_nothing_is_expunged(way: Way, two: Two) -> None:
    """The mailbox ceases to be selected, and its deleted messages stay (RFC 8437 3)."""
    with way.session(two[0]) as peer:
        peer.command("SELECT INBOX")
        peer.command(r"STORE 1 +FLAGS (\Deleted)")

        assert len(peer.command("UNAUTHENTICATE")) == 1

        peer.log_in(two[0].userid)
        assert b"* 1 EXISTS\r\n" in peer.command("SELECT INBOX")
        assert rb"\Deleted" in peer.command("FETCH 1 FLAGS")[0]
    assert len(message_files(two[0].maildir)) == 1


def test_state_is_reset(way: Way, two: Two) -> None:
    """ENABLE, a saved search, NOTIFY, a selected mailbox: the next session has none (4.1)."""
    with way.session(two[0]) as peer:
        for command in (
            "ENABLE CONDSTORE QRESYNC IMAP4rev2 UTF8=ACCEPT",
            "NOTIFY SET (personal (MessageNew MessageExpunge MailboxName))",
            "SELECT INBOX",
            "SEARCH RETURN (SAVE) ALL",
            "UNAUTHENTICATE",
        ):
            assert b" OK " in peer.command(command)[-1]
        peer.log_in(two[0].userid)

        assert peer.command("FETCH 1 UID")[-1].endswith(SWITCHED_OFF)  # no mailbox is selected
        assert b" OK " in peer.command("CREATE INBOX.new")[-1]
        lines = peer.command("SELECT INBOX")
        assert b"* 1 RECENT\r\n" in lines or b"* 0 RECENT\r\n" in lines  # IMAP4rev2 has none
        assert peer.command("UID SEARCH $")[0] == b"* SEARCH\r\n"  # nor has it this
        assert b"MODSEQ" not in b"".join(peer.command(r"STORE 1 +FLAGS (\Seen)"))


class Compressed:
    """A client that has asked for COMPRESS=DEFLATE."""

    def __init__(self, peer: Peer) -> None:
        assert b" OK " in peer.command("COMPRESS DEFLATE")[-1]
        self._peer = peer
        self._deflating = zlib.compressobj(wbits=-15)
        self._inflating = zlib.decompressobj(wbits=-15)

    def deflated(self, text: bytes, end: int) -> bytes:
        return self._deflating.compress(text) + self._deflating.flush(end)

    def until_end(self) -> tuple[bytes, bytes]:
        """What the server compresses, up to where it ends that, and what came behind it."""
        text = b""
        while not self._inflating.eof:
            data = self._peer.socket.recv(65_536)
            assert data, text
            text += self._inflating.decompress(data)
        return text, self._inflating.unused_data


@pytest.mark.parametrize(
    "end", [zlib.Z_FINISH, zlib.Z_SYNC_FLUSH, zlib.Z_FULL_FLUSH], ids=["finish", "sync", "full"]
)
@pytest.mark.parametrize("size", [1, 1 << 16], ids=["octets", "one segment"])
def test_compression_ends(way: Way, two: Two, end: int, size: int) -> None:
    """Ours with the OK, the client's with the command; what it pipelines behind that is plain (4.1)."""
    with way.session(two[0]) as peer:
        compressed = Compressed(peer)
        sent = compressed.deflated(b"a SELECT INBOX\r\nb UNAUTHENTICATE\r\n", end)
        sent += b"c %b\r\nd SELECT INBOX\r\ne LOGOUT\r\n" % two[1].login
        for at in range(0, len(sent), size):
            peer.send(sent[at : at + size])

        text, behind = compressed.until_end()

        assert text.endswith(b"\r\nb OK UNAUTHENTICATE completed\r\n")
        assert tags(behind + peer.rest()) == [b"c", b"d", b"e"]


@pytest.mark.parametrize("end", [zlib.Z_FINISH, zlib.Z_SYNC_FLUSH], ids=["finish", "sync"])
def test_compression_of_the_next_session(way: Way, two: Two, end: int) -> None:
    """It is off, and can be asked for again."""
    with way.session(two[0]) as peer:
        for turn in range(3):
            compressed = Compressed(peer)
            peer.send(compressed.deflated(b"a UNAUTHENTICATE\r\n", end))
            assert compressed.until_end() == (b"a OK UNAUTHENTICATE completed\r\n", b"")
            peer.log_in(two[turn % 2].userid)


# --- The log-in behind it ---------------------------------------------------------------------------


def test_wrong_password(way: Way, two: Two) -> None:
    """It is refused as ever, the client may try again, and its first account stays closed to it."""
    with way.session(two[0]) as peer:
        wrong = b"LOGIN %b wrong" % two[1].userid.encode()
        peer.send(b"a UNAUTHENTICATE\r\nb %b\r\nc SELECT INBOX\r\n" % wrong)
        assert peer.line() == b"a OK UNAUTHENTICATE completed\r\n"
        assert peer.line() == b"b NO [AUTHENTICATIONFAILED] Login failed.\r\n"
        assert peer.line() == b"c " + SWITCHED_OFF
        peer.log_in(two[1].userid)
        port = port_of(peer)
    place = rf"ip=\[::ffff:127\.0\.0\.1\], port=\[{port}\]"
    way.daemon.wait_for_log(rf"^INFO: LOGIN FAILED, user={two[1].userid}, {place}$")


def test_logout_without_a_log_in(way: Way, two: Two) -> None:
    """It is that of a stranger, whose line names no user."""
    with way.session(two[0]) as peer:
        peer.command("UNAUTHENTICATE")
        assert peer.command("LOGOUT")[-1].endswith(b" OK LOGOUT completed\r\n")
        assert peer.rest() == b""
        port = port_of(peer)
    place = rf"ip=\[::ffff:127\.0\.0\.1\], port=\[{port}\]"
    way.daemon.wait_for_log(rf"^INFO: LOGOUT, {place}, rcvd=11, ")


def test_starttls_behind_it(shared: dict[str, Daemon], two: Two) -> None:
    """A plain connection may be encrypted between two sessions; what was pipelined is thrown away."""
    way = Way("plain", shared["imapd"])
    with way.session(two[0]) as peer:
        peer.send(b"a UNAUTHENTICATE\r\nb STARTTLS\r\nc %b\r\n" % two[1].login)
        assert peer.line() == b"a OK UNAUTHENTICATE completed\r\n"
        assert peer.line() == b"b OK Begin SSL/TLS negotiation now.\r\n"
        peer.socket = anybody().wrap_socket(peer.socket)
        peer.log_in(two[0].userid)
        peer.command("UNAUTHENTICATE")
        peer.log_in(two[1].userid)
    asked = [one.userid for one in way.daemon.site.authdaemond.asked]
    assert asked[-3:] == [two[0].userid, two[0].userid, two[1].userid]


def test_smap_behind_it(site: Site, own_two: Two) -> None:
    """The next session may speak Courier's other protocol, which has no way back."""
    way = start(site, SMAP_CAPABILITY="SMAP1")
    with way.session(own_two[0]) as peer:
        smap = b"\\SMAP1 %b\nUNAUTHENTICATE\nLOGOUT\n" % own_two[1].login
        peer.send(b"a UNAUTHENTICATE\r\n" + smap)
        assert peer.line() == b"a OK UNAUTHENTICATE completed\r\n"
        assert peer.line().startswith(b"+OK ")
        assert peer.line().startswith(b"-ERR ")
        assert peer.rest().endswith(b"+OK LOGOUT completed\n")


def test_proxied_account_behind_it(site: Site, own_two: Two) -> None:
    """The next account's mail may be on another host, whose commands are the session's then."""
    far = Site()
    try:
        far.add_account("far@example.com", "pw")
        back = far.start()
        options = {"PASSWD2": "pw", "OPTIONS": "mailhost=localhost"}
        site.add_account("far@example.com", "pw", **options)
        way = start(site, IMAP_PROXY="1", IMAP_PROXY_PORT=str(back.port))
        with way.session(own_two[0]) as peer:
            peer.send(b"a UNAUTHENTICATE\r\nb LOGIN far@example.com pw\r\nc SELECT INBOX\r\n")
            assert peer.line() == b"a OK UNAUTHENTICATE completed\r\n"
            assert peer.line() == b"b OK connected to proxy server.\r\n"
            assert b"* 0 EXISTS\r\n" in peer.until(b"c OK ")
            assert b" BAD " in peer.command("UNAUTHENTICATE")[-1]
            peer.command("LOGOUT")
            assert peer.rest() == b""
        back.wait_for_log("^INFO: LOGOUT, user=far@example.com, ")
    finally:
        far.close()


# --- Off ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{"IMAP_UNAUTHENTICATE": "0"}, {"IMAP_EXTENSIONS": "0"}])
def test_off(site: Site, settings: dict[str, str]) -> None:
    """It is not announced and, as any unknown command, BAD; ten of them end the session."""
    way = start(site, **settings)
    with way.daemon.session() as peer:
        assert b"UNAUTHENTICATE" not in capabilities(peer.command("CAPABILITY"))
        for _ in range(9):
            assert peer.command("UNAUTHENTICATE")[-1].endswith(SWITCHED_OFF)
        peer.send(b"x UNAUTHENTICATE\r\n")
        assert b"TOO MANY CONSECUTIVE PROTOCOL VIOLATIONS" in peer.rest()


def holders(processes: list[int], peer: Peer) -> list[int]:
    """Those that have the connection's socket."""
    port = port_of(peer)
    return [pid for pid in processes if any(remote == port for _, remote, _ in tcp_of(pid))]


@pytest.mark.parametrize("setting", ["0", "1"])
def test_who_has_a_plain_connection(site: Site, setting: str) -> None:
    """The worker, as ever; with the setting on a login process, and the worker never sees it."""
    daemon = site.start(IMAP_UNAUTHENTICATE=setting)
    with daemon.session() as peer:
        workers = daemon.wait_for_workers(1)
        expected = daemon.login_processes() if setting == "1" else workers
        wait_until(lambda: len(holders(daemon.children(), peer)) == 1)
        assert set(holders(daemon.children(), peer)) <= set(expected)


def test_on_for_one_address(site: Site) -> None:
    """The access file can give it to a gateway alone."""
    with dbm.gnu.open(str(site.etc / "imapaccess.dat"), "n") as database:
        database["127.0.0.2"] = "allow,IMAP_UNAUTHENTICATE=1"
        database["*"] = "allow"
    daemon = site.start()
    for source, has_it in (("127.0.0.2", True), ("127.0.0.3", False)):
        with daemon.connect(source) as peer:
            peer.log_in()
            for _ in range(2):  # what the file assigns stays with the connection
                assert (b"UNAUTHENTICATE" in capabilities(peer.command("CAPABILITY"))) is has_it
                assert (b" OK " in peer.command("UNAUTHENTICATE")[-1]) is has_it
                if has_it:
                    peer.log_in()


# --- Places, processes ------------------------------------------------------------------------------


def test_places_after_many_rounds(site: Site, own_two: Two) -> None:
    """A connection has one place from its beginning to its end, however often it changes hands."""
    way = start(site, MAXDAEMONS="5", MAXPERIP="3")
    held = [way.daemon.let_in() for _ in range(3)]
    for peer in held:
        peer.log_in(own_two[0].userid)
    for turn in range(10):
        for peer in held:
            peer.command("UNAUTHENTICATE")
            peer.log_in(own_two[turn % 2].userid)
    with way.daemon.raw() as one_more:
        assert one_more.recv(1) == b""  # MAXPERIP
    await_places(way.daemon, ["127.0.0.2"] * 3 + ["127.0.0.3"] * 3, 2)
    held[0].command("UNAUTHENTICATE")
    for peer in held:
        peer.close()
    await_places(way.daemon, ["127.0.0.2"] * 4 + ["127.0.0.3"] * 4, 5)


def close(peer: Peer) -> None:
    peer.close()


def reset(peer: Peer) -> None:
    """Close so that the other end sees a broken connection."""
    peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


def shut_down(peer: Peer) -> None:
    """Say that no more comes, and read what does."""
    with contextlib.suppress(OSError):
        peer.socket.shutdown(socket.SHUT_WR)
        peer.rest()
    peer.close()


def vanish(way: Way, two: Two) -> None:
    """Have clients go at every point, in every way."""
    first, second = two
    leave = b"a UNAUTHENTICATE\r\n"
    points = [
        b"",
        leave[:-2],
        leave,
        leave + b"b LOG",
        leave + b"b %b\r\n" % second.login,
        leave + b"b LOGIN %b wrong\r\n" % second.userid.encode(),
        leave + b"b %b\r\nc SELECT INBOX\r\n" % second.login + leave,
        leave + b"b AUTHENTICATE PLAIN\r\n",
        leave + b"b NOOP\r\n" * 20_000,
        pipeline(two),
    ]
    for said in points:
        for go in (close, reset, shut_down):
            peer = way.session(first)
            with contextlib.suppress(OSError):
                peer.send(said)
            go(peer)
    for turn in range(20):
        peer = way.session(first)
        peer.send(leave)
        if turn % 2:
            peer.line()
        (reset, close)[turn // 2 % 2](peer)


@pytest.mark.parametrize("how", ["plain", "imapd-ssl"])
def test_clients_that_vanish(site: Site, own_two: Two, how: str) -> None:
    """Each place is free again, no descriptor is kept, each session that began has ended."""
    way = start(site, how, MAXDAEMONS="40", IMAP_LOGIN_PROCESSES="1")
    daemon = way.daemon

    def opened() -> dict[int, int]:
        """By everybody who was there when the first clients had gone."""
        wait_until(
            lambda: not any(state != LISTENS for pid in everybody for *_, state in tcp_of(pid))
        )
        return {pid: len(descriptors(pid)) for pid in everybody}

    vanish(way, own_two)
    everybody = [daemon.pid, *daemon.children()]
    before = opened()
    vanish(way, own_two)

    await_free(way, 40)
    wait_until(lambda: opened() == before, lambda: (opened(), before))
    assert "ERR: worker" not in daemon.log and "WARN: a session" not in daemon.log
    ends = r"^INFO: (?:LOGOUT|DISCONNECTED), user="
    wait_until(lambda: daemon.log.count("INFO: LOGIN, ") == len(re.findall(ends, daemon.log, re.M)))


def test_client_that_does_not_read(way: Way, two: Two) -> None:
    """What its first session has said gets there in the end, and before what the next one says."""
    body = b"x" * 70 + b"\n"
    deliver(two[0].maildir, b"Subject: large\n\n" + body * 100_000, number=2)
    for path in two[0].maildir.rglob("*"):
        os.chown(path, *own_ids())
    with way.session(two[0]) as peer:
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        peer.send(b"a SELECT INBOX\r\nb FETCH 2 BODY.PEEK[]\r\nc UNAUTHENTICATE\r\n")
        peer.send(b"d %b\r\ne LOGOUT\r\n" % two[1].login)
        with way.session(two[0]) as other:  # is served meanwhile
            other.command("NOOP")

        said = peer.rest()

    assert said.count(body.replace(b"\n", b"\r\n")) == 100_000
    assert tags(said) == [b"a", b"b", b"c", b"d", b"e"]


@pytest.mark.parametrize("who", ["master", "login process"])
def test_no_descriptor_left(site: Site, own_two: Two, who: str) -> None:
    """None is needed to leave a session."""
    way = start(site, MAXDAEMONS="4", IMAP_LOGIN_PROCESSES="1")
    [login_process] = way.daemon.login_processes()
    with way.session(own_two[0]) as peer, way.session(own_two[0]) as other:
        with exhausted(way.daemon.pid if who == "master" else login_process):
            assert b" OK " in peer.command("UNAUTHENTICATE")[-1]
            assert b" OK " in other.command("NOOP")[-1]
        await_free(way, 2)
        peer.log_in(own_two[1].userid)
    assert way.daemon.login_processes() == [login_process]


def test_one_session_per_worker(site: Site, own_two: Two) -> None:
    """A process ends with its session, though the connection goes on."""
    way = start(site, IMAP_SESSIONS_PER_WORKER="1")
    with way.session(own_two[0]) as peer, way.session(own_two[0]) as other:
        first = set(way.daemon.wait_for_workers(2))
        peer.command("UNAUTHENTICATE")
        [left] = way.daemon.wait_for_workers(1)
        assert left in first
        peer.log_in(own_two[1].userid)
        assert left in way.daemon.wait_for_workers(2)
        assert b" OK " in other.command("NOOP")[-1]


@pytest.mark.parametrize("how", ["plain", "imapd-ssl"])
def test_login_isolation(site: Site, own_two: Two, how: str) -> None:
    """A connection has its login process to itself, up to its end."""
    way = start(site, how, IMAP_LOGIN_ISOLATION="1", MAXDAEMONS="8")
    daemon = way.daemon
    with way.session(own_two[0]) as peer:
        [kept] = holders(daemon.children(), peer)
        for turn in range(3):
            peer.command("UNAUTHENTICATE")
            peer.log_in(own_two[1 - turn % 2].userid)
            assert holders(daemon.children(), peer) == [kept]
        peer.command("UNAUTHENTICATE")
    wait_until(lambda: not is_alive(kept))
    await_free(way, 8)


def test_reload(site: Site, own_two: Two) -> None:
    """A connection stays with the login process, and the setting, that it began with."""
    way = start(site, IMAP_LOGIN_PROCESSES="1")
    daemon = way.daemon
    with way.session(own_two[0]) as logged_in, way.session(own_two[0]) as left:
        left.command("UNAUTHENTICATE")
        [old] = daemon.login_processes()
        site.write_settings(PORT=str(daemon.port), IMAP_UNAUTHENTICATE="0")
        daemon.signal(signal.SIGHUP)
        wait_until(lambda: len(daemon.login_processes()) == 2)
        wait_until(lambda: old not in daemon.login_processes())

        logged_in.command("UNAUTHENTICATE")

        for peer in (logged_in, left):
            peer.log_in(own_two[1].userid)
            assert b"UNAUTHENTICATE" in capabilities(peer.command("CAPABILITY"))
            assert b" OK " in peer.command("UNAUTHENTICATE")[-1]
        with way.session(own_two[0]) as new:
            assert b"UNAUTHENTICATE" not in capabilities(new.command("CAPABILITY"))
    wait_until(lambda: not is_alive(old))


@pytest.mark.parametrize("how", ["plain", "imapd-ssl"])
def test_sigterm(site: Site, own_two: Two, how: str) -> None:
    """Whoever has the client just then, session or log-in, says goodbye."""
    way = start(site, how)
    peers = [way.session(own_two[0]) for _ in range(30)]
    for peer in peers[:10]:
        peer.command("UNAUTHENTICATE")
    for peer in peers[10:20]:  # on their way, or not yet
        peer.send(b"a UNAUTHENTICATE\r\n")

    way.daemon.signal(signal.SIGTERM)

    for peer in peers:
        assert peer.rest().removeprefix(b"a OK UNAUTHENTICATE completed\r\n") == BYE
    assert way.daemon.process.wait(30) == 0
    for peer in peers:
        peer.close()


@pytest.mark.parametrize("how", ["plain", "imapd-ssl"])
def test_kill_of_a_worker(site: Site, own_two: Two, how: str) -> None:
    """Who has left its session does not notice; the others' connections close; the places are free."""
    way = start(site, how, MAXDAEMONS="6")
    with way.session(own_two[0]) as left, way.session(own_two[0]) as stays:
        left.command("UNAUTHENTICATE")
        [worker] = way.daemon.wait_for_workers(1)

        os.kill(worker, signal.SIGKILL)

        assert stays.rest() == b""
        left.log_in(own_two[0].userid)
        assert b" OK " in left.command("SELECT INBOX")[-1]
        await_free(way, 5)


@pytest.mark.parametrize("how", ["plain", "imapd-ssl"])
def test_kill_of_the_login_process(site: Site, own_two: Two, how: str) -> None:
    """All that it relays closes, and so does who is back at it; the places are free."""
    way = start(site, how, MAXDAEMONS="6", IMAP_LOGIN_PROCESSES="1")
    with way.session(own_two[0]) as left, way.session(own_two[0]) as stays:
        left.command("UNAUTHENTICATE")
        [killed] = way.daemon.login_processes()

        os.kill(killed, signal.SIGKILL)

        assert left.rest() == stays.rest() == b""
        way.daemon.wait_for_log(rf"^INFO: DISCONNECTED, user={own_two[0].userid}, ")
        wait_until(lambda: way.daemon.login_processes() not in ([], [killed]))
        await_free(way, 6)


class Restless:
    """Clients that leave one account for the other again and again, come what may, until told to end."""

    def __init__(self, way: Way, two: Two, count: int) -> None:
        self._way, self._two = way, two
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        while not self._is_over.is_set():
            with (
                contextlib.suppress(OSError, AssertionError),
                self._way.session(self._two[0]) as peer,
            ):
                for turn in range(6):
                    login = self._two[1 - turn % 2].login
                    peer.send(b"a UNAUTHENTICATE\r\nb %b\r\nc SELECT INBOX\r\n" % login)
                    if turn < 5:  # the last one is cut off
                        peer.until(b"c OK ")

    def end(self) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()


@pytest.mark.parametrize("how", ["plain", "imapd-ssl"])
def test_kill_of_everybody_under_load(site: Site, own_two: Two, how: str) -> None:
    """Workers and login processes, in the middle of whatever they do: no place is lost or given twice."""
    way = start(site, how, MAXDAEMONS="20")
    restless = Restless(way, own_two, 8)

    def log_ins() -> int:
        return way.daemon.log.count("INFO: LOGIN, ")

    for turn in range(8):
        enough = log_ins() + 50
        wait_until(lambda: log_ins() > enough)  # noqa: B023
        killed = way.daemon.children()
        with contextlib.suppress(ProcessLookupError, IndexError):
            os.kill(killed[turn % len(killed)], signal.SIGKILL)
    restless.end()

    wait_until(lambda: len(way.daemon.login_processes()) == 2)
    await_free(way, 20)
    assert "WARN: a session" not in way.daemon.log
    assert "from process" not in way.daemon.log  # nobody said what made no sense

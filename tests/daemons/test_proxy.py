"""IMAP_PROXY and POP3_PROXY: one of our servers before another, and before and behind real Courier."""

from __future__ import annotations

import os
import poplib
import pwd
import re
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from courier.auth import userdb_source
from tests.conftest import missing
from tests.support import authdaemon, courier_root
from tests.support.courier_root import CourierRoot
from tests.support.daemon import Daemon, Peer, Site, free_port, status, wait_until
from tests.support.maildirs import deliver
from tests.support.servers import COURIER

USERID, PASSWORD = "far@example.com", 'se"cret'
MESSAGE = b"Subject: far away\n\nbody\n"


@pytest.fixture
def far() -> Iterator[Site]:
    """The other host's installation: the account with its mail."""
    made = Site()
    maildir = made.add_account(USERID, PASSWORD)
    deliver(maildir, MESSAGE, number=1)
    owner = maildir.stat()
    for path in maildir.rglob("*"):
        os.chown(path, owner.st_uid, owner.st_gid)
    yield made
    made.close()


def front(site: Site, name: str, port: int, *hosts: str, **settings: str) -> Daemon:
    """The server that clients see; the account's maildir there is empty."""
    site.refuse_soon()
    options = ",".join(f"mailhost={host}" for host in hosts or ("localhost",))
    site.add_account(USERID, PASSWORD, PASSWD2=PASSWORD, OPTIONS=options)
    proto = "POP3" if name.startswith("pop3d") else "IMAP"
    return site.start(name, **{f"{proto}_PROXY": "1", f"{proto}_PROXY_PORT": str(port), **settings})


def check_logs(*daemons: Daemon) -> None:
    for daemon in daemons:
        assert "cret" not in daemon.log


# --- Ours before ours -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["imapd", "imapd-ssl"])
def test_imap(site: Site, far: Site, name: str) -> None:
    """The session is the other host's; what is pipelined behind the log-in gets there."""
    back = far.start()
    daemon = front(site, name, back.port)
    with daemon.connect() as peer:
        peer.send(b'a LOGIN %b "se\\"cret"\r\nb SELECT INBOX\r\n' % USERID.encode())
        assert peer.line() == b"a OK connected to proxy server.\r\n"
        assert b"* 1 EXISTS\r\n" in peer.until(b"b OK ")
        assert MESSAGE.replace(b"\n", b"\r\n") in b"".join(peer.command("FETCH 1 BODY[]"))
        peer.command("LOGOUT")
        assert peer.rest() == b""
    tls = ", starttls=1" if name == "imapd-ssl" else ""
    daemon.wait_for_log(
        rf"^INFO: LOGIN, user=far@example\.com, ip=\[::ffff:127\.0\.0\.1\], port=\[\d+\], protocol=IMAP{tls}$"
    )
    back.wait_for_log("^INFO: LOGOUT, user=far@example.com, ")
    assert "LOGOUT, user" not in daemon.log
    check_logs(daemon, back)


def test_smap(site: Site, far: Site) -> None:
    """As Cone quotes a password, and with what is pipelined behind the log-in."""
    back = far.start(SMAP_CAPABILITY="SMAP1")
    daemon = front(site, "imapd", back.port, SMAP_CAPABILITY="SMAP1")
    with daemon.connect() as peer:
        peer.send(b'\\SMAP1 LOGIN "%b" "se""cret"\nSTATUS FULL INBOX\nLOGOUT\n' % USERID.encode())
        assert peer.rest().splitlines() == [
            b"+OK connected to proxy server.",
            b"* STATUS EXISTS=1 UNSEEN=1",
            b"+OK Folder status retrieved",
            b"* BYE Courier-SMAP server shutting down",
            b"+OK LOGOUT completed",
        ]
    daemon.wait_for_log(r"^INFO: LOGIN, user=far@example\.com, .*, protocol=SMAP1$")
    check_logs(daemon, back)


@pytest.mark.parametrize("name", ["pop3d", "pop3d-ssl"])
def test_pop3(site: Site, far: Site, name: str) -> None:
    back = far.start("pop3d")
    daemon = front(site, name, back.port)
    with daemon.connect() as peer:
        peer.send(b"UTF8\r\nUSER far@example.com\r\nPASS " + PASSWORD.encode() + b"\r\nSTAT\r\n")
        peer.line()
        assert peer.line() == b"+OK Password required.\r\n"
        assert peer.line() == b"+OK Connected to proxy server.\r\n"
        assert peer.line() == b"+OK 1 27\r\n"
        peer.send(b"QUIT\r\n")
        assert peer.rest() == b"+OK Bye-bye.\r\n"
    tls = ", stls=1" if name == "pop3d-ssl" else ""
    daemon.wait_for_log(rf"^INFO: LOGIN, user=far@example\.com, .*, protocol={tls}$")
    check_logs(daemon, back)


@pytest.mark.parametrize("how", ["STARTTLS", "TLS"])
@pytest.mark.parametrize("proto", ["IMAP", "POP3"])
def test_encrypted_to_the_other_host(site: Site, far: Site, proto: str, how: str) -> None:
    """A host whose certificate is vouched for gets the password."""
    name = "imapd" if proto == "IMAP" else "pop3d"
    back = far.start(name if how == "STARTTLS" else f"{name}-ssl")
    trusted = site.etc / "trusted.pem"
    trusted.write_bytes(far.authority.certificate_pem)
    daemon = front(
        site, name, back.port, **{f"{proto}_PROXY_TLS": how}, TLS_TRUSTCERTS=str(trusted)
    )
    if proto == "IMAP":
        with daemon.connect() as peer:
            assert b" OK connected" in peer.command(f'LOGIN {USERID} "se\\"cret"')[-1]
            assert b"* 1 EXISTS\r\n" in peer.command("SELECT INBOX")
    else:
        pop = poplib.POP3("127.0.0.1", daemon.port, 30)
        pop.user(USERID)
        assert pop.pass_(PASSWORD) == b"+OK Connected to proxy server."
        assert pop.stat()[0] == 1
        pop.quit()
    back.wait_for_log("^INFO: LOGIN, .*tls=1$")
    check_logs(daemon, back)


def test_host_that_nobody_vouches_for(site: Site, far: Site) -> None:
    """It never sees the password."""
    back = far.start("imapd-ssl")
    trusted = site.etc / "trusted.pem"
    trusted.write_bytes(site.authority.certificate_pem)
    daemon = front(site, "imapd", back.port, IMAP_PROXY_TLS="TLS", TLS_TRUSTCERTS=str(trusted))
    with daemon.connect() as peer:
        answer = peer.command(f'LOGIN {USERID} "se\\"cret"')[-1]

    assert answer.endswith(b" NO [UNAVAILABLE] Login failed.\r\n")
    daemon.wait_for_log("^WARN: TLS with localhost: ")
    assert "LOGIN" not in back.log + daemon.log


def test_second_host(site: Site, far: Site) -> None:
    """Where the first one is away the second one serves."""
    back = far.start()
    daemon = front(site, "imapd", back.port, "127.0.0.9", "localhost")
    with daemon.connect() as peer:
        assert b" OK connected" in peer.command(f'LOGIN {USERID} "se\\"cret"')[-1]
    daemon.wait_for_log("^WARN: Cannot connect to 127.0.0.9: Connection refused$")


def test_accounts_that_are_served_here(site: Site) -> None:
    """Those without a host, of which the log warns, and those of this host."""
    here = socket.gethostname()
    daemon = front(site, "imapd", free_port(), PROXY_HOSTNAME="mx.example.com")
    site.add_account("own@example.com", "pw", OPTIONS=f"mailhost={here}")
    site.add_account("alias@example.com", "pw", OPTIONS="mailhost=mx.example.com")
    for userid in ("u@example.com", "own@example.com", "alias@example.com"):
        with daemon.session(userid) as peer:
            assert b" OK " in peer.command("SELECT INBOX")[-1]
    daemon.wait_for_log("^WARN: proxy enabled, but no proxy host defined for u@example.com$")
    assert daemon.log.count("no proxy host") == 1


def test_host_that_is_away_and_comes_back(site: Site, far: Site) -> None:
    """The client may try again on the same connection; nobody is banned for it."""
    port = free_port()
    daemon = front(site, "imapd", port)
    with daemon.connect() as peer:
        answer = peer.command(f'LOGIN {USERID} "se\\"cret"')[-1]
        assert answer.endswith(b" NO [UNAVAILABLE] Login failed.\r\n")
        far.start(port=port)
        assert b" OK connected" in peer.command(f'LOGIN {USERID} "se\\"cret"')[-1]
        assert b"* 1 EXISTS\r\n" in peer.command("SELECT INBOX")
    daemon.wait_for_log("^WARN: Cannot connect to localhost: Connection refused$")
    assert "LOGIN FAILED" not in daemon.log


def test_settings_for_one_client(site: Site, far: Site) -> None:
    """The access file may say who is passed on, and that the hosts behind are foreign."""
    back = far.start()
    (site.etc / "imapaccess").write_text("127.0.0.1\tallow,IMAP_PROXY=1,IMAP_PROXY_FOREIGN=1\n")
    daemon = front(site, "imapd", back.port, IMAP_PROXY="0")
    with daemon.connect() as peer:
        lines = peer.command(f'LOGIN {USERID} "se\\"cret"')
        assert lines[0].startswith(b"* CAPABILITY IMAP4rev1 ")
        assert lines[-1].endswith(b" OK CAPABILITY completed\r\n")
        assert b"* 1 EXISTS\r\n" in peer.command("SELECT INBOX")


def test_limits_count_what_is_passed_on(site: Site, far: Site) -> None:
    """MAXPERIP holds for as long as the other host's session lasts, and no longer."""
    back = far.start()
    daemon = front(site, "imapd", back.port, MAXPERIP="1")
    with daemon.let_in() as peer:
        peer.command(f'LOGIN {USERID} "se\\"cret"')
        with daemon.raw() as second:
            assert second.recv(1) == b""
    back.wait_for_log("DISCONNECTED, user=far")

    def again() -> bool:
        with daemon.raw() as third:
            return third.recv(1) != b""

    wait_until(again)


@pytest.mark.root
def test_as_whom_it_runs(site: Site, far: Site) -> None:
    """LOGIN_USER, without groups and without a way back; workers never see the client."""
    if os.geteuid() != 0:
        missing("root's rights")
    back = far.start()
    daemon = front(site, "imapd", back.port)
    with daemon.connect() as peer:
        peer.command(f'LOGIN {USERID} "se\\"cret"')
        (proxy,) = daemon.workers()
        known = status(proxy)
        nobody = pwd.getpwnam("nobody")
        assert known["Uid"].split() == [str(nobody.pw_uid)] * 4
        assert known["Gid"].split() == [str(nobody.pw_gid)] * 4
        assert known["Groups"] == ""
        assert known["NoNewPrivs"] == "1"
        assert int(known["CapEff"], 16) == 0
        assert b"imapd: proxy" in Path(f"/proc/{proxy}/cmdline").read_bytes()


def test_proxy_that_is_killed(site: Site, far: Site) -> None:
    """Its clients' connections close, others go on, and the next log-in gets a new one."""
    back = far.start()
    daemon = front(site, "imapd", back.port)
    with daemon.session() as other, daemon.connect() as peer:
        peer.command(f'LOGIN {USERID} "se\\"cret"')
        cmdline = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in daemon.workers()}
        (proxy,) = (pid for pid, line in cmdline.items() if b"proxy" in line)
        os.kill(proxy, 9)
        assert peer.rest() == b""
        assert b" OK " in other.command("NOOP")[-1]
    with daemon.connect() as peer:
        assert b" OK connected" in peer.command(f'LOGIN {USERID} "se\\"cret"')[-1]


# --- Real Courier ---------------------------------------------------------------------------------------


@pytest.fixture
def courier(tmp_path: Path) -> Iterator[CourierRoot]:
    """Real Courier's programs with its authdaemond, in a root directory; no account yet."""
    if not authdaemon.is_root():
        missing("root's rights, for chroot and mount namespaces")
    for program in (*courier_root.NEEDED, "usr/lib/courier/courier/courierpop3login"):
        if not (COURIER / program).exists():
            missing("Debian's Courier, see `make tools`")
    root = courier_root.make(tmp_path / "root")
    (root.path / "etc/hosts").write_text("127.0.0.1 localhost\n")
    with (root.path / "etc/nsswitch.conf").open("a") as written:
        written.write("hosts: files\nservices: files\n")
    yield root


@pytest.fixture
def courier_account(courier: CourierRoot, far: Site) -> Iterator[CourierRoot]:
    """The far account: its home is bound into Courier's root directory."""
    home = courier.path / "home"
    home.mkdir()
    subprocess.run(["mount", "--bind", str(far.homes / USERID), str(home)], check=True)
    add_accounts(courier, {USERID: "x=1"}, "/home")
    daemon = authdaemon.start_inside(courier, {"authmodulelist": "authuserdb"}, ours=False)
    yield courier
    daemon.stop()
    subprocess.run(["umount", str(home)], check=True)


def add_accounts(root: CourierRoot, options: dict[str, str], home: str) -> None:
    """Make Courier's userdb of these, all with one password."""
    hashed = subprocess.run(
        ["openssl", "passwd", "-6", PASSWORD], capture_output=True, text=True, check=True
    ).stdout.strip()
    source = root.configuration / "userdb"
    source.write_text(
        "".join(
            f"{userid}\tuid=5000|gid=5000|home={home}|systempw={hashed}|options={one}\n"
            for userid, one in options.items()
        )
    )
    source.chmod(0o600)
    userdb_source.build(source)


PROGRAMS = {
    "imapd": ["/usr/lib/courier/courier/imaplogin", "/opt/usr/bin/imapd", "Maildir"],
    "pop3d": [
        "/usr/lib/courier/courier/courierpop3login",
        "/usr/lib/courier/courier/courierpop3d",
        "Maildir",
    ],
}


@pytest.mark.courier
@pytest.mark.root
@pytest.mark.parametrize("name", ["imapd", "pop3d"])
def test_ours_before_courier(
    site: Site, courier_account: CourierRoot, name: str, tmp_path: Path
) -> None:
    """Through couriertcpd."""
    port = free_port()
    with (tmp_path / "log").open("wb") as written:
        tcpd = courier_account.start(
            ["couriertcpd", "-nodnslookup", "-address=127.0.0.1", str(port), *PROGRAMS[name]],
            written,
            {"IMAP_CAPABILITY": "IMAP4rev1"},
        )
    try:
        wait_until(lambda: is_listening(port), (tmp_path / "log").read_text)
        daemon = front(site, name, port)
        with daemon.connect() as peer:
            if name == "imapd":
                said = peer.command(f'LOGIN {USERID} "se\\"cret"')[-1]
                assert said.endswith(b" OK connected to proxy server.\r\n")
                assert b"* 1 EXISTS\r\n" in peer.command("SELECT INBOX")
                assert b"Subject: far away\r\n" in peer.command("FETCH 1 BODY[]")
            else:
                peer.send(f"USER {USERID}\r\nPASS {PASSWORD}\r\nSTAT\r\n".encode())
                peer.line()
                assert peer.line() == b"+OK Connected to proxy server.\r\n"
                assert peer.line() == b"+OK 1 27\r\n"
    finally:
        tcpd.kill()
        tcpd.wait()


def is_listening(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True


class CourierFront:
    """Real Courier's log-in program with proxying on; its connection is a pair of sockets."""

    def __init__(self, root: CourierRoot, name: str, port: int, **settings: str) -> None:
        (root.path / "etc/services").write_text(f"imap\t{port}/tcp\npop3\t{port}/tcp\n")
        variables = {
            "TCPREMOTEIP": "::ffff:127.0.0.1",
            "TCPREMOTEPORT": "1",
            "TCPLOCALPORT": "143" if name == "imapd" else "110",
            "IMAP_PROXY": "1",
            "POP3_PROXY": "1",
            **settings,
        }
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                root.command_line(PROGRAMS[name]),
                stdin=theirs,
                stdout=theirs,
                stderr=subprocess.PIPE,
                env=root.variables(variables),
            )
        self.peer = Peer(ours)

    def log(self) -> str:
        """End it; what it has logged."""
        self.peer.close()
        return self._process.communicate(timeout=30)[1].decode()


@pytest.fixture
def courier_front(courier: CourierRoot) -> Iterator[CourierRoot]:
    add_accounts(courier, {USERID: "mailhost=localhost"}, "/tmp")
    daemon = authdaemon.start_inside(courier, {"authmodulelist": "authuserdb"}, ours=False)
    yield courier
    daemon.stop()


@pytest.mark.courier
@pytest.mark.root
@pytest.mark.parametrize("name", ["imapd", "pop3d"])
def test_courier_before_ours(far: Site, courier_front: CourierRoot, name: str) -> None:
    """Our server as the far end of real Courier's proxy."""
    back = far.start(name)
    real = CourierFront(courier_front, name, back.port)
    real.peer.line()
    if name == "imapd":
        said = real.peer.command(f'LOGIN {USERID} "se\\"cret"')[-1]
        assert said.endswith(b" OK connected to proxy server.\r\n")
        assert b"* 1 EXISTS\r\n" in real.peer.command("SELECT INBOX")
    else:
        real.peer.send(f"USER {USERID}\r\n".encode())
        real.peer.line()
        real.peer.send(f"PASS {PASSWORD}\r\n".encode())
        assert real.peer.line() == b"+OK Connected to proxy server.\r\n"
        real.peer.send(b"STAT\r\n")
        assert real.peer.line() == b"+OK 1 27\r\n"
    real.log()


class Script:
    """Another host that says fixed lines, one for each that it hears, and closes in the end."""

    def __init__(self, host: str, port: int, lines: list[bytes]) -> None:
        self._listener = socket.create_server((host, port))
        self.heard: list[bytes] = []
        self._thread = threading.Thread(target=self._serve, args=(lines,), daemon=True)
        self._thread.start()

    def _serve(self, lines: list[bytes]) -> None:
        connection, _ = self._listener.accept()
        with connection, connection.makefile("rb") as heard:
            for at, line in enumerate(lines):
                if at:
                    self.heard.append(heard.readline())
                connection.sendall(line)

    def end(self) -> list[bytes]:
        self._thread.join(30)
        self._listener.close()
        return self.heard


#: What the other host says; each has an address of its own, and the account its name.
CONVERSATIONS = {
    "imapd": {
        "127.0.1.1": [b"* OK x\r\n", b"* CAPABILITY x\r\n* 1 y\r\ntag OK in\r\n"],
        "127.0.1.2": [b"* PREAUTH x\r\n"],
        "127.0.1.3": [b"* OK " + b"x" * 600 + b"\r\n", b"tag NO bad\r\n"],
        "127.0.1.4": [b"* OK\r\n", b"tag OK\r\n"],
    },
    "pop3d": {
        "127.0.1.1": [b"+OK x\r\n", b"+OK\r\n", b"+OK in\r\n"],
        "127.0.1.2": [b"-ERR busy\r\n"],
        "127.0.1.3": [b"+OK\r\n", b"-ERR\r\n"],
        "127.0.1.4": [b"+OK\r\n", b"+OK\r\n", b"-ERR\r\n"],
    },
}


@pytest.mark.courier
@pytest.mark.root
@pytest.mark.parametrize("name", CONVERSATIONS)
def test_conversation_is_couriers(site: Site, courier: CourierRoot, name: str) -> None:
    """What the other host hears, what the client hears, and what is logged about the host."""
    cases = CONVERSATIONS[name]
    add_accounts(courier, {host: f"mailhost={host}" for host in cases}, "/tmp")
    authenticating = authdaemon.start_inside(courier, {"authmodulelist": "authuserdb"}, ours=False)
    port_theirs, port_ours = free_port(), free_port()
    theirs = {host: Script(host, port_theirs, lines) for host, lines in cases.items()}
    ours = {host: Script(host, port_ours, lines) for host, lines in cases.items()}
    for host in cases:
        site.add_account(host, PASSWORD, PASSWD2=PASSWORD, OPTIONS=f"mailhost={host}")
    plain = "IMAP_EXTENSIONS" if name == "imapd" else "POP3_EXTENSIONS"  # without response codes
    daemon = front(site, name, port_ours, **{plain: "0"})
    real = {host: CourierFront(courier, name, port_theirs) for host in cases}
    peers = {host: daemon.connect() for host in cases}
    for host, one in real.items():
        one.peer.line()
        for peer in (one.peer, peers[host]):
            said = f"USER {host}\r\nPASS {PASSWORD}\r\n"
            if name == "imapd":
                said = f'tag LOGIN {host} "se\\"cret"\r\n'
            peer.send(said.encode())
    client_theirs, log_theirs, client_ours = {}, [], {}
    for host, one in real.items():
        client_theirs[host] = heard(one.peer)
        log_theirs += of_host(one.log())
        client_ours[host] = heard(peers[host])
        peers[host].close()
    authenticating.stop()

    assert client_ours == client_theirs
    assert {host: one.end() for host, one in ours.items()} == {
        host: one.end() for host, one in theirs.items()
    }
    daemon.wait_for_log("WARN: |INFO: LOGIN, ", len(log_theirs))
    assert sorted(of_host(daemon.log)) == sorted(log_theirs)


def heard(peer: Peer) -> bytes:
    """What the client is told of its log-in."""
    said = peer.line()
    while said.endswith(b"+OK Password required.\r\n"):
        said += peer.line()
    return said


def of_host(log: str) -> list[str]:
    """The lines about another host, and those of a log-in there, without the client's port."""
    found = [line for line in log.splitlines() if re.match(r"WARN: |INFO: LOGIN, ", line)]
    return [re.sub(r"port=\[\d+\]", "", line) for line in found]

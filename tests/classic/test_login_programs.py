"""imaplogin and courierpop3login between couriertcpd and a session: ours and Debian's, in every mixture.

All run in Courier's root directory (`courier_root`), with its authdaemond.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import missing
from tests.courier.net.authority import authority
from tests.support.courier_server import CourierServer
from tests.support.daemon import Site

pytestmark = [pytest.mark.root, pytest.mark.courier, pytest.mark.slow]

MODULES = {
    "couriertls": "classic.couriertls",
    "imaplogin": "imapd.imaplogin",
    "pop3login": "pop3d.pop3login",
    "imapd": "imapd",
    "pop3d": "pop3d",
}
PLACES = {
    ("courier", "couriertls"): "/opt/usr/bin/couriertls",
    ("courier", "imaplogin"): "/usr/lib/courier/courier/imaplogin",
    ("courier", "pop3login"): "/usr/lib/courier/courier/courierpop3login",
    ("courier", "imapd"): "/opt/usr/bin/imapd",
    ("courier", "pop3d"): "/usr/lib/courier/courier/courierpop3d",
    **{("ours", name): f"/ours/{name}" for name in MODULES},
}
SETTINGS = {"IMAP_CAPABILITY": "IMAP4rev1 IDLE", "POP3AUTH": "PLAIN"}
EITHER = ("ours", "courier")


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    if os.geteuid() != 0:
        missing("root's rights, for a root directory")
    site = Site()
    yield site
    site.close()


@pytest.fixture(scope="module")
def server(site: Site) -> Iterator[CourierServer]:
    """The root directory, an account in it, and authdaemond."""
    server = CourierServer(site)
    try:
        server.add_account("one@example.com", "secret")
        for name, module in MODULES.items():
            server.add_program(f"/ours/{name}", f'exec /usr/bin/python3 -m {module} "$@"\n')
        # What a session learns by its environment, and what it is.
        server.add_program(
            "/ours/told",
            'echo "$# $1 $(pwd) $(id -u):$(id -g):$(id -G) $(umask)"\nenv\necho end\n',
        )
        yield server
    finally:
        server.close()


class Talk:
    """One client."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 30)
        self._rest = b""

    def __enter__(self) -> Talk:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def line(self) -> str:
        while b"\n" not in self._rest:
            data = self.socket.recv(4096)
            assert data, f"closed behind {self._rest!r}"
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode().rstrip("\r")

    def until(self, beginning: str) -> str:
        while not (line := self.line()).startswith(beginning):
            pass
        return line

    def say(self, text: str) -> None:
        self.socket.sendall(text.encode() + b"\r\n")

    def rest(self) -> str:
        read = self._rest
        while data := self.socket.recv(4096):
            read += data
        return read.decode()


def told(text: str) -> tuple[str, dict[str, str]]:
    first, *lines = text.splitlines()
    assert lines.pop() == "end"
    return first, {name: value for name, _, value in (line.partition("=") for line in lines)}


@pytest.mark.parametrize("login", EITHER)
@pytest.mark.parametrize("session", EITHER)
def test_imap(login: str, session: str, server: CourierServer) -> None:
    """A client is let in, and its session answers the command that did it."""
    command = [PLACES[login, "imaplogin"], PLACES[session, "imapd"], "Maildir"]
    with Talk(server.run(command, **SETTINGS)) as talk:
        assert talk.line().startswith("* OK [CAPABILITY IMAP4rev1")
        talk.say("a1 LOGIN one@example.com secret")
        talk.until("a1 OK ")
        talk.say("a2 SELECT INBOX")
        assert "[READ-WRITE]" in talk.until("a2 ")
        talk.say("a3 LOGOUT")
        talk.until("a3 OK")


@pytest.mark.parametrize("login", EITHER)
@pytest.mark.parametrize("session", EITHER)
def test_pop3(login: str, session: str, server: CourierServer) -> None:
    command = [PLACES[login, "pop3login"], PLACES[session, "pop3d"], "Maildir"]
    with Talk(server.run(command, **SETTINGS)) as talk:
        assert talk.line() == "+OK Hello there."
        talk.say("USER one@example.com")
        assert talk.line() == "+OK Password required."
        talk.say("PASS secret")
        assert talk.line() == "+OK logged in."
        talk.say("STAT")
        assert talk.line() == "+OK 0 0"
        talk.say("QUIT")
        assert talk.line().startswith("+OK ")


@pytest.mark.parametrize("login", EITHER)
def test_what_an_imap_session_learns(login: str, server: CourierServer) -> None:
    """By arguments, environment, directory and ids."""
    command = [PLACES[login, "imaplogin"], "/ours/told", "Maildir"]
    with Talk(server.run(command, **SETTINGS, OWN="kept")) as talk:
        talk.line()
        talk.say("a17 LOGIN one@example.com secret")
        first, variables = told(talk.rest())

    assert first == "1 Maildir /home 5000:5000:5000 0022"
    assert {name: variables[name] for name in ("AUTHENTICATED", "OPTIONS", "IMAPLOGINTAG")} == {
        "AUTHENTICATED": "one@example.com",
        "OPTIONS": "",
        "IMAPLOGINTAG": "a17",
    }
    assert variables["PROTOCOL"] == "IMAP"
    assert variables["OWN"] == "kept"
    assert variables["TCPREMOTEIP"] == "::ffff:127.0.0.1"


@pytest.mark.parametrize("login", EITHER)
@pytest.mark.parametrize("utf8", ["0", "1"])
def test_what_a_pop3_session_learns(login: str, utf8: str, server: CourierServer) -> None:
    command = [PLACES[login, "pop3login"], "/ours/told", "Maildir"]
    with Talk(server.run(command, **SETTINGS)) as talk:
        talk.line()
        if utf8 == "1":
            talk.say("UTF8")
            talk.line()
        talk.say("USER one@example.com")
        talk.line()
        talk.say("PASS secret")
        first, variables = told(talk.rest())

    assert first == "1 Maildir /home 5000:5000:5000 0022"
    assert (variables["AUTHENTICATED"], variables["UTF8"]) == ("one@example.com", utf8)


@pytest.mark.parametrize("login", EITHER)
@pytest.mark.parametrize("couriertls", EITHER)
def test_starttls(
    login: str, couriertls: str, server: CourierServer, site: Site, tmp_path: Path
) -> None:
    """Each log-in program has each couriertls encrypt its connection."""
    signer = authority()
    signer.sign("localhost").combined(tmp_path / "imapd.pem")
    server.add_file("/etc/courier/imapd.pem", (tmp_path / "imapd.pem").read_bytes())
    command = [PLACES[login, "imaplogin"], "/ours/told", "Maildir"]
    port = server.run(
        command,
        **SETTINGS,
        IMAP_STARTTLS="YES",
        IMAP_TLS_REQUIRED="1",
        COURIERTLS=PLACES[couriertls, "couriertls"],
        TLS_CERTFILE="/etc/courier/imapd.pem",
        TLS_VERIFYPEER="NONE",
    )
    with Talk(port) as talk:
        assert "STARTTLS" in talk.line()
        talk.say("a0 LOGIN one@example.com secret")
        assert "STARTTLS required" in talk.line()
        talk.say("a1 STARTTLS")
        assert talk.line().startswith("a1 OK")
        context = ssl.create_default_context(cadata=signer.certificate_pem.decode())
        talk.socket = context.wrap_socket(talk.socket, server_hostname="localhost")
        talk.say("a2 CAPABILITY")
        assert "STARTTLS" not in talk.line()
        talk.line()
        talk.say("a3 LOGIN one@example.com secret")
        _, variables = told(talk.rest())

    assert variables["IMAP_TLS"] == "1"
    assert (variables["IMAP_STARTTLS"], variables["IMAP_TLS_REQUIRED"]) == ("NO", "0")


@pytest.mark.parametrize("login", EITHER)
@pytest.mark.parametrize("couriertls", EITHER)
def test_tls_from_the_beginning(
    login: str, couriertls: str, server: CourierServer, tmp_path: Path
) -> None:
    """couriertls before the log-in program, as on port 993; a session's certificate is known there."""
    signer = authority()
    signer.sign("localhost").combined(tmp_path / "imapd.pem")
    server.add_file("/etc/courier/imapd.pem", (tmp_path / "imapd.pem").read_bytes())
    server.add_file("/etc/courier/trusted.pem", signer.certificate_pem)
    own = signer.sign("one@example.com").combined(tmp_path / "own.pem")
    port = server.run(
        [
            *(PLACES[couriertls, "couriertls"], "-server", "-tcpd", "-user=courier"),
            *(PLACES[login, "imaplogin"], "/ours/told", "Maildir"),
        ],
        **SETTINGS,
        IMAP_TLS="1",
        TLS_CERTFILE="/etc/courier/imapd.pem",
        TLS_TRUSTCERTS="/etc/courier/trusted.pem",
        TLS_VERIFYPEER="PEER",
        TLS_EXTERNAL="CN",
    )
    context = ssl.create_default_context(cadata=signer.certificate_pem.decode())
    context.load_cert_chain(own)
    with Talk(port) as talk:
        talk.socket = context.wrap_socket(talk.socket, server_hostname="localhost")
        assert "AUTH=EXTERNAL" in talk.line()
        talk.say("a1 AUTHENTICATE EXTERNAL =")
        if (line := talk.line()).startswith("+"):
            talk.say("")
            line = talk.line()
        _, variables = told(f"{line}\n{talk.rest()}")

    assert variables["AUTHENTICATED"] == "one@example.com"
    assert variables["TLS_SUBJECT_CN"] == "one@example.com"
    assert "256bits" in variables["TLS_CONNECTED_PROTOCOL"]


@pytest.mark.parametrize("login", EITHER)
@pytest.mark.parametrize(
    ("program", "arguments", "said"),
    [
        ("imaplogin", ["/ours/told"], "* BYE imaplogin expected exactly two arguments.\r\n"),
        ("imaplogin", ["a", "b", "c"], "* BYE imaplogin expected exactly two arguments.\r\n"),
        ("pop3login", [], "-ERR pop3login requires exactly two arguments.\r\n"),
    ],
)
def test_wrong_arguments(
    login: str, program: str, arguments: list[str], said: str, server: CourierServer
) -> None:
    with Talk(server.run([PLACES[login, program], *arguments], **SETTINGS)) as talk:
        heard = talk.rest()

    assert heard.endswith(said)


@pytest.mark.parametrize("login", EITHER)
def test_session_that_is_not_there(login: str, server: CourierServer) -> None:
    """Nobody is told that he is in."""
    command = [PLACES[login, "imaplogin"], "/nowhere/imapd", "Maildir"]
    with Talk(server.run(command, **SETTINGS)) as talk:
        talk.line()
        talk.say("a1 LOGIN one@example.com secret")
        assert " OK" not in talk.line()


@pytest.mark.parametrize("login", EITHER)
def test_wrong_password(login: str, server: CourierServer) -> None:
    """It is answered late, and the client may try again."""
    command = [PLACES[login, "imaplogin"], "/ours/told", "Maildir"]
    with Talk(server.run(command, **SETTINGS)) as talk:
        talk.line()
        talk.say("a1 LOGIN one@example.com wrong")
        assert "Login failed." in talk.until("a1 NO ")
        talk.say("a2 LOGIN one@example.com secret")
        _, variables = told(talk.rest())

    assert variables["IMAPLOGINTAG"] == "a2"


def test_modules_as_arguments(server: CourierServer) -> None:
    """As with Courier of long ago: authentication modules before the session program."""
    modules = ["/usr/lib/courier/authlib/authuserdb", "authpam"]
    command = ["/ours/imaplogin", *modules, "/ours/imapd", "./Maildir"]
    with Talk(server.run(command, **SETTINGS)) as talk:
        talk.line()
        talk.say("a1 LOGIN one@example.com secret")
        assert talk.line().startswith("a1 OK ")


@pytest.mark.parametrize("session", EITHER)
def test_commands_behind_the_log_in(session: str, server: CourierServer) -> None:
    """What a client sends in one go is all answered. Courier: the rest is lost."""
    command = ["/ours/imaplogin", PLACES[session, "imapd"], "Maildir"]
    with Talk(server.run(command, **SETTINGS)) as talk:
        talk.line()
        talk.say("a1 NOOP\r\na2 LOGIN one@example.com {6}")
        talk.until("+ ")
        talk.say("secret\r\na3 NOOP\r\na4 LOGOUT")
        assert [talk.until(f"a{number} ")[:5] for number in (2, 3, 4)] == [
            "a2 OK",
            "a3 OK",
            "a4 OK",
        ]


def test_commands_behind_starttls(server: CourierServer, tmp_path: Path) -> None:
    """What is sent in plain text behind STARTTLS is nobody's command (RFC 3501 6.2.1)."""
    signer = authority()
    signer.sign("localhost").combined(tmp_path / "imapd.pem")
    server.add_file("/etc/courier/imapd.pem", (tmp_path / "imapd.pem").read_bytes())
    port = server.run(
        ["/ours/imaplogin", "/ours/told", "Maildir"],
        **SETTINGS,
        IMAP_STARTTLS="YES",
        COURIERTLS="/ours/couriertls",
        TLS_CERTFILE="/etc/courier/imapd.pem",
    )
    with Talk(port) as talk:
        talk.line()
        talk.say("a1 STARTTLS\r\na2 LOGIN one@example.com secret")
        assert talk.line().startswith("a1 OK")
        context = ssl.create_default_context(cadata=signer.certificate_pem.decode())
        with pytest.raises((ssl.SSLError, ConnectionError)):
            context.wrap_socket(talk.socket, server_hostname="localhost")


@pytest.mark.parametrize("program", ["imaplogin", "pop3login"])
def test_without_a_super_server(program: str, server: CourierServer) -> None:
    """Standard input and output may be pipes; nothing is told of the client then."""
    lines = {
        "imaplogin": b"a1 LOGIN one@example.com secret\r\n",
        "pop3login": b"USER one@example.com\r\nPASS secret\r\n",
    }
    done = server.once([f"/ours/{program}", "/ours/told", "Maildir"], lines[program], SETTINGS)

    said = done.stdout.decode()
    _, variables = told(said[said.index("1 Maildir ") :])
    assert (variables["TCPREMOTEIP"], variables["TCPREMOTEPORT"]) == ("127.0.0.1", "N/A")


def test_end_by_signal(server: CourierServer) -> None:
    """A client that is not logged in is told that the server stops."""
    process = server.open(["/ours/imaplogin", "/ours/told", "Maildir"], SETTINGS)
    assert process.stdin and process.stdout
    assert process.stdout.readline().startswith(b"* OK ")
    process.stdin.write(b"a1 NOOP\r\n")
    process.stdin.flush()
    assert process.stdout.readline().startswith(b"a1 OK")

    process.terminate()

    assert b"* BYE " in process.stdout.read()
    process.wait(30)

"""couriertls as a client, ours and Debian's: whom it believes, and what it says before TLS."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.classic.conftest import Find, Program
from tests.courier.net.authority import Signed

pytestmark = pytest.mark.slow


@pytest.fixture
def program(find: Find) -> Program:
    return find("couriertls")


class Server:
    """One connection's server: plain lines first, then TLS, then an echo."""

    def __init__(self, signer: Signed, directory: Path, script: list[tuple[bytes, bytes]]) -> None:
        own = signer.sign("localhost").combined(directory / "echo.pem")
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(own)
        self._script = script
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.said: list[bytes] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._thread.join(20)
        self._listening.close()

    def _serve(self) -> None:
        client, _ = self._listening.accept()
        client.settimeout(20)
        try:
            with client:
                for expected, answer in self._script:
                    line = b""
                    while expected and not line.endswith(b"\n"):
                        line += client.recv(1)
                    self.said.append(line)
                    client.sendall(answer.replace(b"TAG", line.split(b" ")[0]))
                with self._context.wrap_socket(client, server_side=True) as encrypted:
                    while data := encrypted.recv(65_536):
                        encrypted.sendall(b"echo " + data)
                        if b"bye" in data:
                            return
        except (OSError, ValueError):
            pass  # the client didn't like it


@pytest.fixture
def echo(signer: Signed, tmp_path: Path) -> Iterator[Callable[..., Server]]:
    started: list[Server] = []

    def start(*script: tuple[bytes, bytes]) -> Server:
        started.append(Server(signer, tmp_path, list(script)))
        return started[-1]

    yield start
    for server in started:
        server.close()


Connect = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def connect(program: Program) -> Connect:
    """Run a client that says good-bye, and give what it heard."""

    def run(server: Server, *arguments: str, **more: str) -> subprocess.CompletedProcess[bytes]:
        process = subprocess.Popen(
            program("-host=127.0.0.1", f"-port={server.port}", *arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**program.environment, **more},
        )
        assert process.stdin and process.stdout and process.stderr
        heard = b""
        try:
            process.stdin.write(b"bye\n")
            process.stdin.flush()
            heard = process.stdout.read()
            process.stdin.close()
        except BrokenPipeError:
            pass
        said = process.stderr.read()
        process.stdout.close()
        process.stderr.close()
        return subprocess.CompletedProcess((), process.wait(20), heard, said)

    return run


def test_client(echo: Callable[..., Server], connect: Connect) -> None:
    """Whom it connects to doesn't matter with TLS_VERIFYPEER=NONE."""
    done = connect(echo(), TLS_VERIFYPEER="NONE")

    assert (done.returncode, done.stdout) == (0, b"echo bye\n")


def test_client_with_a_program(echo: Callable[..., Server], program: Program) -> None:
    """The program has the connection as its input and output."""
    server = echo()
    done = subprocess.run(
        program(
            "-host=127.0.0.1", f"-port={server.port}", "sh", "-c", 'echo bye; read x; echo "$x" >&2'
        ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=30,
        check=False,
        env={**program.environment, "TLS_VERIFYPEER": "NONE"},
    )

    assert b"echo bye\n" in done.stderr


def test_verified(echo: Callable[..., Server], connect: Connect, files: dict[str, str]) -> None:
    trusted = {name: files[name] for name in ("TLS_TRUSTCERTS", "TLS_VERIFYPEER")}

    done = connect(echo(), "-verify=localhost", **trusted)

    assert (done.returncode, done.stdout) == (0, b"echo bye\n")


def test_another_name(echo: Callable[..., Server], connect: Connect, files: dict[str, str]) -> None:
    """-verify wants a certificate for its domain."""
    trusted = {name: files[name] for name in ("TLS_TRUSTCERTS", "TLS_VERIFYPEER")}

    done = connect(echo(), "-verify=other.example", "-statusfd=2", **trusted)

    assert (done.returncode, done.stdout) == (1, b"")
    assert b"mismatch" in done.stderr


def test_nobody_is_trusted(echo: Callable[..., Server], connect: Connect) -> None:
    """Without TLS_VERIFYPEER=NONE a server's certificate has to be good."""
    done = connect(echo())

    assert (done.returncode, done.stdout) == (1, b"")
    assert b"ertificate" in done.stderr


@pytest.mark.parametrize(
    ("protocol", "script", "said"),
    [
        ("imap", [(b"", b"* OK hello\r\n"), (b"x", b"* CAPABILITY X\r\nTAG OK\r\n")], [b"STARTTLS"]),
        ("smtp", [(b"", b"220-hello\r\n220 you\r\n"), (b"x", b"250-localhost\r\n250 STARTTLS\r\n"),
                  (b"x", b"220 go\r\n")], [b"EHLO", b"STARTTLS"]),
        ("pop3", [(b"", b"+OK hello\r\n"), (b"x", b"+OK go\r\n")], [b"STLS"]),
    ],
)  # fmt: skip
def test_protocols(
    protocol: str,
    script: list[tuple[bytes, bytes]],
    said: list[bytes],
    echo: Callable[..., Server],
    connect: Connect,
    program: Program,
) -> None:
    """Encryption is asked for in the protocol's words, which are shown."""
    if protocol == "pop3" and not program.is_ours:
        pytest.skip("Debian 12's couriertls doesn't know POP3")
    server = echo(*script)

    done = connect(server, f"-protocol={protocol}", TLS_VERIFYPEER="NONE")

    lines = [line for line in server.said if line]
    assert all(word in line.upper() for word, line in zip(said, lines, strict=True))
    assert done.returncode == 0
    heard = done.stdout.splitlines(keepends=True)
    assert b"echo bye\n" in heard
    assert [line for line in heard if line in lines] == lines  # who debugs sees it all


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "couriertls: specify remote location.\n"),
        (["-host=127.0.0.1"], "couriertls: specify remote location.\n"),
        (["-zz"], "couriertls: Invalid option: -zz\n"),
        (["-host=127.0.0.1", "-port=1", "-protocol=foo"], "--protocol=foo - unknown protocol.\n"),
        (["-host=127.0.0.1", "-port=1"], "connect: Connection refused\n"),
        (["-host=nosuch.invalid", "-port=1"], "nosuch.invalid: not found.\n"),
        (["-remotefd=99"], ": Bad file descriptor\n"),
        (["-remotefd=0"], ": Socket operation on non-socket\n"),
    ],
)
def test_wrong_command_line(arguments: list[str], said: str, program: Program) -> None:
    """Exit code 1 and Courier's words."""
    if "-protocol=foo" in arguments:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            arguments = [*arguments, f"-port={listening.getsockname()[1]}"]
            done = run(program, arguments)
    else:
        done = run(program, arguments)

    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.decode().endswith(said)


def test_verify_without_trust(program: Program) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        done = run(
            program, ["-host=127.0.0.1", f"-port={listening.getsockname()[1]}", "-verify=localhost"]
        )

    assert (done.returncode, done.stderr) == (1, b"TLS_TRUSTCERTS not set\n")


def run(program: Program, arguments: list[str]) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        program(*arguments),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=program.environment,
        timeout=60,
        check=False,
    )

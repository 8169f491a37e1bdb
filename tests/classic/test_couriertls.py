"""couriertls, ours and Debian's, as servers and scripts call it."""

from __future__ import annotations

import os
import re
import signal
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.x509.oid import NameOID

from tests.classic.conftest import Find, Program
from tests.courier.net.authority import Signed, authority

pytestmark = pytest.mark.slow


@pytest.fixture
def program(find: Find) -> Program:
    return find("couriertls")


@pytest.fixture(scope="module")
def signer() -> Signed:
    return authority()


@pytest.fixture
def files(tmp_path: Path, signer: Signed) -> dict[str, str]:
    """What TLS_* name: a server's certificate, and whom to trust."""
    signer.sign("localhost").combined(tmp_path / "server.pem")
    (tmp_path / "trusted.pem").write_bytes(signer.certificate_pem)
    return {
        "TLS_CERTFILE": f"{tmp_path}/server.pem",
        "TLS_TRUSTCERTS": f"{tmp_path}/trusted.pem",
        "TLS_VERIFYPEER": "PEER",
    }


Serve = Callable[..., tuple[socket.socket, subprocess.Popen[bytes]]]


@pytest.fixture
def serve(program: Program, files: dict[str, str]) -> Iterator[Serve]:
    """Start a server on a connection, as couriertcpd does; give our end of it."""
    open_ends: list[tuple[socket.socket, subprocess.Popen[bytes]]] = []

    def start(*arguments: str, **more: str) -> tuple[socket.socket, subprocess.Popen[bytes]]:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            near = socket.create_connection(listening.getsockname(), 20)
            far, _ = listening.accept()
        with far:
            process = subprocess.Popen(
                program("-server", "-tcpd", *arguments),
                stdin=far,
                stdout=far,
                stderr=subprocess.PIPE,
                env={
                    **program.environment,
                    **files,
                    "TCPREMOTEIP": "::ffff:127.0.0.1",
                    "TCPLOCALIP": "::ffff:127.0.0.1",
                    **more,
                },
            )
        open_ends.append((near, process))
        return near, process

    yield start
    for near, process in open_ends:
        near.close()
        process.kill()
        process.communicate()


def trusting(signer: Signed, own: Path | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=signer.certificate_pem.decode())
    if own is not None:
        context.load_cert_chain(own)
    return context


def all_of(client: socket.socket) -> bytes:
    """Read to the end; a reset is one."""
    received = b""
    try:
        while data := client.recv(65_536):
            received += data
    except ConnectionResetError:
        pass
    return received


def test_server(serve: Serve, signer: Signed) -> None:
    """A program has the plain text; it is told what was agreed on."""
    script = 'read line; echo "<$line> $TLS_CONNECTED_PROTOCOL $TLS_SUBJECT_CN"'
    near, process = serve("sh", "-c", script)

    with trusting(signer).wrap_socket(near, server_hostname="localhost") as client:
        client.sendall(b"hello\n")
        said = all_of(client)
        assert re.fullmatch(rb"<hello> TLSv?1\.3,256bits,\S*AES_256_GCM_SHA384 \n", said)

    assert process.wait(20) == 0


def test_descriptors_of_the_program(serve: Serve, signer: Signed, program: Program) -> None:
    """It has the three that it needs. Courier: and the file with the private key."""
    near, process = serve("sh", "-c", "ls -l /proc/$$/fd")

    with trusting(signer).wrap_socket(near, server_hostname="localhost") as client:
        said = all_of(client).decode()

    assert ("server.pem" in said) is not program.is_ours
    if program.is_ours:
        assert sorted(re.findall(r" (\d+) ->", said)) == ["0", "1", "2"]
    assert process.wait(20) == 0


def test_certificate_of_a_client(serve: Serve, signer: Signed, tmp_path: Path) -> None:
    """-printx509 describes it; the program has its subject."""
    one = signer.sign("me", fields=[(NameOID.EMAIL_ADDRESS, "me@example.com")])
    own = one.combined(tmp_path / "client.pem")
    described, description = os.pipe()
    os.set_inheritable(description, True)
    os.close(described)
    near, process = serve("-printx509=2", "sh", "-c", "read x; echo $TLS_SUBJECT_EMAILADDRESS")
    os.close(description)

    with trusting(signer, own).wrap_socket(near, server_hostname="localhost") as client:
        client.sendall(b"\n")
        assert all_of(client) == b"me@example.com\n"

    assert process.stderr is not None
    said = process.stderr.read().decode().splitlines()
    lines = [line for line in said if not line.startswith("DEBUG: ")]
    assert lines[0] == "Subject:"
    assert sorted(lines[1:3]) == ["   cn=me", "   emailaddress=me@example.com"]
    assert lines[3] == ""
    assert "Bits: 256" in lines
    assert [line.split(":")[0] for line in lines[-3:]] == ["Version", "Bits", "Cipher"]


def test_certificate_of_a_stranger(serve: Serve, signer: Signed, tmp_path: Path) -> None:
    """Who shows one that nobody trusts is not served."""
    own = authority("Stranger").sign("me").combined(tmp_path / "client.pem")
    near, process = serve("echo", "served")

    with pytest.raises((ssl.SSLError, ConnectionError)):  # noqa: SIM117
        with trusting(signer, own).wrap_socket(near, server_hostname="localhost") as client:
            assert client.recv(9) == b""
            raise ConnectionError

    said = process.communicate(timeout=20)[1].decode()
    assert process.returncode == 1
    assert said.startswith("ip=[::ffff:127.0.0.1], ")
    assert "Peer's certificate not signed by a trusted authority" in said


def test_no_handshake(serve: Serve) -> None:
    """Who speaks no TLS is told so, and the program never runs."""
    near, process = serve("sh", "-c", "echo served; echo ran >&2")
    near.sendall(b"a LOGIN b c\r\n")

    assert b"served" not in all_of(near)
    said = process.communicate(timeout=20)[1].decode()
    assert process.returncode == 1
    assert said.startswith("ip=[::ffff:127.0.0.1], ")
    assert "ran" not in said


def test_missing_certificate(serve: Serve, signer: Signed) -> None:
    near, process = serve("echo", "served", TLS_CERTFILE="/nowhere.pem")

    with pytest.raises((ssl.SSLError, ConnectionError)):
        trusting(signer).wrap_socket(near, server_hostname="localhost")
    said = process.communicate(timeout=20)[1].decode()

    assert process.returncode == 1
    assert "nowhere.pem" in said


def test_much_both_ways(serve: Serve, signer: Signed) -> None:
    """Nothing is lost or mixed up when both sides write at once."""
    near, process = serve("cat")
    sent = os.urandom(1 << 20) * 4

    with trusting(signer).wrap_socket(near, server_hostname="localhost") as client:
        writer = threading.Thread(target=client.sendall, args=(sent,))
        writer.start()
        received = b""
        while len(received) < len(sent):
            data = client.recv(65_536)
            assert data
            received += data
        writer.join()
        assert received == sent
        client.unwrap().close()

    assert process.wait(20) == 0


def test_end_of_the_client(serve: Serve, signer: Signed) -> None:
    """The program sees the end of its input."""
    near, process = serve("sh", "-c", "cat >/dev/null; echo ended >&2")

    with trusting(signer).wrap_socket(near, server_hostname="localhost") as client:
        client.sendall(b"x")

    said = process.communicate(timeout=20)[1]
    assert b"ended\n" in said
    assert process.returncode == 0


def as_login_programs_do(program: Program, files: dict[str, str], remote: socket.socket) -> tuple[
    subprocess.Popen[bytes], socket.socket, int, int
]:  # fmt: skip
    """Start couriertls as imaplogin does for STARTTLS: with descriptors for all there is to say."""
    plain, theirs = socket.socketpair()
    status, tell_status = os.pipe()
    described, describe = os.pipe()
    passed = (theirs.fileno(), tell_status, describe)
    process = subprocess.Popen(
        program(
            f"-statusfd={tell_status}",
            f"-printx509={describe}",
            f"-localfd={theirs.fileno()}",
            "-tcpd",
            "-server",
        ),
        stdin=remote,
        stdout=remote,
        env={**program.environment, **files},
        pass_fds=passed,
    )
    theirs.close()
    for descriptor in passed[1:]:
        os.close(descriptor)
    return process, plain, status, described


def test_starttls(program: Program, files: dict[str, str], signer: Signed) -> None:
    """Status and description come to an end; then the plain side is at -localfd."""
    near, far = socket.socketpair()
    process, plain, status, described = as_login_programs_do(program, files, far)
    far.close()
    context = trusting(signer)

    with context.wrap_socket(near, server_hostname="localhost") as client:
        with open(status, "rb") as told, open(described, "rb") as description:
            assert told.read() == b""
            assert b"Bits: 256\n" in description.read()
        client.sendall(b"question\n")
        assert plain.recv(99) == b"question\n"
        plain.sendall(b"answer\n")
        plain.close()
        assert all_of(client) == b"answer\n"

    assert process.wait(20) in (0, -signal.SIGPIPE)  # Courier's


def test_starttls_that_fails(program: Program, files: dict[str, str]) -> None:
    """The status is one line that says why."""
    near, far = socket.socketpair()
    process, plain, status, described = as_login_programs_do(program, files, far)
    far.close()
    near.sendall(b"no handshake\r\n" * 9)

    with open(status, "rb") as told, open(described, "rb") as description:
        line = told.read()
        assert line.endswith(b"\n") and line.count(b"\n") == 1 and len(line) > 5
        assert description.read() == b""

    assert process.wait(20) == 1
    plain.close()
    near.close()


# --- Client ---------------------------------------------------------------------------------------


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

"""couriertls, ours and Debian's, as servers and scripts call it."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import socket
import ssl
import subprocess
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
        # In one thread: two of them at one connection of OpenSSL's confuse it.
        client.setblocking(False)
        unsent, received = memoryview(sent), bytearray()
        while len(received) < len(sent):
            assert any(select.select([client], [client] if unsent else [], [], 60))
            with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
                unsent = unsent[client.send(unsent[:65_536]) :] if unsent else unsent
            with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
                data = client.recv(65_536)
                assert data
                received += data
        client.settimeout(60)
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

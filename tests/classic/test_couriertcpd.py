"""couriertcpd, ours and Debian's, as scripts call it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from courier.net import access_source
from tests.classic.conftest import Find, Program
from tests.support.daemon import free_port, wait_until

pytestmark = pytest.mark.slow


@dataclass
class Running:
    """One couriertcpd, in the foreground."""

    process: subprocess.Popen[bytes]
    port: int
    errors: Path
    clients: list[socket.socket] = field(default_factory=list)

    def connect(self, port: int = 0, host: str = "127.0.0.1") -> socket.socket:
        client = socket.create_connection((host, port or self.port), 20)
        self.clients.append(client)
        return client

    def wait_for_log(self, text: str) -> None:
        wait_until(lambda: text in self.errors.read_text(), self.errors.read_text)

    def close(self) -> None:
        for client in self.clients:
            client.close()
        self.process.kill()
        self.process.wait()


Start = Callable[..., Running]


@pytest.fixture
def program(find: Find) -> Program:
    return find("couriertcpd")


@pytest.fixture
def start(program: Program, tmp_path: Path) -> Iterator[Start]:
    """Start couriertcpd with options and a program, on a port of its own."""
    started: list[Running] = []

    def run(options: list[str], command: list[str], ports: str = "{}", **more: str) -> Running:
        port = free_port()
        errors = tmp_path / "errors"
        arguments = ["-nodnslookup", "-address=127.0.0.1", *options, ports.format(port), *command]
        with errors.open("ab") as written:
            process = subprocess.Popen(
                program(*arguments),
                stdin=subprocess.DEVNULL,
                stderr=written,
                cwd=tmp_path,
                env={**program.environment, **more},
            )
        running = Running(process, port, errors)
        started.append(running)
        wait_until(lambda: is_listening(port), errors.read_text)
        return running

    yield run
    for running in started:
        running.close()


def is_listening(port: int) -> bool:
    """Whether a port is bound; without a connection, which would count."""
    hexadecimal = f":{port:04X} "
    tables = (Path("/proc/net/tcp").read_text(), Path("/proc/net/tcp6").read_text())
    return any(
        hexadecimal in line and " 0A " in line for table in tables for line in table.splitlines()
    )


def all_of(client: socket.socket) -> bytes:
    """Read to the end; a reset is one."""
    received = b""
    try:
        while data := client.recv(65_536):
            received += data
    except ConnectionResetError:
        pass
    return received


def variables(client: socket.socket) -> dict[str, str]:
    lines = all_of(client).decode().splitlines()
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def access_file(directory: Path, text: str) -> str:
    (directory / "access").write_text(text)
    access_source.build(directory / "access", directory / "access.dat")
    return f"-access={directory}/access.dat"


def test_environment(start: Start) -> None:
    """The program has the connection's addresses, and what couriertcpd has."""
    running = start([], ["/usr/bin/env"], OWN="kept", TCPREMOTEHOST="of another connection")
    client = running.connect()

    found = variables(client)

    mine = {name: value for name, value in found.items() if name.startswith("TCP")}
    assert mine == {
        "TCPREMOTEIP": "::ffff:127.0.0.1",
        "TCPREMOTEPORT": str(client.getsockname()[1]),
        "TCPLOCALIP": "::ffff:127.0.0.1",
        "TCPLOCALPORT": str(running.port),
        **{
            name: mine[name]
            for name in ("TCPREMOTEHOST",)
            if name in mine and "another" in mine[name]
        },
    }
    assert found["OWN"] == "kept"


def test_standard_input_and_output(start: Start) -> None:
    """They are the connection; SIGPIPE ends the program, as any other."""
    running = start(
        [], ["/bin/sh", "-c", 'read line; echo "<$line>"; grep SigIgn /proc/self/status']
    )
    client = running.connect()
    client.sendall(b"hello\n")

    said = all_of(client).decode()

    assert said.startswith("<hello>\n")
    ignored = int(re.search(r"SigIgn:\s*([0-9a-f]+)", said)[1], 16)  # type: ignore[index]
    assert not ignored & (1 << (signal.SIGPIPE - 1))


def test_ports(start: Start) -> None:
    """LIST may have several, each with an address."""
    other = free_port()
    running = start([], ["/usr/bin/env"], f"{{}},127.0.0.2.{other}")

    assert variables(running.connect())["TCPLOCALPORT"] == str(running.port)
    assert variables(running.connect(other, "127.0.0.2"))["TCPLOCALIP"] == "::ffff:127.0.0.2"
    with pytest.raises(ConnectionRefusedError):
        running.connect(other)


def test_port_in_use(program: Program) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            program("-address=127.0.0.1", str(port), "/bin/true"),
            env=program.environment,
            capture_output=True,
            check=False,
        )

    assert done.returncode == 1
    assert done.stderr.startswith(b"bind: ")
    assert done.stderr.endswith(b"Address already in use\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "[options] port prog arg1 arg2...\n"),
        (["143"], "[options] port prog arg1 arg2...\n"),
        (["-zz", "143", "x"], "couriertcpd: Invalid option: -zz\n"),
        (["-maxprocs=0", "143", "x"], "Invalid -maxprocsarg option.\n"),
        (["-maxperip=x", "143", "x"], "Invalid -maxperip option.\n"),
        (["-maxperc=-1", "143", "x"], "Invalid -maxperc option.\n"),
        (["-listen=0", "143", "x"], "Invalid -listen option.\n"),
        (["foo", "x"], "Invalid port: foo\n"),
        (["127.0.0.1.70000", "x"], "Invalid port: 70000\n"),
        (["-address=zz", "143", "x"], "Invalid IP address: zz\n"),
        (["-stop"], "couriertcpd: -pid argument is required.\n"),
        (["-restart"], "couriertcpd: -pid argument is required.\n"),
    ],
)
def test_wrong_command_line(arguments: list[str], said: str, program: Program) -> None:
    """Exit code 1 and Courier's words."""
    done = subprocess.run(
        program(*arguments), env=program.environment, capture_output=True, check=False
    )

    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.decode().endswith(said)


def test_access_file(start: Start, tmp_path: Path) -> None:
    """It refuses, with -denymsg's text, and sets variables."""
    access = access_file(tmp_path, "127.0.0.1\tallow,A=1,B\n127.0.0\tdeny\n")
    running = start([access, "-denymsg=Go away."], ["/usr/bin/env"])
    denied = socket.create_connection(("127.0.0.1", running.port), 20, ("127.0.0.9", 0))

    assert all_of(denied) == b"Go away.\n"
    denied.close()
    found = variables(running.connect())
    assert (found["A"], found["B"]) == ("1", "")


def test_local_address_in_the_access_file(start: Start, tmp_path: Path) -> None:
    """With -accesslocal where a client came to is looked up first."""
    other = free_port()
    access = access_file(tmp_path, f"127.0.0.2.{other}\tallow,HERE=two\n127.0.0.3\tdeny\n")
    ports = f"{{}},127.0.0.2.{other},127.0.0.3.{other}"
    running = start([access, "-accesslocal", "-denymsg=No."], ["/usr/bin/env"], ports)

    assert variables(running.connect(other, "127.0.0.2"))["HERE"] == "two"
    assert "HERE" not in variables(running.connect())
    assert all_of(running.connect(other, "127.0.0.3")) == b""


def test_access_file_after_sighup(start: Start, tmp_path: Path) -> None:
    """A new one counts from the next connection on."""
    access = access_file(tmp_path, "127.0.0.1\tallow,A=1\n")
    running = start([access], ["/usr/bin/env"])
    assert variables(running.connect())["A"] == "1"

    access_file(tmp_path, "127.0.0.1\tallow,A=2\n")
    running.process.send_signal(signal.SIGHUP)

    wait_until(lambda: variables(running.connect()).get("A") == "2")


def test_drop(start: Start, tmp_path: Path) -> None:
    """-drop ends connections for which a variable is set, with a line in the log."""
    access = access_file(tmp_path, "127.0.0.1\tallow,BLOCK=yes\n127.0.0.2\tallow,BLOCK\n")
    running = start([access, "-drop", "-denymsg=Blocked."], ["/bin/echo", "served"])
    other = socket.create_connection(("127.0.0.1", running.port), 20, ("127.0.0.2", 0))

    assert all_of(running.connect()) == b"Blocked.\n"
    assert all_of(other) == b"served\n"
    other.close()
    running.wait_for_log("WARN: dropped blocked connection from ::ffff:127.0.0.1\n")


def test_limit_of_an_address(start: Start) -> None:
    """-maxperip closes what is too much, and says so in the log."""
    running = start(["-maxperip=2"], ["/bin/sh", "-c", "echo up; read line"])
    first, second = running.connect(), running.connect()
    assert (first.recv(9), second.recv(9)) == (b"up\n", b"up\n")

    assert all_of(running.connect()) == b""
    running.wait_for_log("ALERT: Maximum connection limit reached for ::ffff:127.0.0.1")

    first.sendall(b"\n")
    assert all_of(first) == b""
    wait_until(lambda: running.connect().recv(9) == b"up\n")


def test_limit_from_the_access_file(start: Start, tmp_path: Path) -> None:
    """MAXCPERIP there counts instead of -maxperip."""
    access = access_file(tmp_path, "127.0.0.1\tallow,MAXCPERIP=1\n")
    running = start([access, "-maxperip=9"], ["/bin/sh", "-c", "echo up; read line"])

    assert running.connect().recv(9) == b"up\n"
    assert all_of(running.connect()) == b""


def test_limit_of_a_network(start: Start) -> None:
    """-maxperc counts a whole /24."""
    running = start(["-maxperc=1"], ["/bin/sh", "-c", "echo up; read line"])
    assert running.connect().recv(9) == b"up\n"

    with socket.create_connection(("127.0.0.1", running.port), 20, ("127.0.0.77", 0)) as near:
        assert all_of(near) == b""
    with socket.create_connection(("127.0.0.1", running.port), 20, ("127.0.1.1", 0)) as far:
        assert far.recv(9) == b"up\n"


def test_limit_of_all(start: Start) -> None:
    """At -maxprocs clients wait for their turn, and the log says so."""
    running = start(
        ["-maxprocs=2", "-maxperip=9", "-warn=1"], ["/bin/sh", "-c", "echo up; read line"]
    )
    first, second, third = running.connect(), running.connect(), running.connect()
    assert (first.recv(9), second.recv(9)) == (b"up\n", b"up\n")
    third.settimeout(0.2)
    with pytest.raises(TimeoutError):
        third.recv(9)

    first.sendall(b"\n")

    third.settimeout(20)
    assert third.recv(9) == b"up\n"
    running.wait_for_log("WARN: 1 active connections.\n")
    running.wait_for_log("ALERT: 2 maximum active connections.\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_end_by_signal(number: signal.Signals, start: Start) -> None:
    """The programs that run end with it."""
    running = start([], ["/bin/sh", "-c", "echo up; exec sleep 1000"])
    client = running.connect()
    assert client.recv(9) == b"up\n"

    running.process.send_signal(number)

    assert running.process.wait(20) == 0
    assert all_of(client) == b""


def test_standard_error(start: Start, tmp_path: Path) -> None:
    """It is couriertcpd's, or the connection, or a file."""
    script = ["/bin/sh", "-c", "echo said >&2"]

    plain, to_client = start([], script), start(["-stderr=socket"], script)
    to_file = start([f"-stderr={tmp_path}/log"], script)

    assert all_of(plain.connect()) == b""
    assert plain.errors.read_text() == "said\n"
    assert all_of(to_client.connect()) == b"said\n"
    assert all_of(to_file.connect()) == b""
    assert all_of(to_file.connect()) == b""
    assert (tmp_path / "log").read_text() == "said\n" * 2


@pytest.mark.parametrize(("options", "name"), [([], "sh"), (["-stderrloggername=pop"], "pop")])
def test_logger(options: list[str], name: str, start: Start, tmp_path: Path) -> None:
    """-stderrlogger runs one program for all, with the program's name."""
    logger = tmp_path / "logger"
    logger.write_text(f'#!/bin/sh\necho "for $1" >>{tmp_path}/log\nexec cat >>{tmp_path}/log\n')
    logger.chmod(0o755)
    running = start([f"-stderrlogger={logger}", *options], ["/bin/sh", "-c", "echo said >&2"])

    assert all_of(running.connect()) == b""
    assert all_of(running.connect()) == b""

    wait_until(lambda: (tmp_path / "log").read_text() == f"for {name}\nsaid\nsaid\n")
    running.process.send_signal(signal.SIGTERM)


def test_missing_program(start: Start) -> None:
    """Its connections end, and the log says why."""
    running = start([], ["/nowhere/program"])

    assert all_of(running.connect()) == b""
    running.wait_for_log("No such file or directory")


@pytest.mark.root
def test_user(start: Start) -> None:
    """-user and -group are the programs', too."""
    if os.geteuid() != 0:
        pytest.skip("missing: root's rights")
    identity = ["/bin/sh", "-c", "echo $(id -u; id -g; id -G)"]

    assert all_of(start(["-user=daemon"], identity).connect()) == b"1 1 1\n"
    assert all_of(start(["-user=5000", "-group=6000"], identity).connect()) == b"5000 6000 6000\n"


def test_daemon(program: Program, pid_file: Path, tmp_path: Path) -> None:
    """It goes on in the background, once, is told to look at its files, and to stop."""
    port = free_port()
    command = program(
        f"-pid={pid_file}", "-nodnslookup", "-address=127.0.0.1", str(port), "/bin/cat"
    )

    def run(command: list[str]) -> tuple[int, bytes]:
        done = subprocess.run(
            command,
            env=program.environment,
            cwd=tmp_path,
            capture_output=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    assert run(command) == (0, b"")
    pid = int(pid_file.read_text())
    try:
        with socket.create_connection(("127.0.0.1", port), 20) as client:
            client.sendall(b"echo\n")
            assert client.recv(9) == b"echo\n"
            assert run(command) == (0, b"")  # it runs already
            assert int(pid_file.read_text()) == pid
            assert run(program(f"-pid={pid_file}", "-restart")) == (0, b"")

            assert run(program(f"-pid={pid_file}", "-stop")) == (0, b"")

            assert all_of(client) == b""
        assert run(program(f"-pid={pid_file}", "-stop")) == (0, b"")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), 20)
    finally:
        subprocess.run(program(f"-pid={pid_file}", "-stop"), env=program.environment, check=False)


def test_daemon_that_cannot_listen(program: Program, pid_file: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            program(f"-pid={pid_file}", "-address=127.0.0.1", str(port), "/bin/true"),
            env=program.environment,
            capture_output=True,
            timeout=60,
            check=False,
        )

    assert done.returncode == 1
    assert b"Address already in use" in done.stderr


@pytest.fixture
def start_ours(start: Start, program: Program) -> Start:
    if not program.is_ours:
        pytest.skip("Debian 12's couriertcpd has no -haproxy")
    return start


def test_proxy(start_ours: Start) -> None:
    """With -haproxy a client is whom the proxy names; the rest is its own."""
    running = start_ours(["-haproxy=15"], ["/bin/sh", "-c", "env; cat"])
    client = running.connect()
    client.sendall(b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 143\r\nmine\n")
    client.shutdown(socket.SHUT_WR)

    found = variables(client)

    assert found["TCPREMOTEIP"] == "::ffff:192.0.2.7"
    assert (found["TCPREMOTEPORT"], found["TCPLOCALPORT"]) == ("4711", "143")
    assert found["TCPREMOTEINFO"] == "proxy via ::ffff:192.0.2.1, port 143"
    assert "mine" in found


def test_proxy_that_is_none(start_ours: Start) -> None:
    """Who has no header is not served, and nobody waits for him."""
    running = start_ours(["-haproxy=15"], ["/bin/echo", "served"])
    slow = running.connect()
    wrong = running.connect()
    wrong.sendall(b"a LOGIN b c\r\n")
    right = running.connect()
    right.sendall(b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 143\r\n")

    assert all_of(wrong) == b""
    assert all_of(right) == b"served\n"
    running.wait_for_log("haproxy: missing PROXY statement")
    slow.close()


@pytest.mark.parametrize("value", ["-haproxy", "-haproxy=x", "-haproxy=5/port=99999"])
def test_proxy_that_cannot_be_meant(value: str, program: Program) -> None:
    if not program.is_ours:
        pytest.skip("Debian 12's couriertcpd has no -haproxy")
    done = subprocess.run(
        program(value, "143", "x"), env=program.environment, capture_output=True, check=False
    )

    assert done.returncode == 1
    assert done.stderr.startswith(b"Invalid -haproxy option: expected ")

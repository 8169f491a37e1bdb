from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from courier import version
from courier.log import Peer
from courier.maildir.tree import Tree
from imapd import __main__ as main
from imapd import account, settings
from imapd.completion import Farewell
from tests.imapd.conftest import Log
from tests.imapd.responses import read

SETTINGS = settings.from_environment({})

pytestmark = pytest.mark.usefixtures("logged")


@pytest.fixture
def home(maildir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The account's home, where the maildir lies, is the working directory."""
    monkeypatch.chdir(maildir.parent)
    return maildir.parent


def serve(environ: dict[str, str], sent: bytes, maildir: str = "Maildir") -> tuple[int, bytes]:
    """Serve what one end of a pair of sockets has sent; return the exit code and what it got."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(sent)
        theirs.shutdown(socket.SHUT_WR)
        code = main.serve(SETTINGS, maildir, environ, ours.fileno(), ours.fileno())
        ours.shutdown(socket.SHUT_WR)
        with theirs.makefile("rb") as file:
            return code, file.read()


@pytest.mark.usefixtures("home")
def test_from_a_shell(logged: Log) -> None:
    """PREAUTH, and the session is logged under the name of whoever started it."""
    code, got = serve({}, b"a LOGOUT\r\n")

    assert code == 0
    assert [response.name for response in read(got)] == ["PREAUTH", "BYE", "OK"]
    assert logged.lines[0].startswith("INFO: LOGIN, user=")
    assert logged.lines[0].endswith("ip=[127.0.0.1], port=[0], protocol=IMAP")
    assert logged.lines[1].startswith("INFO: LOGOUT, user=")


@pytest.mark.usefixtures("home")
def test_from_a_log_in_program(logged: Log) -> None:
    """The command that logged in is answered under its tag; the peer is who it says."""
    environ = {
        "IMAPLOGINTAG": "a1",
        "AUTHENTICATED": "someone",
        "TCPREMOTEIP": "192.0.2.7",
        "TCPREMOTEPORT": "4711",
        "IMAP_TLS": "1",
    }

    code, got = serve(environ, b"b LOGOUT\r\n")

    assert code == 0
    said = read(got)[0]
    assert said.code.startswith("CAPABILITY IMAP4rev1 ")
    assert said.raw.startswith(b"a1 OK [") and said.raw.endswith(b"] LOGIN Ok.\r\n")
    assert logged.lines[0] == (
        "INFO: LOGIN, user=someone, ip=[192.0.2.7], port=[4711], protocol=IMAP, starttls=1"
    )


@pytest.mark.usefixtures("home")
def test_from_a_log_in_program_that_says_no_user() -> None:
    """Nobody's session is nobody's."""
    code, got = serve({"IMAPLOGINTAG": "a1"}, b"b NOOP\r\n")

    assert code == 0
    assert got == b"* BYE AUTHENTICATED environment variable not set.\r\n"


def test_home_with_the_sticky_bit(home: Path) -> None:
    """The account is closed for now, and may be open later."""
    home.chmod(0o1700)

    code, got = serve({}, b"a NOOP\r\n")

    assert code == 0
    assert got == (
        b"* BYE Your account is temporarily unavailable (+t bit set on home directory).\r\n"
    )


@pytest.mark.usefixtures("home")
def test_maildir_that_is_not_there() -> None:
    code, got = serve({}, b"a NOOP\r\n", maildir="None")

    assert code == 1
    assert got == (
        b"* BYE [ALERT] Fatal error: No such file or directory: No such file or directory\r\n"
    )


@pytest.mark.root
def test_maildir_of_somebody_else(home: Path) -> None:
    """IMAP_MAILBOX_SANITY_CHECK: it is not served."""
    if os.geteuid():
        pytest.skip("not root")
    os.chown(home / "Maildir", 12345, -1)

    with pytest.raises(Farewell, match="not owned by the correct"):
        account.enter(SETTINGS, "u", Peer("::1", "1"), os.curdir, "Maildir")


def test_enter(home: Path) -> None:
    """The tree begins at the maildir, whichever directory is the working one later."""
    tree = account.enter(SETTINGS, "u", Peer("::1", "1"), os.curdir, "Maildir")

    assert isinstance(tree, Tree)
    assert tree.path == str(home / "Maildir")


@pytest.mark.parametrize("kind", ["missing", "file", "link"])
def test_maildir_with_an_odd_tmp(home: Path, logged: Log, kind: str) -> None:
    """What can't be tidied up is no reason not to serve what can be read."""
    tmp = home / "Maildir" / "tmp"
    tmp.rmdir()
    if kind == "file":
        tmp.touch()
    elif kind == "link":
        tmp.symlink_to("tmp")

    code, got = serve({}, b"a LOGOUT\r\n")

    assert code == 0
    assert got.startswith(b"* PREAUTH")


@pytest.mark.parametrize("arguments", [["a", "b"], ["--foo"], ["-x", "y"]])
def test_wrong_arguments(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """How to call it, on standard error, and the exit code of a wrong call."""
    assert main.main(arguments) == 2

    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("Usage: imapd")


@pytest.mark.parametrize("argument", ["--help", "-h"])
def test_help(argument: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main([argument]) == 0
    assert capsys.readouterr().out.startswith("Usage: imapd")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["--version"]) == 0
    assert capsys.readouterr().out == f"pycourier {version.VERSION}\n"


def test_bad_setting(
    logged: Log, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """The log says which; the client only learns that it is so."""
    monkeypatch.setenv("IMAP_IDLE_TIMEOUT", "soon")

    assert main.main([]) == 1

    assert capfdbinary.readouterr().out == (
        b"* BYE [ALERT] Configuration error, see the server's log.\r\n"
    )
    assert "IMAP_IDLE_TIMEOUT" in logged.lines[0]


@pytest.fixture
def process(maildir: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The program itself, on the maildir that the variable MAILDIR names."""
    environ = {**os.environ, "MAILDIR": str(maildir), "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-m", "imapd"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environ,
        cwd=maildir.parent,
    ) as child:
        yield child
        child.kill()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("command", [b"", b"a IDLE\r\n", b"a APPEND INBOX {100}\r\nabc"])
def test_signal(
    process: subprocess.Popen[bytes], maildir: Path, command: bytes, number: int
) -> None:
    """One BYE, an exit code of 0, one line in the log, and nothing in tmp/."""
    assert process.stdin and process.stdout and process.stderr
    assert process.stdout.readline().startswith(b"* PREAUTH")
    if command:
        process.stdin.write(command)
        process.stdin.flush()
        assert process.stdout.readline().startswith(b"+ ")

    process.send_signal(number)
    got = process.stdout.read()

    assert got == b"* BYE Courier-IMAP server shut down by signal.\r\n"
    logged = process.stderr.read().decode().splitlines()
    assert [line.split(",")[0] for line in logged] == [
        "INFO: LOGIN",
        "NOTICE: Disconnected during shutdown by signal",
    ]
    assert process.wait() == 0
    assert list((maildir / "tmp").iterdir()) == []

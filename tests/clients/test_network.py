"""curl and imaplib over TCP, against what `make run` starts."""

from __future__ import annotations

import imaplib
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.clients.conftest import Run
from tests.support.client import Client, Connection
from tests.support.messages import PLAIN
from tests.support.servers import MODULES, ROOT

pytestmark = [pytest.mark.slow, pytest.mark.client]

MESSAGES = 4  # in the INBOX of the demo account


@dataclass
class Demo:
    """The running demo listener."""

    process: subprocess.Popen[str]
    port: int
    said: str

    @property
    def url(self) -> str:
        return f"imap://demo:demo@127.0.0.1:{self.port}"

    def stop(self) -> str:
        """Press Ctrl-C; return the rest of what it says."""
        self.process.send_signal(signal.SIGINT)
        rest, _ = self.process.communicate(timeout=20)
        return rest


def start_demo(directory: Path, port: int = 0) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(ROOT / "tools" / "demo.py"), str(directory)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={
            "PATH": "/usr/bin:/bin",
            **MODULES,
            "PORT": str(port),
        },
    )


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    process = start_demo(tmp_path / "run")
    assert process.stdout
    said = ""
    for line in process.stdout:
        said += line
        if "Ctrl-C" in line:
            break
    match = re.search(r"127\.0\.0\.1:(\d+)", said)
    assert match, said
    yield Demo(process, int(match[1]), said)
    process.send_signal(signal.SIGINT)
    try:
        process.communicate(timeout=20)
    finally:
        process.kill()


def test_curl_lists_and_reads(demo: Demo, run: Run, tmp_path: Path) -> None:
    """curl shows folders, a mailbox and a message, and appends one."""
    assert 'LIST (\\HasNoChildren \\Archive) "." "INBOX.Archive"' in run(
        "curl", "-sS", f"{demo.url}/"
    )
    listing = run("curl", "-sS", f"{demo.url}/INBOX?ALL")
    assert listing.strip() == "* SEARCH " + " ".join(str(n + 1) for n in range(MESSAGES))
    assert "Subject: Minutes of Thursday" in run("curl", "-sS", f"{demo.url}/INBOX;MAILINDEX=1")

    file = tmp_path / "message.eml"
    file.write_bytes(PLAIN.replace(b"\n", b"\r\n"))
    run("curl", "-sS", "-T", str(file), f"{demo.url}/INBOX.Archive")
    found = run("curl", "-sS", f"{demo.url}/INBOX.Archive", "-X", "SEARCH SUBJECT Minutes")
    assert re.fullmatch(r"\* SEARCH \d", found.strip())


def test_curl_reads_by_pop3(demo: Demo, run: Run) -> None:
    """The same mail, over POP3 and over POP3 within TLS."""
    found = re.search(r"POP3 on 127\.0\.0\.1:(\d+) .* 127\.0\.0\.1:(\d+)", demo.said)
    assert found, demo.said

    for scheme, port in (("pop3", found[1]), ("pop3s", found[2])):
        url = f"{scheme}://demo:demo@127.0.0.1:{port}"
        listing = run("curl", "-sS", "--insecure", f"{url}/")
        assert len(listing.split("\n")) == MESSAGES + 1
        assert "Subject: Minutes of Thursday" in run("curl", "-sS", "--insecure", f"{url}/1")


def test_curl_with_a_wrong_password(demo: Demo) -> None:
    """Exit code 67 is curl's word for a refused log-in."""
    done = subprocess.run(
        ["curl", "-sS", f"imap://demo:wrong@127.0.0.1:{demo.port}/"],
        check=False,
        capture_output=True,
    )

    assert done.returncode == 67


def test_session_like_a_mail_program(demo: Demo) -> None:
    """What Thunderbird does with a new account, by imaplib, in two connections."""
    first = imaplib.IMAP4("127.0.0.1", demo.port, timeout=20)
    second = imaplib.IMAP4("127.0.0.1", demo.port, timeout=20)
    with first, second:
        for connection in (first, second):
            connection.login("demo", "demo")
            assert "IDLE" in connection.capabilities
        status, names = first.list('""', '"*"')
        assert (status, len(names)) == ("OK", 2)
        assert first.namespace()[0] == "OK"
        first.create('"INBOX.Entw&APw-rfe"')
        first.subscribe('"INBOX.Entw&APw-rfe"')
        assert first.select("INBOX") == ("OK", [str(MESSAGES).encode()])
        status, headers = first.uid(
            "FETCH",
            "1:*",
            "(UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (From To Subject Date)])",
        )
        assert status == "OK"
        assert len([part for part in headers if isinstance(part, tuple)]) == MESSAGES
        status, structure = first.fetch("3", "(BODYSTRUCTURE)")
        assert b'"attachment" ("filename" "report.pdf"' in structure[0]
        whole = first.fetch("3", "(RFC822.SIZE BODY.PEEK[])")[1][0]
        pieces = b"".join(
            first.fetch("3", f"(BODY.PEEK[]<{at}.1000>)")[1][0][1] for at in range(0, 4000, 1000)
        )
        assert pieces == whole[1]
        assert int(re.search(rb"RFC822.SIZE (\d+)", whole[0])[1]) == len(whole[1])
        status, copied = first.copy("1:2", '"INBOX.Entw&APw-rfe"')
        assert copied[0].startswith(b"[COPYUID ")

        second.select("INBOX")
        first.store("1", "+FLAGS.SILENT", "(\\Deleted)")
        first.expunge()
        second.noop()
        assert second.response("EXPUNGE")[1] == [b"1"]
        assert second.search(None, "ALL")[1] == [b"1 2 3"]


def test_authenticate(demo: Demo) -> None:
    """SASL PLAIN works with a challenge; another mechanism and a wrong password are refused."""
    with imaplib.IMAP4("127.0.0.1", demo.port, timeout=20) as connection:
        for mechanism, answer in (("CRAM-MD5", b""), ("PLAIN", b"\0demo\0wrong"), ("PLAIN", b"x")):
            with pytest.raises(imaplib.IMAP4.error, match="Login failed"):
                connection.authenticate(mechanism, lambda _, answer=answer: answer)
        assert connection.authenticate("PLAIN", lambda _: b"\0demo\0demo")[0] == "OK"


def test_not_authenticated_state(demo: Demo) -> None:
    """Only what belongs there is answered, and input behind LOGIN is not lost."""
    with socket.create_connection(("127.0.0.1", demo.port), 20) as connection:
        client = Client(Connection(connection.fileno(), connection.fileno()))
        assert "Courier-IMAP ready." in client.response().text
        assert client.command("CAPABILITY").lines[0].startswith("* CAPABILITY IMAP4rev1 ")
        for command in ("SELECT INBOX", "LOGIN", "LOGIN demo", "NOOP x", "NONSENSE"):
            assert client.try_command(command).status == "BAD"
        assert client.command("NOOP").text == "OK NOOP completed"
        client.command("LOGIN {} {}", b"demo", b"demo")
        assert client.command("SELECT INBOX").numbered("EXISTS") == [(MESSAGES, [])]
    with socket.create_connection(("127.0.0.1", demo.port), 20) as connection:
        client = Client(Connection(connection.fileno(), connection.fileno()))
        client.response()
        replies = client.pipeline(["LOGIN demo demo", "SELECT INBOX", "SEARCH ALL", "LOGOUT"])
        assert [reply.status for reply in replies] == ["OK"] * 4
        assert replies[-1].lines == ["* BYE Courier-IMAP server shutting down"]


def test_ctrl_c_ends_everything(demo: Demo) -> None:
    """Sessions hear BYE, every process ends, and the port is free again."""
    with socket.create_connection(("127.0.0.1", demo.port), 20) as connection:
        client = Client(Connection(connection.fileno(), connection.fileno()))
        client.response()
        client.command("LOGIN demo demo")
        client.command("SELECT INBOX")
        idling = client.start_idle()
        assert idling[1].startswith("+ entering")

        rest = demo.stop()

        assert client.response().text.startswith("* BYE")
        assert demo.process.returncode == 0, rest
        assert "Traceback" not in rest
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", demo.port))


def test_port_in_use(demo: Demo, tmp_path: Path) -> None:
    """A second listener says what is the matter, in one line."""
    second = start_demo(tmp_path / "other", demo.port)

    said, _ = second.communicate(timeout=20)

    assert second.returncode == 1
    assert f"port {demo.port} of 127.0.0.1 is in use" in said
    assert said.count("\n") == 1
    assert not os.path.exists(tmp_path / "other")

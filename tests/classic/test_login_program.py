"""What imaplogin and courierpop3login do with authdaemond's answer."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemon import Site

pytestmark = pytest.mark.slow


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    yield site
    site.close()


@pytest.fixture
def session(site: Site) -> Path:
    """A session program that says who it serves."""
    script = site.path / "session"
    script.write_text('#!/bin/sh\necho "$AUTHENTICATED $AUTHADDR $MAILDIR $HOME $OPTIONS"\n')
    script.chmod(0o755)
    return script


class Running:
    """A log-in program, and the client that talks to it."""

    def __init__(self, site: Site, module: str, session: Path, **settings: str) -> None:
        self.client, connection = socket.socketpair()
        self.client.settimeout(30)
        with connection:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, str(session), "Maildir"],
                stdin=connection,
                stdout=connection,
                stderr=subprocess.PIPE,
                env={**site.environment(), "TCPREMOTEIP": "::ffff:192.0.2.7", **settings},
            )
        self._lines = self.client.makefile("rb")

    def line(self) -> str:
        return self._lines.readline().decode().rstrip("\r\n")

    def say(self, line: str) -> None:
        self.client.sendall(line.encode() + b"\r\n")

    def log(self) -> str:
        """Hang up, and give what was logged."""
        self._lines.close()
        self.client.close()
        said = self._process.communicate(timeout=30)[1].decode()
        assert "Traceback" not in said
        return said


def test_account(site: Site, session: Path) -> None:
    """What authdaemond says of the account goes to the session, and the client's address to authdaemond."""
    site.add_account("two@example.com", "pw", MAILDIR="Other", OPTIONS="a=b")
    one = Running(site, "imapd.imaplogin", session)
    one.line()
    one.say("a1 LOGIN two@example.com pw")

    home = site.homes / "two@example.com"
    assert one.line() == f"two@example.com two@example.com Other {home} a=b"
    assert site.authdaemond.asked[-1].remote_ip == "::ffff:192.0.2.7"
    assert site.authdaemond.asked[-1].service == "imap"
    one.log()


def test_own_service(site: Site, session: Path) -> None:
    """AUTHSERVICE of the port is asked for."""
    settings = {"TCPLOCALPORT": "1110", "AUTHSERVICE1110": "webmail"}
    one = Running(site, "pop3d.pop3login", session, **settings)
    one.line()
    one.say("USER u@example.com\r\nPASS pw")

    assert one.line() == "+OK Password required."
    assert one.line().startswith("u@example.com ")
    assert site.authdaemond.asked[-1].service == "webmail"
    one.log()


@pytest.mark.parametrize(
    ("module", "option", "said"),
    [
        ("imapd.imaplogin", "disableimap=1", "a1 NO IMAP access disabled for this account."),
        ("imapd.imaplogin", "disableinsecureimap=1", "a1 NO IMAP access disabled via insecure connection."),
        ("pop3d.pop3login", "disablepop3=1", "-ERR [AUTH] POP3 access disabled for this account."),
    ],
)  # fmt: skip
def test_disabled_account(module: str, option: str, said: str, site: Site, session: Path) -> None:
    site.add_account("off@example.com", "pw", OPTIONS=option)
    one = Running(site, module, session)
    one.line()
    if module.startswith("imap"):
        one.say("a1 LOGIN off@example.com pw")
    else:
        one.say("USER off@example.com\r\nPASS pw")
        one.line()

    assert one.line() == said
    one.log()


def test_without_authdaemond(site: Site, session: Path) -> None:
    """Nobody is told that his password is wrong."""
    site.authdaemond.stop()
    one = Running(site, "imapd.imaplogin", session)
    one.line()
    one.say("a1 LOGIN u@example.com pw")

    assert "Temporary problem, please try again later" in one.line()
    log = one.log()
    assert "ERR: authentication error: Connection refused\n" in log
    assert "LOGIN FAILED" not in log


def test_home_that_is_not_there(site: Site, session: Path) -> None:
    site.add_account("lost@example.com", "pw", HOME="/nowhere/at/all")
    one = Running(site, "imapd.imaplogin", session)
    one.line()
    one.say("a1 LOGIN lost@example.com pw")

    assert "Temporary problem, please try again later" in one.line()
    assert "/nowhere/at/all" in one.log()


@pytest.mark.root
def test_home_that_is_made(site: Site, session: Path) -> None:
    """AUTH_MKHOMEDIR_SKEL, as in the daemons."""
    if os.geteuid() != 0:
        pytest.skip("missing: root's rights")
    skeleton = site.path / "skeleton"
    (skeleton / "Maildir").mkdir(parents=True)
    home = site.homes / "new"
    site.add_account("new@example.com", "pw", HOME=str(home))
    one = Running(site, "imapd.imaplogin", session, AUTH_MKHOMEDIR_SKEL=str(skeleton))
    one.line()
    one.say("a1 LOGIN new@example.com pw")

    assert one.line().startswith("new@example.com ")
    assert [os.stat(one).st_uid for one in (home, home / "Maildir")] == [5000, 5000]
    one.log()


def test_value_that_cannot_be_meant(site: Site, session: Path) -> None:
    """It is told in the log, and others' variables are none of ours."""
    settings = {"IMAP_TLS_REQUIRED": "perhaps", "PORT": "of call", "TCPDOPTS": "-whatever"}
    one = Running(site, "imapd.imaplogin", session, **settings)
    one.line()
    one.say("a1 LOGIN u@example.com pw")

    one.line()
    log = one.log()
    assert "PORT" not in log
    assert "TCPDOPTS" not in log


def test_other_host(site: Site, session: Path) -> None:
    """IMAP_PROXY: the account's session is another host's, and this one's part of it ends with it."""
    far = Site()
    try:
        daemon = far.start()
        far.add_account("far@example.com", "pw")
        site.add_account("far@example.com", "pw", OPTIONS="mailhost=127.0.0.1", PASSWD2="pw")
        settings = {
            "IMAP_PROXY": "1",
            "IMAP_PROXY_PORT": str(daemon.port),
            "LOGIN_USER": "nobody",
            "PROXY_HOSTNAME": "here.example",
        }
        one = Running(site, "imapd.imaplogin", session, **settings)
        one.line()
        one.say("a1 LOGIN far@example.com pw")

        assert re.match(r"a1 OK ", one.line())
        one.say("a2 LOGOUT")
        assert one.line().startswith("* BYE ")
        assert one.line().startswith("a2 OK ")
        assert one.line() == ""
        one.log()
    finally:
        far.close()


def test_other_host_that_is_away(site: Site, session: Path) -> None:
    """The client may try again, or as somebody else."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        site.add_account("far@example.com", "pw", OPTIONS="mailhost=127.0.0.1", PASSWD2="pw")
        settings = {
            "IMAP_PROXY": "1",
            "IMAP_PROXY_PORT": str(nobody.getsockname()[1]),
            "LOGIN_USER": "nobody",
            "PROXY_HOSTNAME": "here.example",
        }
        one = Running(site, "imapd.imaplogin", session, **settings)
        one.line()
        one.say("a1 LOGIN far@example.com pw")

        assert one.line() == "a1 NO [UNAVAILABLE] Login failed."
        one.say("a2 LOGIN u@example.com pw")
        assert one.line().startswith("u@example.com ")
        log = one.log()
    assert "LOGIN FAILED" not in log

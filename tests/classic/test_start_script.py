"""Debian's start script of Courier's imapd, with the programs that it calls ours, or Courier's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.classic.test_login_programs import MODULES, SETTINGS, Talk
from tests.conftest import missing
from tests.support.courier_server import CourierServer
from tests.support.daemon import Site, free_port, wait_until
from tests.support.servers import COURIER

pytestmark = [pytest.mark.root, pytest.mark.courier, pytest.mark.slow]

_DEBIANS = COURIER / "usr/lib/courier/imapd"
PROGRAMS = {
    **MODULES,
    "courierlogger": "classic.courierlogger",
    "couriertcpd": "classic.couriertcpd",
}
OURS = {
    "/usr/sbin/courierlogger": "/ours/courierlogger",
    "${exec_prefix}/sbin/couriertcpd": "/ours/couriertcpd",
    "${prefix}/lib/courier/courier/imaplogin": "/ours/imaplogin",
    "/usr/bin/imapd ${MAILDIRPATH}": "/ours/imapd ${MAILDIRPATH}",
}


@pytest.fixture(scope="module")
def server() -> Iterator[CourierServer]:
    if os.geteuid() != 0:
        missing("root's rights, for a root directory")
    site = Site()
    server = CourierServer(site)
    try:
        server.add_account("one@example.com", "secret")
        for name, module in PROGRAMS.items():
            path = "PYTHONPATH=/src PYTHONPYCACHEPREFIX=/bytecode"
            server.add_program(f"/ours/{name}", f'{path} exec /usr/bin/python3 -m {module} "$@"\n')
        yield server
    finally:
        server.close()
        site.close()


def settings(name: str, **changed: str) -> bytes:
    """Debian's own file, with some lines at its end."""
    text = (COURIER / "etc/courier" / name).read_text()
    return (text + "".join(f'{one}="{value}"\n' for one, value in changed.items())).encode()


@pytest.mark.parametrize("whose", ["ours", "courier"])
def test_start_script(whose: str, server: CourierServer, tmp_path: Path) -> None:
    """start, a client, start again, restart, stop: as ever, with the settings that Debian ships."""
    port = free_port()
    of_library = {} if whose == "ours" else {"LD_LIBRARY_PATH": server.library_path}
    server.add_file("/etc/courier/imapd-ssl", settings("imapd-ssl", IMAPDSTARTTLS="NO"))
    server.add_file(
        "/etc/courier/imapd",
        settings(
            "imapd",
            ADDRESS="127.0.0.1",
            PORT=str(port),
            PIDFILE=f"/run/courier/{whose}.pid",
            IMAPACCESSFILE="/etc/courier/imapaccess",
            **SETTINGS,
            **of_library,
        ),
    )
    server.add_file("/etc/courier/imapaccess.dat", b"")
    script = _DEBIANS.read_text()
    if whose == "ours":
        for theirs, our in OURS.items():
            assert theirs in script
            script = script.replace(theirs, our)
    else:
        script = script.replace("/usr/bin/imapd ", "/opt/usr/bin/imapd ")
    server.add_program("/ours/script", script.partition("\n")[2])

    def call(verb: str) -> tuple[int, bytes]:
        done = server.once(["/ours/script", verb], b"", {})
        return done.returncode, done.stdout + done.stderr

    try:
        assert call("start") == (0, b"")
        with _client(port) as talk:
            assert talk.line().startswith("* OK [CAPABILITY IMAP4rev1")
            talk.say("a1 LOGIN one@example.com secret")
            talk.until("a1 OK ")
            pid = server.read_file(f"/run/courier/{whose}.pid")
            assert call("start") == (0, b"")
            assert call("restart") == (0, b"")
            assert server.read_file(f"/run/courier/{whose}.pid") == pid
            talk.say("a2 SELECT INBOX")
            talk.until("a2 OK ")

            assert call("stop") == (0, b"")

            assert "* BYE Courier-IMAP server shut down by signal." in talk.rest()
        with pytest.raises(ConnectionRefusedError):
            Talk(port)
    finally:
        call("stop")


def _client(port: int) -> Talk:
    found: list[Talk] = []

    def connects() -> bool:
        try:
            found.append(Talk(port))
        except ConnectionRefusedError:
            return False
        return True

    wait_until(connects)
    return found[0]

"""The packages on Debian 13: another Python, another systemd."""

from __future__ import annotations

import os
import shutil
import ssl
from collections.abc import Iterator

import pytest

from tests.conftest import missing
from tests.system import machine as machines
from tests.system.machine import HOSTNAME, Machine, copied, run_in, until
from tests.system.test_boot import (
    INSTALL,
    MESSAGE,
    PAM_USER,
    SERVICES,
    SOCKETS,
    USERDB_USER,
    Pop,
    Visitor,
    _make_maildir,
    logged_in,
)

pytestmark = [pytest.mark.slow, pytest.mark.root]

USERS = (PAM_USER, USERDB_USER)


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    for tool in machines.TOOLS:
        if shutil.which(tool) is None:
            missing(tool)
    packages = machines.build_packages()
    with copied(machines.make_root(machines.dependencies(packages), "trixie")) as root:
        (root / "root/packages").mkdir()
        for package in packages:
            shutil.copy(package, root / "root/packages")
        run_in(root, INSTALL)
        for user in USERS:
            _make_maildir(root, user)
        one = Machine(root)
        try:
            yield one
        finally:
            one.kill()


def test_everything_runs_after_boot(machine: Machine) -> None:
    assert machine.run("python3", "--version").startswith("Python 3.13")
    assert machine.run("systemctl", "list-units", "--failed", "--plain", "--no-legend") == ""
    for unit in (*SERVICES, *SOCKETS):
        assert machine.show(unit, "ActiveState") == "active", machine.journal("-u", unit)


def test_sessions(machine: Machine) -> None:
    """By IMAP over each transport and by POP3, with accounts of PAM and of userdb."""
    for user in USERS:
        for transport in ("plain", "starttls", "imaps"):
            client = logged_in(machine, user, transport)
            assert client.append("INBOX", "(\\Flagged)", "", MESSAGE)[0] == "OK"
            client.select()
            assert client.search(None, "SUBJECT", "here")[1] != [b""]
            client.logout()
        context = ssl.create_default_context(cafile=str(machine.root / "etc/courier/pop3d.pem"))
        secure = context.wrap_socket(machine.connect(995), server_hostname=HOSTNAME)
        for connection in (machine.connect(110), secure):
            pop = Pop(connection)
            pop.user(user.userid)
            pop.pass_(user.password)
            assert pop.stat()[0] == 3
            pop.quit()


def test_reload_and_restart(machine: Machine) -> None:
    """Sessions go on, or are told goodbye; nobody is refused."""
    client = logged_in(machine, USERDB_USER)
    with Visitor(machine) as visitor:
        machine.run("systemctl", "reload", "courier-imap.service")
        assert client.noop()[0] == "OK"
        machine.run("systemctl", "restart", "courier-imap.service")
        visitor.await_another()

    assert visitor.refused == []
    assert b"".join(iter(client.readline, b"")).startswith(b"* BYE ")
    until(lambda: machine.show("courier-imap.service", "ActiveState") == "active", "the restart")
    assert "Traceback" not in machine.journal("--facility=mail")

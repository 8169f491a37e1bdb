"""Debian's programs that ask our authdaemond: maildrop, whose mail it is; pop3login, who may read it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from tests.conftest import missing
from tests.support import authdaemon
from tests.support.authdaemon import Daemon
from tests.support.courier_root import CourierRoot
from tests.support.servers import ROOT

pytestmark = [pytest.mark.courier, pytest.mark.root, pytest.mark.slow]

MAILDROP = ROOT / ".tools/delivery/usr/bin/maildrop"
MESSAGE = b"From: a@example.com\nTo: vm1@example.com\nSubject: delivered\n\nx\n"
EX_NOUSER = 67


@pytest.fixture
def maildir(root: CourierRoot) -> Path:
    """The maildir of vm1@example.com; maildrop is in the root directory."""
    if not MAILDROP.exists():
        missing("Debian's maildrop, see `make tools`")
    shutil.copy2(MAILDROP, root.path / "usr/sbin/maildrop")
    home = root.path / "home/vmail/vm1"
    for name in ("cur", "new", "tmp"):
        (home / "Maildir" / name).mkdir(parents=True)
    for directory, _, _ in os.walk(root.path / "home/vmail"):
        os.chown(directory, 5000, 5000)
    return home / "Maildir"


@pytest.mark.parametrize("ours", [True, False], ids=["our daemon", "their daemon"])
def test_maildrop(root: CourierRoot, maildir: Path, ours: bool) -> None:
    """Into the account's maildir, as its uid; an unknown account bounces."""
    daemon: Daemon = authdaemon.start_inside(
        root, {"authmodulelist": "authuserdb", "daemons": "1"}, ours=ours
    )

    done = root.run(["maildrop", "-d", "vm1@example.com"], MESSAGE)
    assert (done.returncode, done.stderr) == (0, b""), daemon.log
    (delivered,) = (maildir / "new").iterdir()
    assert b"Subject: delivered" in delivered.read_bytes()
    assert (delivered.stat().st_uid, delivered.stat().st_gid) == (5000, 5000)

    unknown = root.run(["maildrop", "-d", "nobody@example.com"], MESSAGE)
    assert unknown.returncode == EX_NOUSER, unknown.stderr
    assert len(list((maildir / "new").iterdir())) == 1
    daemon.stop()


def test_pop3login(root: CourierRoot, maildir: Path) -> None:
    """Courier's log-in program, and the pop3d it starts, with an account from our daemon."""
    daemon = authdaemon.start_inside(
        root, {"authmodulelist": "authuserdb", "daemons": "1"}, ours=True
    )
    ours, theirs = socket.socketpair()
    process = subprocess.Popen(
        root.command_line(
            [
                "/usr/lib/courier/courier/courierpop3login",
                "/opt/usr/lib/courier/courier/courierpop3d",
                "Maildir",
            ]
        ),
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.PIPE,
        env=root.variables({"TCPREMOTEIP": "::1", "TCPREMOTEPORT": "1", "TCPLOCALPORT": "110"}),
    )
    theirs.close()
    try:
        ours.settimeout(authdaemon.LIMIT_S)
        told = ours.makefile("rb")
        heard = [told.readline()]
        for command in (
            b"USER vm1@example.com", b"PASS bad", b"USER vm1@example.com", b"PASS secret", b"STAT",
            b"QUIT",
        ):  # fmt: skip
            ours.sendall(command + b"\r\n")
            heard.append(told.readline())
        told.close()
    finally:
        ours.close()
        _, log = process.communicate(timeout=authdaemon.LIMIT_S)
        daemon.stop()

    assert [line[:4].strip() for line in heard] == [
        b"+OK", b"+OK", b"-ERR", b"+OK", b"+OK", b"+OK", b"+OK",
    ], heard  # fmt: skip
    assert heard[-2] == b"+OK 0 0\r\n"
    assert b"LOGIN, user=vm1@example.com, ip=[::1]" in log

"""userdb, makeuserdb, userdbpw and authtest as an administrator runs them.

`tests/authdaemond/test_courier.py` holds them against Courier's own.
"""

from __future__ import annotations

import errno
import os
import pty
import resource
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from courier.auth import hmac_state, passwords
from tests.support.authdaemon import environment

pytestmark = pytest.mark.slow


def run(
    place: Path, tool: str, *arguments: str, stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", f"tools.{tool}", *arguments],
        input=stdin,
        capture_output=True,
        timeout=60,
        env=environment(place),
        check=False,
    )


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "etc").mkdir()
    return tmp_path


def test_an_account_from_nothing(place: Path) -> None:
    """The three commands of the manual page."""
    stored = run(place, "userdbpw", "-md5", stdin=b"secret\n").stdout
    run(place, "userdb", "vm1@example.com", "set", "uid=5000", "gid=5000", "home=/h")
    run(place, "userdb", "vm1@example.com", "set", "systempw", stdin=stored)

    assert run(place, "makeuserdb").returncode == 0

    assert sorted(path.name for path in (place / "etc").iterdir()) == [
        ".lock.userdb",
        "userdb",
        "userdb.dat",
        "userdb.lock",
        "userdbshadow.dat",
    ]
    shown = run(place, "userdb", "-show", "vm1@example.com").stdout.splitlines()
    assert shown[:3] == [b"uid=5000", b"gid=5000", b"home=/h"]
    assert passwords.fits(b"secret", shown[3].removeprefix(b"systempw="))


def test_password_is_asked_twice_at_a_terminal(place: Path) -> None:
    """Until both are equal; it is never shown, and only the result is on standard output."""
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "tools.userdbpw", "-hmac-md5"],
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=terminal,
        start_new_session=True,
        env=environment(place),
    )
    os.close(terminal)
    shown = b""
    for prompt, typed in (
        (b"Password: ", b"secret"),
        (b"Reenter password: ", b"sceret"),
        (b"Password: ", b"secret"),
        (b"Reenter password: ", b"secret"),
    ):
        heard = b""
        while not heard.endswith(prompt):
            heard += os.read(controller, 1000)
        shown += heard
        os.write(controller, typed + b"\n")
    assert process.stdout
    output = process.stdout.read()
    process.stdout.close()
    assert process.wait(60) == 0
    os.close(controller)

    assert output.strip() == hmac_state.secret(hmac_state.MD5, b"secret")
    assert b"Passwords don't match." in shown
    assert b"secret" not in shown


def test_name_with_a_tab_is_refused(place: Path) -> None:
    """Written as it is it would be another account."""
    found = run(place, "userdb", "a\tuid=0|x", "set", "uid=1")
    other = run(place, "userdb", "a\tb", "set", "uid=1")

    assert (found.returncode, other.returncode) == (22, 22)
    assert not (place / "etc/userdb").exists()


def test_value_from_standard_input_is_one_field(place: Path) -> None:
    found = run(place, "userdb", "a", "set", "systempw", stdin=b"x|uid=0\n")

    assert (found.returncode, found.stderr) == (22, b"Invalid field or value.\n")
    assert not (place / "etc/userdb").exists()


def test_errors_of_the_system(place: Path) -> None:
    """No traceback: what, where, why."""
    missing = run(place, "userdb", "none/x/a", "set", "uid=1")
    (place / "etc/userdb").mkdir(mode=0o700)
    (place / "etc/userdb/f.dpkg-old").touch()
    left = run(place, "makeuserdb")

    assert missing.returncode == 2
    assert missing.stderr.startswith(b"Can't open ") and missing.stderr.count(b"\n") == 1
    assert (left.returncode, left.stderr.count(b"\n")) == (1, 1)


def test_no_room(place: Path) -> None:
    """The file is named in which there is none, and what was there stays."""
    run(place, "userdb", "a", "set", "uid=1")
    before = (place / "etc/userdb").read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))
    try:
        full = run(place, "userdb", "a", "set", "uid=2")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert full.stderr.startswith(b"Can't open %b: " % bytes(place / "etc/userdb"))
    assert (full.returncode, full.stderr.count(b"\n")) == (errno.EFBIG, 1)
    assert (place / "etc/userdb").read_bytes() == before


def test_authtest_is_told_nothing(place: Path) -> None:
    """A daemon that closes the connection: temporary, by its errno's text."""
    (place / "run/authdaemon").mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place / "run/authdaemon/socket"))
        listener.listen()
        process = subprocess.Popen(
            [sys.executable, "-m", "tools.authtest", "-s", "imap", "alice", "secret"],
            stderr=subprocess.PIPE,
            env=environment(place) | {"TCPREMOTEIP": "192.0.2.1"},
        )
        connection, _ = listener.accept()
        with connection:
            request = connection.recv(1000)
        _, errors = process.communicate(timeout=60)

    assert request == b"TCPREMOTEIP=192.0.2.1\nAUTH 24\nimap\nlogin\nalice\nsecret\n"
    assert (process.returncode, errors) == (1, b"Authentication FAILED: Input/output error\n")


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-1", "SCRAM-SHA-256"])
def test_userdbpw_scram(place: Path, mechanism: str) -> None:
    """A secret that the password fits, with a salt of its own; it goes into userdb as it is."""
    first, second = (
        run(place, "userdbpw", f"-{mechanism.lower()}", stdin=b"secret\n").stdout for _ in range(2)
    )

    assert first.startswith(b"{%b}4096," % mechanism.encode()) and first != second
    assert passwords.fits(b"secret", first.removesuffix(b"\n"))
    assert not passwords.fits(b"sceret", first.removesuffix(b"\n"))
    more = run(place, "userdbpw", f"-{mechanism.lower()}", "-iterations=5000", stdin=b"secret\n")
    assert more.stdout.startswith(b"{%b}5000," % mechanism.encode())
    assert passwords.fits(b"secret", more.stdout.removesuffix(b"\n"))
    for wrong in ("-iterations=4095", "-iterations=10000001", "-iterations=x", "-iterations"):
        refused = run(place, "userdbpw", f"-{mechanism.lower()}", wrong, stdin=b"secret\n")
        assert (refused.returncode, refused.stdout) == (1, b"")
    run(place, "userdb", "u", "set", "systempw", stdin=first)
    assert b"systempw=" + first in run(place, "userdb", "-show", "u").stdout

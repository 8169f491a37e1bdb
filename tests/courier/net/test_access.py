"""The access file: made by gdbm as makedat makes it, and what real couriertcpd makes of the same."""

from __future__ import annotations

import dbm.gnu
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from courier.net.access import AccessFile, Allowed, Denied
from tests.conftest import missing
from tests.support.daemon import free_port
from tests.support.exhaustion import exhausted_here
from tests.support.servers import COURIER

Records = Mapping[str, str | bytes]


def write(path: Path, records: Records) -> Path:
    """Make a database and put it in place by rename, as makedat does."""
    made = path.with_suffix(".tmp")
    with dbm.gnu.open(str(made), "n") as database:
        for key, value in records.items():
            database[key.encode()] = value if isinstance(value, bytes) else value.encode()
    made.rename(path)
    return path


class Opened:
    """An access file and what it told."""

    def __init__(self, path: Path) -> None:
        self.told: list[str] = []
        self.file = AccessFile(path, self.told.append)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "imapaccess.dat"


def remote(path: Path, records: Records, ip: str) -> Allowed | Denied:
    opened = Opened(write(path, records))
    try:
        return opened.file.remote(ip)
    finally:
        opened.file.close()


ALL = {
    "192.0.2.1": "deny", "192.0.2": "allow,K=net", "192.0": "deny", "192": "allow,K=A",
    "*": "deny", ":2001:0db8:0000:0000:0000:0000:0000:0001": "deny", ":2001:0db8": "allow,K=six",
    "10.1.2.3.143": "deny", "10.1.2.3": "allow,K=address", "*.144": "allow,K=port",
}  # fmt: skip


@pytest.mark.parametrize(
    ("ip", "expected"),
    [
        ("192.0.2.1", Denied("192.0.2.1")),
        ("::ffff:192.0.2.1", Denied("192.0.2.1")),
        ("192.0.2.2", Allowed({"K": "net"})),
        ("192.0.20.1", Denied("192.0")),
        ("192.1.2.1", Allowed({"K": "A"})),
        ("198.51.100.1", Denied("*")),
        ("2001:db8::1", Denied(":2001:0db8:0000:0000:0000:0000:0000:0001")),
        ("2001:DB8::2", Allowed({"K": "six"})),
        ("2001:db9::1", Denied("*")),
        ("fe80::1%eth0", Denied("*")),
    ],
)
def test_most_exact_key_decides(path: Path, ip: str, expected: Allowed | Denied) -> None:
    """IPv4 by octets, IPv6 by words, then everybody; nothing is combined."""
    assert remote(path, ALL, ip) == expected


@pytest.mark.parametrize(
    ("ip", "port", "expected"),
    [
        ("10.1.2.3", 143, Denied("10.1.2.3.143")),
        ("::ffff:10.1.2.3", 144, Allowed({"K": "address"})),
        ("10.1.2.4", 144, Allowed({"K": "port"})),
        ("10.1.2.4", 145, Denied("*")),
        ("192.0.2.9", 144, Allowed({"K": "net"})),
        ("2001:db9::1", 144, Allowed({"K": "port"})),
    ],
)
def test_local_lookup(path: Path, ip: str, port: int, expected: Allowed | Denied) -> None:
    """-accesslocal: the address with its port, the address, its parts, the port, everybody."""
    opened = Opened(write(path, ALL))

    assert opened.file.local(ip, port) == expected
    opened.file.close()


def test_no_hit_is_allowed(path: Path) -> None:
    assert remote(path, {"192.0.2": "deny"}, "198.51.100.1") == Allowed({})


# --- Values, and couriertcpd on the same ----------------------------------------------------------

VALUES: list[tuple[str, dict[str, str] | None]] = [
    ("deny", None),
    ("denyxyz", None),
    ("deny,A=1", None),
    ("1", {"1": ""}),
    ("allow", {}),
    ("allow,A=1", {"A": "1"}),
    ("allow A=1", {"A": "1"}),
    ("allowfoo", {"foo": ""}),
    ("allow;A=1", {";A": "1"}),
    (" allow,A=1", {"allow": "", "A": "1"}),
    ("Deny", {"Deny": ""}),
    (" deny", {"deny": ""}),
    (
        "allow,MAXCPERIP=2,FOO,BAR=\"a,b\",BAZ='x y' , QUX=1 2 ",
        {"MAXCPERIP": "2", "FOO": "", "BAR": "a,b", "BAZ": "x y", "QUX": "1 2"},
    ),
    ("allow,,,A=1,,B=2,", {"A": "1", "B": "2"}),
    ("allow,A=' x '", {"A": " x"}),
    ('allow,A="x', {"A": "x"}),
    ("allow,A='it\"s'", {"A": 'it"s'}),
    ('allow,"A=1,B=2"', {"A": "1,B=2"}),
    ("allow,A='x'y\"z\"", {"A": "xyz"}),
    ("allow,A=1,A=2", {"A": "2"}),
    ("allow,A=a\\,b", {"A": "a\\", "b": ""}),
    ("allow,A = 1", {"A ": " 1"}),
    ("allow,A=b=c", {"A": "b=c"}),
    ("allow,A=1\t,B=2", {"A": "1", "B": "2"}),
    ("allow,A=1,deny", {"A": "1", "deny": ""}),
]


@pytest.mark.parametrize(("value", "environment"), VALUES)
def test_value(path: Path, value: str, environment: dict[str, str] | None) -> None:
    """Refused, or allowed with these assignments."""
    expected = Denied("127.0.0.1") if environment is None else Allowed(environment)

    assert remote(path, {"127.0.0.1": value}, "127.0.0.1") == expected


def test_value_that_is_no_text(path: Path) -> None:
    """Octets that are no UTF-8 come through to the environment as they are."""
    found = remote(path, {"*": b"allow,A=\xff"}, "192.0.2.1")

    assert isinstance(found, Allowed)
    assert os.fsencode(found.environment["A"]) == b"\xff"


@pytest.mark.parametrize(
    ("value", "limit"),
    [("2", 2), (" 7x", 7), ("0", None), ("-1", None), ("x", None), ("", None), (None, None)],
)
def test_max_per_ip(value: str | None, limit: int | None) -> None:
    """Courier: MAXCPERIP counts where it is above 0."""
    assert Allowed({} if value is None else {"MAXCPERIP": value}).max_per_ip == limit


@pytest.mark.courier
@pytest.mark.slow
@pytest.mark.parametrize(("value", "environment"), VALUES)
def test_value_in_couriertcpd(path: Path, value: str, environment: dict[str, str] | None) -> None:
    """What the table says is what real couriertcpd does."""
    write(path, {"127.0.0.1": value})

    assert couriertcpd_environment(path) == environment


def couriertcpd_environment(database: Path) -> dict[str, str] | None:
    """Connect to couriertcpd, which runs `env`; None if it closes without running it."""
    program = COURIER / "usr/sbin/couriertcpd"
    if not program.exists():
        missing("Debian's courier-base, see `make tools`")
    port = free_port()
    libraries = f"{COURIER}/usr/lib:{COURIER}/usr/lib/x86_64-linux-gnu"
    server = subprocess.Popen(
        [program, f"-access={database}", "-address=127.0.0.1", "-nodnslookup", str(port),
         "/usr/bin/env", "-0"],
        env={"LD_LIBRARY_PATH": libraries}, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        output = b"".join(received(connected(port)))
    finally:
        server.kill()
        server.wait()
    pairs = [os.fsdecode(one).partition("=") for one in output.split(b"\0") if one]
    if not pairs:
        return None
    ours = ("LD_LIBRARY_PATH", "TCPREMOTEIP", "TCPREMOTEPORT", "TCPLOCALIP", "TCPLOCALPORT")
    # Courier also puts nameless items there; ours leaves them out.
    return {name: text for name, _, text in pairs if name and name not in ours}


def connected(port: int) -> socket.socket:
    deadline = time.monotonic() + 20
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port))
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def received(connection: socket.socket) -> Iterator[bytes]:
    with connection:
        while True:
            try:
                octets = connection.recv(65536)
            except ConnectionResetError:
                return
            if not octets:
                return
            yield octets


# --- The file --------------------------------------------------------------------------------------


def test_missing_file_allows_and_is_told_once(path: Path) -> None:
    """Courier: allowed, with a message. It is used as soon as it is there."""
    opened = Opened(path)

    assert [opened.file.remote("192.0.2.1") for _ in range(3)] == [Allowed({})] * 3
    assert opened.told == [f"ERR: {path}: No such file or directory; everybody may connect"]

    write(path, {"*": "deny"})
    assert opened.file.remote("192.0.2.1") == Denied("*")
    opened.file.close()


def test_replaced_file_is_noticed(path: Path) -> None:
    """makeimapaccess renames a new file into place; no signal is needed."""
    opened = Opened(write(path, {"*": "deny"}))
    assert opened.file.remote("192.0.2.1") == Denied("*")

    write(path, {"*": "allow,A=1"})

    assert opened.file.remote("192.0.2.1") == Allowed({"A": "1"})
    assert opened.told == []
    opened.file.close()


@pytest.mark.parametrize("content", [b"", b"no database", b"\xcf\x9a\x57\x13" + bytes(4092)])
def test_damaged_file_opens_no_door(path: Path, content: bytes) -> None:
    """A file that can't be read leaves the one before in force, and is told of once."""
    opened = Opened(write(path, {"*": "deny"}))
    opened.file.remote("192.0.2.1")

    damaged = path.with_suffix(".new")
    damaged.write_bytes(content)
    damaged.rename(path)

    assert [opened.file.remote("192.0.2.1") for _ in range(3)] == [Denied("*")] * 3
    assert len(opened.told) == 1
    assert opened.told[0].startswith(f"ERR: {path}: not a GDBM file: ")
    assert opened.told[0].endswith("; the file read before stays in force")
    opened.file.close()


def test_file_without_a_descriptor_left(path: Path) -> None:
    """What came new is in force as soon as it can be opened; until then what was before."""
    opened = Opened(write(path, {"*": "deny"}))
    opened.file.remote("192.0.2.1")
    write(path, {"*": "allow,A=1"})

    with exhausted_here():
        assert [opened.file.remote("192.0.2.1") for _ in range(3)] == [Denied("*")] * 3
    assert opened.file.remote("192.0.2.1") == Allowed({"A": "1"})

    assert len(opened.told) == 1
    assert "Too many open files" in opened.told[0]
    opened.file.close()


def test_removed_file_stays_in_force(path: Path) -> None:
    opened = Opened(write(path, {"*": "deny"}))
    opened.file.remote("192.0.2.1")

    path.unlink()

    assert [opened.file.remote("192.0.2.1") for _ in range(3)] == [Denied("*")] * 3
    assert opened.told == [
        f"ERR: {path}: No such file or directory; the file read before stays in force"
    ]
    opened.file.close()


def test_damaged_file_at_start_allows(path: Path) -> None:
    """Courier: a database that can't be opened allows everybody."""
    path.write_bytes(b"no database")
    opened = Opened(path)

    assert opened.file.remote("192.0.2.1") == Allowed({})
    assert len(opened.told) == 1
    assert opened.told[0].endswith("; everybody may connect")

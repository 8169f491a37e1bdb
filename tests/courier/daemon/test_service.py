"""What both settings files come to for imapd and for imapd-ssl."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest

from courier.daemon.service import Service, daemons, files, service
from imapd.settings import load

pytest.importorskip("OpenSSL")

CONF = Path(__file__).parents[3] / "conf"

DAEMONS = daemons("imapd")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    for name in DAEMONS:
        (tmp_path / name).write_text("")
    return tmp_path


def found(directory: Path, daemon: str) -> Service:
    return service(load(files(daemon, directory), lambda line: None), daemon)


def test_each_daemon_reads_its_own_file_last(directory: Path) -> None:
    """A setting in both files has a value for each daemon; one in either holds for both."""
    (directory / "imapd").write_text("MAXDAEMONS=40\nMAXPERIP=20\n")
    (directory / "imapd-ssl").write_text("MAXDAEMONS=400\nTCPDOPTS=-maxperc=9\n")

    assert [
        (one.max_daemons, one.max_per_ip, one.max_per_c)
        for one in (found(directory, daemon) for daemon in DAEMONS)
    ] == [(40, 20, 9), (400, 20, 9)]


def test_shipped_files(directory: Path) -> None:
    """The two daemons as they come: ports, pid files, names in the log, TLS."""
    for name in DAEMONS:
        (directory / name).write_bytes((CONF / f"{name}.dist").read_bytes())

    plain, ssl = (found(directory, daemon) for daemon in DAEMONS)

    assert (plain.listen, ssl.listen) == (((None, 143),), ((None, 993),))
    assert (plain.listen_setting, ssl.listen_setting) == ("PORT", "SSLPORT")
    assert (str(plain.pid_file), str(ssl.pid_file)) == (
        "/run/courier/imapd.pid",
        "/run/courier/imapd-ssl.pid",
    )
    assert (plain.log_name, ssl.log_name) == ("imapd", "imapd-ssl")
    assert (plain.is_tls, plain.starttls) == (False, True)
    assert (ssl.is_tls, ssl.starttls) == (True, False)
    assert plain.tls == ssl.tls is not None
    assert str(plain.access) == "/etc/courier/imapaccess.dat"


def test_nothing_set(directory: Path) -> None:
    plain, ssl = (found(directory, daemon) for daemon in DAEMONS)

    assert (plain.tls, plain.starttls, ssl.tls, ssl.is_tls) == (None, False, None, True)
    assert (plain.access, plain.max_per_c, plain.is_started) == (None, None, False)
    assert (plain.log_name, plain.log_facility) == ("imapd", "mail")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("PORT=143", [(None, 143)]),
        ("PORT=143,0.143,::.143", [(None, 143)]),
        ("ADDRESS=0.0.0.0", [("0.0.0.0", 143)]),  # Courier: without IPv6
        ("PORT=143,1143\nADDRESS=127.0.0.1", [("127.0.0.1", 143), ("127.0.0.1", 1143)]),
        ("PORT=192.0.2.1.143,1143\nADDRESS=::1", [("192.0.2.1", 143), ("::1", 1143)]),
        ("ADDRESS=192.0.2.1\nTCPDOPTS=-address=::1", [("::1", 143)]),
    ],
)
def test_listen(directory: Path, text: str, expected: list[tuple[str | None, int]]) -> None:
    """Each port at its own address, else at ADDRESS; TCPDOPTS comes last; nothing twice."""
    (directory / "imapd").write_text(text + "\n")

    assert found(directory, "imapd").listen == tuple(
        (address and ip_address(address), port) for address, port in expected
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("MAXDAEMONS=40", (40, 35)),
        ("MAXDAEMONS=5", (5, 4)),
        ("MAXDAEMONS=40\nTCPDOPTS='-maxprocs=20 -warn=3'", (20, 3)),
        ("TCPDOPTS=-warn=0", (40, 0)),
    ],
)
def test_limits(directory: Path, text: str, expected: tuple[int, int]) -> None:
    (directory / "imapd").write_text(text + "\n")

    one = found(directory, "imapd")

    assert (one.max_daemons, one.warn_at) == expected


def test_limit_of_a_network(directory: Path) -> None:
    """IMAP_MAXPERC counts, -maxperc is for those who have it."""
    (directory / "imapd").write_text("TCPDOPTS=-maxperc=9\nIMAP_MAXPERC=7\n")

    assert found(directory, "imapd").max_per_c == 7


def test_log_options(directory: Path) -> None:
    (directory / "imapd").write_text("LOGGEROPTS='-name=x -droproot -facility=local1 -name=y'\n")

    one = found(directory, "imapd")

    assert (one.log_name, one.log_facility) == ("y", "local1")

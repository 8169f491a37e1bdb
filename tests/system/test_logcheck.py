"""logcheck's rules in the Debian packages: ordinary lines are passed over, and nothing else."""

from __future__ import annotations

import subprocess

import pytest

from tests.support.servers import ROOT

PEER = "ip=[::ffff:192.0.2.7], port=[40000]"
ORDINARY = [
    f"LOGIN, user=vera@example.test, {PEER}, protocol=IMAP",
    f"LOGIN, user=vera, {PEER}, protocol=IMAP, starttls=1",
    f"LOGOUT, user=vera, {PEER}, headers=0, body=0, rcvd=10, sent=236, time=2",
    f"DISCONNECTED, user=vera, {PEER}, headers=0, body=0, rcvd=8, sent=193, time=1, starttls=1",
    f"TIMEOUT, user=vera, {PEER}, headers=12, body=27, rcvd=115, sent=840, time=1800",
    f"NOTICE: Disconnected during shutdown by signal, user=vera, {PEER}, headers=0, time=5",
    "LOGOUT, ip=[::1], port=[4], rcvd=12, sent=200",
    "certificates have changed, loading them",
]
TELLING = [
    f"LOGIN FAILED, user=vera, {PEER}",
    "ip=[::ffff:192.0.2.7], An unexpected TLS packet was received.",
    "Maximum connection limit reached for ::ffff:192.0.2.7",
    f"LOGIN, user=a b, {PEER}, protocol=IMAP",
    "the settings stay as they were",
]


def passed_over(program: str, package: str, line: str) -> bool:
    rules = ROOT / f"debian/{package}.logcheck.ignore.server"
    for stamp in ("Nov 27 07:00:01", "2026-11-27T07:00:01.123456+00:00"):
        found = subprocess.run(
            ["grep", "-E", "-q", "-f", rules],
            input=f"{stamp} mail {program}: {line}\n", text=True, check=False,
        )  # fmt: skip
        if found.returncode != 0:
            return False
    return True


@pytest.mark.parametrize(
    "program, package",
    [
        ("imapd", "pycourier-imap"),
        ("imapd-ssl[77]", "pycourier-imap"),
        ("pop3d", "pycourier-pop"),
        ("pop3d-ssl", "pycourier-pop"),
    ],
)
def test_rules(program: str, package: str) -> None:
    assert [line for line in ORDINARY if not passed_over(program, package, line)] == []
    assert [line for line in TELLING if passed_over(program, package, line)] == []


def test_lines_of_one_protocol() -> None:
    assert passed_over("imapd", "pycourier-imap", f"EXPUNGED, user=v, {PEER}, old_name=./cur/1:2,T")
    assert passed_over("imapd", "pycourier-imap", f"ID, user=v, {PEER}, name=A client")
    assert passed_over("pop3d", "pycourier-pop", f"DELETED, user=v, {PEER}, filename=cur/1:2,S")

"""Ours and Debian's programs of the same name, run alike."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import missing
from tests.courier.net.authority import Signed, authority
from tests.support.servers import COURIER, OURS, REAL
from tests.support.syslog import Syslog

# Under Debian's unpacked Courier.
PLACES = {
    "courierlogger": "usr/sbin/courierlogger",
    "couriertcpd": "usr/sbin/couriertcpd",
    "couriertls": "usr/bin/couriertls",
}


@dataclass(frozen=True)
class Program:
    """One of the two: its command line and environment."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    is_ours: bool

    def __call__(self, *arguments: str) -> list[str]:
        return [*self.command, *arguments]


Find = Callable[[str], Program]


@pytest.fixture(params=["ours", pytest.param("courier", marks=pytest.mark.courier)])
def find(request: pytest.FixtureRequest) -> Find:
    """Find a program, ours and Courier's in turn."""

    def find_program(name: str) -> Program:
        path = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        if request.param == "ours":
            command = (sys.executable, "-m", f"classic.{name}")
            return Program(command, {**path, **OURS.environment}, True)
        if not (COURIER / PLACES[name]).exists():
            missing("Debian's Courier, see `make tools`")
        return Program((str(COURIER / PLACES[name]),), {**path, **REAL.environment}, False)

    return find_program


@pytest.fixture
def syslog() -> Iterator[Syslog]:
    if os.geteuid() != 0:
        missing("root's rights, for a log of one's own")
    log = Syslog()
    yield log
    log.close()


@pytest.fixture
def pid_file(tmp_path: Path) -> Path:
    return tmp_path / "daemon.pid"


@pytest.fixture(scope="module")
def signer() -> Signed:
    return authority()


@pytest.fixture
def files(tmp_path: Path, signer: Signed) -> dict[str, str]:
    """What TLS_* name: a server's certificate, and whom to trust."""
    signer.sign("localhost").combined(tmp_path / "server.pem")
    (tmp_path / "trusted.pem").write_bytes(signer.certificate_pem)
    return {
        "TLS_CERTFILE": f"{tmp_path}/server.pem",
        "TLS_TRUSTCERTS": f"{tmp_path}/trusted.pem",
        "TLS_VERIFYPEER": "PEER",
    }

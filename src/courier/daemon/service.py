"""What the settings come to for one of a server's two daemons, as imapd and imapd-ssl.

imapd serves port 143, where TLS begins by STARTTLS; imapd-ssl serves port 993, where it begins at
once. Each reads both settings files, its own one last. pop3d and pop3d-ssl are the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address
from pathlib import Path
from typing import TYPE_CHECKING

from courier import paths
from courier.daemon.settings import DaemonSettings
from courier.setting_reader import Address, Port
from courier.tcpd_options import TcpdOptions

if TYPE_CHECKING:
    from courier.net.tls_context import TlsOptions

_SSL = "-ssl"

#: Courier: 0.0.0.0 is IPv4 alone, `::` takes IPv4 as well.
_ALL_ADDRESSES = {IPv6Address(0)}


def daemons(program: str) -> tuple[str, str]:
    """Name the two daemons of a program."""
    return program, program + _SSL


def files(daemon: str, directory: Path = paths.SYSCONFDIR) -> tuple[Path, Path]:
    """Return the settings files in the order in which ``daemon`` reads them."""
    program = daemon.removesuffix(_SSL)
    plain, ssl = directory / program, directory / (program + _SSL)
    return (ssl, plain) if daemon == program else (plain, ssl)


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One daemon's settings, TCPDOPTS put in their place."""

    daemon: str
    #: Where to listen, an address of None meaning all, and the setting that says so.
    listen: tuple[tuple[Address | None, int], ...]
    listen_setting: str
    pid_file: Path
    #: The name in the log, and its facility.
    log_name: str
    log_facility: str
    is_started: bool
    max_daemons: int
    max_per_ip: int
    max_per_c: int | None
    warn_at: int
    #: The access database, with its `.dat`.
    access: Path | None
    tcpd_options: TcpdOptions
    #: Whether TLS begins with the connection.
    is_tls: bool
    #: Whether it may begin by STARTTLS.
    starttls: bool
    tls: TlsOptions | None


def service(settings: DaemonSettings, daemon: str) -> Service:
    """Return what ``settings`` mean to ``daemon``. They were read in its order, see `files`."""
    is_ssl = daemon.endswith(_SSL)
    tcpd = settings.tcpd_options
    address = tcpd.address or (settings.ssl_address if is_ssl else settings.address)
    max_daemons = tcpd.max_daemons or settings.max_daemons
    log_name, facility = _log(
        settings.ssl_logger_options if is_ssl else settings.logger_options, daemon
    )
    starttls = settings.starttls and not is_ssl
    return Service(
        daemon=daemon,
        listen=_listen(settings.ssl_port if is_ssl else settings.port, address),
        listen_setting="SSLPORT" if is_ssl else "PORT",
        pid_file=settings.ssl_pid_file if is_ssl else settings.pid_file,
        log_name=log_name,
        log_facility=facility,
        is_started=settings.ssl_start if is_ssl else settings.start,
        max_daemons=max_daemons,
        max_per_ip=tcpd.max_per_ip or settings.max_per_ip,
        max_per_c=settings.max_per_c or tcpd.max_per_c,
        # Courier: couriertcpd(1), -warn.
        warn_at=max_daemons - (max_daemons // 10 + 1) if tcpd.warn_at is None else tcpd.warn_at,
        access=tcpd.access or _database(settings.access_file),
        tcpd_options=tcpd,
        is_tls=is_ssl,
        starttls=starttls,
        tls=settings.tls.options(starttls=starttls) if is_ssl or starttls else None,
    )


def _listen(
    ports: tuple[Port, ...], default: Address | None
) -> tuple[tuple[Address | None, int], ...]:
    found = ((port.address or default, port.number) for port in ports)
    return tuple(
        dict.fromkeys((None if one in _ALL_ADDRESSES else one, port) for one, port in found)
    )


def _database(source: Path | None) -> Path | None:
    return source and source.with_name(source.name + ".dat")


def _log(options: tuple[str, ...], daemon: str) -> tuple[str, str]:
    """courierlogger's options: the last of each wins."""
    given: Mapping[str, str] = dict(
        option.split("=", 1) for option in options if option.startswith("-") and "=" in option
    )
    return given.get("-name") or daemon, given.get("-facility") or "mail"

"""pop3d's settings: one line for each, in the order of `conf/pop3d.dist` and `pop3d-ssl.dist`.

Each is explained in pop3d(8). The files are Courier's, `/etc/courier/pop3d` and `pop3d-ssl`. Both daemons,
pop3d and pop3d-ssl, read both files, each its own one last. The TLS_* settings are in
`courier.tls_settings`.
"""

# ruff: noqa: RUF009  a call per field is how this table is written

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from courier import log, paths, tcpd_options
from courier import setting_reader as read
from courier.daemon import settings as daemon_settings
from courier.setting_reader import Address, Encrypted, Expected, Port
from courier.settings import SettingsError, family, setting
from courier.shell import Origin
from courier.tcpd_options import TcpdOptions
from courier.tls_settings import TlsSettings

__all__ = ["Settings", "SettingsError", "from_environment", "load"]

_TIMEOUT_S = 300
_LOGIN_USER = "pycourier-login"


def _mechanisms(text: str) -> tuple[str, ...]:
    words = tuple(text.split())
    if not all(re.fullmatch(r"[A-Za-z0-9_-]{1,20}", word) for word in words):
        raise Expected("SASL mechanisms separated by blanks")
    return words


def _media_type(text: str) -> str:
    if text and not re.fullmatch(r"[!#$&^_.+A-Za-z0-9-]+/[!#$&^_.+A-Za-z0-9-]+", text):
        raise Expected("a media type, as message/global")
    return text or "message/global"


def _limit(text: str) -> int | None:
    return read.number(1)(text) if text else None


def _no_or_one(text: str) -> bool:
    return read.number(0, 1)(text) == 1


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All of pop3d's settings. Without arguments: nothing was set.

    Those read ``by_daemon`` say something after `load` alone. ``environment`` holds all variables,
    ``origins`` says of each where it was set.
    """

    pid_file: Path = setting(
        "PIDFILE", read.absolute_path, unset=paths.RUNDIR / "pop3d.pid", by_daemon=True
    )
    max_daemons: int = setting("MAXDAEMONS", read.number(1), unset=40, by_daemon=True)
    max_per_ip: int = setting("MAXPERIP", read.number(1), unset=4, by_daemon=True)
    auth: tuple[str, ...] = setting("POP3AUTH", _mechanisms, unset=())
    auth_orig: tuple[str, ...] = setting("POP3AUTH_ORIG", _mechanisms, unset=())
    auth_tls: tuple[str, ...] = setting("POP3AUTH_TLS", _mechanisms, unset=())
    auth_tls_orig: tuple[str, ...] = setting("POP3AUTH_TLS_ORIG", _mechanisms, unset=())
    proxy: bool = setting("POP3_PROXY", read.flag, unset=False)
    proxy_hostname: str | None = setting("PROXY_HOSTNAME", read.text_or_none, unset=None)
    port: tuple[Port, ...] = setting("PORT", read.ports, unset=(Port(110),), by_daemon=True)
    address: Address | None = setting("ADDRESS", read.address, unset=None, by_daemon=True)
    auth_service: Mapping[int, str] = family("AUTHSERVICE", read.text_or("pop3"), by_daemon=True)
    tcpd_options: TcpdOptions = setting(
        "TCPDOPTS", tcpd_options.parse, unset=TcpdOptions(), by_daemon=True
    )
    logger_options: tuple[str, ...] = setting("LOGGEROPTS", read.options, unset=(), by_daemon=True)
    default_domain: str | None = setting("DEFDOMAIN", read.text_or_none, unset=None)
    domain_separators: str | None = setting("DOMAINSEP", read.text_or_none, unset=None)
    start: bool = setting("POP3DSTART", read.yes, unset=False, by_daemon=True)
    log_deletions: bool = setting("POP3_LOG_DELETIONS", read.starts_without_0, unset=False)
    home_skeleton: Path | None = setting("AUTH_MKHOMEDIR_SKEL", read.path_or_none, unset=None)
    maildir_path: str = setting("MAILDIRPATH", read.text_or("Maildir"), unset="Maildir")
    unicode_message_type: str = setting(
        "MIME_UNICODE_MESSAGE_TYPE", _media_type, unset="message/global"
    )

    debug_login: int = setting("DEBUG_LOGIN", read.atoi, unset=0)

    # pop3d-ssl
    ssl_port: tuple[Port, ...] = setting("SSLPORT", read.ports, unset=(Port(995),), by_daemon=True)
    ssl_address: Address | None = setting("SSLADDRESS", read.address, unset=None, by_daemon=True)
    ssl_pid_file: Path = setting(
        "SSLPIDFILE", read.absolute_path, unset=paths.RUNDIR / "pop3d-ssl.pid", by_daemon=True
    )
    ssl_logger_options: tuple[str, ...] = setting(
        "SSLLOGGEROPTS", read.options, unset=(), by_daemon=True
    )
    ssl_start: bool = setting("POP3DSSLSTART", read.yes, unset=False, by_daemon=True)
    starttls: bool = setting("POP3_STARTTLS", read.yes, unset=False, by_daemon=True)
    tls_required: bool = setting("POP3_TLS_REQUIRED", read.flag, unset=False, by_daemon=True)
    couriertls: str | None = setting("COURIERTLS", read.text_or_none, unset=None, by_daemon=True)

    # Additions of ours
    extensions: bool = setting("POP3_EXTENSIONS", read.flag_or_on, unset=True)
    sasl: tuple[str, ...] = setting("POP3_SASL", daemon_settings.mechanisms, unset=())
    proxy_encrypted: Encrypted = setting(
        "POP3_PROXY_TLS", read.encrypted, unset="never", by_daemon=True
    )
    proxy_port: int | None = setting("POP3_PROXY_PORT", read.port_or_none, unset=None)
    max_per_c: int | None = setting("POP3_MAXPERC", _limit, unset=None, by_daemon=True)
    by_ipv6_network: bool = setting(
        "POP3_LIMIT_IPV6_NETWORKS", read.flag, unset=False, by_daemon=True
    )
    login_user: str = setting(
        "LOGIN_USER", read.text_or(_LOGIN_USER), unset=_LOGIN_USER, by_daemon=True
    )
    login_processes: int = setting(
        "POP3_LOGIN_PROCESSES", read.number(1, 64), unset=2, by_daemon=True
    )
    login_isolation: bool = setting("POP3_LOGIN_ISOLATION", read.flag, unset=False, by_daemon=True)
    one_session_per_worker: bool = setting(
        "POP3_SESSIONS_PER_WORKER", _no_or_one, unset=False, by_daemon=True
    )
    timeout_s: int = setting("POP3_TIMEOUT", read.number(1), unset=_TIMEOUT_S)
    trash_quota: bool = setting("MAILDIR_TRASHQUOTA", read.flag, unset=False)
    index_dir: str | None = setting("IMAP_INDEX_DIR", read.text_or_none, unset=None)

    #: POP3 has no access file of its own, and no umask.
    access_file: Path | None = None
    umask: int = 0o022
    tls: TlsSettings = field(default_factory=TlsSettings)
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    origins: Mapping[str, Origin] = field(default_factory=dict, repr=False)


def load(files: Sequence[Path], warn: Callable[[str], None] = log.warn) -> Settings:
    """Read settings files in order; see `daemon_settings.load`."""
    return daemon_settings.load(Settings, files, warn)


def from_environment(environ: Mapping[str, str]) -> Settings:
    """Read the settings of a session from a shell; see `daemon_settings.from_environment`."""
    return daemon_settings.from_environment(Settings, environ)

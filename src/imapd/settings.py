"""imapd's settings: one line for each, in the order of `conf/imapd.dist` and `imapd-ssl.dist`.

Each is explained in imapd(8). The files are Courier's, `/etc/courier/imapd` and `imapd-ssl`. Both
daemons, imapd and imapd-ssl, read both files, each its own one last. The TLS_* settings are in
`courier.tls_settings`; what it all comes to for one of the daemons, in `courier.daemon.service`.
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

__all__ = ["Purge", "Settings", "SettingsError", "SpecialUse", "from_environment", "load"]


@dataclass(frozen=True, slots=True)
class Purge:
    """Remove messages older than ``days`` from ``folder``, below INBOX; None is the trash."""

    folder: str | None
    days: int


@dataclass(frozen=True, slots=True)
class SpecialUse:
    """A folder, below INBOX, that has a special use unless a client says otherwise: ``\\Sent``."""

    folder: str
    attribute: str


# --- Readers ------------------------------------------------------------------------------------


def _capability(text: str) -> tuple[str, ...]:
    """Words as they will be sent; what would break the response is refused (RFC 9051 9)."""
    words = tuple(text.split())
    if not all(
        re.fullmatch(r"[!-~]+", word) and not set(word) & set('(){%*"\\]') for word in words
    ):
        raise Expected("capabilities separated by blanks")
    return words


def _capability_or_imap4rev1(text: str) -> tuple[str, ...]:
    return _capability(text) or ("IMAP4rev1",)


def _keywords(text: str) -> int:
    """0 off, 1 on; anything else was a slower algorithm that is on, too."""
    return {0: 0, 1: 1}.get(read.atoi(text), 2)


def _id_fields(text: str) -> int | None:
    """A sum of 1, 2 and 4. Any value switches ID on, 0 and nothing too."""
    return read.at_least(0, empty=0)(text) & 7


_EXPECTED_PURGES = Expected("days, or FOLDER:DAYS separated by commas")


def _purges(text: str) -> tuple[Purge, ...]:
    """`DAYS` for the trash, or a comma list of `FOLDER:DAYS`; less than a day counts as one."""
    # Courier: an empty value is 0 days, taken as one day. Who leaves it empty hardly wants his
    # users' mail removed, so here it is never, as when unset.
    if not text.strip():
        return ()
    if ":" not in text and "," not in text:
        return (Purge(None, _days(text)),)
    return tuple(_purge(item.strip()) for item in text.split(",") if ":" in item)


def _purge(item: str) -> Purge:
    folder, _, days = item.rpartition(":")
    if not folder or "/" in folder:
        raise _EXPECTED_PURGES
    return Purge(folder, _days(days))


def _days(text: str) -> int:
    # What removes mail is read with care: nothing without a digit is taken for a number here.
    try:
        return max(read.number(-(2**31))(text), 1)
    except Expected:
        raise _EXPECTED_PURGES from None


_USES = ("All", "Archive", "Drafts", "Flagged", "Important", "Junk", "Sent")
_EXPECTED_USES = Expected("FOLDER:USE separated by commas: Sent Items:Sent")


def _special_uses(text: str) -> tuple[SpecialUse, ...]:
    """`FOLDER:USE` separated by commas; the first folder that exists has the use."""
    return tuple(_special_use(item.strip()) for item in text.split(",") if item.strip())


def _special_use(item: str) -> SpecialUse:
    folder, _, use = item.rpartition(":")
    if not folder or "/" in folder or folder.startswith(".") or use.capitalize() not in _USES:
        raise _EXPECTED_USES
    return SpecialUse(folder, "\\" + use.capitalize())


def _limit(text: str) -> int | None:
    return read.number(1)(text) if text else None


_EXPECTED_LIMIT = Expected("a number, at least 1000, or 0 for no limit")


def _messages(text: str) -> int:
    """Messages in one command: fewer no server should allow (RFC 9738 3)."""
    try:
        count = read.number(0)(text) if text.strip() else 0
    except Expected:
        raise _EXPECTED_LIMIT from None
    if 0 < count < 1000:
        raise _EXPECTED_LIMIT
    return count


def _no_or_one(text: str) -> bool:
    return read.number(0, 1)(text) == 1


def _folder_name(text: str) -> str:
    if "/" in text or text.startswith("."):
        raise Expected("a folder's name without leading dot")
    return text or "Trash"


_LOGIN_USER = "pycourier-login"

_SPECIAL_USES = "Drafts:Drafts,Sent:Sent,Junk:Junk,Archive:Archive"

_outbox = read.matching(r"\.[^/]*[^/.]", "a folder's directory name with its leading dot: .Outbox")
_uri = read.matching(r"[A-Za-z][A-Za-z0-9+.\-]*:[!-~]+", "a URI: mailto:postmaster@example.com")
_header_name = read.matching(r"[!-9;-~]+", "a header field's name")


# --- The table ----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, eq=False)
class Settings:
    """All of imapd's settings. Without arguments: nothing was set.

    Those read ``by_daemon`` say something after `load` alone. ``environment`` holds all variables,
    also those that aren't ours: programs that imapd runs for a session get them. ``origins`` says
    of each variable where it was set.
    """

    address: Address | None = setting("ADDRESS", read.address, unset=None, by_daemon=True)
    port: tuple[Port, ...] = setting("PORT", read.ports, unset=(Port(143),), by_daemon=True)
    auth_service: Mapping[int, str] = family("AUTHSERVICE", read.text_or("imap"), by_daemon=True)
    max_daemons: int = setting("MAXDAEMONS", read.number(1), unset=40, by_daemon=True)
    max_per_ip: int = setting("MAXPERIP", read.number(1), unset=4, by_daemon=True)
    pid_file: Path = setting(
        "PIDFILE", read.absolute_path, unset=paths.RUNDIR / "imapd.pid", by_daemon=True
    )
    tcpd_options: TcpdOptions = setting(
        "TCPDOPTS", tcpd_options.parse, unset=TcpdOptions(), by_daemon=True
    )
    access_file: Path | None = setting(
        "IMAPACCESSFILE", read.path_or_none, unset=None, by_daemon=True
    )
    logger_options: tuple[str, ...] = setting("LOGGEROPTS", read.options, unset=(), by_daemon=True)
    default_domain: str | None = setting("DEFDOMAIN", read.text_or_none, unset=None)
    domain_separators: str | None = setting("DOMAINSEP", read.text_or_none, unset=None)
    capability: tuple[str, ...] = setting(
        "IMAP_CAPABILITY", _capability_or_imap4rev1, unset=("IMAP4rev1",)
    )
    keywords: int = setting("IMAP_KEYWORDS", _keywords, unset=0)
    acl: bool = setting("IMAP_ACL", read.flag, unset=False)
    smap_capability: tuple[str, ...] = setting("SMAP_CAPABILITY", _capability, unset=())
    capability_orig: tuple[str, ...] = setting("IMAP_CAPABILITY_ORIG", _capability, unset=())
    proxy: bool = setting("IMAP_PROXY", read.flag, unset=False)
    proxy_hostname: str | None = setting("PROXY_HOSTNAME", read.text_or_none, unset=None)
    proxy_foreign: bool = setting("IMAP_PROXY_FOREIGN", read.flag, unset=False)
    idle_timeout: int = setting("IMAP_IDLE_TIMEOUT", read.at_least(1, empty=60), unset=60)
    mailbox_sanity_check: bool = setting("IMAP_MAILBOX_SANITY_CHECK", read.flag_or_on, unset=True)
    capability_tls: tuple[str, ...] = setting("IMAP_CAPABILITY_TLS", _capability, unset=())
    capability_tls_orig: tuple[str, ...] = setting(
        "IMAP_CAPABILITY_TLS_ORIG", _capability, unset=()
    )
    disable_thread_sort: bool = setting("IMAP_DISABLETHREADSORT", read.positive_flag, unset=False)
    check_all_folders: bool = setting("IMAP_CHECK_ALL_FOLDERS", read.flag, unset=False)
    obsolete_client: bool = setting("IMAP_OBSOLETE_CLIENT", read.flag, unset=False)
    umask: int = setting("IMAP_UMASK", read.umask, unset=0o022, by_daemon=True)
    address_space_kib: int | None = setting("IMAP_ULIMITD", read.kib, unset=None, by_daemon=True)
    use_locks: bool = setting("IMAP_USELOCKS", read.starts_with_1, unset=True)
    shared_index_file: str | None = setting("IMAP_SHAREDINDEXFILE", read.text_or_none, unset=None)
    shared_munge_names: bool = setting("IMAP_SHAREDMUNGENAMES", read.flag, unset=False)
    enhanced_idle: bool = setting("IMAP_ENHANCEDIDLE", read.flag, unset=False)
    trash_folder_name: str = setting("IMAP_TRASHFOLDERNAME", _folder_name, unset="Trash")
    empty_trash: tuple[Purge, ...] = setting("IMAP_EMPTYTRASH", _purges, unset=())
    move_expunge_to_trash: bool = setting("IMAP_MOVE_EXPUNGE_TO_TRASH", read.flag, unset=False)
    log_deletions: bool = setting("IMAP_LOG_DELETIONS", read.starts_without_0, unset=False)
    home_skeleton: Path | None = setting("AUTH_MKHOMEDIR_SKEL", read.path_or_none, unset=None)
    debug_file: str | None = setting("IMAPDEBUGFILE", read.text_or_none, unset=None)
    outbox: str | None = setting("OUTBOX", _outbox, unset=None)
    sendmail: str = setting("SENDMAIL", read.text_or("sendmail"), unset="sendmail")
    header_from: str | None = setting("HEADERFROM", _header_name, unset=None)
    id_fields: int | None = setting("IMAP_ID_FIELDS", _id_fields, unset=None)
    outbox_multiple_send: bool = setting("OUTBOX_MULTIPLE_SEND", read.flag, unset=False)
    broken_uidv: bool = setting("IMAP_BROKENUIDV", read.flag, unset=False)
    skip_symlink_checks: bool = setting("MAILDIR_SKIP_SYMLINK_CHECKS", read.flag, unset=False)
    debug_login: int = setting("DEBUG_LOGIN", read.atoi, unset=0)
    start: bool = setting("IMAPDSTART", read.yes, unset=False, by_daemon=True)
    maildir_path: str = setting("MAILDIRPATH", read.text_or("Maildir"), unset="Maildir")

    # imapd-ssl
    ssl_port: tuple[Port, ...] = setting("SSLPORT", read.ports, unset=(Port(993),), by_daemon=True)
    ssl_address: Address | None = setting("SSLADDRESS", read.address, unset=None, by_daemon=True)
    ssl_pid_file: Path = setting(
        "SSLPIDFILE", read.absolute_path, unset=paths.RUNDIR / "imapd-ssl.pid", by_daemon=True
    )
    ssl_logger_options: tuple[str, ...] = setting(
        "SSLLOGGEROPTS", read.options, unset=(), by_daemon=True
    )
    ssl_start: bool = setting("IMAPDSSLSTART", read.yes, unset=False, by_daemon=True)
    starttls: bool = setting("IMAPDSTARTTLS", read.yes, unset=False, by_daemon=True)
    tls_required: bool = setting("IMAP_TLS_REQUIRED", read.flag, unset=False, by_daemon=True)
    couriertls: str | None = setting("COURIERTLS", read.text_or_none, unset=None, by_daemon=True)

    # Additions of ours
    extensions: bool = setting("IMAP_EXTENSIONS", read.flag_or_on, unset=True)
    sasl: tuple[str, ...] = setting("IMAP_SASL", daemon_settings.mechanisms, unset=())
    compress: bool = setting("IMAP_COMPRESS", read.flag_or_on, unset=True)
    unauthenticate: bool = setting("IMAP_UNAUTHENTICATE", read.flag, unset=False)
    client_workarounds: bool = setting("IMAP_CLIENT_WORKAROUNDS", read.flag_or_on, unset=True)
    max_append: int = setting("IMAP_MAX_APPEND", read.octets, unset=0)
    message_limit: int = setting("IMAP_MESSAGELIMIT", _messages, unset=0)
    save_limit: int = setting("IMAP_SAVELIMIT", _messages, unset=0)
    special_uses: tuple[SpecialUse, ...] = setting(
        "IMAP_SPECIALUSE", _special_uses, unset=_special_uses(_SPECIAL_USES)
    )
    max_annotation: int = setting("IMAP_METADATA_MAXSIZE", read.number(1024, 65536), unset=16384)
    max_annotations: int = setting("IMAP_METADATA_MAXENTRIES", read.number(10, 1000), unset=64)
    metadata_comment: str | None = setting("IMAP_METADATA_COMMENT", read.text_or_none, unset=None)
    metadata_admin: str | None = setting("IMAP_METADATA_ADMIN", _uri, unset=None)
    fsync: bool = setting("IMAP_FSYNC", read.flag_or_on, unset=True)
    fulltext: bool = setting("IMAP_FULLTEXT", read.flag, unset=False)
    account_quota: bool = setting("IMAP_ACCOUNT_QUOTA", read.flag, unset=False, by_daemon=True)
    trash_quota: bool = setting("MAILDIR_TRASHQUOTA", read.flag, unset=False)
    index_dir: Path | None = setting("IMAP_INDEX_DIR", read.absolute_path_or_none, unset=None)
    proxy_encrypted: Encrypted = setting(
        "IMAP_PROXY_TLS", read.encrypted, unset="never", by_daemon=True
    )
    proxy_port: int | None = setting("IMAP_PROXY_PORT", read.port_or_none, unset=None)
    max_per_c: int | None = setting("IMAP_MAXPERC", _limit, unset=None, by_daemon=True)
    by_ipv6_network: bool = setting(
        "IMAP_LIMIT_IPV6_NETWORKS", read.flag, unset=False, by_daemon=True
    )
    login_user: str = setting(
        "LOGIN_USER", read.text_or(_LOGIN_USER), unset=_LOGIN_USER, by_daemon=True
    )
    login_processes: int = setting(
        "IMAP_LOGIN_PROCESSES", read.number(1, 64), unset=2, by_daemon=True
    )
    login_isolation: bool = setting("IMAP_LOGIN_ISOLATION", read.flag, unset=False, by_daemon=True)
    one_session_per_worker: bool = setting(
        "IMAP_SESSIONS_PER_WORKER", _no_or_one, unset=False, by_daemon=True
    )

    tls: TlsSettings = field(default_factory=TlsSettings)
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    origins: Mapping[str, Origin] = field(default_factory=dict, repr=False)


def load(files: Sequence[Path], warn: Callable[[str], None] = log.warn) -> Settings:
    """Read settings files in order; see `daemon_settings.load`."""
    return daemon_settings.load(Settings, files, warn)


def from_environment(environ: Mapping[str, str]) -> Settings:
    """Read the settings of a session from a shell; see `daemon_settings.from_environment`."""
    return daemon_settings.from_environment(Settings, environ)

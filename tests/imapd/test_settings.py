"""imapd's settings: defaults, odd values, the shipped file."""

import socket
from ipaddress import ip_address
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest

from courier import paths
from courier.auth import sasl
from courier.setting_reader import Port
from courier.shell import Origin
from courier.tcpd_options import TcpdOptions
from courier.tls_settings import Protocol, TlsSettings
from imapd.settings import Purge, Settings, SettingsError, SpecialUse, from_environment, load

CONF = Path(__file__).parents[2] / "conf"
DIST = CONF / "imapd.dist"
DIST_SSL = CONF / "imapd-ssl.dist"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "imapd"


def loaded(file: Path, text: str) -> tuple[Settings, list[str]]:
    file.write_text(text)
    warnings: list[str] = []
    return load([file], warnings.append), warnings


def refused(file: Path, text: str) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        loaded(file, text)
    return caught.value.lines


# What each setting is when it isn't set at all, as Courier's programs have it.
UNSET: dict[str, Any] = {
    "address": None,
    "port": (Port(143),),
    "auth_service": {},
    "max_daemons": 40,
    "max_per_ip": 4,
    "pid_file": Path("/run/courier/imapd.pid"),
    "tcpd_options": TcpdOptions(),
    "access_file": None,
    "logger_options": (),
    "default_domain": None,
    "domain_separators": None,
    "capability": ("IMAP4rev1",),
    "keywords": 0,
    "acl": False,
    "smap_capability": (),
    "capability_orig": (),
    "proxy": False,
    "proxy_hostname": None,
    "proxy_foreign": False,
    "idle_timeout": 60,
    "mailbox_sanity_check": True,
    "capability_tls": (),
    "capability_tls_orig": (),
    "disable_thread_sort": False,
    "check_all_folders": False,
    "obsolete_client": False,
    "umask": 0o022,
    "address_space_kib": None,
    "use_locks": True,
    "shared_index_file": None,
    "shared_munge_names": False,
    "enhanced_idle": False,
    "trash_folder_name": "Trash",
    "empty_trash": (),
    "move_expunge_to_trash": False,
    "log_deletions": False,
    "home_skeleton": None,
    "debug_file": None,
    "outbox": None,
    "sendmail": "sendmail",
    "header_from": None,
    "id_fields": None,
    "outbox_multiple_send": False,
    "broken_uidv": False,
    "skip_symlink_checks": False,
    "debug_login": 0,
    "start": False,
    "maildir_path": "Maildir",
    "ssl_port": (Port(993),),
    "ssl_address": None,
    "ssl_pid_file": Path("/run/courier/imapd-ssl.pid"),
    "ssl_logger_options": (),
    "ssl_start": False,
    "starttls": False,
    "tls_required": False,
    "couriertls": None,
    "extensions": True,
    "sasl": (),
    "compress": True,
    "unauthenticate": False,
    "client_workarounds": True,
    "max_append": 0,
    "message_limit": 0,
    "save_limit": 0,
    "special_uses": (
        *(SpecialUse("Drafts", "\\Drafts"), SpecialUse("Sent", "\\Sent")),
        *(SpecialUse("Junk", "\\Junk"), SpecialUse("Archive", "\\Archive")),
    ),
    "max_annotation": 16384,
    "max_annotations": 64,
    "metadata_comment": None,
    "metadata_admin": None,
    "fsync": True,
    "fulltext": False,
    "index_dir": None,
    "account_quota": False,
    "trash_quota": False,
    "proxy_encrypted": "never",
    "proxy_port": None,
    "max_per_c": None,
    "by_ipv6_network": False,
    "login_user": "pycourier-login",
    "login_processes": 2,
    "login_isolation": False,
    "one_session_per_worker": False,
    "tls.priority": None,
    "tls.protocol": None,
    "tls.ciphers": None,
    "tls.starttls_protocol": None,
    "tls.min_dh_bits": 0,
    "tls.timeout_s": None,
    "tls.certificate": None,
    "tls.private_key": None,
    "tls.dh_parameters": None,
    "tls.trusted": None,
    "tls.verify": None,
    "tls.external": None,
    "tls.cache_file": None,
    "tls.cache_size": 524288,
    "tls.alpn": (),
    "tls.chain": None,
    "tls.ciphersuites": None,
}

CAPABILITY = (
    "IMAP4rev1 UIDPLUS CHILDREN NAMESPACE THREAD=ORDEREDSUBJECT THREAD=REFERENCES SORT QUOTA IDLE"
)
CAPABILITY_ORIG = CAPABILITY.replace("IDLE", "AUTH=CRAM-MD5 AUTH=CRAM-SHA1 AUTH=CRAM-SHA256 IDLE")

# What the shipped file sets, apart from the above.
SHIPPED: dict[str, Any] = {
    "max_per_ip": 20,
    "tcpd_options": TcpdOptions(dns_lookup=False),
    "access_file": Path("/etc/courier/imapaccess"),
    "logger_options": ("-name=imapd",),
    "capability": tuple(CAPABILITY.split()),
    "keywords": 1,
    "acl": True,
    "capability_orig": tuple(CAPABILITY_ORIG.split()),
    "capability_tls": (*CAPABILITY.split(), "AUTH=PLAIN"),
    "capability_tls_orig": (*CAPABILITY_ORIG.split(), "AUTH=PLAIN"),
    "address_space_kib": 131072,
    "shared_index_file": "/etc/courier/shared/index",
    "empty_trash": (Purge("Trash", 7),),
    "sendmail": "/usr/sbin/sendmail",
    "header_from": "X-IMAP-Sender",
    "start": True,
}

# And what conf/imapd-ssl.dist sets.
SHIPPED_SSL: dict[str, Any] = {
    "ssl_logger_options": ("-name=imapd-ssl",),
    "ssl_start": True,
    "starttls": True,
    "couriertls": "/usr/bin/couriertls",
    "tls.certificate": Path("/etc/courier/imapd.pem"),
    "tls.dh_parameters": Path("/etc/courier/dhparams.pem"),
    "tls.trusted": Path("/etc/ssl/certs/ca-certificates.crt"),
    "tls.verify": "none",
    "tls.cache_file": Path("/var/lib/courier/couriersslimapcache"),
    "tls.alpn": ("imap",),
}


def fields(settings: Settings) -> dict[str, Any]:
    return {name: attrgetter(name)(settings) for name in UNSET}


def test_every_field_is_listed_above() -> None:
    """A new setting needs its unset meaning stated here."""
    own = set(Settings.__dataclass_fields__) - {"tls", "environment", "origins"}
    assert set(UNSET) == own | {f"tls.{name}" for name in TlsSettings.__dataclass_fields__}


def test_nothing_set(file: Path) -> None:
    """From a file, from an environment and by construction: Courier's meaning of unset values."""
    from_file, warnings = loaded(file, "")

    assert fields(from_file) == UNSET
    assert fields(from_environment({})) == UNSET
    assert fields(Settings()) == UNSET
    assert warnings == []


def test_shipped_file() -> None:
    """conf/imapd.dist sets Courier's defaults with Debian's values and says nothing unknown."""
    warnings: list[str] = []

    settings = load([DIST], warnings.append)

    assert fields(settings) == UNSET | SHIPPED
    assert warnings == []


@pytest.mark.parametrize("files", [(DIST, DIST_SSL), (DIST_SSL, DIST)])
def test_shipped_files(files: tuple[Path, Path]) -> None:
    """Both together, in the order of either daemon."""
    warnings: list[str] = []

    settings = load(files, warnings.append)

    assert fields(settings) == UNSET | SHIPPED | SHIPPED_SSL
    assert warnings == []


# name, value, field, what is read
VALUES: list[tuple[str, str, str, Any]] = [
    ("ADDRESS", "", "address", None),
    ("ADDRESS", "0", "address", None),
    ("ADDRESS", "127.0.0.1", "address", ip_address("127.0.0.1")),
    ("ADDRESS", "::1", "address", ip_address("::1")),
    ("PORT", "1143", "port", (Port(1143),)),
    ("PORT", "143, 0.993", "port", (Port(143), Port(993))),
    ("PORT", "192.0.2.1.143,::1.143", "port", (
        Port(143, ip_address("192.0.2.1")),
        Port(143, ip_address("::1")),
    )),
    ("AUTHSERVICE993", "imaps", "auth_service", {993: "imaps"}),
    ("AUTHSERVICE143", "", "auth_service", {143: "imap"}),
    ("MAXDAEMONS", "400", "max_daemons", 400),
    ("MAXDAEMONS", "40x", "max_daemons", 40),
    ("MAXPERIP", " 8", "max_per_ip", 8),
    ("PIDFILE", "/run/x.pid", "pid_file", Path("/run/x.pid")),
    ("TCPDOPTS", "-nodnslookup -noidentlookup '-denymsg=go away'", "tcpd_options", TcpdOptions(
        dns_lookup=False, deny_message="go away", ignored=("-noidentlookup",)
    )),
    ("IMAPACCESSFILE", "", "access_file", None),
    ("LOGGEROPTS", "-name=x -facility=auth", "logger_options", ("-name=x", "-facility=auth")),
    ("DEFDOMAIN", "@example.com", "default_domain", "@example.com"),
    ("DOMAINSEP", "@%", "domain_separators", "@%"),
    ("IMAP_CAPABILITY", "", "capability", ("IMAP4rev1",)),
    ("IMAP_CAPABILITY", "IMAP4rev1  IDLE\tX-y", "capability", ("IMAP4rev1", "IDLE", "X-y")),
    ("IMAP_KEYWORDS", "1", "keywords", 1),
    ("IMAP_KEYWORDS", "2", "keywords", 2),
    ("IMAP_KEYWORDS", "7", "keywords", 2),
    ("IMAP_KEYWORDS", "", "keywords", 0),
    ("IMAP_ACL", "1", "acl", True),
    ("IMAP_ACL", "2", "acl", True),
    ("IMAP_ACL", "-1", "acl", True),
    ("IMAP_ACL", "1 ", "acl", True),
    ("IMAP_ACL", "00", "acl", False),
    ("IMAP_ACL", "", "acl", False),
    ("IMAP_ACL", "NO", "acl", False),
    ("IMAP_ACL", "off", "acl", False),
    ("SMAP_CAPABILITY", "SMAP1", "smap_capability", ("SMAP1",)),
    ("IMAP_CAPABILITY_ORIG", "A B", "capability_orig", ("A", "B")),
    ("IMAP_PROXY", "1", "proxy", True),
    ("PROXY_HOSTNAME", "mx.example.com", "proxy_hostname", "mx.example.com"),
    ("IMAP_PROXY_FOREIGN", "1", "proxy_foreign", True),
    ("IMAP_IDLE_TIMEOUT", "30", "idle_timeout", 30),
    ("IMAP_IDLE_TIMEOUT", "0", "idle_timeout", 1),
    ("IMAP_IDLE_TIMEOUT", "-5", "idle_timeout", 1),
    ("IMAP_IDLE_TIMEOUT", "", "idle_timeout", 60),
    ("IMAP_MAILBOX_SANITY_CHECK", "0", "mailbox_sanity_check", False),
    ("IMAP_MAILBOX_SANITY_CHECK", "", "mailbox_sanity_check", True),
    ("IMAP_CAPABILITY_TLS", "", "capability_tls", ()),
    ("IMAP_CAPABILITY_TLS_ORIG", "A", "capability_tls_orig", ("A",)),
    ("IMAP_DISABLETHREADSORT", "1", "disable_thread_sort", True),
    ("IMAP_DISABLETHREADSORT", "-1", "disable_thread_sort", False),
    ("IMAP_CHECK_ALL_FOLDERS", "1", "check_all_folders", True),
    ("IMAP_OBSOLETE_CLIENT", "1", "obsolete_client", True),
    ("IMAP_UMASK", "077", "umask", 0o077),
    ("IMAP_UMASK", "0007", "umask", 0o007),
    ("IMAP_UMASK", "0", "umask", 0),
    ("IMAP_UMASK", "", "umask", 0o022),
    ("IMAP_ULIMITD", "65536", "address_space_kib", 65536),
    ("IMAP_ULIMITD", "", "address_space_kib", None),
    ("IMAP_ULIMITD", "unlimited", "address_space_kib", None),
    ("IMAP_USELOCKS", "1", "use_locks", True),
    ("IMAP_USELOCKS", "0", "use_locks", False),
    ("IMAP_USELOCKS", "", "use_locks", False),
    ("IMAP_USELOCKS", "yes", "use_locks", False),
    ("IMAP_SHAREDINDEXFILE", "", "shared_index_file", None),
    ("IMAP_SHAREDINDEXFILE", "/x/index", "shared_index_file", "/x/index"),
    ("IMAP_SHAREDMUNGENAMES", "1", "shared_munge_names", True),
    ("IMAP_ENHANCEDIDLE", "1", "enhanced_idle", True),
    ("IMAP_TRASHFOLDERNAME", "", "trash_folder_name", "Trash"),
    ("IMAP_TRASHFOLDERNAME", "Papierkorb", "trash_folder_name", "Papierkorb"),
    ("IMAP_EMPTYTRASH", "", "empty_trash", ()),
    ("IMAP_EMPTYTRASH", "30", "empty_trash", (Purge(None, 30),)),
    ("IMAP_EMPTYTRASH", "0", "empty_trash", (Purge(None, 1),)),
    ("IMAP_EMPTYTRASH", "-3", "empty_trash", (Purge(None, 1),)),
    ("IMAP_EMPTYTRASH", "Trash:7,Spam:0, Junk:14 ,Sent", "empty_trash",
     (Purge("Trash", 7), Purge("Spam", 1), Purge("Junk", 14))),
    ("IMAP_EMPTYTRASH", "Lists.a:b:3", "empty_trash", (Purge("Lists.a:b", 3),)),
    ("IMAP_MOVE_EXPUNGE_TO_TRASH", "1", "move_expunge_to_trash", True),
    ("IMAP_LOG_DELETIONS", "1", "log_deletions", True),
    ("IMAP_LOG_DELETIONS", "", "log_deletions", True),
    ("IMAP_LOG_DELETIONS", "0", "log_deletions", False),
    ("AUTH_MKHOMEDIR_SKEL", "/etc/skel", "home_skeleton", Path("/etc/skel")),
    ("AUTH_MKHOMEDIR_SKEL", "", "home_skeleton", None),
    ("IMAPDEBUGFILE", "imaplog.dat", "debug_file", "imaplog.dat"),
    ("OUTBOX", "", "outbox", None),
    ("OUTBOX", ".Outbox", "outbox", ".Outbox"),
    ("OUTBOX", ".Sent.Out", "outbox", ".Sent.Out"),
    ("SENDMAIL", "", "sendmail", "sendmail"),
    ("SENDMAIL", "/bin/x", "sendmail", "/bin/x"),
    ("HEADERFROM", "", "header_from", None),
    ("HEADERFROM", "X-Sender", "header_from", "X-Sender"),
    ("IMAP_ID_FIELDS", "", "id_fields", 0),
    ("IMAP_ID_FIELDS", "0", "id_fields", 0),
    ("IMAP_ID_FIELDS", "7", "id_fields", 7),
    ("IMAP_ID_FIELDS", "9", "id_fields", 1),
    ("OUTBOX_MULTIPLE_SEND", "1", "outbox_multiple_send", True),
    ("IMAP_BROKENUIDV", "1", "broken_uidv", True),
    ("MAILDIR_SKIP_SYMLINK_CHECKS", "1", "skip_symlink_checks", True),
    ("DEBUG_LOGIN", "2", "debug_login", 2),
    ("DEBUG_LOGIN", "", "debug_login", 0),
    ("IMAP_CLIENT_WORKAROUNDS", "0", "client_workarounds", False),
    ("IMAP_CLIENT_WORKAROUNDS", "", "client_workarounds", True),
    ("IMAPDSTART", "yes", "start", True),
    ("IMAPDSTART", "Y", "start", True),
    ("IMAPDSTART", "NO", "start", False),
    ("IMAPDSTART", "", "start", False),
    ("MAILDIRPATH", "", "maildir_path", "Maildir"),
    ("MAILDIRPATH", "./Mail", "maildir_path", "./Mail"),
    ("IMAP_EXTENSIONS", "0", "extensions", False),
    ("IMAP_EXTENSIONS", "", "extensions", True),
    ("IMAP_SASL", "scram-sha-256 SCRAM-SHA-1", "sasl", ("SCRAM-SHA-256", "SCRAM-SHA-1")),
    ("IMAP_SASL", "", "sasl", ()),
    ("IMAP_UNAUTHENTICATE", "1", "unauthenticate", True),
    ("IMAP_UNAUTHENTICATE", "0", "unauthenticate", False),
    ("IMAP_UNAUTHENTICATE", "", "unauthenticate", False),
    ("IMAP_COMPRESS", "0", "compress", False),
    ("IMAP_COMPRESS", "", "compress", True),
    ("IMAP_MAX_APPEND", "52428800", "max_append", 52428800),
    ("IMAP_MAX_APPEND", "", "max_append", 0),
    ("IMAP_MESSAGELIMIT", "1000", "message_limit", 1000),
    ("IMAP_MESSAGELIMIT", "0", "message_limit", 0),
    ("IMAP_MESSAGELIMIT", "", "message_limit", 0),
    ("IMAP_SAVELIMIT", "2147483647", "save_limit", 2147483647),
    ("IMAP_SAVELIMIT", "", "save_limit", 0),
    ("IMAP_SPECIALUSE", "", "special_uses", ()),
    ("IMAP_SPECIALUSE", "Sent Items:sent, a.b:c:Junk ,", "special_uses",
     (SpecialUse("Sent Items", "\\Sent"), SpecialUse("a.b:c", "\\Junk"))),
    ("IMAP_SPECIALUSE", "VIP:Important", "special_uses", (SpecialUse("VIP", "\\Important"),)),
    ("IMAP_METADATA_MAXSIZE", "1024", "max_annotation", 1024),
    ("IMAP_METADATA_MAXENTRIES", "1000", "max_annotations", 1000),
    ("IMAP_METADATA_COMMENT", "Two words", "metadata_comment", "Two words"),
    ("IMAP_METADATA_COMMENT", "", "metadata_comment", None),
    ("IMAP_METADATA_ADMIN", "tel:+1-201-555-0123", "metadata_admin", "tel:+1-201-555-0123"),
    ("IMAP_FSYNC", "0", "fsync", False),
    ("IMAP_FSYNC", "", "fsync", True),
    ("IMAP_FULLTEXT", "1", "fulltext", True),
    ("IMAP_FULLTEXT", "", "fulltext", False),
    ("IMAP_INDEX_DIR", "/var/cache/x", "index_dir", Path("/var/cache/x")),
    ("IMAP_INDEX_DIR", "", "index_dir", None),
    ("IMAP_ACCOUNT_QUOTA", "1", "account_quota", True),
    ("MAILDIR_TRASHQUOTA", "1", "trash_quota", True),
    ("MAILDIR_TRASHQUOTA", "", "trash_quota", False),
    ("SSLPORT", "1993", "ssl_port", (Port(1993),)),
    ("SSLPORT", "::1.993", "ssl_port", (Port(993, ip_address("::1")),)),
    ("SSLADDRESS", "192.0.2.1", "ssl_address", ip_address("192.0.2.1")),
    ("SSLPIDFILE", "/run/x.pid", "ssl_pid_file", Path("/run/x.pid")),
    ("SSLLOGGEROPTS", "-name=x", "ssl_logger_options", ("-name=x",)),
    ("IMAPDSSLSTART", "yes", "ssl_start", True),
    ("IMAPDSTARTTLS", "YES", "starttls", True),
    ("IMAPDSTARTTLS", "NO", "starttls", False),
    ("IMAP_TLS_REQUIRED", "1", "tls_required", True),
    ("COURIERTLS", "/usr/lib/couriertls", "couriertls", "/usr/lib/couriertls"),
    ("COURIERTLS", "", "couriertls", None),
    ("IMAP_PROXY_TLS", "starttls", "proxy_encrypted", "starttls"),
    ("IMAP_PROXY_TLS", "TLS", "proxy_encrypted", "from start"),
    ("IMAP_PROXY_TLS", "NO", "proxy_encrypted", "never"),
    ("IMAP_PROXY_TLS", "", "proxy_encrypted", "never"),
    ("IMAP_PROXY_PORT", "1143", "proxy_port", 1143),
    ("IMAP_PROXY_PORT", "imap2", "proxy_port", 143),
    ("IMAP_PROXY_PORT", "", "proxy_port", None),
    ("IMAP_MAXPERC", "100", "max_per_c", 100),
    ("IMAP_MAXPERC", "", "max_per_c", None),
    ("IMAP_LIMIT_IPV6_NETWORKS", "1", "by_ipv6_network", True),
    ("IMAP_LIMIT_IPV6_NETWORKS", "", "by_ipv6_network", False),
    ("LOGIN_USER", "imaplogin", "login_user", "imaplogin"),
    ("LOGIN_USER", "", "login_user", "pycourier-login"),
    ("IMAP_LOGIN_PROCESSES", "8", "login_processes", 8),
    ("IMAP_LOGIN_ISOLATION", "1", "login_isolation", True),
    ("IMAP_SESSIONS_PER_WORKER", "1", "one_session_per_worker", True),
    ("IMAP_SESSIONS_PER_WORKER", "0", "one_session_per_worker", False),
    ("TLS_PRIORITY", "NORMAL", "tls.priority", "NORMAL"),
    ("TLS_PROTOCOL", "", "tls.protocol", None),
    ("TLS_PROTOCOL", "TLSv1", "tls.protocol", Protocol("TLSv1")),
    ("TLS_PROTOCOL", "TLS1", "tls.protocol", Protocol("TLSv1")),
    ("TLS_PROTOCOL", "TLSv1.1++", "tls.protocol", Protocol("TLSv1.1")),
    ("TLS_PROTOCOL", "TLSv1.2+", "tls.protocol", Protocol("TLSv1.2")),
    ("TLS_PROTOCOL", "TLSv1.2++", "tls.protocol", Protocol("TLSv1.2", server_preference=True)),
    ("TLS_PROTOCOL", "TLSv1.3", "tls.protocol", Protocol("TLSv1.3")),
    ("TLS_PROTOCOL", "SSL23", "tls.protocol", None),
    ("TLS_STARTTLS_PROTOCOL", "TLSv1.3", "tls.starttls_protocol", Protocol("TLSv1.3")),
    ("TLS_CIPHER_LIST", "HIGH", "tls.ciphers", "HIGH"),
    ("TLS_MIN_DH_BITS", "2048", "tls.min_dh_bits", 2048),
    ("TLS_TIMEOUT", "300", "tls.timeout_s", 300),
    ("TLS_TIMEOUT", "0", "tls.timeout_s", None),
    ("TLS_CERTFILE", "/etc/x.pem", "tls.certificate", Path("/etc/x.pem")),
    ("TLS_CERTFILE", "", "tls.certificate", None),
    ("TLS_PRIVATE_KEYFILE", "/etc/x.key", "tls.private_key", Path("/etc/x.key")),
    ("TLS_DHPARAMS", "/etc/dh", "tls.dh_parameters", Path("/etc/dh")),
    ("TLS_TRUSTCERTS", "/etc/ssl/certs", "tls.trusted", Path("/etc/ssl/certs")),
    ("TLS_VERIFYPEER", "NONE", "tls.verify", "none"),
    ("TLS_VERIFYPEER", "peer", "tls.verify", "peer"),
    ("TLS_VERIFYPEER", "REQUIREPEER", "tls.verify", "require"),
    ("TLS_EXTERNAL", "emailaddress", "tls.external", "emailaddress"),
    ("TLS_CACHEFILE", "/x", "tls.cache_file", Path("/x")),
    ("TLS_CACHESIZE", "16384", "tls.cache_size", 16384),
    ("TLS_ALPN", "imap, x  @optional", "tls.alpn", ("imap", "x")),
    ("TLS_ALPN", "", "tls.alpn", ()),
    ("TLS_CHAINFILE", "/etc/chain.pem", "tls.chain", Path("/etc/chain.pem")),
    ("TLS_CIPHERSUITES", "TLS_AES_256_GCM_SHA384", "tls.ciphersuites", "TLS_AES_256_GCM_SHA384"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value", "field", "expected"), VALUES)
def test_value(file: Path, name: str, value: str, field: str, expected: Any) -> None:
    """A value means what it means to Courier, and changes no other setting."""
    settings, _ = loaded(file, f'{name}="{value}"\n')

    assert fields(settings) == UNSET | {field: expected}


def test_every_setting_has_values_above() -> None:
    assert {field for _, _, field, _ in VALUES} == set(UNSET)


DAEMONS = {
    "address", "port", "auth_service", "max_daemons", "max_per_ip", "pid_file", "tcpd_options",
    "access_file", "logger_options", "umask", "address_space_kib", "start",
    "ssl_port", "ssl_address", "ssl_pid_file", "ssl_logger_options", "ssl_start", "starttls",
    "tls_required", "couriertls", "max_per_c", "by_ipv6_network", "login_user", "login_processes",
    "login_isolation", "one_session_per_worker", "account_quota", "proxy_encrypted",
    *(name for name in UNSET if name.startswith("tls.")),
}  # fmt: skip


@pytest.mark.parametrize(("name", "value", "field", "expected"), VALUES)
def test_value_in_the_environment(name: str, value: str, field: str, expected: Any) -> None:
    """The same for a shell-started session, to which the daemon's settings say nothing."""
    settings = from_environment({name: value})

    assert fields(settings) == UNSET | ({} if field in DAEMONS else {field: expected})


def test_port_by_service_name(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service's name is looked up, as a TCP one."""
    known = {("imap2", "tcp"): 143}
    monkeypatch.setattr(socket, "getservbyname", lambda *asked: known[asked])

    settings, _ = loaded(file, "PORT=imap2,192.0.2.1.imap2\n")

    assert settings.port == (Port(143), Port(143, ip_address("192.0.2.1")))


def test_variables_of_a_users_shell_do_no_harm() -> None:
    """Names that others use, too, with values that would be refused in the file."""
    from_environment({"PORT": "tcp://10.0.0.1:80", "ADDRESS": "home", "PIDFILE": "x"})


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("ADDRESS", "localhost", "an IP address, or 0 for all"),
        ("PORT", "", "ports, or addresses with ports (192.0.2.1.143), and commas"),
        ("PORT", "0", "ports, or addresses with ports (192.0.2.1.143), and commas"),
        ("PORT", "143,65536", "ports, or addresses with ports (192.0.2.1.143), and commas"),
        ("PORT", "no-such-service", "ports, or addresses with ports (192.0.2.1.143), and commas"),
        ("PORT", "mx.143", "ports, or addresses with ports (192.0.2.1.143), and commas"),
        ("MAXDAEMONS", "foo", "a number, at least 1"),
        ("MAXDAEMONS", "0", "a number, at least 1"),
        ("MAXDAEMONS", "", "a number, at least 1"),
        ("MAXPERIP", "-4", "a number, at least 1"),
        ("MAXPERIP", "9" * 5000, "a number, at least 1"),
        ("PIDFILE", "imapd.pid", "an absolute path"),
        ("TCPDOPTS", "-denymsg='go", "words with their quotes closed"),
        ("IMAP_CAPABILITY", "IMAP4rev1 IDLE] BYE", "capabilities separated by blanks"),
        ("IMAP_CAPABILITY", "caf\u00e9", "capabilities separated by blanks"),
        ("IMAP_KEYWORDS", "yes", "a number"),
        ("IMAP_ACL", "yes", "0 or 1"),
        ("IMAP_ACL", "on", "0 or 1"),
        ("IMAP_DISABLETHREADSORT", "true", "0 or 1"),
        ("IMAP_MAILBOX_SANITY_CHECK", "enabled", "0 or 1"),
        ("IMAP_IDLE_TIMEOUT", "never", "a number"),
        ("IMAP_UMASK", "u=rwx", "a umask in octal, from 000 to 777"),
        ("IMAP_UMASK", "089", "a umask in octal, from 000 to 777"),
        ("IMAP_UMASK", "1777", "a umask in octal, from 000 to 777"),
        ("IMAP_ULIMITD", "lots", "a number, at least 1"),
        ("IMAP_TRASHFOLDERNAME", ".Trash", "a folder's name without leading dot"),
        ("IMAP_TRASHFOLDERNAME", "../x", "a folder's name without leading dot"),
        ("IMAP_EMPTYTRASH", "Trash", "days, or FOLDER:DAYS separated by commas"),
        ("IMAP_EMPTYTRASH", "no", "days, or FOLDER:DAYS separated by commas"),
        ("IMAP_EMPTYTRASH", "Trash:", "days, or FOLDER:DAYS separated by commas"),
        ("IMAP_EMPTYTRASH", "Trash:7,Spam:x", "days, or FOLDER:DAYS separated by commas"),
        ("IMAP_EMPTYTRASH", ":7", "days, or FOLDER:DAYS separated by commas"),
        ("OUTBOX", "Outbox", "a folder's directory name with its leading dot: .Outbox"),
        ("OUTBOX", "..", "a folder's directory name with its leading dot: .Outbox"),
        ("HEADERFROM", "X Sender", "a header field's name"),
        ("HEADERFROM", "X-Sender:", "a header field's name"),
        ("IMAP_ID_FIELDS", "no", "a number"),
        ("IMAPDSTART", "1", "YES or NO"),
        ("IMAP_SASL", "SCRAM", f"any of {' '.join(sasl.OPTIONAL)}, separated by blanks"),
        ("IMAP_MAX_APPEND", "50M", "a number of octets, 0 for no limit"),
        ("IMAP_MAX_APPEND", "-1", "a number of octets, 0 for no limit"),
        ("IMAP_MESSAGELIMIT", "999", "a number, at least 1000, or 0 for no limit"),
        ("IMAP_MESSAGELIMIT", "-1", "a number, at least 1000, or 0 for no limit"),
        ("IMAP_MESSAGELIMIT", "none", "a number, at least 1000, or 0 for no limit"),
        ("IMAP_SAVELIMIT", "1", "a number, at least 1000, or 0 for no limit"),
        ("IMAP_SAVELIMIT", "2147483648", "a number, at least 1000, or 0 for no limit"),
        ("IMAP_SPECIALUSE", "Sent", "FOLDER:USE separated by commas: Sent Items:Sent"),
        ("IMAP_SPECIALUSE", "Bin:Trash", "FOLDER:USE separated by commas: Sent Items:Sent"),
        ("IMAP_SPECIALUSE", "../x:Sent", "FOLDER:USE separated by commas: Sent Items:Sent"),
        ("IMAP_METADATA_MAXSIZE", "1023", "a number from 1024 to 65536"),
        ("IMAP_METADATA_MAXENTRIES", "9", "a number from 10 to 1000"),
        ("IMAP_METADATA_ADMIN", "the postmaster", "a URI: mailto:postmaster@example.com"),
        ("IMAP_FSYNC", "always", "0 or 1"),
        ("IMAP_INDEX_DIR", "index", "an absolute path"),
        ("MAILDIR_TRASHQUOTA", "yes", "0 or 1"),
        ("TCPDOPTS", "-nodnslookup -nodns", "options of couriertcpd, not -nodns"),
        ("TCPDOPTS", "143", "options of couriertcpd, not 143"),
        ("TCPDOPTS", "-maxperc", "-maxperc with a value"),
        ("TCPDOPTS", "-maxperc=0", "for -maxperc a number, at least 1"),
        ("TCPDOPTS", "-block=x.example", "no -block (this server asks no DNS lists)"),
        ("SSLPORT", "imaps.", "ports, or addresses with ports (192.0.2.1.143), and commas"),
        ("SSLPIDFILE", "x", "an absolute path"),
        ("IMAPDSTARTTLS", "1", "YES or NO"),
        ("IMAP_TLS_REQUIRED", "yes", "0 or 1"),
        ("IMAP_PROXY_TLS", "YES", "NO, STARTTLS or TLS"),
        ("IMAP_PROXY_PORT", "0", "a port"),
        ("IMAP_MAXPERC", "0", "a number, at least 1"),
        ("IMAP_LOGIN_PROCESSES", "0", "a number from 1 to 64"),
        ("IMAP_SESSIONS_PER_WORKER", "4", "a number from 0 to 1"),
        ("TLS_PROTOCOL", "TLSv1.4", "TLSv1, TLSv1.1, TLSv1.2 or TLSv1.3, perhaps with ++"),
        ("TLS_STARTTLS_PROTOCOL", "x", "TLSv1, TLSv1.1, TLSv1.2 or TLSv1.3, perhaps with ++"),
        ("TLS_CERTFILE", "imapd.pem", "an absolute path"),
        ("TLS_VERIFYPEER", "", "NONE, PEER or REQUIREPEER"),
        ("TLS_VERIFYPEER", "YES", "NONE, PEER or REQUIREPEER"),
        ("TLS_ALPN", "imap,caf\u00e9", "names of protocols separated by commas"),
    ],
)
def test_mistyped_value(file: Path, name: str, value: str, expected: str) -> None:
    """One line: file, line, setting, what was expected, what was found."""
    lines = refused(file, f'\n# comment\n{name}="{value}"\n')

    assert lines == (f"{file}:3: {name}: expected {expected}, found {value!r}",)


def test_all_wrong_values_are_told_at_once(file: Path) -> None:
    """Each by its own line, in the order of the table."""
    assert refused(file, "IMAP_ACL=yes\nMAXDAEMONS=foo\nMAXPERIP=5\n") == (
        f"{file}:2: MAXDAEMONS: expected a number, at least 1, found 'foo'",
        f"{file}:1: IMAP_ACL: expected 0 or 1, found 'yes'",
    )


def test_wrong_value_never_starts_a_line_of_its_own(file: Path) -> None:
    """A value of several lines is shown escaped."""
    (line,) = refused(file, 'IMAP_ACL="x\nERR: forged"\n')

    assert line == f"{file}:1: IMAP_ACL: expected 0 or 1, found 'x\\nERR: forged'"


def test_wrong_value_in_the_environment() -> None:
    with pytest.raises(SettingsError, match=r"^environment: IMAP_ACL: expected 0 or 1, found 'x'$"):
        from_environment({"IMAP_ACL": "x"})


def test_file_that_is_no_script(file: Path) -> None:
    assert refused(file, "IMAP_ACL=1\nOUTBOX='\n") == (f"{file}:2: unterminated ' quote",)


def test_missing_file(file: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load([file])

    assert caught.value.lines == (f"{file}: No such file or directory",)


def test_later_file_wins_and_uses_the_earlier(file: Path, tmp_path: Path) -> None:
    """imapd-ssl is read first, as Courier's start script for port 143 does."""
    first = tmp_path / "imapd-ssl"
    first.write_text("MAXDAEMONS=10\nIMAP_CAPABILITY=IMAP4rev1\nSSLPORT=993\n")
    file.write_text('MAXDAEMONS=20\nIMAP_CAPABILITY_TLS="$IMAP_CAPABILITY AUTH=PLAIN"\n')
    warnings: list[str] = []

    settings = load([first, file], warnings.append)

    assert settings.max_daemons == 20
    assert settings.capability_tls == ("IMAP4rev1", "AUTH=PLAIN")
    assert warnings == []


def test_names_that_are_no_settings(file: Path) -> None:
    """They are told, with obsolete ones explained, and reach the programs that imapd runs."""
    settings, warnings = loaded(
        file,
        "IMAP_UMAKS=077\nSSLPORT=993\nAUTHSERVICE143=x\nAUTHSERVICE=x\nMAILDIR=Mail\n"
        'TCPDOPTS="-noidentlookup"\nAUTHMODULES="authdaemon"\n',
    )

    assert warnings == [
        f"{file}:1: IMAP_UMAKS: no setting of ours, passed on unread",
        f"{file}:4: AUTHSERVICE: no setting of ours, passed on unread",
        f"{file}:5: MAILDIR: obsolete; use MAILDIRPATH",
        f"{file}:7: AUTHMODULES: obsolete; the modules stand in authdaemonrc, as authmodulelist",
        f"{file}:6: TCPDOPTS: -noidentlookup is obsolete and ignored",
    ]
    assert settings.environment["IMAP_UMAKS"] == "077"


def test_settings_without_effect(file: Path) -> None:
    """They are told, each with its place and what to look at instead."""
    _, warnings = loaded(
        file,
        "TLS_PRIORITY=NORMAL\nTLS_MIN_DH_BITS=1024\nTLS_PROTOCOL=SSL23\n"
        'TLS_STARTTLS_PROTOCOL="$TLS_PROTOCOL"\nCOURIERTLS=/usr/bin/couriertls\n'
        'TLS_INTCACHESIZE=10\nTCPDOPTS="-stderrlogger=/x"\n',
    )

    assert warnings == [
        f"{file}:7: TCPDOPTS: -stderrlogger is obsolete and ignored",
        f"{file}:1: TLS_PRIORITY: is GnuTLS's; see TLS_PROTOCOL and TLS_CIPHER_LIST",
        f"{file}:2: TLS_MIN_DH_BITS: is GnuTLS's; OpenSSL refuses parameters that are too short",
        f"{file}:3: TLS_PROTOCOL: SSL23 is obsolete and taken for unset",
        f"{file}:4: TLS_STARTTLS_PROTOCOL: SSL23 is obsolete and taken for unset",
    ]


def test_place_of_each_setting(file: Path) -> None:
    settings, _ = loaded(file, "\nTLS_CERTFILE=/x\n")

    assert settings.origins == {"TLS_CERTFILE": Origin(str(file), 2)}


def test_wrong_values_of_both_tables_are_told(file: Path) -> None:
    assert refused(file, "TLS_VERIFYPEER=x\nIMAP_ACL=x\n") == (
        f"{file}:2: IMAP_ACL: expected 0 or 1, found 'x'",
        f"{file}:1: TLS_VERIFYPEER: expected NONE, PEER or REQUIREPEER, found 'x'",
    )


def test_environment_for_programs(file: Path) -> None:
    """All variables of the files and those that the start script sets; nothing of ours."""
    settings, _ = loaded(file, "SENDMAIL=${bindir}/sendmail\nHELPER=1\n")

    assert settings.sendmail == str(paths.PREFIX / "bin/sendmail")
    assert settings.environment == paths.SHELL_VARIABLES | {
        "SENDMAIL": settings.sendmail,
        "HELPER": "1",
    }
    assert from_environment({"X": "1"}).environment == {"X": "1"}


def test_script(file: Path) -> None:
    """A file that /bin/sh has to evaluate gives the same settings and messages with a line."""
    settings, _ = loaded(file, "IMAP_ACL=$(echo 1)\nif true; then IMAP_KEYWORDS=1; fi\n")

    assert (settings.acl, settings.keywords) == (True, 1)
    assert refused(file, "\nif true; then IMAP_ACL=yes; fi\n") == (
        f"{Origin(str(file), 2)}: IMAP_ACL: expected 0 or 1, found 'yes'",
    )

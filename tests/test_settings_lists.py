"""A setting exists when its entry in a .dist file, the line that reads it and its paragraph in the
manual page agree; and the .dist files are some that `sysconftool` can merge."""

import re
from pathlib import Path

import pytest

from courier import settings
from courier.tls_settings import TlsSettings
from imapd.settings import Settings
from pop3d.settings import Settings as Pop3Settings

ROOT = Path(__file__).parents[1]
CONF = ROOT / "conf"
FILES = ("imapd", "imapd-ssl", "pop3d", "pop3d-ssl")
MANUAL = ROOT / "src" / "imapd" / "imapd.8"
POP3_MANUAL = ROOT / "src" / "pop3d" / "pop3d.8"

# Courier's sections with their revisions, in its order. A name and its revision stay as they are
# as long as an old value remains valid: the merge carries values over by them.
COURIERS = {
    "imapd": [
        "ADDRESS:0", "PORT:1", "AUTHSERVICE:0", "MAXDAEMONS:0", "MAXPERIP:0", "PIDFILE:0",
        "TCPDOPTS:1", "ACCESSFILE:0", "LOGGEROPTS:0", "DEFDOMAIN:0", "IMAP_CAPABILITY:1",
        "KEYWORDS_CAPABILITY:0", "ACL_CAPABILITY:0", "SMAP1_CAPABILITY:0",
        "IMAP_CAPABILITY_ORIG:2", "IMAP_PROXY:0", "PROXY_HOSTNAME:0", "IMAP_PROXY_FOREIGN:0",
        "IMAP_IDLE_TIMEOUT:0", "IMAP_MAILBOX_SANITY_CHECK:0", "IMAP_CAPABILITY_TLS:0",
        "IMAP_TLS_ORIG:0", "IMAP_DISABLETHREADSORT:0", "IMAP_CHECK_ALL_FOLDERS:0",
        "IMAP_OBSOLETE_CLIENT:0", "IMAP_UMASK:0", "IMAP_ULIMITD:0", "IMAP_USELOCKS:0",
        "IMAP_SHAREDINDEXFILE:0", "IMAP_ENHANCEDIDLE:0", "IMAP_TRASHFOLDERNAME:0",
        "IMAP_EMPTYTRASH:0", "IMAP_MOVE_EXPUNGE_TO_TRASH:0", "IMAP_LOG_DELETIONS:0",
        "AUTH_MKHOMEDIR_SKEL:0", "IMAPDEBUGFILE:0", "OUTBOX:0", "SENDMAIL:0", "HEADERFROM:0",
        "ID_FIELDS:0", "OUTBOX_MULTIPLE_SEND:0", "IMAPDSTART:0", "MAILDIRPATH:0",
    ],
    "imapd-ssl": [
        "SSLPORT:1", "SSLADDRESS:0", "SSLPIDFILE:0", "SSLLOGGEROPTS:0", "IMAPDSSLSTART:0",
        "IMAPDSTARTTLS:0", "IMAP_TLS_REQUIRED:1", "COURIERTLS:0", "TLS_PRIORITY:0",
        "TLS_PROTOCOL:0", "TLS_CIPHER_LIST:0", "TLS_STARTTLS_PROTOCOL:0",
        "TLS_MIN_DH_BITS:0", "TLS_TIMEOUT:0", "TLS_CERTFILE:0", "TLS_PRIVATE_KEYFILE:0",
        "TLS_DHPARAMS:0", "TLS_TRUSTCERTS:0", "TLS_VERIFYPEER:0", "TLS_EXTERNAL:0", "TLS_CACHE:1",
        "TLS_ALPN:0", "MAILDIRPATH:0",
    ],
    "pop3d": [
        "PIDFILE:0", "MAXDAEMONS:0", "MAXPERIP:4", "POP3AUTH:1", "POP3AUTH_ORIG:1",
        "POP3AUTH_TLS:1", "POP3AUTH_TLS_ORIG:0", "POP3_PROXY:0", "PROXY_HOSTNAME:0", "PORT:1",
        "ADDRESS:0", "AUTHSERVICE:0", "TCPDOPTS:1", "LOGGEROPTS:0", "DEFDOMAIN:0",
        "POP3DSTART:0", "POP3_LOG_DELETIONS:0", "AUTH_MKHOMEDIR_SKEL:0", "MAILDIRPATH:0",
        "MIME_UNICODE_MESSAGE_TYPE:0",
    ],
    "pop3d-ssl": [
        "SSLPORT:0", "SSLADDRESS:0", "SSLPIDFILE:0", "SSLLOGGEROPTS:0", "POP3DSSLSTART:0",
        "POP3_STARTTLS:0", "POP3_TLS_REQUIRED:1", "COURIERTLS:0", "TLS_PRIORITY:0",
        "TLS_PROTOCOL:0", "TLS_STARTTLS_PROTOCOL:0", "TLS_CIPHER_LIST:0",
        "TLS_MIN_DH_BITS:0", "TLS_TIMEOUT:0", "TLS_CERTFILE:0", "TLS_PRIVATE_KEYFILE:0",
        "TLS_DHPARAMS:0", "TLS_TRUSTCERTS:0", "TLS_VERIFYPEER:0", "TLS_EXTERNAL:0", "TLS_CACHE:1",
        "TLS_ALPN:0", "MAILDIRPATH:0",
    ],
}  # fmt: skip
UNDOCUMENTED_BY_COURIER = {
    "imapd": ["IMAP_SHAREDMUNGENAMES:0", "IMAP_BROKENUIDV:0", "MAILDIR_SKIP_SYMLINK_CHECKS:0", "DEBUG_LOGIN:0"],
    "pop3d": ["DEBUG_LOGIN:0"],
}  # fmt: skip
ADDITIONS_TO_TLS = ["TLS_CHAINFILE:0", "TLS_CIPHERSUITES:0"]
ADDITIONS = {
    "imapd": [
        "IMAP_EXTENSIONS:0", "IMAP_SASL:0", "IMAP_COMPRESS:0", "IMAP_UNAUTHENTICATE:0", "IMAP_CLIENT_WORKAROUNDS:0", "IMAP_MAX_APPEND:0",
        "IMAP_MESSAGELIMIT:0", "IMAP_SAVELIMIT:0", "IMAP_SPECIALUSE:0",
        "IMAP_METADATA_MAXSIZE:0", "IMAP_METADATA_MAXENTRIES:0", "IMAP_METADATA_COMMENT:0", "IMAP_METADATA_ADMIN:0",
        "IMAP_FSYNC:0", "IMAP_FULLTEXT:0", "IMAP_INDEX_DIR:0",
        "IMAP_ACCOUNT_QUOTA:0", "MAILDIR_TRASHQUOTA:0",
        "IMAP_PROXY_TLS:0", "IMAP_PROXY_PORT:0",
        "IMAP_MAXPERC:0", "IMAP_LIMIT_IPV6_NETWORKS:0", "LOGIN_USER:0", "IMAP_LOGIN_PROCESSES:0", "IMAP_LOGIN_ISOLATION:0", "IMAP_SESSIONS_PER_WORKER:0",
    ],
    "imapd-ssl": ADDITIONS_TO_TLS,
    "pop3d": [
        "POP3_EXTENSIONS:0", "POP3_SASL:0", "POP3_PROXY_TLS:0", "POP3_PROXY_PORT:0",
        "POP3_MAXPERC:0", "POP3_LIMIT_IPV6_NETWORKS:0", "LOGIN_USER:0", "POP3_LOGIN_PROCESSES:0",
        "POP3_LOGIN_ISOLATION:0", "POP3_SESSIONS_PER_WORKER:0", "POP3_TIMEOUT:0",
        "MAILDIR_TRASHQUOTA:0", "IMAP_INDEX_DIR:0",
    ],
    "pop3d-ssl": ADDITIONS_TO_TLS,
}  # fmt: skip

MARKER = re.compile(r"##NAME: (.*):(.*)")
ENTRY = re.compile(r"(?:# )?([A-Z][A-Z0-9_]*)=")


def dist(file: str) -> Path:
    return CONF / f"{file}.dist"


def sections(file: str) -> dict[str, list[str]]:
    """The .dist file's sections, `NAME:revision`, each with its lines."""
    found: dict[str, list[str]] = {"": []}
    lines = found[""]
    for line in dist(file).read_text().split("\n"):
        if match := MARKER.fullmatch(line):
            lines = found.setdefault(f"{match[1]}:{match[2]}", [])
        else:
            lines.append(line)
    del found[""]
    return found


def without_port(name: str) -> str:
    return re.sub(r"(?<=^AUTHSERVICE)\d+$", "*", name)


def shipped(file: str) -> set[str]:
    lines = (line for body in sections(file).values() for line in body)
    return {without_port(match[1]) for line in lines if (match := ENTRY.match(line))}


def read() -> list[str]:
    return [
        setting.name for one in (Settings, TlsSettings) for setting in settings.table(one).values()
    ]


def documented(manual: Path = MANUAL) -> list[str]:
    text = manual.read_text()
    text = text[text.index(".SH SETTINGS") : text.index(".SH ENVIRONMENT")]
    tags = re.findall(r"^\.T[PQ]\n\.(?:B|BI) (\S+)(?: (port))?$", text, re.MULTILINE)
    return [name + ("*" if port else "") for name, port in tags]


def test_each_setting_is_read_by_one_line() -> None:
    assert len(read()) == len(set(read()))


def test_settings_shipped_are_the_settings_read() -> None:
    """Each in conf/imapd.dist and imapd-ssl.dist has its line in imapd/settings.py or
    courier/tls_settings.py, and the reverse."""
    assert shipped("imapd") | shipped("imapd-ssl") == set(read())


def test_tls_settings_of_imap_and_pop3_are_the_same() -> None:
    """What pop3d-ssl.dist has beside its own is what courier/tls_settings.py reads."""
    theirs = {one.name for one in settings.table(TlsSettings).values()}

    assert {name for name in shipped("imapd-ssl") if name.startswith("TLS_")} == theirs
    assert {name for name in shipped("pop3d-ssl") if name.startswith("TLS_")} == theirs


def test_settings_documented_are_the_settings_read() -> None:
    """Each paragraph of imapd(8) has its line, and the reverse."""
    assert sorted(documented()) == sorted(read())


def test_settings_of_pop3d() -> None:
    """Shipped, read and documented are the same; its TLS_* are imapd's."""
    own = {one.name for one in settings.table(Pop3Settings).values()}
    of_tls = {one.name for one in settings.table(TlsSettings).values()}

    assert shipped("pop3d") | shipped("pop3d-ssl") == own | of_tls
    assert set(documented(POP3_MANUAL)) == own


@pytest.mark.parametrize("file", FILES)
def test_sections_are_couriers(file: str) -> None:
    """All of Courier's, with its revisions, in its order; what is added stands between or after."""
    names = list(sections(file))
    added = ADDITIONS[file]

    assert [name for name in names if name in COURIERS[file]] == COURIERS[file]
    assert sorted(set(names) - set(COURIERS[file])) == sorted(
        UNDOCUMENTED_BY_COURIER.get(file, []) + added
    )
    assert names[-len(added) :] == added


@pytest.mark.parametrize("file", FILES)
def test_additions_say_so(file: str) -> None:
    """Our own settings are marked, and no others are."""
    marked = [name for name, lines in sections(file).items() if "# Addition of pycourier." in lines]

    assert marked == ADDITIONS[file]


def test_additions_say_so_in_the_manual() -> None:
    paragraphs = re.split(r"^\.TP\n", MANUAL.read_text(), flags=re.MULTILINE)
    explained = [text for text in paragraphs if "An addition of pycourier." in text]

    assert sorted(text.split()[1] + ":0" for text in explained) == sorted(
        ADDITIONS["imapd"] + ADDITIONS["imapd-ssl"]
    )


@pytest.mark.parametrize(
    ("file", "name"), [(file, name) for file in FILES for name in sections(file)]
)
def test_section_survives_a_merge(file: str, name: str) -> None:
    """Comments, an empty line, settings, an empty line: sysconftool carries the first run of lines
    without # over and nothing behind it."""
    kinds = "".join(
        "#" if line.startswith("#") else "=" if line else "_" for line in sections(file)[name]
    )

    assert re.fullmatch(r"#+_(=+_?)?", kinds)


@pytest.mark.parametrize("file", FILES)
def test_header(file: str) -> None:
    """The version line is where sysconftool looks; the last line ends; no octet needs a charset."""
    data = dist(file).read_bytes()
    lines = data.split(b"\n")

    assert any(line.startswith(b"##VERSION:") for line in lines[:20])
    assert lines[-1] == b""
    assert data.isascii()
    assert b"\r" not in data


@pytest.mark.parametrize("file", FILES)
def test_every_comment_fits_a_terminal(file: str) -> None:
    lines = dist(file).read_text().split("\n")

    assert [line for line in lines if line.startswith("#") and len(line) > 79] == []

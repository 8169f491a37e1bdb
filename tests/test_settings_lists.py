"""A setting exists when its entry in the .dist file, the line that reads it and its paragraph in
the manual page agree; and the .dist file is one that `sysconftool` can merge."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from courier import settings
from imapd.settings import Settings

ROOT = Path(__file__).parents[1]
DIST = ROOT / "conf" / "imapd.dist"
MANUAL = ROOT / "src" / "imapd" / "imapd.8"

# Courier's sections with their revisions, in its order. A name and its revision stay as they are
# as long as an old value remains valid: the merge carries values over by them.
COURIERS = [
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
]  # fmt: skip
UNDOCUMENTED_BY_COURIER = [
    "IMAP_SHAREDMUNGENAMES:0",
    "IMAP_BROKENUIDV:0",
    "MAILDIR_SKIP_SYMLINK_CHECKS:0",
]
ADDITIONS = ["IMAP_EXTENSIONS:0", "IMAP_MAX_APPEND:0", "IMAP_FSYNC:0"]

MARKER = re.compile(r"##NAME: (.*):(.*)")
ENTRY = re.compile(r"(?:# )?([A-Z][A-Z0-9_]*)=")


def sections() -> dict[str, list[str]]:
    """The .dist file's sections, `NAME:revision`, each with its lines."""
    found: dict[str, list[str]] = {"": []}
    lines = found[""]
    for line in DIST.read_text().split("\n"):
        if match := MARKER.fullmatch(line):
            lines = found.setdefault(f"{match[1]}:{match[2]}", [])
        else:
            lines.append(line)
    del found[""]
    return found


def without_port(name: str) -> str:
    return re.sub(r"(?<=^AUTHSERVICE)\d+$", "*", name)


def shipped() -> set[str]:
    lines = (line for body in sections().values() for line in body)
    return {without_port(match[1]) for line in lines if (match := ENTRY.match(line))}


def read() -> list[str]:
    return [setting.name for setting in settings.table(Settings).values()]


def documented() -> list[str]:
    text = MANUAL.read_text()
    text = text[text.index(".SH SETTINGS") : text.index(".SH ENVIRONMENT")]
    tags = re.findall(r"^\.T[PQ]\n\.(?:B|BI) (\S+)(?: (port))?$", text, re.MULTILINE)
    return [name + ("*" if port else "") for name, port in tags]


def test_each_setting_is_read_by_one_line() -> None:
    assert len(read()) == len(set(read()))


def test_settings_shipped_are_the_settings_read() -> None:
    """Each in conf/imapd.dist has its line in imapd/settings.py, and the reverse."""
    assert shipped() == set(read())


def test_settings_documented_are_the_settings_read() -> None:
    """Each paragraph of imapd(8) has its line in imapd/settings.py, and the reverse."""
    assert sorted(documented()) == sorted(read())


def test_sections_are_couriers() -> None:
    """All of Courier's, with its revisions, in its order; what is added stands between or after."""
    names = list(sections())

    assert [name for name in names if name in COURIERS] == COURIERS
    assert sorted(set(names) - set(COURIERS)) == sorted(UNDOCUMENTED_BY_COURIER + ADDITIONS)
    assert names[-len(ADDITIONS) :] == ADDITIONS


def test_additions_say_so() -> None:
    """Our own settings are marked, in the file and in the manual page, and no others are."""
    marked = [name for name, lines in sections().items() if "# Addition of pycourier." in lines]
    paragraphs = re.split(r"^\.TP\n", MANUAL.read_text(), flags=re.MULTILINE)
    explained = [text for text in paragraphs if "An addition of pycourier." in text]

    assert marked == ADDITIONS
    assert sorted(text.split()[1] + ":0" for text in explained) == sorted(ADDITIONS)


@pytest.mark.parametrize("name", sections())
def test_section_survives_a_merge(name: str) -> None:
    """Comments, an empty line, settings, an empty line: sysconftool carries the first run of lines
    without # over and nothing behind it."""
    kinds = "".join(
        "#" if line.startswith("#") else "=" if line else "_" for line in sections()[name]
    )

    assert re.fullmatch(r"#+_(=+_?)?", kinds)


def test_header() -> None:
    """The version line is where sysconftool looks; the last line ends; no octet needs a charset."""
    lines = DIST.read_bytes().split(b"\n")

    assert any(line.startswith(b"##VERSION:") for line in lines[:20])
    assert lines[-1] == b""
    assert DIST.read_bytes().isascii()
    assert b"\r" not in DIST.read_bytes()


def test_every_comment_fits_a_terminal() -> None:
    lines = DIST.read_text().split("\n")

    assert [line for line in lines if line.startswith("#") and len(line) > 79] == []


@pytest.mark.skipif(
    not shutil.which("man") and "CI" not in os.environ, reason="man(1) is not installed"
)
def test_manual_page_is_well_formed() -> None:
    """`man --warnings` has nothing to say."""
    shown = subprocess.run(
        ["man", "--warnings", "-Tutf8", "-l", str(MANUAL)],
        env=os.environ | {"MANWIDTH": "80", "LC_ALL": "C.UTF-8", "PAGER": "cat"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert shown.stderr == ""

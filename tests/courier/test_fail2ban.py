"""fail2ban's own filter for Courier, on our log lines as syslog writes them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from courier import log
from courier.log import Peer
from tests.conftest import missing
from tests.support.servers import ROOT

FAIL2BAN = ROOT / ".tools/delivery"
FILTER = FAIL2BAN / "etc/fail2ban/filter.d/courier-auth.conf"
PROGRAM = FAIL2BAN / "usr/bin/fail2ban-regex"

pytestmark = pytest.mark.slow


def logged(*failures: tuple[bytes | None, str, Peer]) -> list[str]:
    """What the log functions write for (userid or None, mechanism, peer)."""
    reader, writer = os.pipe()
    log.use(writer)
    try:
        for userid, mechanism, peer in failures:
            if userid is None:
                log.method_failed(mechanism, peer)
            else:
                log.login_failed(userid, peer)
    finally:
        log.use(2)
        os.close(writer)
    with os.fdopen(reader, "rb") as lines:
        return lines.read().decode().splitlines()


def matched(place: Path, lines: Sequence[str]) -> list[str]:
    """The addresses that fail2ban would count."""
    if not PROGRAM.exists():
        missing("Debian's fail2ban, see `make tools`")
    file = place / "mail.log"
    file.write_text("".join(line + "\n" for line in lines))
    done = subprocess.run(
        [sys.executable, str(PROGRAM), "-v", "--print-all-matched", str(file), str(FILTER)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=place,
        env={
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": str(FAIL2BAN / "usr/lib/python3/dist-packages"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "LC_ALL": "C.UTF-8",
        },
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return re.findall(r"^\|\s+([0-9a-f.:]+)\s{2,}\w{3} \w{3} ", done.stdout, re.MULTILINE)


def test_failures(tmp_path: Path) -> None:
    """Each of ours is counted for its client, whichever daemon and mechanism; a hostile name hides none."""
    failures = [
        ("imapd", (b"u@example.com", "", Peer("::ffff:192.0.2.1", "44")), "192.0.2.1"),
        ("imapd-ssl", (None, "PLAIN", Peer("192.0.2.2", "44")), "192.0.2.2"),
        ("pop3d", (b"a b", "", Peer("2001:db8::3", "44")), "2001:db8::3"),
        ("pop3d-ssl", (None, "CRAM-MD5", Peer("192.0.2.4", "44")), "192.0.2.4"),
        ("imapd", (None, "SCRAM-SHA-256-PLUS", Peer("192.0.2.5", "44")), "192.0.2.5"),
        ("imapd", (None, "OAUTHBEARER", Peer("192.0.2.6", "44")), "192.0.2.6"),
        ("imapd", (b"x, ip=[198.51.100.1]", "", Peer("192.0.2.7", "44")), "192.0.2.7"),
        ("imapd", (b"x\r\nip=[198.51.100.1],", "", Peer("192.0.2.8", "44")), "192.0.2.8"),
        ("imapd", (b"", "", Peer("192.0.2.9", "44")), "192.0.2.9"),
        ("imapd", (b"u" * 3000, "", Peer("192.0.2.10", "44")), "192.0.2.10"),
        ("imapd", (b"\xff=,[]", "", Peer("192.0.2.11", "44")), "192.0.2.11"),
    ]
    texts = logged(*(failure for _, failure, _ in failures))
    assert len(texts) == len(failures)
    lines = [
        f"Nov 27 10:00:{number:02} host {program}: {text.removeprefix('INFO: ')}"
        for number, ((program, _, _), text) in enumerate(zip(failures, texts, strict=True))
    ]

    assert sorted(matched(tmp_path, lines)) == sorted(address for _, _, address in failures)


def test_what_is_no_failure(tmp_path: Path) -> None:
    """Nobody is banned for logging in, going away, or our being down."""
    lines = [
        f"Nov 27 10:00:00 host imapd: {text}"
        for text in (
            "LOGIN, user=u, ip=[192.0.2.1], port=[44], protocol=IMAP",
            "LOGOUT, ip=[192.0.2.1], port=[44], rcvd=1, sent=2",
            "Disconnected, ip=[192.0.2.1], port=[44], time=60",
            "authentication error: Connection refused",
            "access denied by 192.0.2 of the access file, ip=[192.0.2.1]",
        )
    ]
    assert matched(tmp_path, lines) == []

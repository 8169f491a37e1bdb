"""One session's long work, seen from another session of the same worker."""

from __future__ import annotations

import os
import select
import socket
import time

import pytest

from tests.support.daemon import Site, give, own_ids

MESSAGES = 20_000


def test_noop_while_another_session_searches(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    """A search through the text of many messages holds nobody up; the slowest NOOP is printed."""
    maildir = site.homes / "u@example.com/Maildir"
    first = maildir / "cur/1.M0P1.test:2,S"
    first.write_bytes(b"Subject: x\n\n" + b"some words that are not the ones\n" * 50)
    for number in range(1, MESSAGES):
        os.link(first, maildir / f"cur/1.M{number}P1.test:2,S")
    give(maildir, *own_ids())
    daemon = site.start()
    busy, other = daemon.session(), daemon.session()
    daemon.wait_for_workers(1)
    busy.command("SELECT INBOX")
    other.command("NOOP")
    busy.send(b"s SEARCH BODY nowhere\r\n")

    waits_s = []
    for _ in range(50):
        began = time.monotonic()
        other.command("NOOP")
        waits_s.append(time.monotonic() - began)
    is_searching = not _has_answered(busy.socket)

    with capsys.disabled():
        print(
            f"\n50 NOOPs beside a search of {MESSAGES} messages: "
            f"slowest {max(waits_s) * 1000:.1f} ms, median {sorted(waits_s)[25] * 1000:.1f} ms"
        )
    assert is_searching, "the search ended before the measurement did"
    assert max(waits_s) < 1.0
    assert b" OK " in busy.until(b"s ")[-1]


def _has_answered(connection: socket.socket) -> bool:
    return bool(select.select([connection], [], [], 0)[0])

"""One session's long work, seen from another session of the same worker."""

from __future__ import annotations

import os
import select
import socket

import pytest

from tests.support.daemon import Site, give, processor_time_s
from tests.support.fake_authdaemond import own_ids

MESSAGES = 20_000


def test_noop_while_another_session_searches(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    """A search through the text of many messages holds nobody up; the slowest NOOP is printed.

    By the worker's processor time, from the command to its answer: the machine may have other work to do.
    """
    maildir = site.homes / "u@example.com/Maildir"
    first = maildir / "cur/1.M0P1.test:2,S"
    first.write_bytes(b"Subject: x\n\n" + b"some words that are not the ones\n" * 50)
    for number in range(1, MESSAGES):
        os.link(first, maildir / f"cur/1.M{number}P1.test:2,S")
    give(maildir, *own_ids())
    daemon = site.start()
    busy, other = daemon.session(), daemon.session()
    [worker] = daemon.wait_for_workers(1)
    busy.command("SELECT INBOX")
    other.command("NOOP")
    before_s = processor_time_s(worker)
    busy.command("SEARCH BODY nowhere")
    search_s = processor_time_s(worker) - before_s

    waits_s: list[float] = []
    while len(waits_s) < 50:  # another search, if one was over before
        busy.send(b"s SEARCH BODY nowhere\r\n")
        while len(waits_s) < 50 and not _has_answered(busy.socket):
            before_s = processor_time_s(worker)
            other.command("NOOP")
            waits_s.append(processor_time_s(worker) - before_s)
        assert b" OK " in busy.until(b"s ")[-1]

    with capsys.disabled():
        print(
            f"\n50 NOOPs beside a search of {MESSAGES} messages, {search_s:.2f} s: "
            f"slowest {max(waits_s) * 1000:.0f} ms, median {sorted(waits_s)[25] * 1000:.0f} ms"
        )
    assert max(waits_s) < search_s / 2


def _has_answered(connection: socket.socket) -> bool:
    return bool(select.select([connection], [], [], 0)[0])

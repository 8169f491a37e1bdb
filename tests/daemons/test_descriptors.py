"""Processes that run out of file descriptors: who does not need one notices nothing, and it passes."""

from __future__ import annotations

import signal

import pytest

from tests.daemons.test_limits import await_places
from tests.support.daemon import Peer, Site, status, wait_until
from tests.support.exhaustion import exhausted


def sleeps(pid: int) -> int:
    """How often a process has waited for something; one that tries without a pause never does."""
    return int(status(pid)["voluntary_ctxt_switches"])


def says(peer: Peer, line: str) -> bytes:
    return peer.command(line)[-1]


def test_worker(site: Site) -> None:
    """A client too many is let go, and not counted; the others' sessions go on, without files NO."""
    imapd = site.start(MAXDAEMONS="3")
    there, tls = imapd.session(), imapd.connect()
    tls.start_tls()
    tls.log_in()
    [worker] = imapd.wait_for_workers(1)

    with exhausted(worker):
        late = imapd.let_in()
        late.send(b"a LOGIN u@example.com pw\r\n")
        assert late.rest() == b""
        assert b" NO SELECT failed: Too many open files" in says(there, "SELECT INBOX")
        assert b" NO " in says(there, "APPEND INBOX {1+}\r\nx")
        assert b" OK " in says(tls, "NOOP")

    assert imapd.wait_for_workers(1) == [worker]
    assert b" OK " in says(there, "SELECT INBOX")
    assert b" OK " in says(tls, "APPEND INBOX {1+}\r\nx")
    await_places(imapd, ["127.0.0.1"] * 3, 1)
    assert imapd.log.count("ERR: cannot serve: client: Too many open files") == 1


def test_master(site: Site) -> None:
    """Who logs in now is told to come again; no login process is ended for it, and no session."""
    imapd = site.start()
    there, waiting = imapd.session(), imapd.connect()
    tls = imapd.connect()
    tls.start_tls()
    tls.log_in()
    processes = imapd.login_processes()

    with exhausted(imapd.pid):
        assert b" NO [UNAVAILABLE] " in says(waiting, "LOGIN u@example.com pw")
        assert b" OK " in says(there, "NOOP")
        assert b" OK " in says(tls, "NOOP")
        imapd.signal(signal.SIGHUP)
        imapd.wait_for_log("^ERR: the settings stay as they were")

    assert imapd.login_processes() == processes
    imapd.session()
    assert b" OK " in says(tls, "NOOP")
    assert "Traceback" not in imapd.log


@pytest.mark.slow
def test_login_process(site: Site) -> None:
    """It waits before it tries to accept again, says so once, and serves whom it has."""
    imapd = site.start(IMAP_LOGIN_PROCESSES="1")
    there, waiting, tls = imapd.session(), imapd.connect(), imapd.connect()
    tls.start_tls()
    [login_process] = imapd.login_processes()

    with exhausted(login_process):
        late = Peer(imapd.raw())
        imapd.wait_for_log("^ERR: cannot accept: .*: Too many open files")
        before = sleeps(login_process)
        wait_until(lambda: sleeps(login_process) > before + 2)
        assert b" NO [UNAVAILABLE] " in says(tls, "LOGIN u@example.com pw")
        waiting.log_in()
        assert b" OK " in says(there, "NOOP")

    assert late.line().startswith(b"* OK ")
    assert imapd.login_processes() == [login_process]
    assert imapd.log.count("ERR: cannot accept") == 1
    assert imapd.log.count("ERR: cannot pass on: client: Too many open files") == 1

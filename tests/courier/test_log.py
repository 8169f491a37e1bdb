"""Log lines. The expected ones were written by Courier's imapd 5.0.13."""

import os
import time
from collections.abc import Callable, Iterator

import pytest

from courier import log
from courier.log import End, Peer

LOCAL = Peer("127.0.0.1", "0")
REMOTE = Peer("::ffff:1.2.3.4", "44")


@pytest.fixture
def lines() -> Iterator[Callable[[], list[bytes]]]:
    """The lines logged since the test began, without their line feeds."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    log.use(writer)

    def logged() -> list[bytes]:
        data = os.read(reader, 1 << 16)
        assert data.endswith(b"\n")
        return data[:-1].split(b"\n")

    yield logged
    log.use(2)
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (
            lambda: log.login("root", LOCAL, "IMAP", False),
            b"INFO: LOGIN, user=root, ip=[127.0.0.1], port=[0], protocol=IMAP",
        ),
        (
            lambda: log.login("joe@example.com", REMOTE, "IMAP", True),
            b"INFO: LOGIN, user=joe@example.com, ip=[::ffff:1.2.3.4], port=[44], protocol=IMAP, "
            b"starttls=1",
        ),
        (
            lambda: log.end(End.LOGOUT, "root", LOCAL, 0, 0, 10, 236, 2, False),
            b"INFO: LOGOUT, user=root, ip=[127.0.0.1], port=[0], headers=0, body=0, rcvd=10, "
            b"sent=236, time=2",
        ),
        (
            lambda: log.end(End.DISCONNECTED, "root", LOCAL, 0, 0, 8, 193, 1, False),
            b"INFO: DISCONNECTED, user=root, ip=[127.0.0.1], port=[0], headers=0, body=0, "
            b"rcvd=8, sent=193, time=1",
        ),
        (
            lambda: log.end(End.TIMEOUT, "root", LOCAL, 12, 27, 115, 840, 1800, True),
            b"INFO: TIMEOUT, user=root, ip=[127.0.0.1], port=[0], headers=12, body=27, rcvd=115, "
            b"sent=840, time=1800, starttls=1",
        ),
        (
            lambda: log.end(End.SIGNAL, "root", LOCAL, 0, 0, 8, 242, 5, True),
            b"NOTICE: Disconnected during shutdown by signal, user=root, ip=[127.0.0.1], "
            b"port=[0], headers=0, body=0, rcvd=8, sent=242, time=5, starttls=1",
        ),
        (
            lambda: log.expunged("root", LOCAL, "./cur/1700000000.M1P1.h,S=30:2,ST"),
            b"INFO: EXPUNGED, user=root, ip=[127.0.0.1], port=[0], "
            b"old_name=./cur/1700000000.M1P1.h,S=30:2,ST",
        ),
        (
            lambda: log.expunged("root", LOCAL, "./cur/1.M2P1.h:2,ST", ".Trash/cur/1.M2P1.h:2,S"),
            b"INFO: EXPUNGED, user=root, ip=[127.0.0.1], port=[0], old_name=./cur/1.M2P1.h:2,ST, "
            b"new_name=.Trash/cur/1.M2P1.h:2,S: only new_name will be left",
        ),
        (
            lambda: log.client_id("root", LOCAL, [("name", "Test Client"), ("version", None)]),
            b"INFO: ID, user=root, ip=[127.0.0.1], port=[0], name=Test Client, version=(nil)",
        ),
        (
            lambda: log.locked("joe", REMOTE),
            b"INFO: LOCKED, user=joe, ip=[::ffff:1.2.3.4], port=[44]",
        ),
        (
            lambda: log.login_failed(b"joe", REMOTE),
            b"INFO: LOGIN FAILED, user=joe, ip=[::ffff:1.2.3.4], port=[44]",
        ),
        (
            lambda: log.fetch_failed("open failed", 1000, "cur/1.M1P1.h:2,", "BODY[HEADER]"),
            b"IMAP FETCH ERROR: open failed, uid=1000, filename=cur/1.M1P1.h:2,: BODY[HEADER]",
        ),
        (
            lambda: log.error("cannot rename", "cur/x", OSError(28, "No space left on device")),
            b"ERR: cannot rename: cur/x: No space left on device",
        ),
        (
            lambda: log.error("cannot rename", b"cur/\xe4", OSError(28, "No space left on device")),
            b"ERR: cannot rename: cur/\\xe4: No space left on device",
        ),
        (lambda: log.warn("12 sessions"), b"WARN: 12 sessions"),
    ],
)
def test_event(lines: Callable[[], list[bytes]], event: Callable[[], None], line: bytes) -> None:
    """Each event is one line of Courier's, to the byte."""
    event()

    assert lines() == [line]


@pytest.mark.parametrize(
    "event",
    [
        lambda evil: log.login(evil, REMOTE, "IMAP", False),
        lambda evil: log.login_failed(evil.encode("utf-8", "surrogatepass"), REMOTE),
        lambda evil: log.home_unreachable(evil, evil, OSError(2, "x")),
        log.maildir_not_owned,
        lambda evil: log.login("joe", Peer(evil, evil), "IMAP", False),
        lambda evil: log.locked(evil, REMOTE),
        lambda evil: log.end(End.LOGOUT, evil, REMOTE, 0, 0, 0, 0, 0, False),
        lambda evil: log.expunged(evil, REMOTE, evil, evil),
        lambda evil: log.client_id(evil, REMOTE, [(evil, evil), (evil, None)]),
        lambda evil: log.fetch_failed("open", 0, evil, evil),
        lambda evil: log.error(evil, evil, OSError(2, evil)),
        log.warn,
    ],
)
@pytest.mark.parametrize(
    "evil",
    [
        "joe\nINFO: LOGIN, user=root, ip=[192.0.2.1]",
        "\r\x00\x1b[2J\x7f\x85\u2028\u202e",
        os.fsdecode(b"\xff\n\xfe"),
        "\ud800\n",
        "x" * 100_000 + "\n",
        "\u20ac\n" * 100_000,
    ],
)
def test_text_of_a_client_never_forges_a_line(
    lines: Callable[[], list[bytes]], event: Callable[[str], None], evil: str
) -> None:
    """Whatever text an event is given: one line, of printable characters, written at once."""
    event(evil)

    (line, *more) = lines()
    assert more in ([], [b"WARN: error: x"])
    assert len(line) < 4096
    assert all(octet >= 0x20 and octet != 0x7F for octet in line)
    assert not set(line.decode("utf-8", "ignore")) & set("\x85\u2028\u202e")


def test_control_characters_stay_recognisable(lines: Callable[[], list[bytes]]) -> None:
    """They are written in hexadecimal; other characters, a backslash too, stay as they are."""
    log.warn("caf\u00e9 \\ a\nb\x1b" + os.fsdecode(b"\xe9"))

    assert lines() == ["WARN: café \\ a\\x0ab\\x1b\\xe9".encode()]


def test_comma_in_a_failed_login_does_not_hide_the_address(
    lines: Callable[[], list[bytes]],
) -> None:
    """fail2ban's filter takes `key=value, ` items up to ip=, so a value has no comma."""
    log.login_failed(b"x, ip=[9.9.9.9]", REMOTE)

    assert lines() == [b"INFO: LOGIN FAILED, user=x. ip=[9.9.9.9], ip=[::ffff:1.2.3.4], port=[44]"]


def test_bug_shows_the_traceback_line_by_line(lines: Callable[[], list[bytes]]) -> None:
    """Each line of a traceback is a line of its own level; a name in it can't add another."""
    try:
        raise ValueError("first\nINFO: LOGIN, user=forged")
    except ValueError as failure:
        log.bug("joe", "FETCH", failure)

    found = lines()
    assert found[0] == b"ERR: joe: FETCH: internal error, its traceback follows"
    assert all(line.startswith(b"ERR: ") for line in found)
    assert found[-2:] == [b"ERR: ValueError: first", b"ERR: INFO: LOGIN, user=forged"]


def test_log_whose_reader_is_gone_costs_nothing() -> None:
    """An event that can't be written is dropped; the session goes on."""
    reader, writer = os.pipe()
    os.close(reader)
    log.use(writer)
    try:
        log.warn("nobody listens")  # Python ignores SIGPIPE: EPIPE
        os.close(writer)
        log.warn("nobody could")  # EBADF
    finally:
        log.use(2)


def test_recurring(lines: Callable[[], list[bytes]], monkeypatch: pytest.MonkeyPatch) -> None:
    """The same trouble is told again after ten minutes; another one, or one elsewhere, at once."""
    now = time.monotonic()
    full, broken = OSError(28, "full"), OSError(5, "broken")

    def later(seconds: float) -> None:
        monkeypatch.setattr(time, "monotonic", lambda: now + seconds)

    for seconds in (0, 1, 599, 601, 602):
        later(seconds)
        log.recurring("cannot write", "recurring/x", full)
    log.recurring("cannot write", "recurring/y", full)
    log.recurring("cannot write", "recurring/x", broken)

    assert lines() == [
        b"ERR: cannot write: recurring/x: full",
        b"ERR: cannot write: recurring/x: full",
        b"ERR: cannot write: recurring/y: full",
        b"ERR: cannot write: recurring/x: broken",
    ]


def test_error_without_errno(lines: Callable[[], list[bytes]]) -> None:
    """An OSError that Python made up has no errno's text: then its own is logged."""
    log.error("cannot read", "cur", OSError("odd"))

    assert lines() == [b"ERR: cannot read: cur: odd"]

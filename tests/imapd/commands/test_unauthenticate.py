"""UNAUTHENTICATE (RFC 8437), as far as a session goes. The rest: `tests.daemons.test_unauthenticate`."""

from __future__ import annotations

import errno
import os
import time
import zlib
from pathlib import Path

import pytest

from courier.maildir import expiry
from courier.process.request import ShuttingDown
from imapd import upkeep
from imapd.session import State
from tests.imapd.conftest import Log
from tests.imapd.driver import Driven
from tests.support.maildirs import deliver, make_folder, message_files

OK = b" OK UNAUTHENTICATE completed\r\n"
BAD = b" BAD Error in IMAP command received by server.\r\n"


@pytest.fixture
def filled(maildir: Path) -> Path:
    for number in range(3):
        deliver(maildir, b"Subject: %d\n\n" % number, number=number)
    return maildir


@pytest.fixture
def driven(filled: Path, logged: Log) -> Driven:
    """A session whose client may leave it."""
    return Driven(filled, may_return=True)


@pytest.mark.parametrize("unread", [b"", b"b LOGIN u pw\r\nc SELECT", b"\r\n", b"\0\xff" * 3000])
def test_session_leaves_its_client(driven: Driven, logged: Log, unread: bytes) -> None:
    """Its OK is the last word; what stands behind the command goes back untouched, in any pieces, and
    does not count as received."""
    assert driven.send(b"a UNAUTHENTICATE\r\n" + unread) == b"a" + OK

    assert driven.ended
    assert driven.given_back == unread
    assert driven.session.state is State.UNAUTHENTICATED
    (line,) = (one for one in logged.lines if "LOGOUT" in one)
    assert ", rcvd=18, " in line


def test_selected_mailbox(driven: Driven, filled: Path) -> None:
    """Nothing is expunged, nobody is told of changes (RFC 8437 3)."""
    driven.send(b"a SELECT INBOX\r\n", b"b STORE 1:2 +FLAGS (\\Deleted)\r\n")
    deliver(filled, b"Subject: new\n\n", number=9)

    assert driven.send(b"c UNAUTHENTICATE\r\n") == b"c" + OK

    assert len(message_files(filled)) == 4


@pytest.mark.parametrize("fails", [False, True])
def test_trash_is_emptied(
    filled: Path, logged: Log, monkeypatch: pytest.MonkeyPatch, *, fails: bool
) -> None:
    """As at LOGOUT. What hinders it is logged, and no reason for a NO, which is not permitted."""
    trash = make_folder(filled, "INBOX.Trash") / "cur"
    (trash / "1.a:2,").write_bytes(b"x")
    driven = Driven(filled, {"IMAP_EMPTYTRASH": "1"}, may_return=True)
    now = time.time()
    monkeypatch.setattr(expiry.time, "time", lambda: now + 2 * expiry.DAY_S)
    if fails:
        monkeypatch.setattr(upkeep, "expire", full)

    assert driven.send(b"b UNAUTHENTICATE\r\n") == b"b" + OK

    assert os.listdir(trash) == (["1.a:2,"] if fails else [])
    assert any("ERR: cannot empty the trash" in line for line in logged.lines) is fails


def full(session: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("arguments", [b" x", b" ()", b' "x"', b" {1+}\r\nx"])
def test_arguments(driven: Driven, arguments: bytes) -> None:
    """It has none; the session goes on."""
    assert driven.send(b"a UNAUTHENTICATE" + arguments + b"\r\n") == b"a" + BAD
    assert driven.send(b"b NOOP\r\n") == b"b OK NOOP completed\r\n"
    assert driven.given_back is None


def test_where_nobody_takes_the_client_back(filled: Path, logged: Log) -> None:
    """From a shell and the like it is a word like any other that is no command, whatever is set."""
    driven = Driven(filled, {"IMAP_UNAUTHENTICATE": "1"})
    assert b"UNAUTHENTICATE" not in driven.send(b"a CAPABILITY\r\n")
    for _ in range(9):
        assert driven.send(b"b UNAUTHENTICATE\r\n") == b"b" + BAD

    assert b"TOO MANY CONSECUTIVE" in driven.send(b"c UNAUTHENTICATE\r\n")

    assert driven.given_back is None


def test_in_the_middle_of_an_idle(driven: Driven) -> None:
    """That is no place for commands."""
    driven.send(b"a IDLE\r\n")
    said = driven.send(b"b UNAUTHENTICATE\r\n")
    assert OK not in said
    assert driven.given_back is None


@pytest.mark.parametrize("when", ["before", "with"])
def test_server_that_stops(filled: Path, logged: Log, when: str) -> None:
    """A session that has not said OK, or has just said it, says BYE and keeps its client."""
    driven = Driven(filled, may_return=True)
    if when == "before":
        assert driven.stop().startswith(b"* BYE ")
    else:

        def stop(step: object) -> None:
            if isinstance(step, bytes) and OK in step:
                driven.after = lambda step: None
                raise ShuttingDown

        driven.after = stop
        said = driven.send(b"a UNAUTHENTICATE\r\n")
        assert said == b"a" + OK + b"* BYE Courier-IMAP server shut down by signal.\r\n"
    assert driven.given_back is None


# --- With COMPRESS (RFC 8437 4.1) -----------------------------------------------------------------


class Compressed:
    def __init__(self, driven: Driven) -> None:
        assert driven.ask("z COMPRESS DEFLATE")[-1].name == "OK"
        self._deflating = zlib.compressobj(wbits=-15)
        self._inflating = zlib.decompressobj(wbits=-15)

    def deflated(self, text: bytes, *flushes: int) -> bytes:
        return self._deflating.compress(text) + b"".join(map(self._deflating.flush, flushes))

    def inflated(self, data: bytes) -> tuple[bytes, bytes]:
        """What was compressed, and what came behind it."""
        return self._inflating.decompress(data), self._inflating.unused_data


ENDS = {
    "finish": (zlib.Z_FINISH,),
    "sync": (zlib.Z_SYNC_FLUSH,),
    "full": (zlib.Z_FULL_FLUSH,),
    "sync, finish": (zlib.Z_SYNC_FLUSH, zlib.Z_FINISH),
}
PLAIN = b"c AUTHENTICATE PLAIN AHUAcHc=\r\nd SELECT INBOX\r\n" + bytes(range(256)) * 8


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("size", [1, 3, 1000, 1 << 20])
def test_both_compressions_end(driven: Driven, end: str, size: int) -> None:
    """The server's stream has its end behind the OK; what the client sent behind its own is plain."""
    compressed = Compressed(driven)
    command = b"a SELECT INBOX\r\nb UNAUTHENTICATE\r\n"
    sent = compressed.deflated(command, *ENDS[end]) + PLAIN
    pieces = [sent[at : at + size] for at in range(0, len(sent), size)]

    said = driven.send(*pieces)

    text, behind = compressed.inflated(said)
    assert text.endswith(b"b" + OK)
    assert behind == b""
    assert driven.given_back is not None
    assert driven.given_back + b"".join(driven.left) == PLAIN  # type: ignore[arg-type]


def test_client_that_waits_for_the_ok(driven: Driven) -> None:
    """It gets it, whether its compression is known to have ended or not."""
    compressed = Compressed(driven)

    said = driven.send(compressed.deflated(b"a UNAUTHENTICATE\r\n", zlib.Z_SYNC_FLUSH))

    assert compressed.inflated(said) == (b"a" + OK, b"")
    assert driven.send(PLAIN) == b""
    assert driven.given_back == PLAIN


def test_client_that_only_flushes_partially(driven: Driven) -> None:
    """Nothing tells where that ends: what comes after the OK is plain all the same."""
    compressed = Compressed(driven)

    said = driven.send(compressed.deflated(b"a UNAUTHENTICATE\r\n", zlib.Z_PARTIAL_FLUSH))

    assert compressed.inflated(said) == (b"a" + OK, b"")
    driven.send(b"b LOG", b"IN u pw\r\n" + b"c NOOP\r\n" * 10)
    assert driven.given_back is not None
    assert driven.given_back + b"".join(driven.left) == (  # type: ignore[arg-type]
        b"b LOGIN u pw\r\n" + b"c NOOP\r\n" * 10
    )


@pytest.mark.parametrize("end", [zlib.Z_FINISH, zlib.Z_SYNC_FLUSH])
def test_client_that_goes_on_compressing(driven: Driven, end: int) -> None:
    """What it means can't be told for sure: goodbye, in plain text, behind the OK."""
    compressed = Compressed(driven)

    said = driven.send(compressed.deflated(b"a UNAUTHENTICATE\r\nb LOGIN u pw\r\n", end))

    text, behind = compressed.inflated(said)
    assert text == b"a" + OK
    assert behind == b"* BYE [ALERT] Compressed data is damaged.\r\n"
    assert driven.ended
    assert driven.given_back is None


def test_client_that_ends_in_the_middle(driven: Driven) -> None:
    """Nobody is there to go back."""
    compressed = Compressed(driven)
    driven.send(compressed.deflated(b"a UNAUTHENTICATE\r\n", zlib.Z_SYNC_FLUSH))

    assert driven.close() == b""

    assert driven.given_back is None


def test_compression_asked_for_and_left_at_once(driven: Driven) -> None:
    """In one piece: the command behind COMPRESS is compressed already."""
    deflating = zlib.compressobj(wbits=-15)
    sent = deflating.compress(b"b UNAUTHENTICATE\r\n") + deflating.flush()

    said = driven.send(b"a COMPRESS DEFLATE\r\n" + sent + PLAIN)

    first, _, rest = said.partition(b"\r\n")
    assert first == b"a OK DEFLATE active."
    assert zlib.decompressobj(wbits=-15).decompress(rest) == b"b" + OK
    assert driven.given_back == PLAIN

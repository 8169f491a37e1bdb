"""The dialog runner: what it reads, and above all that it fails when a server departs from the dialog."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.client import Client, Connection
from tests.support.dialog import Conversation, Malformed, Mismatch, parse
from tests.support.servers import OURS, REAL, Implementation


class Scripted:
    """Stands for a server that has said all it will ever say, and hears nothing."""

    def __init__(self, says: bytes) -> None:
        self._ours, theirs = socket.socketpair()
        theirs.sendall(says)
        theirs.shutdown(socket.SHUT_WR)
        self._theirs = theirs
        self.client = Client(Connection(self._ours.fileno(), self._ours.fileno(), patience_s=5))

    def finish(self) -> bytes:
        rest = self.client.connection.rest()
        self._ours.close()
        self._theirs.close()
        return rest


Hold = Callable[..., None]


@pytest.fixture
def hold(maildir: Path) -> Hold:
    """Hold a dialog with a server that says these octets."""

    def held(text: str, says: bytes, implementation: Implementation = OURS) -> None:
        def start(*_arguments: object, **_options: object) -> Scripted:
            return Scripted(says)

        Conversation(parse(text, "test"), implementation, maildir, start).hold()  # type: ignore[arg-type]

    return held


def test_equal_lines_pass(hold: Hold) -> None:
    """A conversation that goes as written passes."""
    hold("C: a NOOP\nS: a OK done", b"a OK done\r\n")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("C: a NOOP\nS: a OK done", b"a OK other\r\n"),
        ("C: a NOOP\nS: a OK done", b"a OK done\n"),
        ("C: a NOOP\nS: a OK done", b""),
        ("C: a NOOP\nS: a OK done", b"a OK done\r\n* 1 EXISTS\r\n"),
        ("C: a NOOP\nS~ a OK \\d+", b"a OK 12 and more\r\n"),
        ("C: a NOOP\nrefused: a", b"a NO Error in IMAP command received by server.\r\n"),
        ("C: a NOOP\nS* b\nS* a", b"a\r\nc\r\n"),
        ("C: a NOOP\nS...\nS: a OK", b"x\r\ny\r\n"),
        ("C: a NOOP\nS: a OK\nclosed:", b"a OK\r\nmore\r\n"),
        ("C: a NOOP\nS: a OK\nexists: cur/*", b"a OK\r\n"),
        ("folder: INBOX.a\nC: a\nS: a OK\nmissing: .a", b"a OK\r\n"),
        ("setup: NOOP", b"t1 NO\r\n"),
    ],
)
def test_departure_is_a_mismatch(hold: Hold, text: str, says: bytes) -> None:
    """Another line, another line end, a missing or an additional line: each is found."""
    with pytest.raises(Mismatch):
        hold(text, says)


def test_lines_in_any_order(hold: Hold) -> None:
    """Adjacent S* lines are compared as a set, with nothing left out."""
    hold("C: a LIST\nS* b\nS* a\nS: a OK", b"a\r\nb\r\na OK\r\n")


def test_skipping(hold: Hold) -> None:
    """S... passes over lines up to the one that follows."""
    hold("C: a SELECT\nS...\nS: a OK", b"* 1\r\n* 2\r\na OK\r\n")


def test_kept_text_is_filled_in(hold: Hold) -> None:
    """What a named group matched stands for itself later."""
    hold("C: a\nS~ v (?P<v>\\d+)\nS: again $(v)", b"v 17\r\nagain 17\r\n")


def test_lines_for_one_server_only(hold: Hold) -> None:
    """A line that names a server is expected from that server alone."""
    text = "C: a\n# The RFC says so.\nours S: a BAD\ncourier S: a NO"

    hold(text, b"a BAD\r\n", OURS)
    hold(text, b"a NO\r\n", REAL)
    with pytest.raises(Mismatch):
        hold(text, b"a NO\r\n", OURS)


@pytest.mark.parametrize(
    "text",
    [
        "X: a",
        "nonsense: a",
        "| a line of no message",
        "C: a\nours S: a OK",
        "# why\nours S: a OK\nS: b OK\nours S: c OK",
        "only: ours",
    ],
)
def test_malformed_dialog(text: str) -> None:
    """Unknown lines are refused, and so is a difference that no comment explains."""
    with pytest.raises(Malformed):
        parse(text, "test")


def test_delivery(hold: Hold, maildir: Path) -> None:
    """Messages are put where they belong, with flags and date."""
    hold(
        "message: m\n| Subject: x\n|\n| y\ndeliver: INBOX m flags=S date=1000\nexists: cur/*:2,S",
        b"",
    )

    (name,) = os.listdir(maildir / "cur")
    assert (maildir / "cur" / name).read_bytes() == b"Subject: x\n\ny\n"
    assert (maildir / "cur" / name).stat().st_mtime == 1000

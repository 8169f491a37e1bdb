from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.imapd.driver import Driven
from tests.support.maildirs import deliver

pytestmark = pytest.mark.usefixtures("logged")

PLAIN = b"Subject: hello\nTo: a@example.com\n\nbody\n"


@pytest.fixture
def selected(maildir: Path, driven: Driven) -> Driven:
    """A session with three messages, not seen."""
    for number in range(3):
        deliver(maildir, PLAIN, number=number)
    driven.send(b"s SELECT INBOX\r\n")
    return driven


@pytest.mark.parametrize(
    ("name", "echo"),
    [
        ('"a\\"b"', b'"a\\"b"'),
        ('"a\\\\b"', b'"a\\\\b"'),
        ("{3+}\r\nx y", b'"x y"'),
        ('"a]b) {5}"', b'"a]b) {5}"'),
    ],
)
def test_field_name_that_is_repeated(selected: Driven, name: str, echo: bytes) -> None:
    """It is quoted in the response, whatever it is."""
    fetched, _ = selected.ask(f"a FETCH 1 BODY.PEEK[HEADER.FIELDS ({name})]")

    assert fetched.values == ((b"BODY[HEADER.FIELDS (%b)]" % echo, b"\r\n"),)


@pytest.mark.parametrize(
    ("partial", "octets"),
    [
        ("<0.4294967295>", b"Subject: hello\r\nTo: a@example.com\r\n\r\nbody\r\n"),
        ("<4294967295.4294967295>", b""),
        ("<4294967295>", b""),
        ("<9.5>", b"hello"),
        ("<9.0>", b""),
    ],
)
def test_partial(selected: Driven, partial: str, octets: bytes) -> None:
    """No sum of 32 bits overflows; nothing beyond the end is an error."""
    fetched, _ = selected.ask(f"a FETCH 1 BODY.PEEK[]{partial}")

    ((name, value),) = fetched.values  # type: ignore[misc]
    start = partial[1:-1].partition(".")[0]
    assert (name, value) == (f"BODY[]<{start}>".encode(), octets)


@pytest.mark.parametrize("part", ["9", "1.1.1", ".".join(["1"] * 128), "999999999"])
def test_part_that_is_not_there(selected: Driven, part: str) -> None:
    """An empty literal, and OK (Courier)."""
    fetched, completion = selected.ask(f"a FETCH 1 BODY.PEEK[{part}]")

    assert fetched.values == ((f"BODY[{part}]".encode(), b""),)
    assert completion.name == "OK"


@pytest.mark.parametrize("kind", ["link", "fifo", "directory", "closed"])
def test_message_file_that_is_none(selected: Driven, maildir: Path, kind: str) -> None:
    """Nothing is followed or waited for: this one is refused, the others are served."""
    if kind == "closed" and not os.geteuid():
        pytest.skip("root reads everything")
    path = sorted((maildir / "cur").iterdir())[1]
    path.rename(maildir / "kept")
    if kind == "link":
        path.symlink_to("/etc/passwd")
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    else:
        path.touch(mode=0o000)

    responses = selected.ask("a FETCH 1:3 (UID BODY.PEEK[])")

    assert [r.number for r in responses if r.name == "FETCH"] == [1, 3]
    assert b"root:" not in selected.output
    assert responses[-1].name == "OK"


def test_seen_is_told_with_the_message(selected: Driven) -> None:
    """Behind its line, with the UID where the command goes by UID (RFC 9051 6.4.9)."""
    lines = [r.line for r in selected.ask("a UID FETCH 2 BODY[TEXT]")]

    assert lines == [
        "* 2 FETCH (UID 2 BODY[TEXT] {6}\r\nbody\r\n)",
        "* 2 FETCH (UID 2 FLAGS (\\Seen \\Recent))",
        "a OK FETCH completed.",
    ]
    assert len(selected.ask("b UID FETCH 2 BODY[TEXT]")) == 2


def test_many_messages_in_pieces(maildir: Path, driven: Driven) -> None:
    """Flags of a large mailbox come in several pieces: others have their turn in between."""
    for number in range(1200):
        deliver(maildir, b"x\n", number=number, flags="S")
    driven.send(b"s SELECT INBOX\r\n")
    before = len(driven.written)

    responses = driven.ask("a FETCH 1:* (UID FLAGS)")

    assert [r.number for r in responses[:-1]] == list(range(1, 1201))
    assert max(len(piece) for piece in driven.written[before:]) < 50_000

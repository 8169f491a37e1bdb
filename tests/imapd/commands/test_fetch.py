from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from courier.maildir.folder import Folder
from tests.imapd.conftest import Log
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
        ('""', b'""'),
        ("{6+}\r\nx\r\n* y", b"{6}\r\nx\r\n* y"),
        ('"ä"', b"{2}\r\n\xc3\xa4"),
    ],
)
def test_field_name_that_is_repeated(selected: Driven, name: str, echo: bytes) -> None:
    """It is a string in the response, whatever it is (RFC 9051 9: header-fld-name)."""
    fetched, _ = selected.ask(f"a FETCH 1 BODY.PEEK[HEADER.FIELDS ({name})]")

    assert fetched.values == ((b"BODY[HEADER.FIELDS (%b)]" % echo, b"\r\n"),)


@pytest.mark.parametrize(
    ("partial", "octets"),
    [
        ("<0.4294967295>", b"Subject: hello\r\nTo: a@example.com\r\n\r\nbody\r\n"),
        ("<4294967295.4294967295>", b""),
        ("<9223372036854775807.9223372036854775807>", b""),
        ("<9.5>", b"hello"),
    ],
)
def test_partial(selected: Driven, partial: str, octets: bytes) -> None:
    """No sum of 63 bits overflows; nothing beyond the end is an error."""
    fetched, _ = selected.ask(f"a FETCH 1 BODY.PEEK[]{partial}")

    ((name, value),) = fetched.values  # type: ignore[misc]
    start = partial[1:-1].partition(".")[0]
    assert (name, value) == (f"BODY[]<{start}>".encode(), octets)


@pytest.mark.parametrize(
    ("item", "octets"),
    [
        ("BODY.PEEK[]", b"Subject: a\x80b\r\nX: y\r\n\r\n\x80\r\n"),
        ("BODY.PEEK[]<10.3>", b"\x80b\r"),
        ("RFC822.HEADER", b"Subject: a\x80b\r\nX: y\r\n\r\n"),
        ("BODY.PEEK[HEADER.FIELDS (Subject)]", b"Subject: a\x80b\r\n\r\n"),
        ("BODY.PEEK[HEADER.FIELDS (X)]", b"X: y\r\n\r\n"),
        ("BODY.PEEK[1]", b"\x80\r\n"),
        ("BINARY.PEEK[1]", b"\0\r\n"),
    ],
)
def test_nul(maildir: Path, driven: Driven, item: str, octets: bytes) -> None:
    """No literal has one; another octet stands in its place, but for who asks for binary content."""
    deliver(maildir, b"Subject: a\0b\nX: y\n\n\0\n", number=1)
    driven.send(b"s SELECT INBOX\r\nt FETCH 1 BODY\r\n")

    fetched, _ = driven.ask(f"a FETCH 1 {item}")

    ((_, value),) = fetched.values  # type: ignore[misc]
    assert value == octets


@pytest.mark.parametrize("part", ["9", "1.1.1", ".".join(["1"] * 128), "4294967295"])
def test_part_that_is_not_there(selected: Driven, part: str) -> None:
    """NIL, and OK (RFC 9051 4.5). Courier: an empty literal."""
    fetched, completion = selected.ask(f"a FETCH 1 BODY.PEEK[{part}]")

    assert fetched.values == ((f"BODY[{part}]".encode(), None),)
    assert completion.name == "OK"


@pytest.mark.parametrize("kind", ["link", "fifo", "directory", "closed"])
def test_message_file_that_is_none(selected: Driven, maildir: Path, kind: str, logged: Log) -> None:
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
    assert any(f", filename={path}: " in line for line in logged.lines)


def test_seen_is_told_with_the_message(selected: Driven) -> None:
    """In its response, behind what was asked for (RFC 9051 6.4.5), and only when it is news."""
    lines = [r.line for r in selected.ask("a UID FETCH 2 BODY[TEXT]")]

    assert lines == [
        "* 2 FETCH (UID 2 BODY[TEXT] {6}\r\nbody\r\n FLAGS (\\Seen \\Recent))",
        "a OK FETCH completed.",
    ]
    again, _ = selected.ask("b UID FETCH 2 BODY[TEXT]")
    assert again.line == "* 2 FETCH (UID 2 BODY[TEXT] {6}\r\nbody\r\n)"


def test_flags_that_change_while_they_are_asked_for(selected: Driven) -> None:
    """They are told once, as they are afterwards; in the order asked for, if they do not change."""
    first, _ = selected.ask("a FETCH 2 (FLAGS BODY[TEXT]<0.1> UID)")
    again, _ = selected.ask("b FETCH 2 (FLAGS BODY[TEXT]<0.1> UID)")

    assert first.line == "* 2 FETCH (BODY[TEXT]<0> {1}\r\nb UID 2 FLAGS (\\Seen \\Recent))"
    assert again.line == "* 2 FETCH (FLAGS (\\Seen \\Recent) BODY[TEXT]<0> {1}\r\nb UID 2)"


def test_seen_with_modseq(selected: Driven) -> None:
    """A change that was not asked for has UID and MODSEQ (RFC 7162 3.2); one that was, the new MODSEQ."""
    selected.ask("e ENABLE CONDSTORE")
    (status,) = (r for r in selected.ask("s STATUS INBOX (HIGHESTMODSEQ)") if r.name == "STATUS")
    before = status.values[-1]["HIGHESTMODSEQ"]  # type: ignore[index]

    first = dict(selected.ask("a FETCH 2 BODY[TEXT]")[0].values)  # type: ignore[arg-type]
    second = dict(selected.ask("b FETCH 3 (MODSEQ BODY[TEXT])")[0].values)  # type: ignore[arg-type]

    assert first.keys() == {b"BODY[TEXT]", b"UID", b"FLAGS", b"MODSEQ"}
    assert second.keys() == {b"BODY[TEXT]", b"UID", b"FLAGS", b"MODSEQ"}
    assert before < first[b"MODSEQ"] < second[b"MODSEQ"]


def test_seen_that_can_not_be_stored(selected: Driven, monkeypatch: pytest.MonkeyPatch) -> None:
    """The response is whole, with the flags that there are; then the command fails."""

    def refuse(*_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Folder, "change_flags", refuse)

    fetched, completion = selected.ask("a FETCH 2 (FLAGS BODY[TEXT])")

    assert fetched.line == "* 2 FETCH (BODY[TEXT] {6}\r\nbody\r\n FLAGS (\\Recent))"
    assert completion.name == "NO"


def _large() -> bytes:
    """Text, an embedded message with two parts, and a large attachment with odd line ends."""
    inner = (
        b"Subject: inner\nContent-Type: multipart/mixed; boundary=in\n\n"
        b"--in\n\none\n--in\nContent-Type: text/html\n\ntwo\r\n--in--\n"
    )
    return (
        b"Subject: outer\nFrom: a@b\nContent-Type: multipart/mixed; boundary=out\n\npreamble\n"
        b"--out\nContent-Description: text\n\nhello\n--out\nContent-Type: message/rfc822\n\n"
        + inner
        + b"--out\nContent-Type: application/x\n\n"
        + b"abc\r\ndef\n\rghi" * 20_000
        + b"\n--out--\nepilogue\n"
    )


@pytest.mark.parametrize(
    "item",
    [
        *("BODY.PEEK[1]", "BODY.PEEK[1.MIME]", "BODY.PEEK[2]", "BODY.PEEK[2.HEADER]"),
        *("BODY.PEEK[2.2]", "BODY.PEEK[2.TEXT]", "BODY.PEEK[2.2.MIME]", "BODY.PEEK[3]"),
        *("BODY.PEEK[3]<0.10>", "BODY.PEEK[3]<123456.7890>", "BODY.PEEK[3]<9999999.1>"),
        *("BODY.PEEK[4]", "BODY.PEEK[3.1]", "BODY.PEEK[HEADER]", "BODY.PEEK[TEXT]<100.5000>"),
        *("BODY.PEEK[]", "BODY.PEEK[]<200000.70000>", "RFC822.HEADER", "BODY.PEEK[1.HEADER]"),
        *("BODY.PEEK[2.HEADER.FIELDS (subject)]", "BODY.PEEK[HEADER.FIELDS.NOT (subject)]"),
        *("(UID INTERNALDATE BODY.PEEK[1])", "(BODY.PEEK[1] ENVELOPE)", "(BODY.PEEK[2] FLAGS)"),
    ],
)
def test_part_of_large_message(
    maildir: Path, driven: Driven, item: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once its structure is known, nothing else of it is read, and the answer is the same."""
    deliver(maildir, _large(), number=1)
    line = f"a FETCH 1 {item}\r\n".encode()
    expected = driven.send(b"s SELECT INBOX\r\n", line).partition(b"s OK")[2]
    driven.send(b"b FETCH 1 BODY\r\n")
    driven.session.opened = None
    if "ENVELOPE" not in item:
        monkeypatch.setattr(Folder, "read", None)

    assert driven.send(line) == expected.partition(b"\r\n")[2]
    assert driven.send(line) == expected.partition(b"\r\n")[2]


def test_part_of_large_message_sets_seen(maildir: Path, driven: Driven) -> None:
    deliver(maildir, _large(), number=1)
    driven.send(b"s SELECT INBOX\r\n", b"b FETCH 1 BODY\r\n")

    lines = driven.send(b"a FETCH 1 BODY[1]\r\n").split(b"\r\n")

    assert lines == [
        *(b"* 1 FETCH (BODY[1] {5}", b"hello FLAGS (\\Seen \\Recent))"),
        *(b"a OK FETCH completed.", b""),
    ]


def test_many_messages_in_pieces(maildir: Path, driven: Driven) -> None:
    """Flags of a large mailbox come in several pieces: others have their turn in between."""
    for number in range(1200):
        deliver(maildir, b"x\n", number=number, flags="S")
    driven.send(b"s SELECT INBOX\r\n")
    before = len(driven.written)

    responses = driven.ask("a FETCH 1:* (UID FLAGS)")

    assert [r.number for r in responses[:-1]] == list(range(1, 1201))
    assert max(len(piece) for piece in driven.written[before:]) < 50_000

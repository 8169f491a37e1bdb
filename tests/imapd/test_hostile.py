"""Inputs that have broken mail servers, each class of them: what is spent, said, and left behind."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import pytest

from tests.imapd.conftest import Drive, Log
from tests.imapd.driver import Driven
from tests.imapd.responses import read
from tests.support.maildirs import deliver, message_files

pytestmark = pytest.mark.usefixtures("logged")

NOOP = b"zz NOOP\r\n"
NOOP_OK = b"zz OK NOOP completed\r\n"
#: What a header may hold to get out of its place in a response.
INJECTIONS = [
    b'x"y',
    b"x\\",
    b'\\"',
    b'x\\") {5}',
    b"x\r* BYE forged",
    b"x\x00y",
    b"x) BODY[] {3}",
    b"\xff\xfe",
    b"=?utf-8?q?a=0D=0A*_BYE_forged?=",
    b"=?utf-8?q?a=00b=22=5C?=",
    b"=?utf-16?b?DQAKACoA?=",
    b"{9}",
    b"(",
    b"NIL",
]


@pytest.fixture
def selected(maildir: Path, driven: Driven) -> Driven:
    """A session with three messages."""
    for number in range(3):
        deliver(maildir, b"Subject: hello\n\nbody\n", number=number, flags="")
    driven.send(b"s SELECT INBOX\r\n")
    return driven


# -- memory and work before anything is understood ---------------------------------------------

ENDLESS = [
    b"x",
    b"(",
    b"a SEARCH ((((",
    b"NOT ",
    b'"',
    b'\\"',
    pytest.param(b" {0+}\r\n", marks=pytest.mark.slow),  # a thousand literals
    b"{9}\r\n",
    b"1,",
    b"\r",
    b"\x00",
    b"{",
]


@pytest.mark.parametrize("piece", ENDLESS)
def test_memory_for_input_without_end(driven: Driven, piece: bytes) -> None:
    """Several times what a command may have leaves no more behind than one command."""
    block = b"a SEARCH " + piece * (600_000 // len(piece))
    tracemalloc.start()
    try:
        for at in range(0, len(block), 16_384):
            driven.send(block[at : at + 16_384])
            if driven.ended:
                break
        driven.output = b""
        driven.written.clear()
        driven.requests.clear()
        held = tracemalloc.get_traced_memory()[0] - len(block)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert held < 1_000_000
    assert peak < 12_000_000
    assert len(driven.session.connection.reader.unread()) <= 131_072 + 16_384


@pytest.mark.parametrize("size", [b"2147483648", b"4294967297", b"9223372036854775808", b"9" * 30])
@pytest.mark.parametrize("command", [b"SELECT", b"APPEND INBOX", b"NOOP", b"X", b"SEARCH TEXT"])
@pytest.mark.parametrize("plus", [b"", b"+"])
def test_memory_for_what_is_only_announced(
    drive: Drive, command: bytes, size: bytes, plus: bytes
) -> None:
    """Nothing is allocated by the number a client names."""
    driven = drive(IMAP_MAX_APPEND="1000000")
    tracemalloc.start()
    try:
        driven.send(b"a %b {%b%b}\r\n" % (command, size, plus))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 1_000_000
    assert driven.ended == bool(plus)


@pytest.mark.parametrize("count", [1, 1000, 131_000])
def test_nesting(driven: Driven, count: int) -> None:
    """Parentheses, brackets, quotes and NOTs as deep as a line: refused, without recursion."""
    for text in (b"(", b"NOT ", b"OR ALL ", b"[", b"((()"):
        for command in (b"SEARCH ", b"FETCH 1 ", b"ID ", b"STATUS INBOX ", b"STORE 1 FLAGS "):
            line = (b"a " + command + text * count)[:130_000] + b"\r\n"
            responses = read(driven.send(line + NOOP))
            assert [response.tag for response in responses] == [b"a", b"zz"], line[:60]
            assert responses[0].name == "BAD", line[:60]


@pytest.mark.parametrize(
    "arguments",
    [
        "FETCH 1 (" + "UID " * 6000 + "UID)",
        "FETCH 1 BODY[" + "1." * 1000 + "1]",
        "FETCH 1 BODY[HEADER.FIELDS (" + "a " * 6000 + "a)]",
        "STATUS INBOX (" + "MESSAGES " * 6000 + "MESSAGES)",
        "STORE 1 FLAGS (" + "a " * 6000 + "a)",
        "ID (" + '"a" "b" ' * 6000 + ")",
        "SEARCH HEADER",
    ],
)
def test_too_many(selected: Driven, arguments: str) -> None:
    """Lists have an end; one beyond is refused as a whole."""
    (completion,) = selected.ask(f"a {arguments}")

    assert completion.name == "BAD"
    assert selected.send(NOOP) == NOOP_OK


@pytest.mark.parametrize("part", ["1", "1:*", "*:1", "2:2"])
def test_many_times_the_same_message(selected: Driven, part: str) -> None:
    """Each is answered once: what is said follows the mailbox, not the set."""
    which = ",".join([part] * 20_000)
    for command in ("FETCH", "UID FETCH"):
        responses = selected.ask(f"a {command} {which} FLAGS")
        assert len(responses) <= 4
        assert responses[-1].name == "OK"


def test_client_that_sends_and_never_reads(driven: Driven) -> None:
    """Output is given up step by step, so that a driver can stop reading: one command, one step."""
    sizes: list[int] = []
    driven.after = lambda step: sizes.append(len(driven.session.connection.reader.unread()))

    driven.send(b"".join(b"%d CAPABILITY\r\n" % number for number in range(1000)))

    assert sizes == sorted(sizes, reverse=True)  # nothing is read while output waits
    assert len(set(sizes)) > 900


# -- what comes back ---------------------------------------------------------------------------


@pytest.mark.parametrize("utf8", [False, True])
@pytest.mark.parametrize("text", INJECTIONS)
def test_message_that_answers_for_itself(
    maildir: Path, drive: Drive, text: bytes, utf8: bool
) -> None:
    """Whatever a message holds stays inside its strings, in every item, and next to other messages."""
    message = (
        b"From: %b <%b@%b>\nTo: %b:;\nSubject: %b\nMessage-ID: %b\nIn-Reply-To: %b\nDate: %b\n"
        b'MIME-Version: 1.0\nContent-Type: multipart/%b; boundary=b; x="%b"; %b=y\n'
        b"Content-Language: %b\nContent-Location: %b\n\n--b\n"
        b'Content-Type: %b/%b; name="%b"; name*=%b\nContent-ID: %b\nContent-Description: %b\n'
        b"Content-Transfer-Encoding: %b\nContent-Disposition: %b; filename=%b\nContent-MD5: %b\n"
        b"\n%b\n--b\nContent-Type: message/rfc822\n\nSubject: %b\nFrom: %b\n\n%b\n--b--\n"
    )
    message %= (text,) * message.count(b"%b")
    deliver(maildir, message, number=1, flags="")
    deliver(maildir, b"Subject: plain\n\nx\n", number=2, flags="")
    driven = drive()
    if utf8:
        driven.ask("s ENABLE UTF8=ACCEPT")
    driven.send(b"s SELECT INBOX\r\n")

    responses = driven.ask(
        "a FETCH 1:2 (ENVELOPE BODY BODYSTRUCTURE BODY.PEEK[] BODY.PEEK[HEADER] BODY.PEEK[1.MIME]"
        " BODY.PEEK[HEADER.FIELDS (Subject)] BODY.PEEK[2.HEADER] RFC822.SIZE UID)"
    )

    assert [(r.tag, r.number) for r in responses] == [(b"*", 1), (b"*", 2), (b"a", 0)]


def test_message_that_is_nothing_but_noise(maildir: Path, driven: Driven) -> None:
    """Files of any octets are served, searched and copied."""
    noise = [b"", b"\n", b"\x00" * 1000, bytes(range(256)) * 20, b":" * 5000, b"--b\n" * 2000]
    for number, message in enumerate(noise):
        deliver(maildir, message, number=number, flags="")
    driven.send(b"s SELECT INBOX\r\n")

    for command in (
        "FETCH 1:* FULL",
        "FETCH 1:* (BODYSTRUCTURE BODY[1] BODY[1.1.1] BODY[TEXT]<0.5>)",
        'SEARCH OR SUBJECT "x" OR BODY "x" TEXT "x"',
        "SEARCH OR SENTBEFORE 1-Jan-2020 HEADER x y",
        "COPY 1:* INBOX",
    ):
        assert driven.ask(f"a {command}")[-1].name == "OK", command


# -- names and the log -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "octets",
    [b"\x00", b"\r", b"\x7f", b"\x80", b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"],
)
@pytest.mark.parametrize(
    "place", [b"%b", b"a%b NOOP", b"a %b", b"a NO%bOP", b"a SELECT %b", b"a SELECT INBOX%b"]
)
def test_octets_that_belong_nowhere(driven: Driven, place: bytes, octets: bytes) -> None:
    """In a tag, a command, a name: refused, not cut off there, and never sent back."""
    line = place % octets
    responses = read(driven.send(line + b"\r\n" + NOOP))

    if line in (b"\r", b"a SELECT INBOX\r"):  # a CR before CRLF is white space at most
        return
    assert [response.name for response in responses] == ["BAD", "OK"]
    assert octets == b"\r" or octets not in driven.output


def test_quoted_octets_that_belong_nowhere(driven: Driven, maildir: Path) -> None:
    """The same in quotes and literals; no directory appears."""
    before = sorted(os.listdir(maildir))
    for octets in (b"\x00", b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", "é".encode()):
        for name in (b'"INBOX.%b"' % octets, b"{%d+}\r\nINBOX.%b" % (6 + len(octets), octets)):
            completion = read(driven.send(b"a CREATE " + name + b"\r\n"))[-1]
            assert completion.name in ("BAD", "NO")
    assert sorted(os.listdir(maildir)) == before


def test_nothing_a_client_sends_begins_a_line_of_the_log(
    selected: Driven, maildir: Path, logged: Log
) -> None:
    """Names, flags, arguments: what is logged of them is on the line that is logged."""
    forged = b"x\r\nINFO: LOGIN, user=root, ip=[192.0.2.66], port=[1]"
    literal = b"{%d+}\r\n%b" % (len(forged), forged)
    for command in (b"SELECT", b"CREATE", b"SUBSCRIBE", b"SEARCH TEXT", b"COPY 1", b"ID (%b NIL)"):
        argument = command % literal if b"%b" in command else command + b" " + literal
        selected.send(b"a " + argument + b"\r\n")
    hostile = maildir / "cur" / "1700000009.M1P1.test\nINFO: LOGIN, user=root:2,T"
    hostile.write_bytes(b"x\n")
    selected.send(b"b NOOP\r\nb EXPUNGE\r\n")

    assert not [line for line in logged.lines if line.startswith("INFO: LOGIN")]


def test_file_name_with_a_line_end(maildir: Path, driven: Driven) -> None:
    """A message file whose name would be two lines of the UID database is no message."""
    (maildir / "cur" / "1700000009.M1P1.a\n2 b:2,").write_bytes(b"x\n")
    deliver(maildir, b"x\n", number=1, flags="")

    responses = read(driven.send(b"a SELECT INBOX\r\n"))

    assert [r.number for r in responses if r.name == "EXISTS"] == [1]


# -- nothing is left ---------------------------------------------------------------------------


@pytest.mark.parametrize("at", range(0, 60, 7))
def test_append_cut_off_anywhere(maildir: Path, driven: Driven, at: int) -> None:
    """A connection that ends within an APPEND leaves neither message nor file."""
    driven.send((b"a APPEND INBOX (\\Seen kw) {23+}\r\nSubject: hello\r\n\r\nbody\r\n")[:at])
    driven.close()

    assert message_files(maildir) == {}
    assert os.listdir(maildir / "tmp") == []

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.imapd.driver import Driven
from tests.imapd.responses import read
from tests.support.maildirs import deliver

pytestmark = pytest.mark.usefixtures("logged")


@pytest.fixture
def selected(maildir: Path, driven: Driven) -> Driven:
    """A session with three messages."""
    for number in range(3):
        deliver(maildir, b"Subject: %d\n\nbody\n" % number, number=number, flags="S" * (number % 2))
    driven.send(b"s SELECT INBOX\r\n")
    return driven


def found(driven: Driven, keys: str) -> list[object] | str:
    """The numbers found, or the status of a refusal."""
    responses = driven.ask(f"a SEARCH {keys}")
    return list(responses[0].values) if responses[0].name == "SEARCH" else responses[-1].name


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("*", [3]),
        ("*:2", [2, 3]),
        ("3:1", [1, 2, 3]),
        ("9:*", [3]),
        ("UID *", [3]),
        ("UID 9:*", [3]),
        ("UID 4294967295", []),
        ("UID 1:4294967295 2", [2]),
        ("NOT NOT SEEN", [2]),
        ("OR SEEN OR 1 3", [1, 2, 3]),
        ("(SEEN) (2)", [2]),
        ("LARGER 4294967295", []),
        ("SMALLER 0", []),
    ],
)
def test_keys(selected: Driven, keys: str, expected: list[object]) -> None:
    assert found(selected, keys) == expected


@pytest.mark.parametrize("key", ["BODY", "TEXT"])
def test_empty_string_is_in_every_message(maildir: Path, driven: Driven, key: str) -> None:
    """Also in one without text."""
    deliver(maildir, b"Content-Type: image/png\n\nx\n", number=0)
    deliver(maildir, b"Subject: a\n", number=1)
    driven.send(b"s SELECT INBOX\r\n")

    assert found(driven, f'{key} ""') == [1, 2]
    assert found(driven, f'NOT {key} ""') == []


@pytest.mark.parametrize(
    "keys",
    [
        "",
        "()",
        "NOT",
        "OR SEEN",
        "(SEEN",
        "SEEN)",
        "0",
        "FOO",
        "UID",
        "SUBJECT",
        "BEFORE x",
        "LARGER 9223372036854775808",
        "RETURN (FOO) ALL",
        "RETURN ALL",
        "$ 1,$",
        "KEYWORD \\Seen",
        "1,",
        "HEADER x",
    ],
)
def test_no_keys(selected: Driven, keys: str) -> None:
    assert found(selected, keys) == "BAD"


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (" ".join(["ALL"] * 1000), [1, 2, 3]),
        (" ".join(["ALL"] * 1001), "NO"),
        ("NOT " * 200 + "SEEN", [2]),
        ("NOT " * 201 + "SEEN", "NO"),
        ("NOT " * 40_000 + "SEEN", "BAD"),
        ("(" * 200 + "SEEN" + ")" * 200, [2]),
        ("(" * 201 + "SEEN" + ")" * 201, "NO"),
        ("(" * 100_000, "NO"),
        ("OR SEEN " * 200 + "SEEN", [2]),
        ("OR " * 200 + "SEEN " * 201, [2]),
        ("OR " * 60_000 + "SEEN", "BAD"),
        ("(ALL " * 199 + "SEEN" + ")" * 199, [2]),
        ("NOT (NOT (" * 50 + "SEEN" + "))" * 50, [2]),
        ("(OR 1 " * 100 + "SEEN" + ")" * 100, [1, 2]),
    ],
)
def test_limits(selected: Driven, keys: str, expected: object) -> None:
    """As many keys and as deep as allowed is served, one more is refused, and nothing recurses.

    NO [LIMIT], for nothing is wrong with the command (RFC 5530 3), unless its line is too long.
    """
    assert found(selected, keys) == expected
    if expected == "NO":
        assert selected.ask(f"a SEARCH {keys}")[-1].code == "LIMIT"
    assert selected.ask("b NOOP")[-1].name == "OK"


def test_many_numbers(selected: Driven) -> None:
    """A set of 64 kB costs its own length once, not once for each message."""
    assert found(selected, ",".join(["4294967295:*"] * 5000)) == [3]
    assert found(selected, ",".join(str(number) for number in range(10_000, 25_000))) == []


@pytest.mark.parametrize("charset", ["X-NONE", "idna", "base64", "rot13", "undefined", "zlib", '"'])
def test_charset_that_is_none(selected: Driven, charset: str) -> None:
    """NO [BADCHARSET]: no codec of Python's that is no charset can be named."""
    (completion,) = selected.ask(f"a SEARCH CHARSET {charset} ALL")

    assert completion.name == ("BAD" if charset == '"' else "NO")
    assert completion.code == ("" if charset == '"' else "BADCHARSET")


@pytest.mark.parametrize("charset", ["utf-8", "ISO-8859-1", "utf-7", "utf-16", "iso-2022-jp"])
def test_text_that_is_not_of_its_charset(selected: Driven, charset: str) -> None:
    """NO [BADCHARSET], or what is left of it is searched for; no octets are too odd."""
    for text in (b"\xff\xfe\xfd", b"+", b"\x1b$B", b"\x00\xd8"):
        literal = b"~{%d+}\r\n%b" % (len(text), text)
        sent = selected.send(
            b"a SEARCH CHARSET " + charset.encode() + b" TEXT " + literal + b"\r\n"
        )
        assert sent.endswith(
            (
                b"a OK SEARCH done.\r\n",
                b"a NO [BADCHARSET] Error in IMAP command received by server.\r\n",
            )
        )


@pytest.mark.parametrize("text", [b'"M\xfcnchen"', b"{7+}\r\nM\xfcnchen"])
@pytest.mark.parametrize("key", [b"BODY", b"SUBJECT", b"TEXT", b"HEADER X", b"NOT BODY"])
def test_text_in_no_charset_that_was_named(selected: Driven, key: bytes, text: bytes) -> None:
    """It is no mistake of grammar: JavaMail does so, and searches by itself when it is told NO."""
    sent = selected.send(b"a SEARCH " + key + b" " + text + b" ALL\r\n")

    assert sent == b"a NO [BADCHARSET] Error in IMAP command received by server.\r\n"
    assert selected.ask("b NOOP")[-1].name == "OK"


@pytest.mark.parametrize("seconds", [-(1 << 31), (1 << 34), 253_402_300_800, 1 << 40, 1 << 55])
def test_file_of_an_impossible_time(selected: Driven, maildir: Path, seconds: int) -> None:
    """Whatever the file system has, a search by date, and a FETCH of it, ends well."""
    path = sorted((maildir / "cur").iterdir())[0]
    try:
        os.utime(path, (seconds, seconds))
    except OSError:
        pytest.skip("not on this file system")
    selected.ask("b NOOP")

    assert isinstance(found(selected, "SINCE 1-Jan-1990"), list)
    assert selected.ask("c FETCH 1 INTERNALDATE")[-1].name == "OK"


@pytest.mark.parametrize(
    "command",
    [
        *("FETCH $ UID", "UID FETCH $ FLAGS", "STORE $ +FLAGS (kw)", "UID STORE $ +FLAGS (kw)"),
        *("COPY $ INBOX", "UID COPY $ INBOX", "MOVE $ Trash", "UID MOVE $ Trash"),
        *("UID EXPUNGE $", "SEARCH $", "UID SEARCH UID $", "SORT (DATE) utf-8 $"),
    ],
)
def test_saved_result(selected: Driven, command: str) -> None:
    """RFC 5182 2.1: ``$`` is a set for every command, and may be empty."""
    command = command.replace("Trash", "INBOX.x")
    selected.ask("c CREATE INBOX.x")
    assert selected.ask(f"a {command}")[-1].name == "OK"

    selected.ask("b SEARCH RETURN (SAVE) 2")
    responses = selected.ask(f"a {command}")

    assert responses[-1].name == "OK"
    told = b"".join(response.raw for response in responses)
    assert b"2" in told or "EXPUNGE" in command
    assert b"* 1 FETCH" not in told and b"* 3 FETCH" not in told


def test_saved_result_follows_the_messages(selected: Driven) -> None:
    """What is expunged is no longer in it, and the others keep their place."""
    selected.ask("a SEARCH RETURN (SAVE) 2:3")
    selected.ask("b STORE 1:2 +FLAGS (\\Deleted)")
    selected.ask("c EXPUNGE")

    assert selected.ask("d SEARCH $")[0].values == (1,)
    assert selected.ask("e UID SEARCH $")[0].values == (3,)


@pytest.mark.parametrize(
    ("value", "needle"),
    [
        ('"Doe, John" <john@x>', '\\"Doe, J'),
        ('"Doe, John" <john@x>', "Doe, John <john@x>"),
        ("<john@x>", "<john@x>"),
        ("john@x (John Doe)", "(john doe)"),
        ("john@x (John Doe)", "john doe <john@x>"),
        ("friends: john@x, ann@y;", "friends: john@x"),
        ("=?utf-8?Q?J=C3=B6?= <john@x>", "j\u00f6 <john"),
    ],
)
@pytest.mark.parametrize("count", [1, 1100])
def test_addresses(maildir: Path, driven: Driven, value: str, needle: str, count: int) -> None:
    """RFC 9051 6.4.4: HEADER looks at the field's text, FROM at what ENVELOPE tells; here both do."""
    if count > 1:  # then all texts of the folder are one
        for number in range(count):
            name = f"{1_600_000_000 + number}.M{number}P1.mx:2,S"
            (maildir / "cur" / name).write_bytes(b"From: nobody\n\n")
    deliver(maildir, f"From: {value}\n\n".encode(), number=1, flags="")
    driven.send(b"s SELECT INBOX\r\n")

    for key in ("FROM", "HEADER From", "TEXT"):
        literal = needle.replace("\\", "").encode()
        command = b"a SEARCH %b {%d+}\r\n%b\r\n" % (key.encode(), len(literal), literal)
        responses = read(driven.send(command))
        assert responses[0].values == (count + (count > 1),), key


@pytest.mark.parametrize("command", ["SORT (DATE)", "THREAD REFERENCES"])
@pytest.mark.parametrize("charset", ["ALL", "NOSUCH"])
def test_charset_alone(selected: Driven, command: str, charset: str) -> None:
    """Where criteria lack, that is what is wrong, whatever the character set."""
    assert selected.ask(f"a {command} {charset}")[-1].name == "BAD"

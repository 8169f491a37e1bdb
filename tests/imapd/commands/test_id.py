from __future__ import annotations

import pytest

from tests.imapd.conftest import Drive, Log
from tests.imapd.driver import Driven


def pairs(count: int) -> str:
    return "(" + " ".join(f'"n{number}" "v"' for number in range(count)) + ")"


@pytest.mark.parametrize(
    ("argument", "name"),
    [
        ("NIL", "OK"),
        ("nil", "OK"),
        (pairs(1), "OK"),
        (pairs(30), "OK"),
        ('("n" NIL)', "OK"),
        ('("' + "n" * 30 + '" "' + "v" * 1024 + '")', "OK"),
        (pairs(31), "BAD"),
        (pairs(4000), "BAD"),
        ('("' + "n" * 31 + '" "v")', "BAD"),
        ('("n" "' + "v" * 1025 + '")', "BAD"),
        ('("n")', "BAD"),
        ('("n" "v" "m")', "BAD"),
        ("(n v)", "BAD"),
        ('(NIL "v")', "BAD"),
        ('"x"', "BAD"),
        ("", "BAD"),
        ("NIL NIL", "BAD"),
        ('("n" ("v"))', "BAD"),
    ],
)
def test_limits(driven: Driven, argument: str, name: str) -> None:
    """RFC 2971 3.3: 30 fields, names of 30 octets, values of 1024."""
    assert driven.ask(f"a ID {argument}")[-1].name == name
    assert driven.ask("b NOOP")[-1].name == "OK"


def test_logged_on_one_line(driven: Driven, logged: Log) -> None:
    """Whatever a client says of itself, it writes no line of its own, and nothing is repeated."""
    value = b"1.0\r\nINFO: LOGIN, user=root, ip=[127.0.0.1]\r\n\x1b[2J\xff"
    sent = driven.send(b'a ID ("name" {%d+}\r\n%b "x\\"y" NIL)\r\n' % (len(value), value))

    assert sent.endswith(b"a OK ID completed\r\n")
    assert b"LOGIN" not in sent
    (line,) = logged.lines
    assert line.startswith("INFO: ID, user=user, ip=[192.0.2.1], port=[40000], name=1.0\\x0d\\x0a")
    assert line.endswith(', x"y=(nil)')
    assert line.isprintable()


def test_not_switched_on(drive: Drive) -> None:
    """Courier: without the setting there is no such command."""
    driven = drive(IMAP_ID_FIELDS=None)

    assert driven.ask("a ID NIL")[-1].name == "BAD"

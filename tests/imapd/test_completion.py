from __future__ import annotations

import errno

import pytest

from courier.maildir.lock import LockTimeout
from imapd.completion import (
    Bad,
    CommandFailed,
    Completion,
    InvalidArgument,
    No,
    Ok,
    Violation,
    code_of,
)
from tests.imapd.responses import read


@pytest.mark.parametrize(
    ("completion", "line"),
    [
        (Ok("Done."), b"a1 OK Done.\r\n"),
        (No("Message is too large.", "TOOBIG"), b"a1 NO [TOOBIG] Message is too large.\r\n"),
        (Bad("Invalid command"), b"a1 BAD Invalid command\r\n"),
    ],
)
def test_line(completion: Completion, line: bytes) -> None:
    assert completion.line(b"a1") == line


@pytest.mark.parametrize("octets", ["\r\n* BYE forged", "\n", "\r", "\0", "\x1b[2J", "\x7f"])
def test_line_is_one_line(octets: str) -> None:
    """Whatever got into its text, it ends no line and says nothing of its own."""
    (response,) = read(No(f"Access denied on {octets}!").line(b"a1"))

    assert response.name == "NO"
    assert response.line.isprintable()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        *((errno.EACCES, "NOPERM"), (errno.EDQUOT, "OVERQUOTA"), (errno.ENAMETOOLONG, "LIMIT")),
        *((errno.EEXIST, "ALREADYEXISTS"), (errno.EIO, ""), (None, "")),
    ],
)
def test_code_of_a_system_error(error: int | None, code: str) -> None:
    """RFC 5530."""
    assert code_of(OSError(error, "text")) == code
    assert code_of(LockTimeout(errno.EAGAIN, "text")) == "INUSE"


@pytest.mark.parametrize(
    ("failure", "line"),
    [
        (Violation(), b"* BAD Error in IMAP command received by server.\r\n"),
        (InvalidArgument(), b"* BAD Invalid command\r\n"),
        (CommandFailed(No("No.")), b"* NO No.\r\n"),
    ],
)
def test_failures_carry_their_completion(failure: CommandFailed, line: bytes) -> None:
    """Courier's texts; BAD where RFC 9051 7.1.3 wants it."""
    assert failure.completion.line(b"*") == line

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.imapd.driver import Driven
from tests.imapd.responses import read

pytestmark = pytest.mark.usefixtures("logged")

#: Names with line ends and other controls, as they can be sent: encoded, or in a literal.
HOSTILE = [
    b"shared.&AA0ACg-x",
    b'"#shared.&AAo-* BYE"',
    b"INBOX.&AAA-",
    b"INBOX.&AH8-",
    b"INBOX.&ICg-",
    b"{19+}\r\nshared.x\r\n* BYE no.",
    b"{18+}\r\nINBOX.x\r\n* BYE no.",
    b"~{10+}\r\nINBOX.\x00abc",
]


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("utf8", [False, True])
@pytest.mark.parametrize("command", ["CREATE %b", "RENAME INBOX.a %b", "SUBSCRIBE %b"])
def test_control_characters(
    driven: Driven, maildir: Path, command: str, name: bytes, utf8: bool
) -> None:
    """They are refused, come back in no response, and reach no file."""
    driven.ask("s CREATE INBOX.a")
    if utf8:
        driven.ask("s ENABLE UTF8=ACCEPT")
    before = sorted(os.listdir(maildir))
    encoded = utf8 and b"&" in name  # an ordinary name in this mode

    responses = read(driven.send(b"a " + command.encode() % name + b"\r\nzz NOOP\r\n"))

    assert [response.tag for response in responses] == [b"a", b"zz"]
    if not encoded:
        assert responses[0].name == "NO"
        assert sorted(os.listdir(maildir)) == before


def test_refused_name_is_told_in_the_clients_encoding(driven: Driven) -> None:
    """Unquoted, as Courier has it, and never as raw UTF-8 to who did not ask for it."""
    assert driven.ask("a CREATE shared.caf&AOk-")[0].line == (
        'a NO [NOPERM] Access denied for CREATE on shared.caf&AOk- (ACL "c" required)'
    )
    driven.ask("b ENABLE UTF8=ACCEPT")
    assert driven.ask('c CREATE "shared.café"')[0].line == (
        'c NO [NOPERM] Access denied for CREATE on shared.café (ACL "c" required)'
    )


@pytest.mark.parametrize(
    "name",
    [
        "INBOX..",
        "INBOX...",
        "INBOX./x",
        '"INBOX.../../x"',
        "/tmp/x",
        "..",
        "~root",
        '"INBOX.a/b"',
        "INBOX.&AC8-",
        "INBOX.&AC4-x.&AC4-",
        "INBOX." + "x" * 300,
    ],
)
def test_names_that_lead_elsewhere(driven: Driven, maildir: Path, name: str) -> None:
    """Nothing is made, in the maildir or above it."""
    before = sorted(maildir.parent.rglob("*"))

    (completion,) = driven.ask(f"a CREATE {name}")

    assert completion.name == "NO"
    assert sorted(maildir.parent.rglob("*")) == before

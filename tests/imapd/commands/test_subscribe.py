from __future__ import annotations

from pathlib import Path

import pytest

from tests.imapd.driver import Driven
from tests.imapd.responses import read

pytestmark = pytest.mark.usefixtures("logged")


@pytest.mark.parametrize("command", [b"SUBSCRIBE", b"UNSUBSCRIBE"])
@pytest.mark.parametrize("length", [8000, 8191, 8192, 60_000])
def test_long_name(driven: Driven, maildir: Path, command: bytes, length: int) -> None:
    """What a line of the file can't hold is refused, and ends no session."""
    name = b"#shared." + b"x" * (length - 8)

    responses = read(driven.send(b"a %b {%d+}\r\n%b\r\nzz NOOP\r\n" % (command, length, name)))

    assert [r.name for r in responses] == ["OK" if length <= 8191 else "NO", "OK"]


@pytest.mark.parametrize("name", ["#shared.&AAo-", "#shared.&AAA-", "#shared.&AH8-x"])
def test_unsubscribe_what_can_be_no_line(driven: Driven, name: str) -> None:
    """Such a name can't be there: a refusal, and the session goes on."""
    assert driven.ask(f"a UNSUBSCRIBE {name}")[0].name == "NO"
    assert driven.ask("b NOOP")[0].name == "OK"


def test_unsubscribe_from_an_odd_name_that_is_there(driven: Driven, maildir: Path) -> None:
    """Another program's line can be got rid of, though it could not be made here."""
    (maildir / "courierimapsubscribed").write_bytes("INBOX.a\u2028b\nINBOX.c\n".encode())

    assert driven.ask("a UNSUBSCRIBE INBOX.a&ICg-b")[0].name == "OK"
    assert (maildir / "courierimapsubscribed").read_bytes() == b"INBOX.c\n"


@pytest.mark.parametrize("name", ["ınbox", "elsewhere", "shared.x.y", ""])
def test_name_outside_the_name_space(driven: Driven, maildir: Path, name: str) -> None:
    driven.ask("s ENABLE UTF8=ACCEPT")

    assert driven.ask(f'a SUBSCRIBE "{name}"')[0].name == "NO"
    assert not (maildir / "courierimapsubscribed").exists()

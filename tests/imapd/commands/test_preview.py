"""PREVIEW (RFC 8970): what messages begin with."""

from __future__ import annotations

from pathlib import Path

import pytest

from courier.process.request import Work
from tests.imapd.conftest import Drive
from tests.imapd.driver import Driven
from tests.support.maildirs import deliver

pytestmark = pytest.mark.usefixtures("logged")


@pytest.fixture
def ready(maildir: Path, driven: Driven) -> Driven:
    deliver(maildir, b"Subject: x\n\nHello there.\n", number=1, flags="")
    deliver(maildir, b"Content-Type: image/png\n\nx\n", number=2, flags="")
    deliver(maildir, 'Subject: x\n\n"Grüße"\n'.encode(), number=3, flags="")
    driven.send(b"s SELECT INBOX\r\n")
    return driven


EXPECTED = [b"Hello there.", b"", '"Grüße"'.encode()]


def previews(driven: Driven, items: str) -> list[bytes | None]:
    found = driven.ask(f"f FETCH 1:* ({items})")
    assert found[-1].name == "OK"
    return [dict(one.values)[b"PREVIEW"] for one in found if one.name == "FETCH"]  # type: ignore[arg-type, misc]


@pytest.mark.parametrize("more", ["", "UID FLAGS ", "ENVELOPE ", "BODY.PEEK[] ", "RFC822.SIZE "])
def test_preview(ready: Driven, more: str) -> None:
    """Never NIL, and empty where there is no text; nothing becomes seen."""
    for _ in range(2):
        assert previews(ready, more + "PREVIEW") == EXPECTED
    assert not any(b"\\Seen" in one.raw for one in ready.ask("f FETCH 1:* FLAGS"))


def test_utf8_is_a_literal(ready: Driven) -> None:
    """A quoted string has no 8-bit text before UTF8=ACCEPT."""
    assert b"PREVIEW {9}\r\n" in ready.send(b"f FETCH 3 PREVIEW\r\n")


def test_lazy(ready: Driven, drive: Drive) -> None:
    """NIL as long as the message would have to be read (RFC 8970 4.1), then what is known."""
    ready.requests.clear()
    assert previews(ready, "PREVIEW (LAZY)") == [None] * 3
    assert previews(ready, "FLAGS PREVIEW (lazy) UID") == [None] * 3
    ready.ask("f FETCH 1:* ENVELOPE")
    assert previews(ready, "ENVELOPE PREVIEW (LAZY)") == [None] * 3

    assert previews(ready, "PREVIEW") == EXPECTED

    assert previews(ready, "PREVIEW (LAZY)") == EXPECTED
    again = drive()
    again.send(b"s SELECT INBOX\r\n")
    assert previews(again, "PREVIEW (LAZY LAZY)") == EXPECTED


def test_lazy_of_a_message_read_anyway(ready: Driven) -> None:
    assert previews(ready, "BODY.PEEK[] PREVIEW (LAZY)") == EXPECTED


def test_with_modifiers(ready: Driven) -> None:
    """What follows it outside of a list may be a modifier of FETCH."""
    assert ready.ask("f FETCH 1 PREVIEW (LAZY)")[-1].name == "OK"
    assert ready.ask("f FETCH 1 PREVIEW (CHANGEDSINCE 1)")[-1].name == "OK"
    assert ready.ask("f FETCH 1 PREVIEW (LAZY) (CHANGEDSINCE 1)")[-1].name == "OK"


@pytest.mark.parametrize(
    "items", ["PREVIEW (FOO)", "(PREVIEW (FOO))", "(PREVIEW ())", "(PREVIEW(LAZY))"]
)
def test_syntax(ready: Driven, items: str) -> None:
    assert ready.ask(f"f FETCH 1 {items}")[-1].name == "BAD"


def test_large_message(maildir: Path, driven: Driven) -> None:
    """Only its beginning is looked at; it is read in a thread."""
    text = b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\nHello.\n--b\n"
    deliver(maildir, text + b"Content-Type: a/b\n\n" + b"x" * 3_000_000 + b"\n--b--\n", number=1)
    driven.send(b"s SELECT INBOX\r\n")
    driven.requests.clear()

    assert previews(driven, "PREVIEW") == [b"Hello."]
    assert any(isinstance(one, Work) for one in driven.requests)


def test_announced(drive: Drive) -> None:
    assert {b"PREVIEW", b"OBJECTID"} <= set(drive().ask("a CAPABILITY")[0].values)

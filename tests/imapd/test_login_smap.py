"""imapd.login, once a client asks for SMAP: what follows is answered as SMAP has it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from courier.log import Peer
from courier.process.login_request import Answer, Authenticate, Pause, Stranger
from courier.process.message import Kind
from courier.process.request import Receive
from imapd.login import Login
from imapd.settings import Settings

CAPABILITIES = (
    b"* CAPABILITY IMAP4rev1 SMAP1 KEYWORDS ENABLE UTF8=ACCEPT"  # as Courier: without more
)


REFUSED = Answer(Kind.REFUSED)


class Talk:
    """A log-in that is driven by hand."""

    def __init__(self, **settings: object) -> None:
        made = Settings(
            **{
                "smap_capability": ("SMAP1",),
                "keywords": 1,
                "extensions": False,
                **settings,
            }  # type: ignore[arg-type]
        )
        self._steps = Login(made, Stranger(Peer("::1", "1"), "::1", 143), has_tls=False).run()
        self.greeting = b""
        self.asked: Authenticate | None = None
        self.paused = 0.0
        self.greeting = self._until_input(next(self._steps))

    def send(self, data: bytes, answer: Answer = REFUSED) -> bytes:
        """Give what is said next; a question is answered so."""
        self._answer = answer
        return self._until_input(self._steps.send(data))

    def _until_input(self, step: object) -> bytes:
        said = b""
        try:
            while not isinstance(step, Receive):
                given: object = None
                if isinstance(step, bytes):
                    said += step
                elif isinstance(step, Pause):
                    self.paused += step.seconds
                else:
                    assert isinstance(step, Authenticate), step
                    self.asked, given = step, self._answer
                step = self._steps.send(given)
        except StopIteration:
            pass
        return said


@pytest.fixture(autouse=True)
def frozen(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0)
    yield


def test_greeting_names_it() -> None:
    """That is what clients go by."""
    assert b" SMAP1 KEYWORDS " in Talk().greeting
    assert b"KEYWORDS" not in Talk(keywords=0).greeting
    assert b"SMAP1" not in Talk(smap_capability=()).greeting
    assert b"SMAP1" not in Talk(smap_capability=(), capability=("IMAP4rev1", "SMAP1")).greeting


def test_every_line_from_the_switch_on() -> None:
    """Whatever the tag: there is no way back. Courier's texts."""
    talk = Talk()

    assert talk.send(b"a1 NOOP\r\n") == b"a1 OK NOOP completed\r\n"
    assert (
        talk.send(b"\\SMAP1 CAPABILITY\r\n") == CAPABILITIES + b"\r\n+OK CAPABILITY completed\r\n"
    )
    assert talk.send(b"\\SMAP1 NOOP\n") == b"+OK NOOP completed\r\n"
    assert talk.send(b"a2 NOOP\r\n") == b"+OK NOOP completed\r\n"
    refusal = b"-ERR Error in IMAP command received by server.\r\n"
    assert talk.send(b"\\SMAP1 LANGUAGE FR\r\n") == refusal
    assert talk.send(b"\\SMAP1\r\n") == refusal
    assert talk.send(b"\\SMAP1 STARTTLS\r\n") == refusal
    assert talk.send(b"\\SMAP1 LOGOUT\r\n") == (
        b"* BYE Courier-IMAP server shutting down\r\n+OK LOGOUT completed\r\n"
    )


def test_ten_errors() -> None:
    talk = Talk()
    for _ in range(9):
        assert talk.send(b"\\SMAP1 X\r\n").startswith(b"-ERR ")

    assert talk.send(b"\\SMAP1 X\r\n") == (
        b"* BYE [ALERT] Fatal error: TOO MANY CONSECUTIVE PROTOCOL VIOLATIONS: \r\n"
    )


@pytest.mark.parametrize("tag", [b"\\smap1", b"\\SMAP", b"\\SMAP11", b"\\\\SMAP1"])
def test_other_tags(tag: bytes) -> None:
    """In another case, or longer, it switches nothing."""
    talk = Talk()
    talk.send(tag + b" NOOP\r\n")

    assert talk.send(b"a NOOP\r\n") == b"a OK NOOP completed\r\n"


def test_without_the_setting() -> None:
    """The connection stays IMAP's; the tag is none (RFC 9051 7.1.3)."""
    talk = Talk(smap_capability=())

    assert talk.send(b"\\SMAP1 LOGIN u p\r\n") == (
        b"* BAD Error in IMAP command received by server.\r\n"
    )


@pytest.mark.parametrize(
    ("arguments", "userid", "password"),
    [
        (b"u pw", b"u", b"pw"),
        (b'"u" "pw"', b"u", b"pw"),
        (b'"u"  "p w"', b"u", b"p w"),
        (b'"u" "se""cret"', b"u", b'se"cret'),
        (b'"u" "back\\slash"', b"u", b"back\\slash"),
        (b'"u" "ends\\"', b"u", b"ends\\"),
        (b'"u" "as \\"IMAP\\" has it"', b"u", b'as "IMAP" has it'),
        (b"{1+}\r\nu {2+}\r\npw", b"u", b"pw"),
        ('"u" "pä"'.encode(), b"u", "pä".encode()),
    ],
)
def test_login(arguments: bytes, userid: bytes, password: bytes) -> None:
    """In IMAP's grammar, and what is none as Cone quotes it."""
    talk = Talk()

    assert talk.send(b"\\SMAP1 LOGIN " + arguments + b"\r\n") == b"-ERR Login failed.\r\n"

    asked = talk.asked
    assert asked is not None
    assert (asked.first, asked.second) == (userid, password)
    assert (asked.greeting, asked.protocol) == (b"+OK SMAP1 LOGIN Ok.\n", b"SMAP1")
    assert talk.paused == 5.0


@pytest.mark.parametrize("arguments", [b"", b" u", b' "u" "p" "x"', b' "u'])
def test_login_without_two_words(arguments: bytes) -> None:
    assert Talk().send(b"\\SMAP1 LOGIN" + arguments + b"\r\n").startswith(b"-ERR Error in IMAP")


def test_literals_are_asked_for_as_in_imap() -> None:
    talk = Talk()

    assert talk.send(b"\\SMAP1 LOGIN {1}\r\n") == b"+ OK\r\n"
    assert talk.send(b"u {2}\r\n") == b"+ OK\r\n"
    assert talk.send(b"pw\r\n") == b"-ERR Login failed.\r\n"


def test_ordinary_tag_after_the_switch() -> None:
    """It starts an SMAP session all the same."""
    talk = Talk()
    talk.send(b"\\SMAP1 NOOP\r\n")
    talk.send(b"a3 LOGIN u pw\r\nLIST\n")

    assert talk.asked is not None
    assert talk.asked.protocol == b"SMAP1"
    assert talk.asked.unread == b"LIST\n"


def test_authenticate() -> None:
    """Challenges come behind another sign."""
    talk = Talk()

    assert talk.send(b"\\SMAP1 AUTHENTICATE LOGIN\r\n") == b"> VXNlcm5hbWU6\r\n"
    assert talk.send(b"dQ==\r\n") == b"> UGFzc3dvcmQ6\r\n"
    assert talk.send(b"cHc=\r\n") == b"-ERR Login failed.\r\n"
    assert talk.asked is not None
    assert (talk.asked.first, talk.asked.second) == (b"u", b"pw")
    assert talk.send(b"\\SMAP1 AUTHENTICATE PLAIN\r\n") == b"> \r\n"
    assert talk.send(b"*\r\n") == b"-ERR Login failed.\r\n"
    assert talk.send(b"\\SMAP1 AUTHENTICATE NONE\r\n") == b"-ERR Login failed.\r\n"


def test_account_that_may_not() -> None:
    answer = Answer(Kind.DISABLED, "IMAP access disabled for this account.")

    assert Talk().send(b"\\SMAP1 LOGIN u pw\r\n", answer) == (
        b"-ERR IMAP access disabled for this account.\r\n"
        b"* BYE IMAP access disabled for this account.\r\n"
    )


def test_service_that_is_away() -> None:
    assert Talk().send(b"\\SMAP1 LOGIN u pw\r\n", Answer(Kind.TEMPORARY)) == (
        b"* BYE Temporary problem, please try again later\r\n"
    )


def test_tls_demanded() -> None:
    talk = Talk(tls_required=True)

    assert talk.send(b"\\SMAP1 LOGIN u pw\r\n") == b"-ERR STARTTLS required\r\n"
    assert talk.asked is None

"""imapd.proxy: the conversation with the host that has an account's mail."""

from __future__ import annotations

from typing import Any

import pytest

from courier import log
from courier.auth.account import Secret
from courier.log import Peer
from courier.process.far_login import ENCRYPT, NEXT_LINE, FarEndFailed
from courier.process.message import ProxyRequest
from imapd.proxy import approach
from imapd.settings import Settings

OK = b"t OK connected to proxy server.\r\n"


def request(**changed: Any) -> ProxyRequest:
    known: dict[str, Any] = {
        "number": 1,
        "address": "u@example.com",
        "password": Secret(b"secret"),
        "hosts": ("far",),
        "peer": Peer("::1", "1"),
        "greeting": b"t OK LOGIN Ok.\r\n",
        "unread": b"",
        "protocol": "IMAP",
        "tls": False,
    }
    return ProxyRequest(**{**known, **changed})


def talk(
    lines: list[bytes], asked: ProxyRequest | None = None, **settings: Any
) -> tuple[bytes, bytes]:
    """Answer each line that is waited for; return all that was sent, and the client's first line."""
    login = approach(Settings(**settings), asked or request(), "far").login
    sent, answer = b"", None
    waiting = iter(lines)
    while True:
        try:
            step = login.send(answer)
        except StopIteration as stop:
            assert next(waiting, None) is None
            return sent, stop.value
        answer = None
        if isinstance(step, bytes):
            sent += step
        elif step is NEXT_LINE:
            answer = next(waiting)
        else:
            assert step is ENCRYPT
            sent += b"(TLS)"


LOGIN = b't LOGIN "u@example.com" "secret"\r\n'
GREETING = b"* OK ready"


@pytest.mark.parametrize(
    "lines",
    [
        [GREETING, b"t OK in"],
        [b"* ok", b"t OK"],
        [
            b"* OK [CAPABILITY IMAP4rev1] x",
            b"* CAPABILITY A",
            b"+ what",
            b"",
            b"tt NO x",
            b"t ok x",
        ],
    ],
)
def test_log_in_that_is_accepted(lines: list[bytes]) -> None:
    """In the client's name and with its tag; untagged lines are nobody's."""
    assert talk(lines) == (LOGIN, OK)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([b"* PREAUTH x"], "Did not receive greeting from far"),
        ([b"* BYE x"], "Did not receive greeting from far"),
        ([b"* OKAY"], "Did not receive greeting from far"),
        ([b""], "Did not receive greeting from far"),
        ([GREETING, b"t NO x"], "Login to far failed"),
        ([GREETING, b"t BAD x"], "Login to far failed"),
        ([GREETING, b"t OKAY"], "Login to far failed"),
    ],
)
def test_host_that_refuses(lines: list[bytes], said: str) -> None:
    """What Courier logs."""
    with pytest.raises(FarEndFailed, match=rf"^{said}$"):
        talk(lines)


def test_foreign_host_is_asked_what_it_can() -> None:
    """Its own answer is the client's, tag and all."""
    sent, said = talk([GREETING, b"t OK"], proxy_foreign=True)

    assert (sent, said) == (LOGIN + b"t CAPABILITY\r\n", b"")


def test_quotes_and_what_cannot_be_quoted() -> None:
    """RFC 9051 4.3: an octet beyond ASCII makes it a literal, which the host has to ask for."""
    quoted = request(address='a"b', password=Secret(b"\\ \t"))
    assert talk([GREETING, b"t OK"], quoted)[0] == b't LOGIN "a\\"b" "\\\\ \t"\r\n'

    literals = request(address="ü", password=Secret(b"\xff"))
    sent, _ = talk([GREETING, b"* x", b"+ go on", b"+", b"t OK"], literals)
    assert sent == b"t LOGIN {2}\r\n\xc3\xbc {1}\r\n\xff\r\n"


@pytest.mark.parametrize("lines", [[b"t NO x"], [b"+", b"t BAD x"]])
def test_host_that_takes_no_literal(lines: list[bytes]) -> None:
    """The password is not sent as if it were a command."""
    with pytest.raises(FarEndFailed, match="Login to far failed"):
        talk([GREETING, *lines], request(address="ü", password=Secret(b"\xff")))


def test_starttls() -> None:
    """Nothing but STARTTLS is said in the clear, and its refusal ends it."""
    sent, said = talk([GREETING, b"* x", b"t OK go", b"t OK in"], proxy_encrypted="starttls")
    assert (sent, said) == (b"t STARTTLS\r\n(TLS)" + LOGIN, OK)

    with pytest.raises(FarEndFailed, match=r"^STARTTLS refused by far$"):
        talk([GREETING, b"t BAD what"], proxy_encrypted="starttls")


@pytest.mark.parametrize(
    ("settings", "port"),
    [
        ({}, 143),
        ({"proxy_encrypted": "starttls"}, 143),
        ({"proxy_encrypted": "from start"}, 993),
        ({"proxy_encrypted": "from start", "proxy_port": 1234}, 1234),
    ],
)
def test_port(settings: dict[str, Any], port: int) -> None:
    assert approach(Settings(**settings), request(), "far").port == port


def test_log_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Courier's, once the host has accepted; no password anywhere."""
    lines: list[str] = []
    monkeypatch.setattr(log, "write", lines.append)

    talk([GREETING, b"t OK in"], request(tls=True))
    with pytest.raises(FarEndFailed):
        talk([GREETING, b"t NO in"])

    assert lines == [
        "INFO: LOGIN, user=u@example.com, ip=[::1], port=[1], protocol=IMAP, starttls=1"
    ]
    assert "secret" not in repr(request())


# --- SMAP ----------------------------------------------------------------------------------------

SMAP = {"protocol": "SMAP1", "greeting": b"+OK SMAP1 LOGIN Ok.\n"}
SMAP_LOGIN = b'\\SMAP1 LOGIN "u@example.com" "secret"\r\n'


@pytest.mark.parametrize("settings", [{}, {"proxy_foreign": True}])
def test_smap(settings: dict[str, Any]) -> None:
    """Courier: the same log-in there, and this word of it here."""
    lines = [b"* OK [CAPABILITY SMAP1] x", b"* x", b"+OK SMAP1 LOGIN Ok."]

    assert talk(lines, request(**SMAP), **settings) == (
        SMAP_LOGIN,
        b"+OK connected to proxy server.\r\n",
    )


@pytest.mark.parametrize("line", [b"-ERR Login failed.", b"-"])
def test_smap_that_is_refused(line: bytes) -> None:
    with pytest.raises(FarEndFailed, match="Login to far failed"):
        talk([GREETING, line], request(**SMAP))


def test_smap_with_literals() -> None:
    """They are asked for as in IMAP."""
    asked = request(**SMAP, password=Secret(b"\xff"))

    sent, _ = talk([GREETING, b"+ OK", b"+OK in"], asked)

    assert sent == b'\\SMAP1 LOGIN "u@example.com" {1}\r\n\xff\r\n'


def test_smap_over_starttls() -> None:
    sent, _ = talk([GREETING, b"+OK Begin", b"+OK in"], request(**SMAP), proxy_encrypted="starttls")

    assert sent == b"\\SMAP1 STARTTLS\r\n(TLS)" + SMAP_LOGIN

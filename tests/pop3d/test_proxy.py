"""pop3d.proxy: the conversation with the host that has an account's mail."""

from __future__ import annotations

from typing import Any

import pytest

from courier import log
from courier.process.far_login import ENCRYPT, NEXT_LINE, FarEndFailed
from courier.process.message import ProxyRequest
from pop3d.proxy import approach
from pop3d.settings import Settings
from tests.imapd.test_proxy import request

OK = b"+OK Connected to proxy server.\r\n"
LOGIN = b"USER u@example.com\r\nPASS secret\r\n"


def talk(lines: list[bytes], asked: ProxyRequest, **settings: Any) -> tuple[bytes, bytes]:
    """Answer each line that is waited for; return all that was sent, and the client's first line."""
    login = approach(Settings(**settings), asked, "far").login
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


POP3 = request(protocol="POP3")


def test_log_in_that_is_accepted() -> None:
    assert talk([b"+OK hello", b"+OK", b"+"], POP3) == (LOGIN, OK)


def test_client_that_said_utf8() -> None:
    """The host is told before the log-in, where it has to be (RFC 6856 2)."""
    asked = request(protocol="POP3UTF8")

    assert talk([b"+OK"] * 4, asked) == (b"UTF8\r\n" + LOGIN, OK)
    with pytest.raises(FarEndFailed, match=r"^UTF8 rejected by far$"):
        talk([b"+OK", b"-ERR"], asked)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([b"-ERR busy"], "Did not receive greeting from far"),
        ([b"+OK", b"-ERR"], "Login userid rejected by far"),
        ([b"+OK", b"+OK", b"-ERR"], "Login password rejected by far"),
    ],
)
def test_host_that_refuses(lines: list[bytes], said: str) -> None:
    """What Courier logs."""
    with pytest.raises(FarEndFailed, match=rf"^{said}$"):
        talk(lines, POP3)


def test_stls() -> None:
    """Nothing but STLS is said in the clear, and its refusal ends it."""
    sent, said = talk([b"+OK"] * 4, POP3, proxy_encrypted="starttls")
    assert (sent, said) == (b"STLS\r\n(TLS)" + LOGIN, OK)

    with pytest.raises(FarEndFailed, match=r"^STLS refused by far$"):
        talk([b"+OK", b"-ERR"], POP3, proxy_encrypted="starttls")


@pytest.mark.parametrize(
    ("settings", "port"),
    [({}, 110), ({"proxy_encrypted": "from start"}, 995), ({"proxy_port": 1234}, 1234)],
)
def test_port(settings: dict[str, Any], port: int) -> None:
    assert approach(Settings(**settings), POP3, "far").port == port


def test_log_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Courier's, with the protocol that it does not know."""
    lines: list[str] = []
    monkeypatch.setattr(log, "write", lines.append)

    talk([b"+OK"] * 3, POP3)

    assert lines == ["INFO: LOGIN, user=u@example.com, ip=[::1], port=[1], protocol="]

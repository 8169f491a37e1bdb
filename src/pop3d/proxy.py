"""POP3_PROXY: the log-in at the host that has the account's mail, in the client's name."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from courier import log
from courier.process.far_login import (
    ENCRYPT,
    NEXT_LINE,
    Approach,
    Ask,
    FarEndFailed,
    FarLogin,
    port_of,
)
from courier.process.message import ProxyRequest
from pop3d.login import PROTOCOL_UTF8
from pop3d.settings import Settings


def approach(settings: Settings, request: ProxyRequest, host: str) -> Approach:
    """Say how a host is spoken to for a client."""
    encrypted = settings.proxy_encrypted
    port = settings.proxy_port or port_of("pop3", encrypted)
    return Approach(port, encrypted, _log_in(settings, request, host))


def _log_in(settings: Settings, request: ProxyRequest, host: str) -> FarLogin:
    yield from _accepted(b"", f"Did not receive greeting from {host}")
    if settings.proxy_encrypted == "starttls":
        yield from _accepted(b"STLS\r\n", f"STLS refused by {host}")
        yield ENCRYPT
    if request.protocol == PROTOCOL_UTF8.decode():
        yield from _accepted(b"UTF8\r\n", f"UTF8 rejected by {host}")
    address = request.address.encode("utf-8", "surrogateescape")
    yield from _accepted(b"USER " + address + b"\r\n", f"Login userid rejected by {host}")
    password = request.password.reveal()
    yield from _accepted(b"PASS " + password + b"\r\n", f"Login password rejected by {host}")
    log.pop3_passed_on(request.address, request.peer, request.tls)
    return b"+OK Connected to proxy server.\r\n"


def _accepted(command: bytes, failure: str) -> Generator[bytes | Ask, Any, None]:
    """Send a command, which the host has to accept."""
    if command:
        yield command
    if not (yield NEXT_LINE).startswith(b"+"):
        raise FarEndFailed(failure)

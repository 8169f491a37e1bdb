"""IMAP_PROXY: the log-in at the host that has the account's mail, in the client's name."""

from __future__ import annotations

import re
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
from imapd.completion import Ok
from imapd.settings import Settings

_GREETING = re.compile(rb"\* OK(?= |$)", re.IGNORECASE)
_QUOTABLE = re.compile(rb"[\x01-\x09\x0b\x0c\x0e-\x7f]*")

_Steps = Generator["bytes | Ask", Any, bytes]


def approach(settings: Settings, request: ProxyRequest, host: str) -> Approach:
    """Say how a host is spoken to for a client."""
    encrypted = settings.proxy_encrypted
    port = settings.proxy_port or port_of("imap", encrypted)
    return Approach(port, encrypted, _log_in(settings, request, host))


def _log_in(settings: Settings, request: ProxyRequest, host: str) -> FarLogin:
    greeting = yield NEXT_LINE
    if not _GREETING.match(greeting):
        raise FarEndFailed(f"Did not receive greeting from {host}")
    # What a session here would say first begins with the tag of the client's own command.
    tag = request.greeting.partition(b" ")[0]
    if settings.proxy_encrypted == "starttls":
        yield tag + b" STARTTLS\r\n"
        if not _is_ok((yield from _completion(tag))):
            raise FarEndFailed(f"STARTTLS refused by {host}")
        yield ENCRYPT
    yield tag + b" LOGIN "
    refused = (yield from _string(tag, request.address.encode("utf-8", "surrogateescape"))) or (
        yield from _password(tag, request)
    )
    if refused or not _is_ok((yield from _completion(tag))):
        raise FarEndFailed(f"Login to {host} failed")
    log.login(request.address, request.peer, request.protocol, request.tls)
    if settings.proxy_foreign:
        yield tag + b" CAPABILITY\r\n"
        return b""
    return Ok("connected to proxy server.").line(tag)


def _password(tag: bytes, request: ProxyRequest) -> _Steps:
    yield b" "
    refused = yield from _string(tag, request.password.reveal())
    if not refused:
        yield b"\r\n"
    return refused


def _string(tag: bytes, text: bytes) -> _Steps:
    """Send a string, quoted if that can be; return the completion if the host refuses a literal."""
    if _QUOTABLE.fullmatch(text):
        yield b'"' + re.sub(rb'([\\"])', rb"\\\1", text) + b'"'
        return b""
    yield b"{%d}\r\n" % len(text)
    while not (line := (yield NEXT_LINE)).startswith(b"+"):
        if line.startswith(tag + b" "):
            refused: bytes = line
            return refused
    yield text
    return b""


def _completion(tag: bytes) -> _Steps:
    """Read up to the completion of a command."""
    while not (line := (yield NEXT_LINE)).startswith(tag + b" "):
        pass
    completion: bytes = line[len(tag) + 1 :]
    return completion


def _is_ok(completion: bytes) -> bool:
    return re.match(rb"OK(?= |$)", completion, re.IGNORECASE) is not None

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
from imapd import smap
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
    speech = _Speech(request)
    if settings.proxy_encrypted == "starttls":
        yield speech.tag + b" STARTTLS\r\n"
        if not speech.is_ok((yield from _completion(speech))):
            raise FarEndFailed(f"STARTTLS refused by {host}")
        yield ENCRYPT
    yield speech.tag + b" LOGIN "
    refused = (yield from _string(speech, request.address.encode("utf-8", "surrogateescape"))) or (
        yield from _password(speech, request)
    )
    if refused or not speech.is_ok((yield from _completion(speech))):
        raise FarEndFailed(f"Login to {host} failed")
    log.login(request.address, request.peer, request.protocol, request.tls)
    if speech.is_smap:  # Courier: so, and there are no capabilities to ask for any more
        return b"+OK connected to proxy server.\r\n"
    if settings.proxy_foreign:
        yield speech.tag + b" CAPABILITY\r\n"
        return b""
    return Ok("connected to proxy server.").line(speech.tag)


class _Speech:
    """How the far end is spoken to: with the tag of the client's own command, or in SMAP."""

    def __init__(self, request: ProxyRequest) -> None:
        self.is_smap = request.protocol == smap.NAME
        # What a session here would say first begins with the tag.
        self.tag = smap.TAG if self.is_smap else request.greeting.partition(b" ")[0]

    def is_completion(self, line: bytes) -> bool:
        if self.is_smap:
            return line.startswith((b"+OK", b"-"))
        return line.startswith(self.tag + b" ")

    def is_ok(self, line: bytes) -> bool:
        if self.is_smap:
            return line.startswith(b"+OK")
        return re.match(rb"OK(?= |$)", line[len(self.tag) + 1 :], re.IGNORECASE) is not None


def _password(speech: _Speech, request: ProxyRequest) -> _Steps:
    yield b" "
    refused = yield from _string(speech, request.password.reveal())
    if not refused:
        yield b"\r\n"
    return refused


def _string(speech: _Speech, text: bytes) -> _Steps:
    """Send a string, quoted if that can be; return the completion if the host refuses a literal."""
    if _QUOTABLE.fullmatch(text):
        yield b'"' + re.sub(rb'([\\"])', rb"\\\1", text) + b'"'
        return b""
    yield b"{%d}\r\n" % len(text)
    while not (line := (yield NEXT_LINE)).startswith(b"+"):
        if speech.is_completion(line):
            refused: bytes = line
            return refused
    yield text
    return b""


def _completion(speech: _Speech) -> _Steps:
    """Read up to the completion of a command."""
    while not speech.is_completion(line := (yield NEXT_LINE)):
        pass
    completion: bytes = line
    return completion

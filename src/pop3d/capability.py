"""CAPA and LANG, which a client may ask before and after it has logged in (RFC 2449, RFC 3206, RFC 6856)."""

from __future__ import annotations

from collections.abc import Collection

from pop3d.settings import Settings
from pop3d.wire import Line

_LANGUAGES = {b"en": b"en", b"i-default": b"i-default", b"*": b"en"}
_NAMES = b"en English\r\ni-default Default language\r\n"


def listing(
    settings: Settings,
    *,
    tls: bool,
    offers_tls: bool,
    has_identity: bool = False,
    mechanisms: Collection[str] = (),
) -> bytes:
    """Write CAPA's answer.

    Args:
        has_identity: the client's certificate says who it is.
        mechanisms: those of SASL's that this connection has beside Courier's.
    """
    from courier.auth import sasl  # few sessions ask, and a log-in has loaded it

    administrators = settings.auth_tls if tls and settings.auth_tls else settings.auth
    names = (
        *(name for name in administrators if not sasl.is_optional(name)),
        *sorted(mechanisms, reverse=True),
        *(("EXTERNAL",) if has_identity else ()),
    )
    lines = ["+OK Here's what I can do:"]
    if names:
        lines.append(f"SASL {' '.join(dict.fromkeys(names))}")
    if offers_tls:
        lines.append("STLS")
    lines += [
        *("TOP", "USER", "LOGIN-DELAY 10", "PIPELINING", "UIDL", "UTF8 USER", "LANG"),
        *(("RESP-CODES", "AUTH-RESP-CODE") if settings.extensions else ()),
        *("IMPLEMENTATION Courier Mail Server", "."),
    ]
    return "".join(f"{line}\r\n" for line in lines).encode()


def language(line: Line) -> bytes:
    """Write LANG's answer; whatever is chosen, the texts stay English."""
    wanted = line.rest.strip()
    if not wanted:
        return b"+OK Language listing follows:\r\n" + _NAMES + b".\r\n"
    chosen = _LANGUAGES.get(wanted)
    if chosen is None:
        return b"-ERR Language not available.\r\n"
    return b"+OK " + chosen + b" King's English\r\n"

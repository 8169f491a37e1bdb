"""TCPDOPTS: options in the manner of couriertcpd, `-name` or `-name=value`.

Courier puts them behind the options that it makes of other settings, and the last of an option
wins; so does an option here over the setting.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from courier import setting_reader as read
from courier.setting_reader import Address, Expected


@dataclass(frozen=True, slots=True)
class Proxied:
    """Connections that have to begin with a PROXY header; None: at any port, at any address."""

    timeout_s: int = 15
    port: int | None = None
    address: Address | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpdOptions:
    """The options understood. None: not said here."""

    address: Address | None = None
    max_daemons: int | None = None
    max_per_ip: int | None = None
    max_per_c: int | None = None
    warn_at: int | None = None
    #: The access database, with its `.dat`.
    access: Path | None = None
    access_local: bool = False
    deny_message: str = ""
    dns_lookup: bool = True
    proxied: tuple[Proxied, ...] = ()
    #: Options that were given and have no effect.
    ignored: tuple[str, ...] = ()


def parse(text: str) -> TcpdOptions:
    """Read options, taken apart as a shell does.

    Raises:
        Expected: an unknown option, or one whose value can't be meant.
    """
    found: dict[str, Any] = {}  # Any: each field's own type
    ignored = []
    for word in read.options(text):
        name, has_value, value = word.partition("=")
        if name in _IGNORED:
            ignored.append(name)
        elif name in _REFUSED:
            raise Expected(f"no {name} ({_REFUSED[name]})")
        elif name in _FLAGS and not has_value:
            field, setting = _FLAGS[name]
            found[field] = setting
        elif name in _VALUES and has_value:
            field, reader = _VALUES[name]
            found[field] = _value(name, reader, value)
        elif name in _FLAGS or name in _VALUES:
            raise Expected(f"{name} with {'no' if name in _FLAGS else 'a'} value")
        else:
            raise Expected(f"options of couriertcpd, not {name}")
    return TcpdOptions(**found, ignored=tuple(ignored))


def _value(name: str, reader: Callable[[str], object], value: str) -> object:
    try:
        return reader(value)
    except Expected as expected:
        raise Expected(f"for {name} {expected}") from None


_PROXIED = re.compile(r"(?P<timeout>-?[0-9]{0,9})(?:/port=(?P<address>.*\.)?(?P<port>[0-9]{0,5}))?")


def proxied(text: str) -> tuple[Proxied, ...]:
    """-haproxy's value: where connections begin with a PROXY header.

    Raises:
        Expected: it can't be meant.
    """
    return tuple(_proxied_item(item.strip()) for item in text.split(","))


def _proxied_item(item: str) -> Proxied:
    match = _PROXIED.fullmatch(item)
    # Courier: an empty value switches nothing on, though its manual says so.
    if not item or match is None:
        raise Expected("SECONDS, SECONDS/port=PORT or SECONDS/port=ADDRESS.PORT, and commas")
    timeout_s, port = int(match["timeout"] or 0), int(match["port"] or 0)
    if port > 65535:
        raise Expected("ports up to 65535")
    address = read.address((match["address"] or "").removesuffix("."))
    return Proxied(timeout_s if timeout_s > 0 else 15, port or None, address)


_POSITIVE = read.number(1)

_VALUES: Mapping[str, tuple[str, Callable[[str], object]]] = {
    "-address": ("address", read.address),
    "-maxprocs": ("max_daemons", _POSITIVE),
    "-maxperip": ("max_per_ip", _POSITIVE),
    "-maxperc": ("max_per_c", _POSITIVE),
    "-warn": ("warn_at", read.number(0)),
    "-access": ("access", read.absolute_path),
    "-denymsg": ("deny_message", str),
    "-haproxy": ("proxied", proxied),
}
_FLAGS: Mapping[str, tuple[str, bool]] = {
    "-accesslocal": ("access_local", True),
    "-nodnslookup": ("dns_lookup", False),
}
# Without effect in Courier too, or about its helpers. -noidentlookup is gone since 5.2.7, and
# stands in Debian's file.
_IGNORED = frozenset(
    {"-noidentlookup", "-listen", "-proxy", "-stderr", "-stderrlogger", "-stderrloggername"}
)
_REFUSED: Mapping[str, str] = {
    **dict.fromkeys(("-block", "-allow", "-drop"), "this server asks no DNS lists"),
    **dict.fromkeys(("-user", "-group"), "this server's users are LOGIN_USER and the accounts'"),
    **dict.fromkeys(("-pid", "-stop", "-restart"), "the server is started and stopped by itself"),
}

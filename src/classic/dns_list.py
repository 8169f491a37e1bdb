"""-block and -allow: what lists in the DNS say of an address, as variables for the program.

list = zone ["=" display] ["," [variable] ["/" ip] ["," message]]
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, MutableMapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Any, Protocol

#: Seconds for one question, whatever servers there are.
_WAIT_S = 10.0


class Resolver(Protocol):
    """Where questions go."""

    def ask(self, name: str, kind: str) -> Sequence[str]:
        """Give what records of this kind say; nothing if there are none or nobody knows now."""


@dataclass(frozen=True, slots=True)
class DnsList:
    """One of these options."""

    zone: str
    display: str
    variable: str
    ip: str | None  # the only answer that counts
    message: str | None
    allows: bool


def parse(text: str, *, allows: bool) -> DnsList:
    place, _, rest = text.partition(",")
    zone, _, display = place.partition("=")
    named, comma, message = rest.partition(",")
    variable, _, ip = named.partition("/")
    return DnsList(
        zone,
        display or zone,
        variable or "BLOCK",
        ip or None,
        message if comma else None,
        allows,
    )


def look_up(
    lists: Sequence[DnsList], ip: str, environment: MutableMapping[str, str], resolver: Resolver
) -> None:
    """Ask the lists in their order, and set the variables of those that have the address.

    One whose variable is there already is not asked.
    """
    allowed = 0
    reversed_ip = _reversed(ip)
    for one in lists:
        if one.variable in environment:
            continue
        name = f"{reversed_ip}.{one.zone}"
        answers = resolver.ask(name, "A")
        found = next((answer for answer in answers if one.ip in (None, answer)), None)
        if found is None:
            continue
        texts = resolver.ask(name, "TXT") if _wants_text(one) else ()
        environment[f"{one.variable}_ZONE"] = one.display
        environment[f"{one.variable}_IP"] = found
        if texts:
            environment[f"{one.variable}_TXT"] = texts[0]
        if one.allows:
            environment[one.variable] = ""
            environment[f"ALLOW_{allowed}"] = one.variable
            allowed += 1
        elif one.message and one.message != "*":
            environment[one.variable] = one.message.replace("@", ip, 1)
        else:
            environment[one.variable] = texts[0] if texts else f"Blacklisted by {one.zone}"


def _wants_text(one: DnsList) -> bool:
    return one.message is not None if one.allows else one.message == "*"


def _reversed(ip: str) -> str:
    address = ip_address(ip)
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is None:
            return ".".join(reversed(address.exploded.replace(":", "")))
        address = address.ipv4_mapped
    return ".".join(reversed(str(address).split(".")))


class SystemResolver:
    """Asks the servers of /etc/resolv.conf, by python3-dnspython."""

    def __init__(self) -> None:
        """Raises ImportError without that."""
        self._dns: Any = importlib.import_module("dns.resolver")  # few need it
        self._failure: Any = importlib.import_module("dns.exception").DNSException

    def ask(self, name: str, kind: str) -> Sequence[str]:
        try:
            found = self._dns.resolve(f"{name}.", kind, lifetime=_WAIT_S)
        except self._failure:
            return ()
        return tuple(_texts(found, kind))


def _texts(records: Any, kind: str) -> Iterator[str]:  # Any: dnspython's
    for record in records:
        if kind == "TXT":
            text = b"".join(record.strings).decode("utf-8", "backslashreplace")
            yield "".join(c if c.isprintable() else " " for c in text)
        else:
            yield record.to_text()

"""Readers of settings: from a value's text to what a program works with.

Courier reads numbers with C's `atoi`: leading digits count, anything else is 0. `60s` therefore
stays 60 here, and an empty value is 0. A value that has no digits at all is refused, not taken for
0, unless it says that something is off.
"""

import os
import re
import shlex
import socket
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Literal, TypeVar

T = TypeVar("T")
Reader = Callable[[str], T]
Address = IPv4Address | IPv6Address


class Expected(ValueError):
    """A reader's complaint: what it expected instead."""


# --- Numbers and switches --------------------------------------------------------------

# Words that mean 0 to atoi and "off" to whoever wrote them. `yes` and `on` mean 0 to atoi too.
_OFF = {"n", "no", "off", "f", "false", "none"}
_ATOI = re.compile(r"[ \t\n\v\f\r]*([+-]?[0-9]{1,18})(?![0-9])")


def atoi(text: str) -> int:
    """C's atoi, but for text without digits, that doesn't mean 0."""
    if match := _ATOI.match(text):
        return int(match[1])
    if not text.strip() or text.strip().lower() in _OFF:
        return 0
    raise Expected("a number")


def flag(text: str) -> bool:
    try:
        return atoi(text) != 0
    except Expected:
        raise Expected("0 or 1") from None


def positive_flag(text: str) -> bool:
    """As `flag`, but a negative number is off."""
    try:
        return atoi(text) > 0
    except Expected:
        raise Expected("0 or 1") from None


def flag_or_on(text: str) -> bool:
    """As `flag`, but empty is on."""
    return flag(text) if text else True


def starts_with_1(text: str) -> bool:
    return text.startswith("1")


def starts_without_0(text: str) -> bool:
    """Anything is on, nothing at all too."""
    return not text.startswith("0")


def yes(text: str) -> bool:
    """The start scripts' switch: `YES` and whatever else begins with y."""
    if text and text[0] not in "yYnN":
        raise Expected("YES or NO")
    return text[:1] in ("y", "Y")


def number(low: int, high: int = 2**31 - 1) -> Reader[int]:
    """A number within bounds; outside is an error."""
    bounds = f"a number from {low} to {high}" if high < 2**31 - 1 else f"a number, at least {low}"

    def read(text: str) -> int:
        if _ATOI.match(text) and low <= (value := atoi(text)) <= high:
            return value
        raise Expected(bounds)

    return read


def at_least(low: int, empty: int) -> Reader[int]:
    """A number that is raised to ``low`` where it is smaller; an empty value is ``empty``."""

    def read(text: str) -> int:
        if not text.strip():
            return empty
        if not _ATOI.match(text):
            raise Expected("a number")
        return max(atoi(text), low)

    return read


def kib(text: str) -> int | None:
    """A limit as `ulimit` takes it; empty and `unlimited` are None."""
    return None if text.strip() in ("", "unlimited") else number(1)(text)


def octets(text: str) -> int:
    """A size; 0 is no limit. Here a suffix would be lost on atoi, so it is refused."""
    if not re.fullmatch(r"[0-9]{0,18}", text.strip()):
        raise Expected("a number of octets, 0 for no limit")
    return int(text.strip() or "0")


def umask(text: str) -> int:
    """Octal; empty is 022."""
    if not text:
        return 0o022
    if not re.fullmatch(r"0*[0-7]{1,3}", text):
        raise Expected("a umask in octal, from 000 to 777")
    return int(text, 8)


# --- Choices ---------------------------------------------------------------------------

#: When a connection to another server is encrypted.
Encrypted = Literal["never", "starttls", "from start"]


def encrypted(text: str) -> Encrypted:
    """`STARTTLS`, `TLS`, or `NO`, which empty is too."""
    match text.strip().upper():
        case "STARTTLS":
            return "starttls"
        case "TLS":
            return "from start"
        case "" | "0" | "NO" | "NONE":
            return "never"
        case _:
            raise Expected("NO, STARTTLS or TLS")


# --- Text ------------------------------------------------------------------------------


def text_or_none(text: str) -> str | None:
    return text or None


def text_or(default: str) -> Reader[str]:
    return lambda text: text or default


def path_or_none(text: str) -> Path | None:
    return Path(text) if text else None


def absolute_path(text: str) -> Path:
    if not os.path.isabs(text):
        raise Expected("an absolute path")
    return Path(text)


def absolute_path_or_none(text: str) -> Path | None:
    return absolute_path(text) if text else None


def options(text: str) -> tuple[str, ...]:
    """Words for a command line. Courier: the start script has the shell take them apart again."""
    try:
        return tuple(shlex.split(text))
    except ValueError:
        raise Expected("words with their quotes closed") from None


def matching(pattern: str, expected: str) -> Reader[str | None]:
    """Text that matches as a whole; empty is None."""

    def read(text: str) -> str | None:
        if not text:
            return None
        if not re.fullmatch(pattern, text):
            raise Expected(expected)
        return text

    return read


# --- Addresses and ports ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Port:
    """A port to listen on; without an address of its own it takes the setting ADDRESS."""

    number: int
    address: Address | None = None


def address(text: str) -> Address | None:
    """An IP address; `0` and empty are None, all addresses."""
    if text in ("", "0"):
        return None
    try:
        return ip_address(text)
    except ValueError:
        raise Expected("an IP address, or 0 for all") from None


def ports(text: str) -> tuple[Port, ...]:
    """A comma list of `port`, `service` or `address.port`, taken apart at the last dot."""
    return tuple(_port(item.strip()) for item in text.split(","))


def _port(item: str) -> Port:
    host, _, service = item.rpartition(".")
    try:
        return Port(_port_number(service), address(host))
    except (ValueError, OSError):
        raise Expected("ports, or addresses with ports (192.0.2.1.143), and commas") from None


def port_or_none(text: str) -> int | None:
    """A port's number or the name of its service; empty is None."""
    try:
        return _port_number(text) if text else None
    except (ValueError, OSError):
        raise Expected("a port") from None


def _port_number(service: str) -> int:
    if re.fullmatch(r"[0-9]{1,5}", service):
        if not 0 < int(service) < 65536:
            raise ValueError(service)
        return int(service)
    return socket.getservbyname(service, "tcp")

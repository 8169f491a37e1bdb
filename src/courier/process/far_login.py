"""Log-ins at another host, as a proxy makes them for its clients: a generator for each protocol.

It yields octets to send, `NEXT_LINE` (and is sent the line, without its end) or `ENCRYPT`, and
returns what the client is to be told first. From then on everything that either side says is passed
on, what has been read already included.
"""

from __future__ import annotations

import enum
import socket
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any

from courier.process.message import ProxyRequest
from courier.setting_reader import Encrypted


class Ask(enum.Enum):
    """What a log-in needs besides sending."""

    NEXT_LINE = enum.auto()
    ENCRYPT = enum.auto()  # go on in TLS, the certificate being good


NEXT_LINE, ENCRYPT = Ask.NEXT_LINE, Ask.ENCRYPT

FarLogin = Generator["bytes | Ask", Any, bytes]


class FarEndFailed(Exception):
    """The host does not do what it should; the text is for the log, and names the host."""


@dataclass(frozen=True, slots=True)
class Approach:
    """How a host is spoken to."""

    port: int
    encrypted: Encrypted
    login: FarLogin


#: Gives the approach to a host, for a client.
MakeApproach = Callable[[ProxyRequest, str], Approach]

#: Port numbers of services, for where services(5) does not have them.
_PORTS: Mapping[str, int] = {"imap": 143, "imaps": 993, "pop3": 110, "pop3s": 995}


def port_of(service: str, encrypted: Encrypted) -> int:
    """Give the port of ``imap`` or ``pop3``, as services(5) has it."""
    name = service + "s" if encrypted == "from start" else service
    try:
        return socket.getservbyname(name, "tcp")
    except OSError:
        return _PORTS[name]

"""What a log-in asks of the login process that drives it, and what it is told of its client.

A log-in is a generator, like the session that follows it (`request`): it yields octets, `Receive`
and the requests below, and is sent their answers.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from courier.log import Peer
from courier.net.tls import Contexts
from courier.process.message import Kind
from courier.process.request import Receive
from courier.tcpd_options import Proxied


@dataclass(frozen=True, slots=True)
class Authenticate:
    """Request of a log-in: is this client who it says? Answered by an `Answer`.

    Nothing is read from the client until the answer is there.
    """

    service: bytes
    authtype: bytes
    first: bytes  # userid, or a challenge
    second: bytes  # password, or what answers the challenge
    greeting: bytes  # what the session says first
    unread: bytes  # what belongs to the session
    protocol: bytes = b"IMAP"


@dataclass(frozen=True, slots=True)
class Ask:
    """Request of a log-in: what does authdaemond say to this? Answered by an `Answer`.

    After `Kind.SAID` the log-in goes on with its client. Where authdaemond has told an account, too,
    an `Authenticate` of authtype PROVEN lets that one in.
    """

    service: bytes
    authtype: bytes
    first: bytes
    second: bytes


@dataclass(frozen=True, slots=True)
class Pause:
    """Request of a log-in: let some seconds pass."""

    seconds: float


@dataclass(frozen=True, slots=True)
class StartTls:
    """Request of a log-in: encrypt from here on, in some seconds or never."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Answer:
    """Master's word on an `Authenticate` or `Ask`.

    ``text`` goes with DISABLED and SAID, and with REJECTED as the number of `steps`.
    """

    kind: Kind
    text: str = ""

    @property
    def steps(self) -> int:
        """How long who was rejected has to wait (`penalties.pause_s`)."""
        return int(self.text) if self.kind is Kind.REJECTED and self.text.isdecimal() else 1


class Encryption(Protocol):
    """What log-ins want to know of a connection's TLS."""

    def subject(self) -> dict[str, str]:
        """Give the fields of a verified certificate's subject."""

    def channel_binding(self, kind: str) -> bytes | None:
        """Give the octets of a channel binding, if there is one."""


@dataclass(slots=True)
class Stranger:
    """What is known of a connection's other end."""

    peer: Peer
    local_ip: str
    local_port: int
    tls: Encryption | None = None
    #: What the access file assigns to this client.
    environment: Mapping[str, str] = field(default_factory=dict)
    #: It may come back from its session, to log in anew; whoever drives the log-in says so.
    may_return: bool = False
    has_returned: bool = False  # and has: it was greeted long ago


LoginSteps = Generator["bytes | Receive | Authenticate | Ask | Pause | StartTls", Any, None]
#: Makes the steps of a log-in for a connection.
MakeLogin = Callable[[Stranger], LoginSteps]


@dataclass(frozen=True, slots=True)
class PreparedLogin:
    """All that log-ins need, loaded."""

    make_login: MakeLogin
    contexts: Contexts | None  # None: no TLS
    tls_from_start: bool
    #: Where connections begin with a PROXY header.
    proxied: tuple[Proxied, ...] = ()

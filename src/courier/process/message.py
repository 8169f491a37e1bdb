"""What master, login and worker processes say to each other, field by field.

Each message is a tuple of fields on a `channel`; the first is its kind. The classes here are the
only place that knows the order of the fields.
"""

from __future__ import annotations

import enum
import functools
import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from courier.auth.account import Secret
from courier.log import Peer
from courier.process.channel import ChannelClosed

_PORT = re.compile(rb"[0-9]{1,5}")
#: Octets that a session may have read and give back with its client.
MAX_UNREAD = 32_768
_PROTOCOL = re.compile(rb"[A-Z0-9]{1,8}")  # stands in log lines


class Kind(enum.Enum):
    """The first field of a message."""

    # login → master
    READY = b"ready"  # all is loaded
    ADMIT = b"admit"  # number, ip, port; local ip, local port
    FULL = b"full"  # 0: accepts no more
    RELEASE = b"release"  # number
    ASK = b"ask"  # Question
    LOGIN = b"login"  # LoginRequest; the client's descriptor
    # master → login
    ADMITTED = b"admitted"  # number, environment
    REFUSED = b"refused"  # number, text
    TAKEN = b"taken"  # number: a worker serves the client
    REJECTED = b"rejected"  # number, steps to wait: wrong credentials
    SAID = b"said"  # number, text: what authdaemond says to a question
    TEMPORARY = b"temporary"  # number: nobody can tell now
    DISABLED = b"disabled"  # number, text
    UNREACHED = b"unreached"  # number: known, but no host that has the mail is to be had
    LEFT = b"left"  # number: the session has ended, and the connection is the login process's again
    RESUME = b"resume"  # number, unread: likewise, and the client may log in anew
    DRAIN = b"drain"  # accept no more
    # master → login, worker
    STOP = b"stop"
    # master → worker
    SESSION = b"session"  # SessionRequest; the client's descriptor
    PROXY = b"proxy"  # ProxyRequest; the client's descriptor
    EXIT = b"exit"
    # worker → master
    ENDED = b"ended"  # number
    RETURNED = b"returned"  # Returned
    IDLE = b"idle"  # no session for a while: may I go?
    REACHED = b"reached"  # number: another host serves the client
    FAILED = b"failed"  # number: none does


def kind_of(fields: Sequence[bytes]) -> Kind:
    """Raises ChannelClosed if it is no message of ours."""
    try:
        return Kind(fields[0])
    except (IndexError, ValueError) as error:
        raise ChannelClosed("unknown message") from error


def number_of(fields: Sequence[bytes]) -> int:
    """Give a message's connection number. Raises ChannelClosed."""
    if len(fields) < 2 or not fields[1].isdigit() or len(fields[1]) > 18:
        raise ChannelClosed("malformed number")
    return int(fields[1])


def peers_of(fields: Sequence[bytes]) -> tuple[Peer, Peer]:
    """Read ADMIT's two addresses, the client's and the one it came to. Raises ChannelClosed."""
    if len(fields) != 6:
        raise ChannelClosed("malformed address")
    return _peer(fields[2], fields[3]), _peer(fields[4], fields[5])


def _peer(ip: bytes, port: bytes) -> Peer:
    if not _PORT.fullmatch(port):
        raise ChannelClosed("malformed address")
    return Peer(_ip(ip), port.decode("ascii"))


@functools.lru_cache(4096)  # clients come again, and reading an address takes its time
def _ip(ip: bytes) -> str:
    if b"%" in ip:
        raise ChannelClosed("malformed address")
    try:
        text = ip.decode("ascii")
        ipaddress.ip_address(text)
    except ValueError:
        raise ChannelClosed("malformed address") from None
    return text


def packed_environment(environment: Mapping[str, str]) -> bytes:
    """Write what the access file assigns to a connection as one field."""
    pairs = (f"{name}={value}" for name, value in environment.items())
    return "\0".join(pairs).encode("utf-8", "surrogateescape")


def environment_of(field: bytes) -> Mapping[str, str]:
    """Read what `packed_environment` wrote."""
    pairs = field.decode("utf-8", "surrogateescape").split("\0") if field else ()
    return {name: value for name, _, value in (pair.partition("=") for pair in pairs)}


@dataclass(frozen=True, slots=True)
class Question:
    """What authdaemond is asked before a client is known. Nobody is let in by the answer alone."""

    number: int
    service: bytes
    authtype: bytes
    first: bytes
    second: bytes

    def fields(self) -> list[bytes]:
        number = b"%d" % self.number
        return [Kind.ASK.value, number, self.service, self.authtype, self.first, self.second]

    @classmethod
    def of(cls, fields: Sequence[bytes]) -> Question:
        """Raises ChannelClosed."""
        if len(fields) != 6:
            raise ChannelClosed("malformed question")
        return cls(number_of(fields), *fields[2:])


@dataclass(frozen=True, slots=True)
class LoginRequest:
    """What a client has to show for itself, and what belongs to its session."""

    number: int
    service: bytes
    authtype: bytes  # authdaemond's: login, cram-md5, …; EXTERNAL; PROVEN by the last question
    first: bytes  # userid, or a challenge
    second: bytes  # password, or what answers the challenge
    greeting: bytes  # to be sent to the client if it is let in
    unread: bytes  # what it sent beyond its log-in
    protocol: bytes
    tls: bool
    takes_back: bool = False  # the login process keeps the client, for when the session leaves it

    def fields(self) -> list[bytes]:
        return [
            Kind.LOGIN.value,
            b"%d" % self.number,
            self.service,
            self.authtype,
            self.first,
            self.second,
            self.greeting,
            self.unread,
            self.protocol,
            b"1" if self.tls else b"0",
            b"1" if self.takes_back else b"0",
        ]

    @classmethod
    def of(cls, fields: Sequence[bytes]) -> LoginRequest:
        """Raises ChannelClosed."""
        if len(fields) != 11:
            raise ChannelClosed("malformed log-in")
        service, authtype, first, second, greeting, unread, protocol, tls, takes_back = fields[2:]
        if not _PROTOCOL.fullmatch(protocol):
            raise ChannelClosed("malformed protocol")
        return cls(
            number_of(fields),
            service,
            authtype,
            first,
            second,
            greeting,
            unread,
            protocol,
            tls == b"1",
            takes_back == b"1",
        )


@dataclass(frozen=True, slots=True)
class SessionRequest:
    """A client that is let in, for the worker of its account's uid."""

    number: int
    address: str
    options: str
    home: str
    maildir: str
    peer: Peer
    greeting: bytes
    unread: bytes
    protocol: str
    tls: bool
    #: What the access file assigns to this client.
    environment: Mapping[str, str] = field(default_factory=dict)
    quota: str = ""  # the account's, as authentication returned it
    may_return: bool = False  # the session may give its client back

    def fields(self) -> list[bytes]:
        texts = (
            self.address,
            self.options,
            self.home,
            self.maildir,
            self.peer.ip,
            str(self.peer.port),
            self.protocol,
            "1" if self.tls else "0",
            self.quota,
            "1" if self.may_return else "0",
        )
        return [
            Kind.SESSION.value,
            b"%d" % self.number,
            *(text.encode("utf-8", "surrogateescape") for text in texts),
            self.greeting,
            self.unread,
            packed_environment(self.environment),
        ]

    @classmethod
    def of(cls, fields: Sequence[bytes]) -> SessionRequest:
        """Raises ChannelClosed."""
        if len(fields) != 15:
            raise ChannelClosed("malformed session")
        texts = [field.decode("utf-8", "surrogateescape") for field in fields[2:12]]
        return cls(
            number=number_of(fields),
            address=texts[0],
            options=texts[1],
            home=texts[2],
            maildir=texts[3],
            peer=Peer(texts[4], texts[5]),
            protocol=texts[6],
            tls=texts[7] == "1",
            quota=texts[8],
            may_return=texts[9] == "1",
            greeting=fields[12],
            unread=fields[13],
            environment=environment_of(fields[14]),
        )


@dataclass(frozen=True, slots=True)
class Returned:
    """A session that has left its client, and closed the end of the socket pair that it was given."""

    number: int
    unread: bytes  # what the client had sent, and the session has read and not used

    def fields(self) -> list[bytes]:
        return [Kind.RETURNED.value, b"%d" % self.number, self.unread]

    @classmethod
    def of(cls, fields: Sequence[bytes]) -> Returned:
        """Raises ChannelClosed."""
        if len(fields) != 3 or len(fields[2]) > MAX_UNREAD:
            raise ChannelClosed("malformed return")
        return cls(number_of(fields), fields[2])


@dataclass(frozen=True, slots=True)
class ProxyRequest:
    """A client that is let in, and whose mail is on another host."""

    number: int
    address: str
    password: Secret
    hosts: tuple[str, ...]  # in the order to be tried
    peer: Peer
    greeting: bytes  # what a session here would say first
    unread: bytes
    protocol: str
    tls: bool
    environment: Mapping[str, str] = field(default_factory=dict)

    def fields(self) -> list[bytes]:
        texts = (
            self.address,
            "\0".join(self.hosts),
            self.peer.ip,
            str(self.peer.port),
            self.protocol,
            "1" if self.tls else "0",
        )
        return [
            Kind.PROXY.value,
            b"%d" % self.number,
            *(text.encode("utf-8", "surrogateescape") for text in texts),
            self.password.reveal(),
            self.greeting,
            self.unread,
            packed_environment(self.environment),
        ]

    @classmethod
    def of(cls, fields: Sequence[bytes]) -> ProxyRequest:
        """Raises ChannelClosed."""
        if len(fields) != 12:
            raise ChannelClosed("malformed proxy request")
        texts = [field.decode("utf-8", "surrogateescape") for field in fields[2:8]]
        return cls(
            number=number_of(fields),
            address=texts[0],
            password=Secret(fields[8]),
            hosts=tuple(texts[1].split("\0")),
            peer=Peer(texts[2], texts[3]),
            greeting=fields[9],
            unread=fields[10],
            protocol=texts[4],
            tls=texts[5] == "1",
            environment=environment_of(fields[11]),
        )

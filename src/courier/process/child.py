"""What a master knows of the processes that it has started, and of their connections."""

from __future__ import annotations

import socket
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field

from courier.auth.account import Account
from courier.auth.client import Exchange
from courier.auth.reply import Outcome
from courier.log import Peer
from courier.net.limits import Admitted
from courier.process.message import LoginRequest, Question


@dataclass(slots=True)
class Child:
    """A login process or a worker."""

    pid: int
    control: socket.socket
    began: float
    is_buried: bool = field(default=False, kw_only=True)  # its process id may be another's now


@dataclass(frozen=True, slots=True)
class Admission:
    """A connection that is counted."""

    peer: Peer
    place: Admitted
    environment: Mapping[str, str]  # of the access file


@dataclass(frozen=True, slots=True)
class Session:
    """A connection that is a worker's."""

    admission: Admission
    #: Who relays it, under which number, and has it again when the session ends; None: nobody.
    relay: tuple[Login, int] | None = None
    may_return: bool = False  # the client may log in anew then


@dataclass(slots=True)
class Pending:
    """A log-in, or a question before it, that waits for authdaemond."""

    exchange: Exchange | Outcome
    request: LoginRequest | Question
    client: int | None  # descriptor
    registered: int = -1  # descriptor that is watched


@dataclass(slots=True)
class Login(Child):
    generation: int
    is_isolated: bool
    listens: bool = True
    is_ready: bool = False
    #: Connections that have not logged in, by the login process's number.
    connections: dict[int, Admission] = field(default_factory=dict)
    waiting: dict[int, Pending] = field(default_factory=dict)
    #: Those whose last question has let them in, until they are.
    proven: dict[int, Account] = field(default_factory=dict)


@dataclass(slots=True)
class Worker(Child):
    """A session worker, or a proxy process."""

    key: Hashable
    #: Sessions, by the number that master gave them.
    sessions: dict[int, Session] = field(default_factory=dict)
    #: Log-ins for which another host is looked for.
    connecting: dict[int, tuple[Login, Pending]] = field(default_factory=dict)

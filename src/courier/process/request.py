"""What a session asks of the driver that runs it.

A session is a generator. It yields octets for its client and the requests below, and is sent
their answers; it knows no socket and no event loop. Whoever drives it (`blocking`, on standard
input and output) writes what it yields, in order, and gives other sessions their turn between.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Generator
from dataclasses import dataclass
from typing import Any, Protocol


class WatchSource(Protocol):
    """A descriptor that becomes readable when some of what is watched through it changes."""

    def fileno(self) -> int:
        """Give the descriptor to wait for."""

    def collect(self) -> Collection[Watch]:
        """Read what happened, and give the watches that it concerns."""

    def __hash__(self) -> int:
        """Be the key by which a driver keeps who waits for it."""


class Watch(Protocol):
    """Something that a session waits for besides its client."""

    @property
    def source(self) -> WatchSource:
        """Through which its changes come; several watches may have the same."""

    def __hash__(self) -> int:
        """Be the key by which a driver keeps who waits for it."""


class Wake(enum.Enum):
    """Why a `Receive` ended without input."""

    TIMEOUT = enum.auto()
    CHANGED = enum.auto()  # what is watched has changed


@dataclass(frozen=True, slots=True)
class Receive:
    """Wait for input. Answered by octets, empty at the end of the stream, or by a `Wake`."""

    timeout_s: float
    watch: Watch | None = None


@dataclass(frozen=True, slots=True)
class Work:
    """Call something that may block, in a thread where there is one; answered by its value.

    What it raises is raised where the request was yielded.
    """

    call: Callable[[], object]


@dataclass(frozen=True, slots=True)
class GiveBack:
    """A session's last request: its client goes back to where it logged in, to do so anew.

    Only of sessions whose clients can be taken back. Answered by None.
    """

    unread: bytes  # what was received and is not the session's any more


class Unfinished(bytes):
    """Octets of a response that goes on: where the server stops, it stops behind its end."""


#: Octets to write, or a request.
Request = bytes | Receive | Work | GiveBack
# The answer's type depends on the request, which a generator's type can't say.
Steps = Generator[Request, Any, None]


class ClientGone(Exception):
    """Thrown into a session: its client takes no more output."""


class ShuttingDown(Exception):
    """Thrown into a session between two steps: the server stops."""

"""What a command handler asks of its session, beside `courier.process.request`.

A handler is a function or a generator: it takes parsed arguments, yields octets and requests,
and returns its completion. It knows no socket, no tag and no other command.
"""

from __future__ import annotations

import enum
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from courier.process.request import Request, Watch
from imapd.completion import Completion


class Ask(enum.Enum):
    """Requests without particulars."""

    CHUNK = enum.auto()  # the next piece of the literal; b"" at its end
    REST = enum.auto()  # what follows the literal, up to the command's end or the next literal
    ARGUMENT = enum.auto()  # all read since the last CHUNK, the announced literal with it


@dataclass(frozen=True, slots=True)
class Idle:
    """Wait for a line, or for a change. Answered by the line, or by a `Wake`."""

    timeout_s: float
    watch: Watch | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """Give other sessions their turn in long work, and the client word of how far it is, now and then."""

    done: int  # messages
    total: int


@dataclass(frozen=True, slots=True)
class Look:
    """Let the watch note what has changed by now, without waiting."""

    watch: Watch


Step = Request | Ask | Idle | Progress | Look
Handling = Generator[Step, Any, Completion]

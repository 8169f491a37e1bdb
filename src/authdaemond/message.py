"""Messages between the dispatcher, the workers and the master, on `courier.process.channel`.

The dispatcher reads what strangers send and has no rights, so nothing it says is trusted: a
worker gets a request in fields, each of them octets, and the master gets the index of a module.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence

from authdaemond.chain import Answer, Verdict
from courier.auth.account import Secret
from courier.auth.request import (
    Authenticate,
    ChangePassword,
    Enumerate,
    Lookup,
    Request,
)

#: What a module may want a rejected client to wait at most.
_LONGEST_DELAY_S = 30.0


class Bad(Exception):
    """The message makes no sense."""


class Order(enum.Enum):
    """What a dispatcher and the master tell each other; numbers come with it."""

    START = b"start"  # to the master: start a worker for this module
    STARTED = b"started"  # to the dispatcher: module, worker and its channel
    FAILED = b"failed"  # to the dispatcher: no worker for this module
    KILL = b"kill"  # to the master: this worker hangs
    ALIVE = b"alive"  # to the master
    STOP = b"stop"  # to the dispatcher: accept no more, finish, end; 1: wait for no request


def order(kind: Order, *numbers: int) -> list[bytes]:
    return [kind.value, *(b"%d" % number for number in numbers)]


def read_order(fields: Sequence[bytes]) -> tuple[Order, list[int]]:
    """Take an order apart.

    Raises:
        Bad: it is none.
    """
    try:
        kind, *numbers = fields
        found = Order(kind), [int(number) for number in numbers]
    except ValueError:
        raise Bad from None
    if not numbers:
        raise Bad
    return found


# --- Requests -------------------------------------------------------------------------------------


def write_request(request: Request) -> list[bytes]:
    match request:
        case Lookup():
            return [b"lookup", request.remote_ip, request.service, request.userid]
        case Authenticate():
            names = [request.service, request.authtype, request.first]
            return [b"authenticate", request.remote_ip, *names, request.second.reveal()]
        case ChangePassword():
            secrets = [request.old.reveal(), request.new.reveal()]
            names = [request.service, request.userid]
            return [b"change", request.remote_ip, *names, *secrets]
        case Enumerate():
            return [b"enumerate", request.remote_ip]


def read_request(fields: Sequence[bytes]) -> Request:
    """Take a request apart.

    Raises:
        Bad: it is none.
    """
    match list(fields):
        case [b"lookup", ip, service, userid]:
            return Lookup(service, userid, remote_ip=ip)
        case [b"authenticate", ip, service, authtype, first, second]:
            return Authenticate(service, authtype, first, Secret(second), ip)
        case [b"change", ip, service, userid, old, new]:
            return ChangePassword(service, userid, Secret(old), Secret(new), ip)
        case [b"enumerate", ip]:
            return Enumerate(ip)
    raise Bad


# --- Answers --------------------------------------------------------------------------------------

_PART = b"part"


def write_answer(answer: Answer) -> list[bytes]:
    compared = [] if answer.compared is None else [answer.compared]
    return [answer.verdict.value, b"%d" % int(answer.delay_s * 1000), answer.reply, *compared]


def write_part(data: bytes) -> list[bytes]:
    """A piece of a list; others or the answer follow."""
    return [_PART, b"0", data]


def read_answer(fields: Sequence[bytes]) -> Answer | bytes:
    """Take an answer apart; octets are a piece of a list.

    Raises:
        Bad: it is none.
    """
    try:
        word, delay_ms, data, *more = fields
        if word == _PART:
            return data
        delay_s = min(max(int(delay_ms) / 1000, 0.0), _LONGEST_DELAY_S)
        if len(more) > 1:
            raise Bad
        return Answer(Verdict(word), data, delay_s, more[0] if more else None)
    except ValueError:
        raise Bad from None

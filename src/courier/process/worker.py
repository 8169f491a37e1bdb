"""The session worker: serves the sessions of one uid, each over the descriptor it is passed.

DESCRIPTION
    Forked by master, becomes the account's user, and runs sessions in one event loop until it has
    had none for a minute; then it asks master to be let go.

SECURITY
    Runs as the account's uid, gid and groups from its first step on. What it is told comes from
    master; what a client sends is read here for the first time as this user.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable

from courier.process import privileges
from courier.process.asynchronous import Connection, Driver
from courier.process.attendant import Attendant, Ended
from courier.process.loop import Loop
from courier.process.message import Kind, SessionRequest
from courier.process.privileges import Ids
from courier.process.request import Steps
from courier.process.stream import READ_AT_ONCE

#: Octets that are read at once for a session that may give them back: six times this, and less, is
#: what one ever has to, which fits into `message.MAX_UNREAD`.
_RETURNABLE_AT_ONCE = 4096
#: Makes the steps of a session. Called once per session, as the account's user.
MakeSession = Callable[[SessionRequest], Steps]


def run(control: socket.socket, ids: Ids, umask: int, prepare: Callable[[], MakeSession]) -> None:
    """Be a worker until master lets go; never returns to the code that forked it with rights.

    Args:
        prepare: called as the account's user, gives what makes sessions.
    """
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL if number == signal.SIGCHLD else signal.SIG_IGN)
    privileges.become(ids)
    privileges.no_core_dumps()
    os.chdir("/")
    os.umask(umask)
    make_session = prepare()
    loop = Loop()
    driver = Driver(loop)

    def make(fields: list[bytes], ended: Ended) -> Connection:
        request = SessionRequest.of(fields)
        at_once = _RETURNABLE_AT_ONCE if request.may_return else READ_AT_ONCE
        return Connection(driver, make_session(request), ended, at_once)

    Attendant(control, loop, Kind.SESSION, make).serve()

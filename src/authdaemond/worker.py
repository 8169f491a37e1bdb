"""A worker: answers requests with one backend, one at a time, until the dispatcher lets go.

SECURITY
    Root if its backend needs that, else the mail user. It reads no octet of a client but in the
    fields of a request. No core dumps: passwords are in its memory.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from dataclasses import replace

from authdaemond import chain, log, message, scram_check
from authdaemond.backends import comparison
from authdaemond.backends.backend import Backend, Rejected, Unavailable
from authdaemond.chain import Answer, Verdict
from authdaemond.message import Bad
from courier.auth import challenge, options, passwords, reply
from courier.auth.account import Account
from courier.auth.request import Authenticate, ChangePassword, Enumerate, Lookup, Request
from courier.process import channel
from courier.process.channel import ChannelClosed

#: Octets of a list that are sent together.
_PIECE = 32 * 1024
#: Seconds that a dispatcher may leave a piece unread: its client is slow.
_PATIENCE_S = 60


def run(control: socket.socket, name: str, make: Callable[[], Backend], defaults: str) -> None:
    """Be a worker of the backend ``name``; ``defaults`` are DEFAULTOPTIONS."""
    control.setblocking(True)  # there is nothing else to wait for
    control.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", _PATIENCE_S, 0))
    worker = _Worker(control, name, make(), defaults)
    while True:
        try:
            received = channel.receive(control)
            if received is not None:
                worker.serve(message.read_request(received[0]))
        except (ChannelClosed, Bad):
            return


class _Worker:
    def __init__(self, control: socket.socket, name: str, served: Backend, defaults: str) -> None:
        self._control = control
        self._name = name
        self._backend = served
        self._defaults = defaults

    def serve(self, request: Request) -> None:
        self._send(message.write_answer(self._answer(request)))

    def _answer(self, request: Request) -> Answer:
        comparison.begin()
        try:
            return Answer(Verdict.DONE, self._reply(request), compared=comparison.made())
        except Rejected as rejected:
            compared = comparison.made()
            return Answer(Verdict.REJECTED, rejected.reply, rejected.delay_s, compared)
        except Unavailable as unavailable:
            log.error(f"{self._name}: {unavailable}")
        except ChannelClosed:
            raise
        except OSError as error:
            log.system_error(self._name, error)
        except Exception as failure:  # a bug: this request fails, others may not
            log.bug(self._name, failure)
        return Answer(Verdict.TEMPORARY)

    def _reply(self, request: Request) -> bytes:
        match request:
            case Authenticate() if challenge.mechanism_of(request.authtype) is not None:
                if challenge.is_proof(request):
                    return self._let_in(scram_check.proven(self._backend, request))
                return scram_check.parameters(self._backend, request)
            case Authenticate() if request.authtype in chain.TOKENS:
                return self._backend.token(request)
            case Lookup():
                return self._let_in(self._backend.lookup(request))
            case Authenticate():
                return self._let_in(self._authenticated(request))
            case ChangePassword():
                self._backend.change_password(request)
            case Enumerate():
                self._list()
        return b""

    def _authenticated(self, request: Authenticate) -> Account:
        if request.authtype == b"login":
            return self._backend.login(request)
        if request.authtype == chain.NOBODY:
            passwords.fits(request.second.reveal(), request.first)
            raise Rejected
        return self._backend.cram(request)

    def _let_in(self, account: Account) -> bytes:
        log.authenticated(account)
        return reply.encode(self._finished(account))

    def _finished(self, account: Account) -> Account:
        """What is done to every account, whatever knows it."""
        fullname, merged = account.fullname, options.merged(account.options, self._defaults)
        if fullname is not None:
            fullname = fullname.partition(",")[0]
        if (fullname, merged) == (account.fullname, account.options):
            return account
        return replace(account, fullname=fullname, options=merged)

    def _list(self) -> None:
        piece = bytearray()
        for account in self._backend.accounts():
            piece += reply.encode_listed(self._finished(account))
            if len(piece) >= _PIECE:
                self._send(message.write_part(bytes(piece)))
                piece.clear()
        if piece:
            self._send(message.write_part(bytes(piece)))

    def _send(self, fields: list[bytes]) -> None:
        try:
            channel.send(self._control, fields)
        except BlockingIOError:  # not in all that time
            raise ChannelClosed("not read") from None

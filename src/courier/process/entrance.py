"""Log-ins, as a master sees them: from what a client shows for itself to the process that serves it.

SECURITY
    What an account may do comes from authdaemond alone. Whom a client's certificate names is a login
    process's word, which counts only where an administrator has said that certificates do.
"""

from __future__ import annotations

import errno
import itertools
import os
import time

from courier import log
from courier.auth.account import Account, NoIdentity, Secret, identity
from courier.auth.client import Exchange, complaints
from courier.auth.reply import Outcome, Rejected, Said, Temporary
from courier.auth.request import Authenticate, Lookup, Refused, Request
from courier.net.penalties import Penalties
from courier.process import channel, home, privileges
from courier.process.channel import ChannelClosed
from courier.process.child import Admission, Login, Pending, Session, Worker
from courier.process.home import Homes
from courier.process.inquiries import Inquiries
from courier.process.message import Kind, LoginRequest, ProxyRequest, Question, SessionRequest
from courier.process.privileges import Ids
from courier.process.reactor import Reactor
from courier.process.staff import Present, Staff

#: Seconds that making an account's home may take.
_HOME_S = 30.0
#: Requests of one login process that may wait for authdaemond.
_MAX_WAITING = 10_000


class Entrance:
    """Asks authdaemond, and has those let in whom it knows."""

    def __init__(self, reactor: Reactor, present: Present, staff: Staff) -> None:
        self._present = present
        self._staff = staff
        self._inquiries = Inquiries(reactor, self._answered)
        self._penalties = Penalties()
        self._homes = Homes()
        self._numbers = itertools.count(1)

    def look_up(
        self, child: Login, request: LoginRequest | Question, descriptor: int | None
    ) -> None:
        """Ask authdaemond. Answers come in any order; a slow one delays nobody else.

        Args:
            descriptor: of the client, or `channel.LOST`: then it is told to come again.
        """
        admission = child.connections.get(request.number)
        if (
            admission is None
            or request.number in child.waiting
            or len(child.waiting) >= _MAX_WAITING
        ):
            raise ChannelClosed("log-in out of turn")
        if self._present.is_stopping:
            self._staff.answer(child, Kind.TEMPORARY, request.number)
            return
        try:
            if descriptor == channel.LOST:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            client = None if descriptor is None else self._staff.keep(descriptor)
        except OSError as error:
            log.recurring("cannot take", "clients", error)
            self._staff.answer(child, Kind.TEMPORARY, request.number)
            return
        try:
            exchange = self._ask(child, request, admission)
        except OSError as error:
            if client is not None:
                self._staff.close(client)
            log.recurring("cannot ask", self._present.plan.authdaemon_socket, error)
            self._staff.answer(child, Kind.TEMPORARY, request.number)
            return
        pending = Pending(exchange, request, client)
        child.waiting[request.number] = pending
        self._inquiries.follow(child, pending)

    def _ask(
        self, child: Login, request: LoginRequest | Question, admission: Admission
    ) -> Exchange | Outcome:
        ip = admission.peer.ip.encode()
        proven = child.proven.pop(request.number, None)  # good for what comes next, or for nothing
        if request.authtype == b"PROVEN":
            return proven or Rejected()
        asked: Request
        if request.authtype == b"EXTERNAL":
            if not self._present.plan.takes_certificates:
                return Rejected()
            asked = Lookup(request.service, request.first, remote_ip=ip)
        else:
            asked = Authenticate(
                request.service, request.authtype, request.first, Secret(request.second), ip
            )
        try:
            return Exchange(
                asked, self._present.plan.authdaemon_socket, self._present.plan.authdaemon_limits
            )
        except Refused:
            return Rejected()

    def _answered(self, child: Login, pending: Pending, outcome: Outcome) -> None:
        if not (
            self._passes_on(child, pending, outcome) or self._makes_home(child, pending, outcome)
        ):
            self._conclude(child, pending, outcome)

    def drop(self, pending: Pending) -> None:
        """Give up a lookup whose client is gone."""
        self._inquiries.unfollow(pending)
        if isinstance(pending.exchange, Exchange):
            pending.exchange.close()
        if pending.client is not None:
            self._staff.close(pending.client)

    def _conclude(self, child: Login, pending: Pending, outcome: Outcome) -> None:
        del child.waiting[pending.request.number]
        if pending.client is None:
            self._decide(child, pending, outcome)
            return
        try:
            self._decide(child, pending, outcome)
        finally:
            self._staff.close(pending.client)

    def _makes_home(self, child: Login, pending: Pending, outcome: Outcome) -> bool:
        """Have an account's home made if it is missing, and let it in then.

        A process of its own looks, because a file system may not answer. A home that was there a
        moment ago is not looked for.
        """
        skeleton = self._present.plan.home_skeleton
        if skeleton is None or not isinstance(outcome, Account):
            return False
        if isinstance(pending.request, Question):
            return False
        if self._homes.is_known(outcome.home) or self._present.plan.refuse(
            outcome, pending.request.tls
        ):
            return False

        def ended() -> None:
            self._homes.saw(outcome.home)
            if child.waiting.get(pending.request.number) is pending:
                self._conclude(child, pending, outcome)

        try:
            who = identity(outcome)
            ids = Ids(who.uid, who.gid)
            privileges.check(ids)
            self._staff.help(lambda: home.make(who.home, skeleton, ids), "home", _HOME_S, ended)
        except (NoIdentity, OSError):
            return False  # letting it in says why that can't be
        return True

    def _decide(self, child: Login, pending: Pending, outcome: Outcome) -> None:
        """Let a client in, or say why not."""
        request, number = pending.request, pending.request.number
        if isinstance(outcome, Temporary):
            for line in complaints(outcome):
                log.line(f"ERR: {line}")
            log.authentication_error(outcome.errno)
            self._staff.answer(child, Kind.TEMPORARY, number)
        elif isinstance(outcome, Said) and isinstance(request, Question):
            self._staff.answer(child, Kind.SAID, number, outcome.text.encode())
        elif not isinstance(outcome, Account):
            self._staff.answer(
                child, Kind.REJECTED, number, b"%d" % self._count_failure(child, request)
            )
        elif isinstance(request, Question):
            child.proven[number] = outcome
            self._staff.answer(child, Kind.SAID, number, (outcome.sasl or "").encode())
        elif (refusal := self._present.plan.refuse(outcome, request.tls)) is not None:
            self._staff.answer(child, Kind.DISABLED, number, refusal.encode())
        elif pending.client is not None:
            self._let_in(child, request, pending.client, outcome)

    def _count_failure(self, child: Login, request: LoginRequest | Question) -> int:
        """Give the steps that its answer has to wait."""
        # With CRAM a challenge stands there.
        userid = b"" if request.authtype.startswith(b"cram-") else request.first
        ip = child.connections[request.number].peer.ip
        return self._penalties.failed(ip, userid, time.monotonic())

    def _let_in(self, child: Login, asked: LoginRequest, client: int, account: Account) -> None:
        try:
            who = identity(account)
            ids = Ids(who.uid, who.gid, who.groups)
            privileges.check(ids)
        except (NoIdentity, OSError) as error:
            log.warn(f"{account.address}: {error}")
            self._staff.answer(child, Kind.TEMPORARY, asked.number)
            return
        admission = child.connections[asked.number]
        session = next(self._numbers)
        request = SessionRequest(
            number=session,
            address=account.address,
            options=account.options or "",
            home=who.home,
            maildir=who.maildir or self._present.plan.default_maildir,
            peer=admission.peer,
            greeting=asked.greeting,
            unread=asked.unread,
            protocol=asked.protocol.decode("ascii", "replace"),
            tls=asked.tls,
            environment=admission.environment,
            quota=account.quota or "",
            may_return=asked.takes_back,
        )
        try:
            serving = self._staff.pass_on(
                request.fields(),
                client,
                lambda: self._staff.worker_for(ids, account.address),
            )
        except (OSError, ChannelClosed, ValueError) as error:
            log.warn(f"{account.address}: no worker takes the session: {error}")
            self._staff.answer(child, Kind.TEMPORARY, asked.number)
            return
        del child.connections[asked.number]  # its count is the session's now
        serving.sessions[session] = _session(admission, child, asked, asked.takes_back)
        self._staff.answer(child, Kind.TAKEN, asked.number)

    # -- other hosts -----------------------------------------------------------------------

    def _passes_on(self, child: Login, pending: Pending, outcome: Outcome) -> bool:
        """Have a client served by another host, if its account's mail is there."""
        request, client = pending.request, pending.client
        if client is None or isinstance(request, Question) or not isinstance(outcome, Account):
            return False
        if self._present.plan.refuse(outcome, request.tls):
            return False
        admission = child.connections[request.number]
        hosts = self._present.plan.proxy_hosts(outcome, admission.environment)
        if not hosts:
            return False
        if not outcome.clear:
            log.warn(f"proxy enabled, but no password for {outcome.address}")
            self._end_search(child, pending, Kind.UNREACHED)
            return True
        asked = ProxyRequest(
            number=next(self._numbers),
            address=outcome.address,
            password=outcome.clear,
            hosts=hosts,
            peer=admission.peer,
            greeting=request.greeting,
            unread=request.unread,
            protocol=request.protocol.decode("ascii", "replace"),
            tls=request.tls,
            environment=admission.environment,
        )
        try:
            serving = self._staff.pass_on(
                asked.fields(), client, lambda: self._staff.proxy_for(outcome.address)
            )
        except (OSError, ChannelClosed, ValueError) as error:
            log.warn(f"{outcome.address}: no proxy takes the connection: {error}")
            self._end_search(child, pending, Kind.UNREACHED)
        else:
            serving.connecting[asked.number] = (child, pending)
        return True

    def from_proxy(self, child: Worker, kind: Kind, number: int) -> None:
        """Learn that another host serves a client (REACHED), or that none does."""
        login_process, pending = child.connecting.pop(number)
        asked = pending.request.number
        if login_process.waiting.get(asked) is not pending:
            return  # the client has gone meanwhile, which the proxy will notice
        if kind is Kind.REACHED:
            admission = login_process.connections.pop(asked)
            child.sessions[number] = _session(admission, login_process, pending.request, False)
        self._end_search(
            login_process, pending, Kind.TAKEN if kind is Kind.REACHED else Kind.UNREACHED
        )

    def _end_search(self, child: Login, pending: Pending, answer: Kind) -> None:
        del child.waiting[pending.request.number]
        self.drop(pending)
        self._staff.answer(child, answer, pending.request.number)


def _session(
    admission: Admission, child: Login, asked: LoginRequest | Question, may_return: bool
) -> Session:
    """A session of a connection that ``child`` has passed on, or relays."""
    assert isinstance(asked, LoginRequest)
    relay = (child, asked.number) if asked.tls or asked.takes_back else None
    return Session(admission, relay, may_return)

"""The master: starts, counts and replaces the other processes of a daemon.

DESCRIPTION
    Forks login processes, which accept; forwards what their clients show for themselves to
    authdaemond; starts or finds the worker of the account's uid and passes it the client's
    descriptor. Counts connections from accept to the session's end.

SECURITY
    Runs as root. Reads settings, the messages of `message` and authdaemond's answers, and no octet
    that a client sent but to pass it on: with its log-in, and when a session leaves it. What an
    account may do comes from authdaemond alone. A login process is trusted with its clients'
    passwords and addresses, and, where TLS_EXTERNAL is set, with whom their certificates name; with
    nothing else.
"""

from __future__ import annotations

import gc
import os
import resource
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence

from courier import log
from courier.log import Peer
from courier.net.access import AccessFile, Allowed, Denied
from courier.net.limits import Admitted, Limits
from courier.net.refusals import Refusals
from courier.process import activation, channel, staff, title
from courier.process.channel import ChannelClosed
from courier.process.child import Admission, Child, Login, Session, Worker
from courier.process.entrance import Entrance
from courier.process.logger import Logger
from courier.process.message import (
    Kind,
    LoginRequest,
    Question,
    Returned,
    kind_of,
    number_of,
    packed_environment,
    peers_of,
)
from courier.process.plan import Plan
from courier.process.reactor import EVENT_READ, Reactor
from courier.process.staff import Present, Staff

#: Seconds between looks at the files that login processes have loaded.
_LOOK_EVERY_S = 1.0
#: Descriptors for each connection (two of a TLS connection's, or master's while it logs in), and
#: for everything else.
_DESCRIPTORS_EACH = 3
_DESCRIPTORS_BESIDE = 256


class ConfigurationError(Exception):
    """The settings can't be used; the text has a line for each reason."""


#: Reads the settings and gives the sockets to listen on, given those there are.
Load = Callable[[Sequence[socket.socket]], tuple[Plan, Sequence[socket.socket]]]


class Master:
    """One daemon's master. `run` is its life."""

    def __init__(
        self,
        load: Load,
        inherited: Sequence[socket.socket] = (),
        ready: Callable[[], None] = lambda: None,
        logger: Logger | None = None,
    ) -> None:
        """``load`` reads the settings, now and at each SIGHUP.

        Args:
            ready: called once, when connections are accepted.
            logger: takes the log lines of all processes to syslog.

        Raises:
            ConfigurationError: they can't be used.
        """
        self._ready = ready
        self._logger = logger
        self._load = load
        plan, listeners = load(inherited)
        self._present = Present(plan, list(listeners))
        self._limits = Limits(plan.max_daemons, plan.max_per_ip)
        self._set_limits()
        self._refusals = Refusals(self._limits, log.line)
        self._access = _access(plan)
        self._reactor = Reactor()
        self._staff = Staff(
            self._reactor,
            self._present,
            heard=self._heard,
            lost=self._lost,
            close_own=self._close_own,
        )
        self._entrance = Entrance(self._reactor, self._present, self._staff)

    def run(self) -> int:
        """Serve until SIGTERM; return an exit code."""
        title.show(f"{self._present.plan.name}: master")
        self._reactor.catch((signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD))
        if self._logger is not None:
            logger = self._logger
            self._reactor.watch(logger.fileno(), EVENT_READ, logger.pass_on)
        _allow_descriptors(self._present.plan.max_daemons)
        gc.freeze()  # what is loaded now is shared by all that are forked
        self._stamp = (
            self._present.plan.stamp()
        )  # before loading: what changes meanwhile is noticed
        self._staff.start_logins()
        self._reactor.at(_LOOK_EVERY_S, self._look_at_files)
        interval_s = activation.watchdog_interval_s()
        if interval_s is not None:
            self._feed_watchdog(interval_s)
        while not (
            self._present.is_stopping and not self._staff.logins and not self._staff.workers
        ):
            self._turn()
        self._staff.leave_behind(())
        return 0

    def _turn(self) -> None:
        signals = self._reactor.turn()
        if signal.SIGCHLD in signals:
            self._staff.reap()
        if signals & {signal.SIGTERM, signal.SIGINT}:
            self._stop()
        elif signal.SIGHUP in signals:
            self._reload()

    def _feed_watchdog(self, interval_s: float) -> None:
        activation.notify(WATCHDOG=1)
        self._reactor.at(interval_s, lambda: self._feed_watchdog(interval_s))

    def _close_own(self) -> None:
        self._access.close()
        if self._logger is not None:
            os.close(self._logger.fileno())

    # -- what processes say ----------------------------------------------------------------

    def _heard(self, child: Child, fields: list[bytes], descriptor: int | None) -> None:
        if isinstance(child, Login):
            self._from_login(child, fields, descriptor)
        elif isinstance(child, Worker):
            if descriptor is not None:
                raise ChannelClosed("unexpected descriptor")
            self._from_worker(child, fields)

    def _lost(self, child: Child) -> None:
        """Free the places of a process that has ended."""
        if isinstance(child, Login):
            for pending in child.waiting.values():
                self._entrance.drop(pending)
            child.waiting.clear()
            for admission in child.connections.values():
                self._limits.release(admission.place)
        elif isinstance(child, Worker):
            for session in child.sessions.values():
                self._ended(session)
            for number in list(child.connecting):
                self._entrance.from_proxy(child, Kind.FAILED, number)

    def _from_login(self, child: Login, fields: list[bytes], descriptor: int | None) -> None:
        kind = kind_of(fields)
        if descriptor is not None and kind is not Kind.LOGIN:
            raise ChannelClosed("unexpected descriptor")
        if kind is Kind.ADMIT:
            self._admit(child, fields)
        elif kind is Kind.READY:
            self._has_started(child)
        elif kind is Kind.FULL:
            self._replace_busy(child)
        elif kind is Kind.RELEASE:
            self._release(child, number_of(fields))
        elif kind is Kind.LOGIN and descriptor is not None:
            self._entrance.look_up(child, LoginRequest.of(fields), descriptor)
        elif kind is Kind.ASK:
            self._entrance.look_up(child, Question.of(fields), None)
        else:
            raise ChannelClosed("unexpected message")

    def _admit(self, child: Login, fields: list[bytes]) -> None:
        number, (peer, local) = number_of(fields), peers_of(fields)
        if number in child.connections:
            raise ChannelClosed("number in use")
        self._replace_busy(child)
        access, text = self._may_connect(peer, local)
        if isinstance(access, Denied):
            self._refusals.denied(peer.ip, access.key)
            self._staff.answer(child, Kind.REFUSED, number, text)
            return
        place = self._limits.admit(peer.ip, child.pid, access.max_per_ip)
        if not isinstance(place, Admitted):
            self._refusals.above(place)
            self._staff.answer(child, Kind.REFUSED, number)
            return
        notice = self._limits.notice(time.monotonic())
        if notice is not None:
            log.line(notice)
        child.connections[number] = Admission(peer, place, access.environment)
        self._staff.answer(child, Kind.ADMITTED, number, packed_environment(access.environment))

    def _replace_busy(self, child: Login) -> None:
        """Start another in the place of a login process that serves its only connection."""
        if child.is_isolated and child.listens:
            child.listens = False
            self._staff.replace_login()

    def _may_connect(self, peer: Peer, local: Peer) -> tuple[Allowed | Denied, bytes]:
        """Ask the access file; give its word, and what a client that is denied hears."""
        assigned: Mapping[str, str] = {}
        if self._present.plan.access_local:
            access = self._access.local(local.ip, int(local.port))
            if isinstance(access, Denied):
                return access, b""  # Courier: no text here
            assigned = access.environment
        access = self._access.remote(peer.ip)
        if isinstance(access, Denied):
            text = self._present.plan.deny_message
            return access, f"{text}\n".encode() if text else b""
        return Allowed({**assigned, **access.environment}), b""

    def _release(self, child: Login, number: int) -> None:
        pending = child.waiting.pop(number, None)
        if pending is not None:
            self._entrance.drop(pending)
        child.proven.pop(number, None)
        admission = child.connections.pop(number, None)
        if admission is not None:
            self._limits.release(admission.place)

    def _from_worker(self, child: Worker, fields: list[bytes]) -> None:
        kind = kind_of(fields)
        if kind in (Kind.REACHED, Kind.FAILED) and number_of(fields) in child.connecting:
            self._entrance.from_proxy(child, kind, number_of(fields))
        elif kind is Kind.ENDED:
            session = child.sessions.pop(number_of(fields), None)
            if session is not None:
                self._ended(session)
            self._let_go_of_single(child)
        elif kind is Kind.RETURNED:
            self._return(child, Returned.of(fields))
            self._let_go_of_single(child)
        elif kind is Kind.IDLE:
            if not (child.sessions or child.connecting):  # none is on its way, either
                self._staff.let_go(child)
        else:
            raise ChannelClosed("unexpected message")

    def _return(self, child: Worker, returned: Returned) -> None:
        """Have the login process go on with a client whose session has left it."""
        session = child.sessions.get(returned.number)
        if session is None or session.relay is None or not session.may_return:
            raise ChannelClosed("return out of turn")
        del child.sessions[returned.number]
        self._give_back(session, Kind.RESUME, returned.unread)

    def _ended(self, session: Session) -> None:
        """Free a session's place; of a relayed one when its login process has done with it."""
        if session.relay is None:
            self._limits.release(session.admission.place)
        else:
            self._give_back(session, Kind.LEFT)

    def _give_back(self, session: Session, kind: Kind, *more: bytes) -> None:
        """Let a login process have its connection again, which counts on."""
        assert session.relay is not None
        child, number = session.relay
        is_there = self._staff.logins.get(child.pid) is child and number not in child.connections
        if is_there and more and not channel.has_room(child.control):
            log.warn(f"login process {child.pid} is too busy to take a client back")
            kind, more = Kind.LEFT, ()
        if is_there and self._staff.answer(child, kind, number, *more):
            child.connections[number] = session.admission
        else:
            self._limits.release(session.admission.place)

    def _let_go_of_single(self, child: Worker) -> None:
        if self._present.plan.one_session_per_worker and not child.sessions:
            self._staff.let_go(child)

    # -- reload and stop -------------------------------------------------------------------

    def _look_at_files(self) -> None:
        """Notice renewed certificates: the next connection gets them."""
        stamp = self._present.plan.stamp()
        if stamp != self._stamp and not self._present.is_stopping:
            self._stamp = stamp
            log.line("INFO: certificates have changed, loading them")
            self._next_generation()
        self._refusals.look_at_clock()
        self._reactor.at(_LOOK_EVERY_S, self._look_at_files)

    def _reload(self) -> None:
        """Read the settings again; sessions go on with those they began with."""
        if self._present.is_stopping:
            return
        now_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        activation.notify(RELOADING=1, MONOTONIC_USEC=now_us)
        try:
            plan, listeners = self._load(self._present.listeners)
        except ConfigurationError as error:
            for line in str(error).splitlines():
                log.line(f"ERR: {line}")
            log.line("ERR: the settings stay as they were")
            activation.notify(READY=1, STATUS="accepting connections, settings not reloaded")
        else:
            for listener in self._present.listeners:
                if listener not in listeners:
                    listener.close()
            self._present.plan, self._present.listeners = plan, list(listeners)
            self._stamp = plan.stamp()
            self._set_limits()
            _allow_descriptors(plan.max_daemons)
            self._access.close()
            self._access = _access(plan)
            self._next_generation()

    def _set_limits(self) -> None:
        plan = self._present.plan
        self._limits.set(
            plan.max_daemons,
            plan.max_per_ip,
            plan.max_per_c,
            warn_at=plan.warn_at,
            by_ipv6_network=plan.by_ipv6_network,
        )

    def _next_generation(self) -> None:
        """Start login processes with what is to be loaded now.

        The old ones go on accepting until the new ones are ready: files that can't be loaded
        cost nobody a connection.
        """
        self._present.generation += 1
        self._staff.start_logins()

    def _has_started(self, child: Login) -> None:
        child.is_ready = True
        fresh = [
            one for one in self._staff.logins.values() if one.generation == self._present.generation
        ]
        if not all(one.is_ready for one in fresh):
            return
        for one in self._staff.logins.values():
            if one.generation != self._present.generation and one.listens:
                one.listens = False
                self._staff.tell(one, Kind.DRAIN)
        activation.notify(READY=1, STATUS="accepting connections")
        self._ready()
        self._ready = _nothing

    def _stop(self) -> None:
        """Let everybody say goodbye, and end those who take too long."""
        if self._present.is_stopping:
            return
        self._present.is_stopping = True
        activation.notify(STOPPING=1, STATUS="ending sessions")
        for child in self._staff:
            self._staff.tell(child, Kind.STOP)
        for login_process in self._staff.logins.values():
            for number, pending in login_process.waiting.items():
                self._entrance.drop(pending)
                self._staff.answer(login_process, Kind.TEMPORARY, number)
            login_process.waiting.clear()
        self._reactor.at(staff.PATIENCE_S, self._insist)

    def _insist(self) -> None:
        for child in self._staff:
            self._staff.kill(child)


def _nothing() -> None:
    """What is left to do once the daemon's readiness has been told."""


def _access(plan: Plan) -> AccessFile:
    opened = AccessFile(plan.access_file, log.line)
    opened.refresh()  # what is wrong with it is told at the start
    return opened


def _allow_descriptors(connections: int) -> None:
    """Raise the limit of open files for this process and those it forks to what they may need."""
    wanted = connections * _DESCRIPTORS_EACH + _DESCRIPTORS_BESIDE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    if hard == resource.RLIM_INFINITY or hard >= wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
    except (OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        log.warn(f"MAXDAEMONS: {wanted} open files are needed, the system allows {hard}")

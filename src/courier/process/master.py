"""The master: starts, counts and replaces the other processes of a daemon.

DESCRIPTION
    Forks login processes, which accept; forwards what their clients show for themselves to
    authdaemond; starts or finds the worker of the account's uid and passes it the client's
    descriptor. Counts connections from accept to the session's end.

SECURITY
    Runs as root. Reads settings, the messages of `message` and authdaemond's answers, and no octet
    that a client sent but to pass it on. What an account may do comes from authdaemond alone. A
    login process is trusted with its clients' passwords and addresses, with nothing else.
"""

from __future__ import annotations

import gc
import heapq
import itertools
import os
import resource
import selectors
import signal
import socket
import time
import zlib
from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from courier import log
from courier.auth.account import Account, NoIdentity, Secret, identity
from courier.auth.client import Exchange, complaints
from courier.auth.reply import Outcome, Rejected, Said, Temporary
from courier.auth.request import Authenticate, Lookup, Refused, Request
from courier.log import Peer
from courier.net.access import AccessFile, Allowed, Denied
from courier.net.limits import Admitted, Limits
from courier.net.penalties import Penalties
from courier.process import activation, channel, home, login, privileges, proxy, title, worker
from courier.process.channel import ChannelClosed
from courier.process.home import Homes
from courier.process.logger import Logger
from courier.process.message import (
    Kind,
    LoginRequest,
    ProxyRequest,
    Question,
    SessionRequest,
    kind_of,
    number_of,
    packed_environment,
    peers_of,
)
from courier.process.plan import Plan
from courier.process.privileges import Ids

#: Seconds between looks at the files that login processes have loaded.
_LOOK_EVERY_S = 1.0
#: A process that ends sooner than this is replaced only after a pause.
_CRASHING_S = 1.0
#: Seconds that the others have to end when the server stops.
_PATIENCE_S = 5.0
#: Seconds that making an account's home may take.
_HOME_S = 30.0
#: Requests of one login process that may wait for authdaemond.
_MAX_WAITING = 10_000
#: Messages that are taken from one process before the others get their turn.
_MESSAGES_AT_ONCE = 100
#: Descriptors for each connection (two of a TLS connection's, or master's while it logs in), and
#: for everything else.
_DESCRIPTORS_EACH = 3
_DESCRIPTORS_BESIDE = 256


class ConfigurationError(Exception):
    """The settings can't be used; the text has a line for each reason."""


#: Reads the settings and gives the sockets to listen on, given those there are.
Load = Callable[[Sequence[socket.socket]], tuple[Plan, Sequence[socket.socket]]]


@dataclass(slots=True)
class _Child:
    """A login process or a worker."""

    pid: int
    control: socket.socket
    began: float
    is_buried: bool = field(default=False, kw_only=True)  # its process id may be another's now


@dataclass(frozen=True, slots=True)
class _Admission:
    """A connection that is counted."""

    peer: Peer
    place: Admitted
    environment: Mapping[str, str]  # of the access file


@dataclass(slots=True)
class _Pending:
    """A log-in, or a question before it, that waits for authdaemond."""

    exchange: Exchange | Outcome
    request: LoginRequest | Question
    client: int | None  # descriptor
    registered: int = -1  # descriptor in the selector


@dataclass(slots=True)
class _Login(_Child):
    generation: int
    is_isolated: bool
    listens: bool = True
    is_ready: bool = False
    #: Connections that have not logged in, by the login process's number.
    connections: dict[int, _Admission] = field(default_factory=dict)
    waiting: dict[int, _Pending] = field(default_factory=dict)
    #: Those whose last question has let them in, until they are.
    proven: dict[int, Account] = field(default_factory=dict)


@dataclass(slots=True)
class _Worker(_Child):
    """A session worker, or a proxy process."""

    key: Hashable
    #: Sessions, by the number that master gave them.
    sessions: dict[int, _Admission] = field(default_factory=dict)
    #: Log-ins for which another host is looked for.
    connecting: dict[int, tuple[_Login, _Pending]] = field(default_factory=dict)


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
        self._plan = plan
        self._listeners = list(listeners)
        self._limits = Limits(plan.max_daemons, plan.max_per_ip)
        self._set_limits()
        self._penalties = Penalties()
        self._access = _access(plan)
        self._selector = selectors.DefaultSelector()
        self._logins: dict[int, _Login] = {}
        self._workers: dict[int, _Worker] = {}
        self._helpers: dict[int, Callable[[], None]] = {}  # what to do when they have ended
        self._homes = Homes()
        self._by_key: dict[Hashable, _Worker] = {}
        self._clients: set[int] = set()  # descriptors of clients, while master has them
        self._numbers = itertools.count(1)
        self._generation = 0
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._ties = itertools.count()
        #: Log-ins that wait for authdaemond, or did, and until when; the soonest first, nearly.
        self._asked: deque[tuple[float, _Login, int]] = deque()
        self._expires = False  # the timer for them is set
        self._signals: set[int] = set()
        self._is_stopping = False

    def run(self) -> int:
        """Serve until SIGTERM; return an exit code."""
        title.show(f"{self._plan.name}: master")
        self._wake, wakeup = socket.socketpair()
        self._wake.setblocking(False)
        wakeup.setblocking(False)
        self._wakeup = wakeup
        signal.set_wakeup_fd(wakeup.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, self._note_signal)
        self._selector.register(self._wake, selectors.EVENT_READ, self._drain_wake)
        if self._logger is not None:
            logger = self._logger
            self._selector.register(logger, selectors.EVENT_READ, lambda *_: logger.pass_on())
        _allow_descriptors(self._plan.max_daemons)
        gc.freeze()  # what is loaded now is shared by all that are forked
        self._stamp = self._plan.stamp()  # before loading: what changes meanwhile is noticed
        self._start_logins()
        self._at(_LOOK_EVERY_S, self._look_at_files)
        interval_s = activation.watchdog_interval_s()
        if interval_s is not None:
            self._feed_watchdog(interval_s)
        while not (self._is_stopping and not self._logins and not self._workers):
            self._turn()
        self._leave_behind(())
        return 0

    def _turn(self) -> None:
        wait_s = max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None
        for key, events in self._selector.select(wait_s):
            key.data(key.fileobj, events)
        while self._timers and self._timers[0][0] <= time.monotonic():
            heapq.heappop(self._timers)[2]()
        signals, self._signals = self._signals, set()
        if signal.SIGCHLD in signals:
            self._reap()
        if signals & {signal.SIGTERM, signal.SIGINT}:
            self._stop()
        elif signal.SIGHUP in signals:
            self._reload()

    def _at(self, delay_s: float, call: Callable[[], None]) -> None:
        heapq.heappush(self._timers, (time.monotonic() + delay_s, next(self._ties), call))

    def _note_signal(self, number: int, frame: object) -> None:
        self._signals.add(number)

    def _drain_wake(self, wake: object, events: int) -> None:
        try:
            while self._wake.recv(4096):
                pass
        except BlockingIOError:
            pass

    def _feed_watchdog(self, interval_s: float) -> None:
        activation.notify(WATCHDOG=1)
        self._at(interval_s, lambda: self._feed_watchdog(interval_s))

    # -- processes -------------------------------------------------------------------------

    def _start_logins(self) -> None:
        for _ in range(self._plan.login_processes):
            self._start_login()

    def _start_login(self) -> None:
        plan, listeners = self._plan, self._listeners
        try:
            ours, theirs, pid = self._fork(listeners)
        except OSError as error:
            log.error("cannot start", "login process", error)
            self._at(_CRASHING_S, self._replace_login)
            return
        if pid == 0:
            _child(
                plan.name,
                lambda: login.run(
                    theirs,
                    listeners,
                    plan.prepare_login,
                    plan.login_ids,
                    plan.login_root,
                    is_isolated=plan.is_isolated,
                ),
                "login process",
            )
        theirs.close()
        started = _Login(pid, ours, time.monotonic(), self._generation, plan.is_isolated)
        self._logins[pid] = started
        self._selector.register(
            ours, selectors.EVENT_READ, lambda *_: self._hear(started, self._from_login)
        )

    def _start_worker(self, key: Hashable, ids: Ids) -> _Worker:
        """Raises OSError if the system has no room for one more."""
        umask, prepare = self._plan.umask, self._plan.prepare_session
        return self._start_server(
            key,
            lambda control: worker.run(control, ids, umask, prepare),
            f"worker, uid {ids.uid}",
        )

    def _start_proxy(self, key: Hashable) -> _Worker:
        """Raises OSError."""
        ids, prepare = self._plan.login_ids, self._plan.prepare_proxy
        return self._start_server(key, lambda control: proxy.run(control, ids, prepare), "proxy")

    def _start_server(
        self, key: Hashable, life: Callable[[socket.socket], None], what: str
    ) -> _Worker:
        """Start a process that is given clients. Raises OSError."""
        ours, theirs, pid = self._fork(())
        if pid == 0:
            _child(self._plan.name, lambda: life(theirs), what)
        theirs.close()
        started = _Worker(pid, ours, time.monotonic(), key)
        self._workers[pid] = self._by_key[key] = started
        self._selector.register(
            ours, selectors.EVENT_READ, lambda *_: self._hear(started, self._from_worker)
        )
        return started

    def _fork(self, listeners: Sequence[socket.socket]) -> tuple[socket.socket, socket.socket, int]:
        """Fork; give our end of a channel, the child's, and the child's process id or 0.

        In the child nothing of master's is left open but its end and ``listeners``.
        """
        ours, theirs = channel.pair()
        try:
            pid = os.fork()
        except OSError:
            ours.close()
            theirs.close()
            raise
        if pid == 0:
            try:
                signal.set_wakeup_fd(-1)
                for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
                    signal.signal(number, signal.SIG_DFL)
                ours.close()
                self._leave_behind(listeners)
            except BaseException:
                os._exit(1)  # never a second master
        return ours, theirs, pid

    def _leave_behind(self, kept: Sequence[socket.socket]) -> None:
        """Close every descriptor that is master's own."""
        owned: list[socket.socket] = [self._wake, self._wakeup, *self._listeners]
        for child in (*self._logins.values(), *self._workers.values()):
            owned.append(child.control)
        for started in self._logins.values():
            for pending in started.waiting.values():
                if isinstance(pending.exchange, Exchange):
                    pending.exchange.close()
        for client in self._clients:
            os.close(client)
        self._clients.clear()
        self._access.close()
        for end in owned:
            if end not in kept:
                end.close()
        if self._logger is not None:
            os.close(self._logger.fileno())
        self._selector.close()

    def _reap(self) -> None:
        """Bury processes that have ended, and replace them where they are needed."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            child = self._logins.get(pid) or self._workers.get(pid)
            if child is not None:
                self._bury(child, status)
            elif pid in self._helpers:
                self._helpers.pop(pid)()

    def _bury(self, child: _Child, status: int) -> None:
        child.is_buried = True
        # What it said before it died counts: a session that ended, a request that waits no more.
        take = self._from_worker if isinstance(child, _Worker) else self._from_login
        while self._hear(child, take):
            pass
        self._forget(child)
        code = os.waitstatus_to_exitcode(status)
        kind = "login process" if isinstance(child, _Login) else "worker"
        if code != 0 and not self._is_stopping:
            how = f"signal {-code}" if code < 0 else f"exit status {code}"
            log.died(kind, child.pid, how)
        if isinstance(child, _Login) and child.listens and not self._is_stopping:
            ready = {one.generation for one in self._logins.values() if one.is_ready}
            if not child.is_ready and ready and child.generation not in ready:
                log.line("ERR: the former settings and certificates stay in use")
                activation.notify(READY=1, STATUS="accepting connections, not all is reloaded")
                return
            lived = time.monotonic() - child.began
            self._at(0.0 if lived > _CRASHING_S else _CRASHING_S, self._replace_login)

    def _replace_login(self) -> None:
        listening = sum(1 for child in self._logins.values() if child.listens)
        if not self._is_stopping and listening < self._plan.login_processes:
            self._start_login()

    def _forget(self, child: _Child) -> None:
        try:
            self._selector.unregister(child.control)
        except KeyError:
            pass
        child.control.close()
        if isinstance(child, _Login):
            self._logins.pop(child.pid, None)
            for pending in child.waiting.values():
                self._drop(pending)
            child.waiting.clear()
            for admission in child.connections.values():
                self._limits.release(admission.place)
        elif isinstance(child, _Worker):
            self._workers.pop(child.pid, None)
            if self._by_key.get(child.key) is child:
                del self._by_key[child.key]
            for admission in child.sessions.values():
                self._limits.release(admission.place)
            for number in list(child.connecting):
                self._from_proxy(child, Kind.FAILED, number)

    def _hear(self, child: _Child, take: Callable[[_Child, list[bytes], int | None], None]) -> bool:
        """Take what a process sends; one that sends nonsense is ended.

        Returns: whether there may be more.
        """
        try:
            for _ in range(_MESSAGES_AT_ONCE):
                received = channel.receive(child.control)
                if received is None:
                    return False
                fields, descriptor = received
                if descriptor is not None:
                    self._clients.add(descriptor)
                try:
                    take(child, fields, descriptor)
                finally:
                    if descriptor is not None:
                        self._close(descriptor)  # whoever keeps it has a copy
        except ChannelClosed as error:
            try:
                self._selector.unregister(child.control)
            except (KeyError, ValueError):
                return False
            if str(error) == "closed":  # it ends now, or has to
                self._at(_PATIENCE_S, lambda: self._kill(child))
            else:
                if not child.is_buried:
                    log.warn(f"{error} from process {child.pid}, which is ended")
                self._kill(child)
            return False
        return True

    def _kill(self, child: _Child) -> None:
        if not child.is_buried:
            os.kill(child.pid, signal.SIGKILL)

    def _close(self, client: int) -> None:
        self._clients.discard(client)
        os.close(client)

    # -- login processes -------------------------------------------------------------------

    def _from_login(self, child: _Child, fields: list[bytes], descriptor: int | None) -> None:
        assert isinstance(child, _Login)
        kind = kind_of(fields)
        if kind is Kind.ADMIT:
            self._admit(child, fields)
        elif kind is Kind.READY:
            self._has_started(child)
        elif kind is Kind.FULL:
            self._replace_busy(child)
        elif kind is Kind.RELEASE:
            self._release(child, number_of(fields))
        elif kind is Kind.LOGIN and descriptor is not None:
            self._look_up(child, LoginRequest.of(fields), descriptor)
        elif kind is Kind.ASK and descriptor is None:
            self._look_up(child, Question.of(fields), None)
        else:
            raise ChannelClosed("unexpected message")

    def _admit(self, child: _Login, fields: list[bytes]) -> None:
        number, (peer, local) = number_of(fields), peers_of(fields)
        if number in child.connections:
            raise ChannelClosed("number in use")
        self._replace_busy(child)
        access, text = self._may_connect(peer, local)
        if isinstance(access, Denied):
            log.line(f"INFO: access denied by {access.key} of the access file, ip=[{peer.ip}]")
            self._answer(child, Kind.REFUSED, number, text)
            return
        place = self._limits.admit(peer.ip, child.pid, access.max_per_ip)
        if not isinstance(place, Admitted):
            log.line(place.log_line)
            self._answer(child, Kind.REFUSED, number)
            return
        notice = self._limits.notice(time.monotonic())
        if notice is not None:
            log.line(notice)
        child.connections[number] = _Admission(peer, place, access.environment)
        self._answer(child, Kind.ADMITTED, number, packed_environment(access.environment))

    def _replace_busy(self, child: _Login) -> None:
        """Start another in the place of a login process that serves its only connection."""
        if child.is_isolated and child.listens:
            child.listens = False
            self._replace_login()

    def _may_connect(self, peer: Peer, local: Peer) -> tuple[Allowed | Denied, bytes]:
        """Ask the access file; give its word, and what a client that is denied hears."""
        assigned: Mapping[str, str] = {}
        if self._plan.access_local:
            access = self._access.local(local.ip, int(local.port))
            if isinstance(access, Denied):
                return access, b""  # Courier: no text here
            assigned = access.environment
        access = self._access.remote(peer.ip)
        if isinstance(access, Denied):
            text = self._plan.deny_message
            return access, f"{text}\n".encode() if text else b""
        return Allowed({**assigned, **access.environment}), b""

    def _release(self, child: _Login, number: int) -> None:
        pending = child.waiting.pop(number, None)
        if pending is not None:
            self._drop(pending)
        child.proven.pop(number, None)
        admission = child.connections.pop(number, None)
        if admission is not None:
            self._limits.release(admission.place)

    def _answer(self, child: _Login, kind: Kind, number: int, *more: bytes) -> None:
        try:
            channel.send(child.control, [kind.value, b"%d" % number, *more])
        except BlockingIOError:
            log.warn(f"login process {child.pid} does not answer, which is ended")
            self._kill(child)
        except ChannelClosed:
            pass  # its end is noticed by SIGCHLD

    def _look_up(
        self, child: _Login, request: LoginRequest | Question, descriptor: int | None
    ) -> None:
        """Ask authdaemond. Answers come in any order; a slow one delays nobody else."""
        admission = child.connections.get(request.number)
        if (
            admission is None
            or request.number in child.waiting
            or len(child.waiting) >= _MAX_WAITING
        ):
            raise ChannelClosed("log-in out of turn")
        if self._is_stopping:
            self._answer(child, Kind.TEMPORARY, request.number)
            return
        try:
            exchange = self._ask(child, request, admission)
            client = None if descriptor is None else os.dup(descriptor)
        except OSError as error:
            log.error("cannot ask", self._plan.authdaemon_socket, error)
            self._answer(child, Kind.TEMPORARY, request.number)
            return
        if client is not None:
            self._clients.add(client)
        pending = _Pending(exchange, request, client)
        child.waiting[request.number] = pending
        self._follow(child, pending)

    def _ask(
        self, child: _Login, request: LoginRequest | Question, admission: _Admission
    ) -> Exchange | Outcome:
        ip = admission.peer.ip.encode()
        proven = child.proven.pop(request.number, None)  # good for what comes next, or for nothing
        if request.authtype == b"PROVEN":
            return proven or Rejected()
        asked: Request
        if request.authtype == b"EXTERNAL":
            asked = Lookup(request.service, request.first, remote_ip=ip)
        else:
            asked = Authenticate(
                request.service, request.authtype, request.first, Secret(request.second), ip
            )
        try:
            return Exchange(asked, self._plan.authdaemon_socket, self._plan.authdaemon_limits)
        except Refused:
            return Rejected()

    def _follow(self, child: _Login, pending: _Pending) -> None:
        """Wait for authdaemond's answer, or act on it if it is there."""
        exchange, number = pending.exchange, pending.request.number
        outcome = exchange.result if isinstance(exchange, Exchange) else exchange
        if outcome is not None:
            self._unfollow(pending)
            pending.exchange = outcome  # its deadline is over
            if not (
                self._passes_on(child, pending, outcome)
                or self._makes_home(child, pending, outcome)
            ):
                self._conclude(child, pending, outcome)
            return
        assert isinstance(exchange, Exchange)
        events = selectors.EVENT_WRITE if exchange.wants_write else selectors.EVENT_READ

        def ready(*_: object) -> None:
            exchange.on_ready()
            self._unfollow(pending)
            self._follow(child, pending)

        pending.registered = exchange.fileno()
        self._selector.register(pending.registered, events, ready)
        while self._asked and self._asked[0][2] not in self._asked[0][1].waiting:
            self._asked.popleft()
        self._asked.append((exchange.deadline, child, number))
        self._set_expiry()

    def _set_expiry(self) -> None:
        if self._asked and not self._expires:
            self._expires = True
            self._at(max(0.0, self._asked[0][0] - time.monotonic()), self._expire)

    def _expire(self) -> None:
        """Give up waiting for authdaemond where it is time.

        One timer does for all log-ins, whose limits are the same. What it goes by must not hold the
        requests, which it may outlive: there are passwords in them.
        """
        self._expires = False
        now = time.monotonic()
        for _ in range(len(self._asked)):
            due, child, number = self._asked.popleft()
            pending = child.waiting.get(number)
            if pending is None or not isinstance(pending.exchange, Exchange):
                continue  # it was answered
            if due > now:
                self._asked.appendleft((due, child, number))
                break
            if pending.exchange.deadline > now:  # it came on, or is another with this number
                self._asked.append((pending.exchange.deadline, child, number))
                continue
            self._unfollow(pending)
            pending.exchange.on_deadline()
            self._follow(child, pending)
        self._set_expiry()

    def _unfollow(self, pending: _Pending) -> None:
        if pending.registered >= 0:
            try:
                self._selector.unregister(pending.registered)
            except KeyError:
                pass
            pending.registered = -1

    def _drop(self, pending: _Pending) -> None:
        """Give up a lookup whose client is gone."""
        self._unfollow(pending)
        if isinstance(pending.exchange, Exchange):
            pending.exchange.close()
        if pending.client is not None:
            self._close(pending.client)

    def _conclude(self, child: _Login, pending: _Pending, outcome: Outcome) -> None:
        del child.waiting[pending.request.number]
        if pending.client is None:
            self._decide(child, pending, outcome)
            return
        try:
            self._decide(child, pending, outcome)
        finally:
            self._close(pending.client)

    def _makes_home(self, child: _Login, pending: _Pending, outcome: Outcome) -> bool:
        """Have an account's home made if it is missing, and let it in then.

        A process of its own looks, because a file system may not answer. A home that was there a
        moment ago is not looked for.
        """
        skeleton = self._plan.home_skeleton
        if skeleton is None or not isinstance(outcome, Account):
            return False
        if isinstance(pending.request, Question):
            return False
        if self._homes.is_known(outcome.home) or self._plan.refuse(outcome, pending.request.tls):
            return False
        try:
            who = identity(outcome)
            ids = Ids(who.uid, who.gid)
            privileges.check(ids)
            ours, theirs, pid = self._fork(())
        except (NoIdentity, OSError):
            return False  # letting it in says why that can't be
        if pid == 0:
            theirs.close()
            _child(self._plan.name, lambda: home.make(who.home, skeleton, ids), "home")
        ours.close()
        theirs.close()

        def ended() -> None:
            self._homes.saw(outcome.home)
            if child.waiting.get(pending.request.number) is pending:
                self._conclude(child, pending, outcome)

        self._helpers[pid] = ended
        self._at(_HOME_S, lambda: self._end_helper(pid))
        return True

    def _end_helper(self, pid: int) -> None:
        if pid in self._helpers:
            os.kill(pid, signal.SIGKILL)

    def _decide(self, child: _Login, pending: _Pending, outcome: Outcome) -> None:
        """Let a client in, or say why not."""
        request, number = pending.request, pending.request.number
        if isinstance(outcome, Temporary):
            for line in complaints(outcome):
                log.line(f"ERR: {line}")
            log.authentication_error(outcome.errno)
            self._answer(child, Kind.TEMPORARY, number)
        elif isinstance(outcome, Said) and isinstance(request, Question):
            self._answer(child, Kind.SAID, number, outcome.text.encode())
        elif not isinstance(outcome, Account):
            self._answer(child, Kind.REJECTED, number, b"%d" % self._count_failure(child, request))
        elif isinstance(request, Question):
            child.proven[number] = outcome
            self._answer(child, Kind.SAID, number, (outcome.sasl or "").encode())
        elif (refusal := self._plan.refuse(outcome, request.tls)) is not None:
            self._answer(child, Kind.DISABLED, number, refusal.encode())
        elif pending.client is not None:
            self._let_in(child, request, pending.client, outcome)

    def _count_failure(self, child: _Login, request: LoginRequest | Question) -> int:
        """Give the steps that its answer has to wait."""
        # With CRAM a challenge stands there.
        userid = b"" if request.authtype.startswith(b"cram-") else request.first
        ip = child.connections[request.number].peer.ip
        return self._penalties.failed(ip, userid, time.monotonic())

    def _let_in(self, child: _Login, asked: LoginRequest, client: int, account: Account) -> None:
        try:
            who = identity(account)
            ids = Ids(who.uid, who.gid, who.groups)
            privileges.check(ids)
        except (NoIdentity, OSError) as error:
            log.warn(f"{account.address}: {error}")
            self._answer(child, Kind.TEMPORARY, asked.number)
            return
        admission = child.connections[asked.number]
        session = next(self._numbers)
        request = SessionRequest(
            number=session,
            address=account.address,
            options=account.options or "",
            home=who.home,
            maildir=who.maildir or self._plan.default_maildir,
            peer=admission.peer,
            greeting=asked.greeting,
            unread=asked.unread,
            protocol=asked.protocol.decode("ascii", "replace"),
            tls=asked.tls,
            environment=admission.environment,
            quota=account.quota or "",
        )
        try:
            serving = self._pass_on(
                request.fields(),
                client,
                lambda: self._worker_for(ids, account.address),
            )
        except (OSError, ChannelClosed, ValueError) as error:
            log.warn(f"{account.address}: no worker takes the session: {error}")
            self._answer(child, Kind.TEMPORARY, asked.number)
            return
        del child.connections[asked.number]  # its count is the session's now
        serving.sessions[session] = admission
        self._answer(child, Kind.TAKEN, asked.number)

    def _pass_on(
        self, fields: Sequence[bytes], client: int, find: Callable[[], _Worker]
    ) -> _Worker:
        """Give a message and its client to the process that ``find`` finds or starts.

        Raises:
            OSError, ChannelClosed: none could be started, or it does not listen.
            ValueError: it does not fit into a message.
        """
        while True:
            known = len(self._workers)
            serving = find()
            try:
                channel.send(serving.control, fields, client)
            except ChannelClosed:  # it died a moment ago
                if len(self._workers) > known:  # as young as that
                    raise
                del self._by_key[serving.key]
            else:
                return serving

    # -- other hosts -----------------------------------------------------------------------

    def _passes_on(self, child: _Login, pending: _Pending, outcome: Outcome) -> bool:
        """Have a client served by another host, if its account's mail is there."""
        request, client = pending.request, pending.client
        if client is None or isinstance(request, Question) or not isinstance(outcome, Account):
            return False
        if self._plan.refuse(outcome, request.tls):
            return False
        admission = child.connections[request.number]
        hosts = self._plan.proxy_hosts(outcome, admission.environment)
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
        key = ("proxy", self._shard(outcome.address), self._generation)
        try:
            serving = self._pass_on(
                asked.fields(), client, lambda: self._by_key.get(key) or self._start_proxy(key)
            )
        except (OSError, ChannelClosed, ValueError) as error:
            log.warn(f"{outcome.address}: no proxy takes the connection: {error}")
            self._end_search(child, pending, Kind.UNREACHED)
        else:
            serving.connecting[asked.number] = (child, pending)
        return True

    def _from_proxy(self, child: _Worker, kind: Kind, number: int) -> None:
        """Learn that another host serves a client (REACHED), or that none does."""
        login_process, pending = child.connecting.pop(number)
        asked = pending.request.number
        if login_process.waiting.get(asked) is not pending:
            return  # the client has gone meanwhile, which the proxy will notice
        if kind is Kind.REACHED:
            child.sessions[number] = login_process.connections.pop(asked)
        self._end_search(
            login_process, pending, Kind.TAKEN if kind is Kind.REACHED else Kind.UNREACHED
        )

    def _end_search(self, child: _Login, pending: _Pending, answer: Kind) -> None:
        del child.waiting[pending.request.number]
        self._drop(pending)
        self._answer(child, answer, pending.request.number)

    # -- workers ---------------------------------------------------------------------------

    def _worker_for(self, ids: Ids, address: str) -> _Worker:
        """Find or start the worker of these ids; nobody else is ever served by it."""
        if self._plan.one_session_per_worker:
            return self._start_worker(("alone", next(self._ties)), ids)
        key = (ids, self._shard(address), self._generation)
        return self._by_key.get(key) or self._start_worker(key, ids)

    def _shard(self, address: str) -> int:
        return zlib.crc32(address.encode("utf-8", "surrogateescape")) % self._plan.shards

    def _from_worker(self, child: _Child, fields: list[bytes], descriptor: int | None) -> None:
        assert isinstance(child, _Worker)
        kind = kind_of(fields)
        if kind in (Kind.REACHED, Kind.FAILED) and number_of(fields) in child.connecting:
            self._from_proxy(child, kind, number_of(fields))
        elif kind is Kind.ENDED:
            admission = child.sessions.pop(number_of(fields), None)
            if admission is not None:
                self._limits.release(admission.place)
            if self._plan.one_session_per_worker and not child.sessions:
                self._let_go(child)
        elif kind is Kind.IDLE:
            if not (child.sessions or child.connecting):  # none is on its way, either
                self._let_go(child)
        else:
            raise ChannelClosed("unexpected message")

    def _let_go(self, child: _Worker) -> None:
        if self._by_key.get(child.key) is child:
            del self._by_key[child.key]
        self._tell(child, Kind.EXIT)

    def _tell(self, child: _Child, kind: Kind) -> None:
        try:
            channel.send(child.control, [kind.value])
        except (BlockingIOError, ChannelClosed):
            pass  # it is gone, or will be ended by a signal

    # -- reload and stop -------------------------------------------------------------------

    def _look_at_files(self) -> None:
        """Notice renewed certificates: the next connection gets them."""
        stamp = self._plan.stamp()
        if stamp != self._stamp and not self._is_stopping:
            self._stamp = stamp
            log.line("INFO: certificates have changed, loading them")
            self._next_generation()
        self._at(_LOOK_EVERY_S, self._look_at_files)

    def _reload(self) -> None:
        """Read the settings again; sessions go on with those they began with."""
        if self._is_stopping:
            return
        now_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        activation.notify(RELOADING=1, MONOTONIC_USEC=now_us)
        try:
            plan, listeners = self._load(self._listeners)
        except ConfigurationError as error:
            for line in str(error).splitlines():
                log.line(f"ERR: {line}")
            log.line("ERR: the settings stay as they were")
            activation.notify(READY=1, STATUS="accepting connections, settings not reloaded")
        else:
            for listener in self._listeners:
                if listener not in listeners:
                    listener.close()
            self._plan, self._listeners = plan, list(listeners)
            self._stamp = plan.stamp()
            self._set_limits()
            _allow_descriptors(plan.max_daemons)
            self._access.close()
            self._access = _access(plan)
            self._next_generation()

    def _set_limits(self) -> None:
        plan = self._plan
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
        self._generation += 1
        self._start_logins()

    def _has_started(self, child: _Login) -> None:
        child.is_ready = True
        fresh = [one for one in self._logins.values() if one.generation == self._generation]
        if not all(one.is_ready for one in fresh):
            return
        for one in self._logins.values():
            if one.generation != self._generation and one.listens:
                one.listens = False
                self._tell(one, Kind.DRAIN)
        activation.notify(READY=1, STATUS="accepting connections")
        self._ready()
        self._ready = _nothing

    def _stop(self) -> None:
        """Let everybody say goodbye, and end those who take too long."""
        if self._is_stopping:
            return
        self._is_stopping = True
        activation.notify(STOPPING=1, STATUS="ending sessions")
        for child in (*self._logins.values(), *self._workers.values()):
            self._tell(child, Kind.STOP)
        for login_process in self._logins.values():
            for number, pending in login_process.waiting.items():
                self._drop(pending)
                self._answer(login_process, Kind.TEMPORARY, number)
            login_process.waiting.clear()
        self._at(_PATIENCE_S, self._insist)

    def _insist(self) -> None:
        for child in (*self._logins.values(), *self._workers.values()):
            self._kill(child)


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


def _child(name: str, life: Callable[[], None], what: str) -> NoReturn:
    """Be a child process until its life ends; nothing of master's goes on in it."""
    code = 1
    try:
        title.show(f"{name}: {what}")
        life()
        code = 0
    except Exception as error:
        log.bug("-", what, error)
    finally:
        os._exit(code)

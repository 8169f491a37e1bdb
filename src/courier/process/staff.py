"""A master's processes: started, listened to, replaced, ended.

What they say is for others to act on (`courier.process.master`, `courier.process.entrance`).
"""

from __future__ import annotations

import itertools
import os
import signal
import socket
import time
import zlib
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import NoReturn

from courier import log
from courier.auth.client import Exchange
from courier.process import activation, channel, login, proxy, title, worker
from courier.process.channel import ChannelClosed
from courier.process.child import Child, Login, Worker
from courier.process.message import Kind
from courier.process.plan import Plan
from courier.process.privileges import Ids
from courier.process.reactor import EVENT_READ, Reactor

#: A process that ends sooner than this is replaced only after a pause.
CRASHING_S = 1.0
#: Seconds that the others have to end when the server stops.
PATIENCE_S = 5.0
#: Messages that are taken from one process before the others get their turn.
_MESSAGES_AT_ONCE = 100


@dataclass(slots=True)
class Present:
    """What counts now, for all parts of a master."""

    plan: Plan
    listeners: list[socket.socket]
    generation: int = 0  # of login processes, by what they have loaded
    is_stopping: bool = False


class Staff:
    """The login processes and workers that there are."""

    def __init__(
        self,
        reactor: Reactor,
        present: Present,
        *,
        heard: Callable[[Child, list[bytes], int | None], None],
        lost: Callable[[Child], None],
        close_own: Callable[[], None],
    ) -> None:
        """Start nothing yet.

        Args:
            heard: acts on a message, and on the descriptor that came with it (or is `channel.LOST`).
            lost: is told of a process that has ended, after all that it had said.
            close_own: closes what descriptors the caller has, in a child process too.
        """
        self._reactor = reactor
        self._present = present
        self._heard = heard
        self._lost = lost
        self._close_own = close_own
        self.logins: dict[int, Login] = {}
        self.workers: dict[int, Worker] = {}
        self._by_key: dict[Hashable, Worker] = {}
        self._helpers: dict[int, Callable[[], None]] = {}  # what to do when they have ended
        self._clients: set[int] = set()  # descriptors of clients, while master has them
        self._ties = itertools.count()

    def __iter__(self) -> Iterator[Child]:
        return iter([*self.logins.values(), *self.workers.values()])

    def start_logins(self) -> None:
        for _ in range(self._present.plan.login_processes):
            self._start_login()

    def _start_login(self) -> None:
        plan, listeners = self._present.plan, self._present.listeners
        try:
            ours, theirs, pid = self._fork(listeners)
        except OSError as error:
            log.recurring("cannot start", "login process", error)
            self._reactor.at(CRASHING_S, self.replace_login)
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
        started = Login(pid, ours, time.monotonic(), self._present.generation, plan.is_isolated)
        self.logins[pid] = started
        self._reactor.watch(ours.fileno(), EVENT_READ, lambda: self._hear(started))

    def _start_worker(self, key: Hashable, ids: Ids) -> Worker:
        """Raises OSError if the system has no room for one more."""
        umask, prepare = self._present.plan.umask, self._present.plan.prepare_session
        return self._start_server(
            key,
            lambda control: worker.run(control, ids, umask, prepare),
            f"worker, uid {ids.uid}",
        )

    def proxy_for(self, address: str) -> Worker:
        """Find or start the process that serves clients of other hosts. Raises OSError."""
        key = ("proxy", self._shard(address), self._present.generation)
        return self._by_key.get(key) or self._start_proxy(key)

    def _start_proxy(self, key: Hashable) -> Worker:
        ids, prepare = self._present.plan.login_ids, self._present.plan.prepare_proxy
        return self._start_server(key, lambda control: proxy.run(control, ids, prepare), "proxy")

    def _start_server(
        self, key: Hashable, life: Callable[[socket.socket], None], what: str
    ) -> Worker:
        """Start a process that is given clients. Raises OSError."""
        ours, theirs, pid = self._fork(())
        if pid == 0:
            _child(self._present.plan.name, lambda: life(theirs), what)
        theirs.close()
        channel.refuse_descriptors(ours)
        started = Worker(pid, ours, time.monotonic(), key)
        self.workers[pid] = self._by_key[key] = started
        self._reactor.watch(ours.fileno(), EVENT_READ, lambda: self._hear(started))
        return started

    def help(
        self, life: Callable[[], None], what: str, patience_s: float, ended: Callable[[], None]
    ) -> None:
        """Have something done by a process of its own, which is ended when it takes too long.

        Raises:
            OSError: the system has no room for one more.
        """
        ours, theirs, pid = self._fork(())
        if pid == 0:
            theirs.close()
            _child(self._present.plan.name, life, what)
        ours.close()
        theirs.close()
        self._helpers[pid] = ended
        self._reactor.at(patience_s, lambda: self._end_helper(pid))

    def _end_helper(self, pid: int) -> None:
        if pid in self._helpers:
            os.kill(pid, signal.SIGKILL)

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
                self._reactor.leave()
                ours.close()
                self.leave_behind(listeners)
            except BaseException:
                os._exit(1)  # never a second master
        return ours, theirs, pid

    def leave_behind(self, kept: Sequence[socket.socket]) -> None:
        """Close every descriptor that is master's own."""
        owned: list[socket.socket] = list(self._present.listeners)
        for child in self:
            owned.append(child.control)
        for started in self.logins.values():
            for pending in started.waiting.values():
                if isinstance(pending.exchange, Exchange):
                    pending.exchange.close()
        for client in self._clients:
            channel.discard(client)
        self._clients.clear()
        for end in owned:
            if end not in kept:
                end.close()
        self._close_own()
        self._reactor.close()

    def reap(self) -> None:
        """Bury processes that have ended, and replace them where they are needed."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            child = self.logins.get(pid) or self.workers.get(pid)
            if child is not None:
                self._bury(child, status)
            elif pid in self._helpers:
                self._helpers.pop(pid)()

    def _bury(self, child: Child, status: int) -> None:
        child.is_buried = True
        # What it said before it died counts: a session that ended, a request that waits no more.
        while self._hear(child):
            pass
        self._forget(child)
        code = os.waitstatus_to_exitcode(status)
        kind = "login process" if isinstance(child, Login) else "worker"
        if code != 0 and not self._present.is_stopping:
            how = f"signal {-code}" if code < 0 else f"exit status {code}"
            log.died(kind, child.pid, how)
        if isinstance(child, Login) and child.listens and not self._present.is_stopping:
            ready = {one.generation for one in self.logins.values() if one.is_ready}
            if not child.is_ready and ready and child.generation not in ready:
                log.line("ERR: the former settings and certificates stay in use")
                activation.notify(READY=1, STATUS="accepting connections, not all is reloaded")
                return
            lived = time.monotonic() - child.began
            self._reactor.at(0.0 if lived > CRASHING_S else CRASHING_S, self.replace_login)

    def replace_login(self) -> None:
        listening = sum(1 for child in self.logins.values() if child.listens)
        if not self._present.is_stopping and listening < self._present.plan.login_processes:
            self._start_login()

    def _forget(self, child: Child) -> None:
        self._reactor.forget(child.control.fileno())
        channel.close(child.control)
        self.logins.pop(child.pid, None)
        self.workers.pop(child.pid, None)
        if isinstance(child, Worker) and self._by_key.get(child.key) is child:
            del self._by_key[child.key]
        self._lost(child)

    def _hear(self, child: Child) -> bool:
        """Take what a process sends; one that sends nonsense is ended.

        Returns: whether there may be more.
        """
        try:
            for _ in range(_MESSAGES_AT_ONCE):
                received = channel.receive(child.control)
                if received is None:
                    return False
                fields, descriptor = received
                client = None if descriptor == channel.LOST else descriptor
                if client is not None:
                    self._clients.add(client)
                try:
                    self._heard(child, fields, descriptor)
                finally:
                    if client is not None:
                        self.close(client)  # whoever keeps it has a copy
        except ChannelClosed as error:
            if not self._reactor.forget(child.control.fileno()):
                return False
            if str(error) == "closed":  # it ends now, or has to
                self._reactor.at(PATIENCE_S, lambda: self.kill(child))
            else:
                if not child.is_buried:
                    log.warn(f"{error} from process {child.pid}, which is ended")
                self.kill(child)
            return False
        return True

    def kill(self, child: Child) -> None:
        if not child.is_buried:
            os.kill(child.pid, signal.SIGKILL)

    def keep(self, descriptor: int) -> int:
        """Keep a client that was sent along with a message. Raises OSError."""
        client = os.dup(descriptor)
        self._clients.add(client)
        return client

    def close(self, client: int) -> None:
        self._clients.discard(client)
        channel.discard(client)

    def pass_on(self, fields: Sequence[bytes], client: int, find: Callable[[], Worker]) -> Worker:
        """Give a message and its client to the process that ``find`` finds or starts.

        Raises:
            OSError, ChannelClosed: none could be started, or it does not listen.
            ValueError: it does not fit into a message.
        """
        while True:
            known = len(self.workers)
            serving = find()
            try:
                channel.send(serving.control, fields, client)
            except ChannelClosed:  # it died a moment ago
                if len(self.workers) > known:  # as young as that
                    raise
                del self._by_key[serving.key]
            else:
                return serving

    def worker_for(self, ids: Ids, address: str) -> Worker:
        """Find or start the worker of these ids; nobody else is ever served by it."""
        if self._present.plan.one_session_per_worker:
            return self._start_worker(("alone", next(self._ties)), ids)
        key = (ids, self._shard(address), self._present.generation)
        return self._by_key.get(key) or self._start_worker(key, ids)

    def _shard(self, address: str) -> int:
        return zlib.crc32(address.encode("utf-8", "surrogateescape")) % self._present.plan.shards

    def answer(
        self,
        child: Login,
        kind: Kind,
        number: int,
        *more: bytes,
    ) -> bool:
        """Tell a login process something of one of its connections. Returns: whether that went out."""
        try:
            channel.send(child.control, [kind.value, b"%d" % number, *more])
        except BlockingIOError:
            log.warn(f"login process {child.pid} does not answer, which is ended")
            self.kill(child)
        except ChannelClosed:
            pass  # its end is noticed by SIGCHLD
        else:
            return True
        return False

    def let_go(self, child: Worker) -> None:
        if self._by_key.get(child.key) is child:
            del self._by_key[child.key]
        self.tell(child, Kind.EXIT)

    def tell(self, child: Child, kind: Kind) -> None:
        try:
            channel.send(child.control, [kind.value])
        except (BlockingIOError, ChannelClosed):
            pass  # it is gone, or will be ended by a signal


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

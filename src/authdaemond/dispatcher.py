"""The dispatcher: talks to all clients at once, and has the modules' workers answer.

DESCRIPTION
    Accepts connections on authdaemond's socket, reads one request from each, asks the modules in
    order (`chain`), writes the reply and closes. Nobody waits for a slow client or a slow module
    but those who asked it.

SECURITY
    Runs as the mail user, without capabilities. The only process that reads what clients send.
    Workers and the master trust nothing that it says.
"""

from __future__ import annotations

import resource
import selectors
import socket
import time
from collections.abc import Callable, Mapping, Sequence

from authdaemond import chain, log, message
from authdaemond.chain import Answer, Ask, Reply, Usual
from authdaemond.message import Order
from authdaemond.pool import Job, Pool
from authdaemond.success_cache import SuccessCache
from authdaemond.timers import Timer, Timers
from courier.auth import request as requests
from courier.auth.challenge import Challenges
from courier.auth.request import Enumerate, Malformed, Request
from courier.process import channel
from courier.process.channel import ChannelClosed

#: Seconds for each wait for more of a request, and for each wait to write.
READ_S = 10.0
WRITE_S = 30.0
#: Clients at once, if as many files may be open. Above, those that are silent for more than a
#: second make room; if there are none, others wait in the socket's queue.
MAX_CLIENTS = 800
_OTHER_FILES = 128
_SILENT_S = 1.0
_PAUSE_S = 0.05
_ACCEPT_AT_ONCE = 64
#: Octets of a list that may wait for a client to read them.
MAX_UNSENT = 256 * 1024
#: Seconds between signs of life to the master.
ALIVE_S = 5.0
#: Seconds that clients have to get their replies when another dispatcher has taken over.
DRAIN_S = 90.0

_BLOCK = 16 * 1024


class Dispatcher:
    """``modules`` says of each, in order, whether it can list its accounts."""

    def __init__(
        self,
        listener: socket.socket,
        control: socket.socket,
        modules: Mapping[str, bool],
        daemons: int,
        cache: SuccessCache,
        challenges: Challenges,
        usual: Usual,
    ) -> None:
        self._listener = listener
        channel.refuse_descriptors(listener)
        self._control = control
        self._selector = selectors.DefaultSelector()
        self.timers = Timers()
        self.cache = cache
        self.challenges = challenges
        self.usual = usual
        self.modules = tuple(modules)
        self.listing = tuple(module for module, lists in modules.items() if lists)
        self._pools = [
            Pool(module, index, daemons, self._order, self._selector, self.timers)
            for index, module in enumerate(self.modules)
        ]
        # Those whose request isn't complete and since when they are silent, the longest first.
        self._reading: dict[Client, float] = {}
        self._clients: set[Client] = set()
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._max_clients = max(1, min(MAX_CLIENTS, files - _OTHER_FILES))
        self._stopping = False

    def run(self) -> None:
        """Serve until the master says stop or is gone, then finish what was begun."""
        self._selector.register(self._listener, selectors.EVENT_READ, self._on_connection)
        self._selector.register(self._control, selectors.EVENT_READ, self._on_control)
        self._be_alive()
        while not (self._stopping and not self._clients):
            for key, mask in self._selector.select(self.timers.wait_s()):
                handler: Callable[[int], None] = key.data
                # An earlier handler of this round may have closed it.
                if self._selector.get_map().get(key.fd) == key:
                    handler(mask)
            self.timers.run_due()
        for pool in self._pools:
            pool.close()

    # -- the master ----------------------------------------------------------------------------

    def _order(self, kind: Order, number: int) -> None:
        try:
            channel.send(self._control, message.order(kind, number))
        except (ChannelClosed, BlockingIOError):
            if kind is Order.START:
                self.timers.after(0, self._pools[number].not_started)

    def _on_control(self, mask: int) -> None:
        try:
            received = channel.receive(self._control)
            if received is None:
                return
            kind, numbers = message.read_order(received[0])
        except (ChannelClosed, message.Bad):
            self._lose_master()
            return
        if kind is Order.STOP:
            self._stop()
            for client in list(self._reading) if numbers[0] else ():
                client.close()
            return
        pool = self._pools[numbers[0]]
        if kind is Order.STARTED and received[1] not in (None, channel.LOST):
            worker = socket.socket(fileno=received[1])
            worker.setblocking(False)
            pool.add(numbers[1], worker)
        else:
            pool.not_started()

    def _be_alive(self) -> None:
        self._order(Order.ALIVE, 0)
        self.timers.after(ALIVE_S, self._be_alive)

    def _lose_master(self) -> None:
        """It has died: finish with the workers that are there."""
        self._selector.unregister(self._control)
        self._control.close()
        self._stop()

    def _stop(self) -> None:
        if not self._stopping:
            self._stopping = True
            if self._listener in self._selector.get_map():
                self._selector.unregister(self._listener)
            self._listener.close()
            self.timers.after(DRAIN_S, self._abandon)

    def _abandon(self) -> None:
        for client in list(self._clients):
            client.close()

    # -- clients -------------------------------------------------------------------------------

    def _on_connection(self, mask: int) -> None:
        for _ in range(_ACCEPT_AT_ONCE):
            if len(self._clients) >= self._max_clients and not self._make_room():
                self._pause()
                return
            try:
                connection, _address = self._listener.accept()
            except BlockingIOError:
                return
            except ConnectionAbortedError:
                continue
            except OSError as error:  # no descriptor or memory is left: it is no use to try at once
                log.recurring("accept", error)
                self._pause()
                return
            connection.setblocking(False)
            client = Client(self, connection)
            self._clients.add(client)
            client.read()

    def _make_room(self) -> bool:
        """Turn away who has been silent for longest, but nobody who has only just come."""
        for client, since in self._reading.items():
            if time.monotonic() - since < _SILENT_S:
                break
            client.close()
            return True
        return False

    def _pause(self) -> None:
        """Leave further clients in the socket's queue for a moment."""

        def resume() -> None:
            if not self._stopping:
                self._selector.register(self._listener, selectors.EVENT_READ, self._on_connection)

        self._selector.unregister(self._listener)
        self.timers.after(_PAUSE_S, resume)

    def pool(self, module: str) -> Pool:
        return self._pools[self.modules.index(module)]

    def watch(self, client: Client, events: int) -> None:
        """Have ``client`` called when it can read or write; 0: for nothing."""
        watched = client.connection.fileno() in self._selector.get_map()
        if events and watched:
            self._selector.modify(client.connection, events, client.on_ready)
        elif events:
            self._selector.register(client.connection, events, client.on_ready)
        elif watched:
            self._selector.unregister(client.connection)

    def is_silent(self, client: Client) -> None:
        self._reading.pop(client, None)
        self._reading[client] = time.monotonic()

    def is_read(self, client: Client) -> None:
        self._reading.pop(client, None)

    def forget(self, client: Client) -> None:
        self._reading.pop(client, None)
        self._clients.discard(client)


class Client:
    """One connection: reads its request, takes the chain's steps, writes the reply, closes."""

    def __init__(self, dispatcher: Dispatcher, connection: socket.socket) -> None:
        self._dispatcher = dispatcher
        self.connection = connection
        self._reader = requests.Reader()
        self._request: Request | None = None
        self._steps: chain.Steps | None = None
        self._asked = ""
        self._job: Job | None = None
        self._unsent = bytearray()
        self._is_complete = False
        self._timer: Timer | None = None

    def on_ready(self, mask: int) -> None:
        if self._request is None:
            self.read()
        else:
            self._write()

    def close(self) -> None:
        if self.connection.fileno() < 0:
            return
        self._set_timer(None)
        if self._job is not None:
            job, self._job = self._job, None
            self._dispatcher.pool(self._asked).give_up(job)
        self._dispatcher.watch(self, 0)
        self._dispatcher.forget(self)
        # What is left unread would end in ECONNRESET there, where EOF is expected.
        channel.close_stream(self.connection)

    def _set_timer(self, seconds: float | None) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = self._dispatcher.timers.after(seconds, self.close) if seconds else None

    # -- the request ---------------------------------------------------------------------------

    def read(self) -> None:
        try:
            data = channel.octets(self.connection, _BLOCK)
            if not data:
                self.close()
                return
            self._request = self._reader.feed(data)
        except BlockingIOError:
            pass
        except (OSError, Malformed):
            self.close()
            return
        if self._request is None:
            self._set_timer(READ_S)
            self._dispatcher.watch(self, selectors.EVENT_READ)
            self._dispatcher.is_silent(self)
            return
        # Whatever comes now, an end too, doesn't matter.
        self._set_timer(None)
        self._dispatcher.watch(self, 0)
        self._dispatcher.is_read(self)
        listing = isinstance(self._request, Enumerate)
        self._steps = chain.steps(
            self._request,
            self._dispatcher.listing if listing else self._dispatcher.modules,
            self._dispatcher.cache,
            self._dispatcher.challenges,
            self._dispatcher.usual,
        )
        self._advance(None)

    # -- the chain -----------------------------------------------------------------------------

    def _advance(self, answer: Answer | None) -> None:
        assert self._steps is not None and self._request is not None
        while True:
            try:
                step = next(self._steps) if answer is None else self._steps.send(answer)
            except StopIteration:
                self._is_complete = True
                self._write()
                return
            answer = None
            if isinstance(step, Ask):
                self._asked = step.module
                fields = message.write_request(step.request)
                self._job = Job(fields, self._on_part, self._on_answer)
                self._dispatcher.pool(step.module).submit(self._job)
                return
            if step.delay_s:
                self._hold_back(step)
                return
            self._unsent += step.data

    def _hold_back(self, step: Reply) -> None:
        def go_on() -> None:
            self._unsent += step.data
            self._advance(None)

        self._timer = self._dispatcher.timers.after(step.delay_s, go_on)

    def _on_part(self, data: bytes) -> bool:
        self._unsent += data
        self._write()
        return len(self._unsent) < MAX_UNSENT

    def _on_answer(self, answer: Answer) -> None:
        self._job = None
        self._advance(answer)

    # -- the reply -----------------------------------------------------------------------------

    def _write(self) -> None:
        try:
            while self._unsent:
                sent = self.connection.send(self._unsent[:_BLOCK], socket.MSG_NOSIGNAL)
                del self._unsent[:sent]
        except BlockingIOError:
            self._set_timer(WRITE_S)
            self._dispatcher.watch(self, selectors.EVENT_WRITE)
            return
        except OSError:
            self.close()
            return
        if self._is_complete:
            self.close()
            return
        self._set_timer(None)
        self._dispatcher.watch(self, 0)
        if self._job is not None:
            self._dispatcher.pool(self._asked).resume(self._job)


def run(
    listener: socket.socket,
    control: socket.socket,
    modules: Sequence[tuple[str, bool]],
    daemons: int,
    cache: SuccessCache,
    challenges: Challenges,
    usual: Usual,
) -> None:
    """Be a dispatcher until the master lets go."""
    Dispatcher(listener, control, dict(modules), daemons, cache, challenges, usual).run()

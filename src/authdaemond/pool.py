"""The workers of one module, as the dispatcher sees them: who is free, who waits.

Each worker has one request at a time. Another one is started as soon as a request would wait, up
to a limit; a worker that has had nothing to do for a while, or has done much, is let go. One that
doesn't answer is killed by the master, one that crashed is replaced when it is needed.
"""

from __future__ import annotations

import selectors
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from authdaemond import log, message
from authdaemond.chain import Answer, Verdict
from authdaemond.message import Order
from authdaemond.timers import Timer, Timers
from courier.process import channel
from courier.process.channel import ChannelClosed

#: Seconds a module has for an answer, or for the next piece of a list.
ANSWER_S = 60.0
#: Seconds a request waits for a worker. Nobody waits longer for the reply.
WAIT_S = 30.0
#: Requests that may wait for one module.
LONGEST_QUEUE = 1000
#: Seconds without a request after which a worker goes, and with it its open files and connections.
IDLE_S = 300.0
#: Requests after which a worker goes: libraries that PAM loads may leak.
ENOUGH = 10_000

_TEMPORARY = Answer(Verdict.TEMPORARY)


@dataclass(slots=True, eq=False)
class Job:
    """A request for a module, and who wants to hear of it."""

    fields: list[bytes]
    on_part: Callable[[bytes], bool]  # False: no more pieces now
    on_answer: Callable[[Answer], None]
    timer: Timer | None = None
    worker: Worker | None = None


@dataclass(slots=True, eq=False)
class Worker:
    number: int
    channel: socket.socket
    job: Job | None = None
    timer: Timer | None = None
    served: int = 0


class Pool:
    """``order`` tells the master something; it answers by `add` or `not_started`."""

    def __init__(
        self,
        module: str,
        index: int,
        limit: int,
        order: Callable[[Order, int], None],
        selector: selectors.BaseSelector,
        timers: Timers,
    ) -> None:
        self.module = module
        self._index = index
        self._limit = limit
        self._order = order
        self._selector = selector
        self._timers = timers
        self._starting = 0
        self._workers: dict[int, Worker] = {}
        self._idle: list[Worker] = []
        self._waiting: deque[Job] = deque()

    def submit(self, job: Job) -> None:
        if len(self._waiting) >= LONGEST_QUEUE:
            log.error(f"{self.module}: too many requests wait")
            job.on_answer(_TEMPORARY)
            return
        self._waiting.append(job)
        self._assign()
        if self._waiting and self._waiting[-1] is job:
            job.timer = self._timers.after(WAIT_S, lambda: self._waited_too_long(job))

    def give_up(self, job: Job) -> None:
        """Nobody wants to hear of ``job`` any more. A worker in the middle of it is let go."""
        if job.timer:
            job.timer.cancel()
        if job in self._waiting:
            self._waiting.remove(job)
        elif job.worker is not None:
            worker, job.worker = job.worker, None
            self._remove(worker)

    def resume(self, job: Job) -> None:
        """Pieces of a list are welcome again."""
        if job.worker is not None:
            self._watch(job.worker, readable=True)

    def add(self, number: int, worker_channel: socket.socket) -> None:
        """A worker was started."""
        self._starting -= 1
        worker = Worker(number, worker_channel)
        self._workers[number] = worker
        self._watch(worker, readable=True)
        self._rest(worker)
        self._assign()

    def not_started(self) -> None:
        """A worker could not be started: requests go on waiting for others, if there are any."""
        self._starting -= 1
        if not self._workers and not self._starting:
            waiting, self._waiting = self._waiting, deque()
            for job in waiting:
                self._finish(job, _TEMPORARY)

    def close(self) -> None:
        """Let all workers go."""
        for worker in list(self._workers.values()):
            self._remove(worker)

    def _assign(self) -> None:
        while self._waiting and self._idle:
            worker, job = self._idle.pop(), self._waiting.popleft()
            if worker.timer:
                worker.timer.cancel()
            worker.job, job.worker = job, worker
            worker.served += 1
            self._restart_timer(worker, job)
            try:
                channel.send(worker.channel, job.fields)
            except (ChannelClosed, BlockingIOError):
                self._crashed(worker)
        missing = len(self._waiting) - self._starting
        room = self._limit - len(self._workers) - self._starting
        for _ in range(min(missing, room)):
            self._starting += 1
            self._order(Order.START, self._index)

    def _restart_timer(self, worker: Worker, job: Job) -> None:
        if job.timer:
            job.timer.cancel()
        job.timer = self._timers.after(ANSWER_S, lambda: self._hangs(worker))

    def _watch(self, worker: Worker, *, readable: bool) -> None:
        watched = worker.channel.fileno() in self._selector.get_map()
        if readable and not watched:
            self._selector.register(
                worker.channel, selectors.EVENT_READ, lambda mask: self._on_readable(worker)
            )
        elif watched and not readable:
            self._selector.unregister(worker.channel)

    def _on_readable(self, worker: Worker) -> None:
        try:
            received = channel.receive(worker.channel)
            if received is None:
                return
            if received[1] not in (None, channel.LOST):
                channel.discard(received[1])
            answer = message.read_answer(received[0])
        except (ChannelClosed, message.Bad):
            self._crashed(worker)
            return
        job = worker.job
        if job is None:  # it has nothing to say
            self._remove(worker)
        elif isinstance(answer, bytes):
            self._restart_timer(worker, job)
            if not job.on_part(answer) and job.worker is not None:
                self._watch(worker, readable=False)
        else:
            worker.job = None
            if worker.served >= ENOUGH:
                self._remove(worker)
            else:
                self._rest(worker)
            self._finish(job, answer)
            self._assign()

    def _rest(self, worker: Worker) -> None:
        self._idle.append(worker)
        worker.timer = self._timers.after(IDLE_S, lambda: self._remove(worker))

    def _finish(self, job: Job, answer: Answer) -> None:
        if job.timer:
            job.timer.cancel()
        job.worker = None
        job.on_answer(answer)

    def _waited_too_long(self, job: Job) -> None:
        log.error(f"{self.module}: a request has waited {WAIT_S:.0f} seconds")
        self._waiting.remove(job)
        self._finish(job, _TEMPORARY)

    def _hangs(self, worker: Worker) -> None:
        log.error(f"{self.module}: no answer in {ANSWER_S:.0f} seconds, its worker is replaced")
        self._order(Order.KILL, worker.number)
        self._crashed(worker)

    def _crashed(self, worker: Worker) -> None:
        job, worker.job = worker.job, None
        self._remove(worker)
        if job is not None:
            self._finish(job, _TEMPORARY)
        self._assign()

    def _remove(self, worker: Worker) -> None:
        if self._workers.pop(worker.number, None) is None:
            return
        if worker in self._idle:
            self._idle.remove(worker)
        if worker.timer:
            worker.timer.cancel()
        self._watch(worker, readable=False)
        worker.channel.close()

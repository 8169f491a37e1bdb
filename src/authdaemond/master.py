"""The master: starts the dispatcher, and workers when it asks for them, and replaces them all.

DESCRIPTION
    One dispatcher and its workers are a generation. SIGHUP makes a new one from settings read
    anew, which accepts from then on, while the old one finishes; nobody is turned away. SIGTERM
    lets the last one finish. Bad settings leave the old generation in place.

SECURITY
    Runs as root if started so. Reads settings, and from the dispatcher numbers that it checks.
"""

from __future__ import annotations

import contextlib
import gc
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from authdaemond import backends, dispatcher, log, message, settings, worker
from authdaemond.backends import NotInstalled
from authdaemond.backends.backend import Backend
from authdaemond.chain import Usual
from authdaemond.message import Order
from authdaemond.settings import Settings, SettingsError
from authdaemond.success_cache import SuccessCache
from courier.auth import libcrypt
from courier.auth.challenge import Challenges
from courier.process import activation, channel, privileges, title
from courier.process.channel import ChannelClosed
from courier.process.logger import Logger
from courier.process.privileges import Ids

#: Seconds that the daemon may take to finish when it is stopped.
_STOP_S = 5.0
#: A dispatcher that ends sooner than this is replaced after a pause only.
_CRASHING_S = 1.0


@dataclass(slots=True, eq=False)
class Generation:
    """A dispatcher, its workers by number, and what they were started with."""

    settings: Settings
    modules: dict[str, type[Backend]]
    pid: int = 0
    control: socket.socket | None = None
    workers: dict[int, int] = field(default_factory=dict)
    workers_of: dict[str, set[int]] = field(default_factory=dict)
    began: float = 0.0


class Master:
    """The daemon. `run` is its life."""

    def __init__(
        self,
        configuration: Path,
        key: bytes,
        listener: socket.socket,
        signals: socket.socket,
        become: Ids | None,
        logger: Logger | None,
    ) -> None:
        """``signals`` are those of the function `signals`.

        Args:
            key: what `Challenges` are made of.
            become: as whom a dispatcher runs, and workers that need no more; None: as started.
            logger: takes the log lines of all processes to syslog.
        """
        self._configuration = configuration
        self._key = key
        self._listener = listener
        self._become = become
        self._logger = logger
        self._selector = selectors.DefaultSelector()
        self._current: Generation | None = None
        self._generations: set[Generation] = set()
        self._last_worker = 0
        self._stop_at: float | None = None
        self._start_at: float | None = None
        self._signals = signals

    def run(self, first: Settings, ready: Callable[[], None]) -> int:
        """Serve until SIGTERM; ``ready`` is called once clients can come."""
        title.show("authdaemond: master")
        self._selector.register(self._signals, selectors.EVENT_READ, self._on_signals)
        if self._logger:
            self._selector.register(self._logger, selectors.EVENT_READ, self._logger.pass_on)
        self._start(self._load_modules(first))
        ready()
        activation.notify(READY=1, STATUS="serving")
        while self._generations or self._stop_at is None:
            for key, _ in self._selector.select(self._wait_s()):
                handler: Callable[[], None] = key.data
                handler()
            self._look_at_clock()
        if self._logger:
            self._logger.pass_on()
        return 0

    def _wait_s(self) -> float | None:
        due = [at for at in (self._stop_at, self._start_at) if at is not None]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _look_at_clock(self) -> None:
        now = time.monotonic()
        if self._start_at is not None and now >= self._start_at and self._current:
            self._start_at = None
            if self._stop_at is None:
                self._start_again(self._current)
        if self._stop_at is not None and now >= self._stop_at:
            self._stop_at = now + _STOP_S
            for generation in self._generations:
                for pid in (generation.pid, *generation.workers.values()):
                    _kill(pid)

    def _start_again(self, before: Generation) -> None:
        try:
            self._start(Generation(before.settings, before.modules))
        except OSError as error:  # no descriptor or memory is left
            log.recurring("cannot start dispatcher", error)
            self._start_at = time.monotonic() + _CRASHING_S

    # -- signals -------------------------------------------------------------------------------

    def _on_signals(self) -> None:
        numbers = set(self._signals.recv(4096))
        if signal.SIGCHLD in numbers:
            self._reap()
        if signal.SIGTERM in numbers or signal.SIGINT in numbers:
            self._stop()
        elif signal.SIGHUP in numbers and self._stop_at is None:
            self._reload()

    def _stop(self) -> None:
        if self._stop_at is not None:
            return
        activation.notify(STOPPING=1)
        log.stopping()
        self._stop_at = time.monotonic() + _STOP_S
        for generation in self._generations:
            self._let_finish(generation, hurry=True)

    def _reload(self) -> None:
        now_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        activation.notify(RELOADING=1, MONOTONIC_USEC=now_us)
        log.stopping()
        try:
            found = settings.load(self._configuration)
        except SettingsError as error:
            for line in error.lines:
                log.error(line)
            log.error("the settings are as before")
        else:
            log.restarting()
            self._replace(found)
        activation.notify(READY=1, STATUS="serving")

    def _replace(self, found: Settings) -> None:
        """Start a dispatcher with new settings in the place of the one there is."""
        before = self._current
        try:
            self._start(self._load_modules(found, before))
        except OSError as error:
            log.system_error("cannot start dispatcher", error)
            log.error("the settings are as before")
            return
        if before is not None:
            self._let_finish(before, hurry=False)
        if self._logger:
            self._logger.configure(found.logger_options)

    def _let_finish(self, generation: Generation, *, hurry: bool) -> None:
        if generation.control is not None:
            with contextlib.suppress(ChannelClosed, BlockingIOError):
                channel.send(generation.control, message.order(Order.STOP, int(hurry)))

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._ended(pid, os.waitstatus_to_exitcode(status))

    def _ended(self, pid: int, code: int) -> None:
        for generation in list(self._generations):
            if pid == generation.pid:
                self._dispatcher_ended(generation, code)
                return
            for number, worker_pid in generation.workers.items():
                if worker_pid == pid:
                    self._worker_ended(generation, number, code)
                    return

    def _dispatcher_ended(self, generation: Generation, code: int) -> None:
        self._close(generation)
        generation.pid = 0
        if generation is self._current and self._stop_at is None:
            log.error(f"dispatcher {_how(code)}, another one is started")
            is_crashing = time.monotonic() - generation.began < _CRASHING_S
            self._start_at = time.monotonic() + (_CRASHING_S if is_crashing else 0.0)
        self._forget_if_gone(generation)

    def _worker_ended(self, generation: Generation, number: int, code: int) -> None:
        del generation.workers[number]
        for name, numbers in generation.workers_of.items():
            if number in numbers:
                numbers.remove(number)
                if code:
                    log.error(f"{name}: worker {_how(code)}")
        self._forget_if_gone(generation)

    def _forget_if_gone(self, generation: Generation) -> None:
        if generation.pid == 0 and not generation.workers:
            self._generations.discard(generation)

    # -- starting ------------------------------------------------------------------------------

    def _load_modules(self, found: Settings, before: Generation | None = None) -> Generation:
        log.set_level(found.debug_login)
        if found.daemons == 0:
            log.no_daemons()
        log.modules(found.modules, max(1, found.daemons))
        for name in before.modules if before else ():
            log.uninstalling(name)
        modules: dict[str, type[Backend]] = {}
        for name in dict.fromkeys(found.modules):
            log.installing(name)
            try:
                modules[name] = backends.load(name)
            except NotInstalled as reason:
                log.not_installed(str(reason))
            else:
                log.installed(name)
        gc.freeze()  # pages shared with children stay shared
        return Generation(found, modules)

    def _start(self, generation: Generation) -> None:
        """Start the dispatcher of a new generation."""
        ours, theirs = channel.pair()
        modules = [(name, backend.LISTS) for name, backend in generation.modules.items()]
        daemons = max(1, generation.settings.daemons)
        files = {file for backend in generation.modules.values() for file in backend.FILES}
        cache = SuccessCache(generation.settings.success_cache_s, sorted(files))
        challenges = Challenges(self._key, generation.settings.scram_iterations)
        usual = Usual(_best_setting())
        listener = self._listener
        try:
            generation.pid = self._fork(
                [theirs, listener],
                self._become,
                "dispatcher",
                lambda: dispatcher.run(
                    listener, theirs, modules, daemons, cache, challenges, usual
                ),
            )
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        generation.control = ours
        generation.began = time.monotonic()
        generation.workers_of = {name: set() for name in generation.modules}
        self._generations.add(generation)
        self._current = generation
        self._selector.register(
            ours, selectors.EVENT_READ, lambda: self._on_order(generation, ours)
        )

    def _on_order(self, generation: Generation, control: socket.socket) -> None:
        try:
            received = channel.receive(control)
            if received is None:
                return
            if received[1] not in (None, channel.LOST):
                channel.discard(received[1])
            kind, numbers = message.read_order(received[0])
            self._obey(generation, control, kind, *numbers)
        except (ChannelClosed, BlockingIOError, message.Bad, TypeError, IndexError):
            self._close(generation)  # it ends, does not listen, or talks nonsense
            _kill(generation.pid)  # one that is ending by itself keeps its exit code

    def _obey(
        self, generation: Generation, control: socket.socket, kind: Order, number: int
    ) -> None:
        match kind:
            case Order.ALIVE:
                activation.notify(WATCHDOG=1)
            case Order.KILL if number in generation.workers:
                _kill(generation.workers[number])
            case Order.START if 0 <= number < len(generation.modules):
                self._start_worker(generation, control, number)

    def _start_worker(self, generation: Generation, control: socket.socket, index: int) -> None:
        name, backend = list(generation.modules.items())[index]
        numbers = generation.workers_of[name]
        # Twice the limit: those that hang or are leaving don't count for the dispatcher.
        if len(numbers) >= 2 * max(1, generation.settings.daemons):
            channel.send(control, message.order(Order.FAILED, index))
            return
        found = generation.settings
        try:
            ours, theirs = channel.pair()
        except OSError as error:
            log.recurring("cannot start worker", error)
            channel.send(control, message.order(Order.FAILED, index))
            return
        try:
            pid = self._fork(
                [theirs],
                None if backend.NEEDS_ROOT else self._become,
                f"worker, {name}",
                lambda: _work(theirs, name, backend, found),
            )
        except OSError as error:
            log.system_error("fork", error)
            ours.close()
            channel.send(control, message.order(Order.FAILED, index))
            return
        finally:
            theirs.close()
        self._last_worker += 1
        number = self._last_worker
        generation.workers[number] = pid
        numbers.add(number)
        with ours:
            channel.send(control, message.order(Order.STARTED, index, number), ours.fileno())

    def _fork(
        self, keep: list[socket.socket], become: Ids | None, what: str, serve: Callable[[], None]
    ) -> int:
        pid = os.fork()
        if pid:
            return pid
        code = 1
        try:
            _shed([one.fileno() for one in keep])
            if become is not None:
                privileges.become(become)
                privileges.no_new_privileges()
            privileges.no_core_dumps()
            title.show(f"authdaemond: {what}")
            serve()
            code = 0
        except BaseException as failure:
            log.bug("authdaemond", failure)
        finally:
            # Never back into the code of the master, whose objects own closed descriptors.
            os._exit(code)

    def _close(self, generation: Generation) -> None:
        if generation.control is not None:
            self._selector.unregister(generation.control)
            channel.close(generation.control)
            generation.control = None


def _best_setting() -> bytes:
    """What new passwords are hashed with where nothing else is said."""
    try:
        return libcrypt.setting()
    except libcrypt.CryptError:
        return b""


def _work(control: socket.socket, name: str, backend: type[Backend], found: Settings) -> None:
    os.environ.update(
        {key: value for key, value in found.environment.items() if "\0" not in key + value}
    )
    worker.run(control, name, backend, found.default_options)


def signals() -> socket.socket:
    """Have signals arrive as octets on a socket, from now on: before anybody knows that the daemon is there."""
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setblocking(False)
    signal.set_wakeup_fd(theirs.detach(), warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
        signal.siginterrupt(number, False)
    return ours


def _shed(keep: list[int]) -> None:
    """Leave the master behind: its signals and all its descriptors but ``keep`` and the log."""
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)  # PAM's modules ask no terminal
    os.dup2(null, 1)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        # A terminal's or a service manager's signal reaches all: the master tells when to end.
        signal.signal(number, signal.SIG_IGN)
    at = 3
    for descriptor in sorted(keep):
        os.closerange(at, descriptor)
        at = descriptor + 1
    os.closerange(at, os.sysconf("SC_OPEN_MAX"))


def _kill(pid: int) -> None:
    if pid:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _how(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"ended by signal {-code}"

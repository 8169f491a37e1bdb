"""A real master whose login processes and workers are puppets: the test plays them.

Each puppet is a real process that passes its end of the channel to the test and sleeps. So a test
says what a hostile login process would say, and sees all that master answers.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

from courier import log
from courier.auth.account import Account
from courier.auth.client import Timeouts
from courier.process import channel, login, proxy, staff, worker
from courier.process.channel import ChannelClosed
from courier.process.master import ConfigurationError, Master
from courier.process.message import Kind, LoginRequest
from courier.process.plan import Plan
from courier.process.privileges import Ids
from tests.support.daemon import is_alive, wait_until
from tests.support.fake_authdaemond import Entry, FakeAuthdaemond

PATIENCE_S = 20.0
#: How long master waits for authdaemond's answer: for a test, until it moves master's clock (`Stage.later`).
AUTHDAEMOND_S = 10_000.0


@dataclass
class Puppet:
    """A process that master started, played by the test."""

    kind: str
    pid: int
    control: socket.socket

    def say(self, kind: Kind, *fields: bytes, descriptor: int | None = None) -> None:
        channel.send(self.control, [kind.value, *fields], descriptor)

    def hear(self) -> list[bytes]:
        """The next message; a descriptor that comes with it is closed."""
        fields, descriptor = self.hear_with_descriptor()
        if descriptor is not None:
            os.close(descriptor)
        return fields

    def hear_with_descriptor(self) -> tuple[list[bytes], int | None]:
        received = None
        while received is None:
            assert select.select([self.control], [], [], PATIENCE_S)[0], "master says nothing"
            received = channel.receive(self.control)
        return received

    def says_nothing(self) -> bool:
        """Whether master has said nothing, seen from now; a question is put in between."""
        return not select.select([self.control], [], [], 0.0)[0]

    def admit(self, number: int, ip: str = "192.0.2.1") -> list[bytes]:
        self.say(Kind.ADMIT, b"%d" % number, ip.encode(), b"1234", b"192.0.2.143", b"143")
        return self.hear()

    def log_in(
        self, number: int, userid: str = "u@example.com", password: str = "pw", **changed: Any
    ) -> socket.socket:
        """Send a client's credentials and one end of a pair as its socket; return the other."""
        ours, theirs = socket.socketpair()
        request = LoginRequest(
            number=number,
            service=b"imap",
            authtype=b"login",
            first=userid.encode(),
            second=password.encode(),
            greeting=b"a OK LOGIN Ok.\r\n",
            unread=b"",
            protocol=b"IMAP",
            tls=False,
        )
        with theirs:
            channel.send(self.control, replace(request, **changed).fields(), theirs.fileno())
        return ours

    def is_alive(self) -> bool:
        return is_alive(self.pid)

    def die(self) -> None:
        """End, unless master has ended it already for what it said."""
        self.control.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


@dataclass
class Settings:
    """What the next (re)load gives; written into a file that master's process reads."""

    max_daemons: int = 100
    max_per_ip: int = 100
    login_processes: int = 1
    is_isolated: bool = False
    one_session_per_worker: bool = False
    shards: int = 1
    takes_certificates: bool = False


@dataclass
class Stage:
    """A master in a process of its own, with its puppets and its authdaemond."""

    directory: Path
    settings: Settings = field(default_factory=Settings)
    patience_s: float = 5.0

    def __post_init__(self) -> None:
        self.authdaemond = FakeAuthdaemond(self.directory / "authdaemond")
        self.authdaemond.start()
        self.add_account("u@example.com")
        self.puppets: list[Puppet] = []
        self._log = self.directory / "log"
        self._failing_fork = self.directory / "no more processes"
        self._broken = self.directory / "broken settings"
        self._reload = self.directory / "reload"
        self._clock = self.directory / "clock"
        self._clock.write_text("0")
        self._starting, self._report = channel.pair()
        self.pid = 0

    def add_account(self, userid: str, **attributes: str) -> None:
        told = {"UID": "5000", "GID": "5000", "HOME": "/home/u", "ADDRESS": userid}
        self.authdaemond.accounts[userid] = Entry("pw", told | attributes)

    def start(self) -> Stage:
        self.pid = os.fork()
        if self.pid == 0:
            self._be_master()
        return self

    def close(self) -> None:
        if self.pid and is_alive(self.pid):
            os.kill(self.pid, signal.SIGKILL)
        if self.pid:
            os.waitpid(self.pid, 0)
        self._collect()
        for puppet in self.puppets:
            if puppet.is_alive():
                os.kill(puppet.pid, signal.SIGKILL)
            puppet.control.close()
        self.authdaemond.close()
        self._starting.close()
        self._report.close()

    # -- what the test does ----------------------------------------------------------------

    @property
    def log(self) -> str:
        return self._log.read_text() if self._log.exists() else ""

    def next(self, kind: str) -> Puppet:
        """Await the next process of a kind that master starts."""
        puppet = self._receive(PATIENCE_S)
        assert puppet is not None, f"no {kind} is started: {self.log}"
        assert puppet.kind == kind
        return puppet

    def login(self) -> Puppet:
        """Await a login process, and let it be ready."""
        puppet = self.next("login")
        puppet.say(Kind.READY, b"0")
        return puppet

    def worker(self) -> Puppet:
        return self.next("worker")

    def _receive(self, patience_s: float) -> Puppet | None:
        if not select.select([self._starting], [], [], patience_s)[0]:
            return None
        received = channel.receive(self._starting)
        assert received is not None and received[1] is not None
        fields, descriptor = received
        puppet = Puppet(fields[0].decode(), int(fields[1]), socket.socket(fileno=descriptor))
        self.puppets.append(puppet)
        return puppet

    def _collect(self) -> None:
        while self._receive(0.0) is not None:
            pass

    def starts_nothing(self, seconds: float = 0.2) -> bool:
        return self._receive(seconds) is None

    def fail_to_fork(self, *, fail: bool) -> None:
        self._failing_fork.touch() if fail else self._failing_fork.unlink()

    def later(self, seconds: float) -> None:
        """Let master's clock go forward. It notices with the next message."""
        now = float(self._clock.read_text()) + seconds
        unfinished = self._clock.with_suffix(".new")
        unfinished.write_text(str(now))
        unfinished.rename(self._clock)

    def reload(self, *, broken: bool = False, **changed: int) -> None:
        """Change settings and send SIGHUP."""
        self.settings = replace(self.settings, **changed)
        self._reload.write_text(repr(self.settings))
        self._broken.touch() if broken else self._broken.unlink(missing_ok=True)
        os.kill(self.pid, signal.SIGHUP)

    def wait(self) -> int:
        """Await master's end; return its exit status."""
        wait_until(lambda: not is_alive(self.pid), lambda: self.log)
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        return os.waitstatus_to_exitcode(status)

    def wait_for_log(self, text: str) -> None:
        wait_until(lambda: text in self.log, lambda: self.log)

    # -- in master's process ---------------------------------------------------------------

    def _be_master(self) -> NoReturn:
        status = 70
        try:
            descriptor = os.open(self._log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            log.use(descriptor)
            os.dup2(descriptor, 2)
            login.run = self._puppet("login")
            worker.run = self._puppet("worker")
            proxy.run = self._puppet("proxy")
            staff.PATIENCE_S = self.patience_s
            staff.CRASHING_S = 0.0
            monotonic, fork = time.monotonic, os.fork
            time.monotonic = lambda: monotonic() + float(self._clock.read_text())

            def failing() -> int:
                if self._failing_fork.exists():
                    raise BlockingIOError(11, "Resource temporarily unavailable")
                return fork()

            os.fork = failing
            status = Master(self._load).run()
        except BaseException as error:
            log.bug("-", "master", error)
        finally:
            os._exit(status)

    def _puppet(self, kind: str) -> Callable[..., None]:
        def run(control: socket.socket, *_: object, **__: object) -> None:
            for number in (signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            fields = [kind.encode(), str(os.getpid()).encode()]
            while True:
                try:
                    channel.send(self._report, fields, control.fileno())
                    break
                except BlockingIOError:
                    time.sleep(0.01)
                except ChannelClosed:
                    return
            control.close()
            while True:
                signal.pause()

        return run

    def _load(self, have: Sequence[socket.socket]) -> tuple[Plan, Sequence[socket.socket]]:
        if self._broken.exists():
            raise ConfigurationError("imapd:3: PORT: expected a port\nimapd:4: and more")
        settings = self.settings
        if self._reload.exists():
            settings = eval(self._reload.read_text())
        return _plan(settings, self.authdaemond.path), list(have)


def _plan(settings: Settings, authdaemond: Path) -> Plan:
    return Plan(
        name="puppets",
        max_daemons=settings.max_daemons,
        max_per_ip=settings.max_per_ip,
        max_per_c=None,
        by_ipv6_network=False,
        warn_at=None,
        access_file=Path(tempfile.gettempdir()) / "no such access file.dat",
        access_local=False,
        deny_message="",
        login_processes=settings.login_processes,
        login_ids=Ids(65534, 65534),
        login_root="/",
        is_isolated=settings.is_isolated,
        prepare_login=_never,
        stamp=lambda: None,
        shards=settings.shards,
        one_session_per_worker=settings.one_session_per_worker,
        umask=0o022,
        default_maildir="Maildir",
        home_skeleton=None,
        prepare_session=_never,
        proxy_hosts=_hosts,
        prepare_proxy=_never,
        authdaemon_socket=authdaemond,
        authdaemon_limits=Timeouts(read_s=AUTHDAEMOND_S),
        takes_certificates=settings.takes_certificates,
        refuse=_refuse,
    )


def _never() -> NoReturn:
    raise AssertionError("puppets prepare nothing")


def _hosts(account: Account, assigned: Mapping[str, str]) -> tuple[str, ...]:
    return ("far.example",) if account.options == "far=1" else ()


def _refuse(account: Account, is_encrypted: bool) -> str | None:
    return "not today" if account.options == "off=1" else None

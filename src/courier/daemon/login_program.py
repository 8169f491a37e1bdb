"""A log-in program in Courier's manner: one connection, on standard input and output.

`couriertcpd` or another super-server starts it with the path of a session program and a default
maildir. It talks to the client (the steps of the daemon's own log-in), asks authdaemond, becomes
the account's user, and then the session program.

It runs as root while it talks to strangers, as Courier's do; the daemons have processes without rights for that.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, NoReturn

from courier import log
from courier.auth import client as authdaemond
from courier.auth import request as requests
from courier.auth.account import Account, Identity, NoIdentity, Secret, identity
from courier.auth.reply import Outcome, Rejected, Said, Temporary
from courier.daemon import outer_tls, proxying
from courier.daemon import settings as daemon_settings
from courier.daemon.login_driver import Driver
from courier.daemon.outer_tls import HandshakeFailed
from courier.daemon.program import Program
from courier.daemon.settings import S
from courier.log import Peer
from courier.net import listener, tls_client
from courier.process import home, privileges
from courier.process.far_end import FarEnd
from courier.process.login_request import Answer, Ask, Authenticate, Stranger
from courier.process.loop import Loop
from courier.process.message import Kind, ProxyRequest
from courier.process.privileges import Ids
from courier.process.proxy import Passage, PreparedProxy
from courier.process.request import ClientGone
from courier.process.threads import Threads

#: As whom couriertls runs for STARTTLS: whoever may read the certificate. Courier: the same.
_MAIL_USER = "courier"
_STDIN, _STDOUT = 0, 1


@dataclass(frozen=True, slots=True)
class LoginProgram(Generic[S]):
    """What differs between the two."""

    daemon: Program[S]
    settings: type[S]
    tls_variable: str  # 1: the connection is encrypted
    #: What is to be unset of after STARTTLS, and how.
    after_starttls: Mapping[str, str]
    port: int
    misused: bytes
    #: What the session learns by its environment.
    variables: Callable[[Authenticate], Mapping[str, str]]


def main(program: LoginProgram[S], arguments: Sequence[str]) -> int:
    # Courier of long ago: authentication modules stand before the session program.
    *modules, path, maildir = ("", "", *arguments)
    modules = [module for module in modules if module]
    if not path or not all(os.path.basename(module).startswith("auth") for module in modules):
        os.write(_STDOUT, program.misused)
        return 1
    settings = daemon_settings.of_login_program(
        program.settings, os.environ, program.daemon.handed_on
    )
    try:
        _Login(program, settings, path, maildir).run()
    except OSError as error:
        log.error("cannot serve", path, error)
        return 1
    return 0


def _stranger(program: LoginProgram[S], environ: Mapping[str, str]) -> Stranger:
    """Say who the client is: as the super-server does, else as the connection does."""
    remote, local = Peer("127.0.0.1", "N/A"), Peer("127.0.0.1", program.port)
    with contextlib.suppress(OSError, ValueError), socket.socket(fileno=os.dup(_STDIN)) as one:
        if one.family in (socket.AF_INET, socket.AF_INET6):
            here, there = one.getsockname(), one.getpeername()
            remote = Peer(listener.ip_text(there[0]), str(there[1]))
            local = Peer(listener.ip_text(here[0]), here[1])
    remote = Peer(
        environ.get("TCPREMOTEIP") or remote.ip, environ.get("TCPREMOTEPORT") or remote.port
    )
    port = environ.get("TCPLOCALPORT", "")
    return Stranger(
        remote,
        environ.get("TCPLOCALIP") or local.ip,
        int(port) if port.isascii() and port.isdecimal() else int(local.port),
    )


class _Login(Generic[S]):
    def __init__(self, program: LoginProgram[S], settings: S, path: str, maildir: str) -> None:
        self._program = program
        self._settings = settings
        self._path, self._maildir = path, maildir
        self._stranger = _stranger(program, os.environ)
        self._proven: Account | None = None  # by the last question
        self._couriertls = os.environ.get("COURIERTLS", "")
        self._learned: dict[str, str] = {}  # by STARTTLS, for the session
        if os.environ.get(program.tls_variable) == "1":
            self._stranger.tls = outer_tls.from_environment(os.environ)

    def run(self) -> None:
        has_tls = os.access(self._couriertls, os.X_OK)
        steps = self._program.daemon.make_login(self._settings, self._stranger, has_tls)
        Driver(_STDIN, _STDOUT, self._answer, self._start_tls).run(steps)

    # -- STARTTLS --------------------------------------------------------------------------

    def _start_tls(self, seconds: float) -> None:
        try:
            ids = privileges.ids_of(_MAIL_USER) if os.geteuid() == 0 else None
            tls = outer_tls.start(self._couriertls, ids, _STDIN, _STDOUT, seconds)
        except KeyError:
            log.warn(f"STARTTLS: there is no user {_MAIL_USER}")
            raise ClientGone from None
        except HandshakeFailed as failed:
            log.tls_failed(self._stranger.peer, str(failed))
            raise ClientGone from failed
        self._stranger.tls = tls
        self._learned = {
            self._program.tls_variable: "1",
            **self._program.after_starttls,
            **tls.variables(),
        }

    # -- authdaemond -----------------------------------------------------------------------

    def _answer(self, request: Ask | Authenticate) -> Answer:
        outcome = self._outcome(request)
        self._proven = None
        if isinstance(outcome, Temporary):
            for line in authdaemond.complaints(outcome):
                log.line(f"ERR: {line}")
            log.authentication_error(outcome.errno)
            return Answer(Kind.TEMPORARY)
        if isinstance(request, Ask):
            if isinstance(outcome, Account):
                self._proven = outcome
                return Answer(Kind.SAID, outcome.sasl or "")
            return Answer(Kind.SAID, outcome.text) if isinstance(outcome, Said) else _REJECTED
        if not isinstance(outcome, Account):
            return _REJECTED
        refusal = self._program.daemon.refuse(outcome, self._stranger.tls is not None)
        if refusal is not None:
            return Answer(Kind.DISABLED, refusal)
        if hosts := proxying.hosts(self._settings, outcome):
            return self._pass_on(request, outcome, hosts)
        return self._let_in(request, outcome)

    def _outcome(self, request: Ask | Authenticate) -> Outcome:
        if request.authtype == b"PROVEN":
            return self._proven or Rejected()
        ip = self._stranger.peer.ip.encode()
        asked: requests.Request
        if request.authtype == b"EXTERNAL":
            asked = requests.Lookup(request.service, request.first, remote_ip=ip)
        else:
            asked = requests.Authenticate(
                request.service, request.authtype, request.first, Secret(request.second), ip
            )
        try:
            return authdaemond.ask(asked, limits=authdaemond.timeouts(os.environ))
        except requests.Refused:
            return Rejected()

    # -- the session -----------------------------------------------------------------------

    def _let_in(self, request: Authenticate, account: Account) -> Answer:
        """Become the account's user, and the session program; return only if that can't be."""
        try:
            who = identity(account)
            ids = Ids(who.uid, who.gid, who.groups)
            privileges.check(ids)
            if self._settings.home_skeleton is not None:
                home.make(who.home, self._settings.home_skeleton, ids)
            privileges.become(ids)
        except (NoIdentity, OSError) as error:
            log.warn(f"{account.address}: {error}")
            return Answer(Kind.TEMPORARY)
        try:
            os.chdir(who.home)
        except OSError as error:
            log.home_unreachable(account.address, who.home, error)
            log.authentication_error(error.errno or 0)
            return Answer(Kind.TEMPORARY)
        try:
            self._become_session(request, account, who)
        except OSError:
            log.line(f"ERR: exec({self._path}) failed!!")
        return Answer(Kind.TEMPORARY)

    def _become_session(self, request: Authenticate, account: Account, who: Identity) -> NoReturn:
        maildir = who.maildir or self._maildir
        environment = {
            **os.environ,
            "TCPREMOTEIP": self._stranger.peer.ip,
            "TCPREMOTEPORT": str(self._stranger.peer.port),
            **self._learned,
            **self._program.variables(request),
            "AUTHENTICATED": account.address,
            "AUTHADDR": account.address,
            "AUTHFULLNAME": account.fullname or "",
            "OPTIONS": account.options or "",
            "MAILDIR": maildir,
            "HOME": who.home,
        }
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        os.execve(self._path, [self._path, maildir], environment)

    # -- other hosts -----------------------------------------------------------------------

    def _pass_on(self, request: Authenticate, account: Account, hosts: tuple[str, ...]) -> Answer:
        """Have another host serve the client, by a process without rights; return if none does."""
        if not account.clear:
            log.warn(f"proxy enabled, but no password for {account.address}")
            return Answer(Kind.UNREACHED)
        asked = ProxyRequest(
            number=1,
            address=account.address,
            password=account.clear,
            hosts=hosts,
            peer=self._stranger.peer,
            greeting=request.greeting,
            unread=request.unread,
            protocol=request.protocol.decode("ascii"),
            tls=self._stranger.tls is not None,
        )
        child = os.fork()
        if child == 0:
            code = 1
            try:
                code = 0 if self._passage(asked) else 1
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        if status == 0:
            os._exit(0)
        return Answer(Kind.UNREACHED)

    def _passage(self, asked: ProxyRequest) -> bool:
        """Find a host, and copy until both are done; tell whether there was one."""
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        settings = self._settings
        is_encrypted = settings.proxy_encrypted != "never"
        trusted = tls_client.context(settings.tls.trusted) if is_encrypted else None
        if os.geteuid() == 0:
            privileges.become(_powerless(settings.login_user))
        loop = Loop()
        threads = Threads(loop, 1)
        told: list[Kind] = []
        approach = partial(self._program.daemon.approach, settings)
        passage = Passage(
            loop,
            partial(FarEnd, loop, threads),
            PreparedProxy(approach, trusted),
            asked,
            told.append,
            loop.stop,
        )
        passage.start(socket.socket(fileno=os.dup(_STDIN)))
        loop.run()
        return Kind.REACHED in told


def _powerless(user: str) -> Ids:
    found = pwd.getpwnam(user)
    return Ids(found.pw_uid, found.pw_gid)


_REJECTED = Answer(Kind.REJECTED, "1")

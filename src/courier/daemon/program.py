"""A mail server's daemons, as imapd and imapd-ssl: what master, login processes and workers are given.

DESCRIPTION
    ``python3 -m imapd.daemon [-n] [--config DIRECTORY] [imapd|imapd-ssl] [start|stop|restart]``.
    Without a verb it serves in the foreground, on the sockets of a service manager or on those that
    the settings name; the verbs are those of Courier's scripts. pop3d.daemon is the same.

SECURITY
    Master runs as root (courier.process.master), login processes as LOGIN_USER in an empty root
    directory (courier.process.login), sessions as their account's user (courier.process.worker).
    Without root all of them run as whoever started this, for that user's own mail.

FILES
    /etc/courier/imapd, /etc/courier/imapd-ssl or pop3d, pop3d-ssl, and what they name.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Generic

from courier import log, paths, version
from courier.auth.account import Account
from courier.auth.client import SOCKET, timeouts
from courier.daemon import check, proxying, service
from courier.daemon.check import Subject
from courier.daemon.service import Service
from courier.daemon.settings import DaemonSettings, ForClient, S
from courier.maildir.state import Options as FolderOptions
from courier.maildir.store import Store
from courier.net import access_source, listener, tls, tls_client
from courier.net.access_source import SourceError
from courier.net.listener import Endpoint, ListenError
from courier.net.tls import Contexts, TlsError, TlsOptions
from courier.process import activation, privileges
from courier.process import service as control
from courier.process.far_login import Approach
from courier.process.logger import Logger
from courier.process.login_request import LoginSteps, PreparedLogin, Stranger
from courier.process.master import ConfigurationError, Master
from courier.process.message import ProxyRequest, SessionRequest
from courier.process.plan import Plan
from courier.process.privileges import Ids
from courier.process.proxy import PreparedProxy
from courier.process.request import Steps
from courier.process.service import AlreadyRunning, PidFile
from courier.process.worker import MakeSession
from courier.settings import SettingsError

#: An empty directory that nobody but root may write: the login processes' whole world.
EMPTY = paths.RUNDIR / "empty"


@dataclass(frozen=True, slots=True)
class Program(Generic[S]):
    """A server. ``subject`` says how its settings are read."""

    name: str
    description: str
    subject: Subject[S]
    #: Names under which Courier's start script hands settings on (access file).
    handed_on: Mapping[str, str]
    #: Makes the steps of a log-in; the last argument: certificates are loaded.
    make_login: Callable[[S, Stranger, bool], LoginSteps]
    folder_options: Callable[[S], FolderOptions]
    #: Makes the steps of a session, from the OK of its log-in.
    make_session: Callable[[S, Store, SessionRequest], Steps]
    #: Says why an account may not use this service, if it may not; with TLS or without.
    refuse: Callable[[Account, bool], str | None]
    #: Says how another host is spoken to that serves an account.
    approach: Callable[[S, ProxyRequest, str], Approach]
    #: Says whether a client may go back from its session to a log-in.
    takes_back: Callable[[S], bool] = lambda settings: False


def main(program: Program[S], arguments: Sequence[str]) -> int:
    options = _options(program, arguments)
    daemon: str = options.daemon
    if options.check:
        return check.report(program.subject, daemon, options.config, _say)
    loader = _Loader(program, daemon, options.config)
    if options.verb == "serve":
        log.use_levels(for_journal=activation.is_systemd())
        inherited = [one for sockets in activation.inherited().values() for one in sockets]
        return _serve(loader, inherited)
    try:
        one = loader.service()
    except SettingsError as error:
        for line in error.lines:
            _say(line)
        return 1
    pid_file = PidFile(one.pid_file)
    match options.verb:
        case "stop":
            control.stop(pid_file)
        case "restart":  # Courier: SIGHUP to the running one, if there is one
            control.restart(pid_file)
        case _:
            if pid_file.running() is None:
                return control.start(lambda ready: _detached(loader, one, pid_file, ready))
    return 0


def _options(program: Program[S], arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=program.name,
        description=f"{program.description} Without a verb in the foreground, for a service manager.",
    )
    parser.add_argument("-n", dest="check", action="store_true", help="check the settings only")
    parser.add_argument("--version", action="version", version=f"pycourier {version.VERSION}")
    parser.add_argument(
        "--config",
        type=lambda text: Path(text).absolute(),
        default=paths.SYSCONFDIR,
        help="directory of the settings files",
    )
    parser.add_argument(
        "daemon", nargs="?", choices=service.daemons(program.name), default=program.name
    )
    parser.add_argument(
        "verb", nargs="?", choices=("serve", "start", "stop", "restart"), default="serve"
    )
    return parser.parse_args(arguments)


def _serve(loader: _Loader[S], inherited: Sequence[socket.socket]) -> int:
    master = _master(loader, inherited)
    # Courier's scripts say 1; a service manager knows the number and names it in its status.
    return os.EX_CONFIG if master is None else master.run()


def _master(
    loader: _Loader[S],
    inherited: Sequence[socket.socket] = (),
    ready: Callable[[], None] = lambda: None,
    logger: Logger | None = None,
) -> Master | None:
    """Make the master of a daemon; None, having said why, if its settings can't be used."""
    try:
        return Master(loader.load, inherited, ready, logger)
    except ConfigurationError as error:
        for line in str(error).splitlines():
            log.line(f"ERR: {line}")
        return None


def _detached(
    loader: _Loader[S], one: Service, pid_file: PidFile, ready: Callable[[], None]
) -> int:
    """Serve without a terminal, log lines going to syslog through a pipe that master reads."""
    try:
        one.pid_file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        pid_file.take()
    except AlreadyRunning:
        return 0
    except OSError as error:
        log.error("cannot write pid file", one.pid_file, error)
        return 1
    read, write = os.pipe()
    os.set_blocking(write, False)  # a syslog that hangs costs lines, not sessions
    logger = Logger(read, (f"-name={one.log_name}", f"-facility={one.log_facility}"), one.daemon)
    try:
        master = _master(
            loader, (), ready, logger
        )  # what it complains of is seen by who started it
        if master is None:
            return 1
        os.dup2(write, 2)  # from here on everybody's lines are syslog's
        os.close(write)
        return master.run()
    finally:
        pid_file.remove()


def _say(line: str) -> None:
    print(line, file=sys.stderr)


class _Loader(Generic[S]):
    """Reads the settings of a daemon, for the first time and at each reload."""

    def __init__(self, program: Program[S], daemon: str, directory: Path) -> None:
        self._program = program
        self._daemon = daemon
        self._directory = directory
        self._inherited: Sequence[socket.socket] | None = None

    def _settings(self) -> S:
        return self._program.subject.load(service.files(self._daemon, self._directory), log.warn)

    def service(self) -> Service:
        """Read the settings. Raises SettingsError."""
        settings = self._settings()
        return service.service(settings, self._daemon)

    def load(self, have: Sequence[socket.socket]) -> tuple[Plan, Sequence[socket.socket]]:
        """Give the plan, and the sockets that it listens on: those there are, and new ones.

        What the first call is given was inherited and is always served; of the sockets bound
        since, only those that the settings still ask for.

        Raises:
            ConfigurationError: a setting, or something that one names, can't be used.
        """
        if self._inherited is None:  # the first time there are no others
            self._inherited = tuple(have)
        try:
            settings = self._settings()
            one = service.service(settings, self._daemon)
            if one.tls is not None:
                _try_certificates(one.tls, partial(check.of_tls, settings))
            _make_access_database(settings, one)
            ids = _login_ids(settings)
            listening = listener.complete(
                self._inherited,
                [Endpoint(port, address, one.listen_setting) for address, port in one.listen],
                [former for former in have if former not in self._inherited],
            )
        except SettingsError as error:
            raise ConfigurationError("\n".join(error.lines)) from error
        except (ListenError, SourceError, OSError) as error:
            raise ConfigurationError(str(error)) from error
        for warning in listening.warnings:
            log.warn(warning)
        return _plan(self._program, settings, one, ids), listening.sockets


def _try_certificates(options: TlsOptions, placed: Callable[[str], str]) -> None:
    """Load certificates and keys in a process of its own, so that no worker inherits a key.

    Args:
        placed: puts before a message where its setting is.

    Raises:
        ConfigurationError: they can't be used.
    """
    answer, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(answer)
            text = "".join(f"W{warning}\n" for warning in Contexts.load(options).warnings)
        except TlsError as error:
            text = f"E{error}\n"
        except BaseException as error:
            text = f"E{error!r}\n"
        with open(told, "w") as pipe:
            pipe.write(text)
        os._exit(0)
    os.close(told)
    with open(answer) as pipe:
        lines = pipe.read().splitlines()
    os.waitpid(pid, 0)
    for line in lines:
        if line.startswith("W"):
            log.warn(placed(line[1:]))
    errors = [placed(line[1:]) for line in lines if line.startswith("E")]
    if errors:
        raise ConfigurationError("\n".join(errors))


def _make_access_database(settings: DaemonSettings, one: Service) -> None:
    """Compile the access file if there is no database yet, as Courier's start script does.

    Raises:
        SourceError: it can't be meant. Who it was to keep out must not come in for that.
    """
    source, target = settings.access_file, one.access
    if source is None or target is None or one.tcpd_options.access or target.exists():
        return
    if not source.exists():
        return
    try:
        access_source.build(source, target)
    except OSError as error:
        log.error("cannot make the access database", target, error)


def _login_ids(settings: DaemonSettings) -> Ids:
    """Whom login processes become; without root, whoever this is.

    Raises:
        ConfigurationError: there is no such user.
    """
    if os.geteuid() != 0:
        return Ids(os.getuid(), os.getgid())
    EMPTY.mkdir(mode=0o755, parents=True, exist_ok=True)
    try:
        return privileges.ids_of(settings.login_user)
    except KeyError:
        origin = settings.origins.get("LOGIN_USER", "default")
        raise ConfigurationError(
            f"{origin}: LOGIN_USER: no system user of the name {settings.login_user!r}"
        ) from None


def _plan(program: Program[S], settings: S, one: Service, ids: Ids) -> Plan:
    options = one.tls
    for_client = ForClient(settings, log.warn, program.handed_on)

    def prepare_login() -> PreparedLogin:
        contexts = None if options is None else Contexts.load(options)

        def make_login(stranger: Stranger) -> LoginSteps:
            known = for_client(stranger.environment)
            stranger.may_return = program.takes_back(known)
            return program.make_login(known, stranger, contexts is not None)

        return PreparedLogin(make_login, contexts, one.is_tls, one.tcpd_options.proxied)

    def prepare_session() -> MakeSession:
        store = Store(program.folder_options(settings))
        return lambda request: program.make_session(for_client(request.environment), store, request)

    def prepare_proxy() -> PreparedProxy:
        def make_approach(request: ProxyRequest, host: str) -> Approach:
            return program.approach(for_client(request.environment), request, host)

        is_encrypted = settings.proxy_encrypted != "never"
        context = tls_client.context(settings.tls.trusted) if is_encrypted else None
        return PreparedProxy(make_approach, context)

    return Plan(
        name=one.daemon,
        max_daemons=one.max_daemons,
        max_per_ip=one.max_per_ip,
        max_per_c=one.max_per_c,
        by_ipv6_network=settings.by_ipv6_network,
        warn_at=one.warn_at,
        access_file=one.access,
        access_local=one.tcpd_options.access_local,
        deny_message=one.tcpd_options.deny_message,
        login_processes=settings.login_processes,
        login_ids=ids,
        login_root=str(EMPTY),
        is_isolated=settings.login_isolation,
        prepare_login=prepare_login,
        stamp=lambda: None if options is None else tls.stamp(options),
        shards=os.cpu_count() or 1,
        one_session_per_worker=settings.one_session_per_worker,
        umask=settings.umask,
        default_maildir=settings.maildir_path,
        home_skeleton=settings.home_skeleton,
        prepare_session=prepare_session,
        proxy_hosts=lambda account, given: proxying.hosts(for_client(given), account),
        prepare_proxy=prepare_proxy,
        authdaemon_socket=SOCKET,
        authdaemon_limits=timeouts(settings.environment),
        takes_certificates=options is not None and bool(settings.tls.external),
        refuse=program.refuse,
    )

"""Reading a mail server's settings: what imapd and pop3d have in common.

Each has a table of its own, a dataclass whose fields are `courier.settings.setting`; some of them every
server has, and the daemon reads these by the names of `DaemonSettings`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from courier import log, paths, shell
from courier.setting_reader import Address, Encrypted, Expected, Port
from courier.settings import SettingsError, notices, table, values, values_of
from courier.shell import Assignment, Origin
from courier.tcpd_options import TcpdOptions
from courier.tls_settings import OLD_PROTOCOLS, TlsSettings

Warn = Callable[[str], None]


def mechanisms(text: str) -> tuple[str, ...]:
    """Names of SASL's mechanisms that an administrator may choose."""
    names = tuple(text.upper().split())
    if not names:
        return ()
    from courier.auth import sasl  # which a session without a log-in does without

    if not set(names) <= set(sasl.OPTIONAL):
        raise Expected(f"any of {' '.join(sasl.OPTIONAL)}, separated by blanks")
    return names


class DaemonSettings(Protocol):
    """What every server's table has. ``origins`` says of each variable where it was set."""

    # A protocol's plain attributes could be written; a frozen dataclass's can't.
    @property
    def port(self) -> tuple[Port, ...]: ...
    @property
    def address(self) -> Address | None: ...
    @property
    def pid_file(self) -> Path: ...
    @property
    def logger_options(self) -> tuple[str, ...]: ...
    @property
    def start(self) -> bool: ...
    @property
    def ssl_port(self) -> tuple[Port, ...]: ...
    @property
    def ssl_address(self) -> Address | None: ...
    @property
    def ssl_pid_file(self) -> Path: ...
    @property
    def ssl_logger_options(self) -> tuple[str, ...]: ...
    @property
    def ssl_start(self) -> bool: ...
    @property
    def starttls(self) -> bool: ...
    @property
    def tls_required(self) -> bool: ...
    @property
    def tls(self) -> TlsSettings: ...
    @property
    def auth_service(self) -> Mapping[int, str]: ...
    @property
    def tcpd_options(self) -> TcpdOptions: ...
    @property
    def access_file(self) -> Path | None: ...
    @property
    def max_daemons(self) -> int: ...
    @property
    def max_per_ip(self) -> int: ...
    @property
    def max_per_c(self) -> int | None: ...
    @property
    def by_ipv6_network(self) -> bool: ...
    @property
    def login_user(self) -> str: ...
    @property
    def login_processes(self) -> int: ...
    @property
    def login_isolation(self) -> bool: ...
    @property
    def one_session_per_worker(self) -> bool: ...
    @property
    def umask(self) -> int: ...
    @property
    def maildir_path(self) -> str: ...
    @property
    def home_skeleton(self) -> Path | None: ...
    @property
    def proxy(self) -> bool: ...
    @property
    def proxy_hostname(self) -> str | None: ...
    @property
    def proxy_encrypted(self) -> Encrypted: ...
    @property
    def environment(self) -> Mapping[str, str]: ...
    @property
    def origins(self) -> Mapping[str, Origin]: ...


S = TypeVar("S", bound=DaemonSettings)

# Settings that stand in the same files and that another part of the server reads.
_OTHERS = frozenset({"TIMEOUT_SOCK", "TIMEOUT_READ", "TIMEOUT_WRITE", "TLS_INTCACHESIZE"})

_OBSOLETE = {
    "AUTHMODULES": "the modules stand in authdaemonrc, as authmodulelist",
    "AUTHMODULES_ORIG": "the modules stand in authdaemonrc, as authmodulelistorig",
    "MAILDIR": "use MAILDIRPATH",
    "TLS_DHCERTFILE": "use TLS_DHPARAMS, and TLS_CERTFILE for a DSA certificate",
    "TLS_PEERCERTS": "use TLS_TRUSTCERTS",
    "TLS_PEERCERTDIR": "use TLS_TRUSTCERTS",
    "TLS_OURCACERT": "use TLS_TRUSTCERTS",
    "TLS_KX_LIST": "it was GnuTLS's; see TLS_CIPHER_LIST",
    "TLS_COMPRESSION": "it was GnuTLS's; nothing is compressed",
    "TLS_CERTS": "it was GnuTLS's; see TLS_CERTFILE",
    "TLS_ALLOWSELFSIGNEDCERTS": "it has no successor; see TLS_VERIFYPEER",
}


def load(kind: type[S], files: Sequence[Path], warn: Warn = log.warn) -> S:
    """Read settings files in order, later assignments winning.

    That is imapd-ssl, then imapd for the daemon imapd, and the reverse for imapd-ssl. Unknown and
    obsolete names are told to ``warn``; they are passed on to programs that are run.

    Raises:
        SettingsError: with a line for each value, or for the file, that can't be used.
    """
    try:
        assignments = shell.read(files, paths.SHELL_VARIABLES)
    except shell.ShellError as error:
        raise SettingsError([str(error)]) from error
    except OSError as error:
        raise SettingsError([f"{error.filename}: {error.strerror}"]) from error
    found, tls = values_of((kind, TlsSettings), assignments, for_daemon=True)
    of_tls = {one.name for one in table(TlsSettings).values()}
    for line in notices(kind, assignments, _OTHERS | of_tls, _OBSOLETE):
        warn(line)
    make: Any = kind  # a dataclass, which no protocol can say
    settings: S = make(
        **found,
        tls=TlsSettings(**tls),
        environment=paths.SHELL_VARIABLES | {name: one.value for name, one in assignments.items()},
        origins={name: one.origin for name, one in assignments.items()},
    )
    for name, text in _without_effect(settings):
        warn(f"{settings.origins[name]}: {name}: {text}")
    return settings


def from_environment(kind: type[S], environ: Mapping[str, str]) -> S:
    """Read the settings of a session that was started by a shell or by Courier's own login.

    No file is read. What isn't there means what it means to Courier's server, which differs from
    the value that the file is shipped with; settings of the daemon alone are left at that, because
    `PORT` may be anything to a user's shell.

    Raises:
        SettingsError: with a line for each value that can't be used.
    """
    origin = Origin("environment")
    assignments = {name: Assignment(value, origin) for name, value in environ.items()}
    found = values(kind, assignments, for_daemon=False)
    make: Any = kind
    made: S = make(**found, environment=dict(environ))
    return made


#: Settings of the daemon that a log-in program reads.
_OF_LOGIN_PROGRAM = frozenset(
    {"auth_service", "starttls", "tls_required", "login_user", "proxy_encrypted"}
)


def of_login_program(
    kind: type[S], environ: Mapping[str, str], handed_on: Mapping[str, str], warn: Warn = log.warn
) -> S:
    """Read what start scripts, or others, have put into a log-in program's environment.

    A value that can't be meant is told to ``warn`` and is as if unset.

    Args:
        handed_on: names under which Courier's start script hands settings on, and theirs.
    """
    origin = Origin("environment")
    wanted = [
        one for field, one in table(kind).items() if field in _OF_LOGIN_PROGRAM or not one.by_daemon
    ]
    found: dict[str, Any] = {}  # Any: each field's own type
    for variable, value in environ.items():
        name = handed_on.get(variable, variable)
        if not any(
            name.startswith(one.name.rstrip("*")) if one.is_family else name == one.name
            for one in wanted
        ):
            continue
        try:
            for field, read in values(
                kind, {name: Assignment(value, origin)}, for_daemon=True
            ).items():
                is_family = isinstance(read, dict) and field in found
                found[field] = {**found[field], **read} if is_family else read
        except SettingsError as error:
            warn(str(error))
    trusted = environ.get("TLS_TRUSTCERTS")
    tls = TlsSettings(
        external=environ.get("TLS_EXTERNAL") or None, trusted=Path(trusted) if trusted else None
    )
    make: Any = kind  # a dataclass, which no protocol can say
    made: S = make(**found, tls=tls, environment=dict(environ))
    return made


class ForClient(Generic[S]):
    """Settings with what the access file assigns to a client, which Courier puts into the
    environment of the login program and so of the session.

    What concerns the daemon as a whole (ports, limits, certificates) can't be assigned there. A
    value that can't be meant is told to ``warn`` and changes nothing.
    """

    #: Settings of the daemon that a log-in reads.
    _OF_LOGIN = frozenset({"auth_service", "starttls", "tls_required"})

    def __init__(self, settings: S, warn: Warn, handed_on: Mapping[str, str] = {}) -> None:
        """``handed_on``: names under which Courier's start script hands settings on, and theirs."""
        self._settings = settings
        self._warn = warn
        self._handed_on = handed_on
        self._made: dict[tuple[tuple[str, str], ...], S] = {}  # one for each record

    def __call__(self, environment: Mapping[str, str]) -> S:
        if not environment:
            return self._settings
        key = tuple(sorted(environment.items()))
        if key not in self._made:
            self._made[key] = self._with(environment)
        return self._made[key]

    def _with(self, environment: Mapping[str, str]) -> S:
        found: dict[str, Any] = {}  # Any: each field's own type
        declared = table(type(self._settings))
        origin = Origin("access file")
        for name, value in environment.items():
            known = {self._handed_on.get(name, name): Assignment(value, origin)}
            try:
                read = values(type(self._settings), known, for_daemon=True)
            except SettingsError as error:
                self._warn(str(error))
                continue
            found |= {
                field: value
                for field, value in read.items()
                if field in self._OF_LOGIN or not declared[field].by_daemon
            }
        if "auth_service" in found:
            found["auth_service"] = {**self._settings.auth_service, **found["auth_service"]}
        all_variables = {**self._settings.environment, **environment}
        settings: Any = self._settings  # a dataclass, which no protocol can say
        made: S = dataclasses.replace(settings, **found, environment=all_variables)
        return made


def _without_effect(settings: DaemonSettings) -> Iterator[tuple[str, str]]:
    """Yield what is set, is understood, and changes nothing."""
    for option in settings.tcpd_options.ignored:
        yield "TCPDOPTS", f"{option} is obsolete and ignored"
    if settings.tls.priority:
        yield "TLS_PRIORITY", "is GnuTLS's; see TLS_PROTOCOL and TLS_CIPHER_LIST"
    if settings.tls.min_dh_bits:
        yield "TLS_MIN_DH_BITS", "is GnuTLS's; OpenSSL refuses parameters that are too short"
    for name in ("TLS_PROTOCOL", "TLS_STARTTLS_PROTOCOL"):
        if (value := settings.environment.get(name, "").strip()) in OLD_PROTOCOLS:
            yield name, f"{value} is obsolete and taken for unset"

"""What master is told by a program: everything that its settings come to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from courier.auth.account import Account
from courier.auth.client import Timeouts
from courier.process.login_request import PreparedLogin
from courier.process.privileges import Ids
from courier.process.proxy import PreparedProxy
from courier.process.worker import MakeSession


@dataclass(frozen=True, slots=True)
class Plan:
    """How a daemon runs. Made anew at each reading of the settings."""

    name: str  # the daemon's, as ps shows it

    #: Connections in all, of one address, and of one block of addresses.
    max_daemons: int
    max_per_ip: int
    max_per_c: int | None
    by_ipv6_network: bool  # an IPv6 client is its whole /64
    warn_at: int | None  # connections in all from which the log warns; None: Courier's own number
    access_file: Path | None  # imapaccess.dat; need not be there
    access_local: bool  # it is asked for the address that a client came to, first
    deny_message: str  # what a client hears that it denies; empty: nothing

    login_processes: int
    login_ids: Ids
    login_root: str
    is_isolated: bool  # a login process serves one connection
    #: Loads all that log-ins need; called with master's rights, in each login process.
    prepare_login: Callable[[], PreparedLogin]
    #: Differs when one of the files that `prepare_login` reads was replaced.
    stamp: Callable[[], object]

    #: Workers that share the accounts of one uid.
    shards: int
    one_session_per_worker: bool
    umask: int
    default_maildir: str
    home_skeleton: Path | None  # copied to where an account's home is missing
    #: Makes what makes sessions; called in each worker, as the account's user.
    prepare_session: Callable[[], MakeSession]

    #: Names the hosts that serve an account in our place, with what the access file assigns to
    #: the client; none: it is served here.
    proxy_hosts: Callable[[Account, Mapping[str, str]], tuple[str, ...]]
    #: Loads what it takes to speak with other hosts; called in a proxy process, without rights.
    prepare_proxy: Callable[[], PreparedProxy]

    authdaemon_socket: Path
    authdaemon_limits: Timeouts
    #: Clients' certificates name accounts (TLS_EXTERNAL). Elsewhere no login process can let anybody
    #: in without a password.
    takes_certificates: bool
    #: Gives the reason for which an account may not use this service, if there is one.
    refuse: Callable[[Account, bool], str | None]

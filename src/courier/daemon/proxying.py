"""Which accounts are served by other hosts, as IMAP_PROXY or POP3_PROXY and their option mailhost have it."""

from __future__ import annotations

import socket

from courier import log
from courier.auth import options as account_options
from courier.auth.account import Account
from courier.daemon.settings import DaemonSettings


def hosts(settings: DaemonSettings, account: Account) -> tuple[str, ...]:
    """Name the hosts that serve an account, in the order to be tried. None: it is served here.

    Courier: the first one alone, for lack of a way to write more. Here the option may be repeated.
    """
    if not settings.proxy:
        return ()
    named = [host for host in account_options.get_all(account.options, "mailhost") if host]
    if not named:
        log.warn(f"proxy enabled, but no proxy host defined for {account.address}")
        return ()
    own = (settings.proxy_hostname, socket.gethostname())
    # A later name of our own would come back to us, again and again.
    return () if named[0] in own else tuple(host for host in named if host not in own)

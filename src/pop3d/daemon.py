"""The daemons pop3d and pop3d-ssl: ``python3 -m pop3d.daemon``. How they run is in `courier.daemon.program`.

STANDARDS
    RFC 1939, RFC 2449, RFC 2595, RFC 3206, RFC 5034, RFC 6856; RFC 8446 for TLS.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial

from courier import log
from courier.auth.account import Account
from courier.daemon import program
from courier.daemon.check import Finding, Subject
from courier.daemon.program import Program
from courier.maildir import loginexec
from courier.maildir.folder import Options
from courier.maildir.store import Store
from courier.process.login_request import LoginSteps, Stranger
from courier.process.message import SessionRequest
from courier.process.request import Steps, Work
from pop3d import account, proxy
from pop3d import settings as pop3d_settings
from pop3d.account import Refused
from pop3d.login import PROTOCOL_UTF8, Login
from pop3d.maildrop import Maildrop
from pop3d.session import Client, Session
from pop3d.settings import Settings


def folder_options(settings: Settings) -> Options:
    return Options(index_dir=settings.index_dir)


def _doubtful(settings: Settings) -> Iterator[Finding]:
    return iter(())


def _login(settings: Settings, stranger: Stranger, has_tls: bool) -> LoginSteps:
    return Login(settings, stranger, has_tls=has_tls).run()


def _refusal(found: Account, is_encrypted: bool) -> str | None:
    try:
        account.check_options(found.options, tls=is_encrypted)
    except Refused as refused:
        return str(refused)
    return None


def _session(settings: Settings, store: Store, request: SessionRequest) -> Steps:
    """Be a session, from the OK of its log-in."""
    is_utf8 = request.protocol.encode() == PROTOCOL_UTF8
    client = Client(request.address, request.peer, request.tls, is_utf8)
    try:
        account.reach_home(client.user, request.home)
        path = account.enter(client.user, client.peer, request.home, request.maildir)
        if loginexec.is_due(path):
            variables = loginexec.environment(
                settings.environment, path, client.user, request.options, client.peer
            )
            yield Work(partial(loginexec.run, path, variables))
        folder = store.open(path)
    except Refused as refused:
        yield refused.line(with_code=settings.extensions)
        return
    maildrop = Maildrop(folder, client.user, trash_quota=settings.trash_quota)
    log.pop3_login(client.user, client.peer, client.tls)
    yield from Session(settings, maildrop, client).run(request.unread)


SUBJECT = Subject(pop3d_settings.load, "POP3_TLS_REQUIRED", "POP3_STARTTLS", _doubtful)
PROGRAM = Program(
    name="pop3d",
    description="Serve POP3.",
    subject=SUBJECT,
    handed_on={},
    make_login=_login,
    folder_options=folder_options,
    make_session=_session,
    refuse=_refusal,
    approach=proxy.approach,
)

if __name__ == "__main__":
    sys.exit(program.main(PROGRAM, sys.argv[1:]))

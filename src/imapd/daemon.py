"""The daemons imapd and imapd-ssl: ``python3 -m imapd.daemon``. How they run is in `courier.daemon.program`.

STANDARDS
    Those of imapd.__main__; RFC 8446 for TLS.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from itertools import islice

from courier import log
from courier.auth import options as account_options
from courier.auth.account import Account
from courier.daemon import program
from courier.daemon.check import Finding, Subject
from courier.daemon.program import Program
from courier.maildir import shared_index
from courier.maildir.store import Store
from courier.process.login_request import LoginSteps, Stranger
from courier.process.message import SessionRequest
from courier.process.request import Steps
from imapd import account, proxy, smap
from imapd import settings as imapd_settings
from imapd.account_session import Client
from imapd.completion import Farewell
from imapd.login import Login
from imapd.session import Session
from imapd.settings import Settings

#: Lines about one file; more of them tell nothing more.
_MOST = 10


def _doubtful(settings: Settings) -> Iterator[Finding]:
    is_path = settings.sendmail.startswith("/")
    sends = settings.outbox or settings.smap_capability
    if sends and is_path and not os.access(settings.sendmail, os.X_OK):
        yield "SENDMAIL", f"{settings.sendmail} can't be run"
    if settings.smap_capability and smap.NAME not in settings.smap_capability:
        yield "SMAP_CAPABILITY", f"clients know nothing but {smap.NAME}"
    index = settings.shared_index_file
    if index and os.path.lexists(index):  # nobody need have one
        for line in islice(shared_index.problems(index), _MOST):
            yield "IMAP_SHAREDINDEXFILE", line


def _login(settings: Settings, stranger: Stranger, has_tls: bool) -> LoginSteps:
    return Login(settings, stranger, has_tls=has_tls).run()


def _refusal(found: Account, is_encrypted: bool) -> str | None:
    if account_options.is_on(found.options, "disableimap"):
        return "IMAP access disabled for this account."
    if account_options.is_on(found.options, "disableinsecureimap") and not is_encrypted:
        return "IMAP access disabled via insecure connection."
    return None


def _session(settings: Settings, store: Store, request: SessionRequest) -> Steps:
    """Be a session, from the OK of its log-in."""
    quota = request.quota if settings.account_quota else ""  # Courier: never
    quota = quota or settings.environment.get("MAILDIRQUOTA", "")
    client = Client(
        request.address, request.peer, request.tls, request.options, quota, request.may_return
    )
    is_smap = request.protocol == smap.NAME
    try:
        account.reach_home(client.user, request.home)
        entered = account.enter(settings, client.user, client.peer, request.home, request.maildir)
    except Farewell as farewell:
        yield smap.bye(farewell) if is_smap else f"* BYE {farewell.text}\r\n".encode()
        return
    log.login(client.user, client.peer, request.protocol, client.tls)
    if is_smap:
        from imapd.smap.session import Session as SmapSession  # few want it

        yield from SmapSession(settings, entered, store, client).run(
            request.greeting, request.unread
        )
        return
    yield from Session(settings, entered, store, client).run(request.greeting, request.unread)


def _takes_back(settings: Settings) -> bool:
    return settings.unauthenticate and settings.extensions


SUBJECT = Subject(imapd_settings.load, "IMAP_TLS_REQUIRED", "IMAPDSTARTTLS", _doubtful)
PROGRAM = Program(
    name="imapd",
    description="Serve IMAP.",
    subject=SUBJECT,
    handed_on={"IMAP_STARTTLS": "IMAPDSTARTTLS"},
    make_login=_login,
    folder_options=account.folder_options,
    make_session=_session,
    refuse=_refusal,
    approach=proxy.approach,
    takes_back=_takes_back,
)

if __name__ == "__main__":
    sys.exit(program.main(PROGRAM, sys.argv[1:]))

"""pop3d: serve one POP3 session on standard input and output.

DESCRIPTION
    ``pop3d [MAILDIR]``, started from a shell, serves the maildir given, or the one in the variable
    MAILDIR, or ./Maildir, to whoever is at standard input. A log-in program that starts it
    (courierpop3login) has told it by the environment whom it serves.

SECURITY
    Runs as whoever started it, and never changes that.

STANDARDS
    RFC 1939, RFC 2449, RFC 2595, RFC 3206, RFC 5034, RFC 6856.

FILES
    Settings come from the environment, as Courier's start scripts put them there.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence

from courier import log, version
from courier.log import Peer
from courier.maildir import loginexec
from courier.maildir.folder import Options
from courier.maildir.store import Store
from courier.process import blocking
from courier.settings import SettingsError
from pop3d import account
from pop3d import settings as pop3d_settings
from pop3d.account import Refused
from pop3d.maildrop import Maildrop
from pop3d.session import Client, Session
from pop3d.settings import Settings

_USAGE = "Usage: pop3d [MAILDIR]\n"
_STDIN, _STDOUT = 0, 1


def main(arguments: Sequence[str]) -> int:
    if arguments == ["--version"]:
        print(f"pycourier {version.VERSION}")
        return 0
    if len(arguments) > 1 or any(argument.startswith("-") for argument in arguments):
        known = arguments in (["--help"], ["-h"])
        (sys.stdout if known else sys.stderr).write(_USAGE)
        return 0 if known else 2
    try:
        settings = pop3d_settings.from_environment(os.environ)
    except SettingsError as error:
        for line in str(error).splitlines():
            log.warn(line)
        os.write(_STDOUT, b"-ERR Configuration error, see the server's log.\r\n")
        return 1
    maildir = arguments[0] if arguments else os.environ.get("MAILDIR") or "./Maildir"
    return serve(settings, maildir, os.environ, _STDIN, _STDOUT)


def serve(
    settings: Settings, maildir: str, environ: Mapping[str, str], source: int, sink: int
) -> int:
    """Serve one session on a pair of descriptors and return an exit code."""
    client = _client(environ)
    options = environ.get("OPTIONS")
    try:
        path = account.enter(client.user, client.peer, os.curdir, maildir)
        account.check_options(options, tls=client.tls)
        if loginexec.is_due(path):
            variables = loginexec.environment(environ, path, client.user, options, client.peer)
            loginexec.run(path, variables)
        folder = Store(Options(index_dir=settings.index_dir)).open(path)
    except Refused as refused:
        os.write(sink, refused.line(with_code=settings.extensions))
        return 1
    limits = environ.get("MAILDIRQUOTA", "")
    maildrop = Maildrop(folder, client.user, limits=limits, trash_quota=settings.trash_quota)
    log.pop3_login(client.user, client.peer, client.tls)
    blocking.drive(Session(settings, maildrop, client).run(), source, sink)
    return 0


def _client(environ: Mapping[str, str]) -> Client:
    return Client(
        environ.get("AUTHADDR") or environ.get("AUTHENTICATED") or "nobody",
        Peer(environ.get("TCPREMOTEIP", "127.0.0.1"), environ.get("TCPREMOTEPORT", "0")),
        environ.get("POP3_TLS", "") not in ("", "0"),
        environ.get("UTF8", "1") not in ("", "0"),
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

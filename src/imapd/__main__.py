"""imapd: serve one IMAP session on standard input and output.

DESCRIPTION
    ``imapd [MAILDIR]``, started from a shell, serves the maildir given, or the one in the
    variable MAILDIR, or ./Maildir, to whoever is at standard input: ``* PREAUTH``. Started by a
    log-in program (IMAPLOGINTAG is set), it answers the command that logged in.

SECURITY
    Runs as whoever started it, and never changes that.

STANDARDS
    RFC 9051, RFC 3501, and those of doc/imap-extensions.md.

FILES
    Settings come from the environment, as Courier's start scripts put them there.
"""

from __future__ import annotations

import os
import pwd
import sys
from collections.abc import Mapping, Sequence

from courier import log, version
from courier.log import Peer
from courier.maildir.store import Store
from courier.process import blocking
from courier.settings import SettingsError
from imapd import capability, smap
from imapd import settings as imapd_settings
from imapd.account import enter, folder_options
from imapd.account_session import Client
from imapd.completion import Farewell, Ok
from imapd.session import Session
from imapd.settings import Settings

_USAGE = "Usage: imapd [MAILDIR]\n"
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
        settings = imapd_settings.from_environment(os.environ)
    except SettingsError as error:
        for line in str(error).splitlines():
            log.warn(line)
        os.write(_STDOUT, b"* BYE [ALERT] Configuration error, see the server's log.\r\n")
        return 1
    maildir = arguments[0] if arguments else os.environ.get("MAILDIR") or "./Maildir"
    return serve(settings, maildir, os.environ, _STDIN, _STDOUT)


def serve(
    settings: Settings, maildir: str, environ: Mapping[str, str], source: int, sink: int
) -> int:
    """Serve one session on a pair of descriptors and return an exit code."""
    protocol = environ.get("PROTOCOL") or "IMAP"
    tag = environ.get("IMAPLOGINTAG")
    try:
        client = _client(environ, from_shell=tag is None)
        entered = enter(settings, client.user, client.peer, os.curdir, maildir)
    except Farewell as farewell:
        is_smap = protocol == smap.NAME
        said = smap.bye(farewell) if is_smap else f"* BYE {farewell.text}\r\n".encode()
        os.write(sink, said)
        return 0 if farewell.is_orderly else 1
    store = Store(folder_options(settings))
    log.login(client.user, client.peer, protocol, client.tls)
    if protocol == smap.NAME:
        from imapd.smap.session import Session as SmapSession  # few want it

        steps = SmapSession(settings, entered, store, client).run(smap.GREETING)
    else:
        greeting = b"* PREAUTH Ready.\r\n" if tag is None else _let_in(settings, client, tag)
        steps = Session(settings, entered, store, client).run(greeting)
    blocking.drive(steps, source, sink)
    return 0


def _let_in(settings: Settings, client: Client, tag: str) -> bytes:
    """Answer the command that logged in, for the log-in program. The capabilities are as in `imapd.login`."""
    words = capability.listed(settings, tls=client.tls) if settings.extensions else ""
    return Ok("LOGIN Ok.", words and f"CAPABILITY {words}").line(tag.encode())


def _client(environ: Mapping[str, str], *, from_shell: bool) -> Client:
    user = environ.get("AUTHENTICATED", "")
    options = environ.get("OPTIONS")
    tls = environ.get("IMAP_TLS", "") not in ("", "0")
    quota = environ.get("MAILDIRQUOTA", "")
    if from_shell:
        return Client(user or _login_name(), Peer("127.0.0.1", "0"), tls, options, quota)
    if not user:
        raise Farewell("AUTHENTICATED environment variable not set.", is_orderly=True)
    peer = Peer(environ.get("TCPREMOTEIP", "127.0.0.1"), environ.get("TCPREMOTEPORT", "0"))
    return Client(user, peer, tls, options, quota)


def _login_name() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""imaplogin: log one client in, and become its session.

DESCRIPTION
    ``imaplogin IMAPD MAILDIR``, started by couriertcpd or another super-server with the connection as
    standard input and output, talks IMAP until the client is known, and then becomes IMAPD as its
    user. The daemon imapd(8) needs no such program; this is for scripts that call Courier's.

SECURITY
    Runs as root until the client is known, and is the account's user from then on.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from courier.daemon import login_program
from courier.daemon.login_program import LoginProgram
from courier.process.login_request import Authenticate
from imapd import smap
from imapd.daemon import PROGRAM
from imapd.settings import Settings


def _variables(request: Authenticate) -> Mapping[str, str]:
    protocol = request.protocol.decode("ascii")
    # What the client is told when it is let in begins with its command's tag.
    tag = smap.NAME if protocol == smap.NAME else request.greeting.split(b" ")[0].decode("ascii")
    return {"IMAPLOGINTAG": tag, "PROTOCOL": protocol}


IMAPLOGIN = LoginProgram(
    daemon=PROGRAM,
    settings=Settings,
    tls_variable="IMAP_TLS",
    after_starttls={"IMAP_STARTTLS": "NO", "IMAP_TLS_REQUIRED": "0"},
    port=143,
    misused=b"* BYE imaplogin expected exactly two arguments.\r\n",
    variables=_variables,
)

if __name__ == "__main__":
    sys.exit(login_program.main(IMAPLOGIN, sys.argv[1:]))

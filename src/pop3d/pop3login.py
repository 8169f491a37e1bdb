"""courierpop3login, pop3login: log one client in, and become its session.

DESCRIPTION
    ``courierpop3login POP3D MAILDIR``, started by couriertcpd or another super-server with the
    connection as standard input and output, talks POP3 until the client is known, and then becomes POP3D
    as its user. The daemon pop3d(8) needs no such program; this is for scripts that call Courier's.

SECURITY
    Runs as root until the client is known, and is the account's user from then on.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from courier.daemon import login_program
from courier.daemon.login_program import LoginProgram
from courier.process.login_request import Authenticate
from pop3d.daemon import PROGRAM
from pop3d.login import PROTOCOL_UTF8
from pop3d.settings import Settings


def _variables(request: Authenticate) -> Mapping[str, str]:
    return {"UTF8": "1" if request.protocol == PROTOCOL_UTF8 else "0"}


POP3LOGIN = LoginProgram(
    daemon=PROGRAM,
    settings=Settings,
    tls_variable="POP3_TLS",
    after_starttls={"POP3_STARTTLS": "NO", "POP3_TLS_REQUIRED": "0"},
    port=110,
    misused=b"-ERR pop3login requires exactly two arguments.\r\n",
    variables=_variables,
)

if __name__ == "__main__":
    sys.exit(login_program.main(POP3LOGIN, sys.argv[1:]))

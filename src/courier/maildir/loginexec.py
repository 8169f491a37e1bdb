"""`loginexec`: a program in a maildir that is run at log-in, once it has succeeded never again."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping

from courier import log
from courier.log import Peer

NAME = "loginexec"
#: Seconds after which a session no longer waits for it.
_PATIENCE_S = 600.0


def is_due(maildir: str) -> bool:
    """Tell whether there is something of that name."""
    return os.path.lexists(os.path.join(maildir, NAME))


def run(maildir: str, environment: Mapping[str, str]) -> None:
    """Run the maildir's `loginexec`, if its owner may, and remove it once it has succeeded.

    It runs in the maildir, without arguments. Courier: it has the client's connection as standard
    input and output. Here it reads nothing, and what it says goes to the log: before the greeting
    there is nothing that it could say to a client. A crash while it runs has it run again; so have
    two sessions that begin at the same time. What fails is logged.
    """
    path = os.path.join(maildir, NAME)
    try:
        found = os.stat(path)
    except OSError:
        return
    if not stat.S_ISREG(found.st_mode) or not found.st_mode & stat.S_IXUSR:
        return
    import subprocess  # hardly anybody has one

    try:
        process = subprocess.Popen(
            [NAME],
            executable=f"./{NAME}",
            stdin=subprocess.DEVNULL,
            stdout=2,
            stderr=2,
            cwd=maildir,
            env=environment,
        )
        if process.wait(_PATIENCE_S) == 0:
            os.unlink(path)
    except subprocess.TimeoutExpired:
        log.warn(f"{path}: still running after {_PATIENCE_S:.0f} seconds; the session goes on")
    except OSError as error:
        log.error("cannot run", path, error)


def environment(
    settings: Mapping[str, str], maildir: str, user: str, options: str | None, peer: Peer
) -> dict[str, str]:
    """Give the variables that it finds: this process's, the settings, who logged in and from where."""
    return {
        **os.environ,
        **settings,
        "AUTHENTICATED": user,
        "MAILDIR": maildir,
        "OPTIONS": options or "",
        "TCPREMOTEIP": peer.ip,
        "TCPREMOTEPORT": str(peer.port),
    }

"""authdaemond: tells mail servers and other programs who a client is.

DESCRIPTION
    ``authdaemond start|stop|restart`` controls the daemon as Courier's script does. Without a verb
    it serves in the foreground, for a service manager or a terminal; ``-n`` checks the settings.

SECURITY
    The master runs as root and forks; the dispatcher, which talks to clients, and workers of
    modules that need no rights run as the mail user; workers of authuserdb, authpam and authshadow
    as root. The socket may be written by everybody: its directory, 0750, says who reaches it.
    Started by another user, all of it runs as that user.

STANDARDS
    courier-authlib's socket protocol.

FILES
    /etc/courier/authdaemonrc; /var/lib/courier/authdaemon.key; /run/courier/authdaemon/socket, pid, pid.lock.
"""

from __future__ import annotations

import os
import pwd
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from authdaemond import backends, key, log, master, settings
from authdaemond.backends import NotInstalled
from authdaemond.backends.backend import Unavailable
from authdaemond.settings import Settings, SettingsError
from courier import version
from courier.auth import client
from courier.log import use_levels
from courier.process import activation, service
from courier.process.logger import Logger
from courier.process.privileges import Ids
from courier.process.service import AlreadyRunning, PidFile

#: The mail user, by the name that Debian and Courier itself give it.
_MAIL_USERS = ("courier", "daemon")
_BACKLOG = socket.SOMAXCONN
_PID = client.AUTHDAEMONVAR / "pid"


def main(arguments: Sequence[str]) -> int:
    match arguments:
        case ["start"]:
            return _start()
        case ["stop"]:
            service.stop(PidFile(_PID))
            return 0
        case ["restart"]:
            service.restart(PidFile(_PID))
            return 0
        case ["-n"]:
            return _check()
        case ["--version"]:
            print(f"pycourier {version.VERSION}")
            return 0
        case []:
            return _serve(lambda: None, detached=False)
    print(f"Unknown option '-{arguments[0]}'", file=sys.stderr)
    return 1


def _check() -> int:
    found = _settings()
    if found is None:
        return 1
    code = 0
    for name in found.modules:
        try:
            backends.load(name)().check()
        except NotInstalled as reason:
            log.info(f"authmodulelist: {name} would be skipped: {reason}")
        except Unavailable as reason:
            log.error(f"{name}: {reason}")
            code = 1
    return code


def _start() -> int:
    if _settings() is None:
        return 1
    if PidFile(_PID).running() is not None:
        return 0
    return service.start(lambda ready: _serve(ready, detached=True))


def _serve(ready: Callable[[], None], *, detached: bool) -> int:
    use_levels(for_journal=not detached and activation.is_systemd())
    found = _settings()
    if found is None:
        return 1 if detached else os.EX_CONFIG
    mail_user = _mail_user()
    pid_file = PidFile(_PID)
    signals = master.signals()
    try:
        _make_directory(client.AUTHDAEMONVAR, mail_user)
        pid_file.take()
        listener = _inherited() or _bind(client.SOCKET)
    except AlreadyRunning:
        if not detached:
            log.error("authdaemond is running already")
        return 0 if detached else 1
    except OSError as error:
        log.system_error("cannot listen", error)
        return 1
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    logger = _log_to_syslog(found) if detached or activation.is_systemd() else None
    try:
        daemon = master.Master(settings.FILE, key.load(), listener, signals, mail_user, logger)
        return daemon.run(found, ready)
    finally:
        pid_file.remove()


def _settings() -> Settings | None:
    try:
        return settings.load()
    except SettingsError as error:
        for line in error.lines:
            log.error(line)
        return None


def _mail_user() -> Ids | None:
    """Whom root becomes; nobody else has a choice."""
    if os.geteuid() != 0:
        return None
    for name in filter(None, (os.environ.get("PYCOURIER_MAILUSER"), *_MAIL_USERS)):
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        return Ids(found.pw_uid, found.pw_gid)
    raise SystemExit(f"authdaemond: no user {' or '.join(_MAIL_USERS)}")


def _make_directory(path: Path, mail_user: Ids | None) -> None:
    """Make the run directory, which decides who may reach the socket."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    try:
        path.mkdir(mode=0o750)
    except FileExistsError:
        return  # as the administrator has it
    path.chmod(0o750)  # whatever the umask is
    if mail_user is not None:
        os.chown(path, mail_user.uid, mail_user.gid)


def _inherited() -> socket.socket | None:
    found = [listener for listeners in activation.inherited().values() for listener in listeners]
    for listener in found:
        if listener.family == socket.AF_UNIX:
            return listener
    return None


def _bind(path: Path) -> socket.socket:
    """Listen on a socket that takes the place of the old one at once."""
    made = path.with_name(path.name + ".tmp")
    made.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.setblocking(False)
    listener.bind(str(made))
    listener.listen(_BACKLOG)
    made.chmod(0o777)
    made.rename(path)
    return listener


def _log_to_syslog(found: Settings) -> Logger:
    read, write = os.pipe()
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.dup2(write, 2)
    os.close(write)
    os.close(null)
    use_levels(for_journal=False)  # Logger knows Courier's words
    return Logger(read, found.logger_options, "authdaemond")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""`make run`: the real daemons on loopback ports, for one demo account with a filled maildir.

DESCRIPTION
    ``demo.py [DIRECTORY]`` makes settings, a certificate, a userdb and a maildir in .run (or
    DIRECTORY), starts authdaemond, imapd (port 1143 or $PORT), imapd-ssl (850 above it), pop3d (33 below) and pop3d-ssl
    (852 above; free ones for 0), and says what to type next. The account is demo, its password demo. Ctrl-C ends all of it.

SECURITY
    For trying out, on one's own machine: a known password. Started by root, sessions and log-ins run
    as the user nobody (or whoever called sudo).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

USERID = PASSWORD = "demo"
ROOT = Path(__file__).resolve().parent.parent
MESSAGES = Path(__file__).resolve().parent / "demo"
#: Ports, as distances from imapd's: with 1143 they are 1000 above the usual ones.
OFFSETS = {"imapd": 0, "imapd-ssl": 850, "pop3d": -33, "pop3d-ssl": 852}
PR_SET_PDEATHSIG = 1
START_S = 30.0
STOP_S = 15.0

USAGE = """\
IMAP is served on 127.0.0.1:{port} (STARTTLS) and 127.0.0.1:{ssl_port} (TLS from the start),
POP3 on 127.0.0.1:{pop3_port} (STLS) and 127.0.0.1:{pop3_ssl_port} (TLS from the start),
account demo, password demo, maildir {maildir}

Try, in another window:

  curl 'imap://demo:demo@127.0.0.1:{port}/'
  curl 'imap://demo:demo@127.0.0.1:{port}/INBOX?ALL'
  curl --insecure 'imaps://demo:demo@127.0.0.1:{ssl_port}/INBOX;MAILINDEX=1'
  curl 'pop3://demo:demo@127.0.0.1:{pop3_port}/1'

  python3 -c "import imaplib; i = imaplib.IMAP4('127.0.0.1', {port}); print(i.login('demo', 'demo'), \
i.select(), i.fetch('1:*', '(FLAGS ENVELOPE)'))"

or a mail program: IMAP server 127.0.0.1, port {port}, STARTTLS or no encryption, or port {ssl_port}
with SSL/TLS; user name demo, password demo. The certificate, for the name localhost, is its own
authority: {certificate}

Log lines follow. Ctrl-C stops the servers.
"""


@dataclass(frozen=True)
class User:
    """As whom sessions run."""

    uid: int
    gid: int
    name: str


def main(arguments: Sequence[str]) -> int:
    number = 0
    try:
        wanted = int(os.environ.get("PORT") or "1143")
        ports = {}
        for name, offset in OFFSETS.items():
            number = wanted and wanted + offset
            ports[name] = probe(number)
    except (ValueError, OverflowError):
        print("demo: PORT has to be a port number, and not one of the lowest", file=sys.stderr)
        return 1
    except OSError:
        print(
            f"demo: port {number} of 127.0.0.1 is in use by another program; stop it, or choose "
            f"another port: make run PORT=2143",
            file=sys.stderr,
        )
        return 1
    user = user_of_sessions()
    with state_directory(Path(arguments[0]) if arguments else ROOT / ".run", user) as state:
        maildir = fill(state / "home" / "Maildir", user)
        environment = prepare(state, user, ports)
        return serve(
            environment,
            USAGE.format(
                port=ports["imapd"],
                ssl_port=ports["imapd-ssl"],
                pop3_port=ports["pop3d"],
                pop3_ssl_port=ports["pop3d-ssl"],
                maildir=maildir,
                certificate=state / "etc" / "localhost.crt",
            ),
            state,
        )


def probe(port: int) -> int:
    """Give the port, or a free one for 0. Raises OSError when it is taken."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen()
        taken: int = listener.getsockname()[1]
        return taken


def user_of_sessions() -> User:
    if os.geteuid() != 0:
        found = pwd.getpwuid(os.geteuid())
    elif os.environ.get("SUDO_UID", "0") not in ("", "0"):
        found = pwd.getpwuid(int(os.environ["SUDO_UID"]))
    else:
        found = pwd.getpwnam("nobody")
    return User(found.pw_uid, found.pw_gid, found.pw_name)


@contextlib.contextmanager
def state_directory(wanted: Path, user: User) -> Iterator[Path]:
    """Give the directory for everything, or a temporary one where ``user`` can't get at it."""
    wanted = wanted.absolute()
    wanted.mkdir(mode=0o755, parents=True, exist_ok=True)
    if os.geteuid() != 0 or all(part.stat().st_mode & 0o001 for part in [wanted, *wanted.parents]):
        yield wanted
        return
    with tempfile.TemporaryDirectory(prefix="pycourier-demo.", dir="/var/tmp") as made:
        os.chmod(made, 0o755)
        yield Path(made)


def fill(maildir: Path, user: User) -> Path:
    """Make the demo maildir, unless there is one: the messages of tools/demo/, in two folders."""
    if maildir.exists():
        return maildir
    unfinished = maildir.with_name("Maildir.new")
    shutil.rmtree(unfinished, ignore_errors=True)
    for folder in (unfinished, unfinished / ".Archive"):
        for name in ("tmp", "new", "cur"):
            (folder / name).mkdir(mode=0o700, parents=True)
    (unfinished / ".Archive" / "maildirfolder").touch(mode=0o600)
    (unfinished / "courierimapsubscribed").write_text("INBOX\nINBOX.Archive\n")
    now = int(time.time())
    for number, message in enumerate(sorted(MESSAGES.rglob("*.eml"))):
        folder = unfinished / ".Archive" if message.parent.name == "Archive" else unfinished
        name = f"{now + number}.M{number}P{os.getpid()}.demo,S={message.stat().st_size}"
        place = "cur" if number % 2 else "new"
        shutil.copyfile(message, folder / place / (name + (":2,S" if place == "cur" else "")))
    if os.geteuid() == 0:
        for path in [unfinished, *unfinished.rglob("*")]:
            os.chown(path, user.uid, user.gid)
    unfinished.rename(maildir)
    return maildir


# -- settings ------------------------------------------------------------------------------------


def prepare(state: Path, user: User, ports: Mapping[str, int]) -> dict[str, str]:
    """Write the settings and give the environment in which the daemons find them."""
    etc, run = state / "etc", state / "run"
    for directory in (etc, run):
        directory.mkdir(mode=0o755, exist_ok=True)
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "src"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYCOURIER_SYSCONFDIR": str(etc),
        "PYCOURIER_RUNDIR": str(run),
        "PYCOURIER_LOCALSTATEDIR": str(run),
        "PYCOURIER_AUTHDAEMONVAR": str(run / "authdaemon"),
        "PYCOURIER_MAILUSER": user.name,
    }
    (etc / "imapaccess").touch()
    request = (ROOT / "conf" / "imapd.cnf").read_text()
    (etc / "imapd.cnf").write_text(request + '\ndns_name = "localhost"\n')
    certificate = etc / "imapd.pem"
    settings(
        etc / "imapd",
        ADDRESS="127.0.0.1",
        PORT=ports["imapd"],
        LOGIN_USER=user.name,
        IMAP_ENHANCEDIDLE=1,
        MAXPERIP=40,
        IMAPACCESSFILE=etc / "imapaccess",
        PIDFILE=run / "imapd.pid",
    )
    settings(
        etc / "imapd-ssl",
        SSLADDRESS="127.0.0.1",
        SSLPORT=ports["imapd-ssl"],
        SSLPIDFILE=run / "imapd-ssl.pid",
        TLS_CERTFILE=certificate,
        TLS_DHPARAMS=etc / "dhparams.pem",
    )
    settings(
        etc / "pop3d",
        ADDRESS="127.0.0.1",
        PORT=ports["pop3d"],
        LOGIN_USER=user.name,
        MAXPERIP=40,
        PIDFILE=run / "pop3d.pid",
    )
    settings(
        etc / "pop3d-ssl",
        SSLADDRESS="127.0.0.1",
        SSLPORT=ports["pop3d-ssl"],
        SSLPIDFILE=run / "pop3d-ssl.pid",
        TLS_CERTFILE=certificate,
        TLS_DHPARAMS=etc / "dhparams.pem",
    )
    settings(
        etc / "authdaemonrc",
        authmodulelist="authuserdb",
        daemons=2,
        authdaemonvar=run / "authdaemon",
    )
    if not certificate.exists():
        tool(environment, "mkimapdcert", [])
    shown = re.findall(r"-----BEGIN CERT.*?-----END CERT[^\n]*\n", certificate.read_text(), re.S)
    (etc / "localhost.crt").write_text("".join(shown))  # without the key, for clients
    userdb(environment, etc, user, state / "home")
    return environment


def settings(target: Path, **values: object) -> None:
    """Write a settings file: what is shipped, and behind it what the demo wants otherwise."""
    shipped = (ROOT / "conf" / f"{target.name}.dist").read_text()
    own = "".join(f'{name}="{value}"\n' for name, value in values.items())
    target.write_text(f"{shipped}\n##NAME: DEMO:0\n#\n# Of the demo\n\n{own}")


def userdb(environment: Mapping[str, str], etc: Path, user: User, home: Path) -> None:
    """Make a userdb with the one account."""
    words = {
        "uid": user.uid,
        "gid": user.gid,
        "home": home,
        "mail": home / "Maildir",
        "systempw": tool(environment, "userdbpw", ["-md5"], PASSWORD).strip(),
        "hmac-md5pw": tool(environment, "userdbpw", ["-hmac-md5"], PASSWORD).strip(),
    }
    text = etc / "userdb"
    text.write_text(f"{USERID}\t" + "|".join(f"{k}={v}" for k, v in words.items()) + "\n")
    text.chmod(0o600)
    tool(environment, "makeuserdb", [])


def tool(
    environment: Mapping[str, str], name: str, arguments: Sequence[str], text: str = ""
) -> str:
    done = subprocess.run(
        [sys.executable, "-m", f"tools.{name}", *arguments],
        cwd="/",
        env=dict(environment),
        input=text,
        text=True,
        stdout=subprocess.PIPE,
        check=True,
    )
    return done.stdout


# -- daemons -------------------------------------------------------------------------------------


def serve(environment: dict[str, str], usage: str, state: Path) -> int:
    """Run the daemons until SIGINT or SIGTERM, or until one of them ends."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    stop, stopped = socket.socketpair()
    stopped.setblocking(False)
    signal.set_wakeup_fd(stopped.fileno())
    etc = environment["PYCOURIER_SYSCONFDIR"]
    daemons: list[subprocess.Popen[bytes]] = []
    try:
        servers = [
            [f"{name.removesuffix('-ssl')}.daemon", "--config", etc, name] for name in OFFSETS
        ]
        for command in (["authdaemond"], *servers):
            daemon = start(environment, command, state)
            if daemon is None:
                return 1
            daemons.append(daemon)
        print(usage, flush=True)
        while all(daemon.poll() is None for daemon in daemons):
            stop.settimeout(1.0)
            with contextlib.suppress(TimeoutError):
                if set(stop.recv(4096)) & {signal.SIGINT, signal.SIGTERM}:
                    return 0
        print("demo: one of the daemons has ended", file=sys.stderr)
        return 1
    finally:
        end(daemons)


def start(
    environment: dict[str, str], command: Sequence[str], state: Path
) -> subprocess.Popen[bytes] | None:
    """Start a daemon and wait until it says that it is ready (sd_notify); None if it ends first."""
    path = state / "run" / "notify"
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(str(path))
        told.settimeout(0.2)
        daemon = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd="/",
            env={**environment, "NOTIFY_SOCKET": str(path)},
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for us: they are ended in their order
            preexec_fn=die_with_parent,  # noqa: PLW1509  there are no threads here
        )
        deadline = time.monotonic() + START_S
        while daemon.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(TimeoutError):
                if b"READY=1" in told.recv(4096).split(b"\n"):
                    return daemon
    print(f"demo: {' '.join(command)} did not start", file=sys.stderr)
    end([daemon])
    return None


def die_with_parent() -> None:
    """Let a daemon be ended even if this program is killed."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def end(daemons: Sequence[subprocess.Popen[bytes]]) -> None:
    """End the daemons, those that were started last first."""
    for daemon in reversed(daemons):
        daemon.terminate()
        try:
            daemon.wait(STOP_S)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

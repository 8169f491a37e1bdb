"""`make run`: IMAP on a loopback port, for one demo account with a filled maildir.

DESCRIPTION
    ``demo.py [DIRECTORY]`` listens on 127.0.0.1, port 1143 or $PORT, and forks a process per
    connection, which speaks the not-authenticated state and then runs the session that imapd runs.
    The account is demo, its password demo, its maildir .run/Maildir, or that of DIRECTORY. Ctrl-C
    ends all of it.

SECURITY
    For trying out, on one's own machine: no TLS, a known password, no limits.
"""

from __future__ import annotations

import errno
import os
import select
import shutil
import signal
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from demo_login import Login

from courier import log
from courier.log import Peer
from courier.maildir.folder import Options
from courier.maildir.store import Store
from courier.process import blocking
from courier.process.request import Steps
from imapd import settings as imapd_settings
from imapd.account import enter
from imapd.completion import Farewell
from imapd.session import Client, Session
from imapd.settings import Settings

USERID = PASSWORD = "demo"
ROOT = Path(__file__).resolve().parent.parent
MESSAGES = Path(__file__).resolve().parent / "demo"
#: Seconds that sessions have to say goodbye.
GRACE_S = 5.0

USAGE = """\
IMAP is served on 127.0.0.1:{port}, account demo, password demo, maildir {maildir}

Try, in another window:

  curl 'imap://demo:demo@127.0.0.1:{port}/'
  curl 'imap://demo:demo@127.0.0.1:{port}/INBOX?ALL'
  curl 'imap://demo:demo@127.0.0.1:{port}/INBOX;MAILINDEX=1'

  python3 -c "import imaplib; i = imaplib.IMAP4('127.0.0.1', {port}); print(i.login('demo', 'demo'), \
i.select(), i.fetch('1:*', '(FLAGS ENVELOPE)'))"

or a mail program: IMAP server 127.0.0.1, port {port}, no encryption, user name demo, password demo.

Log lines follow. Ctrl-C stops the server.
"""


def main(arguments: Sequence[str]) -> int:
    state = Path(arguments[0]) if arguments else ROOT / ".run"
    port = os.environ.get("PORT") or "1143"
    try:
        listener = listen(int(port))
    except (ValueError, OverflowError):
        print("demo: PORT has to be a port number", file=sys.stderr)
        return 1
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        print(
            f"demo: port {port} of 127.0.0.1 is in use by another program; stop it, or choose another "
            f"port: make run PORT={int(port) + 1000}",
            file=sys.stderr,
        )
        return 1
    settings = imapd_settings.load([ROOT / "conf" / "imapd.dist"])
    maildir = fill(state / "Maildir")
    print(USAGE.format(port=listener.getsockname()[1], maildir=maildir), flush=True)
    with listener:
        serve(listener, settings, maildir)
    return 0


def listen(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
        listener.listen()
    except BaseException:
        listener.close()
        raise
    return listener


def fill(maildir: Path) -> Path:
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
    unfinished.rename(maildir)
    return maildir


def serve(listener: socket.socket, settings: Settings, maildir: Path) -> None:
    """Accept connections until SIGINT or SIGTERM, then end all sessions and wait for them."""
    stop, stopped = socket.socketpair()
    stopped.setblocking(False)
    signal.set_wakeup_fd(stopped.fileno())
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    children: set[int] = set()
    while True:
        ready, _, _ = select.select([listener, stop], [], [])
        if stop in ready and set(stop.recv(4096)) - {signal.SIGCHLD}:
            break
        children -= reaped(children)
        if listener in ready:
            connection, address = listener.accept()
            pid = os.fork()
            if pid == 0:
                listener.close()
                signal.set_wakeup_fd(-1)
                session_process(connection, Peer(address[0], address[1]), settings, maildir)
            children.add(pid)
            connection.close()
    listener.close()
    end(children)


def reaped(children: set[int]) -> set[int]:
    return {pid for pid in children if os.waitpid(pid, os.WNOHANG)[0]}


def end(children: set[int]) -> None:
    """Ask all sessions to end, wait, and insist."""
    for number, patience_s in ((signal.SIGTERM, GRACE_S), (signal.SIGKILL, GRACE_S)):
        for pid in children:
            os.kill(pid, number)
        deadline = time.monotonic() + patience_s
        while children and time.monotonic() < deadline:
            children -= reaped(children)
            time.sleep(0.02)


def session_process(
    connection: socket.socket, peer: Peer, settings: Settings, maildir: Path
) -> None:
    """Serve one connection and end the process."""
    code = 1
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        steps = login_and_session(peer, settings, maildir)
        blocking.drive(steps, connection.fileno(), connection.fileno())
        connection.shutdown(socket.SHUT_RDWR)
        code = 0
    except OSError:
        pass  # the client is gone
    except Exception as error:
        log.bug(USERID, "demo", error)
    finally:
        os._exit(code)


def login_and_session(peer: Peer, settings: Settings, maildir: Path) -> Steps:
    logged_in = yield from Login(settings, peer, is_demo).run()
    if logged_in is None:
        return
    try:
        account = enter(settings, "/", str(maildir))
    except Farewell as farewell:
        yield f"* BYE {farewell.text}\r\n".encode()
        return
    options = Options(settings.use_locks, bool(settings.keywords), settings.fsync)
    session = Session(settings, account, Store(options), Client(logged_in.userid, peer))
    log.login(logged_in.userid, peer, "IMAP", False)
    yield from session.run(logged_in.completion, logged_in.unread)


def is_demo(userid: str, password: str) -> bool:
    return (userid, password) == (USERID, PASSWORD)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Real Courier's servers for accounts that a `Site`'s serve, too: couriertcpd, log-in program, authdaemond.

They run in a root directory (`courier_root`), which holds the accounts' homes.
"""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from courier.auth import userdb_source
from tests.conftest import missing
from tests.support import authdaemon, courier_root
from tests.support.daemon import Site, free_port, give, wait_until
from tests.support.fake_authdaemond import Entry, own_ids
from tests.support.maildirs import make_maildir
from tests.support.servers import COURIER

PROGRAMS = {
    "imapd": ["/usr/lib/courier/courier/imaplogin", "/opt/usr/bin/imapd", "Maildir"],
    "pop3d": [
        "/usr/lib/courier/courier/courierpop3login",
        "/usr/lib/courier/courier/courierpop3d",
        "Maildir",
    ],
}


def hashed(password: str) -> str:
    """The password as it stands in a userdb."""
    made = subprocess.run(
        ["openssl", "passwd", "-6", password], capture_output=True, text=True, check=True
    )
    return made.stdout.strip()


class CourierServer:
    """Installed by hand; `close` ends all that was started."""

    def __init__(self, site: Site) -> None:
        if not authdaemon.is_root():
            missing("root's rights, for chroot and mount namespaces")
        for program in (*courier_root.NEEDED, *(one[0][1:] for one in PROGRAMS.values())):
            if not (COURIER / program).exists():
                missing("Debian's Courier, see `make tools`")
        self._site = site
        self._root = courier_root.make(site.path / "courier")
        self._log = site.path / "courier.log"
        self._started: list[subprocess.Popen[bytes]] = []
        self._authdaemond: authdaemon.Daemon | None = None

    def add_account(self, userid: str, password: str) -> Path:
        """Make an account that both know; return its maildir. Only before `start`."""
        uid, gid = own_ids()
        home = self._root.path / "home"
        home.mkdir()
        maildir = make_maildir(home / "Maildir")
        give(home, uid, gid)
        told = {"UID": str(uid), "GID": str(gid), "HOME": str(home), "ADDRESS": userid}
        self._site.authdaemond.accounts[userid] = Entry(password, told)
        source = self._root.configuration / "userdb"
        source.write_text(f"{userid}\tuid={uid}|gid={gid}|home=/home|systempw={hashed(password)}\n")
        source.chmod(0o600)
        userdb_source.build(source)
        settings = {"authmodulelist": "authuserdb"}
        self._authdaemond = authdaemon.start_inside(self._root, settings, ours=False)
        return maildir

    def start(self, name: str, *, sessions_of_ours: bool = False, **settings: str) -> int:
        """Start imapd or pop3d, and wait until it listens; return its port.

        Args:
            sessions_of_ours: Courier's log-in program runs our imapd or pop3d.
        """
        login, session, maildir = PROGRAMS[name]
        if sessions_of_ours:
            session = f"/etc/courier/{name} of ours"
            script = self._root.path / session[1:]
            script.write_text(f'#!/bin/sh\nexec python3 -m {name} "$@"\n')
            script.chmod(0o755)
        return self.run([login, session, maildir], **settings)

    def run(self, command: Sequence[str], **settings: str) -> int:
        """Have couriertcpd run a command for each connection; return its port."""
        port = free_port()
        tcpd = ["couriertcpd", "-nodnslookup", "-address=127.0.0.1", "-maxperip=100"]
        with self._log.open("ab") as written:
            self._started.append(self._root.start([*tcpd, str(port), *command], written, settings))
        wait_until(lambda: _is_listening(port), self._log.read_text)
        return port

    def open(self, command: Sequence[str], settings: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """Start a command with pipes for standard input and output."""
        process = subprocess.Popen(
            self._root.command_line(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=self._root.variables(settings),
        )
        self._started.append(process)
        return process

    def once(
        self, command: Sequence[str], stdin: bytes, settings: Mapping[str, str]
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command to its end."""
        return self._root.run(command, stdin, settings)

    @property
    def library_path(self) -> str:
        """LD_LIBRARY_PATH of Courier's programs."""
        return self._root.variables()["LD_LIBRARY_PATH"]

    def read_file(self, path: str) -> bytes:
        return (self._root.path / path[1:]).read_bytes()

    def add_file(self, path: str, contents: bytes) -> None:
        file = self._root.path / path[1:]
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(contents)
        file.chmod(0o644)

    def add_program(self, path: str, script: str) -> None:
        """Write a script for the shell."""
        self.add_file(path, f"#!/bin/sh\n{script}".encode())
        (self._root.path / path[1:]).chmod(0o755)

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def close(self) -> None:
        for process in self._started:
            process.kill()
            process.wait()
        if self._authdaemond is not None:
            self._authdaemond.stop()


def _is_listening(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True

"""The three servers: how each is started on its maildir, with standard input and output as the session.

All of them have a program for each protocol, which is started in the same way.

They run from copies below the benchmark's directory, because the account that they run as may not be
able to enter this checkout; ours is compiled there, as packages install it. Dovecot refuses to serve
mail to root, so when root runs the benchmark all of them run as nobody. ``imap -c FILE`` alone gives
an authenticated session; as it is unpacked and not installed, doveconf is told to start it.
"""

from __future__ import annotations

import compileall
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import installation
from bench.connection import Connection, on_socket_pair
from bench.imap.maildirs import Owner
from bench.imap.session import Session, greeted
from tests.support.servers import COURIER, OURS, REAL, ROOT

DOVECOT = ROOT / ".tools" / "dovecot"
SERVERS = ("ours", "courier", "dovecot")
ACCOUNT = "bench"
NOBODY = 65534
_WATCHER_STARTS_S = 0.2


@dataclass(frozen=True)
class Protocol:
    """Its programs: our module, Courier's below its root, and Dovecot's service."""

    module: str
    courier: str
    service: str


IMAP = Protocol("imapd", "usr/bin/imapd", "imap")
POP3 = Protocol("pop3d", "usr/lib/courier/courier/courierpop3d", "pop3")


@dataclass(frozen=True)
class Start:
    command: Sequence[str]
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Contender:
    """A server, its maildir, and what starts it: as shipped, syncing nothing, with a full-text index."""

    name: str
    version: str
    maildir: Path
    owner: Owner
    shipped: Start
    unsynced: Start
    promises: str  # what it syncs in each of these two, for the report
    fulltext: Start | None = None
    watcher: FileWatcher | None = None

    @property
    def can_sync(self) -> bool:
        return self.shipped != self.unsynced

    def open(self) -> Session:
        return self._open(self.shipped)

    def open_unsynced(self) -> Session:
        return self._open(self.unsynced)

    def open_with_fulltext(self) -> Session:
        """As shipped where there is no such setting."""
        return self._open(self.fulltext or self.shipped)

    def start(self) -> Connection:
        """Start a session of any protocol, and await nothing."""
        return self._start(self.shipped)

    def see_to_watcher(self) -> None:
        """Have running what sessions need beside them, which would take time at the start of one."""
        if self.watcher:
            self.watcher.see_to_it()

    def _open(self, start: Start) -> Session:
        return greeted(self._start(start))

    def _start(self, start: Start) -> Connection:
        self.see_to_watcher()
        ids = (self.owner.uid, self.owner.gid)
        return on_socket_pair(start.command, start.environment, self.maildir.parent, ids)


def owner() -> Owner:
    return Owner(NOBODY, NOBODY) if os.geteuid() == 0 else Owner(os.geteuid(), os.getegid())


def maildir(name: str, work: Path) -> Path:
    """Where a server's maildir is; its daemon finds it there too."""
    return installation.homes(name, work / name) / ACCOUNT / "Maildir"


def contender(name: str, work: Path, protocol: Protocol = IMAP) -> Contender:
    """Copy a server's programs and say how it is started; the maildir is made by others."""
    makers = {"ours": _ours, "courier": _courier, "dovecot": _dovecot}
    (work / name).mkdir(exist_ok=True)
    return makers[name](work, maildir(name, work), protocol)


def _ours(work: Path, place: Path, protocol: Protocol) -> Contender:
    source = work / "ours" / "src"
    shutil.copytree(ROOT / "src", source, ignore=shutil.ignore_patterns("__pycache__"))
    compileall.compile_dir(str(source), quiet=2)
    shipped = {**OURS.variables(), "PYTHONPATH": str(source)}
    command = [sys.executable, "-m", protocol.module, str(place)]
    version = _said([*command[:-1], "--version"], shipped)
    return Contender(
        "ours",
        f"{version}, Python {platform.python_version()}",
        place,
        owner(),
        Start(command, shipped),
        Start(command, {**shipped, "IMAP_FSYNC": "0"}),
        "IMAP_FSYNC=1 (its default: a message and its directory before the OK of APPEND and COPY) or 0",
        Start(command, {**shipped, "IMAP_FULLTEXT": "1"}),
    )


def _courier(work: Path, place: Path, protocol: Protocol) -> Contender:
    program = work / "courier" / "program"
    shutil.copytree(COURIER, program, symlinks=True)
    variables = _courier_variables(work)
    start = Start([str(program / protocol.courier), str(place)], variables)
    version = _said([str(program / IMAP.courier), "--version"], variables).split("/")[0]
    promises = "it never syncs and has no setting for it"
    watcher = FileWatcher(variables)
    return Contender("courier", version, place, owner(), start, start, promises, watcher=watcher)


def _courier_variables(work: Path) -> dict[str, str]:
    """The environment of Courier's programs that were copied."""
    program = str(work / "courier" / "program")
    return {name: value.replace(str(COURIER), program) for name, value in REAL.variables().items()}


def _dovecot(work: Path, place: Path, protocol: Protocol) -> Contender:
    home = work / "dovecot"
    program = home / "program"
    shutil.copytree(DOVECOT / "usr/lib/dovecot", program / "usr/lib/dovecot", symlinks=True)
    shutil.copytree(DOVECOT / "usr/bin", program / "usr/bin", symlinks=True)
    libraries = program / "usr/lib/dovecot"
    environment = {
        "USER": ACCOUNT,
        "HOME": str(place.parent),
        "PATH": "/usr/bin:/bin",
        "TZ": "UTC",
        "LD_LIBRARY_PATH": str(libraries),
    }
    (home / "base").mkdir()
    starts = []
    for fsync in ("optimized", "never"):
        settings = home / f"{fsync}.conf"
        settings.write_text(_dovecot_settings(home, place, owner(), fsync))
        command = [
            *(str(program / "usr/bin/doveconf"), "-c", str(settings)),
            *("-f", f"service={protocol.service}", "-m", protocol.service),
            *("-e", str(libraries / protocol.service)),
        ]
        starts.append(Start(command, environment))
    said = {"LD_LIBRARY_PATH": str(DOVECOT / "usr/lib/dovecot")}
    version = _said([str(DOVECOT / "usr/sbin/dovecot"), "--version"], said).split()[0]
    promises = "mail_fsync=optimized (its default: the same) or never"
    return Contender("dovecot", version, place, owner(), starts[0], starts[1], promises)


def _dovecot_settings(home: Path, place: Path, owner: Owner, fsync: str) -> str:
    return (
        f"mail_location = maildir:{place}\nmail_fsync = {fsync}\n"
        f"base_dir = {home}/base\nstate_dir = {home}/base\nlog_path = /dev/null\n"
        f"first_valid_uid = 0\nfirst_valid_gid = 0\nmail_uid = {owner.uid}\nmail_gid = {owner.gid}\n"
        "namespace inbox {\n  inbox = yes\n  prefix = INBOX.\n  separator = .\n}\n"
    )


def _said(command: Sequence[str], environment: Mapping[str, str]) -> str:
    done = subprocess.run(
        command, env=dict(environment), capture_output=True, text=True, check=True
    )
    return (done.stdout + done.stderr).strip().splitlines()[0]


class FileWatcher:
    """The server through which Courier's sessions wait for locks; it ends now and then."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self._process: subprocess.Popen[bytes] | None = None

    def see_to_it(self) -> None:
        """Have it running: a session would start one itself and take longer."""
        if self._process is not None and self._process.poll() is None:
            return
        drops = os.geteuid() == 0
        no_groups: list[int] = []
        self._process = subprocess.Popen(
            [
                self._variables["GAMIN_DEBUG_SERVER"],
                "notimeout",
                self._variables["GAM_CLIENT_ID"],
            ],
            env=dict(self._variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            user=NOBODY if drops else None,
            group=NOBODY if drops else None,
            extra_groups=no_groups if drops else None,
        )
        time.sleep(_WATCHER_STARTS_S)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

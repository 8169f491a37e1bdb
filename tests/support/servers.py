"""Our imapd and Courier's, each started on a maildir with its standard input and output as the connection."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.client import Client, Connection

ROOT = Path(__file__).resolve().parents[2]
COURIER = ROOT / ".tools" / "courier"

# Modules are compiled once for all tests and the programs they start, apart from the sources.
BYTECODE = ROOT / "build" / "bytecode"
#: The environment in which Python finds our modules.
MODULES: Mapping[str, str] = {
    "PYTHONPATH": str(ROOT / "src"),
    "PYTHONPYCACHEPREFIX": str(BYTECODE),
}

# What Debian's /etc/courier/imapd sets, as far as a session sees it; but no 2 s pause in DELETE and RENAME.
SETTINGS: Mapping[str, str] = {
    "IMAP_CAPABILITY": (
        "IMAP4rev1 UIDPLUS CHILDREN NAMESPACE THREAD=ORDEREDSUBJECT THREAD=REFERENCES SORT QUOTA IDLE"
    ),
    "IMAP_KEYWORDS": "1",
    "IMAP_ACL": "1",
    "IMAP_CHECK_ALL_FOLDERS": "0",
    "IMAP_OBSOLETE_CLIENT": "0",
    "IMAP_USELOCKS": "1",
    "IMAP_ENHANCEDIDLE": "1",
    "IMAP_TRASHFOLDERNAME": "Trash",
    "IMAP_EMPTYTRASH": "Trash:7",
    "IMAP_MOVE_EXPUNGE_TO_TRASH": "0",
    "IMAP_BROKENUIDV": "1",
}


@dataclass(frozen=True)
class Implementation:
    """A server under test: how it is called and which variables make it run."""

    name: str
    program: tuple[str, ...]
    environment: Mapping[str, str]
    is_imap: bool = True  # and greets with PREAUTH
    line_end: bytes = b"\r\n"

    @property
    def is_ours(self) -> bool:
        return self.name == "ours"

    def command_line(self, maildir: Path) -> list[str]:
        return [*self.program, str(maildir)]

    def variables(
        self, settings: Mapping[str, str] | None = None, unset: Collection[str] = ()
    ) -> dict[str, str]:
        """The whole environment of the process; nothing leaks in from the tests' own."""
        variables = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/",
            "TZ": "UTC",
            **self.environment,
            **SETTINGS,
            **(settings or {}),
        }
        return {name: value for name, value in variables.items() if name not in unset}


OURS = Implementation(
    "ours",
    (sys.executable, "-m", "imapd"),
    MODULES,
)
REAL = Implementation(
    "courier",
    (str(COURIER / "usr/bin/imapd"),),
    {
        "LD_LIBRARY_PATH": ":".join(
            f"{COURIER}/{directory}"
            for directory in (
                "usr/lib",
                f"usr/lib/{os.uname().machine}-linux-gnu",
                f"lib/{os.uname().machine}-linux-gnu",
            )
        ),
        # Courier waits for a lock, and idles, through gamin, which would start its server in places unknown here.
        "GAMIN_DEBUG_SERVER": str(COURIER / "usr/libexec/gam_server"),
        "GAM_CLIENT_ID": f"pycourier-{os.getpid()}",
    },
)


OURS_POP3 = dataclasses.replace(OURS, program=(sys.executable, "-m", "pop3d"), is_imap=False)
REAL_POP3 = dataclasses.replace(
    REAL, program=(str(COURIER / "usr/lib/courier/courier/courierpop3d"),), is_imap=False
)


def speaking_smap(implementation: Implementation) -> Implementation:
    """Give an IMAP server that speaks Courier's own protocol from its first octet."""
    environment = {**implementation.environment, "PROTOCOL": "SMAP1"}
    return dataclasses.replace(
        implementation, environment=environment, is_imap=False, line_end=b"\n"
    )


OURS_SMAP, REAL_SMAP = speaking_smap(OURS), speaking_smap(REAL)


class Server:
    """One server process and the client that talks to it."""

    def __init__(
        self,
        implementation: Implementation,
        maildir: Path,
        settings: Mapping[str, str] | None = None,
        unset: Collection[str] = (),
    ) -> None:
        self.implementation = implementation
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  (stop() closes it)
        self._process = subprocess.Popen(
            implementation.command_line(maildir),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=implementation.variables(settings, unset),
            cwd=maildir.parent,
        )
        assert self._process.stdin and self._process.stdout
        self.client = Client(
            Connection(self._process.stdout.fileno(), self._process.stdin.fileno())
        )
        self._log = ""

    @property
    def pid(self) -> int:
        return self._process.pid

    def finish(self) -> bytes:
        """Hang up, await the server's end; return what it still had to say."""
        assert self._process.stdin
        self._process.stdin.close()
        rest = self.client.connection.rest()
        self.stop()
        return rest

    def stop(self) -> None:
        """End the process, by force if it does not end by itself."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream and not stream.closed:
                stream.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(10)
        if not self._errors.closed:
            self._errors.seek(0)
            self._log = self._errors.read().decode(errors="replace")
            self._errors.close()

    @property
    def log(self) -> str:
        """Standard error, once the server has stopped."""
        return self._log

    @property
    def status(self) -> int | None:
        return self._process.returncode


def start_gam_server() -> subprocess.Popen[bytes]:
    """Start the file watcher that Courier's sessions share; the caller stops it."""
    return subprocess.Popen(
        [REAL.environment["GAMIN_DEBUG_SERVER"], "notimeout", REAL.environment["GAM_CLIENT_ID"]],
        env=REAL.variables(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

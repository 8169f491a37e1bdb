"""Our daemons, Courier's and Dovecot's, each with the same accounts on ports of loopback.

All keep passwords alike, in the kind of file that their documentation names first: userdb.dat,
passwd-file. Courier and Dovecot run in a root directory of their own (`CourierRoot`), because their
paths are compiled in; its mounts are in a mount namespace that goes with their processes.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench import process_tree
from bench.client import Client, Refused
from courier.auth import userdb_source
from tests.courier.net.authority import authority
from tests.support import authdaemon, courier_root
from tests.support.daemon import free_port
from tests.support.servers import ROOT, SETTINGS

DOVECOT = ROOT / ".tools" / "dovecot"
START_S = 30.0
STOP_S = 10.0
MD5CRYPT = "$1$bench123$hSHiimdB64uUvNsQBKq6G/"  # of client.PASSWORD
OURS = ("ours", "ours-cached")
MAIL_UID = 65534  # of the accounts that share one
CONNECTIONS = 6000  # the limit of each server, and of each address
_COURIERS_MASTER = "/opt/usr/sbin/couriertcpd"
_WATCHER = "/usr/libexec/gam_server"  # its sessions wait for locks through it

IMAP, POP3 = "imap", "pop3"  # as Dovecot names its services
GREETINGS = {IMAP: b"* OK", POP3: b"+OK"}
#: Courier's log-in program and what it starts.
_COURIERS_PROGRAMS = {
    IMAP: ["/usr/lib/courier/courier/imaplogin", "/opt/usr/bin/imapd"],
    POP3: [
        "/usr/lib/courier/courier/courierpop3login",
        "/usr/lib/courier/courier/courierpop3d",
    ],
}


@dataclass(frozen=True)
class Account:
    userid: str
    uid: int


@dataclass
class Installation:
    """A server; ``homes`` is where its accounts' home directories are, seen from here."""

    name: str
    version: str
    homes: Path
    port: int
    tls_port: int | None = None
    protocol: str = IMAP
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def roots(self) -> list[int]:
        return [process.pid for process in self.processes]

    def master(self, *, tls: bool) -> int:
        """The process whose tree serves a port; all were started in the order of their ports."""
        return self.processes[-1 if tls or self.tls_port is None else -2].pid

    def wait_until_it_serves(self) -> None:
        give_up = time.monotonic() + START_S
        for port in filter(None, (self.port, self.tls_port)):
            while True:
                try:
                    greeting = GREETINGS[self.protocol]
                    Client(port, tls=port == self.tls_port, greeting=greeting).socket.close()
                    break
                except (OSError, Refused) as error:
                    ended = any(one.poll() is not None for one in self.processes)
                    if ended or time.monotonic() > give_up:
                        raise RuntimeError(f"{self.name} does not serve: {error}") from error
                    time.sleep(0.05)

    def stop(self) -> None:
        """End what was started, those that were started last first, and what they left behind."""
        everything = process_tree.pids(self.roots)
        for process in reversed(self.processes):
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for pid in everything:
            if pid not in self.roots and Path(f"/proc/{pid}").exists():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def start(
    name: str,
    work: Path,
    accounts: Sequence[Account],
    stored: str = MD5CRYPT,
    protocol: str = IMAP,
) -> Installation:
    """Start a server: ``ours``, ``ours-cached``, which keeps passwords that were accepted,
    ``courier``, ``dovecot``, or ``dovecot-fast``, whose log-in processes serve many clients each
    (Dovecot's high-performance mode).

    ``work``/homes has the accounts' maildirs already; ``stored`` is the hash of `client.PASSWORD`.
    """
    if name in OURS:
        return _ours(name, work, accounts, stored, protocol)
    if name == "courier":
        return _courier(work, accounts, stored, protocol)
    fast = name == "dovecot-fast"
    return _dovecot(name, work, accounts, stored, protocol, high_performance=fast)


@contextlib.contextmanager
def running(
    names: Sequence[str], work: Path, accounts: Sequence[Account], protocol: str = IMAP
) -> Iterator[dict[str, Installation]]:
    """Have servers run, each in its directory below ``work``, and stop them in the end."""
    servers: dict[str, Installation] = {}
    try:
        for name in names:
            servers[name] = start(name, work / name, accounts, protocol=protocol)
        for server in servers.values():
            server.wait_until_it_serves()
        yield servers
    finally:
        for server in servers.values():
            server.stop()


def homes(name: str, work: Path) -> Path:
    """Where a server looks for home directories."""
    return work / "homes" if name in OURS else work / "root" / "homes"


# -- ours ----------------------------------------------------------------------------------------


def _ours(
    name: str, work: Path, accounts: Sequence[Account], stored: str, protocol: str
) -> Installation:
    etc, run = work / "etc", work / "run"
    for directory in (etc, run):
        directory.mkdir(exist_ok=True)
    environment = authdaemon.environment(work)
    # As packages install it: what a process has compiled itself takes a sixth more to run.
    compiling = [sys.executable, "-m", "compileall", "-q", str(ROOT / "src")]
    subprocess.run(compiling, env=environment, stdout=subprocess.DEVNULL, check=True)
    made = Installation(name, "", work / "homes", free_port(), protocol=protocol)
    if protocol == IMAP:
        made.tls_port = free_port()
        daemons = _imap_daemons(made, etc, run)
    else:
        daemons = _pop3_daemon(made, etc, run)
    module = daemons[0]
    _make_userdb(etc, accounts, str(work / "homes"), stored)
    made.version = _said([sys.executable, "-m", module, "--version"], environment)
    settings = {"authmodulelist": "authuserdb", "daemons": "5"}
    if name == "ours-cached":
        settings["SUCCESS_CACHE"] = "3600"
    started = authdaemon.start_ours(work, settings)
    made.processes.append(started.process)
    with (work / "log").open("ab") as log:
        for daemon in daemons:
            made.processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", f"{module}.daemon", "--config", str(etc), daemon],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=environment,
                )
            )
    return made


def _imap_daemons(made: Installation, etc: Path, run: Path) -> list[str]:
    """Write the settings of our daemons for IMAP; return their names."""
    certificate = authority().sign("localhost").combined(etc / "imapd.pem")
    (etc / "imapaccess").touch()
    _write(
        etc / "imapd",
        **SETTINGS,
        **_listening(made, run / "imapd.pid"),
        IMAPACCESSFILE=etc / "imapaccess",
    )
    _write(
        etc / "imapd-ssl",
        SSLADDRESS="127.0.0.1",
        SSLPORT=made.tls_port,
        SSLPIDFILE=run / "imapd-ssl.pid",
        TLS_CERTFILE=certificate,
    )
    return ["imapd", "imapd-ssl"]


def _pop3_daemon(made: Installation, etc: Path, run: Path) -> list[str]:
    """Write the settings of pop3d, which there is without TLS alone here; return its name."""
    _write(etc / "pop3d", **_listening(made, run / "pop3d.pid"))
    (etc / "pop3d-ssl").touch()
    return ["pop3d"]


def _listening(made: Installation, pid_file: Path) -> dict[str, object]:
    return {
        "ADDRESS": "127.0.0.1",
        "PORT": made.port,
        "LOGIN_USER": "nobody",
        "MAXDAEMONS": CONNECTIONS,
        "MAXPERIP": CONNECTIONS,
        "PIDFILE": pid_file,
    }


def _write(target: Path, **values: object) -> None:
    target.write_text("".join(f'{name}="{value}"\n' for name, value in values.items()))


def _make_userdb(etc: Path, accounts: Iterable[Account], home: str, stored: str) -> None:
    lines = [
        f"{one.userid}\tuid={one.uid}|gid={one.uid}|home={home}/{one.userid}"
        f"|mail={home}/{one.userid}/Maildir|systempw={stored}\n"
        for one in accounts
    ]
    text = etc / "userdb"
    text.write_text("".join(lines))
    text.chmod(0o600)
    userdb_source.build(text)


def _said(command: Sequence[str], environment: dict[str, str]) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return (done.stdout + done.stderr).strip().splitlines()[0].split("/")[0]


# -- Courier -------------------------------------------------------------------------------------


def _courier(work: Path, accounts: Sequence[Account], stored: str, protocol: str) -> Installation:
    root = courier_root.make(work / "root")
    _make_userdb(root.configuration, accounts, "/homes", stored)
    done = root.run(["/opt/usr/bin/imapd", "--version"])
    version = (done.stdout + done.stderr).decode().strip().split("/")[0]
    made = Installation("courier", version, root.path / "homes", free_port(), protocol=protocol)
    lookup = authdaemon.start_inside(
        root, {"authmodulelist": "authuserdb", "daemons": "5"}, ours=False
    )
    made.processes.append(lookup.process)
    command = [
        *(_COURIERS_MASTER, "-address=127.0.0.1", "-nodnslookup", "-noidentlookup"),
        *(f"-maxprocs={CONNECTIONS}", f"-maxperip={CONNECTIONS}", str(made.port)),
        *(*_COURIERS_PROGRAMS[protocol], "Maildir"),
    ]
    environment = {**SETTINGS, "TZ": "UTC", "GAM_CLIENT_ID": work.parent.name}
    watcher = ["setpriv", f"--reuid={MAIL_UID}", f"--regid={MAIL_UID}", "--clear-groups"]
    watcher += [_WATCHER, "notimeout", environment["GAM_CLIENT_ID"]]
    (root.path / "usr/libexec").symlink_to("/opt/usr/libexec")
    with (work / "log").open("ab") as log:
        made.processes.append(root.start(watcher, log, environment))
        made.processes.append(root.start(command, log, environment))
    return made


# -- Dovecot -------------------------------------------------------------------------------------

_DOVECOT_SETTINGS = """
protocols = {protocol}
listen = 127.0.0.1
base_dir = /run/dovecot
state_dir = /run/dovecot
log_path = /tmp/dovecot.log
ssl = no
disable_plaintext_auth = no
mail_location = maildir:~/Maildir
first_valid_uid = 1
first_valid_gid = 0
default_internal_user = courier
default_internal_group = courier
default_login_user = daemon
default_process_limit = {connections}
default_client_limit = 20000
mail_max_userip_connections = {connections}
import_environment = TZ LD_LIBRARY_PATH
passdb {{
  driver = passwd-file
  args = scheme=CRYPT /etc/dovecot-users
}}
userdb {{
  driver = passwd-file
  args = /etc/dovecot-users
}}
service {protocol}-login {{
  inet_listener {protocol} {{
    port = {port}
  }}
  inet_listener {protocol}s {{
    port = 0
  }}
{login}
}}
service anvil {{
  client_limit = 30000
}}
service auth {{
  client_limit = 30000
}}
"""
_HIGH_PERFORMANCE = "service_count = 0\nprocess_min_avail = 2\nclient_limit = 10000"


def _dovecot(
    name: str,
    work: Path,
    accounts: Sequence[Account],
    stored: str,
    protocol: str,
    *,
    high_performance: bool,
) -> Installation:
    root = courier_root.make(work / "root")
    libraries = "usr/lib/dovecot"
    for directory in (libraries, "run/dovecot", "opt-dovecot"):
        (root.path / directory).mkdir(parents=True, exist_ok=True)
    port = free_port()
    (root.path / "etc/dovecot.conf").write_text(
        _DOVECOT_SETTINGS.format(
            protocol=protocol,
            port=port,
            connections=CONNECTIONS,
            login=_HIGH_PERFORMANCE if high_performance else "",
        )
    )
    (root.path / "etc/dovecot-users").write_text(
        "".join(
            f"{one.userid}:{stored}:{one.uid}:{one.uid}::/homes/{one.userid}::\n"
            for one in accounts
        )
    )
    binds = [
        f"mount --rbind {shlex.quote(str(source))} {shlex.quote(str(root.path / target))}"
        for source, target in ((DOVECOT / libraries, libraries), (DOVECOT, "opt-dovecot"))
    ]
    program = "/opt-dovecot/usr/sbin/dovecot"
    version = _said(
        [str(DOVECOT / "usr/sbin/dovecot"), "--version"],
        {"LD_LIBRARY_PATH": f"{DOVECOT}/usr/lib/dovecot"},
    )
    made = Installation(name, version, root.path / "homes", port, protocol=protocol)
    # The master would start /usr/bin/doveconf to start itself again with its settings.
    settings = ["-c", "/etc/dovecot.conf"]
    command = ["/opt-dovecot/usr/bin/doveconf", "-f", "service=master", *settings]
    inner = shlex.join(root.command_line([*command, "-e", program, "-F", *settings]))
    with (work / "log").open("ab") as log:
        made.processes.append(
            subprocess.Popen(
                ["unshare", "-m", "sh", "-ec", "\n".join([*binds, f"exec {inner}"])],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=root.variables(
                    {
                        "LD_LIBRARY_PATH": f"/usr/lib/dovecot:/opt-dovecot/usr/lib/{courier_root.MULTIARCH}",
                        "TZ": "UTC",
                    }
                ),
            )
        )
    return made

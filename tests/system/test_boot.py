"""The packages: built, installed with apt into a Debian root directory, booted, used, shut down.

What only shows in an installed system is tested here: launchers, units with their restrictions,
users, run directories, socket activation. Both kinds of account are served: one of the system, known
by PAM, and one of userdb.
"""

from __future__ import annotations

import contextlib
import imaplib
import os
import poplib
import re
import shutil
import signal
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import missing
from tests.system import machine as machines
from tests.system.machine import HOSTNAME, Machine, Process, copied, run_in, until

pytestmark = [pytest.mark.slow, pytest.mark.root]

MESSAGE = b"Subject: here it is\r\n\r\nText.\r\n"
SERVICES = (
    "courier-authdaemon.service",
    *("courier-imap.service", "courier-imap-ssl.service"),
    *("courier-pop.service", "courier-pop-ssl.service"),
)
SOCKETS = tuple(service.replace(".service", ".socket") for service in SERVICES)
#: As the units are shipped, but for a watchdog that a test can wait for.
WATCHDOG_S = 10
#: As IMAP_LOGIN_PROCESSES is shipped.
LOGIN_PROCESSES = 2

# Capabilities by their numbers, capabilities(7).
CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER, KILL, SETGID, SETUID = 0, 1, 2, 3, 5, 6, 7
NET_BIND_SERVICE, SYS_CHROOT, AUDIT_WRITE = 10, 18, 29
FILES = {CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER}
PROCESSES = {KILL, SETGID, SETUID}


@dataclass(frozen=True, slots=True)
class User:
    """An account of the machine; the uids are those that `installed` gives."""

    userid: str
    password: str
    uid: int
    gid: int
    groups: frozenset[int]
    maildir: str


PAM_USER = User("paula", "pam's secret", 1500, 1500, frozenset({1500, 1600}), "/home/paula/Maildir")
USERDB_USER = User(
    "vera@example.test", "userdb's secret", 5000, 5001, frozenset({5001}), "/srv/mail/vera/Maildir"
)
USERS = [pytest.param(PAM_USER, id="pam"), pytest.param(USERDB_USER, id="userdb")]

INSTALL = f"""
apt-get -q install --yes --no-install-recommends /root/packages/*.deb
groupadd --gid 1500 {PAM_USER.userid}
groupadd --gid 1600 mailreaders
useradd --uid 1500 --gid 1500 --groups mailreaders --create-home {PAM_USER.userid}
echo "{PAM_USER.userid}:{PAM_USER.password}" | chpasswd
userdb {USERDB_USER.userid} set uid=5000 gid=5001 home=/srv/mail/vera
echo "{USERDB_USER.password}" | userdbpw | userdb {USERDB_USER.userid} set systempw
makeuserdb
sed -i 's/^authmodulelist=.*/authmodulelist="authuserdb authpam"/' /etc/courier/authdaemonrc
for unit in courier-authdaemon courier-imap courier-imap-ssl courier-pop courier-pop-ssl; do
    mkdir /etc/systemd/system/$unit.service.d
    printf '[Service]\\nWatchdogSec={WATCHDOG_S}\\n' >/etc/systemd/system/$unit.service.d/test.conf
done
mkdir -p /var/log/journal
"""


@pytest.fixture(scope="module")
def packages() -> list[Path]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    for tool in machines.TOOLS:
        if shutil.which(tool) is None:
            missing(tool)
    return machines.build_packages()


@pytest.fixture(scope="module")
def installed(packages: list[Path]) -> Iterator[Path]:
    """A root directory with the packages and two accounts, not to be written to."""
    with copied(machines.make_root(machines.dependencies(packages))) as root:
        (root / "root/packages").mkdir()
        for package in packages:
            shutil.copy(package, root / "root/packages")
        run_in(root, INSTALL)
        for user in (PAM_USER, USERDB_USER):
            _make_maildir(root, user)
        yield root


def _make_maildir(root: Path, user: User) -> None:
    maildir = root / user.maildir.lstrip("/")
    for name in ("cur", "new", "tmp"):
        (maildir / name).mkdir(parents=True)
    for path in (maildir.parent, maildir, *maildir.iterdir()):
        path.chmod(0o700)
        os.chown(path, user.uid, user.gid)


@pytest.fixture(scope="module")
def machine(installed: Path) -> Iterator[Machine]:
    with booted(installed) as one:
        yield one


@contextmanager
def booted(installed: Path) -> Iterator[Machine]:
    """A machine of its own, with what is installed."""
    with copied(installed) as root:
        one = Machine(root)
        try:
            yield one
        finally:
            one.kill()


# --- Clients --------------------------------------------------------------------------------------


class Imap(imaplib.IMAP4):
    """A client that connects from inside the machine, by its name."""

    def __init__(self, machine: Machine, port: int, tls: ssl.SSLContext | None = None) -> None:
        self._machine = machine
        self._tls = tls
        super().__init__(HOSTNAME, port)

    def _create_socket(self, timeout: float | None) -> socket.socket:
        connection = self._machine.connect(self.port)
        if self._tls is None:
            return connection
        return self._tls.wrap_socket(connection, server_hostname=self.host)


def trusting(machine: Machine) -> ssl.SSLContext:
    """Trust the certificate that the installation made, under the machine's name."""
    return ssl.create_default_context(cafile=str(machine.root / "etc/courier/imapd.pem"))


def connected(machine: Machine, transport: str) -> Imap:
    if transport == "imaps":
        return Imap(machine, 993, trusting(machine))
    client = Imap(machine, 143)
    if transport == "starttls":
        assert client.starttls(trusting(machine))[0] == "OK"
    return client


def logged_in(machine: Machine, user: User, transport: str = "plain") -> Imap:
    client = connected(machine, transport)
    client.login(user.userid, user.password)
    return client


class Pop(poplib.POP3):
    """poplib's client, on a connection to a machine."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        super().__init__("", 0)

    def _create_socket(self, timeout: float) -> socket.socket:
        return self._connection


def goodbye(client: Imap) -> bytes:
    """What a client is told that does nothing, to the end of its connection."""
    return b"".join(iter(client.readline, b""))


class Visitor(threading.Thread):
    """In a `with` block: connects again and again, reads the greeting and leaves."""

    def __init__(self, machine: Machine) -> None:
        super().__init__()
        self._machine = machine
        self._enough = threading.Event()
        self.greeted = 0
        #: What came in a greeting's place; empty: the connection ended.
        self.other_greetings: list[bytes] = []
        self.refused: list[OSError] = []

    def run(self) -> None:
        while not self._enough.is_set():
            try:
                with self._machine.connect(143) as connection:
                    greeting = connection.recv(4096)
            except OSError as error:
                self.refused.append(error)
                continue
            if greeting.startswith(b"* OK "):
                self.greeted += 1
            else:
                self.other_greetings.append(greeting)

    def __enter__(self) -> Visitor:
        self.start()
        until(lambda: self.greeted, "a first visit")
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self.join()

    def await_another(self) -> None:
        """Wait for a visit that began after now."""
        enough = self.greeted + 2
        until(lambda: self.greeted >= enough, "another visit")


# --- Tests ----------------------------------------------------------------------------------------


def capabilities(process: Process) -> set[int]:
    return {number for number in range(64) if process.capabilities >> number & 1}


def main_pid(machine: Machine, unit: str) -> int:
    return int(machine.show(unit, "MainPID"))


def test_everything_runs_after_boot(machine: Machine) -> None:
    """No unit has failed; services are ready and say so, sockets are the service manager's."""
    assert machine.run("systemctl", "list-units", "--failed", "--plain", "--no-legend") == ""
    for unit in (*SERVICES, *SOCKETS):
        assert machine.show(unit, "ActiveState") == "active", machine.journal("-u", unit)
        assert machine.show(unit, "UnitFileState") == "enabled"
    for service in SERVICES:
        assert machine.show(service, "StatusText") != ""
        assert machine.show(service, "NRestarts") == "0"


def test_files_that_installation_makes(machine: Machine) -> None:
    """Settings and keys can be read by whom they are for, and run directories as Courier has them."""
    wanted = {
        "/etc/courier/imapd": "root:root 644",
        "/etc/courier/imapd-ssl": "root:root 644",
        "/etc/courier/authdaemonrc": "root:courier 640",
        "/etc/courier/imapd.cnf": "root:root 600",
        "/etc/courier/imapd.pem": "root:courier 640",
        "/etc/courier/dhparams.pem": "root:courier 640",
        "/etc/courier/imapaccess": "root:courier 750",
        "/etc/courier/imapaccess.dat": "root:root 644",
        "/etc/courier/shared": "root:courier 750",
        "/run/courier": "root:courier 1775",
        "/run/courier/empty": "root:root 755",
        "/run/courier/authdaemon": "courier:courier 750",
        "/run/courier/authdaemon/socket": "root:root 777",
    }

    found = machine.run("stat", "--format=%n=%U:%G %a", *wanted)

    assert dict(line.split("=") for line in found.splitlines()) == wanted


@pytest.mark.parametrize("transport", ["plain", "starttls", "imaps"])
@pytest.mark.parametrize("user", USERS)
def test_session(machine: Machine, user: User, transport: str) -> None:
    """A message is stored in the account's maildir as the account's user, and read again."""
    client = logged_in(machine, user, transport)

    assert client.select("INBOX")[0] == "OK"
    status, (answer,) = client.append("INBOX", "", "", MESSAGE)
    assert status == "OK", answer
    client.noop()
    found = client.search(None, "ALL")[1][0].split()[-1].decode()
    data = client.fetch(found, "(BODY.PEEK[])")[1][0]

    assert isinstance(data, tuple) and data[1] == MESSAGE
    maildir = machine.root / user.maildir.lstrip("/")
    stored = [*(maildir / "cur").iterdir(), *(maildir / "new").iterdir()]
    assert stored
    assert {(file.stat().st_uid, file.stat().st_gid) for file in stored} == {(user.uid, user.gid)}
    client.logout()


@pytest.mark.parametrize("user", USERS)
def test_pop3_session(machine: Machine, user: User) -> None:
    """By the activated sockets, in the clear and with TLS."""
    context = ssl.create_default_context(cafile=str(machine.root / "etc/courier/pop3d.pem"))
    secure = context.wrap_socket(machine.connect(995), server_hostname=HOSTNAME)
    for connection in (machine.connect(110), secure):
        pop = Pop(connection)
        pop.user(user.userid)
        assert pop.pass_(user.password) == b"+OK logged in."
        pop.stat()
        assert pop.quit() == b"+OK Bye-bye."


@pytest.mark.parametrize("user", USERS)
def test_wrong_password(machine: Machine, user: User) -> None:
    """It is refused, and the log has Courier's line under the daemon's name and facility mail."""
    client = connected(machine, "plain")

    with pytest.raises(imaplib.IMAP4.error, match="Login failed"):
        client.login(user.userid, "not " + user.password)

    client.logout()
    log = machine.journal("--facility=mail", "--identifier=imapd")
    assert f"LOGIN FAILED, user={user.userid}, ip=[::ffff:127.0.0.1]" in log


def test_password_of_the_system(machine: Machine) -> None:
    """The unit's restrictions let passwd(1) change it; it counts at once, and only if the old one was right."""
    userid, old, new = PAM_USER.userid, PAM_USER.password, "pam's other secret"

    changed = machine.run("authtest", userid, old, new)

    assert "Password change succeeded" in changed
    assert "Authentication succeeded" in machine.run("authtest", userid, new)
    assert "FAILED" in machine.run("sh", "-c", 'authtest "$@" 2>&1 || true', "-", userid, old, new)
    machine.run("authtest", userid, new, old)


@pytest.mark.parametrize(
    "unit, transport", [("courier-imap", "plain"), ("courier-imap-ssl", "imaps")]
)
@pytest.mark.parametrize("user", USERS)
def test_rights_of_imapd(machine: Machine, user: User, unit: str, transport: str) -> None:
    """Root is one process, with the rights it needs; strangers meet one that has none."""
    service = f"{unit}.service"
    client = logged_in(machine, user, transport)

    processes = machine.processes(service)
    (root,) = [process for process in processes if process.uid == 0]
    assert root.pid == main_pid(machine, service)
    assert capabilities(root) == FILES | PROCESSES | {SYS_CHROOT, NET_BIND_SERVICE}

    login_uid = int(machine.run("id", "-u", "pycourier-login"))
    logins = [process for process in processes if process.uid == login_uid]
    assert len(logins) == LOGIN_PROCESSES
    for process in logins:
        assert process.groups == frozenset()
        assert process.no_new_privileges
        assert process.root_entries() == []
        assert os.readlink(f"/proc/{process.outside_pid}/root").endswith("/empty")

    workers = [process for process in processes if process.uid == user.uid]
    assert workers
    for process in workers:
        assert (process.gid, process.groups) == (user.gid, user.groups)
        assert not process.no_new_privileges  # sendmail may be set-id

    for process in (*logins, *workers):
        assert capabilities(process) == set()
    assert all(process.has_filter for process in processes)
    client.logout()


def test_rights_of_authdaemond(machine: Machine) -> None:
    """Only the master, and workers that read passwords, are root; clients talk to another user."""
    for user in (PAM_USER, USERDB_USER):
        logged_in(machine, user).logout()

    processes = machine.processes("courier-authdaemon.service")

    courier_uid = int(machine.run("id", "-u", "courier"))
    users = [process.uid for process in processes]
    assert users.count(courier_uid) == 1
    assert set(users) == {0, courier_uid}
    for process in processes:
        assert process.no_new_privileges and process.has_filter
        allowed = FILES | PROCESSES | {AUDIT_WRITE} if process.uid == 0 else set()
        assert capabilities(process) == allowed


def test_reload(machine: Machine) -> None:
    """Changed settings count for new connections, on the same sockets; sessions go on."""
    before = main_pid(machine, "courier-imap.service")
    session = logged_in(machine, USERDB_USER)
    settings = machine.root / "etc/courier/imapd"
    settings.write_text(settings.read_text() + '\nIMAP_CAPABILITY="IMAP4rev1 X-RELOADED"\n')

    with Visitor(machine) as visitor:
        machine.run("systemctl", "reload", "courier-imap.service")
        until(lambda: "X-RELOADED" in offered(machine), "the changed setting", machine.journal)

    assert (visitor.refused, visitor.other_greetings) == ([], [])
    assert session.noop()[0] == "OK"
    assert main_pid(machine, "courier-imap.service") == before
    # One log-in process has the new settings; the service says so when all have.
    until(lambda: machine.show("courier-imap.service", "ActiveState") == "active", "the reload")
    session.logout()


def test_reload_of_wrong_settings(machine: Machine) -> None:
    """Whoever asks for it hears that it failed, and sessions and new connections are as before."""
    settings = machine.root / "etc/courier/imapd"
    before = settings.read_text()
    pid = main_pid(machine, "courier-imap.service")
    session = logged_in(machine, PAM_USER)
    try:
        settings.write_text(f"{before}\nMAXDAEMONS=many\n")
        with pytest.raises(AssertionError, match=r"Job for courier-imap\.service failed"):
            machine.run("systemctl", "reload", "courier-imap.service")
    finally:
        settings.write_text(before)

    assert "MAXDAEMONS: expected a number" in machine.journal("--identifier=imapd")
    assert session.noop()[0] == "OK"
    session.logout()
    logged_in(machine, PAM_USER).logout()
    assert main_pid(machine, "courier-imap.service") == pid


def offered(machine: Machine) -> tuple[str, ...]:
    """What a new connection is told that the server can do."""
    client = connected(machine, "plain")
    found: tuple[str, ...] = client.capabilities
    client.logout()
    return found


def test_home_from_the_skeleton(machine: Machine) -> None:
    """The server's rights in its unit suffice to make a user's home, and it is the user's."""
    settings = machine.root / "etc/courier/imapd"
    before = settings.read_text()
    machine.run(
        "sh", "-euxc",
        "mkdir -p /srv/skeleton/Maildir/cur /srv/skeleton/Maildir/new /srv/skeleton/Maildir/tmp\n"
        "useradd --no-create-home norbert; echo norbert:secret | chpasswd",
    )  # fmt: skip
    added = 'AUTH_MKHOMEDIR_SKEL=/srv/skeleton\nIMAP_CAPABILITY="IMAP4rev1 X-SKELETON"\n'
    try:
        settings.write_text(f"{before}\n{added}")
        machine.run("systemctl", "reload", "courier-imap.service")
        until(lambda: "X-SKELETON" in offered(machine), "the changed settings", machine.journal)

        client = logged_in(machine, User("norbert", "secret", 0, 0, frozenset(), ""))
        assert client.select()[0] == "OK"
        client.logout()
        made = machine.run("stat", "--format=%U:%G", "/home/norbert/Maildir/cur")
        assert made == "norbert:norbert\n"
    finally:
        settings.write_text(before)
        machine.run("systemctl", "reload", "courier-imap.service")


def test_diffie_hellman_parameters(machine: Machine) -> None:
    """The timer waits; what it starts replaces an old file, which keeps its owner and mode."""
    assert machine.show("courier-mkdhparams.timer", "ActiveState") == "active"
    parameters = machine.root / "etc/courier/dhparams.pem"
    parameters.write_text("old")
    os.utime(parameters, (1, 1))

    machine.run("systemctl", "start", "courier-mkdhparams.service")

    assert "BEGIN DH PARAMETERS" in parameters.read_text()
    said = machine.run("stat", "--format=%U:%G %a", "/etc/courier/dhparams.pem")
    assert said == "root:courier 640\n"


def test_log_is_rotated(machine: Machine) -> None:
    """Lines of running servers reach the journal's new files, and a journal that starts anew."""
    machine.run("journalctl", "--rotate")
    machine.run("systemctl", "restart", "systemd-journald.service")
    since = machine.run("date", "+%s.%N").strip()

    logged_in(machine, USERDB_USER).logout()

    def lines() -> str:
        return machine.journal(f"--since=@{since}", "--identifier=imapd")

    until(lambda: f"LOGOUT, user={USERDB_USER.userid}" in lines(), "the line", lines)


def test_restart(machine: Machine) -> None:
    """Sessions are told goodbye; whoever connects meanwhile waits, and nobody is refused."""
    before = main_pid(machine, "courier-imap.service")
    session = logged_in(machine, PAM_USER)

    with Visitor(machine) as visitor:
        machine.run("systemctl", "restart", "courier-imap.service")
        visitor.await_another()

    assert visitor.refused == []
    # A visit that a login process had accepted when its end came.
    assert len(visitor.other_greetings) <= LOGIN_PROCESSES
    assert goodbye(session).startswith(b"* BYE ")
    assert main_pid(machine, "courier-imap.service") != before


def test_port_from_the_settings(machine: Machine) -> None:
    """The socket moves to where the setting says, and back; systemctl says that it is out of date."""
    settings = machine.root / "etc/courier/imapd"
    before = settings.read_text()

    def restart() -> None:
        machine.run("systemctl", "daemon-reload")
        machine.run("systemctl", "restart", "courier-imap.socket", "courier-imap.service")

    try:
        settings.write_text(f"{before}\nPORT=143,127.0.0.1.1143\n")
        assert machine.show("courier-imap.socket", "NeedDaemonReload") == "yes"
        restart()
        for port in (143, 1143):
            Imap(machine, port).logout()
        assert "1143" in machine.show("courier-imap.socket", "Listen")
        since = machine.journal("--unit=courier-imap.service").rpartition("Starting ")[2]
        assert "service manager" not in since  # the settings and the sockets say the same
    finally:
        settings.write_text(before)
        restart()
    with pytest.raises(ConnectionRefusedError):
        machine.connect(1143)


def test_server_that_is_not_wanted(machine: Machine) -> None:
    """POP3DSTART=NO: neither is there after a restart, nothing has failed, and status says why."""
    settings = machine.root / "etc/courier/pop3d"
    before = settings.read_text()
    units = ("courier-pop.socket", "courier-pop.service")
    try:
        settings.write_text(f"{before}\nPOP3DSTART=NO\n")
        machine.run("systemctl", "daemon-reload")
        machine.run("systemctl", "stop", *units)
        machine.run("systemctl", "start", *units)
        for unit in units:
            assert machine.show(unit, "ActiveState") == "inactive"
        with pytest.raises(ConnectionRefusedError):
            machine.connect(110)
        told = machine.run("sh", "-c", "systemctl status courier-pop.service || true")
        assert "/etc/courier/pop3d/POP3DSTART=YES was not met" in told
    finally:
        settings.write_text(before)
        machine.run("systemctl", "daemon-reload")
        machine.run("systemctl", "start", *units)
    machine.connect(110).close()


def test_settings_that_are_wrong(machine: Machine) -> None:
    """The log says which; the sockets stay, and the server comes by itself once they are right."""
    settings = machine.root / "etc/courier/imapd-ssl"
    right = settings.read_text()
    settings.write_text(right + "\nSSLPORT=none\n")
    machine.run("sh", "-c", "! systemctl restart courier-imap-ssl.service")
    assert machine.show("courier-imap-ssl.socket", "ActiveState") == "active"

    settings.write_text(right)

    logged_in(machine, PAM_USER, "imaps").logout()
    assert "SSLPORT" in machine.journal("--unit=courier-imap-ssl.service", "--priority=err")
    assert "status=78/CONFIG" in machine.journal("--unit=courier-imap-ssl.service")


def test_authdaemond_that_is_stopped(machine: Machine) -> None:
    """The next log-in starts it, by its socket."""
    machine.run("systemctl", "stop", "courier-authdaemon.service")
    assert main_pid(machine, "courier-authdaemon.service") == 0

    logged_in(machine, PAM_USER).logout()

    assert main_pid(machine, "courier-authdaemon.service") != 0


@pytest.mark.parametrize("victim", ["login", "worker", "master", "authdaemond"])
def test_process_that_is_killed(machine: Machine, victim: str) -> None:
    """Another takes its place, at once or with the next client; nothing has to be done by hand."""
    service = "courier-authdaemon" if victim == "authdaemond" else "courier-imap"
    client = logged_in(machine, USERDB_USER)
    uids = {
        "login": int(machine.run("id", "-u", "pycourier-login")),
        "worker": USERDB_USER.uid,
        "master": 0,
        "authdaemond": 0,
    }
    masters = {main_pid(machine, f"{name}.service") for name in ("courier-imap", service)}
    processes = machine.processes(f"{service}.service")
    killed = [
        one for one in processes
        if one.uid == uids[victim] and (victim in ("login", "worker") or one.pid in masters)
    ]  # fmt: skip
    assert killed

    for process in killed:
        with contextlib.suppress(ProcessLookupError):  # one that was about to end
            os.kill(process.outside_pid, signal.SIGKILL)

    def log_in() -> bool:
        try:
            logged_in(machine, USERDB_USER).logout()
        except (OSError, imaplib.IMAP4.abort):  # was accepted by a process that ends with master
            return False
        return True

    until(log_in, "a log-in", machine.journal)
    with contextlib.suppress(OSError, imaplib.IMAP4.abort):  # its own session may have ended
        client.logout()


@pytest.mark.parametrize("unit", ["courier-authdaemon.service", "courier-imap.service"])
def test_master_that_hangs(machine: Machine, unit: str) -> None:
    """The watchdog, which has let it live so far, replaces it."""
    before = main_pid(machine, unit)
    assert machine.show(unit, "WatchdogUSec") == f"{WATCHDOG_S}s"

    (master,) = [one for one in machine.processes(unit) if one.pid == before]
    os.kill(master.outside_pid, signal.SIGSTOP)

    until(lambda: main_pid(machine, unit) not in (0, before), "another process", machine.journal)
    assert "Watchdog timeout" in machine.journal(f"--unit={unit}")
    logged_in(machine, USERDB_USER).logout()


def test_installing_again(machine: Machine) -> None:
    """As in an upgrade: servers restart, nobody is refused, the administrator's files stay."""
    certificate = (machine.root / "etc/courier/imapd.pem").read_bytes()
    settings = machine.root / "etc/courier/imapd"
    settings.write_text(settings.read_text() + "\n# A remark.\nMAXPERIP=19\n")
    before = main_pid(machine, "courier-imap.service")

    with Visitor(machine) as visitor:
        machine.run("sh", "-c", "apt-get -q install --yes --reinstall /root/packages/*.deb")
        visitor.await_another()

    assert visitor.refused == []
    assert len(visitor.other_greetings) <= LOGIN_PROCESSES  # as in a restart
    assert main_pid(machine, "courier-imap.service") != before
    assert (machine.root / "etc/courier/imapd.pem").read_bytes() == certificate
    assert "# A remark.\nMAXPERIP=19\n" in settings.read_text()
    logged_in(machine, PAM_USER, "imaps").logout()


def test_shutdown(installed: Path) -> None:
    """Sessions are told goodbye; every unit stops by itself, and nothing complained before."""
    with booted(installed) as machine:
        sessions = [
            logged_in(machine, user, transport)
            for user in (PAM_USER, USERDB_USER)
            for transport in ("plain", "starttls", "imaps")
        ]
        logs = machine.root / "var/log/journal"

        assert machine.stop() == 0

        for session in sessions:
            assert goodbye(session).startswith(b"* BYE ")
        journal = ["journalctl", "--no-pager", f"--directory={logs}"]
        log = machines.run(journal)
        complaints = machines.run([*journal, "--priority=warning"]).splitlines()
    for unit in SERVICES:
        assert f"{unit}: Deactivated successfully" in log, log
    assert "Failed with result" not in log
    assert not [line for line in complaints if re.search(r" (imapd|imapd-ssl|authdaemond)\[", line)]


def test_reboot(installed: Path) -> None:
    """Everything comes back, and mail is where it was."""
    with copied(installed) as root:
        for _ in range(2):
            machine = Machine(root)
            try:
                client = logged_in(machine, PAM_USER, "imaps")
                before = int(client.select()[1][0] or b"0")
                client.append("INBOX", "", "", MESSAGE)
                client.logout()
                assert machine.stop() == 0
            finally:
                machine.kill()
        assert before == 1


SYSVINIT = f"""
test ! -d /run/systemd/system
for link in courier-authdaemon courier-imap courier-imap-ssl; do ls /etc/rc2.d/S??$link /etc/rc0.d/K??$link; done
all() {{
    for name in courier-authdaemon courier-imap courier-imap-ssl; do /etc/init.d/$name $1; done
}}
log_in() {{
    python3 - <<END
import imaplib, ssl
for client in imaplib.IMAP4("127.0.0.1"), imaplib.IMAP4_SSL("127.0.0.1", ssl_context=ssl._create_unverified_context()):
    assert client.login({USERDB_USER.userid!r}, {USERDB_USER.password!r})[0] == "OK"
    assert client.select()[0] == "OK"
END
}}
programs() {{
    for file in /proc/[0-9]*/cmdline; do tr '\\0' ' ' <$file; echo; done |
        grep -E '^(imapd|imapd-ssl|authdaemond): '
}}
all stop # what the installation has started in here
rm -rf /run/courier
cat >/root/syslogd.py <<END
import os, socket, sys
if os.path.lexists("/dev/log"):
    os.unlink("/dev/log")
told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
told.bind("/dev/log")
with open(sys.argv[1], "ab", 0) as file:
    while True:
        file.write(told.recv(65536) + b"\\n")
END
await_line() {{
    for turn in $(seq 300); do grep "$1" "$2" && return; sleep 0.1; done
    return 1
}}
python3 /root/syslogd.py /root/log.1 &
all start
all status
log_in
await_line '^<22>.* imapd: LOGIN, user=' /root/log.1
await_line '^<22>.* imapd-ssl: LOGIN, user=.*starttls=1' /root/log.1
kill $! # another takes its place, as at the rotation of its files
wait $! || true
python3 /root/syslogd.py /root/log.2 &
until test -S /dev/log && test -e /root/log.2; do sleep 0.1; done
log_in
await_line '^<22>.* imapd: LOGIN, user=' /root/log.2
await_line '^<22>.* imapd-ssl: LOGIN, user=' /root/log.2
all start # a second time
all reload
log_in
all restart
log_in
programs
all stop
! all status
! programs
sed -i s/^IMAPDSTART=.*/IMAPDSTART=NO/ /etc/courier/imapd
/etc/init.d/courier-imap start
! /etc/init.d/courier-imap status
"""


def test_without_systemd(installed: Path) -> None:
    """The init scripts start, reload, restart and stop what the packages hold."""
    with copied(installed) as root:
        said = run_in(root, SYSVINIT)

    assert "courier-imap is running." in said
    assert "courier-imap-ssl is not running." in said


def test_purge(installed: Path) -> None:
    """Purged packages leave no file behind but the users, their mail and makeuserdb's files."""
    with copied(installed) as root:
        run_in(root, "apt-get -q purge --yes 'pycourier-*'")

        left = {path.name for path in (root / "etc/courier").rglob("*")}
        assert {name for name in left if "userdb" not in name} == set()
        assert not (root / "usr/lib/pycourier").exists()
        assert not (root / "usr/share/pycourier").exists()
        assert not list((root / "etc/systemd/system").rglob("courier-*.socket"))
        assert (root / PAM_USER.maildir.lstrip("/")).is_dir()

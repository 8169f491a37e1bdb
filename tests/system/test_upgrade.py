"""From Debian's Courier to these packages and back, on a machine where both have users.

Debian's Courier is installed, configured by hand and used; then apt puts ours in its place, and later
Debian's in ours. Clients find everything as it was each time.
"""

from __future__ import annotations

import difflib
import imaplib
import os
import poplib
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.conftest import missing
from tests.system import machine as machines
from tests.system.machine import Machine, copied, run_in, until
from tests.system.test_boot import (
    MESSAGE,
    PAM_USER,
    USERDB_USER,
    Imap,
    Pop,
    User,
    _make_maildir,
    logged_in,
)

pytestmark = [pytest.mark.slow, pytest.mark.root]

_RIGHTS = set('acdeiklrstwx"')
_OF_RFC_4314 = str.maketrans("", "", "ektx")
#: What the administrator wrote into the files of Debian's Courier.
CONFIGURE = rf"""
useradd --uid 1500 --create-home {PAM_USER.userid}
echo "{PAM_USER.userid}:{PAM_USER.password}" | chpasswd
userdb {USERDB_USER.userid} set uid=5000 gid=5001 home=/srv/mail/vera
echo "{USERDB_USER.password}" | userdbpw | userdb {USERDB_USER.userid} set systempw
makeuserdb
cd /etc/courier
sed -i 's/^authmodulelist=.*/authmodulelist="authuserdb authpam"/' authdaemonrc
sed -i 's/^PORT=143/PORT=143,127.0.0.1.1143/; s/^MAXPERIP=.*/MAXPERIP=17 # not more/' imapd
sed -i 's/^TLS_VERIFYPEER=.*/TLS_VERIFYPEER=PEER/; s/^TLS_CACHESIZE=.*/TLS_CACHESIZE=1000000/' imapd-ssl
sed -i 's/^POP3AUTH=.*/POP3AUTH="PLAIN"/' pop3d
echo '# What follows is ours.
IMAP_CAPABILITY="$IMAP_CAPABILITY X-OURS"' >>imapd
"""
#: Lines that have to be there whoever serves, and what they say has to be so.
KEPT = {
    "authdaemonrc": ['authmodulelist="authuserdb authpam"'],
    "imapd": ["PORT=143,127.0.0.1.1143", "MAXPERIP=17 # not more", "# What follows is ours."],
    "imapd-ssl": ["TLS_VERIFYPEER=PEER", "TLS_CACHESIZE=1000000"],
    "pop3d": ['POP3AUTH="PLAIN"'],
}
APT = "apt-get -q -o Dpkg::Use-Pty=0 --no-install-recommends --yes"
TO_OURS = f"{APT} install /root/packages/*.deb"
TO_COURIER = f"""
cd /var/cache/apt/archives
{APT} install ./courier-imap_*.deb ./courier-pop_*.deb ./courier-authdaemon_*.deb ./courier-authlib-userdb_*.deb
"""
PURGE = f"{APT} purge 'courier-imap' 'courier-pop' 'courier-base' 'courier-authdaemon'"


@pytest.fixture(scope="module")
def configured() -> Iterator[Path]:
    """A root directory with Debian's Courier and, in /root/packages, ours."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    for tool in machines.TOOLS:
        if shutil.which(tool) is None:
            missing(tool)
    packages = [
        package for package in machines.build_packages() if "pycourier-auth-" not in package.name
    ]
    base = machines.make_root(machines.dependencies(machines.build_packages()))
    with copied(machines.make_courier_root(base)) as root:
        (root / "root/packages").mkdir()
        for package in packages:
            shutil.copy(package, root / "root/packages")
        run_in(root, CONFIGURE)
        for user in (PAM_USER, USERDB_USER):
            _make_maildir(root, user)
        yield root


# --- What a client sees ---------------------------------------------------------------------------


def seen(machine: Machine, user: User) -> list[str]:
    """All that has to stay the same for one user, a line for each fact."""
    client = logged_in(machine, user)
    found = []
    for name in sorted(re.findall(r'"\." "?([^"\n]+)', _text(client.list()))):
        client.select(name, readonly=True)
        found.append(f"{name} UIDVALIDITY {client.response('UIDVALIDITY')[1]}")
        items = "(UID FLAGS RFC822.SIZE INTERNALDATE)"
        for line in _text(client.uid("FETCH", "1:*", items)).splitlines():
            flags = set(re.findall(r"[\\$]?\w+", line.partition("FLAGS (")[2].partition(")")[0]))
            facts = re.findall(r'UID \d+|SIZE \d+|"[^"]+"', line)
            found.append(" ".join([name, *sorted(facts), *sorted(flags - {"\\Recent"})]))
    # Courier tells of levels above, too; RFC 3501 6.3.9 does not for "*".
    found += sorted(line for line in _text(client.lsub()).splitlines() if "Noselect" not in line)
    # Ours tells of RFC 4314's rights, which Courier has as c and d.
    rights = _text(client.getacl("INBOX.Work")).split()
    found += sorted(
        word.translate(_OF_RFC_4314) if set(word) <= _RIGHTS else word for word in rights
    )
    client.logout()
    return [user.userid, *found, *_pop3(machine, user)]


def _text(answer: tuple[str, list[object]]) -> str:
    status, lines = answer
    assert status == "OK", lines
    return "\n".join(line.decode() for line in lines if isinstance(line, bytes))


def _pop3(machine: Machine, user: User) -> list[str]:
    """UIDLs and sizes."""
    pop: poplib.POP3 = Pop(machine.connect(110))
    pop.user(user.userid)
    pop.pass_(user.password)
    found = [*pop.uidl()[1], *pop.list()[1]]
    pop.quit()
    return [line.decode() for line in found]


def use(machine: Machine, user: User, subject: str) -> None:
    """Change all that is kept: messages, flags, keywords, folders, subscriptions, access rights."""
    client = logged_in(machine, user)
    for number in range(3):
        text = MESSAGE.replace(b"here", f"{subject} {number}".encode())
        assert client.append("INBOX", "(\\Seen $Forwarded)", '"17-Jul-2024 02:44:25 +0200"', text)
    client.create("INBOX.Work")
    client.subscribe("INBOX.Work")
    client.setacl("INBOX.Work", "anyone", "lr")
    client.select("INBOX")
    client.copy("1:*", "INBOX.Work")
    client.store("1", "+FLAGS", "(\\Flagged Important)")
    client.store("2", "+FLAGS", "(\\Deleted)")
    client.expunge()
    client.logout()


def await_courier(machine: Machine) -> None:
    """Wait until Courier serves: its scripts may end before its programs have begun to."""

    def serves() -> bool:
        try:
            for user in (PAM_USER, USERDB_USER):
                logged_in(machine, user).logout()
                _pop3(machine, user)
            Imap(machine, 1143).logout()
        except (OSError, imaplib.IMAP4.error, poplib.error_proto):
            return False
        return True

    until(serves, "Courier", machine.journal)


def check_settings(machine: Machine) -> None:
    """The administrator's lines are there, and count."""
    for name, lines in KEPT.items():
        text = (machine.root / "etc/courier" / name).read_text()
        for line in lines:
            assert line in text, name
    for port in (143, 1143):
        client = Imap(machine, port)
        assert "X-OURS" in client.capabilities
        client.logout()


def check_seen(machine: Machine, before: Mapping[User, list[str]]) -> None:
    for user, lines in before.items():
        changes = [line for line in difflib.ndiff(lines, seen(machine, user)) if line[0] != " "]
        assert changes == []


def test_there_and_back(configured: Path) -> None:
    """Settings, UIDs, flags, keywords, subscriptions, rights and UIDLs are the same at each change."""
    users = (PAM_USER, USERDB_USER)
    with copied(configured) as root:
        machine = Machine(root)
        try:
            await_courier(machine)
            check_settings(machine)
            for user in users:
                use(machine, user, "Courier's")
            before = {user: seen(machine, user) for user in users}

            machine.run("sh", "-ec", TO_OURS)
            assert (
                machine.run("systemctl", "list-units", "--failed", "--plain", "--no-legend") == ""
            )
            assert machine.processes("courier-imap.service")
            check_settings(machine)
            check_seen(machine, before)

            for user in users:
                use(machine, user, "ours")
            before = {user: seen(machine, user) for user in users}

            machine.run("sh", "-ec", TO_COURIER)
            await_courier(machine)
            assert (
                machine.run("systemctl", "list-units", "--failed", "--plain", "--no-legend") == ""
            )
            check_settings(machine)
            check_seen(machine, before)
        finally:
            machine.kill()


def test_courierlogger_of_both(configured: Path) -> None:
    """Ours is in the place of Courier's, which comes back when ours goes, with its manual page."""
    place = "/usr/sbin/courierlogger /usr/share/man/man1/courierlogger*.gz"
    with copied(configured) as root:
        before = re.findall(r"[0-9a-f]{64}  .*", run_in(root, f"sha256sum {place}"))

        run_in(root, TO_OURS)
        assert "#!/usr/bin/python3 -I\n" in run_in(root, "head -1 /usr/sbin/courierlogger")
        run_in(root, "courierlogger -name=x sh -c true")
        diverted = run_in(root, "dpkg-divert --list pycourier-authdaemon")
        assert len(re.findall(r"^diversion of \S*courierlogger", diverted, re.M)) == 2

        run_in(root, f"{APT} remove pycourier-imap pycourier-pop pycourier-authdaemon")
        assert len(before) == 2
        after = run_in(root, f"sha256sum {place}; dpkg-divert --list pycourier-authdaemon")
        assert re.findall(r"[0-9a-f]{64}  .*", after) == before
        assert "diversion of" not in after


def test_purge_of_debians_courier(configured: Path) -> None:
    """Afterwards: settings, keys and databases that are ours by then stay, with owner and mode."""
    with copied(configured) as root:
        files = "stat --format='%n %U:%G %a %Y' /etc/courier/*.pem /etc/courier/*d /etc/courier/*[-]ssl /etc/courier/*rc"
        run_in(root, TO_OURS)
        before = run_in(root, files)
        text = (root / "etc/courier/imapd").read_text()

        said = run_in(root, PURGE)
        assert "/etc/courier/imapd.pem is in use: put back" in said

        assert run_in(root, files) == before
        assert (root / "etc/courier/imapd").read_text() == text
        run_in(root, f"{APT} purge 'pycourier-*'")
        left = {path.name for path in (root / "etc/courier").iterdir()}
        assert {name for name in left if "userdb" not in name} == set()

"""makeimapaccess, run as an administrator does, and beside Courier's."""

from __future__ import annotations

import dbm.gnu
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from courier.process.service import PidFile
from tests.conftest import missing
from tests.support import authdaemon, courier_root
from tests.support.courier_root import CourierRoot
from tests.support.daemon import wait_until
from tests.support.servers import COURIER, MODULES

TEXTS = [
    "",
    "# nothing\n\n",
    "192.168.0\tallow\n127.0.0.1\tdeny\n*\tallow,MAXCPERIP=2,A=\"b,c\"\n",
    "a\tb\tc\nd\n\te\n f \t g \nkey\t\n.\nafter\tthe end\n",
    ":2001:0db8\tdeny\n:2001:0db8:0001\tallow\n*.143\tdeny\n192.0.2.1.143\tallow\n",
    "192.168.0.0/22\tallow\n10.0.0.0/25 deny\n10.1.0.0/9\tallow,X=1\n172.16.0.0-172.16.3.7\tdeny\n",
    "2001:DB8::/30\tallow\n::1/128\tdeny\n::2-::9\tallow\n1.2.3.4/32\n10.2-10.4\tdeny\n",
]  # fmt: skip


def make(directory: Path, settings: str) -> subprocess.CompletedProcess[str]:
    (directory / "imapd").write_text(settings)
    (directory / "imapd-ssl").write_text(f"SSLPIDFILE={directory}/ssl.pid\n")
    return subprocess.run(
        [sys.executable, "-m", "tools.makeimapaccess"],
        env={**MODULES, "PYCOURIER_SYSCONFDIR": str(directory)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def contents(path: Path) -> dict[bytes, bytes]:
    with dbm.gnu.open(str(path), "r") as database:
        return {key: database[key] for key in database.keys()}  # noqa: SIM118


def test_making(tmp_path: Path) -> None:
    """It compiles what the settings name, and tells servers that hold the pid files' locks."""
    (tmp_path / "access").write_text("127.0.0.9\tdeny\n")
    running = os.fork()
    if running == 0:  # a lock of one's own is none
        try:
            signal.signal(signal.SIGHUP, lambda *_: os._exit(7))
            signal.alarm(60)
            PidFile(tmp_path / "imapd.pid").take()
            (tmp_path / "ready").touch()
            while True:
                signal.pause()
        finally:
            os._exit(1)
    wait_until((tmp_path / "ready").exists)

    made = make(tmp_path, f"IMAPACCESSFILE={tmp_path}/access\nPIDFILE={tmp_path}/imapd.pid\n")

    assert (made.returncode, made.stdout, made.stderr) == (0, "", "")
    assert os.waitstatus_to_exitcode(os.waitpid(running, 0)[1]) == 7
    assert contents(tmp_path / "access.dat") == {b"127.0.0.9": b"deny"}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("IMAPACCESSFILE=", "ERROR: No IMAPACCESSFILE specified in {0}/imapd\n"),
        ("IMAPACCESSFILE={0}/none", "makeimapaccess: {0}/none: No such file or directory\n"),
        ("IMAPACCESSFILE={0}/wrong", "{0}/wrong:1: 1.2.3.4/99: no net or range of addresses\n"),
        ("IMAPACCESSFILE='", "{0}/imapd:1: "),
    ],
)
def test_failures(tmp_path: Path, settings: str, said: str) -> None:
    """Exit code 1, a line that says why, and no database."""
    (tmp_path / "wrong").write_text("1.2.3.4/99\tdeny\n")

    made = make(tmp_path, settings.format(tmp_path) + f"\nPIDFILE={tmp_path}/imapd.pid\n")

    assert made.returncode == 1
    assert made.stdout == ""
    assert made.stderr.startswith(said.format(tmp_path))
    assert not list(tmp_path.glob("*.dat"))


# --- Beside Courier's -------------------------------------------------------------------------------


@pytest.fixture
def root(tmp_path: Path) -> CourierRoot:
    if not authdaemon.is_root():
        missing("root's rights, for chroot and mount namespaces")
    if not (COURIER / "usr/share/perl5/Net/CIDR.pm").exists():
        missing("Debian's courier-base and libnet-cidr-perl, see `make tools`")
    made = courier_root.make(tmp_path / "root")
    for name in ("imapd", "imapd-ssl"):
        path = COURIER / "etc/courier" / name
        text = path.read_text() + "\nbindir=/usr/lib/courier\n"  # where makedat is
        (made.configuration / name).write_text(text)
    return made


@pytest.mark.courier
@pytest.mark.root
@pytest.mark.slow
def test_the_same_records(root: CourierRoot) -> None:
    """Of each text both make the same database, and refuse what is there twice."""
    source = root.configuration / "imapaccess"
    made = source.with_name("imapaccess.dat")
    perl = {"PERL5LIB": "/opt/usr/share/perl5"}
    for text in TEXTS:
        source.write_text(text)
        records = []
        for command in (["makeimapaccess"], ["/usr/bin/python3", "-m", "tools.makeimapaccess"]):
            done = root.run(command, environment=perl)
            assert (done.returncode, done.stderr) == (0, b""), (command, text, done.stderr)
            records.append(contents(made))
            made.unlink()
        assert records[0] == records[1], text

    source.write_text("a\tb\na\tc\n")
    theirs = root.run(["makeimapaccess"], environment=perl)
    ours = root.run(["/usr/bin/python3", "-m", "tools.makeimapaccess"])
    assert (theirs.returncode, theirs.stderr) == (ours.returncode, ours.stderr)

"""Packages on machines that are not as they should be, and from one version to the next.

Nothing of it leaves a package half-configured: what is wrong is said, and the rest works.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import missing
from tests.system import machine as machines
from tests.system.machine import CHECKOUT, copied, run, run_in

pytestmark = [pytest.mark.slow, pytest.mark.root]

APT = "apt-get -q -o Dpkg::Use-Pty=0 --no-install-recommends --yes"
NAMES = "pycourier-common pycourier-authdaemon pycourier-imap pycourier-pop"


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    """A root directory with what the packages need; they are in /root/packages."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    for tool in machines.TOOLS:
        if shutil.which(tool) is None:
            missing(tool)
    packages = machines.build_packages()
    with copied(machines.make_root(machines.dependencies(packages))) as made:
        put_packages(made, packages, "packages")
        yield made


def put_packages(root: Path, packages: list[Path], directory: str) -> None:
    (root / "root" / directory).mkdir()
    for package in packages:
        if "pycourier-auth-" not in package.name:
            shutil.copy(package, root / "root" / directory)


def check_installed(root: Path) -> None:
    states = run_in(root, f"dpkg-query -W -f '${{Package}} ${{db:Status-Status}}\n' {NAMES}")
    found = [line for line in states.splitlines() if line.startswith("pycourier")]
    assert [line.split()[1] for line in found] == ["installed"] * 4, states


BREAK = """
mkdir -p /etc/courier
echo 'PORT="143' >/etc/courier/imapd
printf '##VERSION: 1\n##NAME: SSLADDRESS:0\nSSLADDRESS="0\n' >/etc/courier/imapd-ssl
: >/etc/courier/authdaemonrc
head -c 5000 /dev/urandom >/etc/courier/pop3d
echo nonsense >/etc/courier/pop3d.pem
ln -s /nowhere /etc/courier/dhparams.pem
mkdir /etc/courier/pop3d-ssl
rm -r /etc/pam.d
"""
REPAIR = """
sed -i 's/^SSLADDRESS="0$/SSLADDRESS=0/' /etc/courier/imapd-ssl
/etc/init.d/courier-imap start
python3 -c 'import imaplib; print(imaplib.IMAP4("127.0.0.1").capabilities)'
/etc/init.d/courier-imap stop
"""


def test_settings_that_are_broken(root: Path) -> None:
    """Unfinished, empty, random, a directory; no PAM. All is installed, and what is wrong is named."""
    with copied(root) as machine:
        run_in(machine, BREAK)

        said = run_in(machine, f"{APT} install /root/packages/*.deb")

        check_installed(machine)
        assert re.search(r"/etc/courier/imapd-ssl:\d+: ", said)  # what keeps imapd from starting
        assert "/etc/courier/pop3d-ssl: No regular file" in said
        assert (machine / "etc/courier/pop3d.pem").read_text() == "nonsense\n"
        # What stands in no section of Courier's has no effect, as always, and is not lost.
        assert '\n# PORT="143' in (machine / "etc/courier/imapd").read_text()
        assert "IMAP4REV1" in run_in(machine, REPAIR)


def test_installing_twice(root: Path) -> None:
    """Nothing is merged, made or lost the second time."""
    with copied(root) as machine:
        run_in(machine, f"{APT} install /root/packages/*.deb")
        before = run_in(machine, "cd /etc/courier; sha256sum * 2>/dev/null || true")

        run_in(machine, f"{APT} install --reinstall /root/packages/*.deb")

        check_installed(machine)
        assert run_in(machine, "cd /etc/courier; sha256sum * 2>/dev/null || true") == before


def test_next_version(root: Path, tmp_path: Path) -> None:
    """A setting comes, one goes, one has another value; the administrator's stay, by apt alone."""
    source = tmp_path / "pycourier"
    source.mkdir()
    for name in run(["git", "-C", CHECKOUT, "ls-files"]).splitlines():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(CHECKOUT / name, source / name, follow_symlinks=False)
    template = source / "conf/imapd.dist"
    text = template.read_text()
    version, _, rest = text.partition("\n")
    assert version.startswith("##VERSION:")
    removed = "##NAME: IMAP_UMASK:0\n"
    assert removed in rest and "\nMAXDAEMONS=40\n" in rest
    rest = rest.replace(
        removed, "##NAME: IMAP_NEW:0\n#\n# Something new.\n\nIMAP_NEW=1\n\n" + removed
    )
    rest = rest.replace("\nMAXDAEMONS=40\n", "\nMAXDAEMONS=50\n")
    gone = rest[rest.index("##NAME: IMAP_USELOCKS:") :]
    gone = gone[: gone.index("##NAME: ", 1)]
    rest = rest.replace(gone, "")
    template.write_text(f"{version} next\n{rest}")
    changelog = source / "debian/changelog"
    first = changelog.read_text()
    changelog.write_text(first.replace("(0.1-1)", "(0.2-1)", 1) + "\n" + first)
    run([source / "tools/build-deb"], timeout_s=300, environment=os.environ)

    with copied(root) as machine:
        put_packages(machine, sorted((source / "build/deb").glob("*.deb")), "next")
        run_in(machine, f"{APT} install /root/packages/*.deb")
        settings = machine / "etc/courier/imapd"
        mine = settings.read_text().replace("\nMAXPERIP=20\n", "\nMAXPERIP=7 # mine\n")
        settings.write_text(mine + "# My own.\n")

        said = run_in(machine, f"{APT} install /root/next/*.deb")

        check_installed(machine)
        assert "IMAP_NEW: new" in said
        merged = settings.read_text()
        assert "\nIMAP_NEW=1\n" in merged
        assert "\nMAXPERIP=7 # mine\n" in merged and "# My own.\n" in merged
        assert "# Kept from the old file, section IMAP_USELOCKS:" in merged
        assert "\nMAXDAEMONS=40\n" in merged  # as it was: the new value is a new machine's
        assert settings.with_name("imapd.bak").read_text() == mine + "# My own.\n"

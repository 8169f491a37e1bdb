"""The RPM packages: built by `make rpm`, held against the Debian packages, installed, booted, erased.

There is no Fedora here: the packages are installed by Debian's rpm into a Debian root directory that
has what they need. Names of Fedora's packages in Requires are not held against anything.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.conftest import missing
from tests.system import machine as machines
from tests.system.machine import CHECKOUT, Machine, copied, run, run_in
from tests.system.test_boot import USERDB_USER, _make_maildir, logged_in

pytestmark = [pytest.mark.slow, pytest.mark.root]

#: A file of the Debian packages in the place that it has in the RPM packages.
_PLACES = (
    (r"^/lib/systemd/", "/usr/lib/systemd/"),
    (r"^(/usr/bin/(?:deliverquota|maildirmake))\.courier$", r"\1"),
    (r"^(/usr/share/man/man[18]/(?:deliverquota|maildirmake))\.courier\.", r"\1."),
    (r"^(/usr/share/man/.*)\.gz$", r"\1"),
)
#: What belongs to a distribution, and not to the other.
_DEBIANS = re.compile(
    r"/etc/(init\.d|cron\.monthly|dpkg|logcheck)/|/usr/share/(doc|lintian|python3)/|/usr/share/man/.*"
    r"|/usr/share/pycourier/keep-settings"
)
_FEDORAS = re.compile(r"/usr/share/(doc|licenses)/|.*/__pycache__/.*|/usr/share/man/.*")

SETTINGS = "/etc/courier/imapd"
REMARK = "\n# A remark.\nMAXPERIP=19\n"
#: Debian's policy starts what is installed, Fedora's doesn't: as its administrator would.
CONFIGURE = f"""
systemctl enable courier-authdaemon.socket courier-imap.socket courier-imap.service
userdb {USERDB_USER.userid} set uid=5000 gid=5001 home=/srv/mail/vera
echo "{USERDB_USER.password}" | userdbpw | userdb {USERDB_USER.userid} set systempw
makeuserdb
sed -i 's/^authmodulelist=.*/authmodulelist="authuserdb"/' /etc/courier/authdaemonrc
"""


@pytest.fixture(scope="module")
def packages() -> list[Path]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    for tool in (*machines.TOOLS, "rpmbuild", "rpmlint"):
        if shutil.which(tool) is None:
            missing(tool)
    run([CHECKOUT / "tools/build-rpm"], timeout_s=300, environment=os.environ)
    return sorted((CHECKOUT / "build/rpm").glob("*.noarch.rpm"))


@pytest.fixture(scope="module")
def debian_packages() -> list[Path]:
    return machines.build_packages()


@pytest.fixture
def root(debian_packages: Sequence[Path]) -> Iterator[Path]:
    """A root directory with what the packages need."""
    with copied(machines.make_root(machines.dependencies(debian_packages))) as root:
        yield root


def files_of_rpm(package: Path) -> set[str]:
    """What a package holds beside directories."""
    form = "[%{FILEMODES:perms} %{FILENAMES}\\n]"
    lines = run(["rpm", "--query", "--package", f"--queryformat={form}", package]).splitlines()
    return {line.partition(" ")[2] for line in lines if not line.startswith("d")}


def test_rpmlint(packages: Sequence[Path]) -> None:
    """It has nothing to say, and rpm/rpmlint.toml says why it is to be silent of some."""
    said = run(["rpmlint", "--config", CHECKOUT / "rpm/rpmlint.toml", *packages])

    assert "0 errors, 0 warnings" in said


def test_files_are_those_of_the_debian_packages(
    packages: Sequence[Path], debian_packages: Sequence[Path]
) -> None:
    """Each package holds what its namesake holds, but for what is one distribution's own."""
    ours = {package.name.partition("-0")[0]: files_of_rpm(package) for package in packages}
    for package in debian_packages:
        wanted = set()
        for line in run(["dpkg-deb", "--contents", package]).splitlines():
            mode, path = line.split()[0], line.split()[5].removeprefix(".")
            for pattern, place in _PLACES:
                path = re.sub(pattern, place, path)
            if not mode.startswith("d") and not _DEBIANS.match(path):
                wanted.add(path)
        name = package.name.partition("_")[0]
        assert wanted == {path for path in ours[name] if not _FEDORAS.match(path)}, name


def test_every_program_has_a_manual_page(packages: Sequence[Path]) -> None:
    files = set().union(*map(files_of_rpm, packages))
    pages = {Path(path).name.partition(".")[0] for path in files if "/share/man/" in path}

    programs = {Path(path).name for path in files if re.match("/usr/s?bin/", path)}

    assert programs <= pages


def rpm(root: Path, *arguments: str | Path) -> str:
    """Run rpm, which is not in the root directory and runs scriptlets in there."""
    return run(["rpm", f"--root={root}", *arguments], timeout_s=300)


def test_installed_used_upgraded_erased(root: Path, packages: Sequence[Path]) -> None:
    """Scriptlets make settings, keys and users; an administrator's text outlives an upgrade and the end."""
    rpm(root, "--nodeps", "--install", *packages)
    run_in(root, CONFIGURE)
    settings = root / SETTINGS.lstrip("/")
    settings.write_text(settings.read_text() + REMARK)
    _make_maildir(root, USERDB_USER)

    machine = Machine(root)
    try:
        # The certificate is for the name that the machine had at installation: this one's.
        client = logged_in(machine, USERDB_USER)
        assert client.select()[0] == "OK"
        client.logout()
        owners = machine.run("stat", "--format=%U:%G %a", "/etc/courier/imapd.pem", SETTINGS)
        assert owners == "root:courier 640\nroot:root 644\n"
        assert machine.run("grep", "-c", "password-auth", "/etc/pam.d/imap") == "4\n"
    finally:
        machine.kill()

    rpm(root, "--nodeps", "--upgrade", "--force", *packages)
    assert REMARK in settings.read_text()

    rpm(root, "--nodeps", "--erase", *(package.name.partition("-0")[0] for package in packages))
    assert REMARK in settings.read_text()
    assert (root / "etc/courier/imapd.pem").exists()
    assert not (root / "usr/lib/pycourier").exists()
    assert not list((root / "usr/lib/systemd").rglob("courier-*"))

"""pw2userdb, vchkpw2userdb, authpasswd, authenumerate, authinfo, userdb-test-cram-md5."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from courier.auth import passwords
from tests.authdaemond.conftest import write_userdb
from tests.conftest import missing
from tests.support import authdaemon, courier_root
from tests.support.authdaemon import Daemon, environment
from tests.support.courier_root import CourierRoot
from tests.support.servers import COURIER

pytestmark = pytest.mark.slow

PASSWD = (
    "# comment\nu1:x:2001:2001:User.One|x:/home/u1:/bin/sh\nu2:$1$aa$bb:2002:2003::/home/u2:\n"
    "u3:*:5:6:G:/h:/s\n"
)
SHADOW = "u1:$1$aa$cc:1:2:3:::\nu9:zz:1::::\n"
ACCOUNTS = (
    b"a@example.com\tuid=5000|gid=5000|home=/h/a|mail=/h/a/M|options=disableshared=1\n"
    b"b@example.com\tuid=5001|gid=5001|home=/h/b\n"
    b"root\tuid=0|gid=0|home=/root\n"
)


def run(
    tool: str, *arguments: str, stdin: bytes = b"", place: Path = Path("/nonexistent")
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", tool if "." in tool else f"tools.{tool}", *arguments],
        input=stdin,
        capture_output=True,
        timeout=60,
        env=environment(place),
        check=False,
    )


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    write_userdb(tmp_path / "etc/userdb", ACCOUNTS)
    started = authdaemon.start_ours(tmp_path, {"authmodulelist": "authuserdb", "daemons": "1"})
    yield started
    assert started.stop() == 0, started.log


def test_authenumerate(daemon: Daemon, tmp_path: Path) -> None:
    """Root's accounts are never told; -s leaves out who shares nothing."""
    a, b = b"a@example.com\t5000\t5000\t/h/a\t/h/a/M", b"b@example.com\t5001\t5001\t/h/b\t"

    plain = run("authenumerate", place=tmp_path)
    assert (sorted(plain.stdout.splitlines()), plain.returncode) == ([a, b], 0)
    with_options = run("authenumerate", "-o", place=tmp_path).stdout
    assert sorted(with_options.splitlines()) == [a + b"\tdisableshared=1", b + b"\t"]
    assert run("authenumerate", "-s", place=tmp_path).stdout.splitlines() == [b]


def test_authenumerate_without_a_daemon(tmp_path: Path) -> None:
    failed = run("authenumerate", place=tmp_path)

    assert failed.returncode == 1
    assert failed.stderr.startswith(b"ERR: authdaemon: s_connect() failed: ")


def test_authinfo() -> None:
    shown = run("authdaemond.authinfo").stdout

    last = shown.splitlines()[-1]
    assert last.startswith(b'AUTHENTICATION_MODULES="authuserdb authpam authpwd authshadow')


@pytest.mark.parametrize("kind", ["md5", "MD5RAW", "sha", "ssha", "sha256", "sha512"])
def test_authpasswd(kind: str) -> None:
    made = run("authpasswd", kind, stdin=b"secret\n").stdout.rstrip(b"\n")

    assert made.startswith(b"{" + kind.upper().encode() + b"}")
    assert passwords.fits(b"secret", made)
    assert not passwords.fits(b"other", made)


def test_vchkpw2userdb(tmp_path: Path) -> None:
    """A file for each domain, for nobody else to read, and never over one that is there."""
    home, target = tmp_path / "vpopmail", tmp_path / "userdb"
    for directory in (home / "domains/example.com", home / "users", target):
        directory.mkdir(parents=True)
    (home / "domains/default").symlink_to(home / "users")
    (home / "domains/example.com/vpasswd").write_text("joe:$1$a$b:1:0:Joe:/h/joe:NOQUOTA\n")
    (home / "users/vpasswd").write_text("local:$1$a$c:1:0::/h/local:NOQUOTA:clear\n")
    where = f"--vpopmailhome={home}"

    together = run("vchkpw2userdb", where).stdout
    assert together.splitlines() == [
        b"local\tuid=|gid=|home=/h/local|shell=NOQUOTA|systempw=$1$a$c",
        b"joe@example.com\tuid=|gid=|home=/h/joe|shell=NOQUOTA|systempw=$1$a$b|gecos=Joe",
    ]

    assert run("vchkpw2userdb", where, f"--todir={target}").returncode == 0
    assert sorted(path.name for path in target.iterdir()) == ["default", "example.com"]
    assert (target / "example.com").stat().st_mode & 0o777 == 0o600
    again = run("vchkpw2userdb", where, f"--todir={target}")
    assert again.returncode == 1 and b"File exists" in again.stderr
    assert run("vchkpw2userdb", f"--vpopmailhome={target}").returncode == 1


@pytest.fixture
def root(tmp_path: Path) -> CourierRoot:
    if not authdaemon.is_root():
        missing("root's rights, for chroot and mount namespaces")
    if not (COURIER / "usr/sbin/pw2userdb").exists():
        missing("Debian's courier-authlib-userdb, see `make tools`")
    made = courier_root.make(tmp_path / "root")
    (made.path / "etc/p").write_text(PASSWD)
    (made.path / "etc/s").write_text(SHADOW)
    return made


RFC_2195 = b"tim\ntanstaaftanstaaf\nPDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+\n"


@pytest.mark.courier
@pytest.mark.root
def test_as_couriers_tools_do(root: CourierRoot) -> None:
    """The same lines, in whatever order Perl has them; the same exit codes."""
    commands = [
        (["pw2userdb", "--passwd=/etc/p", "--shadow=/etc/s"], b""),
        (["pw2userdb", "--passwd=/etc/p", "--noshadow", "--nouid", "--domain=d.e"], b""),
        (["pw2userdb", "--passwd=/etc/p", "--shadow=/etc/s", "--vpopuid"], b""),
        (["pw2userdb", "--zzz"], b""),
        (["pw2userdb", "--passwd=/nope"], b""),
        (["pw2userdb", "--passwd=/etc/p", "--shadow=/nope"], b""),
        (["userdb-test-cram-md5"], RFC_2195),
        (["authpasswd", "md5"], b"secret\n"),
        (["authpasswd", "sha512"], b"secret\n"),
        (["authpasswd", "Sha"], b""),
        (["authenumerate", "-x"], b""),
        (["authenumerate"], b""),
    ]
    for (tool, *arguments), stdin in commands:
        theirs = root.run([f"/usr/sbin/{tool}", *arguments], stdin=stdin)
        module = f"tools.{tool.replace('-', '_')}"
        ours = root.run(["python3", "-m", module, *arguments], stdin=stdin)

        assert sorted(ours.stdout.split(b"\n")) == sorted(theirs.stdout.split(b"\n")), tool
        assert ours.returncode == theirs.returncode, (tool, arguments)

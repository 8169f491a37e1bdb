"""authdaemond with an embedded userdb, and beside Courier's in a root directory of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from courier.auth import userdb_source
from tests.conftest import missing
from tests.support import authdaemon, courier_root, databases
from tests.support.authdaemon import Daemon
from tests.support.courier_root import CourierRoot
from tests.support.servers import COURIER

ACCOUNTS = (
    b"vm1@example.com\tuid=5000|gid=5000|home=/home/vmail/vm1|mail=/home/vmail/vm1/Maildir|"
    b"quota=1000000S|gecos=V M One|options=disableimap=0,group=staff|"
    b"systempw=$1$a7tOQywY$tCGKb4xUORKfgL8666FRu/|"
    b"hmac-md5pw=cd3ba7deaad6e5ca23448ba42e379747a9e0f7f1fbc00c8a81bbaac395731b56|"
    b"hmac-sha1pw=091e0f4c6cb5277ee2beb639a60d0831b5c8adcdaee172433df3e96ba4f00fb1b6a490c3929d2034|"
    b"hmac-sha256pw=5a84072aab37d22275b139adf7a92564c7f674be98e77d991f6f689d29e0524572804f31b0420168"
    b"04d3dea2f4e991a21b1c8906be161594b202fb74afc8ceb3\n"
    b"own@example.com\tuid=5001|gid=5001|home=/h|systempw={MD5RAW}5ebe2294ecd0e0f08eab7690d2a6ee69|"
    b"imappw={SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n"
    b"nohome\tuid=5002|gid=5002|systempw={MD5RAW}5ebe2294ecd0e0f08eab7690d2a6ee69\n"
    b"nopw\tuid=5003|gid=5003|home=/h\n"
    b"two words\tuid=5004|gid=5004|home=/h|gecos=Two, Words|systempw=secret\n"
    b"bare\n"
)

StartOurs = Callable[..., Daemon]


def write_userdb(source: Path, text: bytes = ACCOUNTS) -> None:
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_bytes(text)
    source.chmod(0o600)
    userdb_source.build(source)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[StartOurs]:
    """Start our authdaemond with settings; it must stop in order and have no bug in its log."""
    daemons: list[Daemon] = []
    write_userdb(tmp_path / "etc/userdb")

    def start_ours(program: Sequence[str] = ("-m", "authdaemond"), **settings: str) -> Daemon:
        daemon = authdaemon.start_ours(
            tmp_path, {"authmodulelist": "authuserdb", "daemons": "5", **settings}, program
        )
        daemons.append(daemon)
        return daemon

    yield start_ours
    for daemon in daemons:
        assert daemon.stop() == 0, daemon.log
        assert "internal error" not in daemon.log, daemon.log
        assert "Traceback" not in daemon.log, daemon.log


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that other users may enter."""
    with databases.open_directory() as path:
        yield path


@pytest.fixture
def daemon(start: StartOurs) -> Daemon:
    """Our authdaemond with authuserdb alone."""
    return start()


@pytest.fixture
def root(tmp_path: Path) -> CourierRoot:
    """A root directory with Debian's Courier, its userdb and a system user."""
    if not authdaemon.is_root():
        missing("root's rights, for chroot and mount namespaces")
    for program in courier_root.NEEDED:
        if not (COURIER / program).exists():
            missing("Debian's courier-authdaemon and courier-authlib-userdb, see `make tools`")
    made = courier_root.make(tmp_path / "root")
    write_userdb(made.configuration / "userdb")
    made.add_user("alice", 1001, "$1$a7tOQywY$tCGKb4xUORKfgL8666FRu/", "Alice Example,Room 5,555")
    made.add_user(
        "expired", 1002, "$1$a7tOQywY$tCGKb4xUORKfgL8666FRu/", aging="19000:0:99999:7::1:"
    )
    made.add_user("mustchange", 1003, "$1$a7tOQywY$tCGKb4xUORKfgL8666FRu/", aging="0:0:99999:7:::")
    (made.path / "etc/pam.d/imap").write_text(
        "auth required pam_unix.so\naccount required pam_unix.so\n"
    )
    (made.path / "etc/pam.d/other").write_text("auth required pam_deny.so\n")
    return made

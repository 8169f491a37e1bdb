"""Our imapd with Debian's real authdaemond in the place of ours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from courier.auth import userdb_source
from tests.conftest import missing
from tests.support import authdaemon, courier_root
from tests.support.courier_root import CourierRoot
from tests.support.daemon import Site
from tests.support.servers import COURIER

pytestmark = [pytest.mark.courier, pytest.mark.root, pytest.mark.slow]

SECRET_HASH = "{MD5RAW}5ebe2294ecd0e0f08eab7690d2a6ee69"  # of "secret"


@pytest.fixture
def theirs(tmp_path: Path, site: Site) -> Iterator[CourierRoot]:
    """A running authdaemond of Courier's with the site's account in its userdb."""
    if not authdaemon.is_root():
        missing("root's rights, for chroot and mount namespaces")
    for program in courier_root.NEEDED:
        if not (COURIER / program).exists():
            missing("Debian's courier-authdaemon and courier-authlib-userdb, see `make tools`")
    root = courier_root.make(tmp_path / "root")
    source = root.configuration / "userdb"
    home = site.homes / "u@example.com"
    owner = home.stat()
    source.write_text(
        f"u@example.com\tuid={owner.st_uid}|gid={owner.st_gid}|home={home}|systempw={SECRET_HASH}\n"
    )
    source.chmod(0o600)
    userdb_source.build(source)
    daemon = authdaemon.start_inside(
        root, {"authmodulelist": "authuserdb", "daemons": "2"}, ours=False
    )
    yield root
    daemon.stop()


def test_log_in_through_their_authdaemond(site: Site, theirs: CourierRoot) -> None:
    """The right password opens the mailbox, a wrong one is a failed log-in."""
    imapd = site.start(environment={"PYCOURIER_AUTHDAEMONVAR": str(theirs.authdaemonvar)})

    with imapd.session("u@example.com", "secret") as client:
        assert client.command("SELECT INBOX")[-1].endswith(b"OK [READ-WRITE] Ok\r\n")
    with imapd.connect() as client:
        assert client.command("LOGIN u@example.com wrong")[-1].endswith(b"NO Login failed.\r\n")
    imapd.wait_for_log("INFO: LOGIN FAILED, user=u@example.com")
